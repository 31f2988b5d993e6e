"""Schema members of lazy objects: shape, dtypes, size … without running a plan where the schema knows.

Registered like any handler; the wrappers call them only for objects that pandas has not seen the manager of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import Index, Series

from . import _engine
from .registry import native

__all__ = ["AXES", "MEMBERS", "METHODS"]

AXES = {"DataFrame.columns": "_tr_columns", "DataFrame.index": "_tr_index", "Series.index": "_tr_index"}
"""Members answered in C: each object has its own view of the Native's Index, as every pandas object has."""

MEMBERS = [
    *(f"DataFrame.{name}" for name in ("columns", "index", "shape", "dtypes", "empty", "ndim", "size", "axes")),
    *(f"Series.{name}" for name in ("index", "shape", "dtypes", "dtype", "empty", "ndim", "size", "axes")),
]
"""Properties wrapped as schema members."""

METHODS = ("DataFrame.__len__", "Series.__len__")
"""Methods that answer from the schema in the same way."""


@native("DataFrame.shape")
def frame_shape(self: Any) -> tuple[int, int]:
    """Rows and columns."""
    native = _engine.live_native(self)
    return native.nrows(), len(native.columns)


@native("Series.shape")
def series_shape(self: Any) -> tuple[int]:
    """Rows."""
    return (_engine.live_native(self).nrows(),)


@native("DataFrame.ndim")
def frame_ndim(self: Any) -> int:
    """Always 2."""
    return 2


@native("Series.ndim")
def series_ndim(self: Any) -> int:
    """Always 1."""
    return 1


@native("DataFrame.size")
def frame_size(self: Any) -> int:
    """Rows times columns."""
    native = _engine.live_native(self)
    return native.nrows() * len(native.columns)


@native("Series.size")
def series_size(self: Any) -> int:
    """Rows."""
    return _engine.live_native(self).nrows()


@native("DataFrame.empty")
def frame_empty(self: Any) -> bool:
    """No rows or no columns."""
    native = _engine.live_native(self)
    return len(native.columns) == 0 or native.nrows() == 0


@native("Series.empty")
def series_empty(self: Any) -> bool:
    """No rows."""
    return _engine.live_native(self).nrows() == 0


@native("DataFrame.__len__", "Series.__len__")
def length(self: Any) -> int:
    """Rows."""
    return _engine.live_native(self).nrows()


@native("DataFrame.axes")
def frame_axes(self: Any) -> list[Index]:
    """Row and column labels."""
    return [self.index, self.columns]


@native("Series.axes")
def series_axes(self: Any) -> list[Index]:
    """Row labels."""
    return [self.index]


@native("Series.dtype", "Series.dtypes")
def series_dtype(self: Any) -> Any:
    """The dtype object."""
    return _engine.live_native(self).dtypes[0]


@native("DataFrame.dtypes")
def frame_dtypes(self: Any) -> Series:
    """Series of dtype objects by column label."""
    native = _engine.live_native(self)
    values = np.empty(len(native.dtypes), dtype=object)
    values[:] = native.dtypes
    return Series(values, index=self.columns, dtype=object, copy=False)
