"""Arithmetic, comparison and logic, row by row; casts, missing values, mathematical functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pandas import CategoricalDtype, DataFrame, Index, Series
from pandas.api.extensions import ExtensionDtype, no_default
from pandas.api.types import is_scalar
from pandas.api.types import pandas_dtype as parse_dtype
from pandas.errors import IntCastingNaNError

from .. import _engine
from ..dtypes import engine_name, pandas_dtype
from ..native import is_lazy
from ..registry import Fallback, native
from ..table import Table, aligned
from .arguments import as_blocks, literal, refuse, result, table_of

BINARY = {
    "add": "ADD",
    "sub": "SUB",
    "mul": "MUL",
    "truediv": "TRUEDIV",
    "floordiv": "FLOORDIV",
    "mod": "MOD",
    "pow": "POW",
    "eq": "EQ",
    "ne": "NE",
    "lt": "LT",
    "le": "LE",
    "gt": "GT",
    "ge": "GE",
    "and": "AND",
    "or": "OR",
    "xor": "XOR",
}
COMPARISONS = ("EQ", "NE", "LT", "LE", "GT", "GE")
REFLECTED = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")


def expr_dtype(expr: Any) -> Any:
    """Give the pandas dtype of an expression that is not a category."""
    return pandas_dtype(expr.dtype)


def computed_series(table: Table, expr: Any, name: Any, dtype: Any = None) -> Series:
    """Give a lazy Series of an expression; one whose dtype the data decides, or that may fail, is computed now."""
    return result(table.series(expr, expr_dtype(expr) if dtype is None else dtype, name).settled())


def _named(a: Any, b: Any) -> Any:
    """Name of a result of two Series."""
    if a is b:
        return a
    try:
        return a if bool(a == b) else None
    except (TypeError, ValueError):
        raise Fallback("names that do not compare") from None


def _kind(name: str) -> str:
    """What a dtype compares with: numbers, or its own kind."""
    for kind in ("category", "str", "datetime", "timedelta"):
        if name.startswith(kind):
            return kind
    return "number"


def _check_operands(op: str, args: tuple[Any, Any], right: Any) -> None:
    """Refuse what the engine would accept and pandas would not, or do otherwise."""
    a, b = args[0].dtype, args[1].dtype
    if op in COMPARISONS and _kind(a) != _kind(b):
        raise Fallback(f"{op} of {a} and {b}")
    if op in ("AND", "OR", "XOR") and not a == b == "bool":
        raise Fallback(f"{op} of {a} and {b}")
    if op in ("FLOORDIV", "MOD") and b == "bool":
        raise Fallback(f"{op} by bool")
    if (
        op == "POW"
        and not a.startswith("float")
        and not b.startswith("float")
        and not (type(right) is int and right >= 0)
    ):
        raise Fallback("integer powers that may be negative")


def _is_category_test(op: str, dtype: Any, value: Any) -> bool:
    """Tell whether a category is asked for one value of its categories' own type; pandas has rules for any other."""
    if op not in ("EQ", "NE") or not isinstance(dtype, CategoricalDtype) or dtype.categories is None:
        return False
    return {"str": str, "int64": int, "float64": float}.get(str(dtype.categories.dtype)) is type(value)


def _scalar(value: Any, like: str, op: str) -> Any:
    """Give a scalar beside a column; pandas computes timedeltas with whole floats as with ints, which is exact."""
    whole = isinstance(value, (float, np.floating)) and value != 0 and value.is_integer()
    if whole and like.startswith("timedelta") and op not in COMPARISONS:
        value = int(value)
    return literal(value, like, op not in COMPARISONS)


def _series_op(op: str, left: Any, right: Any) -> Series:
    """Serve ``left op right``; at least one is a Series."""
    if isinstance(left, Series) and isinstance(right, Series):
        name = _named(left._name, right._name)
        a, b = aligned(table_of(left), table_of(right))
        table, args = a, (a.exprs[0], b.exprs[0])
    elif isinstance(left, Series):
        table = table_of(left)
        name = left._name
        args = (table.exprs[0], _scalar(right, table.exprs[0].dtype, op))
    else:
        table = table_of(right)
        name = right._name
        args = (_scalar(left, table.exprs[0].dtype, op), table.exprs[0])
    if not (isinstance(left, Series) and _is_category_test(op, table.dtypes[0], right)):
        _check_operands(op, args, right)
    return computed_series(table, _engine.op(op, args), name)


