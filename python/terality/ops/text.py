"""``.str``: text operations by code point."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pandas import Series
from pandas.api.extensions import no_default

from .. import _engine
from ..dtypes import STR, array_from_pandas
from ..native import finalize
from ..registry import Fallback, native
from .arguments import refuse, table_of
from .arithmetic import computed_series

NONE = -(2**63)
REGEX = 1
IGNORE_CASE = 2


def _apply(
    self: Any, op: str, params: tuple[int, ...] = (), text: str | None = None, text2: str | None = None
) -> Series:
    source = self._data
    table = table_of(source)
    if table.exprs[0].dtype != "str":
        raise Fallback(f".str of {table.exprs[0].dtype}")
    if any(t is not None and ("\0" in t or (not t.isprintable() and not t.isspace())) for t in (text, text2)):
        raise Fallback("control characters")
    made = _engine.op(op, (table.exprs[0],), params, text, text2)
    if text is not None:
        check_runs(op, params, text, text2)
    return finalize(computed_series(table, made, source._name), source)


def check_runs(op: str, params: tuple[int, ...], text: str, text2: str | None) -> None:
    """Raise Fallback now where the engine would refuse a pattern when it runs: evaluated over no rows."""
    empty = _engine.source(_engine.frame(0, (array_from_pandas(pd.array([], dtype=STR)),)), "empty")
    made = _engine.op(op, (_engine.col(empty, 0),), params, text, text2)
    _engine.node("PROJECT", (empty,), (made,)).run()


def _register_plain(name: str, op: str) -> None:
    @native(f"StringMethods.{name}")
    def plain(self: Any) -> Series:
        return _apply(self, op)

    plain.__doc__ = f"Serve .str.{name}()."


for _name, _op in (
    ("len", "STR_LEN"),
    ("lower", "STR_LOWER"),
    ("upper", "STR_UPPER"),
    ("title", "STR_TITLE"),
    ("capitalize", "STR_CAPITALIZE"),
    ("isdigit", "STR_ISDIGIT"),
    ("isalpha", "STR_ISALPHA"),
):
    _register_plain(_name, _op)


def _register_strip(name: str, op: str) -> None:
    @native(f"StringMethods.{name}")
    def strip(self: Any, to_strip: Any = None) -> Series:
        if to_strip is not None and type(to_strip) is not str:
            raise Fallback("to_strip")
        return _apply(self, op, (), to_strip)

    strip.__doc__ = f"Serve .str.{name}."


for _name, _op in (("strip", "STR_STRIP"), ("lstrip", "STR_LSTRIP"), ("rstrip", "STR_RSTRIP")):
    _register_strip(_name, _op)


@native("StringMethods.contains")
def contains(self: Any, pat: Any, case: bool = True, flags: int = 0, na: Any = no_default,
             regex: bool = True) -> Series:  # fmt: skip
    """Serve contains of a literal or a pattern of the common subset."""
    refuse(case=(case, True, False), flags=(flags, 0), regex=(regex, True, False), na=(na, no_default, None, False))
    if type(pat) is not str:
        raise Fallback("pat")
    if regex and not any(c in r".^$*+?{}[]\|()" for c in pat):
        regex = False
    return _apply(self, "STR_CONTAINS", ((REGEX if regex else 0) | (0 if case else IGNORE_CASE),), pat)


def _register_end(name: str, op: str) -> None:
    @native(f"StringMethods.{name}")
    def end(self: Any, pat: Any, na: Any = no_default) -> Series:
        refuse(na=(na, no_default, None, False))
        if type(pat) is not str:
            raise Fallback("pat")
        return _apply(self, op, (), pat)

    end.__doc__ = f"Serve .str.{name}."


_register_end("startswith", "STR_STARTSWITH")
_register_end("endswith", "STR_ENDSWITH")


@native("StringMethods.slice")
def slice_(self: Any, start: Any = None, stop: Any = None, step: Any = None) -> Series:
    """Serve slices by code point."""
    if any(v is not None and type(v) is not int for v in (start, stop, step)) or step == 0:
        raise Fallback("bounds of another type")
    return _apply(self, "STR_SLICE", tuple(NONE if v is None else v for v in (start, stop, step)))


@native("StringMethods.__getitem__")
def getitem(self: Any, key: Any) -> Series:
    """Serve ``s.str[a:b]`` and ``s.str[i]``."""
    if isinstance(key, slice):
        return slice_(self, key.start, key.stop, key.step)
    return get(self, key)


@native("StringMethods.get")
def get(self: Any, i: Any) -> Series:
    """Serve one character."""
    if type(i) is not int:
        raise Fallback("a position of another type")
    return _apply(self, "STR_GET", (i,))


@native("StringMethods.replace")
def replace(
    self: Any, pat: Any, repl: Any = None, n: int = -1, case: Any = None, flags: int = 0, regex: bool = False
) -> Series:
    """Serve replacing a literal."""
    refuse(regex=(regex, False), case=(case, None), flags=(flags, 0))
    if type(pat) is not str or type(repl) is not str or type(n) is not int or not pat:
        raise Fallback("pat or repl")
    return _apply(self, "STR_REPLACE", (n,), pat, repl)


@native("StringMethods.find")
def find(self: Any, sub: Any, start: Any = 0, end: Any = None) -> Series:
    """Serve find from the left in the whole text."""
    refuse(start=(start, 0), end=(end, None))
    if type(sub) is not str:
        raise Fallback("sub")
    return _apply(self, "STR_FIND", (), sub)


@native("StringMethods.zfill")
def zfill(self: Any, width: Any) -> Series:
    """Serve zfill."""
    if type(width) is not int:
        raise Fallback("width")
    return _apply(self, "STR_ZFILL", (width,))


SIDES = {"left": 0, "right": 1, "both": 2}


def _padded(self: Any, width: Any, side: str, fillchar: Any) -> Series:
    if type(width) is not int or side not in SIDES or type(fillchar) is not str or len(fillchar) != 1:
        raise Fallback("width, side or fillchar")
    return _apply(self, "STR_PAD", (width, SIDES[side]), fillchar)


@native("StringMethods.pad")
def pad(self: Any, width: Any, side: str = "left", fillchar: Any = " ") -> Series:
    """Serve pad."""
    return _padded(self, width, side, fillchar)


@native("StringMethods.rjust")
def rjust(self: Any, width: Any, fillchar: Any = " ") -> Series:
    """Serve rjust."""
    return _padded(self, width, "left", fillchar)


@native("StringMethods.ljust")
def ljust(self: Any, width: Any, fillchar: Any = " ") -> Series:
    """Serve ljust."""
    return _padded(self, width, "right", fillchar)
