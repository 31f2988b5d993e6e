"""Makes the workers' artifacts: ``python -m terality.deploy.artifacts [--arch x86_64|arm64] [--out FOLDER]``.

They are compiled, so this needs a source tree of terality; an installed package has none, and takes artifacts that were
made elsewhere (``terality deploy aws --artifacts FOLDER``, ``TERALITY_ARTIFACTS``).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["main"]


def _tool() -> Path | None:
    """tools/artifacts.py of the tree in which, or from which, this runs."""
    for tree in (Path.cwd(), *Path(__file__).resolve().parents):
        tool = tree / "tools" / "artifacts.py"
        if tool.is_file() and (tree / "src" / "worker").is_dir():
            return tool
    return None


def main(arguments: list[str] | None = None) -> int:
    """Run the tool of the source tree.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the tool; the command line's by default.

    Returns
    -------
    int
        Its exit status; 2 when there is no source tree.
    """
    tool = _tool()
    if tool is None:
        print(
            "terality: artifacts are made from a source tree: run this in a checkout, or name a folder that has them "
            "(--artifacts, TERALITY_ARTIFACTS)",
            file=sys.stderr,
        )
        return 2
    given = sys.argv[1:] if arguments is None else arguments
    return subprocess.run([sys.executable, str(tool), *given], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
