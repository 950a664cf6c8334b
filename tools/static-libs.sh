#!/usr/bin/env bash
# Builds the static libraries that a release links and Debian 12 does not ship: libvips, and below it GLib (without
# libmount), highway, lcms2, libtiff (without JBIG, whose library is under the GPL) and libheif. From Debian's own source packages, with their security patches.
#
#   tools/static-libs.sh           builds what is not up to date; prints the folder for PKG_CONFIG_PATH
#   tools/static-libs.sh --path    prints that folder, and fails when it is not up to date
#
# AVIF=0 leaves out AVIF (6.5 MB of the binary). JOBS: processes at once. The result lies in
# ${XDG_CACHE_HOME:-~/.cache}/platform-kernel/static and is used until this script changes. Wanted: Debian 12 on x86_64, and
# root (or sudo) where packages are missing.
set -euo pipefail

say() { printf 'static-libs: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

AVIF="${AVIF:-1}"
JOBS="${JOBS:-$(nproc)}"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
WORK="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel/static"
# libvips carries this path as a text: a constant one makes two builds the same.
PREFIX="$WORK/prefix"
SOURCES="$WORK/src"
BUILD="$WORK/build"
LOGS="$WORK/logs"
STAMP="$PREFIX/.made-by"
WANTED="$(sha256sum < "$HERE/static-libs.sh" | cut -c1-16) avif=$AVIF"

up_to_date() { [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ]; }
answer() { printf '%s\n' "$PREFIX/lib/pkgconfig"; }

case "${1:-}" in
  --path) up_to_date || stop "not built, or by another version of this script: run tools/static-libs.sh"; answer; exit ;;
  "") ;;
  *) stop "what is $1? See the first lines of $0." ;;
esac
if up_to_date; then answer; exit; fi
# shellcheck disable=SC1091
[ "$(. /etc/os-release && echo "${ID:-}${VERSION_ID:-}")" = debian12 ] || stop "the recipe is for Debian 12; build the release in a container of it."

# What the libraries need: everything below them that Debian ships as .a, compiled with -fPIE at least.
packages=(
  build-essential pkg-config cmake meson ninja-build nasm gettext libglib2.0-dev-bin dpkg-dev
  zlib1g-dev libpcre2-dev libffi-dev libexpat1-dev libexif-dev libjpeg62-turbo-dev libpng-dev
  libwebp-dev libdeflate-dev libaom-dev
)

install_packages() {
  local missing=() package as_root=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null || stop "missing: ${missing[*]}; install them as root."; as_root=(sudo); }
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# From the mirror that apt is configured with, in an apt configuration of its own: the machine's stays as it is. vips, highway
# and libheif come from trixie (bookworm has vips 8.14, and a highway that is too old), the rest from bookworm. A point
# release drops old versions from the mirror, so suites are named, and what came is noted in SOURCES.
fetch_sources() {
  local apt="$WORK/apt" key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]' main security name suite options
  main="$(apt-get indextargets --format '$(SITE)' 'RELEASE: bookworm' | sort -u | head -n 1)"
  security="$(apt-get indextargets --format '$(SITE)' 'RELEASE: bookworm-security' | sort -u | head -n 1)"
  [ -n "$main" ] && [ -n "$security" ] || stop "apt knows no bookworm and bookworm-security: look at /etc/apt/sources.list."
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  printf "deb-src $key %s %s main\n" "$main" bookworm "$security" bookworm-security "$main" trixie "$security" trixie-security \
    > "$apt/sources.list"
  options=(
    -qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$apt/lists"
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
  )
  apt-get "${options[@]}" update >&2
  rm -rf "$SOURCES"
  mkdir -p "$SOURCES"
  cd "$SOURCES"
  for package in vips/trixie highway/trixie libheif/trixie glib2.0/bookworm lcms2/bookworm tiff/bookworm; do
    name="${package%/*}" suite="${package#*/}"
    # A point release takes the security suite's versions over and goes beyond them.
    apt-get "${options[@]}" source "$name/$suite" >&2 || apt-get "${options[@]}" source "$name/$suite-security" >&2 2>/dev/null \
      || fetch_known "$name" "$main" || stop "the source of $name can't be fetched; see above."
  done
  ls -d -- */ > "$WORK/SOURCES"
  # Programs, tests and documents of no use here.
  sed -i -E "/^ *subdir\('(tools|test|fuzz|man|po)'\)/d" vips-*/meson.build
  sed -i "s/^subdir('fuzzing')//" glib2.0-*/meson.build
}

# A mirror may lack what its index names. These versions of Debian stay in the pool longer.
fetch_known() { # package, mirror
  local hash folder file found=no
  while read -r hash folder file; do
    [ "${file%%_*}" = "$1" ] || continue
    rm -f "$file"
    /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$2/pool/main/$folder/$1/$file" "$file" "SHA256:$hash" >&2 || return 1
    found="$file"
  done <<'KNOWN'
df960c3df02da8ae16ee19e79c9428e955d178242a8f06064e07e0c417238e6e v vips_8.16.1.orig.tar.gz
2acd86c435b8ca9fe537c65d21c5f326814c9b10d244cafad5689e60bdb1dc37 v vips_8.16.1-1+deb13u1.debian.tar.xz
60205e00d061b9d8072938e04899f2ca2fdac0513068e561d33f7c87fae1ae2e v vips_8.16.1-1+deb13u1.dsc
6c4a5b08e6eae66d199977468859dea3b5e059081db8928f7c7c16e53836c906 libh libheif_1.19.8.orig.tar.gz
acb2f40072ef11a679fa100c64c51f29a5fedd0359e5a426e5d5f66377bf6f43 libh libheif_1.19.8-1+deb13u1.debian.tar.xz
906a8840e79669856631707990f50d92d7adc25516206199342b17e30271eec6 libh libheif_1.19.8-1+deb13u1.dsc
KNOWN
  [ "$found" != no ] || return 1
  say "the mirror lacks the newest $1: taking ${found%.dsc}"
  dpkg-source --no-check -x "$found" >&2
}

