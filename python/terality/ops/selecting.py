"""Selecting rows and columns, adding and renaming columns, moving columns to and from the row labels."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Index, MultiIndex, Series
from pandas.api.extensions import no_default
from pandas.core.dtypes.common import is_bool

from .. import _engine
from .. import native as native_module
from ..dtypes import array_to_pandas, pandas_dtype
from ..native import finalize
from ..registry import Fallback, native, setter
from ..table import Keys, Range, Table, aligned
from .arguments import literal, refuse, result, scalar_of, table_of

MOST_EXPRS = 200
"""A column's expression deeper than this is computed, so that plans that grow in a loop stay small."""


def filtered(table: Table, mask: Any) -> Table:
    """Give the rows of a table where a bool expression over the same node holds."""
    table = table.numbered()
    rel = _engine.node("FILTER", (table.rel,), (mask,))
    columns = table.columns if table.is_frame else None
    return Table(rel, table.exprs, table.dtypes, columns, table.current_rows(), table.name)


def sliced(table: Table, start: int, stop: int | None, step: int = 1) -> Table:
    """Give rows start:stop:step (step > 0) by position."""
    rows = table.current_rows()
    begin: int
    end: int | None
    if isinstance(rows, Range):
        n = table.nrows()
        begin, end, step = slice(start, stop, step).indices(n)
        first = rows.start + begin * rows.step
        if end <= begin:
            end = begin
        new_rows: Range | Keys = Range(first, rows.step * step, rows.name)
    else:
        begin, end, new_rows = start, stop, rows
    flat = Table(
        table.rel, table.exprs, table.dtypes, table.columns if table.is_frame else None, rows, table.name
    ).flat()
    last = 2**63 - 1 if end is None else end
    rel = _engine.node("SLICE", (flat.rel,), start=begin, stop=last, step=step)
    out = flat.over(rel)
    if isinstance(new_rows, Range):
        out.rows = new_rows
    return out


def _mask(self: Any, table: Table, key: Series) -> Table:
    mask = table_of(key)
    if mask.exprs[0].dtype != "bool":
        raise Fallback(f"indexing with a Series of {mask.exprs[0].dtype}")
    table, mask = aligned(table, mask)
    return filtered(table, mask.exprs[0])


def _shared_column(table: Table, at: int) -> Table:
    """One column of a frame; the same Native each time, so that its array is shared (facade finding P4)."""
    cache = table.__dict__.setdefault("_columns", {})
    out = cache.get(at)
    if out is None or out.name is not table.columns[at]:
        out = cache[at] = table.column(at)
    return out


@native("DataFrame.__getitem__")
def frame_getitem(self: DataFrame, key: Any) -> Any:
    """Serve ``df[label]``, ``df[[labels]]``, ``df[bool Series]`` and ``df[a:b]`` by position."""
    table = native_module.native_of(self)
    if not isinstance(table, Table):
        raise Fallback("no table")
    kind = type(key)
    if kind is str or (kind is tuple and not isinstance(table.columns, MultiIndex)) or kind is int:
        if kind is int and not table.columns.is_unique:
            raise Fallback("duplicate column labels")
        where = table.columns.get_loc(key)
        if type(where) is not int or isinstance(table.columns, MultiIndex):
            raise Fallback(f"several columns for {key!r}")
        return result(_settled_column(table, where), self)
    if kind is Series:
        return result(_mask(self, table.settled(), key), self)
    if kind is list and not any(is_bool(k) for k in key):
        return result(picked(table, key), self)
    if kind is slice and all(v is None or type(v) is int for v in (key.start, key.stop, key.step)):
        return result(_slice(table.settled(), key), self)
    raise Fallback(f"key of type {kind.__name__}")


def _settled_column(table: Table, at: int) -> Table:
    return _shared_column(table, at).settled()


def _slice(table: Table, key: slice) -> Table:
    step = 1 if key.step is None else key.step
    if step < 1:
        raise Fallback("a negative step")
    return sliced(table, key.start or 0, key.stop, step)


def picked(table: Table, labels: list[Any]) -> Table:
    """Give the columns of a list of labels, in that order; pandas' KeyError for missing ones."""
    columns = table.columns
    if isinstance(columns, MultiIndex) or not columns.is_unique:
        raise Fallback("labels that may mean several columns")
    indexer = columns._get_indexer_strict(labels, "columns")[1]
    at = [int(i) for i in indexer]
    new = columns.take(indexer)
    return table.frame([table.exprs[i] for i in at], [table.dtypes[i] for i in at], new)


