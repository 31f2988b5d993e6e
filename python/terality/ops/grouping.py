"""Group-by: aggregates, transforms, windows within groups, head and tail, recognised functions.

Result labels and pandas' errors are asked of pandas itself on frames without rows; dtypes come from the engine.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from pandas import CategoricalDtype, DataFrame, Index, MultiIndex, StringDtype
from pandas.core.groupby.generic import DataFrameGroupBy, SeriesGroupBy

from .. import _engine
from ..dtypes import pandas_dtype
from ..native import finalize, native_of
from ..registry import Fallback, native
from ..table import Keys, Range, Table
from ..tracing import trace_apply
from .arguments import as_blocks, refuse, result, table_of

AGGREGATES = {"sum": "sum", "mean": "mean", "min": "min", "max": "max", "count": "count", "size": "size", "std": "std",
              "var": "var", "median": "median", "first": "first", "last": "last", "nunique": "nunique", "prod": "prod",
              "any": "any", "all": "all", "sem": "sem"}  # fmt: skip
DDOF = ("std", "var", "sem")
MIN_COUNT = {"sum": 0, "prod": 0, "min": -1, "max": -1, "first": -1, "last": -1}


class Grouping:
    """What a GroupBy object groups: its table, keys and parameters.

    Attributes
    ----------
    table : Table
        The grouped frame, or the one column of a SeriesGroupBy, over the node the keys are of.
    keys : list of Expr
    key_dtypes, key_names : lists
    positions : list of int
        Columns of `table` to aggregate when none are named.
    """

    def __init__(self, grouped: Any) -> None:
        frame = grouped.obj
        self.is_series = isinstance(grouped, SeriesGroupBy)
        self.by = grouped.keys
        self.as_index: bool = grouped.as_index
        self.sort: bool = grouped.sort
        self.dropna: bool = grouped.dropna
        self.group_keys: bool = grouped.group_keys
        labels = grouped.keys if isinstance(grouped.keys, list) else [grouped.keys]
        if grouped.level is not None or grouped.keys is None:
            raise Fallback("level")
        if not self.as_index and not all(isinstance(label, str) for label in labels):
            raise Fallback("as_index=False with keys that are not text")
        self.source = frame
        if self.is_series:
            parent = vars(grouped).get("_tr_lazy")
            if parent is None:
                raise Fallback("a SeriesGroupBy that pandas has computed")
            whole = table_of(parent.obj)
            self.table = table_of(frame)
            if self.table.rel is not whole.rel:
                whole = native_of(parent.obj)  # type: ignore[assignment]
                if not isinstance(whole, Table) or whole.rel is not self.table.rel:
                    raise Fallback("keys and column that were computed apart")
        else:
            whole = self.table = table_of(frame)
        self._keys_of(whole, labels)
        if not grouped.observed and any(isinstance(d, CategoricalDtype) for d in self.key_dtypes):
            raise Fallback("observed=False")
        self.positions = [] if self.is_series else self._positions(whole, labels, grouped._selection)

    def _keys_of(self, whole: Table, labels: list[Any]) -> None:
        if isinstance(whole.columns, MultiIndex) or not whole.columns.is_unique:
            raise Fallback("column labels that are not plain and unique")
        if not all(type(label) in (str, int, float) and label in whole.columns for label in labels):
            raise Fallback("keys that are not column labels")
        if any(name is not None and name in labels for name in whole.index_names):
            raise Fallback("keys that name row labels")
        at = [whole.at(label) for label in labels]
        self.keys = [whole.exprs[i] for i in at]
        self.key_dtypes = [whole.dtypes[i] for i in at]
        self.key_names = [whole.columns[i] for i in at]  # numpy numbers for labels of a number Index, as in pandas
        self.whole = whole

    @staticmethod
    def _positions(whole: Table, labels: list[Any], selection: Any) -> list[int]:
        if selection is not None:
            chosen = selection if isinstance(selection, list) else [selection]
            return [whole.at(label) for label in chosen]
        return [i for i, label in enumerate(whole.columns) if label not in labels]

    @property
    def many(self) -> bool:
        """Several keys: the result's row labels are a MultiIndex."""
        return len(self.keys) > 1

    def skeleton(self, grouped: Any) -> Any:
        """Give the same group-by over no rows, for pandas' labels and errors."""
        out = self.whole.skeleton().groupby(
            self.by, as_index=self.as_index, sort=self.sort, observed=True, dropna=self.dropna
        )
        if grouped._selection is not None:
            return out[grouped._selection]
        return out


