#!/usr/bin/env bash
# Builds the one file: the program, with its PostgreSQL and the prepared data folder at its end.
#
#   tools/build.sh          writes dist/platform-kernel
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh

cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
payload="$cache/payload"
built="${CARGO_TARGET_DIR:-target}/release/platform-kernel"
say() { printf 'build: %s\n' "$*" >&2; }

tools/with-python.sh tools/pack-postgres.sh "$payload"
say "building the console"
tools/console.sh build
say "compiling (the first time takes some minutes)"
cargo build --release --locked --bin platform-kernel

mkdir -p dist
if [ ! -s dist/data.tar.zst ] || [ "$built" -nt dist/data.tar.zst ] || [ "$payload/postgres-17.tar.zst" -nt dist/data.tar.zst ]; then
  say "making the templates that a fresh installation starts with"
  # Only the server: an older data folder beside it must not find its way into the new one.
  work="$(mktemp -d "${TMPDIR:-/tmp}/platform-kernel-build.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  ln -s "$payload/postgres-17.tar.zst" "$work/postgres-17.tar.zst"
  rm -f dist/data.tar.zst
  env -i PATH="$PATH" HOME="$HOME" TMPDIR="${TMPDIR:-/tmp}" PLATFORM_KERNEL_PAYLOAD="$work" "$built" __pack-data dist/data.tar.zst >/dev/null
fi
env -i PATH="$PATH" HOME="$HOME" "$built" __append "$payload/postgres-17.tar.zst" dist/platform-kernel --data dist/data.tar.zst >/dev/null
say "dist/platform-kernel, $(du -h --apparent-size dist/platform-kernel | cut -f1)"
