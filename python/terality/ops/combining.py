"""Putting tables together: merge and concat."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from pandas import CategoricalDtype, DataFrame, MultiIndex, RangeIndex, Series
from pandas.api.extensions import no_default

from .. import _engine
from ..dtypes import pandas_dtype
from ..registry import Fallback, native
from ..table import Keys, Range, Table
from .arguments import refuse, result, table_of

HOWS = ("inner", "left", "right", "outer", "cross")


class MergeKeys:
    """The join keys of both sides, cast to common dtypes.

    Attributes
    ----------
    left, right : lists of Expr
    shared : list of bool
        The key has one label on both sides and becomes one column.
    left_at, right_at : lists of int
        Their positions among the columns.
    """

    def __init__(self, left: Table, right: Table, left_on: list[Hashable], right_on: list[Hashable]) -> None:
        self.left_at = [left.at(label) for label in left_on]
        self.right_at = [right.at(label) for label in right_on]
        self.shared = [a == b for a, b in zip(left_on, right_on, strict=True)]
        self.left: list[Any] = []
        self.right: list[Any] = []
        for i, j in zip(self.left_at, self.right_at, strict=True):
            a, b = _common(left.exprs[i], right.exprs[j], left.dtypes[i], right.dtypes[j])
            self.left.append(a)
            self.right.append(b)


def _common(a: Any, b: Any, a_dtype: Any, b_dtype: Any) -> tuple[Any, Any]:
    if a.dtype == b.dtype:
        if isinstance(a_dtype, CategoricalDtype) and a_dtype != b_dtype:
            raise Fallback("keys of different categories")
        return a, b
    ints = ("int", "uint")
    if a.dtype.startswith(ints) and b.dtype.startswith(ints):
        common = np.result_type(np.dtype(a.dtype), np.dtype(b.dtype))
        if common.kind == "f":
            raise Fallback("keys of int64 and uint64")
        return _cast(a, common.name), _cast(b, common.name)
    raise Fallback(f"keys of {a.dtype} and {b.dtype}")


def _cast(expr: Any, name: str) -> Any:
    return expr if expr.dtype == name else _engine.op("CAST", (expr,), dtype=name)


def _labels_list(on: Any) -> list[Hashable]:
    labels = on if isinstance(on, list) else [on]
    if not labels or not all(isinstance(label, (str, int)) and not isinstance(label, bool) for label in labels):
        raise Fallback("keys that are not labels")
    return labels


def _merge_labels(
    left: Table, right: Table, on: Any, left_on: Any, right_on: Any, how: str
) -> tuple[list[Any], list[Any]]:
    if how == "cross":
        return [], []
    if on is None and left_on is None and right_on is None:
        both = left.columns.intersection(right.columns)
        return list(both), list(both)
    if on is not None:
        return _labels_list(on), _labels_list(on)
    return _labels_list(left_on), _labels_list(right_on)


def _named_rows(table: Table, *keys: Any) -> bool:
    """Tell whether a key names row labels of a table."""
    wanted = [
        label for key in keys for label in (key if isinstance(key, list) else [key]) if isinstance(label, Hashable)
    ]
    return any(name is not None and any(name is w or name == w for w in wanted) for name in table.index_names)


def merged(
    left: Table, right: Table, how: str, on: Any, left_on: Any, right_on: Any, sort: bool, suffixes: Any
) -> Table:
    """Give the merge of two tables by columns."""
    for table in (left, right):
        if isinstance(table.columns, MultiIndex) or not table.columns.is_unique:
            raise Fallback("column labels that are not plain and unique")
        if _named_rows(table, on, left_on, right_on):
            raise Fallback("keys that name row labels")
    left_labels, right_labels = _merge_labels(left, right, on, left_on, right_on, how)
    try:
        labels = (
            left.skeleton()
            .merge(right.skeleton(), how=how, on=on, left_on=left_on, right_on=right_on, sort=sort, suffixes=suffixes)
            .columns
        )
    except (ValueError, TypeError):  # may depend on rows; the others do not
        raise Fallback("keys that pandas looks at") from None
    if any(
        a != b and not (isinstance(a, str) and isinstance(b, str))
        for a, b in zip(left_labels, right_labels, strict=True)
    ):
        raise Fallback("keys of different labels that are not text")
    if left.columns.names != right.columns.names and len(labels) in (len(left.columns), len(right.columns)):
        raise Fallback("a side of keys only, whose name for the columns counts if there are rows")
    keys = MergeKeys(left, right, left_labels, right_labels)
    a, b = _sources(left, keys.left), _sources(right, keys.right)
    n_left, n_right, n_keys = len(left.exprs), len(right.exprs), len(keys.left)
    a_keys = [_engine.col(a, n_left + i) for i in range(n_keys)]
    b_keys = [_engine.col(b, n_right + i) for i in range(n_keys)]
    rel = _engine.node("JOIN", (a, b), (*a_keys, *b_keys), n_keys=n_keys, how=how, sort=sort)
    exprs, dtypes = _merge_columns(rel, left, right, keys, how, a.n_cols, b.n_cols)
    if len(exprs) != len(labels):
        raise Fallback("columns that pandas arranges otherwise")
    return Table(rel, exprs, dtypes, labels, Range()).settled()


def _sources(table: Table, keys: list[Any]) -> Any:
    return _engine.node("PROJECT", (table.rel,), (*table.exprs, *keys))


def _merge_columns(
    rel: Any, left: Table, right: Table, keys: MergeKeys, how: str, a_cols: int, b_cols: int
) -> tuple[Any, Any]:
    exprs, dtypes = [], []
    coalesced = {at: i for i, at in enumerate(keys.left_at) if keys.shared[i]} if how in ("right", "outer") else {}
    for i, dtype in enumerate(left.dtypes):
        at = a_cols + b_cols + coalesced[i] if i in coalesced else i
        if i in coalesced and left.exprs[i].dtype != right.exprs[keys.right_at[coalesced[i]]].dtype:
            raise Fallback("keys of different dtypes in a right or outer merge")
        exprs.append(_engine.col(rel, at))
        dtypes.append(_promised(exprs[-1], dtype))
    dropped = {at for i, at in enumerate(keys.right_at) if keys.shared[i]}
    for i, dtype in enumerate(right.dtypes):
        if i not in dropped:
            exprs.append(_engine.col(rel, a_cols + i))
            dtypes.append(_promised(exprs[-1], dtype))
    return exprs, dtypes


def _promised(expr: Any, dtype: Any) -> Any:
    return dtype if expr.dtype.startswith("category") else pandas_dtype(expr.dtype)


@native("DataFrame.merge", "pandas.merge")
def merge(
    left: Any,
    right: Any,
    how: Any = "inner",
    on: Any = None,
    left_on: Any = None,
    right_on: Any = None,
    left_index: bool = False,
    right_index: bool = False,
    sort: bool = False,
    suffixes: Any = ("_x", "_y"),
    copy: Any = no_default,
    indicator: Any = False,
    validate: Any = None,
) -> DataFrame:
    """Serve merge by columns in all kinds."""
    refuse(left_index=(left_index, False), right_index=(right_index, False), indicator=(indicator, False),
           validate=(validate, None), how=(how, *HOWS), sort=(sort, True, False), copy=(copy, no_default))  # fmt: skip
    if type(left) is not DataFrame or type(right) is not DataFrame:
        raise Fallback("merge of something else than two frames")
    out = merged(table_of(left), table_of(right), how, on, left_on, right_on, sort, suffixes)
    if left._attrs or right._attrs:
        raise Fallback("attrs on an operand")
    return result(out)


# ---- concat


@native("pandas.concat")
def concat(
    objs: Any,
    *,
    axis: Any = 0,
    join: str = "outer",
    ignore_index: bool = False,
    keys: Any = None,
    levels: Any = None,
    names: Any = None,
    verify_integrity: bool = False,
    sort: Any = no_default,
    copy: Any = no_default,
    union_categories: Any = False,
) -> Any:
    """Serve one-below-another concat of frames (or Series) with the same columns."""
    refuse(axis=(axis, 0, "index"), levels=(levels, None), verify_integrity=(verify_integrity, False),
           sort=(sort, False, no_default), join=(join, "outer", "inner"), copy=(copy, no_default),
           union_categories=(union_categories, False))  # fmt: skip
    if ignore_index not in (True, False) or (ignore_index and keys is not None):
        raise Fallback("ignore_index with keys, or no bool")
    if not isinstance(objs, (list, tuple)) or not objs or any(type(o) is not type(objs[0]) for o in objs):
        raise Fallback("objects of several types")
    if type(objs[0]) not in (DataFrame, Series) or any(o._attrs for o in objs):
        raise Fallback(f"objects of type {type(objs[0]).__name__}")
    tables = [table_of(o) for o in objs]
    first = tables[0]
    for t in tables[1:]:
        if first.is_frame and not (first.columns.equals(t.columns) and first.columns.dtype == t.columns.dtype):
            raise Fallback("frames of different columns")
        if first.is_frame and first.columns is not t.columns and not first.columns.is_unique and join == "inner":
            raise Fallback("repeated columns, which pandas intersects unless they are one object")
        if list(t.dtypes) != list(first.dtypes):
            raise Fallback("columns of different dtypes")
    if any(isinstance(d, CategoricalDtype) for d in first.dtypes):
        raise Fallback("category columns")
    if not first.is_frame and not all(_same_label(t.name, first.name) for t in tables):
        raise Fallback("Series of different names")
    return result(_stacked(tables, ignore_index, keys, names), objs[0] if len(objs) == 1 else None)


def _same_label(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, (str, int)) and a == b)


def _stacked(tables: list[Table], ignore_index: bool, keys: Any, names: Any) -> Table:
    first = tables[0]
    columns = first.columns if first.is_frame else None
    if ignore_index:
        flats = [Table(t.rel, t.exprs, t.dtypes, columns, Range(), first.name).flat() for t in tables]
        rel = _engine.node("CONCAT", tuple(f.rel for f in flats))
        out = flats[0].over(rel)
        out.rows = Range()
        return out
    flats = [t.flat(labelled=True) for t in tables]
    rows = [f.rows for f in flats]
    first_rows = rows[0]
    if not isinstance(first_rows, Keys) or not all(
        isinstance(r, Keys) and r.dtypes == first_rows.dtypes and r.multi == first_rows.multi for r in rows
    ):
        raise Fallback("row labels of different kinds")
    if any(isinstance(d, CategoricalDtype) for d in first_rows.dtypes):
        raise Fallback("category row labels")
    if keys is not None and any(t.index_names != tables[0].index_names for t in tables):
        raise Fallback("row labels of different names, which depend on whether the labels are equal")
    same_names = all(t.index_names == tables[0].index_names for t in tables)
    level_names = tables[0].index_names if same_names else [None] * len(first_rows.exprs)
    if keys is not None:
        flats, level_names = _keyed(flats, keys, names, level_names)
    elif names is not None:
        raise Fallback("names without keys")
    rel = _engine.node("CONCAT", tuple(f.rel for f in flats))
    out = flats[0].over(rel)
    old = out.rows
    assert isinstance(old, Keys)
    ranged = keys is None and all(r.ranged for r in rows)  # type: ignore[union-attr]
    out.rows = Keys(old.exprs, old.dtypes, level_names, ranged=ranged, multi=old.multi)
    if ranged and len(tables) > 1:
        labels = tables[0].index().append([t.index() for t in tables[1:]])
        out.rows = Keys(old.exprs, old.dtypes, level_names, ranged=type(labels) is RangeIndex, multi=False)
        out._index = labels
    return out


def _keyed(flats: list[Table], keys: Any, names: Any, level_names: list[Any]) -> tuple[list[Table], list[Any]]:
    """Put a constant first level before each table's row labels."""
    if type(keys) not in (list, tuple) or len(keys) != len(flats) or not all(type(k) is str for k in keys):
        raise Fallback("keys that are not one text per object")
    if len(set(keys)) != len(keys):
        raise Fallback("keys that repeat")
    out = []
    for flat, key in zip(flats, keys, strict=True):
        rows = flat.rows
        assert isinstance(rows, Keys)
        constant = _engine.lit(key, "str", False)
        new = Keys([constant, *rows.exprs], [pandas_dtype("str"), *rows.dtypes], [None, *rows.names], multi=True)
        out.append(
            Table(flat.rel, flat.exprs, flat.dtypes, flat.columns if flat.is_frame else None, new, flat.name).flat()
        )
    given = [None] if names is None else list(names)
    return out, [*given, *level_names[len(given) - 1 :]]