build() { # name: its log is shown when it fails
  local begun=$SECONDS
  rm -rf "${BUILD:?}/$1"
  mkdir -p "$BUILD/$1"
  if ! ( cd "$BUILD/$1" && "make_$1" ) > "$LOGS/$1.log" 2>&1; then
    tail -n 40 "$LOGS/$1.log" >&2
    stop "$1 can't be built; the whole log is $LOGS/$1.log"
  fi
  say "$1 in $((SECONDS - begun)) s"
}

source_of() { # prefix of the folder
  local found=("$SOURCES/$1"-[0-9]*/)
  printf '%s' "${found[0]%/}"
}

with_cmake() { # source folder, further options
  local from="$1"; shift
  cmake -G Ninja -S "$from" -B . -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$PREFIX" -DCMAKE_INSTALL_LIBDIR=lib \
    -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF "$@"
  ninja -j "$JOBS" install
}

with_meson() { # source folder, further options
  local from="$1"; shift
  meson setup . "$from" --prefix="$PREFIX" --libdir=lib --buildtype=release -Ddefault_library=static "$@"
  ninja -j "$JOBS" install
}

make_highway() {
  with_cmake "$(source_of highway)" -DHWY_ENABLE_CONTRIB=OFF -DHWY_ENABLE_EXAMPLES=OFF -DHWY_ENABLE_TESTS=OFF
}

make_lcms2() {
  "$(source_of lcms2)/configure" --prefix="$PREFIX" --disable-shared --enable-static --without-jpeg --without-tiff --with-pic
  make -j "$JOBS" -C src install
  make -C include install
  install -D -m 644 lcms2.pc "$PREFIX/lib/pkgconfig/lcms2.pc"
}

make_tiff() {
  local off=()
  for option in jbig lerc lzma zstd webp cxx tiff-tools tiff-tests tiff-contrib tiff-docs; do off+=("-D$option=OFF"); done
  with_cmake "$(source_of tiff)" "${off[@]}" -Djpeg=ON -Dzlib=ON -Dlibdeflate=ON
}

# AVIF only: HEVC is patented, and its decoders are LGPL and GPL.
make_libheif() {
  local off=()
  for option in ENABLE_PLUGIN_LOADING WITH_EXAMPLES WITH_GDK_PIXBUF WITH_LIBSHARPYUV WITH_LIBDE265 WITH_X265 WITH_KVAZAAR \
    WITH_DAV1D WITH_SvtEnc WITH_RAV1E WITH_JPEG_DECODER WITH_JPEG_ENCODER WITH_OpenJPEG_DECODER WITH_OpenJPEG_ENCODER \
    WITH_FFMPEG_DECODER WITH_OpenH264_DECODER WITH_UNCOMPRESSED_CODEC WITH_HEADER_COMPRESSION WITH_AOM_DECODER_PLUGIN \
    WITH_AOM_ENCODER_PLUGIN; do
    off+=("-D$option=OFF")
  done
  with_cmake "$(source_of libheif)" "${off[@]}" -DWITH_AOM_DECODER=ON -DWITH_AOM_ENCODER=ON
}

make_glib() {
  with_meson "$(source_of glib2.0)" -Dlibmount=disabled -Dselinux=disabled -Dxattr=false -Dnls=disabled -Dtests=false \
    -Dinstalled_tests=false -Dman=false -Dgtk_doc=false -Dlibelf=disabled -Ddtrace=false -Dsystemtap=false -Dsysprof=disabled \
    -Dglib_debug=disabled
}

make_vips() {
  local avif=()
  [ "$AVIF" = 1 ] && avif=(-Dheif=enabled)
  with_meson "$(source_of vips)" -Dprefer_static=true --auto-features=disabled -Ddeprecated=false -Dexamples=false \
    -Dcplusplus=false -Dmodules=disabled -Dintrospection=disabled -Dnsgif=true -Dppm=false -Danalyze=false -Dradiance=false \
    -Djpeg=enabled -Dpng=enabled -Dwebp=enabled -Dtiff=enabled -Dexif=enabled -Dlcms=enabled -Dhighway=enabled \
    -Dzlib=enabled "${avif[@]}"
}

export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1700000000}"
mkdir -p "$WORK" "$LOGS"
# One at a time: a second one waits, and finds the work done.
exec 9> "$WORK/lock"
flock 9
if up_to_date; then answer; exit; fi
install_packages
say "fetching sources"
fetch_sources
rm -rf "$PREFIX" "$BUILD"
mkdir -p "$PREFIX" "$BUILD"
# Sections by function, so that the linker leaves out what is not used; no path of this machine in what is built.
flags="-O3 -fPIC -ffunction-sections -fdata-sections -ffile-prefix-map=$WORK=/w"
export CFLAGS="$flags" CXXFLAGS="$flags" PKG_CONFIG_PATH="$PREFIX/lib/pkgconfig"
build highway
build lcms2
build tiff
[ "$AVIF" = 1 ] && build libheif
build glib
build vips
rm -rf "$BUILD"
printf '%s' "$WANTED" > "$STAMP"
answer
