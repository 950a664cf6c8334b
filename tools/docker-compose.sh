#!/usr/bin/env bash
# Prints a folder for DOCKER_CONFIG in which `docker compose` is version 2, as people have it: compiled once, pinned, from its
# Go module into the cache. That wants Go 1.24.
set -euo pipefail
version="v2.40.3"
place="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel/docker-config"
plugin="$place/cli-plugins/docker-compose"
say() { printf 'docker-compose: %s\n' "$*" >&2; }
if ! "$plugin" version --short 2>/dev/null | grep -qxF "${version#v}"; then
  command -v go >/dev/null 2>&1 || { say "Go is needed to compile Docker Compose $version: install Go 1.24 or newer (https://go.dev/dl)."; exit 1; }
  say "compiling Docker Compose $version into $place, once"
  work="$(mktemp -d "${TMPDIR:-/tmp}/docker-compose.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  # `go install` refuses a module with exclude lines; as a dependency of another it builds.
  go mod init compose >&2
  go get "github.com/docker/compose/v2/cmd@$version" >&2
  mkdir -p "$(dirname "$plugin")"
  go build -mod=mod -trimpath -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=${version#v}" -o "$plugin.new" github.com/docker/compose/v2/cmd >&2
  mv "$plugin.new" "$plugin"
fi
printf '%s\n' "$place"
