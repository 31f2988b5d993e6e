#!/bin/sh
# Tests against real servers beyond the one of `make test`: the stores' contract and the readers on SeaweedFS and Azurite.
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
PATH=$(cd "$VENV/bin" && pwd):$PATH
export PATH
dir=${BUILD:-build}/unit
echo "cluster-tests: the stores' contract and the readers against SeaweedFS and Azurite (installed on first use)"
tools/configure.sh "$dir" -Dbuildtype=debugoptimized -Dwerror=true -Dunit_tests=true -Dpython=false
ninja -C "$dir" ${JOBS:+-j"$JOBS"} --quiet tests/unit/store/test_store
TERALITY_STORE_TEST="$dir/tests/unit/store/test_store" "$VENV/bin/python" -m pytest -q -m cluster tests/store
