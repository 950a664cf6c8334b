#!/usr/bin/env bash
# Builds the image FROM scratch and runs it for real: as uid 10001, with a read-only root and no capability, used by a
# client outside of the container.
#
#   tools/container-test.sh         the file in it is dist/static/platform-kernel
#   FULL=1 tools/container-test.sh  everything is built inside of the Dockerfile's stages
#
# Needs root. A Docker engine that answers is used; else one is installed (Debian) and started for the time of the test.
# Where no image can be pulled, the base images are made: Debian by debootstrap, the tool chains copied from here.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
set -a; . docker/versions.env; set +a
say() { printf 'container-test: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }
passed=0
pass() { passed=$((passed + 1)); say "ok: $*"; }

work="$(mktemp -d "${TMPDIR:-/tmp}/platform-kernel-container.XXXXXX")"
chmod 755 "$work"
engine=""
name="platform-kernel-test-$$"
finish() {
  docker rm -f "$name" >/dev/null 2>&1 || true
  docker volume rm -f "$name" >/dev/null 2>&1 || true
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

# base <image>: there already, pulled, or made here.
base_debian() {
  local image="debian:$DEBIAN_VERSION-slim"
  docker image inspect "$image" >/dev/null 2>&1 && return
  docker pull -q "$image" >/dev/null 2>&1 && return
  say "making $image with debootstrap"
  command -v debootstrap >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap
  debootstrap --variant=minbase "$DEBIAN_VERSION" "$work/debian" >"$work/debootstrap.log" 2>&1 || { tail -5 "$work/debootstrap.log" >&2; stop "debootstrap failed."; }
  tar -C "$work/debian" -c . | docker import - "$image" >/dev/null
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

base_debian
arguments=()
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
  arguments+=(--build-arg BINARY=platform-kernel-binary)
fi
say "building the image"
docker build -q -t platform-kernel "${arguments[@]}" \
  --build-arg RUST_VERSION="$RUST_VERSION" --build-arg NODE_VERSION="$NODE_VERSION" --build-arg DEBIAN_VERSION="$DEBIAN_VERSION" . >/dev/null
size="$(docker image inspect -f '{{.Size}}' platform-kernel)"
pass "the image is built: $((size / 1000000)) MB"

started=$(date +%s%N)
docker volume create "$name" >/dev/null
docker run -d --name "$name" --read-only --cap-drop ALL --security-opt no-new-privileges \
  -p 127.0.0.1::8443 -p 127.0.0.1::8080 -v "$name:/data" platform-kernel >/dev/null
until [ "$(docker inspect -f '{{.State.Health.Status}}' "$name")" = healthy ]; do
  [ "$(docker inspect -f '{{.State.Running}}' "$name")" = true ] || { docker logs "$name" >&2; stop "the container ended."; }
  [ $(( ($(date +%s%N) - started) / 1000000000 )) -lt 30 ] || { docker logs "$name" >&2; stop "not healthy in 30 s."; }
  sleep 0.05
done
took=$(( ($(date +%s%N) - started) / 1000000 ))
pass "healthy after $took ms"
[ "$took" -le 2000 ] || stop "that is slower than promised (2 s)."

https="https://localhost:$(docker port "$name" 8443/tcp | head -n 1 | sed 's/.*://')"
password="$(docker logs "$name" 2>&1 | sed -n 's/.*password \([0-9a-f]\{24\}\).*/\1/p' | head -n 1)"
[ -n "$password" ] || { docker logs "$name" >&2; stop "the log does not tell the demo's password."; }
signed="$(curl -sk "$https/api/v1/auth/login" -H 'Content-Type: application/json' \
  -d "{\"email\":\"admin@sandbox.localhost\",\"password\":\"$password\"}")"
token="$(printf '%s' "$signed" | sed -n 's/.*"accessToken":"\([^"]*\)".*/\1/p')"
[ -n "$token" ] || stop "no sign-in with the password of the log: $signed"
pass "signed in from outside with the password that the log told"
published="$(curl -sk -o /dev/null -w '%{http_code}' "$https/api/v1/auth/login" -H 'Content-Type: application/json' \
  -d '{"email":"admin@sandbox.localhost","password":"Sandbox2026!"}')"
[ "$published" = 401 ] || stop "the published password works on a network: $published"
pass "the published password does not work"
contacts="$(curl -sk "$https/api/v1/data/crm/contacts?limit=1&count=true" -H "Authorization: Bearer $token")"
printf '%s' "$contacts" | grep -q '"total":200' || stop "the demo's contacts: $contacts"
pass "records over HTTPS"
[ "$(docker exec "$name" /platform-kernel version >/dev/null 2>&1; echo $?)" = 0 ] || stop "verbs do not run in the container."
docker exec "$name" /platform-kernel open --print >/dev/null 2>&1 || docker exec "$name" /platform-kernel open >/dev/null || stop "open does not work in the container."
pass "verbs in the container"
before=$(date +%s%N)
docker stop -t 30 "$name" >/dev/null
[ "$(docker inspect -f '{{.State.ExitCode}}' "$name")" = 0 ] || stop "it did not end well."
pass "stopped in $(( ($(date +%s%N) - before) / 1000000 )) ms"
docker start "$name" >/dev/null
until [ "$(docker inspect -f '{{.State.Health.Status}}' "$name")" = healthy ]; do sleep 0.05; done
pass "started again on its volume"

# A folder that uid 10001 can't write: a sentence with uid, path and the line that helps.
mkdir -p "$work/foreign"
chmod 755 "$work/foreign"
said="$(docker run --rm --read-only -v "$work/foreign:/data" platform-kernel 2>&1 || true)"
printf '%s' "$said" | grep -q 10001 && printf '%s' "$said" | grep -q /data && printf '%s' "$said" | grep -q chown \
  || stop "a volume that can't be written: $said"
pass "a volume that can't be written is told: $(printf '%s' "$said" | tail -n 1)"

echo "$passed passed, 0 failed"
