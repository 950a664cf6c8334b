#!/usr/bin/env bash
# Looks for what building Platform Kernel needs and offers to install what is missing.
#
#   tools/setup.sh          asks before it installs anything; YES=1 answers yes
#   tools/setup.sh --tests  also what the tests use: Chromium, Go (for grpcurl), file, PgBouncer, and what --parts asks for
#   tools/setup.sh --parts  also what the real servers of tools/parts.sh use: Java and Maven (Kafka), Redis, OpenSSL, curl
#   tools/setup.sh --static for the static file: its libraries come from static-libs.sh
#
# Wanted: a C compiler, libclang (for PostgreSQL's own parser), libvips (for pictures), OpenSSL (for librdkafka alone), python3 that can make a venv, zstd,
# binutils, npm, Rust.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) ;;
  Darwin-*) stop "the embedded PostgreSQL is for Linux on x86_64. On macOS run Platform Kernel in Docker (or build with Homebrew's llvm, python, zstd and rustup and set DATABASE_URL)." ;;
  *) stop "the embedded PostgreSQL is for Linux on x86_64, this is $(uname -sm): use Docker or WSL2, or set DATABASE_URL." ;;
esac

has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  # libclang-cpp, which comes with other packages, is another library.
  { compgen -G "/usr/lib/llvm-*/lib/libclang*.so*"; ldconfig -p 2>/dev/null | grep 'libclang[-.]'; } | grep -v 'libclang-cpp' >/dev/null
}
has_libvips() {
  have pkg-config && pkg-config --exists 'vips >= 8.13'
}
has_openssl() {
  have pkg-config && pkg-config --exists 'openssl >= 1.1.1'
}
has_python() {
  have python3 || return 1
  python3 -m pip --version >/dev/null 2>&1 || python3 -c 'import ensurepip, venv' >/dev/null 2>&1
}

# What is missing, by what it is: packages have other names elsewhere.
missing=()
{ have cc && have ld && have strip && have make; } || missing+=(compiler)
has_libclang || missing+=(libclang)
[ "${1:-}" = --static ] || has_libvips || missing+=(libvips)
has_openssl || missing+=(openssl)
has_python || missing+=(python)
have zstd || missing+=(zstd)
have npm || "$(dirname "$0")/console.sh" built || missing+=(npm)
if [ "${1:-}" = --tests ]; then
  have file || missing+=(file)
  have chromium || have chromium-browser || have google-chrome || [ -n "${CHROMIUM:-}" ] || missing+=(chromium)
  have grpcurl || have go || missing+=(go)
  [ -x /usr/sbin/pgbouncer ] || have pgbouncer || missing+=(pgbouncer)
fi
case "${1:-}" in --tests | --parts)
  have java || missing+=(java)
  have mvn || missing+=(maven)
  { have redis-cli && { have redis-server || have redis-check-rdb; }; } || missing+=(redis)
  have openssl || missing+=(openssl-program)
  have curl || missing+=(curl)
  [ -e /usr/share/zoneinfo/UTC ] || missing+=(zones)
  ;;
esac
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || [ -e /etc/ssl/cert.pem ] || missing+=(roots)

# packages <manager>: the missing ones under that manager's names.
packages() {
  local what
  for what in "${missing[@]}"; do
    case "$1-$what" in
      apt-compiler) echo build-essential ;;
      apt-libclang) echo libclang-dev ;;
      apt-libvips) echo pkg-config libvips-dev ;;
      apt-openssl) echo pkg-config libssl-dev ;;
      apt-python) echo python3 python3-venv ;;
      dnf-compiler) echo gcc gcc-c++ binutils make ;;
      dnf-libclang) echo clang-devel ;;
      dnf-libvips) echo pkgconf-pkg-config vips-devel ;;
      dnf-openssl) echo pkgconf-pkg-config openssl-devel ;;
      dnf-python) echo python3 python3-pip ;;
      pacman-compiler) echo base-devel ;;
      pacman-libclang) echo clang ;;
      pacman-libvips) echo pkgconf libvips ;;
      pacman-openssl) echo pkgconf openssl ;;
      pacman-python) echo python python-pip ;;
      apt-java) echo default-jre-headless ;;
      dnf-java) echo java-latest-openjdk-headless ;;
      pacman-java) echo jre-openjdk-headless ;;
      # The server of Debian's redis-tools has no system service that would start with it.
      apt-redis) echo redis-tools ;;
      dnf-redis | pacman-redis) echo redis ;;
      *-openssl-program) echo openssl ;;
      *-zones) echo tzdata ;;
      *-maven) echo maven ;;
      *-curl) echo curl ;;
      *-zstd) echo zstd ;;
      *-npm) echo npm ;;
      *-file) echo file ;;
      *-chromium) echo chromium ;;
      *-pgbouncer) echo pgbouncer ;;
      apt-go) echo golang-go ;;
      dnf-go) echo golang ;;
      pacman-go) echo go ;;
      *-roots) echo ca-certificates ;;
    esac
  done | tr '\n' ' '
}

if [ "${#missing[@]}" -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    have sudo && as_root=(sudo)
  fi
  if have apt-get; then
    list="$(packages apt)"
    install() { "${as_root[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends $list; }
    line="apt-get install $list"
  elif have dnf; then
    list="$(packages dnf)"
    install() { "${as_root[@]}" dnf install -y $list; }
    line="dnf install $list"
  elif have pacman; then
    list="$(packages pacman)"
    install() { "${as_root[@]}" pacman -S --needed --noconfirm $list; }
    line="pacman -S $list"
  else
    stop "missing: ${missing[*]}. Install them with this system's package manager (on Debian they are: $(packages apt)) and run this again."
  fi
  say "missing: ${missing[*]}. To install: ${as_root[*]:+${as_root[*]} }$line"
  if [ "$(id -u)" != 0 ] && [ "${#as_root[@]}" -eq 0 ]; then
    stop "that needs root, and there is no sudo here: run the line above as root, then this again."
  fi
  if [ "${YES:-}" != 1 ]; then
    [ -t 0 ] || stop "there is no terminal to ask at: run that line, or say YES=1."
    read -r -p "setup: install them now? [y/N] " answer
    case "$answer" in y | Y | yes) ;; *) stop "nothing was installed." ;; esac
  fi
  install || stop "the packages could not be installed; see above."
  has_libclang || stop "libclang is still not found; set LIBCLANG_PATH to the folder that holds libclang.so."
fi

wanted="$(sed -n 's/^channel = "\(.*\)"/\1/p' "$(dirname "$0")/../rust-toolchain.toml")"
if ! have cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  stop "Rust is installed but not on the PATH: run  . \"${CARGO_HOME:-$HOME/.cargo}/env\"  and this again."
fi
have cargo || stop "Rust is missing: install it with rustup (https://rustup.rs; it fetches $wanted by itself here), then run this again."
# rustup fetches the version that rust-toolchain.toml names; any other cargo has to be new enough.
found="$(cargo --version 2>/dev/null | awk '{ print $2 }')" || stop "cargo does not run: run \`rustup toolchain install $wanted\` and look at what it says."
oldest="$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)"
[ "$oldest" = "$wanted" ] || stop "Rust $wanted is wanted, this is $found: install rustup (https://rustup.rs), or a newer Rust."
