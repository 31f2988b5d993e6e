#!/bin/sh
# meson setup, or a reconfiguration when the options or the list of test folders (which meson takes from the
# tree) have changed: configure.sh BUILD_DIR MESON_OPTIONS…
set -eu
cd "$(dirname "$0")/.."
dir=$1
shift
key=$({ echo "$@"; find tests/unit tests/fuzz -name meson.build | sort; find python -type d ! -name __pycache__ | sort; } |
  sha256sum)
[ "$(cat "$dir/.configured" 2>/dev/null)" = "$key" ] && exit 0
log=$(mktemp)
if ! { [ -f "$dir/build.ninja" ] && meson setup --reconfigure "$dir" "$@" >"$log" 2>&1; }; then
  rm -rf "$dir"
  meson setup "$dir" "$@" >"$log" 2>&1 || { cat "$log"; exit 1; }
fi
rm -f "$log"
echo "$key" >"$dir/.configured"
