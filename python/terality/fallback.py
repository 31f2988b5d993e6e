"""What happens when pandas serves a call: the announcement, strict mode, and pandas' chained-assignment warnings.

Both functions are called from C, so that the frame above them is the user's.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import Any

import numpy
import pandas
from pandas.core.common import _SETITEM_OPCODES
from pandas.errors import ChainedAssignmentError
from pandas.errors.cow import (
    _chained_assignment_method_msg,
    _chained_assignment_method_update_msg,
    _chained_assignment_msg,
)

from . import settings
from .registry import NotNativeError

__all__ = ["announced", "on_chained", "on_fallback"]

NUMPY = os.path.dirname(numpy.__file__) + os.sep
PANDAS = os.path.dirname(str(pandas.__file__)) + os.sep

announced: set[tuple[str, int, str]] = set()
bytes_by_name: dict[str, int] = {}


def on_fallback(name: str, reason: str | None, subject: Any, carries: bool) -> None:
    """Note that pandas serves a call.

    Parameters
    ----------
    name : str
        ``"DataFrame.describe"``
    reason : str or None
        Text of the Fallback; None when the call has no native version at all.
    subject : DataFrame, Series or None
        The object it is called on.
    carries : bool
        Whether some argument lives in the engine, so that pandas needs it materialised.

    Raises
    ------
    NotNativeError
        In strict mode.
    """
    why = reason or "no native version"
    if settings.current.mode == "strict":
        raise NotNativeError(f"{name} would be served by pandas: {why}")
    if not carries or settings.current.quiet:
        return
    size = _size_of(subject)
    bytes_by_name[name] = bytes_by_name.get(name, 0) + size
    frame = _user_of(sys._getframe(1))
    site = (frame.f_code.co_filename, frame.f_lineno, name)
    if site in announced:
        return
    announced.add(site)
    where = f"{os.path.basename(site[0])}:{site[1]}"
    print(f"terality: {where}: {name} served by pandas ({why}; {_readable(size)})", file=sys.stderr)


def _user_of(frame: FrameType) -> FrameType:
    """Give the frame that called numpy, which called us or pandas: ``np.add(df, s)`` is the line to tell of."""
    caller: FrameType | None = frame
    while caller is not None and caller.f_code.co_filename.startswith((NUMPY, PANDAS)):
        caller = caller.f_back
    return caller or frame


def _size_of(subject: Any) -> int:
    """Bytes of the arrays that pandas is given; an object that fails to compute will say so to pandas."""
    try:
        return sum(int(block.values.nbytes) for block in subject._mgr.blocks)
    except Exception:  # the call itself raises it where the user expects it
        return 0


def _readable(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def on_chained(name: str, obj: Any) -> None:
    """Warn like pandas when a write goes into an object that only the running expression holds.

    C has checked the reference count; the rest of pandas' test is done here, on the caller's frame.
    """
    owner, _, method = name.rpartition(".")
    frame = sys._getframe(1)
    if owner in ("DataFrame", "Series"):
        if any(value is obj for value in frame.f_locals.values()):
            return
        if method == "__setitem__" and frame.f_code.co_code[frame.f_lasti] not in _SETITEM_OPCODES:
            return
    if method == "__setitem__":
        message = _chained_assignment_msg
    elif method == "update":
        message = _chained_assignment_method_update_msg
    else:
        message = _chained_assignment_method_msg
    warnings.warn(message, ChainedAssignmentError, stacklevel=2)
