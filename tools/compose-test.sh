#!/usr/bin/env bash
# Brings docker-compose.sandbox.yml up for real, for two tenants at once, uses both from outside of the containers, shows that
# neither reaches the other, and that nothing is left behind. Then every combination of the files under docker/ is checked.
#
# The README's tour, too, is run in both, with the demo's template.
#
#   tools/compose-test.sh               the file in the image is dist/static/platform-kernel
#   OVER=file tools/compose-test.sh     with one more compose file over docker-compose.sandbox.yml
#
# The engine and the base images: docker-engine.sh. Images that can't be pulled are built from docker/testing.
set -euo pipefail
cd "$(dirname "$0")/.."
part=compose-test
tenants=(pk-test-acme pk-test-globex)
leave() {
  local tenant
  for tenant in "${tenants[@]}" pk-test-parts; do
    docker ps -aq --filter "label=com.docker.compose.project=$tenant" | xargs -r docker rm -f
    docker volume ls -q --filter "label=com.docker.compose.project=$tenant" | xargs -r docker volume rm -f
    docker network ls -q --filter "label=com.docker.compose.project=$tenant" | xargs -r docker network rm
  done
}
. tools/docker-engine.sh
if ! docker compose version >/dev/null 2>&1; then
  DOCKER_CONFIG="$(tools/docker-compose.sh)"
  export DOCKER_CONFIG
fi
# Whatever the caller's shell has set must not reach the files.
unset COMPOSE_FILE COMPOSE_PROJECT_NAME COMPOSE_PROFILES COMPOSE_ENV_FILES

