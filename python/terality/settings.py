"""The mode and thresholds, from the environment and from ``terality.options``."""

from __future__ import annotations

import os
from typing import Any

import pandas

from . import _engine

__all__ = ["MODES", "Options", "current"]

MODES = ("off", "auto", "native", "strict")


class Settings:
    """Current values; every change is handed to C at once."""

    def __init__(self) -> None:
        mode = os.environ.get("TERALITY_MODE", "").strip().lower() or "auto"
        if mode not in MODES:
            raise ValueError(f"TERALITY_MODE={mode!r}: expected one of {', '.join(MODES)}")
        self.mode = mode
        self.min_rows = 100_000
        self.min_bytes = 16 << 20
        self.quiet = os.environ.get("TERALITY_QUIET", "") not in ("", "0")
        self.apply()

    def apply(self) -> None:
        _engine.set_mode(MODES.index(self.mode), self.min_rows, self.min_bytes)

    def change(self, name: str, value: Any) -> None:
        if name == "mode":
            if value not in MODES:
                raise ValueError(f"mode {value!r}: expected one of {', '.join(MODES)}")
        elif name == "quiet":
            value = bool(value)
        elif int(value) < 0:
            raise ValueError(f"{name} must not be negative")
        setattr(self, name, value)
        self.apply()


class Mode(str):
    """The mode, which is text, and pandas' options that begin with ``mode``: scripts set ``options.mode.…``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pandas.options.mode, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(pandas.options.mode, name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *dir(pandas.options.mode)]


current = Settings()
_OWN = ("mode", "min_rows", "min_bytes", "quiet")


class Options:
    """pandas' options, plus terality's own.

    Attributes
    ----------
    mode : {"auto", "native", "strict", "off"}
        Its attributes are pandas' options of that name, as ``options.mode.string_storage``.
    min_rows, min_bytes : int
        From these sizes on a pandas-made object goes native in auto mode.
    quiet : bool
        Whether fallbacks are kept from stderr.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "mode":
            return Mode(current.mode)
        return getattr(current, name) if name in _OWN else getattr(pandas.options, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            current.change(name, value)
        else:
            setattr(pandas.options, name, value)

    def __dir__(self) -> list[str]:
        return [*_OWN, *dir(pandas.options)]
