#!/bin/sh
# Becomes the server, as the user valkey, in the folder of its data.
set -e

case "$1" in -* | *.conf) set -- valkey-server "$@" ;; esac
if [ "$1" = valkey-server ]; then
  if [ "$(id -u)" = 0 ]; then
    chown valkey .
    exec setpriv --reuid=valkey --regid=valkey --clear-groups -- "$0" "$@"
  fi
  [ -w . ] || { echo "error: directory is not writable by current user ($(id -u))" >&2; exit 1; }
  # The image's own build has this as its default: who reaches the port was let through by Docker.
  set -- "$@" --protected-mode no
fi
[ "$(umask)" != 0022 ] || umask 0077
# shellcheck disable=SC2086 # flags
exec "$@" $VALKEY_EXTRA_FLAGS