def item(kind: str, fn: str, expr: int, dtype: str, *, expr2: int = -1, param: int = 0, q: float = 0.5,
         skipna: bool = True, descending: bool = False, pct: bool = False, na_option: int = 0,
         unsettled: bool = False) -> tuple[Any, ...]:  # fmt: skip
    """Give one aggregate or window of a plan node, as ``_engine.node`` takes it."""
    return (kind, fn, expr, expr2, param, q, skipna, descending, pct, na_option, dtype, unsettled)


def depends(fn: str, name: str, param: int) -> bool:
    """Whether values decide the dtype of an aggregate: pandas narrows again what it widened, if nothing is lost."""
    whole = name == "bool" or name.startswith(("int", "uint"))
    if fn in ("sum", "prod"):
        return (whole and param > 0) or (whole and name not in ("bool", "int64", "uint64"))
    if fn in ("min", "max", "first", "last"):
        return whole and param > 1
    return fn == "mean" and name == "float32"


class Aggregates:
    """Collects expressions and items of one AGGREGATE or WINDOW node."""

    def __init__(self, keys: list[Any]) -> None:
        self.exprs = list(keys)
        self.n_keys = len(keys)
        self.items: list[tuple[Any, ...]] = []
        self.dtypes: list[Any] = []

    def place(self, expr: Any) -> int:
        """Give the position of an expression among the node's, adding it once."""
        for i in range(self.n_keys, len(self.exprs)):
            if self.exprs[i].equals(expr):
                return i
        self.exprs.append(expr)
        return len(self.exprs) - 1

    def add(self, fn: str, expr: Any, dtype: Any, *, kind: str = "agg", param: int | None = None) -> None:
        """Add one aggregate of a column."""
        if fn not in AGGREGATES:
            raise Fallback(f"aggregate {fn!r}")
        if fn == "size":
            self.items.append(item(kind, "size", -1, "int64"))
            self.dtypes.append(np.dtype("int64"))
            return
        if fn in ("median", "std", "var", "sem") and expr.dtype == "float32":
            raise Fallback(f"{fn} of float32, whose dtype depends on what it is")
        if fn == "sum" and expr.dtype.startswith("timedelta"):
            raise Fallback("sum of timedelta64, which pandas refuses out of bounds")
        out = _engine.agg_dtype(fn, expr.dtype, False)
        if param is None:
            param = 1 if fn in DDOF else MIN_COUNT.get(fn, 0)
        self.items.append(item(kind, fn, self.place(expr), out, param=param, unsettled=depends(fn, expr.dtype, param)))
        self.dtypes.append(dtype if out.startswith("category") else pandas_dtype(out))


def _result_of(
    g: Grouping, made: Aggregates, columns: Index | None, name: Hashable = None, blocks: tuple[str, ...] = ()
) -> Any:
    """Give the lazy result of an AGGREGATE node: keys as row labels, or as first columns.

    `blocks`: dtypes of the columns that one aggregate was computed of, see :func:`as_blocks`.
    """
    rel = _engine.node("AGGREGATE", (g.whole.rel,), tuple(made.exprs), n_keys=made.n_keys, items=tuple(made.items),
                       sort=g.sort, dropna=g.dropna)  # fmt: skip
    n = made.n_keys
    keys = [_engine.col(rel, i) for i in range(n)]
    values = [_engine.col(rel, n + i) for i in range(len(made.items))]
    if g.as_index:
        rows = Keys(
            keys, g.key_dtypes, g.key_names, multi=isinstance(g.by, list) and n > 1, missing_levels=not g.dropna
        )
        if columns is None:
            return result(Table(rel, values, made.dtypes, None, rows, name).settled())
        return finalize(result(as_blocks(Table(rel, values, made.dtypes, columns, rows).settled(), blocks)), g.source)
    assert columns is not None
    table = Table(rel, [*keys, *values], [*g.key_dtypes, *made.dtypes], columns, Range())
    if len(columns) != len(table.exprs):
        raise Fallback("keys that pandas leaves out of the result")
    return finalize(result(as_blocks(table.settled(), blocks)), g.source)


