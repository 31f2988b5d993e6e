"""Which pandas calls have a native version.

A handler takes exactly what the pandas method takes, ``(self, *args, **kwargs)``, and gives what it gives. When the
arguments ask for something the engine does not do, it raises :class:`Fallback` (before changing anything) and pandas
serves the call.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)

__all__ = ["Fallback", "NotNativeError", "handler_of", "native", "setter", "transparent"]


class Fallback(Exception):
    """Raised by a handler: pandas must serve this call. The text says which argument or dtype is the reason."""


class NotNativeError(RuntimeError):
    """Raised in strict mode instead of letting pandas serve a call, or what a lazy result made before needs."""


handlers: dict[str, Handler] = {}
setters: dict[str, Handler] = {}
transparent_names: list[str] = [f"NDFrame.{name}" for name in ("__getattr__", "__setattr__", "__array_ufunc__", "get")]
_listeners: list[Callable[[str], None]] = []
_loaded = False


def native(*names: str) -> Callable[[H], H]:
    """Register a function as the native version of pandas callables or properties.

    Parameters
    ----------
    *names : str
        ``"DataFrame.sort_values"``, ``"Series.__add__"``, ``"pandas.merge"``, ``"DataFrameGroupBy.sum"``,
        ``"StringMethods.len"``, ``"DatetimeProperties.year"``, ``"_LocIndexer.__getitem__"``, …

    Returns
    -------
    decorator
        Gives the function back unchanged, so that handlers can call each other.
    """

    def register(function: H) -> H:
        for name in names:
            handlers[name] = function
            for listener in _listeners:
                listener(name)
        return function

    return register


def setter(*names: str) -> Callable[[H], H]:
    """Register ``function(self, value)`` as the native version of assigning to a property, e.g. DataFrame.columns."""

    def register(function: H) -> H:
        for name in names:
            setters[name] = function
            for listener in _listeners:
                listener(name)
        return function

    return register


def transparent(*names: str) -> None:
    """Declare pandas functions that only pass a call on: wrapped calls inside them count as their caller's.

    They are not wrapped themselves. Example: ``NDFrame.__getattr__``, which turns ``df.a`` into ``df["a"]``.
    """
    transparent_names.extend(names)
    for name in names:
        for listener in _listeners:
            listener(name)


def handler_of(name: str) -> Handler:
    """Give the handler registered under a name; raises :class:`Fallback` when there is none."""
    try:
        return handlers[name]
    except KeyError:
        raise Fallback(f"{name} has no native version") from None


def load_handlers() -> None:
    """Import the engine's handlers, once: before the first call that may be native, so that importing us is light."""
    global _loaded
    if not _loaded:
        if importlib.util.find_spec("terality.ops") is not None:
            importlib.import_module("terality.ops")
        _loaded = True


def on_registration(listener: Callable[[str], None]) -> None:
    """Call ``listener(name)`` at every later registration."""
    _listeners.append(listener)
