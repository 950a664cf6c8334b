#!/usr/bin/env bash
# Everything that must hold before a change goes in: format, lints, licences, tests. The last line is
# "N passed, N failed".
#
#   tools/test.sh [arguments of the test programs]
#   ONLY=lint tools/test.sh         no tests
#   SUITES="faults house" tools/test.sh   only these test programs
set -uo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
failed_steps=()
said="$(mktemp -d "${TMPDIR:-/tmp}/platform-kernel-test.XXXXXX")"
started_parts=no
finish() {
  [ "$started_parts" = no ] || tools/parts.sh stop
  rm -rf "$said"
}
trap finish EXIT
# What a step that failed said last is said again at the end: whoever reads a long log begins there.
step() {
  local name="$1"; shift
  printf '\n== %s\n' "$name" >&2
  "$@" 2>&1 | tee "$said/$name"
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed_steps+=("$name")
}

# A pinned cargo-deny, compiled once into the cache.
deny_version="0.20.2"
deny() {
  local tool="$cache/bin/cargo-deny"
  if ! "$tool" --version 2>/dev/null | grep -qF "$deny_version"; then
    if command -v cargo-deny >/dev/null 2>&1; then
      tool="cargo-deny"
    else
      echo "compiling cargo-deny $deny_version into $cache/bin, once" >&2
      cargo install --quiet --locked --version "$deny_version" --root "$cache" cargo-deny || return 1
    fi
  fi
  "$tool" --all-features check --hide-inclusion-graph licenses bans sources
}

# What is tested is linked as it is released: statically. Debian 12 alone has the recipe for that; elsewhere it is linked
# with the system's libraries, and the last test, of the static file, is left out.
is_static=no
if [ "${ONLY:-}" != lint ] && [ "$(. /etc/os-release && echo "${ID:-}${VERSION_ID:-}")" = debian12 ]; then
  is_static=yes
  printf '\n== libraries for a static program\n' >&2
  . tools/static-env.sh || exit 1
fi
target="$PWD/target"
case "${CARGO_TARGET_DIR:-}" in "") ;; /*) target="$CARGO_TARGET_DIR" ;; *) target="$PWD/$CARGO_TARGET_DIR" ;; esac
built="$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}debug/platform-kernel"

if [ -z "${SUITES:-}" ]; then
  step "format" cargo fmt --all --check
  step "lints" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
  step "licences" deny
fi

passed=0 failed=0 ignored=0
if [ -z "${SUITES:-}" ] && [ "${ONLY:-}" != lint ]; then
  step "console build" tools/console.sh build
  step "console unit tests" tools/console.sh test
fi
if [ "${ONLY:-}" != lint ]; then
  step "PostgreSQL for the tests" tools/with-python.sh tools/pack-postgres.sh "$cache/payload"
  # The tests' kernels start like a released one: with templates that were made once, by the program under test.
  payload="$target/payload"
  mkdir -p "$payload"
  ln -sfn "$cache/payload/postgres-17.tar.zst" "$payload/postgres-17.tar.zst"
  export PLATFORM_KERNEL_PAYLOAD="$payload"
  step "the program" cargo build --locked --quiet --bin platform-kernel
  if [ "$built" -nt "$payload/data.tar.zst" ]; then
    rm -f "$payload/data.tar.zst"
    step "templates for the tests" "$built" __pack-data "$payload/data.tar.zst"
  fi

  if [ -z "${SUITES:-}" ]; then
    PLATFORM_KERNEL_BIN="$built" step "console in Chromium" tools/console.sh e2e
  fi

  what=(--workspace)
  if [ -n "${SUITES:-}" ]; then
    for suite in $SUITES; do what+=(--test "$suite"); done
  fi
  # Before the servers start: both at once would need their memory together.
  step "test programs" cargo test "${what[@]}" --locked --quiet --no-run

  # The real servers that tests use, unless their addresses are given. Those that ran before go on after.
  if [ -z "${TEST_POSTGRES_URL:-}" ]; then
    [ -n "$(tools/parts.sh env)" ] || started_parts=yes
    step "real parts" tools/parts.sh up
    . <(tools/parts.sh env)
  fi

  printf '\n== tests\n' >&2
  log="$said/tests"
  cargo test "${what[@]}" --locked --no-fail-fast -- "$@" 2>&1 | tee "$log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed_steps+=("tests")
  # The file as people get it, but for its optimization: stripped, with all that it carries. It gets a root of its own.
  if [ "$is_static" = yes ] && [ "$(id -u)" = 0 ] && [ -z "${SUITES:-}" ]; then
    printf '\n== the static file\n' >&2
    export PLATFORM_KERNEL_ARTEFACT="$target/artefact/platform-kernel"
    mkdir -p "$target/artefact"
    strip -o "$target/artefact/stripped" "$built"
    "$target/artefact/stripped" __append "$payload/postgres-17.tar.zst" "$PLATFORM_KERNEL_ARTEFACT" --data "$payload/data.tar.zst" >/dev/null
    cargo test --workspace --test artefact --locked -- "$@" 2>&1 | tee -a "$log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || [[ " ${failed_steps[*]} " = *" tests "* ]] || failed_steps+=("tests")
  fi
  # "test result: ok. 12 passed; 0 failed; 1 ignored; …" of every test program.
  read -r passed failed ignored < <(awk '
    /^test result: / { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i; if ($(i+1) ~ /^ignored/) g += $i } }
    END { print p + 0, f + 0, g + 0 }' "$log")
fi

printf '\n' >&2
for name in "${failed_steps[@]}"; do
  printf '== what failed in: %s\n' "$name" >&2
  if [ "$name" = tests ]; then
    grep -aE '^test .* FAILED$|panicked at|^error' -A 3 "$said/$name" | head -n 60 >&2
  else
    tail -n 60 "$said/$name" >&2
  fi
done
if [ "${#failed_steps[@]}" -gt 0 ]; then
  why=""
  # Not one test ran: the compiler or the linker says why, and a full disk is what it most often is.
  if [ "$passed" -eq 0 ] && [ -f "$said/test programs" ]; then
    why=" ($(grep -aE -m 1 '^error' "$said/test programs" || echo 'no error was told'); $(df -h --output=avail "$target" | tail -n 1 | tr -d ' ') of the disk are free)"
  fi
  printf 'failed: %s%s\n' "$(IFS=,; echo "${failed_steps[*]}")" "$why" >&2
fi
[ "$ignored" -eq 0 ] || printf '%s ignored\n' "$ignored" >&2
# A step that failed without a test (format, a compiler error) must not read as "0 failed".
if [ "$failed" -eq 0 ]; then
  for name in "${failed_steps[@]}"; do failed=$((failed + 1)); done
fi
echo "$passed passed, $failed failed"
[ "${#failed_steps[@]}" -eq 0 ]