def simple_aggregate(grouped: Any, fn: str, param: int | None = None, numeric_only: bool = False) -> Any:
    """Serve ``grouped.fn()``."""
    g = Grouping(grouped)
    made = Aggregates(g.keys)
    if g.is_series:
        if numeric_only and not g.table.exprs[0].dtype.startswith(("int", "uint", "float", "bool")):
            raise Fallback("numeric_only of a column that is not numeric")
        made.add(fn, g.table.exprs[0], g.table.dtypes[0], param=param)
        if not g.as_index:
            columns = getattr(g.skeleton(grouped), fn)().columns
            return _result_of(g, made, columns)
        return _result_of(g, made, None, g.table.name)
    positions = g.positions
    if numeric_only:
        positions = [i for i in positions if g.table.exprs[i].dtype.startswith(("int", "uint", "float", "bool"))]
    for i in positions:
        made.add(fn, g.table.exprs[i], g.table.dtypes[i], param=param)
    chosen = g.table.columns.take(positions)
    blocks = tuple(g.table.exprs[i].dtype for i in positions)
    return _result_of(g, made, chosen if g.as_index else _with_key_labels(g, chosen), blocks=blocks)


def _with_key_labels(g: Grouping, chosen: Index) -> Index:
    """Labels of keys, then of values; pandas leaves a key out when a value has its label."""
    if any(name in chosen for name in g.key_names):
        raise Fallback("a key that is aggregated too")
    columns = chosen
    for i, name in enumerate(g.key_names):
        columns = columns.insert(i, name)
    return columns


def _register_simple(fn: str) -> None:
    @native(f"DataFrameGroupBy.{fn}", f"SeriesGroupBy.{fn}")
    def simple(self: Any, *args: Any, **kwargs: Any) -> Any:
        numeric_only = kwargs.pop("numeric_only", False)
        param = None
        if fn in DDOF and "ddof" in kwargs:
            param = kwargs.pop("ddof")
            refuse(ddof=(param, 0, 1, 2))
        if fn in MIN_COUNT and "min_count" in kwargs:
            param = kwargs.pop("min_count")
            if type(param) is not int:
                raise Fallback("min_count")
        if fn == "nunique" and "dropna" in kwargs:
            refuse(dropna=(kwargs.pop("dropna"), True))
        if args or kwargs or not isinstance(numeric_only, bool):
            raise Fallback(f"{fn} with further arguments")
        return simple_aggregate(self, fn, param, numeric_only)

    simple.__doc__ = f"Serve groupby.{fn}()."


for _fn in AGGREGATES:
    if _fn != "size":
        _register_simple(_fn)


@native("DataFrameGroupBy.size", "SeriesGroupBy.size")
def size(self: Any) -> Any:
    """Serve groupby.size()."""
    g = Grouping(self)
    made = Aggregates(g.keys)
    made.add("size", None, None)
    if g.as_index:
        return _result_of(g, made, None, g.table.name if g.is_series else None)
    return _result_of(g, made, g.skeleton(self).size().columns)


def _function_name(function: Any) -> str:
    if isinstance(function, str) and function in AGGREGATES:
        return function
    raise Fallback(f"aggregate {function!r}")


def _position(g: Grouping, label: Any) -> int:
    if not isinstance(label, Hashable) or label not in g.whole.columns:
        raise Fallback("a column that is not there")
    return g.whole.at(label)


def _flat_spec(g: Grouping, func: Any, kwargs: dict[str, Any]) -> list[tuple[Any, str]]:
    """Give (expression position or None, function) of every result column, in order."""
    if func is None:
        pairs = []
        for value in kwargs.values():
            if not isinstance(value, tuple) or len(value) != 2:
                raise Fallback("named aggregation of another form")
            pairs.append((_position(g, value[0]), _function_name(value[1])))
        return pairs
    if kwargs:
        raise Fallback("arguments for the aggregate")
    if isinstance(func, str):
        return [(i, _function_name(func)) for i in g.positions]
    if isinstance(func, list):
        return [(i, _function_name(f)) for i in g.positions for f in func]
    if isinstance(func, dict):
        pairs = []
        for label, functions in func.items():
            one = functions if isinstance(functions, list) else [functions]
            pairs += [(_position(g, label), _function_name(f)) for f in one]
        return pairs
    raise Fallback(f"func of type {type(func).__name__}")


