#!/usr/bin/env bash
# Runs a Python program that can import GO Feature Flag's own provider (the engine in it is the oracle of crates/flags)
# and OpenFeature's OFREP provider: real clients of the addresses that the gateway answers. They are kept in the cache.
set -euo pipefail
packages="gofeatureflag-python-provider==1.3.0 openfeature-provider-ofrep==0.3.0 openfeature-sdk==0.10.0"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
place="$cache/gofeatureflag-1.3.0"
mkdir -p "$cache"
(
  flock 9
  if [[ ! -f "$place/.complete" ]]; then
    rm -rf "$place"
    # shellcheck disable=SC2086 # a list
    "$tools/with-python.sh" python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --root-user-action=ignore --target "$place" $packages >&2 \
      || { echo "with-gofeatureflag: the packages can't be installed: $packages" >&2; exit 1; }
    touch "$place/.complete"
  fi
) 9>"$cache/gofeatureflag.lock"
PYTHONPATH="$place" exec "$tools/with-python.sh" "$@"
