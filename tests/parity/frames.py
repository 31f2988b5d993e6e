"""Random input frames as plain descriptions: small enough to shrink, and printable as Python source.

A description holds Python scalars only. Times are int64 ticks (``MISSING_TICKS`` is NaT), categories are codes (-1 is
missing). Most floats are small multiples of 1/4, so that sums in any order are exact and discrete steps after them
(filters, ranks) can be compared; a frame with other floats, -0.0 among them (a sum of zeros may have either sign),
says so (``wild``).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["DTYPES", "Column", "Frame", "random_column", "random_frame"]

UNITS = ("s", "ms", "us", "ns")
INTS = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
TIMES = tuple(f"{kind}64[{unit}]" for kind in ("datetime", "timedelta") for unit in UNITS)
DTYPES = ("bool", *INTS, "float64", "float32", "str", *TIMES, "category", "ordered")
_WEIGHTS = (6, 14, 4, 3, 3, 3, 2, 2, 3, 16, 5, 18, *((3,) * 4), *((1.5,) * 4), 5, 3)

MISSING_TICKS = -(2**63)
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
WORDS = ("a", "b", "", "B", "ab", "abc", "a b", "x", "zebra", "é", "ß", "日本", "𝄞x", "10", "2", "1.5", " pad ",
         "Straße", "İ", "a_long_text_that_is_not_inline", "a_long_text_that_is_not_inlinE", "tab\there", "x,y", 'q"q',
         "nan", "None")  # fmt: skip
FLOATS = (0.0, 1.0, -1.0, 0.25, 2.5, -3.75, 10.0, 100.5, 7.0, -8.0, 1024.0)
WILD = (0.1, -0.3, 1e-300, 5e-324, 1e16, 1e100, -1e100, 123456.789, 3.3333333333333335, 2.0**53 + 2, 1e22, 0.5)
LABELS: tuple[Hashable, ...] = ("a", "b", "c", "d", "key", "value", "x y", "é", "count", "index", "0", "sum", "level_0")
ODD_LABELS: tuple[Hashable, ...] = (0, 1, 7, -1, ("a", 1), ("b", "c"), 1.5, "", "日本")


@dataclass(frozen=True)
class Column:
    """One column: a dtype of :data:`DTYPES` and its values; ``categories`` are those of a category."""

    label: Hashable
    dtype: str
    values: tuple[Any, ...]
    categories: tuple[Any, ...] = ()

    def take(self, rows: list[int]) -> Column:
        return replace(self, values=tuple(self.values[i] for i in rows))

    def array(self) -> Any:
        """Give the pandas array."""
        return eval(self.source(), {"pd": pd, "np": np, "nan": np.nan, "inf": np.inf})

    def source(self) -> str:
        """Give Python source of the array."""
        values = list(self.values)
        if self.dtype in ("category", "ordered"):
            ordered = self.dtype == "ordered"
            categories = list(self.categories)
            made = f"pd.Index({categories}, dtype='str')" if not categories else str(categories)
            return f"pd.Categorical.from_codes({values}, categories={made}, ordered={ordered})"
        if self.dtype in TIMES:
            return f"pd.array(np.array({values}, 'int64').view('{self.dtype}'))"
        if self.dtype == "str":
            return f"pd.array({values}, dtype='str')"
        return f"np.array({values}, '{self.dtype}')"


@dataclass(frozen=True)
class Frame:
    """Columns and row labels of one input.

    Attributes
    ----------
    index : list of Column, or (start, step) of a range
    names : names of the index levels
    """

    columns: tuple[Column, ...]
    index: tuple[Column, ...] | tuple[int, int]
    names: tuple[Hashable, ...]
    n_rows: int
    columns_name: Hashable = None
    wild: bool = field(default=False, compare=False)

    @property
    def ranged(self) -> bool:
        return bool(self.index) and not isinstance(self.index[0], Column)

    def take(self, rows: list[int]) -> Frame:
        """Give some rows; range labels start anew."""
        index = self.index if self.ranged else tuple(c.take(rows) for c in self.index)  # type: ignore[union-attr]
        return replace(self, columns=tuple(c.take(rows) for c in self.columns), index=index, n_rows=len(rows))

    def build(self) -> pd.DataFrame:
        """Give the pandas frame."""
        space: dict[str, Any] = {"pd": pd, "np": np, "nan": np.nan, "inf": np.inf}
        exec(self.source("out"), space)
        return space["out"]

    def source(self, name: str) -> str:
        """Give Python statements that make the frame."""
        body = ", ".join(f"{i}: {c.source()}" for i, c in enumerate(self.columns))
        if not self.columns:
            lines = [f"{name} = pd.DataFrame(index=pd.RangeIndex({self.n_rows}))"]
        else:
            lines = [f"{name} = pd.DataFrame({{{body}}})"]
        labels = [c.label for c in self.columns]
        if any(isinstance(label, tuple) for label in labels):
            made = f"pd.Index({labels}, tupleize_cols=False"
        else:
            made = f"pd.Index({labels}" + (", dtype='str'" if not labels else "")
        lines.append(f"{name}.columns = {made}, name={self.columns_name!r})")
        if self.ranged:
            start, step = self.index
            if (start, step, self.names[0]) != (0, 1, None):
                stop = start + step * self.n_rows
                lines.append(f"{name}.index = pd.RangeIndex({start}, {stop}, {step}, name={self.names[0]!r})")
        elif len(self.index) == 1:
            lines.append(f"{name}.index = pd.Index({self.index[0].source()}, name={self.names[0]!r})")  # type: ignore[union-attr]
        else:
            arrays = ", ".join(c.source() for c in self.index)  # type: ignore[union-attr]
            lines.append(f"{name}.index = pd.MultiIndex.from_arrays([{arrays}], names={list(self.names)})")
        return "\n".join(lines)


def _spread(random: Random, pool: list[Any], n: int) -> list[Any]:
    """Give n values of a pool: many or few distinct ones, in order or not."""
    few = pool if random.random() < 0.5 else random.sample(pool, min(len(pool), random.randint(1, 3)))
    return [random.choice(few) for _ in range(n)]


def _ints(random: Random, dtype: str, n: int, wild: bool) -> list[int]:
    info = np.iinfo(dtype)
    pool = [v for v in (0, 1, 2, 3, 5, 7, 10, 100, -1, -2, -7, 50) if info.min <= v <= info.max]
    if wild:
        pool += [int(info.min), int(info.max), int(info.max) - 1]
    return _spread(random, pool, n)


def _floats(random: Random, dtype: str, n: int, wild: bool) -> list[float]:
    pool = [*FLOATS, *(random.randint(-400, 400) / 4 for _ in range(4))]
    if wild:
        pool.append(-0.0)
        pool += [float(np.float32(v)) if dtype == "float32" and abs(v) < 1e30 else v for v in WILD]
        if dtype == "float32":  # squares of what is larger overflow in pandas (docs/differences.md)
            pool = [v for v in pool if abs(v) < 1e17]
    return _spread(random, pool, n)


def _ticks(random: Random, dtype: str, n: int) -> list[int]:
    per_second = TICKS[dtype[dtype.index("[") + 1 : -1]]
    if dtype.startswith("timedelta"):
        seconds: list[float] = [0, 1, 60, 3600, 86400, 90061, -1, -86400, 86399, 10**7]
    else:
        seconds = [
            0,
            1356998400,
            1361923200,
            1362095999,
            951782400,
            1709210096,
            -1,
            -2208988800,
            4102444800,
            1388534399,
        ]
        seconds += [1357000000 + 3600 * random.randint(0, 9000) for _ in range(6)]
    pool = [
        int(s) * per_second + random.choice((0, 0, 1, per_second // 2, 123456789 * per_second // 10**9))
        for s in seconds
    ]
    return _spread(random, pool, n)


def random_column(
    random: Random, label: Hashable, n: int, dtype: str | None = None, wild: bool = False, missing: float | None = None
) -> Column:
    """Give a column of n values; `missing` is the share of missing values where the dtype has them."""
    if dtype is None:
        dtype = random.choices(DTYPES, _WEIGHTS)[0]
    if missing is None:
        missing = random.choice((0.0, 0.0, 0.15, 0.4, 1.0 if random.random() < 0.15 else 0.1))
    categories: tuple[Any, ...] = ()
    values: list[Any]
    none: Any = None
    if dtype == "bool":
        return Column(label, dtype, tuple(_spread(random, [True, False], n)))
    if dtype in INTS:
        return Column(label, dtype, tuple(_ints(random, dtype, n, wild)))
    if dtype in ("float64", "float32"):
        values, none = _floats(random, dtype, n, wild), float("nan")
        if random.random() < 0.08:
            values = [random.choice((float("inf"), float("-inf"))) if random.random() < 0.2 else v for v in values]
    elif dtype == "str":
        values = _spread(random, list(WORDS), n)
        if wild and random.random() < 0.3:
            values = [v * random.choice((1, 1, 40)) for v in values]
    elif dtype in TIMES:
        values, none = _ticks(random, dtype, n), MISSING_TICKS
    else:
        kind = random.random()
        pool: list[Any] = list(WORDS[:8]) if kind < 0.75 else [3, 1, 2, 10] if kind < 0.9 else [0.5, -1.0, 2.0]
        categories = tuple(random.sample(pool, random.randint(0 if n == 0 else 1, len(pool))))
        values, none = [random.randrange(len(categories)) for _ in range(n)] if categories else [], -1
    return Column(label, dtype, tuple(none if random.random() < missing else v for v in values), categories)


def _ordered(random: Random, column: Column) -> Column:
    """Sort a column's values now and then: order is a fact that code likes to use."""
    if random.random() > 0.12 or None in column.values or any(v != v for v in column.values):
        return column
    return replace(column, values=tuple(sorted(column.values, reverse=random.random() < 0.3)))


