#!/usr/bin/env bash
# Redis 7 that speaks TLS alone, for the test of TLS: the Valkey that is to be had was built without it. A certificate of its
# own making, for localhost and 127.0.0.1.
. "$(dirname "${BASH_SOURCE[0]}")/server.sh"

# Debian's redis-tools has the server, too, under the name of one of its other callings: no system service has to be started.
programs() {
  local place="$programs_cache/redis" found
  want redis-cli redis-tools
  found="$(command -v redis-server || command -v redis-check-rdb)" || stop "redis wants redis-server: run tools/setup.sh --tests, or install it (Debian: apt-get install redis-tools)."
  mkdir -p "$place"
  ln -sfn "$found" "$place/redis-server"
  ln -sfn "$(command -v redis-cli)" "$place/redis-cli"
  printf '%s\n' "$place"
}

certificate() { # <folder>
  want openssl openssl
  (
    cd "$1"
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Platform Kernel tests" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
    printf '%s\n' "subjectAltName=DNS:localhost,IP:127.0.0.1" "basicConstraints=critical,CA:FALSE" \
      "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth" >server.ext
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext -out server.crt
    rm -f server.csr server.ext
  ) 2>"$1/openssl.log" >&2 || { tail -n 5 "$1/openssl.log" >&2; stop "openssl could not make the certificate for redis."; }
}

run() {
  local folder="$1" bin port
  bin="$(programs)"
  "$bin/redis-server" --version | grep 'v=[7-9]' >/dev/null || stop "Redis 7 or newer is wanted, this is $("$bin/redis-server" --version)."
  read -r port < <(ports "$folder" 1)
  mkdir -p "$folder/data"
  [ -f "$folder/server.crt" ] || certificate "$folder"
  launch "$folder" "$bin/redis-server" --bind 127.0.0.1 --port 0 --tls-port "$port" --dir "$folder/data" --save "" --appendonly no \
    --tls-cert-file "$folder/server.crt" --tls-key-file "$folder/server.key" --tls-ca-cert-file "$folder/ca.crt" --tls-auth-clients no
  ready "$folder" 10 "$bin/redis-cli" -h 127.0.0.1 -p "$port" --tls --cacert "$folder/ca.crt" -e ping
  echo "export TEST_REDIS_TLS_ADDR=127.0.0.1:$port"
  echo "export TEST_REDIS_TLS_CA=$folder/ca.crt"
}

serve "$@"
