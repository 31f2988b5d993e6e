"""Puts the C wrappers into pandas' classes, and takes them out again.

``patch_classes`` (at ``import terality``) makes pandas able to carry lazy objects; ``install`` also routes pandas'
module functions, for programs that never mention terality; ``uninstall`` undoes both.
"""

from __future__ import annotations

import gc
import inspect
import os
import sys
from types import FunctionType
from typing import Any

import pandas
import pyarrow
from pandas import DataFrame, Series
from pandas._libs.properties import AxisProperty
from pandas.core import accessor, arraylike, generic, indexing
from pandas.core.flags import Flags
from pandas.core.groupby.generic import DataFrameGroupBy, SeriesGroupBy
from pandas.core.groupby.groupby import GroupBy
from pandas.core.indexes.accessors import DatetimeProperties, TimedeltaProperties
from pandas.core.strings.accessor import StringMethods

from . import _engine, accessors, counters, fallback, grouping, registry, schema
from .folders import to_csv_folder, to_parquet_folder
from .native import from_pandas, to_pandas

__all__ = ["install", "module_function", "patch_classes", "uninstall"]

SELF, ATTR, ARGS, ALWAYS, SCHEMA = range(5)
UNCHAINED, SETITEM, INDEXER, INPLACE, EVERY_CALL = range(5)

CLASSES: dict[str, tuple[type, str | None]] = {
    "DataFrame": (DataFrame, None),
    "Series": (Series, None),
    "DataFrameGroupBy": (DataFrameGroupBy, "obj"),
    "SeriesGroupBy": (SeriesGroupBy, "obj"),
    "_LocIndexer": (indexing._LocIndexer, "obj"),
    "_iLocIndexer": (indexing._iLocIndexer, "obj"),
    "_AtIndexer": (indexing._AtIndexer, "obj"),
    "_iAtIndexer": (indexing._iAtIndexer, "obj"),
    "StringMethods": (StringMethods, "_data"),
    "DatetimeProperties": (DatetimeProperties, "_parent"),
    "TimedeltaProperties": (TimedeltaProperties, "_parent"),
}
"""Wrapped classes, and the attribute that holds the object whose Native decides (None: self)."""

OPERATORS = [
    *(f"__{side}{op}__" for op in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
      for side in ("", "r")),
    *(f"__{op}__" for op in ("eq", "ne", "lt", "le", "gt", "ge", "invert", "neg", "pos", "abs", "round", "matmul",
                             "divmod", "rdivmod", "repr", "getitem", "setitem", "delitem", "len", "array",
                             "arrow_c_stream", "dataframe")),
]  # fmt: skip

DELEGATING = {
    "pipe", "keys", "get", "attrs", "flags", "plot", "hist", "boxplot", "style", "sparse", "str", "dt", "cat", "struct",
    "list", "loc", "iloc", "at", "iat", "name", "columns", "index", "from_dict", "from_records", "from_arrow",
    "from_pandas", "to_pandas", "to_parquet_folder", "to_csv_folder",
}  # fmt: skip
"""Public names of DataFrame and Series that are not wrapped: they read no data, or do their work by other calls."""

GROUPED_PLAIN = {"obj", "ngroups", "pipe", "plot", "hist", "boxplot", "__getattr__"}
CHAINED = {
    **{f"{kind}.__setitem__": SETITEM for kind in ("DataFrame", "Series")},
    **{f"{kind}.__setitem__": INDEXER for kind in ("_LocIndexer", "_iLocIndexer", "_AtIndexer", "_iAtIndexer")},
    **{f"{kind}.{name}": INPLACE for kind in ("DataFrame", "Series")
       for name in ("fillna", "ffill", "bfill", "replace", "interpolate", "clip", "where", "mask")},
    "DataFrame.update": EVERY_CALL,
    "Series.update": EVERY_CALL,
}  # fmt: skip
"""Callables in which pandas checks for chained assignment (facade: the only ones whose check a wrapper disturbs)."""

READERS = ("read_csv", "read_parquet", "read_table", "read_json", "read_feather")
FUNCTIONS = (
    "concat", "merge", "merge_asof", "merge_ordered", "pivot_table", "pivot", "crosstab", "get_dummies", "from_dummies",
    "melt", "cut", "qcut", "to_datetime", "to_numeric", "to_timedelta", "isna", "isnull", "notna", "notnull", "unique",
    "factorize", "wide_to_long", "lreshape",
)  # fmt: skip