def _register_series(name: str, op: str) -> None:
    @native(f"Series.__{name}__")
    def forward(self: Series, other: Any) -> Series:
        out = _series_op(op, self, other)
        return _with_attrs(out, self, other)

    forward.__doc__ = f"Serve ``self {name} other``."
    if name in REFLECTED:

        @native(f"Series.__r{name}__")
        def reflected(self: Series, other: Any) -> Series:
            return _with_attrs(_series_op(op, other, self), self, other)

        reflected.__doc__ = f"Serve ``other {name} self``."


def _with_attrs(out: Series, *sources: Any) -> Series:
    for source in sources:
        if isinstance(source, (Series, DataFrame)) and (source._attrs or not source._flags._allows_duplicate_labels):
            raise Fallback("attrs or flags on an operand")
    return out


for _name, _op in BINARY.items():
    _register_series(_name, _op)


def _register_method(name: str, op: str) -> None:
    """Register Series.add, .gt and so on without fill_value."""

    @native(f"Series.{name}")
    def method(self: Series, other: Any, level: Any = None, fill_value: Any = None, axis: Any = 0) -> Series:
        refuse(level=(level, None), fill_value=(fill_value, None), axis=(axis, 0))
        if op in ("FLOORDIV", "MOD") and isinstance(other, Series):
            raise Fallback(f"{name} of two Series, which does nothing about zeros")
        return _with_attrs(_series_op(op, self, other), self, other)

    method.__doc__ = f"Serve Series.{name}."


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge"):
    _register_method(_name, BINARY[_name])
_register_method("div", "TRUEDIV")


def map_columns(self: DataFrame, function: Callable[[Any, Any], tuple[Any, Any]], *, blocks: bool = False) -> DataFrame:
    """Give a frame of ``function(expr, dtype) -> (expr, dtype)`` over every column; see `as_blocks`."""
    table = table_of(self)
    made = [function(e, d) for e, d in zip(table.exprs, table.dtypes, strict=True)]
    out = table.frame([e for e, _ in made], [d for _, d in made], table.columns).settled()
    return result(as_blocks(out, tuple(e.dtype for e in table.exprs)) if blocks else out, self)


def _register_frame(name: str, op: str) -> None:
    def combine(self: DataFrame, other: Any, swap: bool) -> DataFrame:
        if isinstance(other, (DataFrame, Series, Index, np.ndarray, list)):
            raise Fallback(f"a frame with an operand of type {type(other).__name__}")

        def one(expr: Any, dtype: Any) -> tuple[Any, Any]:
            other_expr = _scalar(other, expr.dtype, op)
            if swap or not _is_category_test(op, dtype, other):
                _check_operands(op, (other_expr, expr) if swap else (expr, other_expr), other)
            made = _engine.op(op, (other_expr, expr) if swap else (expr, other_expr))
            return made, expr_dtype(made)

        return map_columns(self, one, blocks=op in ("FLOORDIV", "MOD"))  # one zero makes a whole block float

    @native(f"DataFrame.__{name}__")
    def forward(self: DataFrame, other: Any) -> DataFrame:
        return combine(self, other, False)

    if name in REFLECTED:

        @native(f"DataFrame.__r{name}__")
        def reflected(self: DataFrame, other: Any) -> DataFrame:
            return combine(self, other, True)


for _name, _op in BINARY.items():
    _register_frame(_name, _op)


def _register_unary(method: str, op: str) -> None:
    @native(f"Series.{method}")
    def on_series(self: Series) -> Series:
        table = table_of(self)
        return _finish(computed_series(table, _engine.op(op, (table.exprs[0],)), self._name), self)

    @native(f"DataFrame.{method}")
    def on_frame(self: DataFrame) -> DataFrame:
        def one(expr: Any, dtype: Any) -> tuple[Any, Any]:
            made = _engine.op(op, (expr,))
            return made, expr_dtype(made)

        return map_columns(self, one)