@native("Series.__getitem__")
def series_getitem(self: Series, key: Any) -> Any:
    """Serve ``s[bool Series]`` and ``s[a:b]`` by position."""
    table = table_of(self)
    if type(key) is Series:
        return result(_mask(self, table, key), self)
    raise Fallback(f"key of type {type(key).__name__}")


# ---- by position


@native("DataFrame.head", "Series.head")
def head(self: Any, n: int = 5) -> Any:
    """Serve head."""
    if type(n) is not int:
        raise Fallback(f"n of type {type(n).__name__}")
    return result(sliced(table_of(self), 0, n).unshared(), self)


@native("DataFrame.tail", "Series.tail")
def tail(self: Any, n: int = 5) -> Any:
    """Serve tail."""
    if type(n) is not int:
        raise Fallback(f"n of type {type(n).__name__}")
    table = table_of(self)
    return result((sliced(table, 0, 0) if n == 0 else sliced(table, -n, None)).unshared(), self)


@native("_iLocIndexer.__getitem__")
def iloc(self: Any, key: Any) -> Any:
    """Serve ``iloc[a:b]``, ``iloc[i]`` and ``iloc[rows, columns]`` of ints and slices."""
    obj = self.obj
    table = table_of(obj)
    rows, cols = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
    if isinstance(key, tuple) and (len(key) != 2 or not table.is_frame):
        raise Fallback("iloc with this key")
    if cols is not None:
        table = _iloc_columns(table, cols)
    if isinstance(rows, slice) and all(v is None or type(v) is int for v in (rows.start, rows.stop, rows.step)):
        return result(_slice(table, rows), obj)
    if type(rows) is int:
        return _iloc_row(table, rows, obj)
    raise Fallback(f"iloc with rows of type {type(rows).__name__}")


def _iloc_columns(table: Table, cols: Any) -> Table:
    if isinstance(cols, slice):
        if cols == slice(None):  # the same labels: pandas takes those that are one object as they are
            return table.frame(table.exprs, table.dtypes, table.columns)
        at = list(range(len(table.exprs)))[cols]
        return table.frame([table.exprs[i] for i in at], [table.dtypes[i] for i in at], table.columns[cols])
    if type(cols) is int and -len(table.exprs) <= cols < len(table.exprs):
        return table.column(cols % len(table.exprs))
    raise Fallback(f"iloc with columns of type {type(cols).__name__}")


def _iloc_row(table: Table, row: int, obj: Any) -> Any:
    n = table.nrows()
    if not -n <= row < n:
        raise IndexError("single positional indexer is out-of-bounds")
    one = sliced(table, row % n, row % n + 1)
    small = result(one)
    if one.is_frame:
        return finalize(DataFrame._from_mgr(small._mgr, axes=small._mgr.axes).iloc[0], obj)
    return scalar_of(array_to_pandas(one.fetch(one.exprs)[0].col(one.fetch(one.exprs)[1][0]), one.dtypes[0]))


# ---- adding, removing, renaming


def with_column(table: Table, label: Hashable, value: Any) -> Table:
    """Give a frame with one column replaced or appended."""
    expr, dtype, table = _column_value(table, value)
    exprs, dtypes, columns = list(table.exprs), list(table.dtypes), table.columns
    if isinstance(columns, MultiIndex) or not columns.is_unique:
        raise Fallback("column labels that are not plain and unique")
    if label in columns:
        at = table.at(label)
        exprs[at], dtypes[at] = expr, dtype
    else:
        exprs.append(expr)
        dtypes.append(dtype)
        columns = columns.insert(len(columns), label)
    out = table.frame(exprs, dtypes, columns)
    if expr.dtype_depends_on_data:
        out = out.settled()
    return out


def _column_value(table: Table, value: Any) -> tuple[Any, Any, Table]:
    if type(value) is Series:
        other = table_of(value)
        table, other = aligned(table, other)
        return other.exprs[0], other.dtypes[0], table
    if isinstance(value, (bool, int, float, str, np.generic)):
        if type(value) in (bool, int, float):
            literal(value)  # refuses what 64 bits do not hold
            value = np.array(value)[()]  # a column has a dtype of its own, unlike a Python number in arithmetic
        expr = literal(value)
        return expr, pandas_dtype(expr.dtype), table
    raise Fallback(f"a value of type {type(value).__name__}")


