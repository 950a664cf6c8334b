#!/usr/bin/env bash
# The console: its packages, its build, its tests.
#
#   tools/console.sh build    web/dist, anew only when something in web/ has changed
#   tools/console.sh built    whether web/dist is up to date
#   tools/console.sh test     unit tests
#   tools/console.sh e2e      Chromium against the program at PLATFORM_KERNEL_BIN
set -euo pipefail
cd "$(dirname "$0")/../web"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
say() { printf 'console: %s\n' "$*" >&2; }

# Vite wants Node 20.19 or newer; where the system's is older, the npm package `node` brings one.
new_enough() { "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; }
choose_node() {
  command -v npm >/dev/null 2>&1 || { say "npm is missing: install it (Debian: apt-get install npm)."; exit 1; }
  new_enough "$(type -P node || echo none)" && return
  local own="$cache/node/node_modules/node/bin"
  if ! new_enough "$own/node"; then
    say "a newer node is wanted; fetching node 22 into $cache/node, once"
    mkdir -p "$cache/node"
    npm install --silent --no-audit --no-fund --prefix "$cache/node" node@22
  fi
  PATH="$own:$PATH"
}

built() {
  [ -s dist/index.html ] && [ -z "$(find src build index.html vite.config.ts package-lock.json -newer dist/index.html -print -quit)" ]
}

packages() {
  choose_node
  if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --silent --no-audit --no-fund
    touch node_modules/.package-lock.json
  fi
}

case "${1:-build}" in
  build)
    if ! built; then
      packages
      npm run --silent build >&2
      touch dist/index.html
    fi
    ;;
  built) built ;;
  test)
    packages
    npm run --silent check && npm test --silent
    ;;
  e2e)
    packages
    export CHROMIUM="${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}"
    [ -n "$CHROMIUM" ] || { say "Chromium is missing: install it (Debian: apt-get install chromium) or set CHROMIUM."; exit 1; }
    npm run --silent e2e
    ;;
  *) say "build, built, test or e2e"; exit 2 ;;
esac