SHARED = {"Series.__array_ufunc__": DataFrame}
"""Wrappers that another class gets too: pandas defers to operands whose class has another function of that name."""

_ABSENT = object()
_undo: list[tuple[Any, str, Any]] = []
_module_functions: dict[str, Any] = {}
transparent_code: set[Any] = set()
routed = False


def _set(owner: Any, name: str, value: Any) -> None:
    """Set a class or module attribute and remember what was there."""
    _undo.append((owner, name, vars(owner).get(name, _ABSENT)))
    setattr(owner, name, value)


def _inplace_position(function: Any) -> int:
    """Position of `inplace` among the positional parameters (self is 0), -1 when it is keyword-only."""
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.name == "inplace" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            return position
    return -1


def _wrap(kind: str, name: str) -> None:
    """Install the wrapper of one attribute of a class, if there is something to wrap."""
    cls, subject_attr = CLASSES[kind]
    label = f"{kind}.{name}"
    found = inspect.getattr_static(cls, name, None)
    if label in counters.wrappers or found is None or isinstance(found, (classmethod, staticmethod, type)):
        return
    wrapper: Any
    if isinstance(found, (property, AxisProperty)):
        is_schema = label in schema.MEMBERS
        wrapper = _engine.Member(found, label, cls, subject_attr, is_schema, schema.AXES.get(label))
        wrapper.setter = registry.setters.get(label)
    elif isinstance(found, FunctionType):
        chained = CHAINED.get(label, UNCHAINED)
        position = _inplace_position(found) if chained == INPLACE else -1
        subject = SCHEMA if label in schema.METHODS else SELF if subject_attr is None else ATTR
        wrapper = _engine.Method(found, label, cls, subject, subject_attr, chained, position)
    else:
        return
    wrapper.handler = registry.handlers.get(label)
    if wrapper.handler is not None and isinstance(found, FunctionType):
        wrapper.handler.__qualname__ = found.__qualname__  # so that errors about arguments name pandas' function
    counters.wrappers[label] = wrapper
    _set(cls, name, wrapper)
    if label in SHARED:
        _set(SHARED[label], name, wrapper)


def _names_of(kind: str) -> list[str]:
    cls, subject_attr = CLASSES[kind]
    public = [name for name in dir(cls) if not name.startswith("_")]
    if subject_attr is None:
        plain = DELEGATING | {name.rpartition(".")[2] for name in registry.transparent_names}
        special = [*OPERATORS, "__iter__"] if cls is Series else OPERATORS
        return [name for name in [*public, *special] if name not in plain]
    if kind.startswith("_"):
        return ["__getitem__", "__setitem__"]
    if kind.endswith("GroupBy"):
        return [*(name for name in public if name not in GROUPED_PLAIN), "__getitem__", "__iter__", "__len__"]
    return [*public, "__getitem__"] if kind == "StringMethods" else public


def _registered(name: str) -> None:
    """Bring a new registration into effect."""
    owner, _, attribute = name.rpartition(".")
    if owner == "pandas":
        if attribute in _module_functions:
            _module_functions[attribute].handler = registry.handlers[name]
        else:
            module_function(attribute)
        return
    if name in registry.transparent_names:
        _pass_through(name)
        return
    if name not in counters.wrappers and owner in CLASSES and _undo:
        _wrap(owner, attribute)
    wrapper = counters.wrappers.get(name)
    if wrapper is not None:
        wrapper.handler = registry.handlers.get(name)
        original = getattr(wrapper, "__wrapped__", None)
        if wrapper.handler is not None and isinstance(original, FunctionType):
            wrapper.handler.__qualname__ = original.__qualname__
        if name in registry.setters:
            wrapper.setter = registry.setters[name]


def _pass_through(name: str) -> None:
    """Add the code of a pandas function to those whose caller counts instead of them."""
    owner, _, attribute = name.rpartition(".")
    cls = CLASSES[owner][0] if owner in CLASSES else {"NDFrame": generic.NDFrame, "GroupBy": GroupBy}[owner]
    found = inspect.getattr_static(cls, attribute)
    code = getattr(getattr(found, "fget", found), "__code__", None)
    if code is not None:
        transparent_code.add(code)