def _spec_labels(g: Grouping, grouped: Any, func: Any, kwargs: dict[str, Any], pairs: list[tuple[Any, str]]) -> Index:
    """Labels of the result: directly for the plain forms, else asked of pandas."""
    columns = g.whole.columns
    plain = isinstance(columns.dtype, StringDtype) and columns.is_unique
    if plain and isinstance(func, dict) and all(isinstance(f, str) for f in func.values()):
        chosen = Index(list(func), dtype=columns.dtype, name=columns.name)
        return chosen if g.as_index else _with_key_labels(g, chosen)
    return g.skeleton(grouped).agg(func, **kwargs).columns


@native("DataFrameGroupBy.agg", "DataFrameGroupBy.aggregate")
def agg_frame(
    self: DataFrameGroupBy, func: Any = None, *args: Any, engine: Any = None, engine_kwargs: Any = None, **kwargs: Any
) -> Any:
    """Serve agg with names: one, a list, a dict of them, and named aggregation."""
    refuse(engine=(engine, None), engine_kwargs=(engine_kwargs, None))
    if args:
        raise Fallback("arguments for the aggregate")
    g = Grouping(self)
    if isinstance(func, str) and not kwargs:
        return simple_aggregate(self, _function_name(func)) if func != "size" else size(self)
    pairs = _flat_spec(g, func, kwargs)
    made = Aggregates(g.keys)
    for at, fn in pairs:
        made.add(fn, g.whole.exprs[at], g.whole.dtypes[at])
    return _result_of(g, made, _spec_labels(g, self, func, kwargs, pairs))


@native("SeriesGroupBy.agg", "SeriesGroupBy.aggregate")
def agg_series(
    self: SeriesGroupBy, func: Any = None, *args: Any, engine: Any = None, engine_kwargs: Any = None, **kwargs: Any
) -> Any:
    """Serve agg of one column with a name, a list of names, or named aggregation."""
    refuse(engine=(engine, None), engine_kwargs=(engine_kwargs, None))
    if args:
        raise Fallback("arguments for the aggregate")
    if isinstance(func, str) and not kwargs:
        return simple_aggregate(self, _function_name(func)) if func != "size" else size(self)
    g = Grouping(self)
    functions = list(kwargs.values()) if func is None else func
    if not isinstance(functions, list) or (func is not None and kwargs):
        raise Fallback(f"func of type {type(func).__name__}")
    made = Aggregates(g.keys)
    for f in functions:
        made.add(_function_name(f), g.table.exprs[0], g.table.dtypes[0])
    return _result_of(g, made, g.skeleton(self).agg(func, **kwargs).columns)


# ---- results with the rows of the source


def _windowed(g: Grouping, made: Aggregates) -> tuple[Table, int]:
    """Give the source's table over a node extended by the items, and the first item's position."""
    exprs, items, n_keys, sort, dropna = tuple(made.exprs), tuple(made.items), made.n_keys, g.sort, g.dropna

    def apply(rel: Any) -> Any:
        return _engine.node("WINDOW", (rel,), exprs, n_keys=n_keys, items=items, sort=sort, dropna=dropna)

    base = g.table
    return base.extended(apply), base.rel.n_cols


def window_series(g: Grouping, made: Aggregates) -> Any:
    """Give the one item as a lazy Series (SeriesGroupBy), or all as a frame."""
    table, at = _windowed(g, made)
    if g.is_series:
        return result(table.series(_engine.col(table.rel, at), made.dtypes[0], g.table.name).settled(), g.source)
    exprs = [_engine.col(table.rel, at + i) for i in range(len(made.items))]
    out = table.frame(exprs, made.dtypes, g.table.columns.take(g.positions)).settled()
    return result(as_blocks(out, tuple(g.table.exprs[i].dtype for i in g.positions)), g.source)


def _inputs(g: Grouping) -> list[tuple[Any, Any]]:
    if g.is_series:
        return [(g.table.exprs[0], g.table.dtypes[0])]
    return [(g.table.exprs[i], g.table.dtypes[i]) for i in g.positions]


