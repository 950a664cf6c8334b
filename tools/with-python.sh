#!/usr/bin/env bash
# Runs a program with a python3 that has pip: the machine's own, else one in a venv in the cache (Debian's python3 comes
# without pip).
set -euo pipefail
if ! python3 -m pip --version >/dev/null 2>&1; then
  venv="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel/venv"
  if ! "$venv/bin/python3" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv" || { echo "with-python: python3 can't make a venv: install python3-venv (Debian) or pip." >&2; exit 1; }
  fi
  PATH="$venv/bin:$PATH"
fi
exec "$@"
