"""Order of rows: sort_values, sort_index, nlargest, rank, drop_duplicates, windows over whole columns."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from pandas import DataFrame, MultiIndex, Series
from pandas.api.extensions import no_default

from .. import _engine
from ..dtypes import pandas_dtype
from ..registry import Fallback, native
from ..table import Keys, Table
from .arguments import refuse, result, table_of
from .grouping import NA_OPTIONS, RANKS, cumulative_dtype, item
from .selecting import relabelled


def ordered(table: Table, keys: list[Any], descending: list[bool], na_first: bool, stop: int = -1) -> Table:
    """Give the rows ordered by expressions over the table's node (its first `stop` rows)."""
    flat_with_keys = Table(
        table.rel, [*table.exprs, *keys], [*table.dtypes, *([None] * len(keys))], None, table.current_rows()
    )
    flat = flat_with_keys.flat(labelled=True)
    n = len(table.exprs)
    rel = _engine.node(
        "SORT", (flat.rel,), tuple(flat.exprs[n:]), descending=tuple(descending), na_first=na_first, stop=stop
    )
    out = flat.over(rel)
    return Table(rel, out.exprs[:n], table.dtypes, table.columns if table.is_frame else None, out.rows, table.name)


def _ascending_list(ascending: Any, n: int) -> list[bool]:
    if isinstance(ascending, (bool, np.bool_)):
        return [bool(ascending)] * n
    if (
        isinstance(ascending, (list, tuple))
        and len(ascending) == n
        and all(isinstance(a, (bool, np.bool_)) for a in ascending)
    ):
        return [bool(a) for a in ascending]
    raise Fallback("ascending of another form")


def _sort_checks(axis: Any, inplace: Any, kind: str, na_position: str, key: Any, ignore_index: Any) -> None:
    refuse(axis=(axis, 0, "index"), inplace=(inplace, no_default), key=(key, None),
           na_position=(na_position, "first", "last"), kind=(kind, "quicksort", "stable", "mergesort", "heapsort"),
           ignore_index=(ignore_index, True, False))  # fmt: skip


@native("DataFrame.sort_values")
def sort_values(
    self: DataFrame,
    by: Any,
    *,
    axis: Any = 0,
    ascending: Any = True,
    inplace: Any = no_default,
    kind: str = "quicksort",
    na_position: str = "last",
    ignore_index: bool = False,
    key: Any = None,
) -> DataFrame:
    """Serve sorting rows by columns; always stable."""
    _sort_checks(axis, inplace, kind, na_position, key, ignore_index)
    table = table_of(self)
    labels = by if isinstance(by, list) else [by]
    table.skeleton().sort_values(by, ascending=ascending)  # pandas' errors
    if not labels or isinstance(table.columns, MultiIndex) or not table.columns.is_unique:
        raise Fallback("labels that may mean several columns")
    if any(not isinstance(label, Hashable) or label not in table.columns for label in labels):
        raise Fallback("sorting by row labels")
    keys = [table.exprs[table.at(label)] for label in labels]
    directions = _ascending_list(ascending, len(labels))
    out = ordered(table, keys, [not a for a in directions], na_position == "first")
    return result(relabelled(out) if ignore_index else out, self)


@native("Series.sort_values")
def sort_series(
    self: Series,
    *,
    axis: Any = 0,
    ascending: Any = True,
    inplace: Any = no_default,
    kind: str = "quicksort",
    na_position: str = "last",
    ignore_index: bool = False,
    key: Any = None,
) -> Series:
    """Serve sorting a column; always stable."""
    _sort_checks(axis, inplace, kind, na_position, key, ignore_index)
    table = table_of(self)
    out = ordered(table, table.exprs, [not a for a in _ascending_list(ascending, 1)], na_position == "first")
    return result(relabelled(out) if ignore_index else out, self)


@native("DataFrame.sort_index", "Series.sort_index")
def sort_index(
    self: Any,
    *,
    axis: Any = 0,
    level: Any = None,
    ascending: Any = True,
    inplace: Any = no_default,
    kind: str = "quicksort",
    na_position: str = "last",
    sort_remaining: bool = True,
    ignore_index: bool = False,
    key: Any = None,
) -> Any:
    """Serve sorting rows by their labels, of one or several levels."""
    _sort_checks(axis, inplace, kind, na_position, key, ignore_index)
    refuse(level=(level, None), sort_remaining=(sort_remaining, True))
    table = table_of(self)
    rows = table.current_rows()
    if not isinstance(rows, Keys):
        raise Fallback("sorting by range labels")
    if any(e.maybe_null and e.dtype.startswith("category") for e in rows.exprs):
        raise Fallback("category labels that may be missing")
    directions = _ascending_list(ascending, len(rows.exprs))
    if rows.multi and (not all(directions) or any(e.maybe_null for e in rows.exprs)):
        raise Fallback("descending or missing labels of several levels")
    if rows.multi and any(e.dtype.startswith("category") for e in rows.exprs):
        raise Fallback("several levels with categories, which pandas leaves when their values are in order")
    out = ordered(table, list(rows.exprs), [not a for a in directions], na_position == "first")
    return result(relabelled(out) if ignore_index else out, self)


