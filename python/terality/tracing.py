"""Recognising simple functions over a group: they are run once on stand-ins that record what is computed.

Only functions of their argument and constants are taken: a closure, a global other than pandas/numpy, or any
operation the stand-ins do not know makes pandas serve the call.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import pandas
from pandas import Series

from . import _engine
from .registry import Fallback

__all__ = ["trace_apply"]

AGGREGATES = ("sum", "mean", "min", "max", "count", "std", "var", "median", "nunique", "first", "last", "prod")


class Outcome:
    """A number per group, as an expression over aggregates.

    ``build(grouping, aggregates)`` adds the aggregates it needs and gives a function from their columns to an
    expression.
    """

    def __init__(self, build: Callable[[Any, Any], Callable[[list[Any]], Any]]) -> None:
        self.build = build

    def _combine(self, op: str, other: Any, swap: bool = False) -> Outcome:
        if isinstance(other, Outcome):
            right = other.build
        elif type(other) in (int, float):
            constant = _engine.lit(other, "int64" if type(other) is int else "float64", True)

            def right(_g: Any, _made: Any) -> Callable[[list[Any]], Any]:
                return lambda _cols: constant
        else:
            raise Fallback(f"the function combines an aggregate with a {type(other).__name__}")
        left = self.build

        def build(g: Any, made: Any) -> Callable[[list[Any]], Any]:
            a, b = left(g, made), right(g, made)
            if swap:
                a, b = b, a
            return lambda cols: _engine.op(op, (a(cols), b(cols)))

        return Outcome(build)

    def __add__(self, other: Any) -> Outcome:
        return self._combine("ADD", other)

    def __radd__(self, other: Any) -> Outcome:
        return self._combine("ADD", other, True)

    def __sub__(self, other: Any) -> Outcome:
        return self._combine("SUB", other)

    def __rsub__(self, other: Any) -> Outcome:
        return self._combine("SUB", other, True)

    def __mul__(self, other: Any) -> Outcome:
        return self._combine("MUL", other)

    def __rmul__(self, other: Any) -> Outcome:
        return self._combine("MUL", other, True)

    def __truediv__(self, other: Any) -> Outcome:
        return self._combine("TRUEDIV", other)

    def __rtruediv__(self, other: Any) -> Outcome:
        return self._combine("TRUEDIV", other, True)

    def __pow__(self, other: Any) -> Outcome:
        return self._combine("POW", other)

    def __bool__(self) -> bool:
        raise Fallback("the function decides by a value")


class GroupColumn:
    """Stands for one column of a group."""

    def __init__(self, label: Any) -> None:
        self._label = label

    def _aggregate(self, fn: str) -> Outcome:
        label = self._label

        def build(g: Any, made: Any) -> Callable[[list[Any]], Any]:
            at = g.whole.at(label)
            _check_number(g.whole.exprs[at])
            made.add(fn, g.whole.exprs[at], g.whole.dtypes[at], param=None)
            position = len(made.items) - 1
            return lambda cols: cols[position]

        return Outcome(build)

    def corr(self, other: Any) -> Outcome:
        """Pearson correlation with another column of the group."""
        if not isinstance(other, GroupColumn):
            raise Fallback("corr with something that is no column of the group")
        first, second = self._label, other._label

        def build(g: Any, made: Any) -> Callable[[list[Any]], Any]:
            from .ops.grouping import item

            a, b = g.whole.exprs[g.whole.at(first)], g.whole.exprs[g.whole.at(second)]
            _check_number(a)
            _check_number(b)
            made.items.append(item("agg", "corr", made.place(a), "float64", expr2=made.place(b)))
            made.dtypes.append(None)
            position = len(made.items) - 1
            return lambda cols: cols[position]

        return Outcome(build)

    def __getattr__(self, name: str) -> Any:
        if name in AGGREGATES:
            return lambda: self._aggregate(name)
        raise Fallback(f"the function uses {name} of a column")


def _check_number(expr: Any) -> None:
    if expr.dtype not in ("int64", "float64"):
        raise Fallback(f"the function aggregates a {expr.dtype} column")


class Group:
    """Stands for a group's frame."""

    def __init__(self, labels: list[Any]) -> None:
        self._labels = labels

    def __getitem__(self, label: Any) -> GroupColumn:
        if not isinstance(label, str) or label not in self._labels:
            raise Fallback(f"the function selects {label!r}")
        return GroupColumn(label)

    def __getattr__(self, name: str) -> GroupColumn:
        if name in self._labels and not hasattr(pandas.DataFrame, name):
            return GroupColumn(name)
        raise Fallback(f"the function uses {name} of its group")


class SeriesOfOutcomes:
    """Stands for pandas.Series inside a traced function."""

    def __call__(self, data: Any = None, *args: Any, **kwargs: Any) -> dict[str, Outcome]:
        """Take a dict of outcomes."""
        if args or kwargs or not isinstance(data, dict) or not data:
            raise Fallback("the function makes a Series of another form")
        if not all(isinstance(k, str) and isinstance(v, Outcome) for k, v in data.items()):
            raise Fallback("the function makes a Series of other things than aggregates")
        return Traced(data)


class Traced(dict[str, Outcome]):
    """What a traced function returned: outcomes by label."""


class PandasModule:
    """Stands for the pandas module inside a traced function."""

    Series = SeriesOfOutcomes()

    def __getattr__(self, name: str) -> Any:
        raise Fallback(f"the function uses pandas.{name}")


def _traced_globals(function: FunctionType) -> dict[str, Any]:
    """Give the globals a function reads, with pandas replaced; Fallback when it reads or writes others."""
    import sys

    names: dict[str, Any] = {"__builtins__": {}}
    for instruction in dis.get_instructions(function):
        if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME", "STORE_ATTR", "STORE_SUBSCR"):
            raise Fallback("the function changes something outside it")
        if instruction.opname != "LOAD_GLOBAL":
            continue
        name = instruction.argval
        value = function.__globals__.get(name, getattr(builtins, name, None))
        if value is pandas or (isinstance(value, ModuleType) and value is sys.modules.get("terality")):
            names[name] = PandasModule()
        elif value is Series:
            names[name] = PandasModule.Series
        else:
            raise Fallback(f"the function uses the global {name}")
    return names


def trace_apply(function: Any, labels: list[Any]) -> Traced:
    """Run a function of a group on stand-ins.

    Parameters
    ----------
    function : callable
        As given to ``DataFrameGroupBy.apply``.
    labels : list
        Column labels of a group.

    Returns
    -------
    Traced
        Outcomes by label.

    Raises
    ------
    Fallback
        The function is not of the recognised kind.
    """
    if type(function) is not FunctionType or function.__closure__ or function.__defaults__ or function.__kwdefaults__:
        raise Fallback("a callable that is no plain function of its group")
    if function.__code__.co_argcount != 1 or function.__code__.co_flags & 0x2AC:
        raise Fallback("a function of several arguments, or a generator")
    copy = FunctionType(function.__code__, _traced_globals(function))
    try:
        out = copy(Group(labels))
    except Fallback:
        raise
    except Exception as error:  # the stand-ins do not do everything that pandas does
        raise Fallback(f"tracing the function failed: {error}") from None
    if not isinstance(out, Traced):
        raise Fallback("the function returns something else than a Series of aggregates")
    return out
