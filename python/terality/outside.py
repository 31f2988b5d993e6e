"""Values that the engine refuses in the middle of a run, served by pandas.

A lazy column may meet values that nobody could foresee when its plan was made: a character newer than the engine's
tables, a date beyond its calendar. For such an operation alone, over the rows it is computed for, the executor asks
:func:`serve`; the rest of the plan goes on natively. Only operations for which pandas always has a value of the
promised dtype come here (``Expr.may_refuse``); those that pandas may raise for (``Expr.may_raise``) run at their call.

The executor's lock is held meanwhile, so nothing here may run a plan.
"""

from __future__ import annotations

import gc
import operator
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from pandas import Series

from . import _engine, settings
from .dtypes import array_from_pandas, array_to_pandas
from .fallback import announced

__all__ = ["serve"]

_IGNORE_CASE = 2
_SIDES = ("left", "right", "both")
_TEXT = {"STR_LOWER": "lower", "STR_UPPER": "upper", "STR_TITLE": "title", "STR_CAPITALIZE": "capitalize",
         "STR_ISDIGIT": "isdigit", "STR_ISALPHA": "isalpha"}  # fmt: skip
_PARTS = {"DT_YEAR": "year", "DT_MONTH": "month", "DT_DAY": "day", "DT_DAYOFWEEK": "day_of_week",
          "DT_DAYOFYEAR": "day_of_year", "DT_QUARTER": "quarter", "DT_DAYS_IN_MONTH": "days_in_month",
          "DT_IS_LEAP_YEAR": "is_leap_year", "DT_IS_MONTH_START": "is_month_start",
          "DT_IS_MONTH_END": "is_month_end"}  # fmt: skip
_CALLS: dict[str, Callable[..., Series]] = {
    "STR_CONTAINS": lambda s, p, a, b: s.str.contains(a, case=not p[0] & _IGNORE_CASE, regex=bool(p[0] & 1)),
    "STR_REPLACE": lambda s, p, a, b: s.str.replace(a, b, n=p[0], regex=False),
    "STR_ZFILL": lambda s, p, a, b: s.str.zfill(p[0]),
    "STR_PAD": lambda s, p, a, b: s.str.pad(p[0], _SIDES[p[1]], a or " "),
    "DT_DAY_NAME": lambda s, p, a, b: s.dt.day_name(),
    "DT_MONTH_NAME": lambda s, p, a, b: s.dt.month_name(),
    "TD_TOTAL_SECONDS": lambda s, p, a, b: s.dt.total_seconds(),
}


def _by_pandas(op: str, values: list[Series], params: tuple[int, int], text: str | None, text2: str | None) -> Any:
    """Give pandas' answer, None for an operation that has none here."""
    if op in _TEXT:
        return getattr(values[0].str, _TEXT[op])()
    if op in _PARTS:
        return getattr(values[0].dt, _PARTS[op])
    if op in _CALLS:
        return _CALLS[op](values[0], params, text, text2)
    if op == "ADD" and all(v.dtype == "str" for v in values):
        return operator.add(*values)
    return None


def serve(
    op: str, arrays: tuple[Any, ...], params: tuple[int, int], text: str | None, text2: str | None, why: str
) -> Any:
    """Compute one refused operation by pandas.

    Parameters
    ----------
    op : str
        Operation of the plan, e.g. ``"STR_UPPER"``.
    arrays : tuple of Array
        Its arguments, all of one length.
    params, text, text2
        What the operation takes besides (``src/meta/plan/expr.h``).
    why : str
        What the engine said.

    Returns
    -------
    Array or None
        None in strict mode, without rows, or for operations not known here: the run then ends in
        :class:`~terality.registry.Fallback`.
    """
    if settings.current.mode == "strict" or not len(arrays[0]):  # no rows: its parameters, not a value
        return None
    collecting = gc.isenabled()
    gc.disable()  # a finaliser that looks at a lazy object would wait for the lock that this thread holds
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # pandas has warned at the call, or would not warn at all
            answer = _by_pandas(op, [Series(array_to_pandas(a, None)) for a in arrays], params, text, text2)
        if answer is None:
            return None
        _announce(op, why, sum(a.nbytes for a in arrays))
        return array_from_pandas(answer._values)
    finally:
        if collecting:
            gc.enable()


def _announce(op: str, why: str, size: int) -> None:
    """Tell once per place of the user's program that looks at the result."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("terality", "pandas"):
        frame = frame.f_back
    site = (frame.f_code.co_filename, frame.f_lineno, op)
    if settings.current.quiet or site in announced:
        return
    announced.add(site)
    where = f"{os.path.basename(site[0])}:{site[1]}"
    print(f"terality: {where}: {op} computed by pandas ({why}; {size} B)", file=sys.stderr)


_engine.set_outside(serve)
