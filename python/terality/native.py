"""What stands behind a lazy pandas object, and how to get from one to the other.

The engine's frames derive from :class:`Native`. Handlers use :func:`native_of` for their arguments and
:func:`wrap_frame` / :func:`wrap_series` for their results.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import deepcopy
from typing import Any

from pandas import DataFrame, Index, Series

from . import _engine
from .registry import Fallback, load_handlers
from .sharing import Watched, guarded, watch_blocks

__all__ = ["Native", "finalize", "is_lazy", "native_of", "replace", "set_ingest", "wrap_frame", "wrap_series"]

is_lazy: Callable[[Any], bool] = _engine.is_lazy


class Native(_engine.Native):
    """A table (``is_frame``) or column of the engine that a pandas object can stand for.

    Immutable as far as anybody outside can see. ``pin`` (a slot of the C base class) is the manager that
    ``materialize`` made, or the pandas manager the Native was ingested from; nobody may write to it. As long as the
    Native lives, its pin makes pandas copy before it writes into the same arrays, so the engine may read them and the
    seal sees every write. When only handles stand in the way of a write, they are given up (see :mod:`.sharing`).

    Attributes
    ----------
    is_frame : bool
    columns : pandas.Index
        Column labels; the same object at every call. Pandas objects give out views of it, so nobody changes it.
    name : Hashable
        Name of a column; None for a table.
    dtypes : list of dtype objects
        One per column (one for a Series).
    """

    is_frame: bool = True
    columns: Index
    name: Hashable = None
    dtypes: list[Any]

    def materialize(self) -> Any:
        """Run the plan; give a BlockManager (table) or SingleBlockManager (column) with writeable arrays.

        Called at most once per Native, under a lock; the result becomes ``pin``.
        """
        raise NotImplementedError

    def given_to(self, obj: Any) -> None:
        """Note that `obj` carries this Native and has a manager over the arrays of the pin."""
        for block in self.pin.blocks:
            refs = block.refs
            if type(refs) is Watched:
                refs.watch(obj, self, block)

    def index(self) -> Index:
        """Give the row labels, the same object every time; may run a plan for them alone."""
        raise NotImplementedError

    def nrows(self) -> int:
        """Number of rows; may run a plan that counts."""
        return len(self.index())

    @property
    def index_names(self) -> list[Hashable]:
        """Names of the index levels, from the schema."""
        return list(self.index().names)

    def with_name(self, name: Hashable) -> Native:
        """Give the same column under another name."""
        raise NotImplementedError

    def execute(self) -> None:
        """Compute and keep the result in the engine, without giving it to pandas."""
        raise NotImplementedError

    def explain(self) -> str:
        """Give the plan as text."""
        return f"{type(self).__name__}: no plan to show"


Ingest = Callable[[Any, Hashable], Native]
_ingest: Ingest | None = None


def set_ingest(function: Ingest) -> Ingest:
    """Set how pandas-made objects enter the engine; usable as a decorator.

    Parameters
    ----------
    function : callable(manager, name) -> Native
        Gets a manager over the object's arrays, and the name of a Series. Its numpy memory keeps the object's pin
        alive as long as anybody holds a view or buffer of it. Must not change it; raises
        :class:`~terality.registry.Fallback` for dtypes the engine does not have.
    """
    global _ingest
    _ingest = function
    return function


def native_of(obj: Any, *, ingest: bool = True) -> Native | None:
    """Give the Native of a pandas object.

    Parameters
    ----------
    obj : object
        Only exact DataFrames and Series have one.
    ingest : bool
        Whether an object that pandas made enters the engine now. The Native then stays with the object until the
        object is changed, and its arrays are pinned meanwhile.

    Returns
    -------
    Native or None
        None for anything but an exact DataFrame or Series, and for pandas-made objects when not `ingest`.

    Raises
    ------
    Fallback
        The object's dtypes, index or labels have no native form.
    """
    native: Native | None = _engine.live_native(obj)
    kind = type(obj)
    if native is not None and _axis_renamed(obj, native):
        _engine.drop(obj)
        native = None
    if native is None:
        if not ingest or (kind is not DataFrame and kind is not Series):
            return None
        if _ingest is None:
            raise Fallback("no engine is loaded")
        libraries = {type(block.values).__module__.split(".")[0] for block in obj._mgr.blocks}
        if not libraries <= {"numpy", "pandas"}:
            raise Fallback("arrays of another library")
        watch_blocks(obj._mgr)
        pin = obj._mgr.copy(deep=False)
        native = _ingest(guarded(pin), obj._name if kind is Series else None)
        if native.pin is None:
            native.pin = pin
        _engine.attach(obj, native)
        native.given_to(obj)
        return native
    if kind is Series and not _same_label(obj._name, native.name):
        native = native.with_name(obj._name)
        if _engine.is_lazy(obj):
            _engine.replace(obj, native)
    return native


def _axis_renamed(obj: Any, native: Native) -> bool:
    """Whether the user changed a name on an Index that a lazy object gave out."""
    state = vars(obj)
    if "_tr_columns" in state and list(state["_tr_columns"].names) != list(native.columns.names):
        return True
    return "_tr_index" in state and list(state["_tr_index"].names) != list(native.index().names)


def _same_label(a: Hashable, b: Hashable) -> bool:
    return a is b or (type(a) is type(b) is str and a == b)


def wrap_frame(native: Native, source: Any = None) -> DataFrame:
    """Give a lazy DataFrame over a Native; attrs and flags come from `source` when given."""
    result: DataFrame = _engine.wrap_frame(native)
    return result if source is None else finalize(result, source)


def wrap_series(native: Native, source: Any = None) -> Series:
    """Give a lazy Series over a Native, named ``native.name``; attrs and flags come from `source` when given."""
    result: Series = _engine.wrap_series(native)
    return result if source is None else finalize(result, source)


def finalize(result: Any, source: Any) -> Any:
    """Copy attrs and flags as pandas' ``__finalize__`` does, without looking at data unless labels must be unique."""
    if source._attrs:
        object.__setattr__(result, "_attrs", deepcopy(source._attrs))
    if not source._flags._allows_duplicate_labels:
        result.flags.allows_duplicate_labels = False
    return result


