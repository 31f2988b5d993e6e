"""Memory that the engine and pandas share: who refers to it, and who lets go when pandas wants to write.

pandas writes in place where ``block.refs.has_reference()`` says that nobody else refers to an array. A handle refers to
the arrays of its object by its pin, so pandas would copy whatever it writes to. :class:`Watched` references know which
of their blocks are pins: asked, they make the objects give up their handles when nothing but pins stands in the way. A
plan that still reads the memory keeps it pinned by the buffers it holds (:class:`Lent`), so a copy is made exactly when
somebody would see the write.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from pandas._libs.internals import BlockValuesRefs
from pandas.core.arrays._mixins import NDArrayBackedExtensionArray

from . import _engine

__all__ = ["Lent", "Watched", "guarded", "lent_part", "watch_blocks"]


class Watched(BlockValuesRefs):
    """References to an array of which some are pins of handles.

    Attributes
    ----------
    handles : list of (weak reference to an object, weak reference to its Native)
    pins : set of weak references to blocks
    """

    def __init__(self, blk: Any = None) -> None:
        self.handles: list[tuple[Any, Any]] = []
        self.pins: set[Any] = set()
        self.most = 64  # handles from which on those that are gone are dropped

    def watch(self, obj: Any, native: Any, pin: Any) -> None:
        """Note that `obj` refers to these values by the block `pin` of its Native."""
        if len(self.handles) >= self.most:
            self.handles = [pair for pair in self.handles if pair[0]() is not None]
            self.pins = {reference for reference in self.pins if reference() is not None}
            self.most = max(64, 2 * len(self.handles))
        self.handles.append((weakref.ref(obj), weakref.ref(native)))
        self.pins.add(weakref.ref(pin))

    def has_reference(self) -> bool:
        """Tell whether a write would be seen; handles that stand in its way alone are given up."""
        if not super().has_reference():
            return False
        if not self.handles or self._others() > 1:
            return True
        handles, self.handles = self.handles, []
        for reference, native_reference in handles:
            obj, native = reference(), native_reference()
            if obj is not None and native is not None and not _engine.is_lazy(obj):
                carried = _engine.live_native(obj) is native
                native = None  # nor may this name keep a pin
                if carried:
                    _engine.drop(obj)
            obj = native = None
        return super().has_reference()

    def _others(self) -> int:
        """Count the references that are no pins; the one who asks is among them."""
        known = {id(pin()) for pin in self.pins}
        blocks = [reference() for reference in self.referenced_blocks]
        return sum(block is not None and id(block) not in known for block in blocks)


def watch_blocks(manager: Any) -> None:
    """Let the blocks of a manager that share memory with no other have watched references."""
    for block in manager.blocks:
        if type(block.refs) is BlockValuesRefs and not block.refs.has_reference():
            block.refs = Watched(block)


class Lent:
    """Memory of a numpy array together with the block that makes pandas copy before writing into it."""

    def __init__(self, values: np.ndarray, block: Any) -> None:
        self.__array_interface__ = values.__array_interface__
        self.values = values
        self.block = block


def _guard(values: np.ndarray, block: Any) -> np.ndarray:
    """Give the same memory as an array that keeps the pin alive, as does every view and buffer made of it."""
    if values.dtype.kind in "OV" or values.size == 0:
        return values
    if values.dtype.kind in "mM":
        return np.asarray(Lent(values.view("i8"), block)).view(values.dtype)
    return np.asarray(Lent(values, block))


def guarded(pin: Any) -> Any:
    """Give a manager like `pin` whose numpy memory keeps the blocks of `pin` alive.

    A plan may read an ingested array long after the object it came from is gone, while pandas objects that shared its
    memory live on; without the pin they would be sole owners and write in place. Arrow memory is immutable.
    """
    manager = pin.copy(deep=False)
    for block, pinned in zip(manager.blocks, pin.blocks, strict=True):
        values = block.values
        if isinstance(values, np.ndarray):
            block.values = _guard(values, pinned)
        elif isinstance(values, NDArrayBackedExtensionArray):
            block.values = values._from_backing_data(_guard(values._ndarray, pinned))
    return manager


def lent_part(array: _engine.Array, dtype: np.dtype) -> tuple[Any, int, int] | None:
    """Tell which part of a pandas block the values of a column are, when they are lent from one.

    Returns
    -------
    (block, int, int) or None
        The pinned block, the row of its values (0 for a Series) and where the column starts in that row.
    """
    lender = array.lender
    while isinstance(lender, np.ndarray):
        lender = lender.base
    if type(lender) is not Lent or lender.block.dtype != dtype:
        return None
    values = lender.values
    distance = array.address - lender.__array_interface__["data"][0]
    if values.strides[-1] != values.itemsize or distance < 0:
        return None
    row = 0
    if values.ndim == 2 and len(values) > 1:
        if values.strides[0] <= 0:
            return None
        row, distance = divmod(distance, values.strides[0])
    start = distance // values.itemsize
    if start + len(array) > values.shape[-1] or (values.ndim == 2 and row >= len(values)):
        return None
    return lender.block, row, start
