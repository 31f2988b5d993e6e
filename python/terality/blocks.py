"""pandas blocks over computed columns, laid out as pandas itself would have them.

Columns of one numpy dtype are copied into one two-dimensional array, each column contiguous. A column whose values are
still the very memory of a pandas block is a view of that block and refers to it, as if pandas had taken it from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from pandas._libs.internals import BlockPlacement
from pandas.core.arrays import DatetimeArray, TimedeltaArray
from pandas.core.internals.blocks import ensure_block_shape, new_block, new_block_2d

from . import _engine
from .dtypes import array_to_pandas, fixed_dtype, numpy_dtype
from .sharing import Watched, lent_part

__all__ = ["frame_blocks", "series_block"]

MOST_PARTS = 8
"""Columns lent by one block are copied when they would lie in more pieces than this."""


def series_block(array: _engine.Array, dtype: Any, *, share: bool) -> Any:
    """Give the block of a Series over a computed column.

    Parameters
    ----------
    dtype : pandas dtype
        The expected dtype, with the categories of a category.
    share : bool
        Whether the values may be memory that a pandas object lent.
    """
    plain = fixed_dtype(array)
    where = BlockPlacement(slice(0, len(array)))
    if plain is None:
        return new_block(array_to_pandas(array, dtype), where, ndim=1, refs=Watched())
    part = lent_part(array, plain) if share and len(array) else None
    if part is not None:
        block, row, start = part
        values = block.values[row] if block.values.ndim == 2 else block.values
        return new_block(values[start : start + len(array)], where, ndim=1, refs=block.refs)
    return new_block(_stacked([array], plain, 1), where, ndim=1, refs=Watched())


def frame_blocks(
    arrays: dict[int, _engine.Array], dtypes: Sequence[Any], taken: dict[int, Any], *, share: bool
) -> list[Any]:
    """Give the blocks of a frame over computed columns.

    Parameters
    ----------
    arrays : dict of int -> Array
        The computed columns by position.
    dtypes : sequence of pandas dtypes
        Expected dtypes by position, with the categories of categories.
    taken : dict of int -> Block
        The other columns: blocks of Series that were given out before and share memory with the frame.
    share : bool
        Whether values may be memory that pandas objects lent.
    """
    out: list[Any] = []
    own: dict[np.dtype, list[int]] = defaultdict(list)
    lent: dict[tuple[int, int], list[tuple[int, int, Any]]] = defaultdict(list)
    for position, array in arrays.items():
        plain = fixed_dtype(array)
        if plain is None:
            values = array_to_pandas(array, dtypes[position])
            out.append(new_block_2d(values, BlockPlacement(position), Watched()))
            continue
        part = lent_part(array, plain) if share and len(array) else None
        if part is None:
            own[plain].append(position)
        else:
            block, row, start = part
            lent[id(block), start].append((position, row, block))
    for (_, start), columns in lent.items():
        array = arrays[columns[0][0]]
        blocks = _views(columns, start, len(array))
        if blocks is None:
            own[numpy_dtype(array.dtype)] += [position for position, _, _ in columns]
        else:
            out += blocks
    for plain, positions in own.items():
        positions.sort()
        values = _stacked([arrays[i] for i in positions], plain, 2)
        out.append(new_block_2d(values, _placement(positions), Watched()))
    for position, block in taken.items():
        out.append(new_block_2d(ensure_block_shape(block.values, 2), BlockPlacement(position), block.refs))
    out.sort(key=_first_position)  # of several columns that an operation cannot take, the first is to be complained of
    return out


def _first_position(block: Any) -> int:
    return block.mgr_locs.as_array[0]


def _placement(positions: list[int]) -> BlockPlacement:
    return BlockPlacement(positions[0] if len(positions) == 1 else np.array(positions, np.intp))


def _views(columns: list[tuple[int, int, Any]], start: int, length: int) -> list[Any] | None:
    """Give views of one lent block for (position, row of the block, block) of columns; None for too many pieces."""
    pieces = _pieces([row for _, row, _ in columns])
    if len(pieces) > MOST_PARTS:
        return None
    block = columns[0][2]
    values, stop = block.values, start + length
    out = []
    for begin, end in pieces:
        first, last = columns[begin][1], columns[end - 1][1]
        step = columns[begin + 1][1] - first if end - begin > 1 else 1
        part = (
            ensure_block_shape(values[start:stop], 2)
            if values.ndim == 1
            else values[first : last + 1 : step, start:stop]
        )
        out.append(new_block_2d(part, _placement([position for position, _, _ in columns[begin:end]]), block.refs))
    return out


def _pieces(rows: list[int]) -> list[tuple[int, int]]:
    """Cut row numbers into runs (begin, end) of equal steps upwards."""
    out = []
    begin = 0
    while begin < len(rows):
        end = begin + 1
        while end < len(rows) and rows[end] - rows[end - 1] == rows[begin + 1] - rows[begin] > 0:
            end += 1
        out.append((begin, end))
        begin = end
    return out


def _stacked(arrays: list[_engine.Array], plain: np.dtype, ndim: int) -> Any:
    """Copy columns of one dtype into an array that pandas may write into."""
    shape = (len(arrays), len(arrays[0])) if ndim == 2 else len(arrays[0])
    values = np.empty(shape, plain)
    _engine.stack(values.view("i8") if plain.kind in "mM" else values, tuple(arrays))
    if plain.kind == "M":
        return DatetimeArray._simple_new(values, dtype=plain)
    if plain.kind == "m":
        return TimedeltaArray._simple_new(values, dtype=plain)
    return values
