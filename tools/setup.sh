#!/bin/sh
# Installs everything a build or test needs: Debian packages, a virtualenv, pinned Python packages.
#
# Only what is missing is installed, so a second run takes a fraction of a second. Without root or sudo the
# exact apt line is printed and the script stops. VENV names the virtualenv (default .venv), PYTHON the
# interpreter it is made from.
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

find_python() {
  for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if command -v "$python" >/dev/null && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      command -v "$python"
      return
    fi
  done
}

# Debian splits the standard library; an interpreter from elsewhere has these parts already.
python_packages() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || echo python3-dev
}

missing_packages() {
  { sed -e 's/#.*//' -e '/^ *$/d' tools/apt-packages.txt; python_packages "$1"; } | while read -r package; do
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
    'install ok installed') ;;
    *) printf '%s ' "$package" ;;
    esac
  done
}

install_packages() {
  if [ "$(id -u)" = 0 ]; then
    root=
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    root=sudo
  else
    die "these Debian packages are missing, and neither root nor sudo is available. Run this, then try again:
  apt-get update && apt-get install -y --no-install-recommends $*"
  fi
  say "apt-get install $*"
  log=$(mktemp)
  # The package lists may be absent or old: they are fetched only when the first try fails.
  if ! $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1; then
    say "package lists are absent or old: apt-get update, then once more"
    $root apt-get update >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed"; }
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 ||
      { cat "$log" >&2; die "apt-get install failed"; }
  fi
  rm -f "$log"
}

# The stamp lives in the virtualenv, so removing that removes the stamp too.
install_python() {
  key=$({ cat tools/requirements.txt tools/requirements-deploy.txt; "$1" -c 'import sys; print(sys.version)'; } | sha256sum | cut -c1-16)
  stamp=$VENV/.stamps/requirements-$key
  [ -e "$stamp" ] && return
  if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    say "virtualenv $VENV with $1"
    [ ! -e "$VENV/pyvenv.cfg" ] || rm -rf "$VENV"
    "$1" -m venv "$VENV"
  fi
  say "pip install -r tools/requirements.txt -r tools/requirements-deploy.txt"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 \
    -r tools/requirements.txt -r tools/requirements-deploy.txt
  mkdir -p "$VENV/.stamps"
  touch "$stamp"
}

mkdir -p .stamps
exec 9>.stamps/setup.lock
flock 9
python=$(find_python)
[ -n "$python" ] || die "Python 3.11 or newer is needed: apt-get install python3"
if command -v dpkg-query >/dev/null; then
  missing=$(missing_packages "$python")
  # shellcheck disable=SC2086 # one argument per package is meant
  [ -z "$missing" ] || install_packages $missing
else
  say "not a Debian machine: the libraries of tools/apt-packages.txt are taken to be there"
fi
install_python "$python"
