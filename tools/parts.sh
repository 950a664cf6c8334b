#!/usr/bin/env bash
# The real servers that the kernel can stand on, for the tests: PostgreSQL 17, Kafka 3.9, Valkey 8.1, Redis 7 (for TLS) and
# SeaweedFS (S3), on free ports of 127.0.0.1, with their data under ~/.cache/platform-kernel/parts.
#
#   tools/parts.sh up      fetches what is missing, starts what does not run; what runs goes on
#   tools/parts.sh stop    ends all; the data stay
#   tools/parts.sh env     prints the variables of those that run; also in ~/.cache/platform-kernel/parts/env
#
# PARTS="postgres kafka" names some of them alone. A test that kills or restarts a server starts one of its own:
# tools/parts/<part>.sh start <folder>.
set -euo pipefail
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
home="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel/parts"
all="postgres valkey redis seaweedfs kafka"
parts="${PARTS:-$all}"
say() { printf 'parts: %s\n' "$*" >&2; }

variables() { for part in $all; do "$tools/parts/$part.sh" env "$home/$part"; done; }

case "${1:-}" in
  up | stop)
    mkdir -p "$home"
    exec 9>"$home/lock"
    flock 9
    missing=()
    for part in $parts; do
      if [ "$1" = stop ]; then
        "$tools/parts/$part.sh" stop "$home/$part"
      else
        "$tools/parts/$part.sh" start "$home/$part" >/dev/null || missing+=("$part")
      fi
    done
    variables >"$home/env"
    if [ "${#missing[@]}" -gt 0 ]; then
      say "not started: ${missing[*]}; see above."
      exit 1
    fi
    [ "$1" = stop ] || say "they run; the variables: source $home/env"
    ;;
  env)
    variables
    ;;
  *)
    say "tools/parts.sh up | stop | env"
    exit 2
    ;;
esac