@native("DataFrameGroupBy.transform", "SeriesGroupBy.transform")
def transform(
    self: Any, func: Any = None, *args: Any, engine: Any = None, engine_kwargs: Any = None, **kwargs: Any
) -> Any:
    """Serve transform with the name of an aggregate or window."""
    refuse(engine=(engine, None), engine_kwargs=(engine_kwargs, None))
    if args or kwargs or not isinstance(func, str):
        raise Fallback("a function or its arguments")
    if func in ("cumsum", "cumprod", "cummin", "cummax", "rank", "shift", "diff"):
        raise Fallback(f"transform({func!r})")
    if func == "size":
        raise Fallback("transform('size')")
    g = Grouping(self)
    made = Aggregates(g.keys)
    for expr, dtype in _inputs(g):
        made.add(_function_name(func), expr, dtype, kind="transform")
        _check_dropped(g, made.dtypes[-1])
    return window_series(g, made)


def _check_dropped(g: Grouping, dtype: Any) -> None:
    """Rows whose key is missing make integers float and bools object: only pandas knows without looking."""
    if g.dropna and any(k.maybe_null for k in g.keys) and isinstance(dtype, np.dtype) and dtype.kind in "iub":
        raise Fallback("transform to integers with keys that may be missing")


_CUMULATIVE = {"cumsum": "cumsum", "cumprod": "cumprod", "cummin": "cummin", "cummax": "cummax"}


def cumulative_dtype(fn: str, name: str) -> str:
    """Result dtype of a cumulative function; Fallback where pandas has another rule."""
    if name in ("int64", "uint64", "float64", "float32"):
        return name
    if fn in ("cummin", "cummax") and name.startswith(("int", "uint")):
        return name
    raise Fallback(f"{fn} of {name}")


