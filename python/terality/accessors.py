"""``.str`` of a lazy Series without looking at its data.

pandas' StringMethods infers the kind of its values in ``__init__``. For a lazy Series of dtype ``str`` the schema
says enough; what pandas' own methods want to know besides is computed when they ask. ``.dt`` and the indexers
look only at schema members already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pandas import StringDtype
from pandas.core.strings.accessor import StringMethods

from . import _engine, counters
from .registry import native

__all__ = ["patch"]

_pandas_init = StringMethods.__init__


class LazyField:
    """Non-data descriptor: a field of StringMethods that is computed from its Series on first need."""

    def __init__(self, name: str, compute: Callable[[Any], Any]) -> None:
        self.name = name
        self.compute = compute

    def __get__(self, methods: Any, cls: type) -> Any:
        if methods is None:
            return self
        value = vars(methods)[self.name] = self.compute(methods._data)
        return value


@native("StringMethods.__init__")
def init(self: StringMethods, data: Any) -> None:
    """Make the accessor object of a lazy str Series; any other is pandas' business."""
    if not _engine.is_lazy(data) or not isinstance(data.dtype, StringDtype):
        return _pandas_init(self, data)
    fields = {"_is_categorical": False, "_is_string": True, "_data": data, "_parent": data, "_orig": data,
              "_name": data._name}  # fmt: skip
    vars(self).update(fields)
    self._freeze()
    return None


def patch(set_attribute: Callable[[Any, str, Any], None]) -> None:
    """Install the constructor and the lazy fields."""
    label = "StringMethods.__init__"
    wrapper = _engine.Method(_pandas_init, label, StringMethods, 2)
    wrapper.handler = init
    counters.wrappers[label] = wrapper
    set_attribute(StringMethods, "__init__", wrapper)
    set_attribute(StringMethods, "_index", LazyField("_index", lambda data: data.index))
    set_attribute(StringMethods, "_inferred_dtype", LazyField("_inferred_dtype", StringMethods._validate))
