"""A virtual environment per engine, made by pip on first use, so that no engine lends another its libraries."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINNED = {
    "pandas": ["pandas==3.1.1", "numpy==2.4.6", "pyarrow==26.0.1"],
    "polars": ["polars==2.1.0"],
    "duckdb": ["duckdb==2.0.0"],
    "boto3": ["boto3==1.44.5"],
    "obstore": ["obstore==0.12.1"],
}


def interpreter(engine: str) -> str:
    """Give the Python that runs an engine; for terality (and unknown names) that is this one.

    A pinned version that no longer installs is replaced by the newest that does; results carry the version used.
    """
    if engine not in PINNED:
        return sys.executable
    home = ROOT / ".tools" / f"venv-{engine}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        print(f"bench: {home.relative_to(ROOT)}: pip install {' '.join(PINNED[engine])}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*install, *PINNED[engine]]).returncode:
            print(f"bench: these versions do not install here, taking the newest of {engine}", flush=True)
            subprocess.run([*install, *(p.split("==")[0] for p in PINNED[engine])], check=True)
        (home / "complete").touch()
    return str(python)
