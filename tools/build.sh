#!/usr/bin/env bash
# Builds the one file: the program, with its PostgreSQL and the prepared data folder at its end.
#
#   tools/build.sh            dist/platform-kernel, for machines like this one
#   tools/build.sh --static   dist/static/platform-kernel, stripped and without a library: for any Linux on x86_64
set -euo pipefail
cd "$(dirname "$0")/.."

static=no
case "${1:-}" in
  "") ;;
  --static) static=yes ;;
  *) sed -n '2,5p' "$0" >&2; exit 2 ;;
esac
if [ "$static" = yes ]; then tools/setup.sh --static; else tools/setup.sh; fi

cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
payload="$cache/payload"
target="${CARGO_TARGET_DIR:-target}"
say() { printf 'build: %s\n' "$*" >&2; }

tools/with-python.sh tools/pack-postgres.sh "$payload"
say "building the console"
tools/console.sh build
if [ "$static" = yes ]; then
  out=dist/static
  . tools/static-env.sh
  built="$target/$CARGO_BUILD_TARGET/dist/platform-kernel"
  say "compiling as one static file (the first time takes a quarter to half of an hour on two cores)"
  cargo build --profile dist --locked --bin platform-kernel
else
  out=dist
  built="$target/release/platform-kernel"
  say "compiling (the first time takes ten to thirty minutes on two cores)"
  cargo build --release --locked --bin platform-kernel
fi

mkdir -p "$out"
data="$out/data.tar.zst"
if [ ! -s "$data" ] || [ "$built" -nt "$data" ] || [ "$payload/postgres-17.tar.zst" -nt "$data" ]; then
  say "making the templates that a fresh installation starts with"
  # Only the server: an older data folder beside it must not find its way into the new one.
  work="$(mktemp -d "${TMPDIR:-/tmp}/platform-kernel-build.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  ln -s "$payload/postgres-17.tar.zst" "$work/postgres-17.tar.zst"
  rm -f "$data"
  env -i PATH="$PATH" HOME="$HOME" TMPDIR="${TMPDIR:-/tmp}" PLATFORM_KERNEL_PAYLOAD="$work" "$built" __pack-data "$data" >/dev/null
fi
program="$built"
if [ "$static" = yes ]; then
  program="$out/stripped"
  strip -o "$program" "$built"
fi
env -i PATH="$PATH" HOME="$HOME" "$program" __append "$payload/postgres-17.tar.zst" "$out/platform-kernel" --data "$data" >/dev/null
[ "$program" = "$built" ] || rm -f "$program"
size="$(stat -c %s "$out/platform-kernel")"
say "$out/platform-kernel, $((size / 1000000)) MB"
# What is promised; whoever adds a large part hears of it here.
if [ "$static" = yes ] && [ "$size" -gt 90000000 ]; then
  say "that is more than the 90 MB that are promised."
  exit 1
fi
