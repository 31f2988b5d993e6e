#!/bin/sh
# Runs the driver of a folder (bench, tests/suite) with the built package: `python -m` of its __main__.py, or its
# run.py; says so when there is none yet. ARGS is passed on.
set -eu
cd "$(dirname "$0")/.."
if [ -f "$1/__main__.py" ]; then
  set -- -m "$(echo "$1" | tr / .)"
elif [ -f "$1/run.py" ]; then
  set -- "$1/run.py"
else
  echo "$1 has no driver yet: nothing to run"
  exit 0
fi
echo "running python $* ${ARGS:-}"
# shellcheck disable=SC2086 # ARGS is a list of words
exec "${VENV:-.venv}/bin/python" "$@" ${ARGS:-}
