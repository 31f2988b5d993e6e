"""Memory shared with pandas: what a result shares with its source, who sees a write, and how columns lie in blocks."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas
import pytest
import terality
from pandas.testing import assert_frame_equal, assert_series_equal

from ..parity.programs import mode


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    with mode("native"):
        yield


def small() -> pandas.DataFrame:
    return pandas.DataFrame(
        {
            "a": [1, 2, 3, 4],
            "b": [1.5, np.nan, 2.5, 0.5],
            "c": [5, 6, 7, 8],
            "t": pandas.to_datetime(["2020-01-01", "2020-01-02", None, "2021-01-01"]),
            "s": ["x", None, "long enough not to be inline", "y"],
            "d": [0.5, 1.5, 2.5, 3.5],
        }
    )


TAKEN: dict[str, Callable[[pandas.DataFrame], Any]] = {
    "rename": lambda df: df.rename(columns={"a": "A"}),
    "assign": lambda df: df.assign(n=1),
    "assign middle": lambda df: df.assign(c=df["a"] + 1),
    "astype": lambda df: df.astype({"a": "float64"}),
    "drop": lambda df: df.drop(columns=["b"]),
    "columns": lambda df: df[["d", "b", "a"]],
    "column": lambda df: df["b"],
    "rows": lambda df: df[1:3],
    "every other row": lambda df: df[::2],
    "iloc": lambda df: df.iloc[:3, 1:4],
    "filter": lambda df: df[df["a"] != 2],
    "filter all": lambda df: df[df["a"] > 0],
    "sorted": lambda df: df.sort_values("a"),
    "reset_index": lambda df: df.reset_index(),
    "set_index": lambda df: df.set_index("a"),
    "dropna": lambda df: df[["a", "c"]].dropna(),
    "copy": lambda df: df.copy(),
    "head": lambda df: df.head(2),
    "all": lambda df: df[:],
}

WRITES: dict[str, Callable[[Any], Any]] = {
    "iloc": lambda x: x.iloc.__setitem__((0, 0) if x.ndim == 2 else 0, 9.0 if x.ndim == 1 else x.iloc[1, 0]),
    "fillna": lambda x: x.fillna(9.0 if x.ndim == 1 else {"b": 9.0, "d": 9.0}, inplace=True),
    "mask": lambda x: x.mask(x.isna(), inplace=True),
    "shuffle": lambda x: x.__setitem__(slice(None), x.iloc[::-1].values) if x.ndim == 1 else None,
    "update": lambda x: x.update(pandas.DataFrame({"b": [7.0]}) if x.ndim == 2 else pandas.Series([7.0])),
    "replace": lambda x: x.replace(2.5, 9.0, inplace=True),
}


def same(ours: Any, theirs: Any) -> None:
    (assert_frame_equal if theirs.ndim == 2 else assert_series_equal)(ours, theirs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("take", TAKEN)
def test_nobody_sees_the_writes_of_another(take: str, write: str) -> None:
    """Whoever of source, result and result of the result is written to, and whatever was materialised before."""

    def run(written: int, looked: tuple[int, ...]) -> list[Any]:
        objects: list[Any] = [small()]
        objects.append(TAKEN[take](objects[0]))
        objects.append(objects[1].copy(deep=False) if objects[1].ndim == 1 else objects[1][objects[1].columns[:2]])
        for i in looked:
            assert objects[i]._mgr is not None
        WRITES[write](objects[written])
        return objects

    for written in range(3):
        for looked in ((), (0,), (1,), (2, 1), (1, 2)):
            ours = run(written, looked)
            with mode("off"):
                theirs = run(written, looked)
                for mine, expected in zip(ours, theirs, strict=True):
                    same(terality.to_pandas(mine), expected)


def column(obj: Any, name: str) -> np.ndarray:
    """Give a column's own memory."""
    values = obj._mgr.array if obj.ndim == 1 else obj._mgr.iget_values(obj.columns.get_loc(name))
    return getattr(values, "_ndarray", values)


@pytest.mark.parametrize("take", ["rename", "assign", "astype", "drop", "columns", "column", "rows", "iloc", "all"])
def test_columns_that_only_pass_by_are_shared(take: str) -> None:
    df = small()
    taken = TAKEN[take](df)
    assert np.shares_memory(column(taken, "b" if take != "drop" else "d"), column(df, "b" if take != "drop" else "d"))


@pytest.mark.parametrize("take", ["copy", "head", "filter"])
def test_what_pandas_copies_is_not_shared(take: str) -> None:
    df = small()
    assert not np.shares_memory(column(TAKEN[take](df), "b"), column(df, "b"))


