"""Source of scalars that fit a kind of column, and of masks."""

from __future__ import annotations

from typing import Any

from ..generate import World, kind_of

__all__ = ["mask", "scalar"]

SCALARS: dict[str, tuple[str, ...]] = {
    "bool": ("True", "False", "1", "0"),
    "int": ("0", "1", "2", "-1", "3", "10", "100", "2.5", "-0.5", "True", "1000", "np.int8(3)", "np.int64(7)",
            "np.float64(0.5)", "np.uint8(2)", "2**40", "nan"),
    "float": ("0", "1", "2.5", "-0.25", "0.0", "-0.0", "-1", "10", "nan", "inf", "np.float64(2.5)", "np.float32(0.5)",
              "np.int64(3)", "True"),
    "str": ("'a'", "'b'", "''", "'B'", "'zz'", "'日本'", "'10'", "'x'"),
    "datetime": ("pd.Timestamp('2013-01-01')", "pd.Timestamp('2012-12-31 23:59:59')", "np.datetime64('2013-03-01')",
                 "pd.Timestamp('1969-12-31 23:59:59')", "pd.Timestamp(1356998400, unit='s')", "'2013-01-01'", "pd.NaT"),
    "timedelta": ("pd.Timedelta('1h')", "pd.Timedelta(0)", "np.timedelta64(1, 'D')", "pd.Timedelta(days=-1)", "pd.NaT"),
    "category": ("'a'", "'b'", "3", "''"),
    "other": ("0", "'a'"),
}  # fmt: skip

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


def scalar(w: World, kind: str) -> str:
    """Give the source of a scalar, seldom of another kind."""
    if w.flip(0.04):
        kind = w.choice(*SCALARS)
    return w.choice(*SCALARS[kind])


def mask(w: World, frame: str, depth: int = 0) -> str | None:
    """Give the source of a bool Series over a frame's rows."""
    chance = w.random.random()
    if depth < 2 and chance < 0.25:
        parts = [mask(w, frame, depth + 1) for _ in range(2)]
        return None if None in parts else f"({parts[0]} {w.choice('&', '|', '&', '^')} {parts[1]})"
    if depth < 2 and chance < 0.32:
        inner = mask(w, frame, depth + 1)
        return None if inner is None else f"~{inner}"
    label = w.label(frame)
    if label is None:
        return None
    column = f"{frame}[{label!r}]"
    kind = kind_of(_dtype(w, column))
    if chance < 0.42:
        return f"{column}.{w.choice('isna', 'notna')}()"
    if kind == "bool" and w.flip(0.7):
        return column
    if kind in ("int", "str", "float") and chance < 0.52:
        values = [scalar(w, kind) for _ in range(w.random.randint(1, 3))]
        return f"{column}.isin([{', '.join(values)}])"
    if kind in ("int", "float", "datetime", "str") and chance < 0.58:
        inclusive = "" if w.flip() else f", inclusive={w.choice('both', 'left', 'right', 'neither')!r}"
        return f"{column}.between({scalar(w, kind)}, {scalar(w, kind)}{inclusive})"
    if kind == "str" and chance < 0.75:
        return f"{column}.str.{w.choice('contains', 'startswith', 'endswith')}({scalar(w, 'str')})"
    if chance < 0.84:
        other = w.label(frame, kind)
        if other is not None:
            return f"({column} {w.choice(*COMPARISONS)} {frame}[{other!r}])"
    return f"({column} {w.choice(*COMPARISONS)} {scalar(w, kind)})"


def _dtype(w: World, column: str) -> Any:
    return getattr(w.of(column), "dtype", None)
