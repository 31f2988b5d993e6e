"""Fixed columns of every dtype for the hand-written matrices: small, with repeats, missing values and extremes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["EVERY", "NUMBERS", "frame"]

_N = 12
_TICKS = np.array([0, 1, -1, 86400, 951782399, 1361923200, 1361923200, 1709210096, 4102444799, -2208988800, 0, 3600])


def _with_missing(values: Any, *at: int) -> Any:
    out = values.copy()
    for i in at:
        out[i] = None
    return out


def _times(kind: str, unit: str) -> Any:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    ticks = _TICKS * per_second + (0 if unit == "s" else np.arange(_N) % 3)
    ticks[[3, 7]] = np.iinfo("int64").min
    return pd.array(ticks.view(f"{kind}64[{unit}]"))


def _columns() -> dict[str, Any]:
    small = np.array([3, 1, 2, 3, 0, 1, 1, 7, 2, 3, 5, 0])
    made: dict[str, Any] = {"bool": small % 2 == 0}
    made |= {f"int{bits}": (small - 2).astype(f"int{bits}") for bits in (8, 16, 32, 64)}
    made |= {f"uint{bits}": small.astype(f"uint{bits}") for bits in (8, 16, 32, 64)}
    for name in ("float32", "float64"):
        values = (small / 4).astype(name)
        values[[2, 9]] = np.nan
        made[name] = values
    words = ["b", "a", "", "b", None, "É", "a", "a_long_text_that_is_not_inline", "b", None, "日本", "B"]
    made["str"] = pd.array(words, dtype="str")
    made |= {
        f"{kind}64[{unit}]": _times(kind, unit)
        for kind in ("datetime", "timedelta")
        for unit in ("s", "ms", "us", "ns")
    }
    made["category"] = pd.Categorical.from_codes((small % 4) - 1, categories=["q", "p", "r"])
    made["ordered"] = pd.Categorical.from_codes((small % 4) - 1, categories=["q", "p", "r"], ordered=True)
    return made


_SANITIZED = ("bool", "int8", "int64", "float32", "float64", "str", "datetime64[us]", "category")
EVERY: tuple[str, ...] = _SANITIZED if os.environ.get("TERALITY_SANITIZED") == "1" else tuple(_columns())
NUMBERS: tuple[str, ...] = tuple(name for name in EVERY if name.startswith(("bool", "int", "uint", "float")))


def frame() -> pd.DataFrame:
    """Give a frame with one column per dtype, named like it, and a key ``k`` with missing values."""
    out = pd.DataFrame(_columns())
    out["k"] = pd.array(["x", "y", "x", None, "z", "x", "y", "y", None, "z", "x", "y"], dtype="str")
    out["g"] = np.array([2, 1, 2, 2, 1, 3, 1, 1, 3, 3, 2, 1])
    return out
