#!/bin/sh
# Looks at style and types without changing anything, or with --fix rewrites what a formatter can.
#
# Every check runs even when an earlier one fails; the status tells whether all were clean.
set -u
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
bad=0
check() {
  printf 'lint: %s\n' "$1"
  shift
  "$@" || bad=1
}
folders=
for folder in python tools tests bench examples; do
  [ -d "$folder" ] && folders="$folders $folder"
done
c_files() { find src tests -name '*.[ch]' -o -name '*.cc' -o -name '*.hpp' | sort; }
format_c() { c_files | xargs -r clang-format --style=file -i; }
# Names the files only: the formatter's own report is one message per blank.
unformatted_c() {
  found=$(c_files | while read -r file; do
    clang-format --style=file --dry-run -Werror "$file" 2>/dev/null || echo "$file: clang-format would change it"
  done)
  [ -z "$found" ] || { echo "$found"; return 1; }
}

# shellcheck disable=SC2086 # folders is a list of words
if [ "${1:-}" = --fix ]; then
  check "ruff check --fix" "$VENV/bin/ruff" check --quiet --fix $folders
  check "ruff format" "$VENV/bin/ruff" format --quiet $folders
  check "clang-format -i" format_c
else
  check "ruff check" "$VENV/bin/ruff" check --quiet --output-format concise $folders
  check "ruff format --check" "$VENV/bin/ruff" format --check --output-format concise $folders
  check "clang-format --dry-run" unformatted_c
  if [ -n "$(find python/terality -name '*.py' 2>/dev/null | head -1)" ]; then
    check "mypy python/terality" "$VENV/bin/mypy" --no-error-summary python/terality
  fi
  check "floors" "$VENV/bin/python" tools/check_floors.py
fi
[ $bad = 0 ] && echo "lint: clean"
exit $bad
