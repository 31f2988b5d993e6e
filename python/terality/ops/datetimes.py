"""``.dt``: parts of datetimes and timedeltas, rounding down and up, names."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
from pandas import Series
from pandas.errors import Pandas4Warning

from .. import _engine
from ..native import finalize
from ..registry import Fallback, native
from .arguments import refuse, table_of
from .arithmetic import computed_series

PARTS = {"year": "DT_YEAR", "month": "DT_MONTH", "day": "DT_DAY", "hour": "DT_HOUR", "minute": "DT_MINUTE",
         "second": "DT_SECOND", "microsecond": "DT_MICROSECOND", "nanosecond": "DT_NANOSECOND",
         "day_of_week": "DT_DAYOFWEEK", "day_of_year": "DT_DAYOFYEAR",
         "quarter": "DT_QUARTER", "days_in_month": "DT_DAYS_IN_MONTH", "is_leap_year": "DT_IS_LEAP_YEAR",
         "is_month_start": "DT_IS_MONTH_START", "is_month_end": "DT_IS_MONTH_END"}  # fmt: skip
ALIASES = {"weekday": "day_of_week", "dayofweek": "day_of_week", "dayofyear": "day_of_year",
           "daysinmonth": "days_in_month"}  # fmt: skip
"""Names that pandas warns of."""
TIMEDELTA_PARTS = {
    "days": "TD_DAYS",
    "seconds": "TD_SECONDS",
    "microseconds": "TD_MICROSECONDS",
    "nanoseconds": "TD_NANOSECONDS",
}


def _apply(self: Any, op: str, params: tuple[int, ...] = (), text: str | None = None) -> Series:
    source = self._parent
    table = table_of(source)
    made = _engine.op(op, (table.exprs[0],), params, text)
    return finalize(computed_series(table, made, source._name), source)


def _register_part(cls: str, name: str, op: str) -> None:
    @native(f"{cls}.{name}")
    def part(self: Any) -> Series:
        return _apply(self, op)

    part.__doc__ = f"Serve .dt.{name}."


def _register_alias(name: str, other: str) -> None:
    @native(f"DatetimeProperties.{name}")
    def part(self: Any) -> Series:
        out = _apply(self, PARTS[other])
        warnings.warn(
            f"Series.dt.{name} is deprecated and will be removed in a future version. Use Series.dt.{other} instead.",
            Pandas4Warning,
            stacklevel=2,
        )
        return out

    part.__doc__ = f"Serve .dt.{name}, with pandas' warning."


for _name, _op in PARTS.items():
    _register_part("DatetimeProperties", _name, _op)
for _name, _other in ALIASES.items():
    _register_alias(_name, _other)
for _name, _op in TIMEDELTA_PARTS.items():
    _register_part("TimedeltaProperties", _name, _op)


@native("TimedeltaProperties.total_seconds")
def total_seconds(self: Any) -> Series:
    """Serve total_seconds."""
    return _apply(self, "TD_TOTAL_SECONDS")


@native("DatetimeProperties.normalize")
def normalize(self: Any) -> Series:
    """Serve normalize."""
    return _apply(self, "DT_NORMALIZE")


def _register_name(name: str, op: str) -> None:
    @native(f"DatetimeProperties.{name}")
    def names(self: Any, locale: Any = None) -> Series:
        refuse(locale=(locale, None))
        return _apply(self, op)

    names.__doc__ = f"Serve .dt.{name}() in English."


_register_name("day_name", "DT_DAY_NAME")
_register_name("month_name", "DT_MONTH_NAME")


def _ticks(freq: Any, unit: str) -> int:
    """Ticks of a fixed frequency in a unit; Fallback for others."""
    if not isinstance(freq, str):
        raise Fallback(f"freq of type {type(freq).__name__}")
    try:
        step = pd.Timedelta(pd.tseries.frequencies.to_offset(freq))
        return int(step.as_unit(unit, round_ok=False)._value)
    except (ValueError, AttributeError, TypeError):
        raise Fallback(f"freq={freq!r}") from None


def _register_rounding(name: str, op: str) -> None:
    @native(f"DatetimeProperties.{name}")
    def rounding(self: Any, freq: Any, ambiguous: Any = "raise", nonexistent: Any = "raise") -> Series:
        refuse(ambiguous=(ambiguous, "raise"), nonexistent=(nonexistent, "raise"))
        name = table_of(self._parent).exprs[0].dtype
        return _apply(self, op, (_ticks(freq, name[name.index("[") + 1 : -1]),))

    rounding.__doc__ = f"Serve .dt.{name}(freq) for fixed frequencies."


_register_rounding("floor", "DT_FLOOR")
_register_rounding("ceil", "DT_CEIL")


@native("DatetimeProperties.strftime")
def strftime(self: Any, date_format: str) -> Series:
    """Serve strftime for the formats the engine knows."""
    if not isinstance(date_format, str):
        raise Fallback("date_format")
    return _apply(self, "DT_STRFTIME", (), date_format)