@native("DataFrame.__setitem__")
def frame_setitem(self: DataFrame, key: Any, value: Any) -> None:
    """Serve ``df[label] = Series or scalar``."""
    if not isinstance(key, (str, int)) or isinstance(key, bool):
        raise Fallback(f"key of type {type(key).__name__}")
    native_module.replace(self, with_column(table_of(self), key, value))


@native("DataFrame.assign")
def assign(self: DataFrame, **kwargs: Any) -> DataFrame:
    """Serve assign of Series, scalars and functions of the frame."""
    table = table_of(self)
    for label, value in kwargs.items():
        if callable(value):
            value = value(finalize(result(table), self))
        table = with_column(table, label, value)
    return result(table, self)


@native("DataFrame.insert")
def insert(self: DataFrame, loc: int, column: Hashable, value: Any, allow_duplicates: Any = False) -> None:
    """Serve insert of a Series or scalar under a new label."""
    table = table_of(self)
    if (
        allow_duplicates is not False
        or type(loc) is not int
        or column in table.columns
        or not 0 <= loc <= len(table.exprs)
    ):
        raise Fallback("insert with these arguments")
    added = with_column(table, column, value)
    order = [*range(loc), len(added.exprs) - 1, *range(loc, len(added.exprs) - 1)]
    exprs, dtypes = [added.exprs[i] for i in order], [added.dtypes[i] for i in order]
    native_module.replace(self, added.frame(exprs, dtypes, table.columns.insert(loc, column)))


@native("DataFrame.drop")
def drop(
    self: DataFrame,
    labels: Any = None,
    *,
    axis: Any = 0,
    index: Any = None,
    columns: Any = None,
    level: Any = None,
    inplace: Any = no_default,
    errors: str = "raise",
) -> Any:
    """Serve dropping columns by label."""
    refuse(index=(index, None), level=(level, None), inplace=(inplace, no_default))
    if labels is not None and columns is None and axis in (1, "columns"):
        columns = labels
    elif labels is not None:
        raise Fallback("dropping rows")
    table = table_of(self)
    if columns is None or isinstance(table.columns, MultiIndex) or not table.columns.is_unique:
        raise Fallback("drop without columns")
    left = table.columns.drop(columns, errors=errors)
    at = [table.at(label) for label in left]
    return result(table.frame([table.exprs[i] for i in at], [table.dtypes[i] for i in at], left), self)


@native("DataFrame.pop")
def pop(self: DataFrame, item: Hashable) -> Series:
    """Serve pop."""
    out = frame_getitem(self, item)
    table = table_of(self)
    at = [i for i in range(len(table.exprs)) if i != table.at(item)]
    left = table.frame(
        [table.exprs[i] for i in at], [table.dtypes[i] for i in at], table.columns.delete(table.at(item))
    )
    native_module.replace(self, left)
    return out


@native("DataFrame.rename")
def rename(self: DataFrame, mapper: Any = None, **kwargs: Any) -> DataFrame:
    """Serve renaming columns: the labels are asked of pandas."""
    if mapper is not None and kwargs.get("axis") not in (1, "columns"):
        raise Fallback("renaming rows")
    if kwargs.get("index") is not None or "inplace" in kwargs or "copy" in kwargs or kwargs.get("level") is not None:
        raise Fallback("renaming rows or in place")
    table = table_of(self)
    labels = table.skeleton().rename(mapper, **kwargs).columns
    return result(table.frame(table.exprs, table.dtypes, labels), self)


@native("Series.rename")
def rename_series(self: Series, index: Any = None, **kwargs: Any) -> Series:
    """Serve giving a Series another name."""
    if kwargs or not (isinstance(index, (str, int)) or index is None):
        raise Fallback("renaming row labels")
    return result(table_of(self).with_name(index), self)


@setter("DataFrame.columns")
def set_columns(self: DataFrame, value: Any) -> None:
    """Serve ``df.columns = labels``."""
    table = table_of(self)
    labels = pd.Index(value) if not isinstance(value, Index) else value
    if len(labels) != len(table.exprs):
        raise ValueError(
            f"Length mismatch: Expected axis has {len(table.exprs)} elements, new values have {len(labels)} elements"
        )
    native_module.replace(self, table.frame(table.exprs, table.dtypes, labels))


