"""Arguments that pandas warns about, refuses or reads in its own way: same result, error and warnings natively."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest

from .programs import mode


def frame() -> pandas.DataFrame:
    return pandas.DataFrame({"a": [1, 2, 1], "b": ["x", "y 1", None], "c": [0.5, np.nan, 2.0]})


def series(values: Any, dtype: Any = None) -> pandas.Series:
    return pandas.Series(values, dtype=dtype, name="s")


def years(n: int) -> pandas.DataFrame:
    return pandas.DataFrame({"a": range(n)}, index=pandas.date_range("2016", periods=n, freq="YS", name="when"))


def levels() -> pandas.DataFrame:
    labels = pandas.MultiIndex.from_product([["foo", "bar"], [1, 2]], names=["p", "q"])
    return pandas.DataFrame({"v": [1.0, 2.0, 3.0, 4.0]}, index=labels)


LONGEST = pandas.Timedelta.max
CALLS: dict[str, Callable[[], Any]] = {
    # keywords that pandas has given up: it warns
    "drop(inplace=False)": lambda: frame().drop(columns="a", inplace=False),
    "drop_duplicates(inplace=False)": lambda: frame().drop_duplicates("a", inplace=False),
    "dropna(inplace=False)": lambda: frame().dropna(inplace=False),
    "Series.dropna(inplace=False)": lambda: series([1.0, np.nan]).dropna(inplace=False),
    "rename(inplace=False)": lambda: frame().rename(columns={"a": "z"}, inplace=False),
    "reset_index(inplace=False)": lambda: frame().reset_index(inplace=False),
    "set_index(inplace=False)": lambda: frame().set_index("a", inplace=False),
    "set_index(verify_integrity=False)": lambda: frame().set_index("a", verify_integrity=False),
    "sort_values(inplace=False)": lambda: frame().sort_values("a", inplace=False),
    "Series.sort_values(inplace=False)": lambda: series([2, 1]).sort_values(inplace=False),
    "astype(copy=False)": lambda: frame().astype({"a": "float64"}, copy=False),
    "merge(copy=False)": lambda: frame().merge(frame(), on="a", copy=False),
    "groupby(positional)": lambda: frame().groupby("a", None, False).c.sum(),
    # values that pandas refuses
    "drop_duplicates(ignore_index=0)": lambda: frame().drop_duplicates(ignore_index=0),
    "sort_values(ignore_index=1)": lambda: frame().sort_values("a", ignore_index=1),
    "dropna(how=None)": lambda: frame().dropna(how=None),
    "dropna(thresh and how)": lambda: frame().dropna(how="all", thresh=2),
    "astype(class)": lambda: frame().astype({"b": pandas.IntervalDtype}),
    "concat(keys and ignore_index)": lambda: pandas.concat([frame(), frame()], keys=["p", "q"], ignore_index=True),
    # values that pandas reads in its own way
    "shift(fill_value=None)": lambda: series([1, 2]).shift(1, fill_value=None),
    "reset_index(name=None)": lambda: series([1, 2]).reset_index(name=None),
    "contains(na=NA)": lambda: frame()["b"].str.contains("x", na=pandas.NA),
    "contains(separators)": lambda: series(["a\x1cb", "a b"]).str.contains(r"a\sb"),
    "contains(digits)": lambda: series(["٣", "3"]).str.contains(r"\d"),
    "astype(Series)": lambda: frame().astype(pandas.Series({"a": "float64"})),
    "astype(category) twice": lambda: series(["x", "y"]).astype("category").astype("category"),
    "value_counts(label)": lambda: frame().value_counts("b"),
    "merge(on arrays)": lambda: years(3).merge(years(3), on=["a", years(3).index.year]),
    "merge(on names of rows)": lambda: years(3).merge(years(3), left_on=["when"], right_on=["when"]),
    # numpy.timedelta64 is a numpy.signedinteger
    "integer + timedelta64": lambda: series([1, 2]) + np.timedelta64(3, "ns"),
    "integer * timedelta64": lambda: series([1, 2]) * np.timedelta64(3, "ns"),
    "timedelta * timedelta64": lambda: series([1, 2], "m8[ns]") * np.timedelta64(3, "ns"),
    # columns of one text are literals in the plan
    "constant == literal": lambda: labelled()["t"] == "x",
    "constant == constant": lambda: labelled()["t"] == labelled()["t"],
    "filter by constant": lambda: labelled()[labelled()["t"] != "y"],
    "length of constant": lambda: labelled()["t"].str.len(),
    "constant contains": lambda: labelled()["t"].str.contains("x+"),
    "constant isin": lambda: labelled()["t"].isin(["x", "z"]),
    # names, keys and aliases
    "dt.weekday": lambda: years(2).index.to_series().dt.weekday,
    "strftime of long years": lambda: series(np.array(["12024-03-02"], "M8[s]")).dt.strftime("%Y-%m-%d").tolist(),
    "concat(named keys)": lambda: pandas.concat([frame(), frame()], keys=pandas.Index(["p", "q"], name="k")),
    "drop_duplicates(no such label)": lambda: frame().drop_duplicates(["a", "z"]),
    "dropna(array of labels)": lambda: frame().dropna(subset=np.array(["a", "c"])),
    "fillna(tuple)": lambda: series([1, 2]).fillna((1, 2)),
    "round(datetimes)": lambda: years(2).reset_index().round(1),
    "mean(numeric_only) of times": lambda: years(2).reset_index().groupby("a")["when"].mean(numeric_only=True),
    "transform without function": lambda: frame().groupby("a").transform(),
    "agg(size) with keys as columns": lambda: frame().groupby("a", as_index=False).agg("size"),
    # out of bounds
    "sum of long timedeltas": lambda: series([LONGEST, LONGEST]).sum(),
    "sum that is the mark of a missing one": lambda: series([pandas.Timedelta.min, pandas.Timedelta(-1, "ns")]).sum(),
    "timedelta + timedelta": lambda: (series([LONGEST]) + pandas.Timedelta(1, "ns")).tolist(),
    # row labels keep their levels and their order
    "copy with levels": lambda: levels().copy().index.levels,
    "writing by label of unsorted levels": lambda: written(levels().copy()),
    "levels with missing whole numbers": lambda: series({(1, 1): "b", (2, None): "a"}).sort_values(),
}


def labelled() -> pandas.DataFrame:
    table = frame()
    table["t"] = "x"
    return table


def written(table: pandas.DataFrame) -> pandas.DataFrame:
    table.loc["foo"] = 0.0
    return table


def outcome(call: Callable[[], Any], how: str) -> tuple[Any, ...]:
    with mode(how), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            value = call()
            shown = (type(value).__name__, repr(value), repr(getattr(value, "dtypes", None)))
        except Exception as error:
            shown = (type(error).__name__, str(error), "")
        return *shown, [(w.category.__name__, str(w.message), w.filename) for w in told]


@pytest.mark.parametrize("name", CALLS)
def test_argument(name: str) -> None:
    assert outcome(CALLS[name], "native") == outcome(CALLS[name], "off")


def test_copy_keeps_the_index() -> None:
    table = frame()
    with mode("native"):
        assert table.copy().index.is_(table.index)


@pytest.mark.parametrize("how", ["native", "auto", "off"])
def test_ufunc_of_series_and_frame(how: str) -> None:
    """pandas' function looks whether both classes have one `__array_ufunc__`; the wrapper must not tell them apart."""
    with mode(how):
        np.sqrt(series([1.5]))  # from now on the handler is there
        with pytest.raises(NotImplementedError, match="Cannot apply ufunc <ufunc 'add'> to mixed DataFrame and Series"):
            np.add(series([1, 2]), frame()[["a"]])
        assert type(np.add(frame()[["a"]], 1)) is pandas.DataFrame
        assert type(np.sqrt(frame()[["a"]])) is pandas.DataFrame
