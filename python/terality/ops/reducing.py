"""Reductions of columns to numbers, value_counts, nunique, corr."""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import DataFrame, MultiIndex, Series

from .. import _engine
from ..dtypes import array_to_pandas, pandas_dtype
from ..registry import Fallback, native
from ..table import Keys, Table
from .arguments import refuse, result, scalar_of, table_of
from .grouping import DDOF, MIN_COUNT, Aggregates, item
from .ordering import ordered


def reduce_columns(table: Table, fn: str, positions: list[int], param: int | None, skipna: bool = True) -> list[Any]:
    """Compute one whole-column aggregate of several columns; gives one-value pandas arrays."""
    made = Aggregates([])
    for i in positions:
        expr, dtype = table.exprs[i], table.dtypes[i]
        out = _engine.agg_dtype(fn, expr.dtype, True)
        value = (1 if fn in DDOF else max(MIN_COUNT.get(fn, 0), 0)) if param is None else param
        made.items.append(item("agg", fn, made.place(expr), out, param=value, skipna=skipna))
        made.dtypes.append(dtype if out.startswith("category") else pandas_dtype(out))
    rel = _engine.node("AGGREGATE", (table.rel,), tuple(made.exprs), n_keys=0, items=tuple(made.items), whole=True)
    frame = rel.run()
    return [array_to_pandas(frame.col(i), d) for i, d in enumerate(made.dtypes)]


def _check_sum_of_times(table: Table) -> None:
    """Raise Fallback when a sum of timedeltas may be out of bounds: pandas says so, the engine would wrap around."""
    ends = [reduce_columns(table, fn, [0], None)[0]._ndarray.view("i8")[0] for fn in ("min", "max")]
    most = max((abs(int(v)) for v in ends), default=0)
    if most * table.nrows() >= 2**63 - 1:
        raise Fallback("a sum that may be out of bounds")


def _reduce(self: Series, fn: str, param: int | None, skipna: bool) -> Any:
    table = table_of(self)
    if table.dtypes[0] is None or table.exprs[0].dtype.startswith("category"):
        raise Fallback(f"{fn} of a category")
    if fn == "sem" and table.exprs[0].dtype == "float32":
        raise Fallback("sem of float32, which pandas rounds on the way")
    if fn == "sum" and table.exprs[0].dtype.startswith("timedelta"):
        _check_sum_of_times(table)
    value = scalar_of(reduce_columns(table, fn, [0], param, skipna)[0])
    if isinstance(value, np.floating) and np.isnan(value):
        raise Fallback("a missing result, whose type depends on why it is missing")
    return value


def _register(fn: str) -> None:
    @native(f"Series.{fn}")
    def reduction(self: Series, *args: Any, **kwargs: Any) -> Any:
        if args:
            raise Fallback("positional arguments")
        param = None
        skipna = kwargs.pop("skipna", True)
        refuse(axis=(kwargs.pop("axis", None), None, 0), numeric_only=(kwargs.pop("numeric_only", False), False),
               skipna=(skipna, True, False))  # fmt: skip
        if fn in DDOF:
            param = kwargs.pop("ddof", 1)
            if type(param) is not int:
                raise Fallback("ddof")
        if fn in ("sum", "prod"):
            param = kwargs.pop("min_count", 0)
            if type(param) is not int:
                raise Fallback("min_count")
        if kwargs:
            raise Fallback(f"{fn} with further arguments")
        return _reduce(self, fn, param, skipna)

    reduction.__doc__ = f"Serve {fn} of a column."


for _fn in ("sum", "mean", "min", "max", "std", "var", "median", "prod", "sem"):
    _register(_fn)


@native("Series.count")
def count(self: Series) -> Any:
    """Serve the number of values."""
    return _reduce(self, "count", None, True)


@native("Series.nunique")
def nunique(self: Series, dropna: bool = True) -> int:
    """Serve the number of distinct values."""
    refuse(dropna=(dropna, True, False))
    table = table_of(self)
    return int(reduce_columns(table, "nunique", [0], 0 if dropna else 1)[0][0])


NUMBERS = ("int64", "float64")


def _register_frame(fn: str) -> None:
    @native(f"DataFrame.{fn}")
    def reduction(self: DataFrame, *args: Any, **kwargs: Any) -> Series:
        numeric_only = kwargs.pop("numeric_only", False)
        refuse(axis=(kwargs.pop("axis", 0), 0, "index"), skipna=(kwargs.pop("skipna", True), True),
               numeric_only=(numeric_only, True, False))  # fmt: skip
        if args or kwargs:
            raise Fallback(f"{fn} with further arguments")
        table = table_of(self)
        positions = list(range(len(table.exprs)))
        if numeric_only:
            positions = [i for i in positions if table.exprs[i].dtype.startswith(("int", "uint", "float", "bool"))]
        kinds = {table.exprs[i].dtype for i in positions}
        if not positions or not kinds <= set(NUMBERS):
            raise Fallback(f"{fn} of other columns than int64 and float64")
        values = [v[0] for v in reduce_columns(table, fn, positions, None)]
        return Series(np.array(values), index=table.columns.take(positions), copy=False)

    reduction.__doc__ = f"Serve {fn} of number columns."


for _fn in ("sum", "mean", "min", "max", "std", "var", "median", "prod"):
    _register_frame(_fn)