@native("DataFrame.copy", "Series.copy")
def copy(self: Any, deep: bool = True) -> Any:
    """Serve copy: tables never change."""
    if deep is not True and not native_module.is_lazy(self):
        raise Fallback("a shallow copy of what pandas holds")
    table = native_module.native_of(self)
    if not isinstance(table, Table):
        raise Fallback("no table")
    again = table.frame(table.exprs, table.dtypes, table.columns) if table.is_frame else table.with_name(self._name)
    return result(again.unshared() if deep else again, self)


# ---- row labels


@native("DataFrame.reset_index")
def reset_index(
    self: DataFrame,
    level: Any = None,
    *,
    drop: bool = False,
    inplace: Any = no_default,
    col_level: Any = 0,
    col_fill: Any = "",
    allow_duplicates: Any = False,
    names: Any = None,
) -> DataFrame:
    """Serve moving all row labels to columns, or dropping them."""
    refuse(level=(level, None), inplace=(inplace, no_default), allow_duplicates=(allow_duplicates, False),
           names=(names, None), col_level=(col_level, 0), col_fill=(col_fill, ""))  # fmt: skip
    table = table_of(self)
    if drop:
        return result(relabelled(table), self)
    return result(unindexed(table), self)


def relabelled(table: Table) -> Table:
    """Give the same rows labelled 0, 1, ….

    A Table over a node of rows in another order or number: its range starts anew.
    """
    columns = table.columns if table.is_frame else None
    return Table(table.rel, table.exprs, table.dtypes, columns, Range(), table.name, table.recipe)


def unindexed(table: Table) -> Table:
    """Give the frame with its row labels as first columns, named as pandas names them."""
    labels = table.skeleton().reset_index().columns
    table = table.numbered()
    rows = table.current_rows()
    return relabelled(table).frame([*rows.exprs, *table.exprs], [*rows.dtypes, *table.dtypes], labels)


@native("Series.reset_index")
def reset_index_series(self: Series, level: Any = None, *, drop: bool = False, name: Any = no_default,
                       inplace: Any = no_default, allow_duplicates: bool = False) -> Any:  # fmt: skip
    """Serve moving all row labels to columns, or dropping them."""
    refuse(level=(level, None), inplace=(inplace, no_default), allow_duplicates=(allow_duplicates, False))
    table = table_of(self)
    if drop:
        return result(relabelled(table), self)
    if name is not no_default and not isinstance(name, str):
        raise Fallback("name")
    skeleton = table.skeleton()
    labels = (skeleton.reset_index() if name is no_default else skeleton.reset_index(name=name)).columns
    table = table.numbered()
    rows = table.current_rows()
    return result(relabelled(table).frame([*rows.exprs, *table.exprs], [*rows.dtypes, *table.dtypes], labels), self)


@native("DataFrame.set_index")
def set_index(
    self: DataFrame,
    keys: Any,
    *,
    drop: bool = True,
    append: bool = False,
    inplace: Any = no_default,
    verify_integrity: Any = no_default,
) -> DataFrame:
    """Serve labelling rows by columns."""
    refuse(append=(append, False), inplace=(inplace, no_default), verify_integrity=(verify_integrity, no_default))
    labels = keys if isinstance(keys, list) else [keys]
    if not all(isinstance(label, (str, int)) for label in labels):
        raise Fallback("keys that are not labels")
    table = table_of(self)
    if isinstance(table.columns, MultiIndex) or not table.columns.is_unique:
        raise Fallback("column labels that are not plain and unique")
    table.skeleton().set_index(keys, drop=drop)  # pandas' errors
    at = [table.at(label) for label in labels]
    if len(at) == 1 and table.exprs[at[0]].dtype in ("int8", "int16", "int32"):
        raise Fallback("labels that pandas makes a range of int64 when they are equally spaced")
    rows = Keys([table.exprs[i] for i in at], [table.dtypes[i] for i in at], labels, sequence=True)
    kept = [i for i in range(len(table.exprs)) if not drop or i not in at]
    columns = table.columns.take(kept) if drop else table.columns
    out = Table(
        table.rel, [table.exprs[i] for i in kept], [table.dtypes[i] for i in kept], columns, rows, None, table.recipe
    )
    return result(out, self)


