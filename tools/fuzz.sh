#!/bin/sh
# Builds tests/fuzz with clang's libFuzzer under ASan+UBSan and runs each target for FUZZ_SECONDS (default 60).
#
# A target is a program BUILD/fuzz/tests/fuzz/NAME/fuzz_NAME (or one of several there); what it finds new goes to
# out/fuzz/, the committed corpus in tests/fuzz/corpus/fuzz_NAME is only read. Inputs that fail are kept in
# out/fuzz/findings. Words that a target's inputs have are in tests/fuzz/FOLDER/fuzz_NAME.dict, where there is one.
# TARGETS limits the run to some names.
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
if [ -z "$(find tests/fuzz -mindepth 2 -name meson.build 2>/dev/null)" ]; then
  echo "fuzz: no targets in tests/fuzz yet"
  exit 0
fi
PATH=$(cd "${VENV:-.venv}/bin" && pwd):$PATH
CC=clang
CXX=clang++
export PATH CC CXX
tools/configure.sh "$BUILD/fuzz" -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
  -Dfuzzers=true -Dpython=false
programs=$(for name in ${TARGETS:-}; do echo "tests/fuzz/$name"; done)
# shellcheck disable=SC2086 # names of targets, or none for all
ninja -C "$BUILD/fuzz" ${JOBS:+-j"$JOBS"} --quiet $programs
mkdir -p out/fuzz/findings
status=0
for program in $(find "$BUILD/fuzz/tests/fuzz" -type f -name 'fuzz_*' -perm -u+x | sort); do
  name=$(basename "$program")
  case " ${TARGETS:-$name} " in *" $name "*) ;; *) continue ;; esac
  mkdir -p "out/fuzz/$name"
  set -- "out/fuzz/$name"
  [ -d "tests/fuzz/corpus/$name" ] && set -- "$@" "tests/fuzz/corpus/$name"
  words=$(find tests/fuzz -name "$name.dict")
  echo "fuzz: $name for ${FUZZ_SECONDS:-60} s"
  "$program" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 \
    ${words:+-dict="$words"} -artifact_prefix="out/fuzz/findings/$name-" "$@" || status=1
done
[ $status = 0 ] && echo "fuzz: nothing found" || echo "fuzz: findings are in out/fuzz/findings"
exit $status