def module_function(name: str) -> Any:
    """Give the wrapped version of a function of the pandas namespace, e.g. ``merge``."""
    wrapper = _module_functions.get(name)
    if wrapper is None:
        label = f"pandas.{name}"
        original = getattr(pandas, name)
        wrapper = _engine.Method(original, label, pandas, ALWAYS if name in READERS else ARGS)
        wrapper.handler = registry.handlers.get(label)
        _module_functions[name] = counters.wrappers[label] = wrapper
        public = sys.modules["terality"].__dict__
        if public.get(name) is original:
            public[name] = wrapper
        if routed:
            _set(pandas, name, wrapper)
    return wrapper


def add_internal(path: str) -> None:
    """Treat the code in a file or folder like terality's own: its calls are pandas' calls and not counted."""
    global _internal
    _internal += (path,)
    _configure()


_internal: tuple[str, ...] = (
    os.path.dirname(pandas.__file__) + os.sep,
    os.path.dirname(__file__) + os.sep,
    os.path.dirname(pyarrow.__file__) + os.sep,  # reads frames column by column when it converts them
)


def _configure() -> None:
    inside = _internal[0]
    _engine.configure(
        DataFrame,
        Series,
        Flags,
        registry.Fallback,
        fallback.on_fallback,
        fallback.on_chained,
        _internal,
        (inside + "tests" + os.sep, inside + "conftest.py"),
        transparent_code,
        (fallback.NUMPY,),
        registry.load_handlers,
    )


def patch_classes() -> None:
    """Make pandas' classes able to carry lazy objects, and wrap their methods. Does nothing when already done."""
    if _undo:
        return
    for name in registry.transparent_names:
        _pass_through(name)
    for function in (GroupBy.__getattr__, accessor.Accessor.__get__, arraylike.array_ufunc):
        transparent_code.add(function.__code__)
    _configure()
    _set(generic.NDFrame, "_tr_native", None)
    _set(generic.NDFrame, "_mgr", _engine.LazyManager())
    grouping.patch(_set)
    for kind in CLASSES:
        for name in _names_of(kind):
            _wrap(kind, name)
    for label in schema.MEMBERS:
        _wrap(*label.split("."))
    accessors.patch(_set)
    for name in registry.handlers:
        owner, _, attribute = name.rpartition(".")
        if owner in CLASSES:
            _wrap(owner, attribute)
    for cls in (DataFrame, Series):
        _set(cls, "from_pandas", staticmethod(from_pandas))
        _set(cls, "to_pandas", to_pandas)
    _set(DataFrame, "to_parquet_folder", to_parquet_folder)
    _set(DataFrame, "to_csv_folder", to_csv_folder)


registry.on_registration(_registered)


def install() -> None:
    """Route unmodified pandas programs to the engine: also ``pandas.read_csv``, ``concat``, ``merge`` and so on."""
    global routed
    patch_classes()
    if routed:
        return
    routed = True
    for name in (*READERS, *FUNCTIONS, *_module_functions):
        if vars(pandas).get(name) is not module_function(name):
            _set(pandas, name, module_function(name))


def uninstall() -> None:
    """Materialise every live lazy object and give pandas its own attributes back."""
    global routed
    gc.unfreeze()
    for obj in gc.get_objects():
        if type(obj) in (DataFrame, Series) and obj._tr_native is not None:
            _engine.drop(obj)
    for owner, name, old in reversed(_undo):
        if old is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, old)
    _undo.clear()
    routed = False
    for label in [label for label in counters.wrappers if not label.startswith("pandas.")]:
        del counters.wrappers[label]


def unsupported() -> str | None:
    """Say why this platform or pandas cannot be patched; None when it can."""
    if not pandas.__version__.startswith("3.1."):
        return f"pandas {pandas.__version__} is not supported (3.1.x is)"
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} is not supported (Linux is)"
    return None


def public_names() -> dict[str, Any]:
    """The pandas namespace as terality shows it: functions that may read engine objects are wrapped."""
    names = {name: value for name, value in vars(pandas).items() if not name.startswith("_")}
    if _undo:
        for name in (*READERS, *FUNCTIONS):
            if name in names:
                names[name] = module_function(name)
    return names
