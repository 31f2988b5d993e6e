"""Group-by: every aggregate of every dtype under every sort, as_index and dropna; windows within groups."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from .columns import EVERY, NUMBERS, frame
from .compare import Tolerance
from .programs import disagreements

AGGREGATES = ("sum", "mean", "min", "max", "count", "size", "std", "var", "median", "first", "last", "nunique",
              "prod", "any", "all", "sem")  # fmt: skip
NEAR = Tolerance(1e-10, 1e-12)
FORMS = (
    "df.groupby({k})[{c!r}].{f}()",
    "df.groupby({k}).agg({{{c!r}: {f!r}}})",
    "df.groupby({k}).agg(n=({c!r}, {f!r}))",
    "df.groupby({k}, sort=False)[{c!r}].{f}()",
    "df.groupby({k}, dropna=False)[{c!r}].{f}()",
    "df.groupby({k}, as_index=False)[{c!r}].{f}()",
    "df.groupby({k}, as_index=False, sort=False, dropna=False)[[{c!r}]].{f}()",
    "df.groupby({k})[{c!r}].transform({f!r})",
)


@pytest.mark.parametrize("column", EVERY)
@pytest.mark.parametrize("function", AGGREGATES)
def test_aggregates(column: str, function: str) -> None:
    keys = ("'k'", "['g', 'k']")
    found = disagreements(
        {"df": frame()},
        *(form.format(k=key, c=column, f=function) for form in FORMS for key in keys),
        *(f"df.head(0).groupby('k')[{column!r}].{function}()", f"df.head(1).groupby(['k'])[[{column!r}]].{function}()"),
        tolerance=NEAR,
    )
    assert not found, "\n".join(found)


@pytest.mark.parametrize("key", EVERY)
def test_keys(key: str) -> None:
    """Groups by every dtype: their order and labels."""
    sources = [f"df.groupby({keys!r}, {extra})['g'].{f}()" for keys in (key, [key], [key, "k"], ["g", key])
               for extra in ("", "sort=False", "dropna=False", "sort=False, dropna=False", "as_index=False")
               for f in ("sum", "size")]  # fmt: skip
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
def test_windows_within_groups(column: str) -> None:
    calls = [
        "cumsum()",
        "cummax()",
        "cummin()",
        "cumprod()",
        "shift()",
        "shift(-2)",
        "diff()",
        "ffill()",
        "bfill()",
        "head(1)",
        "tail(2)",
    ]
    calls += [f"rank(method={m!r}, ascending={a}, na_option={o!r})" for m in ("average", "min", "max", "first", "dense")
              for a in (True, False) for o in ("keep", "top", "bottom")]  # fmt: skip
    calls += ["rank(pct=True)", "rank(method='dense', pct=True)"]
    sources = [
        f"df.groupby({key})[{column!r}].{call}" for call in calls for key in ("'g'", "'k'", "['g', 'k'], dropna=False")
    ]
    found = disagreements({"df": frame()}, *sources, tolerance=NEAR)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", NUMBERS)
def test_several_aggregates(column: str) -> None:
    sources = [
        f"df.groupby('k').agg({{{column!r}: ['sum', 'mean'], 'g': 'max'}})",
        f"df.groupby('k')[{column!r}].agg(['min', 'max', 'count'])",
        f"df.groupby('k')[[{column!r}, 'g']].agg(['min', 'nunique'])",
        f"df.groupby('k')[{column!r}].agg(a='sum', b='mean')",
        f"df.groupby('k', as_index=False).agg(a=({column!r}, 'sum'), b=('g', 'first'))",
        f"df.groupby(['g', 'k'], as_index=False).agg({{{column!r}: ['sum']}})",
        f"df.groupby('k')[{column!r}].sum(min_count=2)",
        f"df.groupby('k')[{column!r}].std(ddof=0)",
        f"df.groupby('k')[[{column!r}]].sum(numeric_only=True)",
        f"df.groupby('g').agg({{'missing': 'sum', {column!r}: 'sum'}})",
        f"df.groupby('missing')[{column!r}].sum()",
        f"df.groupby('g')[{column!r}].agg('nosuch')",
        f"df.pivot_table(index='k', columns='g', values={column!r}, aggfunc='sum')",
        f"df.pivot_table(index='k', columns='g', values=[{column!r}], aggfunc='mean', fill_value=0)",
    ]
    found = disagreements({"df": frame()}, *sources, tolerance=NEAR)
    assert not found, "\n".join(found)


def test_columns_of_a_block_narrow_together() -> None:
    """A sum of small whole numbers keeps their dtype if it fits, of all columns of the dtype."""
    frame = pandas.DataFrame({
        "k": [1, 1, 2], "a": np.array([254, 10, 1], "uint8"), "b": np.array([1, 1, 1], "uint8"),
        "c": np.array([1, 1, 1], "int8"), "d": np.array([1, 2, 3], "int64"), "e": [4, 5, 6],
    })  # fmt: skip
    grouped = ("df.groupby('k')", "df.groupby('k', as_index=False)", "df[:2].groupby('k')", "df[1:].groupby('k')")
    calls = ("sum()", "prod()", "agg('sum')", "sum(min_count=2)", "min(min_count=2)", "transform('sum')",
             "agg({'a': 'sum', 'b': 'sum'})")  # fmt: skip
    sources = [f"{one}[['a', 'b', 'c', 'd', 'e']].{call}" for one in grouped for call in calls]
    found = disagreements(
        {"df": frame}, *sources, "df.pivot_table(index='k', columns='d', values=['a', 'b'], aggfunc='sum')"
    )
    assert not found, "\n".join(found)


def test_missing_columns_of_levels() -> None:
    """pandas meets what is no tuple before it looks for what is missing."""
    columns = pandas.MultiIndex.from_tuples([("d", "n"), ("d", "m")])
    found = disagreements(
        {"df": pandas.DataFrame([[1, 2], [3, 4]], columns=columns)},
        "df.groupby(('d', 'm'))[[('d', 'n'), ('0', ''), 'missing']].median()",
        "df.groupby(('d', 'm'))[[('d', 'n'), ('0', '')]].median()",
    )
    assert not found, "\n".join(found)


def test_keys_that_are_not_there() -> None:
    """A list of as many names as there are rows is no list of columns: pandas takes it for the keys."""
    found = disagreements(
        {"df": frame()},
        "df.groupby('nosuch').size()",
        "df.groupby(5).size()",
        "df.groupby(['g', 'nosuch', 'k']).size()",
        "df.groupby(['nosuch', 'neither'])['int64'].sum()",
        "df.head(2).groupby(['nosuch', 'neither'])['int64'].sum()",
        "df.head(2).groupby(['g', 'nosuch'])['int64'].sum()",
        "df.head(1).groupby('nosuch')['int64'].sum()",
        "df.head(1).groupby(['nosuch'])['int64'].sum()",
        "df.set_index('g').groupby('g')['int64'].sum()",
        "df.set_index('g').groupby(['g', 'nosuch'])['int64'].sum()",
        "df.rename_axis('k').groupby(['k', 'nosuch'])['int64'].sum()",
    )
    assert not found, "\n".join(found)
