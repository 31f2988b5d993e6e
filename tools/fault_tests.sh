#!/bin/sh
# Runs of a query while processes are killed at each step of a commit, and the store and the network misbehave: ARGS as
# `python -m tests.fault --help` tells.
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
echo "fault-tests: versitygw and toxiproxy are built by Go when they are not in the cache yet"
# shellcheck disable=SC2086
exec "$VENV/bin/python" -m tests.fault ${ARGS:-}
