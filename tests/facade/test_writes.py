"""Writes: chained-assignment warnings, pins, and when a handle stops being valid."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from pandas.errors import ChainedAssignmentError

from . import fake_engine
from .conftest import lazy, small

# (statement, does pandas warn): each runs with `df`, plain or lazy, as a local variable.
STATEMENTS = [
    ('df["a"]["x"] = 5', True),
    ('df["a"][0] = 5', True),
    ('df[["a"]]["a"] = s', True),
    ('df[df["a"] > 1]["a"] = s', True),
    ('df["a"].loc[0] = 5', True),
    ('df["a"].iloc[0] = 5', True),
    ('df["a"].at[0] = 5', True),
    ('df["a"].iat[0] = 5', True),
    ('df[["a"]].loc[0, "a"] = 5', True),
    ('df["b"].fillna(0, inplace=True)', True),
    ('df["b"].replace(1.5, 0, inplace=True)', True),
    ('df["b"].clip(0, 2, inplace=True)', True),
    ('df["b"].where(df["b"] > 2, inplace=True)', True),
    ('df["b"].mask(df["b"] > 2, inplace=True)', True),
    ('df["b"].ffill(inplace=True)', True),
    ('df["b"].bfill(inplace=True)', True),
    ('df["b"].interpolate(inplace=True)', True),
    ('df["a"].update(s)', True),
    ('df[["a"]].update(other)', True),
    ('getattr(df["b"], "fillna")(0, inplace=True)', True),
    ('df["b"].fillna(0)', False),
    ('df["b"].fillna(0, inplace=False)', False),
    ('df["a"] = s', False),
    ('df["new"] = s', False),
    ('df["new"] = 1', False),
    ('df.loc[0, "a"] = 5', False),
    ('df.iloc[0, 0] = 5', False),
    ('df.at[0, "a"] = 5', False),
    ("df.fillna(0, inplace=True)", False),
    ("df.update(other)", False),
    ('s2 = df["a"]; s2[0] = 5', False),
    ('s2 = df["b"]; s2.fillna(0, inplace=True)', False),
    ('df.a = s', False),
]  # fmt: skip


def run(statement: str, df: Any) -> list[str]:
    space = {"df": df, "s": small()["a"] + 1, "other": small()[["a"]] * 2}
    exec(f"def f(df, s, other):\n    {statement}", space)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        space["f"](df, space["s"], space["other"])
    ours = [w for w in caught if issubclass(w.category, ChainedAssignmentError)]
    assert all(w.filename == "<string>" for w in ours)
    return [str(w.message) for w in ours]


@pytest.mark.parametrize("make", [small, lambda: lazy(small())[0]], ids=["plain", "lazy"])
@pytest.mark.parametrize("fake", ["off", "auto", "native"], indirect=True)
@pytest.mark.parametrize("statement, warned", STATEMENTS)
def test_chained_assignment(statement: str, warned: bool, make: Callable[[], Any], fake: object) -> None:
    assert len(run(statement, make())) == int(warned)


IN_PLACE: dict[str, Callable[[pd.DataFrame], Any]] = {
    "loc": lambda df: df.loc.__setitem__((0, "b"), 99.0),
    "iloc": lambda df: df.iloc.__setitem__((0, 1), 99.0),
    "mask": lambda df: df.__setitem__(df.eq(1.5), 99.0),
    "at": lambda df: df.at.__setitem__((0, "b"), 99.0),
    "fillna": lambda df: df.fillna({"b": 99.0}, inplace=True),
    "replace": lambda df: df.replace(1.5, 99.0, inplace=True),
    "where": lambda df: df.mask(df.eq(1.5), 99.0, inplace=True),
    "update": lambda df: df.update(pd.DataFrame({"b": [99.0]})),
}  # fmt: skip


@pytest.mark.parametrize("kind", IN_PLACE)
@pytest.mark.parametrize("materialised", [False, True])
def test_results_are_snapshots(kind: str, materialised: bool, fake: object) -> None:
    """What was taken from a frame before an in-place write keeps the old values; the handle is dropped or renewed."""
    df = small() if not materialised else lazy(small())[0]
    taken, shared = df[["b"]], df["b"]
    if materialised:
        assert df._mgr is not None
    IN_PLACE[kind](df)
    pd.testing.assert_frame_equal(taken, small()[["b"]])
    pd.testing.assert_series_equal(shared, small()["b"])
    expected = small()
    terality.options.mode = "off"
    IN_PLACE[kind](expected)
    terality.options.mode = "native"
    assert terality.native.native_of(df) is not None
    pd.testing.assert_frame_equal(df[["b"]], expected[["b"]])


def test_clip_in_place_leaves_what_was_taken(fake: object) -> None:
    df = small()[["a", "b"]]
    taken = df[["b"]]
    df.clip(2, inplace=True)
    pd.testing.assert_frame_equal(taken, small()[["b"]])
    assert list(df["a"]) == [2, 2, 3]


def mutators() -> dict[str, Callable[[pd.DataFrame], Any]]:
    def category(df: pd.DataFrame) -> None:
        df["k"] = df["k"].cat.rename_categories({"x": "z"})

    return {
        "new column": lambda df: df.__setitem__("n", 1),
        "column": lambda df: df.__setitem__("a", [7, 8, 9]),
        "loc": lambda df: df.loc.__setitem__((0, "a"), 7),
        "loc slice": lambda df: df.loc.__setitem__((slice(0, 1), "b"), 7.0),
        "iloc column": lambda df: df.isetitem(0, [7, 8, 9]),
        "at": lambda df: df.at.__setitem__((0, "a"), 7),
        "iat": lambda df: df.iat.__setitem__((0, 0), 7),
        "enlarge": lambda df: df.loc.__setitem__(3, [1, 2.0, "q", "x"]),
        "insert": lambda df: df.insert(0, "n", 1),
        "pop": lambda df: df.pop("a"),
        "del": lambda df: df.__delitem__("a"),
        "drop": lambda df: df.drop(columns="a", inplace=True),
        "columns": lambda df: setattr(df, "columns", list("wxyz")),
        "index": lambda df: setattr(df, "index", [5, 6, 7]),
        "columns name": lambda df: setattr(df.columns, "name", "n"),
        "index name": lambda df: setattr(df.index, "name", "n"),
        "rename": lambda df: df.rename(columns={"a": "q"}, inplace=True),
        "sort": lambda df: df.sort_values("b", ascending=False, inplace=True),
        "reset_index": lambda df: df.reset_index(inplace=True),
        "fillna": lambda df: df.fillna({"b": 7.0}, inplace=True),
        "replace": lambda df: df.replace({"a": {1: 7}}, inplace=True),
        "regex": lambda df: df.replace({"c": {"x": "qq"}}, regex=True, inplace=True),
        "update": lambda df: df.update(pd.DataFrame({"a": [7, 8, 9]})),
        "category": category,
        "attribute": lambda df: setattr(df, "a", [7, 8, 9]),
        "drop_duplicates": lambda df: df.drop_duplicates("c", inplace=True),
        "set_index": lambda df: df.set_index("a", inplace=True),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", mutators())
@pytest.mark.parametrize("start", ["pandas", "lazy", "materialised"])
def test_a_changed_object_is_not_described_by_its_old_handle(kind: str, start: str, fake: object) -> None:
    def make() -> pd.DataFrame:
        return small().assign(k=pd.Categorical(["x", "y", "x"]))

    terality.options.mode = "auto"
    df = make()
    if start != "pandas":
        df = lazy(df)[0]
    if start == "materialised":
        assert df._mgr is not None
    terality.options.mode = "native"
    df[["a"]] + 1
    terality.native.native_of(df)
    mutators()[kind](df)
    expected = make()
    terality.options.mode = "off"
    mutators()[kind](expected)
    terality.options.mode = "native"
    pd.testing.assert_frame_equal(terality.native.wrap_frame(terality.native.native_of(df)), expected)
    pd.testing.assert_frame_equal(df, expected)


def test_an_unchanged_object_keeps_its_handle(fake: object) -> None:
    df = small()
    first = terality.native.native_of(df)
    df.describe(), df.sum(numeric_only=True), df.loc[0], df.iloc[:2], str(df), df.to_numpy()
    assert terality.native.native_of(df) is first


def test_the_seal_of_every_dtype_holds_until_a_write(fake: object) -> None:
    stamps = pd.date_range("2020-01-01", periods=3)
    columns = {
        "tz": stamps.tz_localize("UTC"), "period": stamps.to_period("D"), "delta": stamps - stamps[0],
        "interval": pd.interval_range(0, 3), "Int64": pd.array([1, None, 3], dtype="Int64"),
        "text": pd.array(["x", None, "y"], dtype="string"), "python": pd.array(["x", "y", "z"], dtype="string[python]"),
        "category": pd.Categorical(["x", "y", "x"]), "object": [1, "x", None],
        "arrow": pd.array([1, 2, 3], dtype="int64[pyarrow]"), "complex": [1j, 2j, 3j],
    }  # fmt: skip
    for name, values in columns.items():
        s = pd.Series(values, index=pd.MultiIndex.from_product([["k"], [1, 2, 3]], names=["a", "b"]))
        first = terality.native.native_of(s)
        repr(s), s.isna(), s.copy(), s.iloc[0]
        assert terality.native.native_of(s) is first, name
        s.iloc[0] = s.iloc[1]
        assert terality.native.native_of(s) is not first, name
        first = terality.native.native_of(s)
        s.index.names = ["a", "c"]
        assert terality.native.native_of(s) is not first, name


def test_engine_memory_is_copied_before_every_write(fake: object) -> None:
    table = lazy(small())[1]
    df = terality.native.wrap_frame(table)
    kept = table.obj.copy(deep=False)._mgr.blocks[0].values
    del table
    df.loc[0, "a"] = 99
    assert df["a"].iloc[0] == 99
    df.loc[0, "b"] = 77.0
    df.loc[1, "b"] = 78.0
    assert kept[0, 0] == 1 and list(df["b"]) == [77.0, 78.0, 3.5]


def test_ingested_memory_keeps_its_pin(fake: object) -> None:
    df = pd.DataFrame({"a": np.arange(4.0), "t": pd.date_range("2020", periods=4)})
    seen: list[np.ndarray] = []
    original = fake_engine.ingest
    terality.native.set_ingest(lambda mgr, name: seen.extend(b.values for b in mgr.blocks) or original(mgr, name))
    terality.native.native_of(df)
    memory = [block if isinstance(block, np.ndarray) else block._ndarray for block in seen]
    seen.clear()
    terality.options.mode = "off"
    one, other = df["a"], df["t"]
    del df
    one.iloc[0], other.iloc[0] = 55, pd.Timestamp("1999-01-01")
    assert memory[0][0, 0] == 0 and memory[1][0, 0] == np.datetime64("2020-01-01")
    del memory
    assert one._mgr._has_no_reference(0)


def test_series_renamed_in_place(fake: object) -> None:
    s, _ = lazy(small()["a"])
    s.name = "z"
    assert terality.native.native_of(s).name == "z" and (s + 1).name == "z" and terality.is_lazy(s)


def test_no_pin_without_a_handle() -> None:
    df = small()
    values = df["a"].to_numpy()
    df["a"] + 1
    df.loc[0, "a"] = 9
    assert df._mgr._has_no_reference(0) and np.shares_memory(df["a"].to_numpy(), values)
