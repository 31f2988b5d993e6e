"""Lazy GroupBy objects: ``df.groupby("k")`` without looking at the data.

pandas' GroupBy computes its grouper in ``__init__``. A lazy one is made by ``object.__new__`` with the same public
fields; ``_grouper`` and ``exclusions`` are non-data descriptors on the class that compute on first need.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from pandas import DataFrame, Series
from pandas.core.groupby.generic import DataFrameGroupBy, SeriesGroupBy
from pandas.core.groupby.groupby import GroupBy
from pandas.core.groupby.grouper import get_grouper

from .native import native_of
from .registry import Fallback, handler_of, native

__all__ = ["group_lazily", "patch", "select_lazily"]

_LAZY = "_tr_lazy"
"""Marks a lazy GroupBy; holds the GroupBy it was selected from, or None."""


class LazyGrouping:
    """Non-data descriptor: fills ``_grouper`` and ``exclusions`` of a lazy GroupBy when pandas first asks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, grouped: Any, cls: type) -> Any:
        if grouped is None:
            return self
        state = vars(grouped)
        if _LAZY not in state:
            raise AttributeError(f"'{cls.__name__}' object has no attribute '{self.name}'")
        parent = state[_LAZY]
        if parent is None:
            grouper, exclusions, obj = get_grouper(
                grouped.obj,
                grouped.keys,
                level=grouped.level,
                sort=grouped.sort,
                observed=grouped.observed,
                dropna=grouped.dropna,
            )
            grouped.obj = obj
        else:
            grouper, exclusions = parent._grouper, parent.exclusions
        state["_grouper"] = grouper
        state["exclusions"] = frozenset(exclusions) if exclusions else frozenset()
        state.pop(_LAZY, None)
        return state[self.name]


def patch(set_attribute: Callable[[Any, str, Any], None]) -> None:
    """Install the descriptors on GroupBy."""
    for name in ("_grouper", "exclusions"):
        set_attribute(GroupBy, name, LazyGrouping(name))


def _new(cls: type, obj: Any, selection: Any, parent: Any, **fields: Any) -> Any:
    grouped = object.__new__(cls)
    state = vars(grouped)
    state.update(fields)
    state["obj"] = obj
    state["_selection"] = selection
    state[_LAZY] = parent
    return grouped


def group_lazily(
    obj: Any,
    keys: Any,
    *,
    level: Any = None,
    as_index: bool = True,
    sort: bool = True,
    group_keys: bool = True,
    observed: bool = True,
    dropna: bool = True,
) -> Any:
    """Give a DataFrameGroupBy or SeriesGroupBy over `obj` whose grouper is computed when pandas needs it.

    The caller has checked that pandas would accept the keys.
    """
    cls = DataFrameGroupBy if isinstance(obj, DataFrame) else SeriesGroupBy
    return _new(
        cls, obj, None, None, level=level, as_index=as_index, keys=keys, sort=sort, group_keys=group_keys,
        dropna=dropna, observed=observed,
    )  # fmt: skip


def select_lazily(grouped: Any, key: Any, subset: Any) -> Any:
    """Give ``grouped[key]`` over `subset` (a column, or the whole frame for a list of labels), still lazy."""
    cls = SeriesGroupBy if isinstance(subset, Series) else DataFrameGroupBy
    fields = {name: getattr(grouped, name) for name in
              ("level", "as_index", "keys", "sort", "group_keys", "dropna", "observed")}  # fmt: skip
    return _new(cls, subset, key, grouped, **fields)


def _check_labels(obj: DataFrame, by: Any, labels: list[Hashable]) -> None:
    table = native_of(obj)
    assert table is not None
    for label in labels:
        if not isinstance(label, (str, int, float)) or isinstance(label, bool):
            raise Fallback(f"by with an element of type {type(label).__name__}")
    if any(name is not None and name in labels for name in table.index_names):
        raise Fallback("by names an index level")
    for label in labels:
        if label in table.columns and table.columns.is_unique:
            continue
        # A list as long as the frame may be the keys themselves.
        if table.columns.is_unique and not (isinstance(by, list) and len(by) == table.nrows()):
            raise KeyError(label)
        raise Fallback(f"by={label!r} is not one column")


@native("DataFrame.groupby")
def frame_groupby(
    self: DataFrame,
    by: Any = None,
    level: Any = None,
    *args: Any,
    as_index: bool = True,
    sort: bool = True,
    group_keys: bool = True,
    observed: bool = True,
    dropna: bool = True,
) -> DataFrameGroupBy:
    """Group by one or several column labels."""
    if args:
        raise Fallback("positional flags")
    if level is not None or by is None:
        raise Fallback("level" if level is not None else "by=None")
    if not all(isinstance(flag, bool) for flag in (as_index, sort, group_keys, observed, dropna)):
        raise Fallback("a flag that is not a bool")
    if isinstance(by, tuple) or not isinstance(by, (list, str, int, float)):
        raise Fallback(f"by of type {type(by).__name__}")
    labels = by if isinstance(by, list) else [by]
    if not labels:
        raise Fallback("by=[]")
    _check_labels(self, by, labels)
    return group_lazily(self, by, as_index=as_index, sort=sort, group_keys=group_keys, observed=observed, dropna=dropna)


@native("DataFrameGroupBy.__getitem__")
def select(self: DataFrameGroupBy, key: Any) -> Any:
    """Select one column or a list of them."""
    if self._selection is not None:
        raise IndexError(f"Column(s) {self._selection} already selected")
    table = native_of(self.obj)
    assert table is not None
    if not table.columns.is_unique:
        raise Fallback("duplicate column labels")
    if isinstance(key, list):
        missing = set(key).difference(table.columns)
        if missing:
            table.columns.intersection(key)  # pandas looks so, and what it raises comes first
            raise KeyError(f"Columns not found: {str(list(missing))[1:-1]}")
        return select_lazily(self, list(key), self.obj)
    if not isinstance(key, (str, int, float)):
        raise Fallback(f"key of type {type(key).__name__}")
    if key not in table.columns:
        raise KeyError(f"Column not found: {key}")
    return select_lazily(self, key, handler_of("DataFrame.__getitem__")(self.obj, key))