@native("DataFrame.count")
def count_frame(self: DataFrame, axis: Any = 0, numeric_only: bool = False) -> Series:
    """Serve the number of values per column."""
    refuse(axis=(axis, 0, "index"), numeric_only=(numeric_only, False))
    table = table_of(self)
    if not table.exprs:
        raise Fallback("no columns")
    values = [v[0] for v in reduce_columns(table, "count", list(range(len(table.exprs))), None)]
    return Series(np.array(values), index=table.columns, copy=False)


@native("DataFrame.nunique")
def nunique_frame(self: DataFrame, axis: Any = 0, dropna: bool = True) -> Series:
    """Serve the number of distinct values per column."""
    refuse(axis=(axis, 0, "index"), dropna=(dropna, True, False))
    table = table_of(self)
    if not table.exprs:
        raise Fallback("no columns")
    values = [v[0] for v in reduce_columns(table, "nunique", list(range(len(table.exprs))), 0 if dropna else 1)]
    return Series(np.array(values), index=table.columns, copy=False)


@native("Series.corr")
def corr(self: Series, other: Any, method: Any = "pearson", min_periods: Any = None) -> float:
    """Serve the Pearson correlation with a column over the same rows."""
    from ..table import aligned

    refuse(method=(method, "pearson"), min_periods=(min_periods, None))
    if type(other) is not Series:
        raise Fallback(f"other of type {type(other).__name__}")
    a, b = aligned(table_of(self), table_of(other))
    for expr in (a.exprs[0], b.exprs[0]):
        if not expr.dtype.startswith(("int", "uint", "float")):
            raise Fallback(f"corr of {expr.dtype}")
    items = (item("agg", "corr", 0, "float64", expr2=1),)
    rel = _engine.node("AGGREGATE", (a.rel,), (a.exprs[0], b.exprs[0]), n_keys=0, items=items, whole=True)
    value: float = np.frombuffer(rel.run().col(0), np.float64)[0]
    if np.isnan(value):
        raise Fallback("a missing result, whose type depends on why it is missing")
    return value


# ---- value_counts


def _counts(table: Table, keys: list[Any], key_dtypes: list[Any], names: list[Any], normalize: bool, sort: bool,
            ascending: bool, dropna: bool, multi: bool) -> Table:  # fmt: skip
    """Give distinct key tuples with their number of rows."""
    made = Aggregates(keys)
    made.add("size", None, None)
    rel = _engine.node(
        "AGGREGATE",
        (table.rel,),
        tuple(made.exprs),
        n_keys=len(keys),
        items=tuple(made.items),
        sort=False,
        dropna=dropna,
    )
    value = _engine.col(rel, len(keys))
    rows = Keys([_engine.col(rel, i) for i in range(len(keys))], key_dtypes, names, multi=multi)
    name = "proportion" if normalize else "count"
    counted = Table(rel, [value], [np.dtype("int64")], None, rows, name)
    if sort:
        counted = ordered(counted, [value], [not ascending], False)
    if normalize:
        total = int(reduce_columns(counted, "sum", [0], None)[0][0])
        share = _engine.op("TRUEDIV", (counted.exprs[0], _engine.lit(total, "int64", False)))
        counted = counted.series(share, np.dtype("float64"), name)
    return counted


@native("Series.value_counts")
def value_counts(self: Series, normalize: bool = False, sort: bool = True, ascending: bool = False, bins: Any = None,
                 dropna: bool = True) -> Series:  # fmt: skip
    """Serve value_counts of numbers and text."""
    refuse(normalize=(normalize, True, False), sort=(sort, True, False), ascending=(ascending, True, False),
           bins=(bins, None), dropna=(dropna, True, False))  # fmt: skip
    table = table_of(self)
    kind = table.exprs[0].dtype
    if kind == "bool" or kind.startswith(("category", "datetime", "timedelta")):
        raise Fallback(f"value_counts of {kind}")
    return result(
        _counts(table, [table.exprs[0]], [table.dtypes[0]], [self._name], normalize, sort, ascending, dropna, False)
    )


@native("DataFrame.value_counts")
def value_counts_frame(self: DataFrame, subset: Any = None, normalize: bool = False, sort: bool = True,
                       ascending: bool = False, dropna: bool = True) -> Series:  # fmt: skip
    """Serve value_counts of tuples of columns."""
    refuse(normalize=(normalize, False), sort=(sort, True), ascending=(ascending, True, False), dropna=(dropna, True))
    table = table_of(self)
    if isinstance(table.columns, MultiIndex) or not table.columns.is_unique:
        raise Fallback("labels that may mean several columns")
    if subset is not None and not isinstance(subset, list):
        raise Fallback("subset that is no list")
    labels = list(table.columns) if subset is None else subset
    if any(label not in table.columns or label in table.index_names for label in labels):
        raise Fallback("labels that are not there, or name row labels too")
    at = [table.at(label) for label in labels]
    if any(table.exprs[i].dtype.startswith("category") for i in at) or not at:
        raise Fallback("value_counts of category columns")
    keys = [table.exprs[i] for i in at]
    # pandas counts groups as they come, then sorts by count, stably
    made = Aggregates(keys)
    made.add("size", None, None)
    rel = _engine.node(
        "AGGREGATE", (table.rel,), tuple(made.exprs), n_keys=len(keys), items=tuple(made.items), sort=False, dropna=True
    )
    names = [table.columns[i] for i in at]
    rows = Keys([_engine.col(rel, i) for i in range(len(keys))], [table.dtypes[i] for i in at], names, multi=True)
    counted = Table(rel, [_engine.col(rel, len(keys))], [np.dtype("int64")], None, rows, "count")
    return result(ordered(counted, counted.exprs, [not ascending], False))
