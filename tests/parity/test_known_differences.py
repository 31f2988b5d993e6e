"""Each difference of docs/differences.md still exists; a test that fails here means a line to remove there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas
import pytest
import terality

from .programs import mode


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    with mode("native"):
        yield


def test_transform_without_groups() -> None:
    frame = pandas.DataFrame({"k": [np.nan], "v": [1.0]})
    assert frame.groupby("k")[["v"]].transform("first")["v"].isna().all()
    with mode("off"), pytest.raises(IndexError, match="cannot do a non-empty take from an empty axes"):
        terality.to_pandas(frame).groupby("k")[["v"]].transform("first")


def test_memory_of_text() -> None:
    """A slice of a text column keeps more bytes in pandas than the same text made anew."""
    frame = pandas.DataFrame({"s": [f"text number {i}" for i in range(9)]})
    ours = frame[frame["s"] > "text number 4"].memory_usage(index=False)["s"]
    with mode("off"):
        plain = terality.to_pandas(frame)
        theirs = plain.iloc[5:].memory_usage(index=False)["s"]
    assert ours != theirs


def test_ties_of_quicksort() -> None:
    frame = pandas.DataFrame({"k": np.tile([2, 1, 0], 400), "v": np.arange(1200)})
    ours = terality.to_pandas(frame.sort_values("k"))
    with mode("off"):
        plain = terality.to_pandas(frame)
        assert ours.equals(plain.sort_values("k", kind="stable"))
        assert not ours.equals(plain.sort_values("k"))