def _top(self: Any, table: Table, n: Any, keys: list[Any], keep: str, largest: bool) -> Any:
    if type(n) is not int or n < 0 or keep != "first":
        raise Fallback(f"n={n!r}, keep={keep!r}")
    for expr in keys:
        if not expr.dtype.startswith(("int", "uint", "float", "datetime", "timedelta")):
            raise Fallback(f"nlargest of {expr.dtype}")
        if expr.maybe_null and len(keys) > 1:
            raise Fallback("several columns that may be missing")
    return ordered(table, keys, [largest] * len(keys), False, n)


def _top_frame(self: DataFrame, n: Any, columns: Any, keep: str, largest: bool) -> DataFrame:
    table = table_of(self)
    labels = columns if isinstance(columns, list) else [columns]
    if isinstance(table.columns, MultiIndex) or not table.columns.is_unique or not labels:
        raise Fallback("labels that may mean several columns")
    getattr(table.skeleton(), "nlargest" if largest else "nsmallest")(0, columns)  # pandas' errors
    keys = [table.exprs[table.at(label)] for label in labels]
    return result(_top(self, table, n, keys, keep, largest), self)


@native("DataFrame.nlargest")
def nlargest(self: DataFrame, n: int, columns: Any, keep: str = "first") -> DataFrame:
    """Serve nlargest."""
    return _top_frame(self, n, columns, keep, True)


@native("DataFrame.nsmallest")
def nsmallest(self: DataFrame, n: int, columns: Any, keep: str = "first") -> DataFrame:
    """Serve nsmallest."""
    return _top_frame(self, n, columns, keep, False)


@native("Series.nlargest")
def nlargest_series(self: Series, n: int = 5, keep: str = "first") -> Series:
    """Serve nlargest of a column."""
    table = table_of(self)
    if table.exprs[0].maybe_null:
        raise Fallback("values that may be missing")
    return result(_top(self, table, n, table.exprs, keep, True), self)


@native("Series.nsmallest")
def nsmallest_series(self: Series, n: int = 5, keep: str = "first") -> Series:
    """Serve nsmallest of a column."""
    table = table_of(self)
    if table.exprs[0].maybe_null:
        raise Fallback("values that may be missing")
    return result(_top(self, table, n, table.exprs, keep, False), self)


# ---- duplicates

KEEP = {"first": 0, "last": 1, False: 2}


def distinct(table: Table, keys: list[Any], keep: Any) -> Table:
    """Give the rows whose key tuple is the first (last, only) of its kind."""
    if keep not in KEEP or (isinstance(keep, int) and keep is not False):
        raise Fallback(f"keep={keep!r}")
    whole = Table(table.rel, [*table.exprs, *keys], [*table.dtypes, *([None] * len(keys))], None, table.current_rows())
    flat = whole.flat(labelled=True)
    n = len(table.exprs)
    rel = _engine.node("DISTINCT", (flat.rel,), tuple(flat.exprs[n:]), keep=KEEP[keep])
    out = flat.over(rel)
    return Table(rel, out.exprs[:n], table.dtypes, table.columns if table.is_frame else None, out.rows, table.name)


@native("DataFrame.drop_duplicates")
def drop_duplicates(self: DataFrame, subset: Any = None, *, keep: Any = "first", inplace: Any = no_default,
                    ignore_index: bool = False) -> DataFrame:  # fmt: skip
    """Serve drop_duplicates by all or some columns."""
    refuse(inplace=(inplace, no_default), ignore_index=(ignore_index, True, False))
    table = table_of(self)
    if any(label not in table.columns for label in (subset if isinstance(subset, list) else [])):
        raise Fallback("labels that are not there")
    if isinstance(subset, (str, int)) and subset not in table.columns:
        raise Fallback("labels that are not there")
    if isinstance(table.columns, MultiIndex) or not table.columns.is_unique or not len(table.exprs):
        raise Fallback("labels that may mean several columns")
    if subset is None:
        keys = list(table.exprs)
    elif isinstance(subset, (str, int)):
        keys = [table.exprs[table.at(subset)]]
    elif isinstance(subset, list) and subset and all(label in table.columns for label in subset):
        keys = [table.exprs[table.at(label)] for label in subset]
    else:
        raise Fallback(f"subset of type {type(subset).__name__}")
    out = distinct(table, keys, keep)
    return result(relabelled(out) if ignore_index and table.nrows() else out, self)  # pandas gives back an empty frame


