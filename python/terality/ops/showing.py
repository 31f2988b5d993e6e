"""What people look at: repr, to_string, info, memory_usage. Only the rows shown are computed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Index, Series
from pandas.io.formats.info import DataFrameInfo

from .. import _engine
from ..dtypes import array_to_pandas
from ..registry import Fallback, native
from ..table import Keys, Table
from .arguments import table_of

_pandas_frame_repr = DataFrame.__repr__
_pandas_series_repr = Series.__repr__


def pandas_object(table: Table) -> Any:
    """Materialise a table as an object that pandas alone knows."""
    mgr = table.materialize()
    if table.is_frame:
        return DataFrame._from_mgr(mgr, axes=mgr.axes)
    out = Series._from_mgr(mgr, axes=mgr.axes)
    out._name = table.name
    return out


def ends(table: Table, rows: int) -> Table:
    """Give the first and last `rows` rows, as one plan."""
    flat = table.flat(labelled=True)
    first = _engine.node("SLICE", (flat.rel,), start=0, stop=rows)
    last = _engine.node("SLICE", (flat.rel,), start=-rows, stop=2**63 - 1)
    out = flat.over(_engine.node("CONCAT", (first, last)))
    if isinstance(out.rows, Keys) and out.rows.ranged:
        out.rows = Keys(out.rows.exprs, out.rows.dtypes, out.rows.names)
    return out


def _small(self: Any, max_rows: Any) -> tuple[Any, int]:
    """Give a pandas object that prints like this one, and the real number of rows."""
    table = table_of(self)
    shown = table.__dict__.get("_shown")
    if shown is not None and shown[0] == max_rows:
        return shown[1], shown[2]
    if table.rel.n_rows < 0 and table.rel.kind != "FILTER":
        table.fetch([*table.exprs, *table.rows.exprs])  # counting costs as much as computing: once, and kept
    n = table.nrows()
    half = max_rows // 2 + 2 if type(max_rows) is int and max_rows > 0 else None
    if half is None or n <= 2 * half + 2:
        small = pandas_object(_again(table))
    else:
        small = pandas_object(ends(table, half))
    table.__dict__["_shown"] = (max_rows, small, n)
    return small, n


def _again(table: Table) -> Table:
    return table.frame(table.exprs, table.dtypes, table.columns) if table.is_frame else table.with_name(table.name)


@native("DataFrame.__repr__")
def frame_repr(self: DataFrame) -> str:
    """Show the first and last rows."""
    if pd.get_option("display.large_repr") == "info" or not table_of(self).exprs:
        raise Fallback("large_repr='info', or no columns")
    small, n = _small(self, pd.get_option("display.max_rows"))
    text = _pandas_frame_repr(small)
    if n != len(small):
        text = text.replace(f"\n[{len(small)} rows x ", f"\n[{n} rows x ")
    return text


@native("Series.__repr__")
def series_repr(self: Series) -> str:
    """Show the first and last rows."""
    small, n = _small(self, pd.get_option("display.max_rows"))
    text = _pandas_series_repr(small)
    if n != len(small):
        head, _, foot = text.rpartition("\n")
        if f"Length: {len(small)}" not in foot:
            head, _, rest = head.rpartition("\n")
            foot = f"{rest}\n{foot}"
        text = head + "\n" + foot.replace(f"Length: {len(small)}", f"Length: {n}")
    return text


@native("DataFrame._repr_html_")
def repr_html(self: DataFrame) -> str | None:
    """Show the first and last rows in a notebook."""
    small, n = _small(self, pd.get_option("display.max_rows"))
    text = small._repr_html_()
    if text is not None and n != len(small):
        text = text.replace(f"<p>{len(small)} rows × ", f"<p>{n} rows × ")
    return text


@native("DataFrame.to_string", "Series.to_string")
def to_string(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Format every row: all of it is computed."""
    return pandas_object(_again(table_of(self))).to_string(*args, **kwargs)


class TableInfo(DataFrameInfo):
    """pandas' summary of a frame, from the schema and counts."""

    def __init__(self, data: DataFrame, table: Table, memory_usage: Any) -> None:
        super().__init__(data, memory_usage)
        self._table = table

    @property
    def non_null_counts(self) -> Series:
        from .reducing import count_frame

        return count_frame(self.data)

    @property
    def memory_usage_bytes(self) -> int:
        return int(memory_usage_of(self._table, self.memory_usage == "deep").sum())


@native("DataFrame.info")
def info(self: DataFrame, verbose: Any = None, buf: Any = None, max_cols: Any = None, memory_usage: Any = None,
         show_counts: Any = None) -> None:  # fmt: skip
    """Print a concise summary."""
    table = table_of(self)
    if not table.exprs:
        raise Fallback("info of a frame without columns")
    summary = TableInfo(self, table, memory_usage)
    summary.render(buf=sys.stdout if buf is None else buf, max_cols=max_cols, verbose=verbose, show_counts=show_counts)


def memory_usage_of(table: Table, deep: bool, index: bool = True) -> Series:
    """Give bytes per column as pandas counts them in its own arrays."""
    n = table.nrows()
    values: list[int] = []
    for expr, dtype in zip(table.exprs, table.dtypes, strict=True):
        if isinstance(dtype, np.dtype):
            values.append(n * dtype.itemsize)
            continue
        frame, at = table.fetch([expr])
        array = array_to_pandas(frame.col(at[0]), dtype)
        values.append(int(array.memory_usage(deep=deep)) if hasattr(array, "memory_usage") else int(array.nbytes))
    labels = table.columns
    if index:
        labels = Index(["Index", *labels])
        values.insert(0, int(table.index().memory_usage(deep=deep)))
    return Series(values, index=labels, dtype=np.int64)


@native("DataFrame.memory_usage")
def memory_usage(self: DataFrame, index: bool = True, deep: bool = False) -> Series:
    """Serve bytes per column."""
    return memory_usage_of(table_of(self), bool(deep), bool(index))
