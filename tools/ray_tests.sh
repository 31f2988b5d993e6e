#!/bin/sh
# Tests of workers on a Ray cluster, in a virtualenv of their own inside VENV that sees all of VENV's packages: Ray is
# large, and nothing else needs it.
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
dir=$VENV/ray
stamp=$dir/requirements-$(sha256sum tools/requirements-ray.txt | cut -c1-16)
if [ ! -e "$stamp" ]; then
  echo "ray-tests: virtualenv $dir, pip install -r tools/requirements-ray.txt"
  "$VENV/bin/python" -m venv --clear "$dir"
  site='import sysconfig; print(sysconfig.get_path("purelib"))'
  echo "import site; site.addsitedir('$("$VENV/bin/python" -c "$site")')" >"$("$dir/bin/python" -c "$site")/outer.pth"
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check -r tools/requirements-ray.txt
  touch "$stamp"
fi
exec "$dir/bin/python" -m pytest -q tests/cluster/test_ray.py