def _finish(out: Series, source: Series) -> Series:
    from ..native import finalize

    return finalize(out, source)


for _method, _op in (
    ("__invert__", "INVERT"),
    ("__neg__", "NEG"),
    ("__abs__", "ABS"),
    ("abs", "ABS"),
    ("isna", "ISNA"),
    ("isnull", "ISNA"),
    ("notna", "NOTNA"),
    ("notnull", "NOTNA"),
):
    _register_unary(_method, _op)


@native("Series.isin")
def isin(self: Series, values: Any) -> Series:
    """Serve isin for lists of scalars of the column's kind."""
    table = table_of(self)
    if not isinstance(values, (list, tuple, set)) or not values:
        raise Fallback(f"values of type {type(values).__name__}")
    kind = table.exprs[0].dtype
    wanted: tuple[Any, ...] = tuple(values)
    if kind == "str" and all(type(v) is str for v in wanted):
        list_dtype = "str"
    elif kind.startswith(("int", "uint")) and all(type(v) is int and -(2**63) <= v < 2**63 for v in wanted):
        list_dtype = "int64"
    elif kind.startswith("float") and all(type(v) is float and v == v for v in wanted):
        list_dtype = "float64"
    else:
        raise Fallback(f"isin of a {kind} column over these values")
    expr = _engine.op("ISIN", (table.exprs[0],), list=wanted, list_dtype=list_dtype)
    return _finish(computed_series(table, expr, self._name), self)


@native("Series.between")
def between(self: Series, left: Any, right: Any, inclusive: str = "both") -> Series:
    """Serve between for scalars."""
    if inclusive not in ("both", "left", "right", "neither"):
        raise Fallback(f"inclusive={inclusive!r}")
    table = table_of(self)
    expr = table.exprs[0]
    low = _engine.op("GE" if inclusive in ("both", "left") else "GT", (expr, literal(left, expr.dtype)))
    high = _engine.op("LE" if inclusive in ("both", "right") else "LT", (expr, literal(right, expr.dtype)))
    return _with_attrs(computed_series(table, _engine.op("AND", (low, high)), self._name), self)


def _filled(expr: Any, value: Any) -> Any:
    if not is_scalar(value) or value is None:
        raise Fallback(f"value of type {type(value).__name__}")
    if not expr.maybe_null:
        return expr
    kind = expr.dtype
    if kind.startswith("category"):
        raise Fallback("fillna of a category")
    fits = (
        (kind == "str" and type(value) is str)
        or (kind.startswith("float") and type(value) in (int, float))
        or (kind.startswith(("datetime", "timedelta")) and not isinstance(value, (int, float, str)))
    )
    if not fits:
        raise Fallback(f"fillna of {kind} with {value!r}")
    fill = literal(float(value) if kind.startswith("float") else value, kind)
    if kind.startswith(("datetime", "timedelta")) and fill.dtype != kind:
        raise Fallback(f"fillna of {kind} with {fill.dtype}")
    return _engine.op("FILLNA", (expr, fill))


@native("Series.fillna")
def fillna_series(
    self: Series, value: Any = None, *, axis: Any = None, inplace: bool = False, limit: Any = None
) -> Series:
    """Serve fillna with one scalar of the column's kind."""
    refuse(axis=(axis, None, 0), inplace=(inplace, False), limit=(limit, None))
    table = table_of(self)
    return result(table.series(_filled(table.exprs[0], value), table.dtypes[0], self._name), self)


@native("DataFrame.fillna")
def fillna_frame(
    self: DataFrame, value: Any = None, *, axis: Any = None, inplace: bool = False, limit: Any = None
) -> DataFrame:
    """Serve fillna with one scalar, or a dict of scalars by column label."""
    refuse(axis=(axis, None, 0), inplace=(inplace, False), limit=(limit, None))
    table = table_of(self)
    if isinstance(value, dict):
        if not table.columns.is_unique:
            raise Fallback("duplicate column labels")
        exprs = list(table.exprs)
        for label, one in value.items():
            if label in table.columns:
                at = table.at(label)
                exprs[at] = _filled(exprs[at], one)
        return result(table.frame(exprs, table.dtypes, table.columns), self)
    return map_columns(self, lambda expr, dtype: (_filled(expr, value), dtype))


