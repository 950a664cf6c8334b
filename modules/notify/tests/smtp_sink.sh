#!/usr/bin/env bash
# A mail server for tests: aiosmtpd, kept in the folder given. Says its port, then each mail as a line of JSON. It puts
# `later@…` off once and refuses `refused@…` for good.
set -euo pipefail
packages="$1"
(
  flock 9
  if [ ! -d "$packages/aiosmtpd" ]; then
    python3 -m pip install --quiet --disable-pip-version-check --target "$packages" aiosmtpd==1.4.6 >&2
  fi
) 9>"$packages.lock"
exec env PYTHONPATH="$packages" python3 "$(dirname "$0")/smtp_sink.py"
