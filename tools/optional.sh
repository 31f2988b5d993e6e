#!/bin/sh
# Runs a driver of bench/ or tests/suite/ with the built package, or says that there is none yet. ARGS is passed on.
set -eu
cd "$(dirname "$0")/.."
if [ ! -f "$1" ]; then
  echo "$1 does not exist yet: nothing to run"
  exit 0
fi
echo "running $1 ${ARGS:-}"
# shellcheck disable=SC2086 # ARGS is a list of words
exec "${VENV:-.venv}/bin/python" "$1" ${ARGS:-}
