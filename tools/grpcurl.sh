#!/usr/bin/env bash
# Prints where grpcurl is: one that is installed, else a pinned one, compiled once into the cache. That wants Go.
set -euo pipefail
version="v1.9.3"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel/bin"
tool="$cache/grpcurl"
if [ ! -x "$tool" ] && command -v grpcurl >/dev/null 2>&1; then
  command -v grpcurl
  exit
fi
if [ ! -x "$tool" ]; then
  command -v go >/dev/null 2>&1 || { echo "grpcurl.sh: grpcurl is not installed, and Go is needed to compile it: install either" >&2; exit 1; }
  echo "compiling grpcurl $version into $cache, once" >&2
  GOBIN="$cache" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$version" >&2
fi
printf '%s\n' "$tool"
