"""Fingerprints of frames: lets two processes compare results of any size without handing them over.

A column becomes a digest of its values in row order, and, when it holds floats, the sums of its blocks of rows too. Two
columns are *exact* when their dtypes and digests are equal (every bit, but all NaN alike), and *close* when they are
floats whose block sums agree to ``1e-12 · Σ|x|``: the exactness that float reductions are promised. Rows are hashed in
slices of fixed length, so memory stays bounded and the chunks of Arrow arrays do not matter.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.testing import assert_frame_equal

_SLICE_ROWS = 1 << 20
_BLOCK_ROWS = 1 << 12
_REL_TOL = 1e-12


@dataclass
class Column:
    """The fingerprint of one column: its label and dtype as text, and what was said above."""

    label: str
    dtype: str
    rows: int
    nulls: int
    digest: str
    sums: list[float] | None = None  # of blocks of _BLOCK_ROWS rows; floats only
    sizes: list[float] | None = None  # Σ|x| of the same blocks
    special: str = ""  # digest of where NaN and the infinities are; floats only


@dataclass
class Fingerprint:
    """The fingerprint of a frame or series, its index in front as further columns."""

    kind: str
    rows: int
    axes: str  # the column labels, and the kind and names of the index, as text
    columns: list[Column]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fingerprint:
        return cls(**{**data, "columns": [Column(**c) for c in data["columns"]]})


def fingerprint(obj: pd.DataFrame | pd.Series) -> Fingerprint:
    """Take the fingerprint of a frame or a series.

    Parameters
    ----------
    obj : DataFrame or Series

    Returns
    -------
    Fingerprint
    """
    frame = obj.to_frame() if isinstance(obj, pd.Series) else obj
    index = frame.index
    axes = f"{list(frame.columns)!r} {frame.columns.names!r} {type(index).__name__} {index.names!r}"
    columns = []
    if isinstance(index, pd.RangeIndex):
        axes += f" {index.start}:{index.stop}:{index.step}"
    else:
        for level in range(index.nlevels):
            columns.append(_column(f"index {level}", index.get_level_values(level).array))
    for position, label in enumerate(frame.columns):
        columns.append(_column(repr(label), frame.iloc[:, position].array))
    return Fingerprint(type(obj).__name__, len(frame), axes, columns)


def differences(left: Fingerprint, right: Fingerprint) -> tuple[list[str], list[str]]:
    """Compare two fingerprints.

    Returns
    -------
    unequal : list of str
        What differs, one line each; empty when equal.
    close : list of str
        Labels of float columns that agree within the tolerance but not in every bit.
    """
    if (left.kind, left.rows, left.axes) != (right.kind, right.rows, right.axes):
        return [f"{left.kind} {left.rows} rows {left.axes} != {right.kind} {right.rows} rows {right.axes}"], []
    if len(left.columns) != len(right.columns):
        return ["different number of index levels"], []
    unequal, close = [], []
    for a, b in zip(left.columns, right.columns, strict=True):
        if (a.dtype, a.rows, a.nulls) != (b.dtype, b.rows, b.nulls):
            unequal.append(f"{a.label}: {a.dtype} with {a.nulls} nulls != {b.dtype} with {b.nulls} nulls")
        elif a.digest != b.digest:
            if _is_close(a, b):
                close.append(a.label)
            else:
                unequal.append(f"{a.label}: values differ ({_first_block(a, b)})")
    return unequal, close


def value_differences(left: Any, right: Any) -> tuple[list[str], list[str]]:
    """Compare two results value by value: exact, but that float columns may differ by 1e-12 of their mean magnitude.

    Returns
    -------
    unequal : list of str
        What differs; empty when equal.
    close : list of str
        Labels of float columns that are equal only within the tolerance.
    """
    if type(left) is not type(right):
        return [f"{type(left)} != {type(right)}"], []
    if not isinstance(left, pd.DataFrame | pd.Series):
        return ([] if left == right else [f"{left!r} != {right!r}"]), []
    if isinstance(left, pd.Series):
        if left.name != right.name:
            return [f"name {left.name!r} != {right.name!r}"], []
        left, right = left.to_frame(), right.to_frame()
    close = []
    left = left.copy()
    for position in range(min(left.shape[1], right.shape[1])):
        a, b = left.iloc[:, position], right.iloc[:, position]
        if a.dtype != b.dtype or a.dtype.kind != "f" or len(a) != len(b):
            continue
        x, y = a.to_numpy(), b.to_numpy()
        same_bits = (x == y) & (np.signbit(x) == np.signbit(y)) | (np.isnan(x) & np.isnan(y))
        finite = np.abs(y[np.isfinite(y)])
        slack = _REL_TOL * (finite.mean() if len(finite) else 0.0)
        if not same_bits.all() and np.allclose(x, y, rtol=_REL_TOL, atol=slack, equal_nan=True):
            close.append(str(left.columns[position]))
            left.isetitem(position, b.set_axis(left.index))
    try:
        assert_frame_equal(left, right, check_exact=True, check_freq=True, check_flags=True)
    except AssertionError as error:
        return [" ".join(str(error).split())], close
    return [], close


def _is_close(a: Column, b: Column) -> bool:
    if a.sums is None or b.sums is None or a.special != b.special:
        return False
    return np.array_equal(_far_blocks(a, b), [])


def _far_blocks(a: Column, b: Column) -> np.ndarray:
    x, y = np.array(a.sums), np.array(b.sums)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        same |= np.abs(x - y) <= _REL_TOL * np.array(a.sizes)
    return np.flatnonzero(~same)


def _first_block(a: Column, b: Column) -> str:
    if a.sums is None or b.sums is None:
        return "no float column"
    if a.special != b.special:
        return "NaN or infinities in other places"
    return f"first in rows from {int(_far_blocks(a, b)[0]) * _BLOCK_ROWS}"


def _column(label: str, array: Any) -> Column:
    dtype = repr(array.dtype) if not isinstance(array.dtype, pd.CategoricalDtype) else _category_text(array.dtype)
    arrow = getattr(array, "_pa_array", None)
    digest, special, nulls = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=8), 0
    sums: list[float] = []
    sizes: list[float] = []
    is_float = arrow is None and getattr(array.dtype, "kind", "O") == "f"
    for start in range(0, len(array), _SLICE_ROWS):
        part = (arrow if arrow is not None else array)[start : start + _SLICE_ROWS]
        if arrow is not None:
            nulls += _hash_text(part, digest)
        elif isinstance(array.dtype, pd.CategoricalDtype):
            nulls += int((part.codes < 0).sum())
            digest.update(np.ascontiguousarray(part.codes, dtype="i8"))
        else:
            values = np.asarray(part)
            nulls += int(pd.isna(values).sum())
            if values.dtype == object:
                digest.update(repr(values.tolist()).encode())
                continue
            if is_float:
                values = np.where(np.isnan(values), np.nan, values).astype(values.dtype)
                special.update(np.isnan(values) + 2 * np.isposinf(values) + 4 * np.isneginf(values).astype("i1"))
                blocks = np.arange(0, len(values), _BLOCK_ROWS)
                finite = np.nan_to_num(values.astype("f8"), nan=0.0, posinf=0.0, neginf=0.0)
                sums += np.add.reduceat(finite * _weights(len(values)), blocks).tolist()
                sizes += np.add.reduceat(np.abs(finite) * _weights(len(values)), blocks).tolist()
            digest.update(np.ascontiguousarray(values).view("u1"))
    floats = (sums, sizes, special.hexdigest()) if is_float else ()
    return Column(label, dtype, len(array), nulls, digest.hexdigest(), *floats)


def _weights(rows: int) -> np.ndarray:
    """Weights that make a block's sum depend on the order of its rows."""
    return 1.0 + (np.arange(rows) % 61) / 64


def _category_text(dtype: pd.CategoricalDtype) -> str:
    text = hashlib.blake2b(repr(list(dtype.categories)).encode(), digest_size=8).hexdigest()
    return f"category of {len(dtype.categories)} {dtype.categories.dtype} {text} ordered={dtype.ordered}"


def _hash_text(column: pa.ChunkedArray, digest: Any) -> int:
    """Hash Arrow values: lengths, bytes and validity; other types by their own buffers. Gives the null count."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        valid = np.asarray(array.is_valid())
        filled = array.fill_null("").cast(pa.large_string())
        _, offsets, data = filled.buffers()
        ends = np.frombuffer(offsets, dtype="i8")[filled.offset : filled.offset + len(filled) + 1]
        digest.update(np.packbits(valid))
        digest.update(np.diff(ends))
        if data is not None:
            digest.update(memoryview(data)[int(ends[0]) : int(ends[-1])])
    else:
        digest.update(repr(array.to_pylist()).encode())
    return array.null_count