def _register_cumulative(fn: str) -> None:
    @native(f"DataFrameGroupBy.{fn}", f"SeriesGroupBy.{fn}")
    def cumulative(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            raise Fallback(f"{fn} with arguments")
        g = Grouping(self)
        made = Aggregates(g.keys)
        for expr, _ in _inputs(g):
            out = cumulative_dtype(fn, expr.dtype)
            made.items.append(item("window", fn, made.place(expr), out))
            made.dtypes.append(pandas_dtype(out))
            _check_dropped(g, made.dtypes[-1])
        return window_series(g, made)


for _fn in _CUMULATIVE:
    _register_cumulative(_fn)


@native("DataFrameGroupBy.cumcount", "SeriesGroupBy.cumcount")
def cumcount(self: Any, ascending: bool = True) -> Any:
    """Serve the number of each row within its group."""
    g = Grouping(self)
    if g.dropna and any(k.maybe_null for k in g.keys):
        raise Fallback("cumcount with keys that may be missing")
    made = Aggregates(g.keys)
    made.items.append(item("window", "cumcount", -1, "int64", param=0 if ascending else 1))
    made.dtypes.append(np.dtype("int64"))
    table, at = _windowed(g, made)
    return finalize(result(table.series(_engine.col(table.rel, at), made.dtypes[0], None)), g.source)


RANKS = ("average", "min", "max", "first", "dense")
NA_OPTIONS = {"keep": 0, "top": 1, "bottom": 2}


@native("DataFrameGroupBy.rank", "SeriesGroupBy.rank")
def rank(self: Any, method: str = "average", ascending: bool = True, na_option: str = "keep", pct: bool = False) -> Any:
    """Serve rank within groups of numbers and datetimes."""
    if (
        method not in RANKS
        or na_option not in NA_OPTIONS
        or not isinstance(ascending, bool)
        or not isinstance(pct, bool)
    ):
        raise Fallback(f"method={method!r}, na_option={na_option!r}")
    g = Grouping(self)
    made = Aggregates(g.keys)
    for expr, _ in _inputs(g):
        if expr.dtype in ("str", "bool") or expr.dtype.startswith("category"):
            raise Fallback(f"rank of {expr.dtype}")
        if g.dropna and expr.dtype.startswith(("datetime", "timedelta")) and any(k.maybe_null for k in g.keys):
            raise Fallback("rank of times with keys that may be missing")
        made.items.append(item("window", f"rank_{method}", made.place(expr), "float64",
                               descending=not ascending, pct=pct, na_option=NA_OPTIONS[na_option]))  # fmt: skip
        made.dtypes.append(np.dtype("float64"))
    return window_series(g, made)


@native("DataFrameGroupBy.shift", "SeriesGroupBy.shift")
def shift(self: Any, periods: Any = 1, *args: Any, **kwargs: Any) -> Any:
    """Serve shift within groups."""
    if args or kwargs or type(periods) is not int or periods == 0:
        raise Fallback("shift with further arguments")
    g = Grouping(self)
    made = Aggregates(g.keys)
    for expr, dtype in _inputs(g):
        if expr.dtype == "bool":
            raise Fallback("shift of bool")
        whole_number = expr.dtype.startswith(("int", "uint"))
        out = "float64" if whole_number else expr.dtype
        made.items.append(item("window", "shift", made.place(expr), out, param=periods, unsettled=whole_number))
        made.dtypes.append(pandas_dtype(out) if whole_number else dtype)
    return window_series(g, made)


def _head(grouped: Any, n: Any, tail: bool) -> Any:
    if type(n) is not int:
        raise Fallback(f"n of type {type(n).__name__}")
    g = Grouping(grouped)
    if g.is_series:
        raise Fallback("head of a column's groups")
    table = g.table
    if grouped._selection is not None:
        raise Fallback("head of selected columns")
    whole = Table(table.rel, [*table.exprs, *g.keys], [*table.dtypes, *g.key_dtypes],
                  Index(range(len(table.exprs) + len(g.keys))), table.current_rows())  # fmt: skip
    flat = whole.flat(labelled=True)
    keys = flat.exprs[len(table.exprs) :]
    rel = _engine.node("GROUP_HEAD", (flat.rel,), tuple(keys), n_keys=len(keys), tail=tail, start=n, dropna=g.dropna)
    out = flat.over(rel)
    n_cols = len(table.exprs)
    return finalize(result(Table(rel, out.exprs[:n_cols], table.dtypes, table.columns, out.rows)), g.source)


@native("DataFrameGroupBy.head")
def head(self: Any, n: int = 5) -> Any:
    """Serve the first rows of each group."""
    return _head(self, n, False)


@native("DataFrameGroupBy.tail")
def tail(self: Any, n: int = 5) -> Any:
    """Serve the last rows of each group."""
    return _head(self, n, True)


# ---- recognised functions


@native("DataFrameGroupBy.apply")
def apply(self: DataFrameGroupBy, func: Any, *args: Any, include_groups: bool = False, **kwargs: Any) -> DataFrame:
    """Serve functions that make a Series of aggregates of their group's columns, by tracing them."""
    if args or kwargs or include_groups:
        raise Fallback("arguments of the function")
    g = Grouping(self)
    labels = list(g.whole.columns.take(g.positions))
    traced = trace_apply(func, labels)
    made = Aggregates(g.keys)
    exprs = []
    for outcome in traced.values():
        exprs.append(outcome.build(g, made))
    out = _engine.node("AGGREGATE", (g.whole.rel,), tuple(made.exprs), n_keys=made.n_keys, items=tuple(made.items),
                       sort=g.sort, dropna=g.dropna)  # fmt: skip
    cols = [_engine.col(out, made.n_keys + i) for i in range(len(made.items))]
    values = _one_dtype([build(cols) for build in exprs])
    dtypes = [pandas_dtype(v.dtype) for v in values]
    keys = [_engine.col(out, i) for i in range(made.n_keys)]
    columns = Index(list(traced))
    if g.as_index:
        rows = Keys(
            keys, g.key_dtypes, g.key_names, multi=isinstance(g.by, list) and g.many, missing_levels=not g.dropna
        )
        table = Table(out, values, dtypes, columns, rows).computed()
    else:
        columns = _with_key_labels(g, columns)
        table = Table(out, [*keys, *values], [*g.key_dtypes, *dtypes], columns, Range()).computed()
    if table.nrows() == 0:
        raise Fallback("no groups")
    return finalize(result(table), g.source)


def _one_dtype(values: list[Any]) -> list[Any]:
    """Each group gives one Series, so integers beside floats become float."""
    if len({v.dtype for v in values}) < 2:
        return values
    return [v if v.dtype == "float64" else _engine.op("CAST", (v,), dtype="float64") for v in values]
