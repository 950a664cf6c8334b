#!/usr/bin/env bash
# Makes the data folder at the first start, as POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB say, then becomes the server.
set -euo pipefail

# secret <name>: from the variable, else from the file that <name>_FILE names.
secret() {
  local file="$1_FILE"
  if [ -n "${!1:-}" ] && [ -n "${!file:-}" ]; then
    echo "error: both $1 and $file are set (but are exclusive)" >&2
    exit 1
  fi
  if [ -n "${!file:-}" ]; then cat "${!file}"; else printf '%s' "${!1:-}"; fi
}

[ "${1#-}" = "$1" ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
  if [ "$(id -u)" = 0 ]; then
    install -d -o postgres -m 700 "$PGDATA"
    chown postgres "$PGDATA" /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
  fi
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA" || true
  if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password="$(secret POSTGRES_PASSWORD)"
    user="$(secret POSTGRES_USER)"
    user="${user:-postgres}"
    database="$(secret POSTGRES_DB)"
    database="${database:-$user}"
    if [ -z "$password" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
      echo "Error: Database is uninitialized and superuser password is not specified." >&2
      exit 1
    fi
    # shellcheck disable=SC2086 # arguments
    initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    # Until the database is there it listens on its socket alone.
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    export PGPASSWORD="$password"
    [ "$database" = postgres ] || psql -v ON_ERROR_STOP=1 --username "$user" --no-password --dbname postgres --set database="$database" <<<'create database :"database";'
    for file in /docker-entrypoint-initdb.d/*; do
      case "$file" in
        *.sh) "$file" ;;
        *.sql) psql -v ON_ERROR_STOP=1 --username "$user" --no-password --dbname "$database" --file "$file" ;;
      esac
    done
    unset PGPASSWORD
    pg_ctl -D "$PGDATA" -m fast -w stop
  fi
fi
exec "$@"
