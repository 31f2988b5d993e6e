"""Frames and Series as Arrow streams, for whoever reads them through Arrow's C interface."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pandas import DataFrame, Series

from .. import _engine
from ..dtypes import array_to_pandas, text_to_arrow
from ..registry import Fallback, native
from .arguments import table_of
from .io import arrow_schema, columns_to_write, with_range


def _to_arrow(array: _engine.Array, dtype: Any) -> pa.Array:
    """Give a column with nulls where pandas sees missing values, as pyarrow makes it of pandas' own."""
    if array.dtype == "str":
        return text_to_arrow(array)
    return pa.array(array_to_pandas(array, dtype), from_pandas=True)


@native("DataFrame.__arrow_c_stream__")
def frame_stream(self: DataFrame, requested_schema: Any = None) -> Any:
    """Serve frames as Arrow tables; the row labels are columns, as pandas has it."""
    if requested_schema is not None:
        raise Fallback("a requested schema")
    table = table_of(self)
    if not table.exprs:
        raise Fallback("no columns")
    table = with_range(table)
    whole, names = columns_to_write(table, None)
    frame, at = whole.fetch(whole.exprs)
    arrays = [_to_arrow(frame.col(i), dtype) for i, dtype in zip(at, whole.dtypes, strict=True)]
    schema = arrow_schema(table, None)
    if schema.names != names or schema.types != [array.type for array in arrays]:
        raise Fallback("columns that Arrow arranges otherwise")
    return pa.Table.from_arrays(arrays, schema=schema).__arrow_c_stream__()


@native("Series.__arrow_c_stream__")
def series_stream(self: Series, requested_schema: Any = None) -> Any:
    """Serve Series as Arrow arrays, without their labels."""
    if requested_schema is not None:
        raise Fallback("a requested type")
    table = table_of(self)
    frame, at = table.fetch(table.exprs)
    return pa.chunked_array([_to_arrow(frame.col(at[0]), table.dtypes[0])]).__arrow_c_stream__()