# --- Every combination validates.
checked=0
valid() { # <arguments of docker compose>…
  docker compose "$@" config --quiet || stop "not valid: docker compose $*"
  checked=$((checked + 1))
}
# What empties comes last.
overlays=(kafka.yaml gateway.yaml pact.yml ci.yml)
for versions in "" docker/versions.env; do
  environment=(--env-file "${versions:-/dev/null}")
  valid "${environment[@]}" -f docker-compose.sandbox.yml
  valid --env-file docker/sandbox.env.example "${environment[@]}" -f docker-compose.sandbox.yml
  for alone in kafka.yaml gateway.yaml pact.yml; do valid "${environment[@]}" -f "docker/docker-compose.$alone"; done
  # Each set of overlays over the whole stack, with and without all profiles.
  for ((set = 0; set < 1 << ${#overlays[@]}; set++)); do
    files=(-f docker/docker-compose.yml)
    for ((one = 0; one < ${#overlays[@]}; one++)); do
      ((set >> one & 1)) && files+=(-f "docker/docker-compose.${overlays[one]}")
    done
    valid "${environment[@]}" "${files[@]}"
    valid "${environment[@]}" "${files[@]}" --profile "*"
  done
done
pass "$checked combinations of compose files are valid"

kernel_image
part_image "postgres:$POSTGRES_VERSION" postgres "$(tools/parts/postgres.sh programs)"
part_image "valkey/valkey:$VALKEY_VERSION" valkey "$(tools/parts/valkey.sh programs)"
part_image "apache/kafka:$KAFKA_VERSION" kafka "$(tools/parts/kafka.sh programs)"

# --- Two tenants at once.
now() { date +%s%N; }
since() { echo $((($(date +%s%N) - $1) / 1000000)); }
compose() { # <tenant> <arguments>…
  local tenant="$1"
  shift
  docker compose --progress quiet -p "$tenant" -f docker-compose.sandbox.yml ${OVER:+-f "$OVER"} --env-file "$work/$tenant.env" "$@"
}
container() { docker ps -q --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.service=$2"; }
say_why() {
  local tenant
  for tenant in "${tenants[@]}"; do compose "$tenant" ps -a >&2; compose "$tenant" logs --tail 15 >&2; done
  stop "$*"
}
read -r -a ports < <(python3 - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(4)]
for one in sockets: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
)
for n in 0 1; do
  tenant="${tenants[n]}"
  printf '%s\n' "HTTPS_PORT=${ports[n * 2]}" "HTTP_PORT=${ports[n * 2 + 1]}" "KERNEL_OWNER_EMAIL=owner@$tenant.example" \
    "KERNEL_OWNER_PASSWORD=correct horse $tenant" "POSTGRES_PASSWORD=secretof${tenant//-/}" >"$work/$tenant.env"
done
bring_up() { # both, at once
  local tenant n waiting=() started
  started="$(now)"
  for tenant in "${tenants[@]}"; do
    compose "$tenant" up -d --wait --no-build --pull never >"$work/$tenant.up" 2>&1 && since "$started" >"$work/$tenant.took" &
    waiting+=($!)
  done
  for n in 0 1; do wait "${waiting[n]}" || { cat "$work/${tenants[n]}.up" >&2; say_why "${tenants[n]} does not come up."; }; done
  for tenant in "${tenants[@]}"; do pass "$tenant: from up to healthy $(cat "$work/$tenant.took") ms, two tenants at once"; done
}
take_down() { # both, and all that is theirs
  local tenant left
  for tenant in "${tenants[@]}"; do
    compose "$tenant" down -v >/dev/null 2>&1
    left="$(docker ps -aq --filter "label=com.docker.compose.project=$tenant"; docker volume ls -q --filter "label=com.docker.compose.project=$tenant"; docker network ls -q --filter "label=com.docker.compose.project=$tenant")"
    [ -z "$left" ] || stop "$tenant left behind: $left"
  done
  pass "down -v leaves no container, volume or network"
}
volumes_before="$(docker volume ls -q | sort)"
bring_up
docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' >"$work/stats"
while read -r line; do say "memory: $line"; done <"$work/stats"

for tenant in "${tenants[@]}"; do
  for service in kernel postgres valkey kafka; do
    limits="$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.Config.User}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}' "$(container "$tenant" "$service")")"
    case "$limits" in
      "true [ALL] "[1-9]*:[1-9]*" [no-new-privileges:true] "[1-9]*" "[1-9]*) ;;
      *) stop "$tenant's $service is not limited as it should be: $limits" ;;
    esac
  done
done
pass "every container: read-only root, no capability, no new privileges, a user of its own, limits of memory and CPU"

# --- Used from outside.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
json=(-H "Content-Type: application/json")
sign_in() { # <port> <tenant> [whose password]
  curl -sk "https://localhost:$1/api/v1/auth/login" "${json[@]}" -d "{\"email\":\"owner@${3:-$2}.example\",\"password\":\"correct horse ${3:-$2}\"}"
}
tokens=()
for n in 0 1; do
  tenant="${tenants[n]}" base="https://localhost:${ports[n * 2]}"
  token="$(sign_in "${ports[n * 2]}" "$tenant" | field accessToken)" || say_why "$tenant: the owner does not get in: $(sign_in "${ports[n * 2]}" "$tenant")"
  tokens+=("$token")
  curl -skf "$base/api/v1/users" "${json[@]}" -H "Authorization: Bearer $token" \
    -d "{\"email\":\"ada@$tenant.example\",\"name\":\"Ada of $tenant\",\"password\":\"correct horse battery\"}" >/dev/null || stop "$tenant: a user can't be made."
  curl -skf "$base/api/v1/users" -H "Authorization: Bearer $token" | grep -q "ada@$tenant.example" || stop "$tenant: the user is not listed."
  curl -skf "$base/api/v1/audit/verify" -H "Authorization: Bearer $token" | grep -q '"valid":true' || stop "$tenant: the audit trail does not verify."
  curl -sf "http://localhost:${ports[n * 2 + 1]}/health/ready" >/dev/null || stop "$tenant: HTTP does not answer."
  issuer="$(cut -d. -f2 <<<"$token" | tr '_-' '/+' | { cat; echo ===; } | base64 -d 2>/dev/null | field iss || true)"
  [ "$issuer" = "$base" ] || stop "$tenant: tokens are issued by $issuer, not $base."
done
pass "in both: the owner signs in, makes a user, lists users, verifies the audit trail; the issuer follows HTTPS_PORT"

# --- Neither reaches the other.
for n in 0 1; do
  mine="${tenants[n]}" other="${tenants[1 - n]}" base="https://localhost:${ports[n * 2]}"
  [ "$(curl -sk -o /dev/null -w '%{http_code}' "$base/api/v1/users" -H "Authorization: Bearer ${tokens[1 - n]}")" = 401 ] || stop "$mine takes a token of $other."
  sign_in "${ports[n * 2]}" "$mine" "$other" | grep -q accessToken && stop "the owner of $other gets into $mine."
  curl -skf "$base/api/v1/users" -H "Authorization: Bearer ${tokens[n]}" | grep -q "@$other.example" && stop "$mine lists people of $other."
  inside="$(container "$mine" postgres)"
  docker exec "$inside" timeout 3 bash -c ': </dev/tcp/kafka/9092' || stop "$mine: its own Kafka is not reached from its own network: the next check would prove nothing."
  for service in kernel postgres valkey kafka; do
    case "$service" in kernel) port=8080 ;; postgres) port=5432 ;; valkey) port=6379 ;; kafka) port=9092 ;; esac
    for address in $(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$(container "$other" "$service")"); do
      docker exec "$inside" timeout 3 bash -c ": </dev/tcp/$address/$port" 2>/dev/null && stop "$mine reaches $other's $service at $address:$port."
    done
  done
  # By the name: the official image trusts whoever comes from the container itself.
  enters() { docker exec -e PGPASSWORD="secretof${1//-/}" "$inside" psql -h postgres -U kernel -d platform_kernel -c "select 1" >/dev/null 2>&1; }
  enters "$mine" || stop "$mine's own password does not open its database: the next check would prove nothing."
  enters "$other" && stop "$other's password opens $mine's database."
done
shared="$(for tenant in "${tenants[@]}"; do docker inspect -f '{{range .Mounts}}{{.Source}}{{"\n"}}{{end}}{{range .NetworkSettings.Networks}}{{.NetworkID}}{{"\n"}}{{end}}' $(docker ps -q --filter "label=com.docker.compose.project=$tenant") | sort -u; done | grep . | sort | uniq -d)"
[ -z "$shared" ] || stop "volumes or networks are shared: $shared"
pass "neither takes the other's tokens or passwords, reaches its containers, or shares a volume or network with it"

# --- Down and up again keeps the data; down -v leaves nothing.
before="$(now)"
compose "${tenants[0]}" down >/dev/null 2>&1
took="$(since "$before")"
compose "${tenants[0]}" up -d --wait --no-build --pull never >"$work/again" 2>&1 || { cat "$work/again" >&2; say_why "${tenants[0]} does not come up again."; }
token="$(sign_in "${ports[0]}" "${tenants[0]}" | field accessToken)" || say_why "the owner does not get in after down and up."
curl -skf "https://localhost:${ports[0]}/api/v1/users" -H "Authorization: Bearer $token" | grep -q "ada@${tenants[0]}.example" || stop "down and up lost data."
pass "down ($took ms) and up again keeps the data"
take_down
[ "$(docker volume ls -q | sort)" = "$volumes_before" ] || stop "volumes without a name are left: $(comm -13 <(echo "$volumes_before") <(docker volume ls -q | sort))"

# --- The tour, from outside, in both.
awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md >"$work/tour"
mkdir "$work/bin"
printf '#!/bin/sh\nexec docker exec "$KERNEL" /platform-kernel "$@"\n' >"$work/bin/platform-kernel"
chmod +x "$work/bin/platform-kernel"
for tenant in "${tenants[@]}"; do echo "KERNEL_TEMPLATE=demo" >>"$work/$tenant.env"; done
bring_up
for n in 0 1; do
  KERNEL="$(container "${tenants[n]}" kernel)" PATH="$work/bin:$PATH" PK_URL="http://localhost:${ports[n * 2 + 1]}" \
    bash -euo pipefail "$work/tour" >"$work/toured" 2>&1 || { tail -n 15 "$work/toured" >&2; stop "the tour ends early in ${tenants[n]}."; }
  grep -qF "travel: 2500 cents" "$work/toured" || stop "the tour in ${tenants[n]} moved no money."
  grep -qF "the 26th: 402" "$work/toured" || stop "the tour in ${tenants[n]} hit no limit."
  pass "the tour runs in ${tenants[n]}"
done
take_down

# --- The parts alone, as a developer starts them.
stack=(--progress quiet -p pk-test-parts --env-file docker/versions.env -f docker/docker-compose.yml -f docker/docker-compose.ci.yml)
for port in 5432 6379 9092; do
  ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { say "port $port is taken on this machine: the parts alone are not started."; echo "$passed passed, 0 failed"; exit 0; }
done
docker compose "${stack[@]}" up -d --wait --no-build --pull never postgres valkey kafka >"$work/parts" 2>&1 || { cat "$work/parts" >&2; docker compose "${stack[@]}" logs --tail 15 >&2; stop "the parts alone do not come up."; }
for port in 5432 6379 9092; do (: <"/dev/tcp/127.0.0.1/$port") || stop "port $port of the parts alone does not answer."; done
docker run --rm --network host --entrypoint /opt/kafka/bin/kafka-topics.sh "apache/kafka:$KAFKA_VERSION" --bootstrap-server localhost:9092 --create --topic told --partitions 3 >/dev/null 2>&1 \
  || stop "a client on this machine can't use the Kafka of docker-compose.yml."
docker compose "${stack[@]}" down -v >/dev/null 2>&1
pass "the parts alone, with their ports on this machine and memory in place of volumes"

echo "$passed passed, 0 failed"