@native("_LocIndexer.__getitem__")
def loc(self: Any, key: Any) -> Any:
    """Serve ``loc[label]``, ``loc[bool Series]`` and ``loc[label, bool Series or :, columns]``."""
    obj = self.obj
    table = table_of(obj)
    rows, cols = key if type(key) is tuple and len(key) == 2 and table.is_frame else (key, None)
    if type(rows) is str or type(rows) is int:
        return _loc_label(table, rows, key, obj)
    if not (type(rows) is Series or (isinstance(rows, slice) and rows == slice(None))):
        raise Fallback(f"loc with rows of type {type(rows).__name__}")
    if isinstance(rows, slice) and cols is None:
        raise Fallback("loc[:]")
    if cols is not None:
        if isinstance(cols, list) and not any(is_bool(c) for c in cols):
            chosen = picked(table, cols)
        elif isinstance(cols, str) and table.columns.is_unique and not isinstance(table.columns, MultiIndex):
            chosen = table.column(table.at(cols))
        else:
            raise Fallback(f"loc with columns of type {type(cols).__name__}")
    else:
        chosen = table
    if isinstance(rows, slice):
        return result(chosen, obj)
    return result(_mask(obj, chosen, rows), obj)


def _loc_label(table: Table, label: str | int, key: Any, obj: Any) -> Any:
    """Rows of one label are few: the engine finds them, pandas lays them out (and raises KeyError for none)."""
    rows = table.current_rows()
    if isinstance(rows, Range):
        if type(label) is not int:
            raise Fallback("a text label of range labels")
        n = table.nrows()
        at, rest = divmod(label - rows.start, rows.step)
        found = rest == 0 and 0 <= at < n
        few = sliced(table, at if found else 0, at + 1 if found else 0)
    else:
        kind = rows.exprs[0].dtype
        if rows.multi or (kind != "str" if type(label) is str else not kind.startswith(("int", "uint"))):
            raise Fallback(f"a label of type {type(label).__name__} among {kind} labels")
        few = filtered(table, _engine.op("EQ", (rows.exprs[0], literal(label, kind))))
    mgr = few.materialize()
    cls = DataFrame if few.is_frame else Series
    small = cls._from_mgr(mgr, axes=mgr.axes)
    if not few.is_frame:
        small._name = few.name
    out = small.loc[key]
    return finalize(out, obj) if isinstance(out, (DataFrame, Series)) else out


@native("DataFrame.dropna")
def dropna(self: DataFrame, *, axis: Any = 0, how: Any = no_default, thresh: Any = no_default, subset: Any = None,
           inplace: Any = no_default, ignore_index: bool = False) -> DataFrame:  # fmt: skip
    """Serve dropping rows with any (or all) missing values."""
    refuse(axis=(axis, 0, "index"), thresh=(thresh, no_default), inplace=(inplace, no_default),
           how=(how, no_default, "any", "all"), ignore_index=(ignore_index, True, False))  # fmt: skip
    table = table_of(self)
    if subset is not None and not isinstance(subset, (list, str, int)):
        raise Fallback(f"subset of type {type(subset).__name__}")
    if isinstance(subset, list) and any(label not in table.columns for label in subset):
        raise Fallback("labels that are not there")
    labels = subset if isinstance(subset, list) else None if subset is None else [subset]
    chosen = table if labels is None else picked(table, labels)
    op = "OR" if how == "all" else "AND"
    mask = None
    for expr in chosen.exprs:
        if not expr.maybe_null and op == "AND":
            continue
        one = _engine.op("NOTNA", (expr,))
        mask = one if mask is None else _engine.op(op, (mask, one))
    if mask is None:
        if op == "OR":
            raise Fallback("how='all' without columns")
        return result(
            relabelled(table) if ignore_index else table.frame(table.exprs, table.dtypes, table.columns), self
        )
    out = filtered(table, mask)
    return result(relabelled(out) if ignore_index else out, self)


@native("Series.dropna")
def dropna_series(self: Series, *, axis: Any = 0, inplace: Any = no_default, how: Any = None,
                  ignore_index: bool = False) -> Series:  # fmt: skip
    """Serve dropping missing values."""
    refuse(axis=(axis, 0, "index"), inplace=(inplace, no_default), how=(how, None),
           ignore_index=(ignore_index, True, False))  # fmt: skip
    table = table_of(self)
    if table.exprs[0].maybe_null:
        table = filtered(table, _engine.op("NOTNA", (table.exprs[0],)))
    return result(relabelled(table) if ignore_index else table.with_name(self._name), self)
