#!/usr/bin/env bash
# Builds the image FROM scratch and runs it for real: as uid 10001, with a read-only root and no capability, used by a
# client outside of the container.
#
#   tools/container-test.sh         the file in it is dist/static/platform-kernel
#   FULL=1 tools/container-test.sh  everything is built inside of the Dockerfile's stages
#
# The engine and the base images: docker-engine.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
part=container-test
name="platform-kernel-test-$$"
leave() {
  docker rm -f "$name"
  docker volume rm -f "$name"
}
. tools/docker-engine.sh
kernel_image
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
