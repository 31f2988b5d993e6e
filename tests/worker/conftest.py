"""Fixtures: a scheduler with short leases, real workers on a folder, this process connected to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest
import terality

from .cluster import Cluster

ROWS = 40_000


def in_mode(mode: str, made: Cluster) -> Iterator[Cluster]:
    before = terality.options.mode
    terality.options.mode = mode
    yield made
    terality.options.mode = before
    made.stop()


@pytest.fixture
def cluster(tmp_path):
    yield from in_mode("native", Cluster(tmp_path))


@pytest.fixture(scope="session")
def table() -> pandas.DataFrame:
    rng = np.random.default_rng(4)
    texts = pandas.array(rng.choice(["a", "bb", "ccc", "dddd"], ROWS), dtype="str")
    return pandas.DataFrame({"k": rng.integers(0, 50, ROWS), "v": rng.random(ROWS), "s": texts})


@pytest.fixture
def path(tmp_path, table) -> Path:
    """The table in four row groups."""
    table.to_parquet(tmp_path / "t.parquet", row_group_size=10_000)
    return tmp_path / "t.parquet"
