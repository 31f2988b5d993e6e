"""An engine that is pandas: it proves the facade, not an engine.

Every native call runs pandas at once on manager copies without handles, then hides the result behind a Native that
hands its manager out on first need. ``enable()`` registers it; also used as ``--preload`` of tests/suite.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pandas
from pandas import DataFrame, Series
from pandas.core.groupby.generic import DataFrameGroupBy, SeriesGroupBy
from pandas.util import _exceptions as exceptions
from terality import counters, native, patch, registry, settings

BINARY = [f"__{side}{op}__" for op in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow") for side in ("", "r")]
COMPARE = [f"__{op}__" for op in ("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "invert", "neg")]
WHOLE = ["sort_values", "merge", "head", "tail", "drop_duplicates", "sum", "mean", "max", "reset_index", "isna",
         "astype", "fillna", "shift", "rank", "cumsum", "round", "abs", "copy", "dropna", "nunique"]  # fmt: skip
GROUPED = ["sum", "mean", "min", "max", "count", "size", "first", "agg", "aggregate", "transform", "head", "cumsum"]


class Hidden(native.Native):
    """A pandas object whose manager is given away on first need."""

    def __init__(self, obj: Any) -> None:
        self.obj = obj
        self.is_frame = isinstance(obj, DataFrame)
        self.runs = 0

    @property
    def columns(self) -> Any:
        return self.obj.columns

    @property
    def name(self) -> Any:
        return None if self.is_frame else self.obj._name

    @property
    def dtypes(self) -> list[Any]:
        return list(self.obj.dtypes) if self.is_frame else [self.obj.dtype]

    def index(self) -> Any:
        return self.obj.index

    def materialize(self) -> Any:
        self.runs += 1
        return self.obj._mgr

    def with_name(self, name: Any) -> Hidden:
        renamed = self.obj.copy(deep=False)
        object.__setattr__(renamed, "_name", name)
        return Hidden(renamed)

    def execute(self) -> None:
        pass


def ingest(manager: Any, name: Any) -> Hidden:
    """Take a pandas manager as it is."""
    return Hidden(_over(manager, name))


def _over(manager: Any, name: Any) -> Any:
    cls = Series if len(manager.axes) == 1 else DataFrame
    obj = cls._from_mgr(manager, manager.axes)
    if cls is Series:
        object.__setattr__(obj, "_name", name)
    return obj


def plain(value: Any) -> Any:
    """Give the same object without a handle, over the same arrays; containers are searched one level deep."""
    if type(value) in (DataFrame, Series):
        table = native.native_of(value)
        manager = (table.obj._mgr if table.pin is None else table.pin).copy(deep=False)
        return native.finalize(_over(manager, table.name), value)
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value


def hide(result: Any, share: bool = False) -> Any:
    """Give a lazy object over a result, in buffers of its own unless `share`."""
    if type(result) not in (DataFrame, Series):
        return result
    share = share or shares_everything
    own = result if share else result.copy(deep=True)
    wrap = native.wrap_frame if isinstance(result, DataFrame) else native.wrap_series
    hidden = Hidden(result if share else DataFrame._from_mgr(own._mgr, own.axes) if own.ndim == 2 else own)
    lazy = wrap(hidden)
    return native.finalize(lazy, result)


def _whole(kind: str, name: str) -> None:
    original = getattr(getattr(pandas, kind), name)
    original = getattr(original, "__wrapped__", original)

    @registry.native(f"{kind}.{name}")
    def handler(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("inplace"):
            raise registry.Fallback("inplace")
        result = original(plain(self), *plain(args), **plain(kwargs))
        return result if result is NotImplemented else hide(result)


def _grouped(cls: type, name: str) -> None:
    original = getattr(cls, name)
    original = getattr(original, "__wrapped__", original)

    @registry.native(f"{cls.__name__}.{name}")
    def handler(self: Any, *args: Any, **kwargs: Any) -> Any:
        return hide(original(self, *args, **kwargs))


def _getitem() -> None:
    frame_get, series_get = (getattr(cls.__getitem__, "__wrapped__", cls.__getitem__) for cls in (DataFrame, Series))

    @registry.native("DataFrame.__getitem__")
    def frame_getitem(self: Any, key: Any) -> Any:
        return hide(frame_get(plain(self), plain(key)), share=True)

    @registry.native("Series.__getitem__")
    def series_getitem(self: Any, key: Any) -> Any:
        if not isinstance(key, Series):
            raise registry.Fallback("key is no mask")
        return hide(series_get(plain(self), plain(key)), share=True)


def _setitem() -> None:
    frame_set = getattr(DataFrame.__setitem__, "__wrapped__", DataFrame.__setitem__)

    @registry.native("DataFrame.__setitem__")
    def frame_setitem(self: Any, key: Any, value: Any) -> None:
        if type(value) is not Series or not isinstance(key, str):
            raise registry.Fallback("value is no Series")
        changed = plain(self)
        frame_set(changed, key, plain(value))
        native.replace(self, Hidden(changed))


shares_everything = False


def enable_sharing() -> None:
    """Like ``enable``, but results keep pandas' own buffers: what is lost then is the facade's fault."""
    global shares_everything
    shares_everything = True
    enable()


def enable() -> None:
    """Register everything; in native mode every call of the lists takes this way."""
    registry._loaded = True  # without the engine's own handlers
    patch.add_internal(__file__)
    exceptions.find_stack_level()  # fills the folder
    if isinstance(exceptions._pkg_dir, str):
        exceptions._pkg_dir = (exceptions._pkg_dir, __file__)
    native.set_ingest(ingest)
    for name in [*BINARY, *COMPARE]:
        _whole("DataFrame", name)
        _whole("Series", name)
    for name in WHOLE:
        for kind in ("DataFrame", "Series"):
            if hasattr(getattr(pandas, kind), name):
                _whole(kind, name)
    for cls in (DataFrameGroupBy, SeriesGroupBy):
        for name in GROUPED:
            _grouped(cls, name)
    _getitem()
    _setitem()


@contextlib.contextmanager
def active(mode: str = "auto") -> Iterator[None]:
    """The fake engine instead of the real one, in a mode, for the length of a with block."""
    handlers, function, loaded = dict(registry.handlers), native._ingest, registry._loaded
    inside, folder, old_mode = patch._internal, exceptions._pkg_dir, settings.current.mode
    enable()
    settings.current.change("mode", mode)
    try:
        yield
    finally:
        settings.current.change("mode", old_mode)
        registry.handlers.clear()
        registry.handlers.update(handlers)
        for label, wrapper in counters.wrappers.items():
            wrapper.handler = handlers.get(label)
        native._ingest, registry._loaded = function, loaded
        patch._internal, exceptions._pkg_dir = inside, folder
        patch._configure()
