# shellcheck shell=bash
# Sourced: from here on cargo builds static programs for Linux on x86_64.
#
# With a target named, the flags reach the program and not what runs during the build. linux_raw: random numbers from the
# kernel itself, also where there is no /dev. The linker folds functions that are alike and packs the relocations (to 1/50
# of their size).
native="$(tools/static-libs.sh)" || return 1
export CARGO_BUILD_TARGET=x86_64-unknown-linux-gnu PKG_CONFIG_PATH="$native" OPENSSL_STATIC=1
static_flags=(-C target-feature=+crt-static --cfg 'getrandom_backend="linux_raw"')
CARGO_ENCODED_RUSTDOCFLAGS="$(IFS=$'\x1f'; echo "${static_flags[*]}")"
static_flags+=(-C link-arg=-Wl,--icf=safe -C link-arg=-Wl,--pack-dyn-relocs=relr)
CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f'; echo "${static_flags[*]}")"
export CARGO_ENCODED_RUSTFLAGS CARGO_ENCODED_RUSTDOCFLAGS
unset native static_flags
