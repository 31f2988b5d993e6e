#!/bin/sh
# Builds kernels.c with the engine's floors below it and runs it: bench/kernels/run.sh [rows] [threads] [name]
set -e
cd "$(dirname "$0")/../.."
out=${TMPDIR:-/tmp}/terality-bench-kernels
sources="src/base/*.c src/meta/type/*.c src/data/col/*.c src/data/kern/take/*.c src/data/kern/sort/*.c src/data/kern/join/*.c"
# shellcheck disable=SC2086
${CC:-cc} -O3 -g -std=gnu17 -D_GNU_SOURCE -fno-strict-aliasing -Isrc bench/kernels/kernels.c $sources -o "$out" -lpthread -lm
exec "$out" "$@"