@native("Series.drop_duplicates")
def drop_duplicates_series(self: Series, *, keep: Any = "first", inplace: Any = no_default,
                           ignore_index: bool = False) -> Series:  # fmt: skip
    """Serve drop_duplicates of a column."""
    refuse(inplace=(inplace, no_default), ignore_index=(ignore_index, True, False))
    table = table_of(self)
    out = distinct(table, list(table.exprs), keep)
    return result(relabelled(out) if ignore_index else out, self)


@native("Series.unique")
def unique(self: Series) -> Any:
    """Serve the distinct values in order of appearance."""
    table = table_of(self)
    if isinstance(table.dtypes[0], np.dtype) and table.dtypes[0].kind not in "mM":
        out = distinct(table, list(table.exprs), "first")
        return out.arrays(out.exprs, out.dtypes)[0].copy()
    raise Fallback(f"unique of {table.dtypes[0]}")


# ---- windows over a whole column


def _window(self: Series, fn: str, out: str, **options: Any) -> Series:
    table = table_of(self)
    expr = table.exprs[0]
    unsettled = options.pop("unsettled", False)
    items = (item("window", fn, 0, out, unsettled=unsettled, **options),)

    def apply(rel: Any) -> Any:
        return _engine.node("WINDOW", (rel,), (expr,), n_keys=0, items=items)

    longer = table.extended(apply)
    dtype = table.dtypes[0] if out == expr.dtype else pandas_dtype(out)
    return result(longer.series(_engine.col(longer.rel, table.rel.n_cols), dtype, self._name).settled(), self)


@native("Series.rank")
def rank(self: Series, axis: Any = 0, method: str = "average", numeric_only: bool = False, na_option: str = "keep",
         ascending: bool = True, pct: bool = False) -> Series:  # fmt: skip
    """Serve rank of numbers and datetimes."""
    refuse(
        axis=(axis, 0), numeric_only=(numeric_only, False), ascending=(ascending, True, False), pct=(pct, True, False)
    )
    if method not in RANKS or na_option not in NA_OPTIONS:
        raise Fallback(f"method={method!r}, na_option={na_option!r}")
    kind = table_of(self).exprs[0].dtype
    if kind == "bool" or kind == "str" or kind.startswith("category"):
        raise Fallback(f"rank of {kind}")
    return _window(
        self, f"rank_{method}", "float64", descending=not ascending, pct=pct, na_option=NA_OPTIONS[na_option]
    )


def _register_cumulative(fn: str) -> None:
    @native(f"Series.{fn}")
    def cumulative(self: Series, axis: Any = 0, skipna: bool = True, *args: Any, **kwargs: Any) -> Series:
        refuse(axis=(axis, 0, None), skipna=(skipna, True))
        if args or kwargs:
            raise Fallback(f"{fn} with further arguments")
        return _window(self, fn, cumulative_dtype(fn, table_of(self).exprs[0].dtype))

    cumulative.__doc__ = f"Serve {fn}."


for _fn in ("cumsum", "cumprod", "cummin", "cummax"):
    _register_cumulative(_fn)


@native("Series.shift")
def shift(
    self: Series, periods: Any = 1, freq: Any = None, axis: Any = 0, fill_value: Any = no_default, suffix: Any = None
) -> Series:
    """Serve shift by a number of rows."""
    refuse(freq=(freq, None), axis=(axis, 0), suffix=(suffix, None))
    if type(periods) is not int or fill_value is not no_default or periods == 0:
        raise Fallback("shift with these arguments")
    kind = table_of(self).exprs[0].dtype
    if kind == "bool":
        raise Fallback("shift of bool")
    whole_number = kind.startswith(("int", "uint"))
    return _window(self, "shift", "float64" if whole_number else kind, param=periods, unsettled=whole_number)


@native("Series.diff")
def diff(self: Series, periods: int = 1) -> Series:
    """Serve diff of numbers."""
    kind = table_of(self).exprs[0].dtype
    if type(periods) is not int or periods == 0 or kind not in ("int64", "float64"):
        raise Fallback(f"diff of {kind}")
    return _window(self, "diff", "float64", param=periods)
