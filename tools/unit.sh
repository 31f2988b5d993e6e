#!/bin/sh
# Builds and runs the cmocka tests in a build folder of their own: `unit.sh plain` or `unit.sh tsan`.
set -eu
cd "$(dirname "$0")/.."
case ${1:-plain} in
plain) set -- "${BUILD:-build}/unit" -Dbuildtype=debugoptimized -Dwerror=true ;;
tsan) set -- "${BUILD:-build}/tsan" -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false ;;
*) echo "usage: unit.sh plain|tsan" >&2; exit 2 ;;
esac
PATH=$(cd "${VENV:-.venv}/bin" && pwd):$PATH
export PATH
echo "unit: C unit tests in $1"
tools/configure.sh "$@" -Dunit_tests=true -Dpython=false
ninja -C "$1" ${JOBS:+-j"$JOBS"} --quiet
# Tests fork with threads alive, which ThreadSanitizer refuses unless told otherwise.
TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0 \
  meson test -C "$1" --no-rebuild --print-errorlogs --timeout-multiplier 4 --num-processes "${JOBS:-2}"
