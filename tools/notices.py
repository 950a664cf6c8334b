#!/usr/bin/env python3
"""Writes the list of crates in NOTICES.md: those linked into the program, with their licences and copyright lines.

    tools/notices.py            writes
    tools/notices.py --check    says what would change, exit code 1 if anything
"""
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "NOTICES.md"
BEGIN, END = "<!-- crates: written by tools/notices.py -->", "<!-- end of crates -->"
TARGET = "x86_64-unknown-linux-gnu"
# A line that names an owner; not the licences' own sentences about copyright.
OWNER = re.compile(r"^\W*(?:©|\(c\)|copyright\b.*(?:©|\(c\)|\d{4}|the\b.*(?:authors|contributors|developers|project)))", re.IGNORECASE)
SENTENCE = re.compile(r"notice|license|grant|permission|holder|\[yyyy\]|\{yyyy\}|law|you must|retain", re.IGNORECASE)


def linked(metadata):
    """Packages of other people that end up in the program, found along normal dependencies; macros run before."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(p["id"] for p in metadata["packages"] if p["name"] == "platform-kernel")
    seen, waiting = set(), [root]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for dependency in nodes[current]["deps"]:
            package = packages[dependency["pkg"]]
            is_macro = any("proc-macro" in target["kind"] for target in package["targets"])
            if not is_macro and any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return sorted((packages[i] for i in seen if packages[i]["source"]), key=lambda p: (p["name"], p["version"]))


def owners(package):
    folder = Path(package["manifest_path"]).parent
    lines = []
    for file in sorted(folder.iterdir()):
        if not re.match(r"(?i)(licen[cs]e|copying|copyright|notice)", file.name) or not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            line = " ".join(line.strip(" \t*/#;-").split())
            if OWNER.match(line) and not SENTENCE.search(line) and len(line) < 160 and line not in lines:
                lines.append(line)
    return lines[:4] or [", ".join(package["authors"][:3]) or f"the authors of {package['name']}"]


def table():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    rows = ["| Crate | Licence | Copyright |", "|---|---|---|"]
    for package in linked(metadata):
        name = f"{package['name']} {package['version']}"
        text = "; ".join(owners(package)).replace("|", "\\|")
        rows.append(f"| {name} | {package['license']} | {text} |")
    return "\n".join(rows)


def main():
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    fresh = f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"
    if fresh == page:
        return 0
    if "--check" in sys.argv:
        print("NOTICES.md is not up to date: run `make notices`", file=sys.stderr)
        return 1
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
