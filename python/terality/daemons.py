"""Where the daemons are that come with the package: ``terality-scheduler`` and ``terality-worker``."""

from __future__ import annotations

import os
from pathlib import Path

NAMES = ("terality-scheduler", "terality-worker")


def path(name: str) -> Path:
    """
    Give the full path of a daemon.

    Parameters
    ----------
    name : str
        ``"terality-scheduler"`` or ``"terality-worker"``.

    Returns
    -------
    pathlib.Path
        The program in the installed package, or in the folder that ``TERALITY_BIN`` names.

    Raises
    ------
    ValueError
        If there is no daemon of this name.
    FileNotFoundError
        If the package was installed without it.
    """
    if name not in NAMES:
        raise ValueError(f"no daemon is called {name!r}; there are {' and '.join(NAMES)}")
    folder = os.environ.get("TERALITY_BIN")
    program = (Path(folder) if folder else Path(__file__).parent / "bin") / name
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{program} is not there: install terality again")
    return program