def cast(table: Table, expr: Any, old: Any, dtype: Any) -> tuple[Any, Any]:
    """Give an expression cast to a pandas dtype."""
    if isinstance(dtype, type) and issubclass(dtype, ExtensionDtype):
        raise Fallback("a class in place of a dtype")
    target = parse_dtype(dtype)
    if target == old or (
        isinstance(old, CategoricalDtype) and isinstance(target, CategoricalDtype) and target.categories is None
    ):
        return expr, old
    if isinstance(old, CategoricalDtype) and isinstance(target, CategoricalDtype):
        if target.categories is None and target.ordered is None:
            return expr, old
        raise Fallback("from categories to categories")
    name = engine_name(target)
    if isinstance(old, CategoricalDtype) and name == "str" and expr.maybe_null and old.categories.dtype != target:
        raise Fallback("text of categories that are numbers beside missing values")
    if isinstance(target, CategoricalDtype) and (target.categories is not None or target.ordered):
        raise Fallback("given categories")
    return _engine.op("CAST", (expr,), dtype=name), target


CERTAIN_CASTS = ("int", "uint", "float", "bool")


def _cast_now(table: Table, old_names: list[str]) -> Table:
    """Casts whose success depends on values run at the call."""
    for expr, old in zip(table.exprs, old_names, strict=True):
        if expr.dtype == old:
            continue
        if not (old.startswith(("int", "uint", "bool")) and expr.dtype.startswith(CERTAIN_CASTS)):
            try:
                return table.fixed()
            except ValueError as error:
                if str(error).startswith("Cannot convert non-finite values"):
                    raise IntCastingNaNError(str(error)) from None
                raise
    return table


def _check_changed(obj: Any, before: list[Any], after: list[Any]) -> None:
    """Raise Fallback when a cast changes nothing of an object that pandas holds: the result shares its memory."""
    if not is_lazy(obj) and all(a is b for a, b in zip(before, after, strict=True)):
        raise Fallback("dtypes that are so already")


@native("Series.astype")
def astype_series(self: Series, dtype: Any, copy: Any = no_default, errors: str = "raise") -> Series:
    """Serve astype between the engine's dtypes."""
    refuse(errors=(errors, "raise"), copy=(copy, no_default))
    if isinstance(dtype, (dict, Series)):
        raise Fallback(f"dtype of type {type(dtype).__name__}")
    table = table_of(self)
    expr, target = cast(table, table.exprs[0], table.dtypes[0], dtype)
    _check_changed(self, table.exprs, [expr])
    out = _cast_now(table.series(expr, target, self._name), [table.exprs[0].dtype])
    return result(out, self)


@native("DataFrame.astype")
def astype_frame(self: DataFrame, dtype: Any, copy: Any = no_default, errors: str = "raise") -> DataFrame:
    """Serve astype of all columns, or of some by a dict."""
    refuse(errors=(errors, "raise"), copy=(copy, no_default))
    table = table_of(self)
    if isinstance(dtype, Series):
        raise Fallback("dtype of type Series")
    exprs, dtypes = list(table.exprs), list(table.dtypes)
    if isinstance(dtype, dict):
        if not table.columns.is_unique or any(label not in table.columns for label in dtype):
            raise Fallback("a label that is not one column")
        for label, one in dtype.items():
            at = table.at(label)
            exprs[at], dtypes[at] = cast(table, exprs[at], dtypes[at], one)
        _check_changed(self, table.exprs, exprs)
        try:
            return result(_cast_now(table.frame(exprs, dtypes, table.columns), [e.dtype for e in table.exprs]), self)
        except (ValueError, TypeError, OverflowError):
            raise Fallback("a cast that fails, which pandas says of which column") from None
    for at in range(len(exprs)):
        exprs[at], dtypes[at] = cast(table, exprs[at], dtypes[at], dtype)
    _check_changed(self, table.exprs, exprs)
    out = _cast_now(table.frame(exprs, dtypes, table.columns), [e.dtype for e in table.exprs])
    return result(out, self)


