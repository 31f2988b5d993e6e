"""Whether two results are equal in the sense of design §2.1: bits, dtypes, labels, names, order.

Floats compare by bits (all NaNs are one); where a program reduced floats in an order that is the engine's own, the
caller gives a tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from pandas import Categorical, DataFrame, Index, MultiIndex, RangeIndex, Series

__all__ = ["Tolerance", "difference"]


@dataclass(frozen=True)
class Tolerance:
    """How far floats may be apart: ``absolute + relative * |expected|``."""

    absolute: float = 0.0
    relative: float = 0.0

    def near(self, ours: Any, theirs: Any) -> Any:
        """Tell for each pair whether it is close enough."""
        with np.errstate(all="ignore"):
            a, b = ours.astype(np.float64), theirs.astype(np.float64)
            allowed = self.absolute + self.relative * np.abs(b)
            if theirs.dtype == np.float32:  # pandas adds in float32, the engine in float64 (docs/differences.md)
                size = np.maximum(np.abs(theirs), np.float32(min(self.absolute / 1e-12, 1e38)))
                allowed = allowed + np.spacing(size).astype(np.float64)
            return np.abs(a - b) <= allowed


def difference(ours: Any, theirs: Any, tolerance: Tolerance | None = None) -> str | None:
    """Give what differs between our result and pandas', None when nothing does.

    Parameters
    ----------
    ours, theirs : DataFrame, Series, Index, array, scalar or container of these
    tolerance : Tolerance, optional
        How far floats may be apart; None means equal bits.
    """
    if isinstance(theirs, (DataFrame, Series)):
        if type(ours) is not type(theirs):
            return f"type {type(ours).__name__}, expected {type(theirs).__name__}"
        return _frame(ours, theirs, tolerance) if isinstance(theirs, DataFrame) else _series(ours, theirs, tolerance)
    if isinstance(theirs, Index):
        return index_difference(ours, theirs)
    if isinstance(theirs, (np.ndarray, pd.api.extensions.ExtensionArray)):
        return _values(ours, theirs, tolerance)
    if isinstance(theirs, dict):
        if type(ours) is not dict or len(ours) != len(theirs) or not all(map(_same_label, ours, theirs)):
            return f"{ours!r}, expected {theirs!r}"
        return difference(list(ours.values()), list(theirs.values()), tolerance)
    if isinstance(theirs, (list, tuple)):
        if type(ours) is not type(theirs) or len(ours) != len(theirs):
            return f"{ours!r}, expected {theirs!r}"
        found = (difference(a, b, tolerance) for a, b in zip(ours, theirs, strict=True))
        return next((f for f in found if f), None)
    return _scalar(ours, theirs, tolerance)


def _frame(ours: DataFrame, theirs: DataFrame, tolerance: Tolerance | None) -> str | None:
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, expected {theirs.shape}"
    found = index_difference(ours.columns, theirs.columns)
    if found:
        return f"columns: {found}"
    found = index_difference(ours.index, theirs.index)
    if found:
        return f"index: {found}"
    for i, label in enumerate(theirs.columns):
        found = _values(ours._mgr.iget_values(i), theirs._mgr.iget_values(i), tolerance)
        if found:
            return f"column {label!r}: {found}"
    return _about(ours, theirs)


def _series(ours: Series, theirs: Series, tolerance: Tolerance | None) -> str | None:
    if len(ours) != len(theirs):
        return f"length {len(ours)}, expected {len(theirs)}"
    found = index_difference(ours.index, theirs.index)
    if found:
        return f"index: {found}"
    if not _same_label(ours.name, theirs.name):
        return f"name {ours.name!r}, expected {theirs.name!r}"
    return _values(ours._values, theirs._values, tolerance) or _about(ours, theirs)


def _about(ours: Any, theirs: Any) -> str | None:
    if ours.attrs != theirs.attrs:
        return f"attrs {ours.attrs}, expected {theirs.attrs}"
    return None


def _same_label(a: Any, b: Any) -> bool:
    if isinstance(a, Integral) and isinstance(b, Integral) and not isinstance(a, bool) and not isinstance(b, bool):
        return int(a) == int(b)  # pandas gives int or numpy.int64 for one label, as it happens
    if isinstance(a, float) and isinstance(b, float):
        return bool(a == b) or (a != a and b != b)
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same_label, a, b))
    return bool(a == b) or (a != a and b != b) or a is b


def index_difference(ours: Any, theirs: Index) -> str | None:
    """Compare labels: a RangeIndex equals an int64 Index of the same values, classes else agree."""
    if not isinstance(ours, Index) or isinstance(ours, MultiIndex) != isinstance(theirs, MultiIndex):
        return f"{type(ours).__name__}, expected {type(theirs).__name__}"
    if len(ours) != len(theirs):
        return f"length {len(ours)}, expected {len(theirs)}"
    if len(ours.names) != len(theirs.names) or not all(map(_same_label, ours.names, theirs.names)):
        return f"names {list(ours.names)}, expected {list(theirs.names)}"
    if isinstance(theirs, MultiIndex):
        for i in range(theirs.nlevels):
            found = _values(ours.get_level_values(i)._values, theirs.get_level_values(i)._values, None)
            if found:
                return f"level {i}: {found}"
        return None
    if type(ours) is not type(theirs) and {type(ours), type(theirs)} != {RangeIndex, Index}:
        return f"{type(ours).__name__}, expected {type(theirs).__name__}"
    if ours.dtype == theirs.dtype == object:
        pairs = enumerate(zip(ours, theirs, strict=True))
        return next((f"label {i}: {a!r}, expected {b!r}" for i, (a, b) in pairs if not _same_label(a, b)), None)
    return _values(ours._values, theirs._values, None)


def _values(ours: Any, theirs: Any, tolerance: Tolerance | None) -> str | None:
    if isinstance(theirs, (np.ndarray, pd.api.extensions.ExtensionArray)) and not hasattr(ours, "dtype"):
        return f"{type(ours).__name__}, expected {type(theirs).__name__}"
    a_dtype, b_dtype = ours.dtype, theirs.dtype
    numpys = isinstance(a_dtype, np.dtype) and isinstance(b_dtype, np.dtype)  # long long is int64, of another class
    if (type(a_dtype) is not type(b_dtype) and not numpys) or a_dtype != b_dtype:
        return f"dtype {a_dtype!r}, expected {b_dtype!r}"
    if len(ours) != len(theirs):
        return f"length {len(ours)}, expected {len(theirs)}"
    if isinstance(theirs, Categorical):
        found = index_difference(ours.categories, theirs.categories)
        if found:
            return f"categories: {found}"
        if ours.ordered != theirs.ordered:
            return f"ordered {ours.ordered}, expected {theirs.ordered}"
        return _at(ours.codes, theirs.codes, ours.codes != theirs.codes)
    if isinstance(b_dtype, pd.StringDtype):
        return _text(ours, theirs)
    if isinstance(b_dtype, np.dtype) and b_dtype.kind != "O":
        return _bits(ours, theirs, tolerance)
    return _objects(np.asarray(ours, dtype=object), np.asarray(theirs, dtype=object), tolerance)


def _text(ours: Any, theirs: Any) -> str | None:
    a, b = ours._pa_array.combine_chunks(), theirs._pa_array.combine_chunks()
    if a.type == b.type and a.equals(b):
        return None
    x, y = a.to_pylist(), b.to_pylist()
    return next((f"row {i}: {p!r}, expected {q!r}" for i, (p, q) in enumerate(zip(x, y, strict=True)) if p != q), None)


def _bits(ours: Any, theirs: Any, tolerance: Tolerance | None) -> str | None:
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.dtype.kind == "f":
        whole = a.dtype.str.replace("f", "i")
        differs = np.ascontiguousarray(a).view(whole) != np.ascontiguousarray(b).view(whole)
        differs &= ~(np.isnan(a) & np.isnan(b))
        if tolerance is not None and differs.any():
            differs &= ~tolerance.near(a, b)
        return _at(a, b, differs)
    if a.dtype.kind in "mM":
        differs = a.view("i8") != b.view("i8")
        if tolerance is not None and a.dtype.kind == "m" and differs.any():  # deviations are computed as floats
            missing = np.isnat(a) | np.isnat(b)
            differs &= missing | ~tolerance.near(a.view("i8"), b.view("i8"))
        return _at(a, b, differs)
    return _at(a, b, a != b)


def _at(a: Any, b: Any, differs: Any) -> str | None:
    if not differs.any():
        return None
    i = int(np.flatnonzero(differs)[0])
    return f"row {i}: {a[i]!r}, expected {b[i]!r}"


def _objects(a: Any, b: Any, tolerance: Tolerance | None) -> str | None:
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        found = difference(x, y, tolerance)
        if found:
            return f"row {i}: {found}"
    return None


def _scalar(ours: Any, theirs: Any, tolerance: Tolerance | None) -> str | None:
    whole = isinstance(ours, np.integer) and isinstance(theirs, np.integer) and ours.dtype == theirs.dtype
    if type(ours) is not type(theirs) and not whole:
        return f"{ours!r} ({type(ours).__name__}), expected {theirs!r} ({type(theirs).__name__})"
    if isinstance(theirs, (float, np.floating)):
        return _bits(np.array([ours]), np.array([theirs]), tolerance)
    if ours is theirs or ours is pd.NaT:
        return None
    if isinstance(theirs, (np.datetime64, np.timedelta64)):
        return (
            None
            if ours.tobytes() == theirs.tobytes() and ours.dtype == theirs.dtype
            else f"{ours!r}, expected {theirs!r}"
        )
    if isinstance(theirs, (pd.Timestamp, pd.Timedelta)) and ours.unit != theirs.unit:
        return f"unit {ours.unit}, expected {theirs.unit}"
    if isinstance(theirs, pd.Timedelta) and tolerance is not None:
        return _bits(np.array([ours.asm8]), np.array([theirs.asm8]), tolerance)
    try:
        same = bool(ours == theirs)
    except (TypeError, ValueError):
        same = False
    return None if same else f"{ours!r}, expected {theirs!r}"
