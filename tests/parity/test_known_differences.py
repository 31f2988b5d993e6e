"""Each difference of docs/differences.md still exists; a test that fails here means a line to remove there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    """Slices of a text column share their buffers in pandas; what the engine gives is made for the rows it has."""
    frame = pandas.DataFrame({"s": ["a", "b", "text number 3"]})
    ours = frame[frame["s"] != "b"].memory_usage(index=False)["s"]
    with mode("off"):
        plain = terality.to_pandas(frame)
        theirs = plain[plain["s"] != "b"].memory_usage(index=False)["s"]
    assert ours != theirs


def test_ties_of_quicksort() -> None:
    frame = pandas.DataFrame({"k": np.tile([2, 1, 0], 400), "v": np.arange(1200)})
    ours = terality.to_pandas(frame.sort_values("k"))
    with mode("off"):
        plain = terality.to_pandas(frame)
        assert ours.equals(plain.sort_values("k", kind="stable"))
        assert not ours.equals(plain.sort_values("k"))


def test_levels_in_use() -> None:
    frame = pandas.DataFrame({"a": [2, 1], "b": [3, 4]})
    with mode("off"):
        theirs = terality.to_pandas(frame).groupby(["a", "b"], sort=False).size()
        fewer = theirs.tail(1)
    counts = frame.groupby(["a", "b"], sort=False).size()
    ours = terality.to_pandas(counts), terality.to_pandas(counts.tail(1))
    assert [list(level) for level in theirs.index.levels] == [[2, 1], [3, 4]]
    assert [list(level) for level in ours[0].index.levels] == [[1, 2], [3, 4]]
    assert len(fewer.index.levels[0]) == 2
    assert len(ours[1].index.levels[0]) == 1


def test_class_of_labels_picked_twice() -> None:
    """Only running the filter alone would tell whether its labels were equally spaced."""
    frame = pandas.DataFrame({"a": [1, 2, 3, 4]})
    ours = frame[frame["a"] != 3].head(2)
    with mode("off"):
        plain = terality.to_pandas(frame)
        theirs = plain[plain["a"] != 3].head(2)
    assert type(theirs.index) is pandas.Index
    assert type(ours.index) is pandas.RangeIndex
    known = frame[frame["a"] != 3]
    assert type(known.index) is type(known.head(2).index) is pandas.Index
    assert type(frame.set_index("a").head(2).index) is pandas.Index
    with mode("off"):
        assert type(plain.set_index("a").head(2).index) is pandas.RangeIndex


def test_blocks_narrow_apart() -> None:
    """A column that is added later is a block of its own."""

    def sums(frame: pandas.DataFrame) -> list[str]:
        frame["b"] = np.array([1, 1], "uint8")
        return list(map(str, frame.groupby("k")[["a", "b"]].sum().dtypes))

    frame = pandas.DataFrame({"k": [1, 1], "a": np.array([254, 10], "uint8")})
    with mode("off"):
        assert sums(frame.copy()) == ["uint64", "uint8"]
    assert sums(frame.copy()) == ["uint64", "uint64"]


def test_column_complained_of(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    pandas.DataFrame({"s": ["a"], "t": pandas.to_datetime(["2020-01-01"])}).to_parquet(path)
    with pytest.raises(TypeError, match="string"):
        terality.read_parquet(path).prod()
    with mode("off"), pytest.raises(TypeError, match="DatetimeArray"):
        pandas.read_parquet(path).prod()


def test_squares_of_float32() -> None:
    frame = pandas.DataFrame({"a": np.array([1e22, 1.0], "float32")})
    assert np.isfinite(frame["a"].std())
    with mode("off"):
        assert np.isinf(terality.to_pandas(frame)["a"].std())


def test_correlation_of_tiny_spreads() -> None:
    frame = pandas.DataFrame({"k": [1, 1, 1], "v": [0.0, 1e-170, 2e-170]})

    def squared(group: pandas.DataFrame) -> pandas.Series:
        return pandas.Series({"c": group["v"].corr(group["v"]) ** 2})

    ours = terality.to_pandas(frame.groupby("k").apply(lambda g: pandas.Series({"c": g["v"].corr(g["v"]) ** 2})))
    assert np.isnan(ours["c"].iloc[0])
    with mode("off"):
        theirs = terality.to_pandas(frame).groupby("k").apply(squared)
    assert theirs["c"].iloc[0] > 0.99


def test_rank_of_large_integers() -> None:
    frame = pandas.DataFrame({"k": ["a", "a", None], "v": np.array([2**63 - 2, 2**63 - 1, 1])})
    assert list(frame.groupby("k")["v"].rank())[:2] == [1.0, 2.0]
    with mode("off"):
        assert list(terality.to_pandas(frame).groupby("k")["v"].rank())[:2] == [1.5, 1.5]


def test_sum_of_float32() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 40)
    values = (rng.random(2000) * rng.choice([1, 100, -70], 2000)).astype("float32")
    frame = pandas.DataFrame({"k": groups, "v": values})
    ours = terality.to_pandas(frame.groupby("k")["v"].sum()).to_numpy()
    with mode("off"):
        theirs = terality.to_pandas(frame).groupby("k")["v"].sum().to_numpy()
    magnitude = np.bincount(groups, np.abs(values))
    assert (ours != theirs).any()
    assert (np.abs(ours - theirs) <= 2e-7 * magnitude).all()


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_products_of_float32() -> None:
    values = pandas.Series(np.array([1e30, 1e30, 0.0], "float32"))
    assert values.prod() == 0
    with mode("off"):
        assert np.isnan(terality.to_pandas(values).prod())


def test_zeros_in_a_level() -> None:
    frame = pandas.DataFrame({"d": [-0.0, 0.0], "s": ["a", "a"], "b": [np.nan, 1.0]})

    def signs() -> list[bool]:
        return list(np.signbit(frame.set_index(["d", "s"]).nsmallest(2, ["b"]).index.get_level_values(0)))

    assert signs() == [False, False]
    with mode("off"):
        frame = terality.to_pandas(frame)
        assert signs() == [True, True]