def replace(obj: Any, native: Native) -> None:
    """Make `obj` stand for another Native in place, as ``df[k] = …`` and ``inplace=True`` do."""
    _engine.replace(obj, native)
    if not native.is_frame:
        object.__setattr__(obj, "_name", native.name)


def from_pandas(obj: Any) -> Any:
    """Give a lazy object over the data of a pandas-made one (a snapshot; zero-copy where dtypes allow).

    Parameters
    ----------
    obj : pandas.DataFrame or pandas.Series

    Returns
    -------
    DataFrame or Series that carries an engine handle
    """
    if not isinstance(obj, (DataFrame, Series)):
        raise TypeError(f"from_pandas expects a pandas DataFrame or Series, not {type(obj).__name__}")
    load_handlers()
    try:
        native = native_of(obj)
    except Fallback:
        return obj.copy(deep=False)
    if native is None:
        return obj.copy(deep=False)
    return wrap_frame(native, obj) if native.is_frame else wrap_series(native, obj)


def to_pandas(obj: Any) -> Any:
    """Give a pandas object without an engine handle over the same data."""
    if not isinstance(obj, (DataFrame, Series)):
        raise TypeError(f"to_pandas expects a DataFrame or Series, not {type(obj).__name__}")
    mgr = obj._mgr.copy(deep=False)
    return obj._constructor_from_mgr(mgr, axes=mgr.axes).__finalize__(obj)


def execute(obj: Any) -> Any:
    """Compute a lazy object now, keep the result in the engine, and give the object back."""
    native = native_of(obj, ingest=False)
    if native is not None and is_lazy(obj):
        native.execute()
    return obj


def explain(obj: Any) -> str:
    """Give the plan of an object as text."""
    native = native_of(obj, ingest=False)
    if native is None:
        return f"{type(obj).__name__} in pandas: no plan"
    return native.explain()
