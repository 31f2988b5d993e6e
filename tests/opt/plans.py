"""Random plans over the engine's nodes, made twice from one seed: once to run as they are, once rewritten."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from terality import _engine
from terality.dtypes import array_from_pandas, array_to_pandas, pandas_dtype
from terality.registry import Fallback

Frames = dict[str, pd.DataFrame]


def random_frame(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Give columns of every kind that plans tell apart: few keys, missing values, both zeros, dates, texts."""
    floats = rng.choice([0.0, -0.0, 1.5, -2.25, np.nan, 1e9], n)
    days = pd.to_datetime(rng.integers(0, 30, n) * 86_400_000, unit="ms").as_unit("us").to_series(index=range(n))
    texts = pd.array(rng.choice(["a", "b", "ab", "a text that is not short", None], n), dtype="str")
    return pd.DataFrame(
        {
            "k": rng.integers(0, 5, n),
            "i": rng.integers(-50, 50, n).astype(np.int32),
            "f": floats,
            "g": rng.normal(size=n),
            "s": texts,
            "b": rng.integers(0, 2, n).astype(bool),
            "d": days.where(pd.Series(rng.random(n) > 0.1, index=range(n))),
            "t": np.sort(rng.integers(0, 1000, n)),
        }
    )


class Maker:
    """Grows a plan. Every choice comes from the seed, so two makers of one seed make equal plans."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.rels: list[Any] = []
        self.loose: list[list[bool]] = []  # columns whose dtype the data decides: not read by expressions
        for number in range(2):
            values = random_frame(np.random.default_rng(seed % 50 + 50 * number), self.rng.choice([0, 1, 7, 60, 200]))
            self.add(self.source(values, seed % 50, number), None)

    def source(self, values: pd.DataFrame, seed: int, number: int) -> Any:
        groups = self.rng.choice([10, 25, 1000])
        if self.rng.random() < 0.5:
            path = self.folder / f"{seed}-{number}-{len(values)}-{groups}.parquet"
            if not path.exists():
                values.to_parquet(path, row_group_size=groups, index=False)
            return _engine.open_parquet([str(path)])[0]
        arrays = tuple(array_from_pandas(values[c]._values) for c in values)
        return _engine.source(_engine.frame(len(values), arrays), "frame")

    def add(self, rel: Any, loose: list[bool] | None) -> None:
        flags = loose if loose is not None else [rel.schema(i)[2] for i in range(rel.n_cols)]
        self.rels.append(rel)
        self.loose.append([a or rel.schema(i)[2] for i, a in enumerate(flags)])

    # ---- expressions

    def columns(self, at: int, *kinds: str) -> list[int]:
        rel = self.rels[at]
        return [
            i for i in range(rel.n_cols) if not self.loose[at][i] and (not kinds or rel.schema(i)[0].startswith(kinds))
        ]

    def column(self, at: int, *kinds: str) -> Any:
        found = self.columns(at, *kinds)
        if not found:
            raise Fallback("no such column")
        return _engine.col(self.rels[at], self.rng.choice(found))

    def literal(self, dtype: str) -> Any:
        if dtype.startswith("int"):
            return _engine.lit(self.rng.choice([0, 1, 3, 40, 500, 900]), "int64", True)
        if dtype.startswith("float"):
            return _engine.lit(self.rng.choice([0.0, 1.0, -1.5]), "float64", True)
        if dtype == "str":
            return _engine.lit(self.rng.choice(["a", "ab", "b"]), "str", False)
        if dtype == "bool":
            return _engine.lit(True, "bool", True)
        return _engine.lit(self.rng.randrange(30) * 86_400_000_000, "datetime64[us]", False)

    def predicate(self, at: int, depth: int = 0) -> Any:
        rng, op = self.rng, _engine.op
        if depth < 3 and rng.random() < 0.45:
            if rng.random() < 0.2:
                return op("INVERT", (self.predicate(at, depth + 1),))
            kind = rng.choice(["AND", "AND", "OR"])
            return op(kind, (self.predicate(at, depth + 1), self.predicate(at, depth + 1)))
        value = self.column(at)
        dtype = value.dtype
        if rng.random() < 0.15:
            return op(rng.choice(["ISNA", "NOTNA"]), (value,))
        if dtype == "str" and rng.random() < 0.3:
            return op("STR_STARTSWITH", (value,), text="a")
        if dtype.startswith("int") and rng.random() < 0.2:
            return op("ISIN", (value,), list=(1, 3, 44, 700), list_dtype="int64")
        if dtype.startswith(("int", "float")) and rng.random() < 0.3:
            value = op(rng.choice(["ADD", "MUL"]), (value, self.literal(dtype)))
        return op(rng.choice(["EQ", "NE", "LT", "LE", "GT", "GE"]), (value, self.literal(dtype)))

    def expression(self, at: int) -> Any:
        rng, op = self.rng, _engine.op
        what = rng.random()
        if what < 0.55:
            return _engine.col(self.rels[at], rng.randrange(self.rels[at].n_cols))
        if what < 0.75:
            a, b = self.column(at, "int", "float"), self.column(at, "int", "float")
            return op(rng.choice(["ADD", "SUB", "MUL", "TRUEDIV"]), (a, b))
        if what < 0.8:
            return op("FLOORDIV", (self.column(at, "int"), self.column(at, "int")))
        if what < 0.85:
            return self.literal(rng.choice(["int64", "str"]))
        if what < 0.9:
            return op("STR_UPPER", (self.column(at, "str"),))
        if what < 0.93:
            return op("CAST", (self.column(at, "str"),), dtype="category")
        if what < 0.96:
            return op("ROW_NUMBER", (), (rng.randrange(5), rng.choice([1, 2])))
        return self.predicate(at, 2)

    # ---- nodes

    def grow(self) -> None:
        """Add a node over one of the last nodes."""
        rng = self.rng
        at = max(0, len(self.rels) - 1 - int(rng.expovariate(0.9)))
        kinds = ["filter"] * 6 + ["project"] * 4 + ["join"] * 3 + ["aggregate"] * 2 + ["sort"] * 3 + ["slice"] * 2
        kinds += ["window", "group_head", "concat", "distinct", "zip", "again"]
        getattr(self, "make_" + rng.choice(kinds))(at)

    def make_filter(self, at: int) -> None:
        self.add(_engine.node("FILTER", (self.rels[at],), (self.predicate(at),)), self.loose[at])

    def make_project(self, at: int) -> None:
        exprs = [self.expression(at) for _ in range(self.rng.randrange(1, 8))]
        loose = [e.dtype_depends_on_data or (e.column >= 0 and self.loose[at][e.column]) for e in exprs]
        self.add(_engine.node("PROJECT", (self.rels[at],), tuple(exprs)), loose)

    def make_join(self, at: int) -> None:
        rng = self.rng
        other = rng.randrange(len(self.rels))
        how = rng.choice(["inner", "inner", "left", "right", "outer", "semi", "anti", "cross"])
        keys: tuple[Any, ...] = ()
        if how != "cross":
            left = self.column(at, "int64", "str", "datetime64")
            keys = (left, self.column(other, left.dtype))
        limit = [_engine.node("SLICE", (self.rels[i],), start=0, stop=40) for i in (at, other)]
        sides = tuple(limit) if rng.random() < 0.3 or how == "cross" else (self.rels[at], self.rels[other])
        loose = [*self.loose[at], *self.loose[other], *([False] * (len(keys) // 2))]
        rel = _engine.node("JOIN", sides, keys, n_keys=len(keys) // 2, how=how, sort=rng.random() < 0.2)
        if how in ("semi", "anti"):  # the right side's columns are not there
            loose = self.loose[at]
            rel = _engine.node("PROJECT", (rel,), tuple(_engine.col(rel, i) for i in range(self.rels[at].n_cols)))
        self.add(rel, loose)

    def keys(self, at: int) -> list[Any]:
        return [self.column(at, "int", "str", "float", "bool", "datetime64") for _ in range(self.rng.choice([1, 1, 2]))]

    def make_aggregate(self, at: int) -> None:
        rng = self.rng
        exprs = self.keys(at) if rng.random() < 0.85 else []
        n_keys, items = len(exprs), []
        for _ in range(rng.randrange(1, 4)):
            fn = rng.choice(["size", "sum", "mean", "count", "min", "max", "first", "last", "nunique", "sum"])
            if fn == "size":
                items.append(("agg", fn, -1, -1, 0, 0.0, True, False, False, 0, "int64", False))
                continue
            exprs.append(self.column(at, "int", "float"))
            dtype = _engine.agg_dtype(fn, exprs[-1].dtype, not n_keys)
            items.append(
                ("agg", fn, len(exprs) - 1, -1, 0, 0.0, True, False, False, 0, dtype, exprs[-1].dtype == "int32")
            )
        self.add(
            _engine.node(
                "AGGREGATE",
                (self.rels[at],),
                tuple(exprs),
                n_keys=n_keys,
                items=tuple(items),
                whole=not n_keys,
                sort=rng.random() < 0.6,
                dropna=rng.random() < 0.5,
            ),
            None,
        )

    def make_window(self, at: int) -> None:
        rng = self.rng
        exprs = self.keys(at) if rng.random() < 0.8 else []
        n_keys = len(exprs)
        value = self.column(at, "int64", "float64")
        kind, fn, dtype, unsettled = rng.choice(
            [
                ("window", "cumsum", value.dtype, False),
                ("window", "cumcount", "int64", False),
                ("window", "shift", "float64", True),
                ("window", "ngroup", "int64", True),
                ("transform", "sum", value.dtype, True),
                ("transform", "size", "int64", True),
            ]
        )
        if fn == "ngroup" and not n_keys:
            raise Fallback("no groups")
        needs_value = fn in ("cumsum", "shift", "sum")
        if needs_value:
            exprs.append(value)
        item = (
            kind,
            fn,
            len(exprs) - 1 if needs_value else -1,
            -1,
            1 if fn == "shift" else 0,
            0.0,
            True,
            False,
            False,
            0,
            dtype,
            unsettled,
        )
        rel = _engine.node(
            "WINDOW", (self.rels[at],), tuple(exprs), n_keys=n_keys, items=(item,), sort=False, dropna=True
        )
        self.add(rel, [*self.loose[at], unsettled or n_keys > 0])

    def make_group_head(self, at: int) -> None:
        keys = self.keys(at)
        self.add(
            _engine.node(
                "GROUP_HEAD",
                (self.rels[at],),
                tuple(keys),
                n_keys=len(keys),
                start=self.rng.randrange(1, 4),
                tail=self.rng.random() < 0.4,
                dropna=True,
            ),
            self.loose[at],
        )

    def make_sort(self, at: int) -> None:
        keys = self.keys(at)
        directions = tuple(self.rng.random() < 0.4 for _ in keys)
        stop = self.rng.choice([-1, -1, -1, 5])
        self.add(
            _engine.node(
                "SORT",
                (self.rels[at],),
                tuple(keys),
                descending=directions,
                na_first=self.rng.random() < 0.3,
                stop=stop,
            ),
            self.loose[at],
        )

    def make_slice(self, at: int) -> None:
        start, stop = self.rng.choice(
            [(0, 5), (0, 0), (3, 11), (-6, 2**63 - 1), (2, 2**63 - 1), (0, -3), (-9, -2), (100, 120)]
        )
        self.add(
            _engine.node("SLICE", (self.rels[at],), start=start, stop=stop, step=self.rng.choice([1, 1, 1, 2])),
            self.loose[at],
        )

    def make_concat(self, at: int) -> None:
        rel = self.rels[at]
        second = _engine.node("SLICE", (rel,), start=-20, stop=2**63 - 1)
        self.add(_engine.node("CONCAT", (rel, second)), self.loose[at])

    def make_distinct(self, at: int) -> None:
        self.add(
            _engine.node("DISTINCT", (self.rels[at],), tuple(self.keys(at)), keep=self.rng.randrange(3)), self.loose[at]
        )

    def make_zip(self, at: int) -> None:
        self.make_project(at)
        loose = [*self.loose[at], *self.loose[-1]]
        self.add(_engine.node("ZIP", (self.rels[at], self.rels[-1])), loose)

    def make_again(self, at: int) -> None:
        """Make an equal node apart from one there is: what common subplans are found by."""
        predicate = self.predicate(at)
        pair = [_engine.node("FILTER", (self.rels[at],), (predicate,)) for _ in range(2)]
        self.add(_engine.node("CONCAT", tuple(pair)), self.loose[at])


def make(seed: int, folder: Path, steps: int) -> Maker:
    """Give a plan of about `steps` nodes; nodes that the engine refuses are left out."""
    maker = Maker(seed, folder)
    for _ in range(steps):
        try:
            maker.grow()
        except Fallback:
            continue
    return maker


def values(rel: Any, need: tuple[int, ...]) -> list[Any]:
    """Compute columns as pandas arrays, after the number of rows."""
    frame = rel.run(need)
    out: list[Any] = [frame.n_rows]
    for i in need:
        array = frame.col(i)
        category = array.dtype.startswith("category")
        out.append(
            array_to_pandas(array, None if category else pandas_dtype(array.dtype)) if not category else codes(array)
        )
    return out


def codes(array: Any) -> Any:
    """Give a category column as it is stored: codes and categories."""
    from terality.dtypes import category_dtype

    return array_to_pandas(array, category_dtype(array))


def differ(a: Any, b: Any) -> str | None:
    """Tell how two columns differ; floats may be apart by rounding, zeros not by sign."""
    if str(a.dtype) != str(b.dtype):
        return f"{a.dtype} != {b.dtype}"
    x, y = pd.Series(a, copy=False), pd.Series(b, copy=False)
    if isinstance(a.dtype, pd.CategoricalDtype) and not a.dtype.categories.equals(b.dtype.categories):
        return f"categories {list(a.dtype.categories)} != {list(b.dtype.categories)}"
    if x.dtype.kind == "f":
        u, v = x.to_numpy(), y.to_numpy()
        scale = np.abs(u[np.isfinite(u)]).max(initial=1.0)
        same = np.allclose(u, v, rtol=1e-9, atol=1e-9 * scale, equal_nan=True)
        zeros = (u == 0) & (v == 0)
        return None if same and (np.signbit(u[zeros]) == np.signbit(v[zeros])).all() else f"{u} != {v}"
    return None if x.equals(y) else f"{list(x)} != {list(y)}"
