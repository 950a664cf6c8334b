# A Docker engine for the tests of images, and the base images where none can be pulled. Read by container-test.sh and
# compose-test.sh, which set `part` (their name in messages) before.
#
# Needs root. A Docker engine that answers is used; else one is installed (Debian) and started for the time of the test.
# Where no image can be pulled, the base images are made: Debian by debootstrap, the tool chains copied from here.
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
set -a; . "$tools/../docker/versions.env"; set +a
say() { printf '%s: %s\n' "$part" "$*" >&2; }
stop() { say "$*"; exit 1; }
passed=0
pass() { passed=$((passed + 1)); say "ok: $*"; }

work="$(mktemp -d "${TMPDIR:-/tmp}/platform-kernel-$part.XXXXXX")"
chmod 755 "$work"
engine=""
# What the test leaves behind is removed by its own function `leave`, while the engine still runs.
finish() {
  leave >/dev/null 2>&1 || true
  [ -z "$engine" ] || { kill "$engine" 2>/dev/null; wait "$engine" 2>/dev/null || true; }
  rm -rf "$work" 2>/dev/null || true
}
trap finish EXIT

if ! docker info >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || stop "no Docker engine answers, and starting one needs root."
  command -v dockerd >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io; }
  # The client of the same package comes first: it builds with BuildKit without a plugin.
  export DOCKER_HOST="unix://$work/docker.sock" PATH="/usr/bin:$PATH"
  mkdir -p "$cache/docker"
  dockerd --host "$DOCKER_HOST" --data-root "$cache/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" >"$work/dockerd.log" 2>&1 &
  engine=$!
  for _ in $(seq 100); do docker info >/dev/null 2>&1 && break; sleep 0.2; done
  docker info >/dev/null 2>&1 || { tail -5 "$work/dockerd.log" >&2; stop "the Docker engine does not start."; }
fi
export DOCKER_BUILDKIT=1

# base_debian, base_tools: an image that is there already, is pulled, or made here.
base_debian() {
  local image="debian:$DEBIAN_VERSION-slim"
  docker image inspect "$image" >/dev/null 2>&1 && return
  docker pull -q "$image" >/dev/null 2>&1 && return
  say "making $image with debootstrap"
  command -v debootstrap >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap
  debootstrap --variant=minbase "$DEBIAN_VERSION" "$work/debian" >"$work/debootstrap.log" 2>&1 || { tail -5 "$work/debootstrap.log" >&2; stop "debootstrap failed."; }
  # The sources of the official image.
  printf 'deb http://deb.debian.org/%s main\n' "debian $DEBIAN_VERSION" "debian $DEBIAN_VERSION-updates" \
    "debian-security $DEBIAN_VERSION-security" > "$work/debian/etc/apt/sources.list"
  # It trusts what this machine trusts, in a file that its own package of roots leaves alone.
  local roots=/usr/local/etc/roots.pem
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/debian$roots"
  cp -a /etc/apt/apt.conf.d/. "$work/debian/etc/apt/apt.conf.d/"
  tar -C "$work/debian" -c . | docker import - "$image" \
    --change "ENV SSL_CERT_FILE=$roots NODE_EXTRA_CA_CERTS=$roots PIP_CERT=$roots CARGO_HTTP_CAINFO=$roots" >/dev/null
  rm -rf "$work/debian"
}
base_tools() { # <image> <folder of this machine> <its place in the image> [PATH]
  docker image inspect "$1" >/dev/null 2>&1 && return
  docker pull -q "$1" >/dev/null 2>&1 && return
  say "making $1 from this machine's $2"
  mkdir -p "$work/context"
  cp -a "$2/." "$work/context/"
  printf 'FROM debian:%s-slim\nCOPY . %s\nENV PATH=%s:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n%s\n' \
    "$DEBIAN_VERSION" "$3" "$4" "${5:-}" > "$work/Dockerfile.tools"
  docker build -q -t "$1" -f "$work/Dockerfile.tools" "$work/context" >/dev/null
  rm -rf "$work/context"
}

# The project's own image, out of its Dockerfile; FULL=1: everything in it is built inside of the Dockerfile's stages.
kernel_image() {
  local arguments=()
  base_debian
  if [ "${FULL:-}" = 1 ]; then
    base_tools "rust:$RUST_VERSION-$DEBIAN_VERSION" "$(rustc --print sysroot)" /usr/local/rust /usr/local/rust/bin
    # Not the folder of this machine's node, which may be all of /usr: node and npm are npm packages, too.
    npm install --silent --no-audit --no-fund --prefix "$work/node" "node@$NODE_VERSION" npm@10
    base_tools "node:$NODE_VERSION-$DEBIAN_VERSION-slim" "$work/node" /usr/local/node /usr/local/node/node_modules/.bin
  else
    [ -x dist/static/platform-kernel ] || stop "there is no dist/static/platform-kernel: run make release first."
    mkdir -p "$work/binary/out"
    cp dist/static/platform-kernel "$work/binary/out/"
    printf 'FROM scratch\nCOPY out /out\n' > "$work/binary/Dockerfile"
    docker build -q -t platform-kernel-binary "$work/binary" >/dev/null
    rm -rf "$work/binary"
    arguments+=(--build-arg BINARY=platform-kernel-binary)
  fi
  say "building the image"
  docker build -q -t platform-kernel "${arguments[@]}" \
    --build-arg RUST_VERSION="$RUST_VERSION" --build-arg NODE_VERSION="$NODE_VERSION" --build-arg DEBIAN_VERSION="$DEBIAN_VERSION" . >/dev/null
}

# part_image <image> <folder of docker/testing> <folder of its programs>: a stand-in under the name of the real image, which
# is pulled if that is possible.
part_image() {
  docker pull -q "$1" >/dev/null 2>&1 && return
  say "building $1 from docker/testing/$2"
  mkdir -p "$work/context"
  cp -a "docker/testing/$2/." "$work/context/"
  cp -a "$3" "$work/context/programs"
  rm -f "$work/context/programs/.complete"
  docker build -q -t "$1" --build-arg DEBIAN_VERSION="$DEBIAN_VERSION" "$work/context" >/dev/null
  rm -rf "$work/context"
}