def _labels(random: Random, n: int) -> tuple[list[Hashable], Hashable]:
    kind = random.random()
    if kind < 0.82:
        return random.sample(LABELS, n), "cols" if random.random() < 0.04 else None
    if kind < 0.88:
        return list(range(n)), None
    if kind < 0.94:
        return random.sample([*LABELS[:5], *ODD_LABELS], n), None
    return [random.choice(LABELS[:4]) for _ in range(n)], None


def _index(random: Random, n: int) -> tuple[Any, tuple[Hashable, ...]]:
    kind = random.random()
    name = random.choice((None, None, None, "idx", "a", 0))
    if kind < 0.62:
        return (0, 1), (name if random.random() < 0.2 else None,)
    if kind < 0.68:
        return (random.choice((0, 5, -3)), random.choice((1, 2, -1))), (name,)
    if kind < 0.92:
        dtype = random.choice(
            ("int64", "int64", "str", "str", "datetime64[ns]", "datetime64[us]", "float64", "category", "int32")
        )
        missing = random.choice((0.0, 0.0, 0.0, 0.1))
        return (_ordered(random, random_column(random, name, n, dtype, missing=missing)),), (name,)
    dtypes = [random.choice(("int64", "str", "datetime64[us]", "bool")) for _ in range(random.choice((2, 2, 3)))]
    names: tuple[Hashable, ...] = tuple(random.sample(("l0", "l1", "l2", "a"), len(dtypes)))
    if random.random() < 0.3:
        names = (None,) * len(dtypes)
    return tuple(random_column(random, None, n, d, missing=random.choice((0.0, 0.0, 0.1))) for d in dtypes), names


def random_frame(random: Random) -> Frame:
    """Give a random input."""
    size = random.random()
    n = 0 if size < 0.05 else 1 if size < 0.10 else random.randint(2, 12) if size < 0.75 else random.randint(13, 60)
    if size > 0.985:
        n = random.randint(1000, 1500)
    wild = random.random() < 0.25
    labels, columns_name = _labels(
        random, random.choice((0, 1, 2, 3, 4, 5, 6, 7) if random.random() < 0.3 else (3, 4, 5))
    )
    columns = tuple(_ordered(random, random_column(random, label, n, wild=wild)) for label in labels)
    index, names = _index(random, n)
    return Frame(columns, index, names, n, columns_name, wild)
