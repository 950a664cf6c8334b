#!/usr/bin/env bash
# Runs a Python program that can import a client of Kafka (kafka-python, which stands on nobody's library), protobuf and
# protoc. They are kept in the cache.
set -euo pipefail
packages="kafka-python==3.0.12 lz4==4.4.5 protobuf==7.36.2 grpcio-tools==1.85.1"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
place="$cache/kafka-client-1"
mkdir -p "$cache"
(
  flock 9
  if [[ ! -f "$place/.complete" ]]; then
    rm -rf "$place"
    # shellcheck disable=SC2086 # a list
    "$tools/with-python.sh" python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --root-user-action=ignore --target "$place" $packages >&2 \
      || { echo "with-kafka-client: the packages can't be installed: $packages" >&2; exit 1; }
    touch "$place/.complete"
  fi
) 9>"$cache/kafka-client.lock"
PYTHONPATH="$place" exec "$tools/with-python.sh" "$@"
