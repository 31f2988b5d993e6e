"""What handlers have in common: tables of arguments, scalars, and refusing parameters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from .. import _engine
from ..dtypes import engine_name, pandas_dtype
from ..native import native_of, wrap_frame, wrap_series
from ..registry import Fallback
from ..table import Table

__all__ = ["as_blocks", "literal", "refuse", "result", "table_of"]


def table_of(obj: Any) -> Table:
    """Give the table of a pandas object; raises Fallback when it has none."""
    native = native_of(obj)
    if not isinstance(native, Table):
        raise Fallback(f"argument of type {type(obj).__name__}")
    return native.settled()


def result(table: Table, source: Any = None) -> Any:
    """Give the lazy pandas object of a table; attrs and flags from `source`."""
    return wrap_frame(table, source) if table.is_frame else wrap_series(table, source)


def refuse(**parameters: Any) -> None:
    """Raise Fallback when a parameter is not at a value we serve: ``refuse(axis=(axis, 0, "index"))``."""
    for name, (value, *served) in parameters.items():
        if not any(value is s or (type(value) is type(s) and value == s) for s in served):
            raise Fallback(f"{name}={value!r}")


def as_blocks(table: Table, inputs: tuple[str, ...]) -> Table:
    """Give one dtype to the last columns that came from one: pandas narrows or widens a block's columns together.

    A frame made in one go has one block per dtype; columns that were added later have blocks of their own, which the
    engine does not know of (docs/differences.md).
    """
    exprs, dtypes = list(table.exprs), list(table.dtypes)
    start = len(exprs) - len(inputs)
    for name in set(inputs):
        at = [start + i for i, given in enumerate(inputs) if given == name]
        wide = {exprs[i].dtype for i in at} - {name}
        if len(wide) != 1:
            continue
        (kind,) = wide
        for i in at:
            if exprs[i].dtype == name:
                exprs[i], dtypes[i] = _engine.op("CAST", (exprs[i],), dtype=kind), pandas_dtype(kind)
    same = all(a is b for a, b in zip(exprs, table.exprs, strict=True))
    return table if same else table.frame(exprs, dtypes, table.columns)


def literal(value: Any, like: str | None = None, weak: bool = False) -> Any:
    """Give a scalar as an expression.

    Parameters
    ----------
    value : scalar
        Python and numpy numbers, str, datetime, Timestamp, Timedelta.
    like : str, optional
        Engine dtype of the other operand; decides the unit of datetimes and the kind of missing values.
    weak : bool
        numpy's numbers count as Python's, as in pandas' arithmetic (not in its comparisons).

    Raises
    ------
    Fallback
        Not a scalar that the engine holds.
    """
    kind = type(value)
    if kind is bool:
        return _engine.lit(value, "bool", True)
    if kind is int:
        if -(2**63) <= value < 2**63:
            return _engine.lit(value, "int64", True)
        raise Fallback("an int beyond 64 bits")
    if kind is float:
        return _engine.lit(value, "float64", True)
    if kind is str:
        return _engine.lit(value, "str", False)
    if weak and isinstance(value, (np.integer, np.floating)) and not isinstance(value, np.timedelta64):
        return literal(value.item(), like)
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        name = engine_name(value.dtype)
        return _engine.lit(value.item(), name, False)
    return _time_literal(value, like)


def _time_literal(value: Any, like: str | None) -> Any:
    if value is pd.NaT or value is None:
        raise Fallback(f"the scalar {value!r}")
    if isinstance(value, (np.datetime64, dt.datetime)):
        stamp = pd.Timestamp(value)
        if stamp is pd.NaT or stamp.tz is not None:
            raise Fallback("a time zone or NaT")
        return _engine.lit(int(stamp.asm8.view("i8")), f"datetime64[{stamp.unit}]", False)
    if isinstance(value, (np.timedelta64, dt.timedelta)):
        delta = pd.Timedelta(value)
        if delta is pd.NaT:
            raise Fallback("NaT")
        return _engine.lit(int(delta.asm8.view("i8")), f"timedelta64[{delta.unit}]", False)
    raise Fallback(f"an operand of type {type(value).__name__}")


def scalar_of(array: Any, i: int = 0) -> Any:
    """Give one value of a computed array as pandas returns it from a Series."""
    return Series(array)[i] if not isinstance(array, np.ndarray) else array[i]


def is_label(value: Any) -> bool:
    """Tell whether a value can only mean one label (not a list, array, slice, callable or frame)."""
    return isinstance(value, Hashable) and not isinstance(value, (slice, DataFrame, Series)) and not callable(value)
