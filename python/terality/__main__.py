"""``python -m terality script.py …``: runs an unmodified pandas program on the engine."""

from __future__ import annotations

import os
import runpy
import sys

import terality


def main(argv: list[str]) -> int:
    """Run a script (or ``-m module``) with pandas routed to the engine.

    Parameters
    ----------
    argv : list of str
        The script and its own arguments, or ``-m``, a module and its arguments.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m terality script.py [arguments]\n       python -m terality -m module [arguments]")
        return 0 if argv else 2
    terality.install()
    if argv[0] == "-m":
        if len(argv) < 2:
            print("terality: -m needs a module", file=sys.stderr)
            return 2
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        return 0
    if not os.path.exists(argv[0]):
        print(f"terality: cannot run {argv[0]!r}: no such file", file=sys.stderr)
        return 2
    sys.argv = argv
    sys.path[0] = os.path.dirname(os.path.abspath(argv[0]))
    runpy.run_path(argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
