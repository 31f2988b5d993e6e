"""A cluster on this machine, and plans that run on it whatever their size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import terality
from terality.cluster.processes import LocalCluster

from tests.store import servers

TINY = {"target_rows": 40, "partitions": 4, "broadcast_rows": 10}
"""Options under which a few hundred rows make several tasks of every stage."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with open(folder / "log", "wb") as log, LocalCluster(2, str(folder / "store"), folder / "data", log=log) as running:
        running.folder = folder
        yield running


@pytest.fixture
def session(cluster: LocalCluster) -> Iterator[Any]:
    mode = terality.options.mode
    terality.options.mode = "native"
    made = connect(cluster)
    yield made
    terality.disconnect()
    terality.options.mode = mode


def connect(cluster: LocalCluster, **options: int) -> Any:
    """Connect to a cluster so that everything runs there, in small pieces."""
    p = cluster.profile
    return terality.connect(
        p.url, api_key=p.api_key, deployment=p.deployment, store=p.store, options={**TINY, **options}, min_rows=0
    )


def logs(cluster: Any) -> str:
    """What the daemons of a cluster wrote."""
    return Path(cluster.folder / "log").read_text(errors="replace")


@pytest.fixture
def both() -> Callable[[Callable[[Any], Any], dict[str, Any]], None]:
    """Run a function over frames by pandas and natively, and compare."""

    def compare(function: Callable[..., Any], frames: dict[str, Any]) -> None:
        import pandas as pd

        terality.options.mode = "off"
        expected = function(**{name: frame.copy() for name, frame in frames.items()})
        terality.options.mode = "native"
        got = terality.to_pandas(function(**{name: terality.from_pandas(frame) for name, frame in frames.items()}))
        check = pd.testing.assert_frame_equal if isinstance(expected, pd.DataFrame) else pd.testing.assert_series_equal
        check(got, expected, rtol=1e-12)

    return compare


@pytest.fixture(scope="module")
def versitygw() -> Iterator[servers.Server]:
    try:
        with servers.versitygw() as server:
            yield server
    except servers.Unavailable as error:
        pytest.skip(f"versitygw: {error}")