def _rounded(expr: Any, dtype: Any, decimals: int) -> tuple[Any, Any]:
    if expr.dtype.startswith("float"):
        return _engine.op("ROUND", (expr,), (decimals,)), dtype
    if expr.dtype.startswith(("int", "uint")) and decimals >= 0:
        return expr, dtype
    if expr.dtype == "bool" or expr.dtype.startswith(("str", "category")):
        return expr, dtype
    raise Fallback(f"round of {expr.dtype}")


@native("DataFrame.round")
def round_frame(self: DataFrame, decimals: Any = 0, *args: Any, **kwargs: Any) -> DataFrame:
    """Serve round with one number of decimals or a dict of them."""
    if args or kwargs:
        raise Fallback("numpy arguments")
    table = table_of(self)
    if type(decimals) is int:
        return map_columns(self, lambda e, d: _rounded(e, d, decimals))
    if isinstance(decimals, dict) and table.columns.is_unique and all(type(v) is int for v in decimals.values()):
        exprs = list(table.exprs)
        for label, digits in decimals.items():
            if label in table.columns:
                at = table.at(label)
                exprs[at] = _rounded(exprs[at], table.dtypes[at], digits)[0]
        return result(table.frame(exprs, table.dtypes, table.columns), self)
    raise Fallback(f"decimals of type {type(decimals).__name__}")


@native("Series.round")
def round_series(self: Series, decimals: int = 0, *args: Any, **kwargs: Any) -> Series:
    """Serve round of a number column."""
    table = table_of(self)
    expr = table.exprs[0]
    if args or kwargs or type(decimals) is not int or not expr.dtype.startswith(("float", "int", "uint")):
        raise Fallback(f"round of {expr.dtype}")
    made, dtype = _rounded(expr, table.dtypes[0], decimals)
    return result(table.series(made, dtype, self._name), self)


@native("Series.clip")
def clip(
    self: Series, lower: Any = None, upper: Any = None, *, axis: Any = None, inplace: bool = False, **kwargs: Any
) -> Series:
    """Serve clip of a number column with scalar bounds of its kind."""
    refuse(axis=(axis, None, 0), inplace=(inplace, False))
    table = table_of(self)
    expr = table.exprs[0]
    ok = (int,) if expr.dtype.startswith(("int", "uint")) else (int, float) if expr.dtype.startswith("float") else ()
    if kwargs or any(b is not None and (type(b) not in ok or b != b) for b in (lower, upper)):
        raise Fallback(f"clip of {expr.dtype}")
    if lower is not None and upper is not None:
        lower, upper = min(lower, upper), max(lower, upper)
    if lower is not None:
        expr = _engine.op("CLIP_LOWER", (expr, literal(lower, expr.dtype)))
    if upper is not None:
        expr = _engine.op("CLIP_UPPER", (expr, literal(upper, expr.dtype)))
    if expr.dtype != table.exprs[0].dtype:
        raise Fallback("bounds that change the dtype")
    return result(table.series(expr, table.dtypes[0], self._name), self)


_UFUNCS = {np.sqrt: "SQRT", np.exp: "EXP", np.log: "LOG", np.log10: "LOG10", np.log2: "LOG2", np.log1p: "LOG1P",
           np.floor: "FLOOR", np.ceil: "CEIL", np.sin: "SIN", np.cos: "COS", np.absolute: "ABS"}  # fmt: skip


@native("Series.__array_ufunc__")
def array_ufunc(self: Series, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """Serve numpy's functions of one float column."""
    op = _UFUNCS.get(ufunc)
    if op is None or method != "__call__" or len(inputs) != 1 or kwargs or inputs[0] is not self:
        raise Fallback(f"numpy.{ufunc.__name__}")
    table = table_of(self)
    if table.exprs[0].dtype != "float64":
        raise Fallback(f"numpy.{ufunc.__name__} of {table.exprs[0].dtype}")
    return _finish(computed_series(table, _engine.op(op, (table.exprs[0],)), self._name), self)
