"""Where the template and the workers' artifacts are: in the installed package, in the source tree, or where told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["ARCHITECTURES", "artifact_names", "artifacts", "scheduler_artifact", "template"]

ARCHITECTURES = ("x86_64", "arm64")
"""As AWS Lambda calls them."""

_HERE = Path(__file__).resolve().parent
_TREE = _HERE.parents[2]  # of a checkout: python/terality/deploy


def template(given: str | None = None) -> Path:
    """Give the path of the CloudFormation template.

    Parameters
    ----------
    given : str, optional
        A file to take instead of the one that belongs to this version.

    Raises
    ------
    FileNotFoundError
        It is nowhere; the text names the places.
    """
    if given:
        places = [Path(given)]
    else:
        places = [_HERE / "aws" / "template.yaml", _TREE / "deploy" / "aws" / "template.yaml"]
    return _first(places, Path.is_file, "the CloudFormation template")


def artifact_names(architectures: Iterable[str] = ARCHITECTURES) -> list[str]:
    """Give the names of the artifacts of some architectures: the zip for Lambda, the tar for EC2 and the image."""
    return [f"worker-{architecture}{end}" for architecture in architectures for end in (".zip", ".tar.gz")]


def scheduler_artifact(architecture: str) -> str:
    """Give the name of the scheduler's artifact."""
    return f"scheduler-{architecture}.tar.gz"


def artifacts(given: str | None = None) -> Path:
    """Give the folder of the workers' artifacts: `given`, ``TERALITY_ARTIFACTS``, the package's, or the tree's.

    Raises
    ------
    FileNotFoundError
        No folder has any; the text says how they are made.
    """
    named = given or os.environ.get("TERALITY_ARTIFACTS")
    places = [Path(named)] if named else [_HERE / "artifacts", _TREE / "out" / "artifacts"]

    def has_some(place: Path) -> bool:
        return any((place / name).is_file() for name in artifact_names())

    return _first(places, has_some, "the workers' artifacts (python -m terality.deploy.artifacts makes them)")


def _first(places: list[Path], good: Callable[[Path], bool], what: str) -> Path:
    for place in places:
        if good(place):
            return place
    raise FileNotFoundError(f"{what}: not at {' and not at '.join(map(str, places))}")
