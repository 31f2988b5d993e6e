#!/bin/sh
# Installs terality from this tree into the virtualenv, through meson-python.
#
# Compiling is incremental (BUILD/py is kept), and nothing at all is done while no source has changed.
# VENV, BUILD: where; JOBS: how many compilers at a time (default: ninja's choice).
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
BUILD=${BUILD:-build}
mkdir -p .stamps "$VENV/.stamps"
exec 9>".stamps/build-$(printf %s "$VENV" | sha256sum | cut -c1-8).lock"
flock 9
[ ! -d deploy ] || deploy=deploy
key=$(find src python ${deploy:-} docs/openapi.json meson.build meson.options pyproject.toml -type f ! -path '*/__pycache__/*' -print0 |
  sort -z | xargs -0 sha256sum | sha256sum | cut -c1-32)
stamp=$VENV/.stamps/terality
if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && [ -x "$VENV/bin/python" ]; then
  echo "build: terality in $VENV is up to date"
  exit 0
fi
echo "build: compiling in $BUILD/py, installing terality into $VENV"
rm -f "$stamp"
PATH=$(cd "$VENV/bin" && pwd):$PATH
export PATH
python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
  --config-settings=build-dir="$BUILD/py" ${JOBS:+--config-settings=compile-args=-j$JOBS} .
echo "$key" >"$stamp"