@pytest.mark.parametrize("start", ["ingested", "materialised", "taken"])
def test_a_handle_alone_makes_no_copy(start: str) -> None:
    df = small()
    if start == "materialised":
        df = df[df["a"] > 1]
    elif start == "taken":
        df = df[["a", "b"]]
        gc.collect()
    assert terality.native.native_of(df) is not None
    memory = column(df, "b")
    df.iloc[0, 1] = 9.0
    assert column(df, "b") is not None and np.shares_memory(column(df, "b"), memory) and memory[0] == 9.0
    assert df["b"].sum() == float(memory[~np.isnan(memory)].sum())


def test_a_plan_that_reads_the_memory_makes_a_copy() -> None:
    df = small()
    memory = column(df, "b")
    later = df["b"] * 2
    df.iloc[0, 1] = 9.0
    assert memory[0] == 1.5
    assert later.iloc[0] == 3.0


def test_columns_of_a_dtype_lie_in_one_block() -> None:
    df = small()
    made = df[df["a"] != 2]
    assert sorted(str(b.dtype) for b in made._mgr.blocks) == ["datetime64[us]", "float64", "int64", "str"]
    made._mgr._verify_integrity()
    assert all(b.values.flags.c_contiguous for b in made._mgr.blocks if isinstance(b.values, np.ndarray))
    assert len(df.assign(n=df["a"] * 2, m=df["c"] + 1)._mgr.blocks) == 5  # those of df, and one of the new columns


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd")),  # rows are contiguous, columns are not
        pandas.DataFrame(np.asfortranarray(np.arange(12.0).reshape(3, 4)), columns=list("abcd")),
        pandas.DataFrame(np.arange(12.0).reshape(3, 4)[:, ::-1], columns=list("abcd")),
        pandas.DataFrame(np.asfortranarray(np.arange(12.0).reshape(3, 4))[::-1], columns=list("abcd")),
        pandas.DataFrame({c: np.arange(3) > i for i, c in enumerate("dcba")})[list("abcd")],
        pandas.DataFrame({c: np.arange(3, dtype="m8[s]") + i for i, c in enumerate("abcd")}).iloc[1:],
    ],
)
def test_layouts_that_can_be_lent(frame: pandas.DataFrame) -> None:
    with mode("off"):
        expected = [frame[["d", "b"]].copy(), frame[["b", "c"]][1:].copy(), frame["c"][:2].copy(), frame.copy()]
    got = [frame[["d", "b"]], frame[["b", "c"]][1:], frame["c"][:2], frame[list("abcd")]]
    for mine, theirs in zip(got, expected, strict=True):
        same(terality.to_pandas(mine), theirs)


def test_blocks_come_in_the_order_of_their_columns() -> None:
    df = small()[["s", "d", "a"]].assign(a=[0, 1, 2, 3], n=1.5, t="x", c=1)
    assert [b.mgr_locs.as_array[0] for b in df._mgr.blocks] == list(range(len(df._mgr.blocks)))
    with pytest.raises(TypeError, match="dtype=float64 and str"):
        df[["d", "a"]].astype({"a": "int32"}).le("10")


def test_stacking_checks_its_memory() -> None:
    array, memory = terality._engine.array(np.arange(3), "int64"), np.empty((2, 3), "int64")
    terality._engine.stack(memory, (array, array))
    assert memory.tolist() == [[0, 1, 2]] * 2
    with pytest.raises(ValueError, match="column 1"):
        terality._engine.stack(memory, (array, terality._engine.array(np.arange(2), "int64")))
    with pytest.raises(ValueError, match="bytes for 5 columns"):
        terality._engine.stack(memory, (array,) * 5)
    with pytest.raises(BufferError):
        terality._engine.stack(bytes(48), (array, array))
    terality._engine.stack(np.empty((0, 3), "int64"), ())


def test_references_to_objects_that_are_gone_do_not_pile_up() -> None:
    df = small()
    for _ in range(1000):
        assert df["a"]._mgr is not None
    refs = df._mgr.blocks[0].refs
    assert len(refs.handles) < 200 and len(refs.pins) < 200


def test_many_pieces_of_a_block_are_copied_into_one() -> None:
    wide = pandas.DataFrame({f"c{i}": np.arange(4) + i for i in range(40)})
    order = [f"c{i}" for i in np.random.default_rng(1).permutation(40)]
    taken = wide[order]
    assert len(taken._mgr.blocks) == 1
    with mode("off"):
        assert_frame_equal(terality.to_pandas(taken), wide[order])
