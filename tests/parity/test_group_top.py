"""The first and last rows of each group of a sorted frame, which the optimiser does without sorting, against pandas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from pandas.testing import assert_frame_equal
from terality import _engine
from terality.native import native_of
from terality.table import Table


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    before = terality.options.mode
    terality.options.mode = "native"
    yield
    terality.options.mode = before
    _engine.set_execution()


def frame(n: int, seed: int) -> pd.DataFrame:
    """Make n rows full of ties, missing values and odd numbers."""
    rng = np.random.default_rng(seed)
    odd = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.5, -1.5])
    times = pd.Series(rng.integers(0, 9, n)).astype("datetime64[s]").where(rng.random(n) > 0.1)
    return pd.DataFrame({
        "g": rng.integers(0, max(n // 20, 1), n),
        "h": rng.choice(odd, n),
        "s": pd.array(rng.choice(["a", "bb", "long enough to be no inline text", "c"], n), dtype="str"),
        "c": pd.Categorical(rng.choice(["x", "y", "z"], n), categories=["z", "x", "y"]),
        "f": rng.normal(size=n).round(1),
        "o": rng.choice(odd, n),
        "i": rng.integers(-3, 3, n),
        "w": rng.integers(np.iinfo("int64").min, np.iinfo("int64").max, n),
        "t": times,
        "u": pd.array([f"text number {v}" if v else None for v in rng.integers(0, 50, n)], dtype="str"),
    })  # fmt: skip


SORTS: list[tuple[list[str], list[bool]]] = [
    (["f"], [False]),
    (["o"], [True]),
    (["o", "w"], [False, True]),
    (["w", "o"], [True, False]),
    (["u"], [True]),
    (["u", "f", "t"], [False, True, False]),
    (["c", "s"], [True, False]),
    (["t"], [False]),
    (["i"], [False]),
    (["g"], [True]),
]
GROUPS = [["g"], ["h"], ["s"], ["g", "s"], ["c"], ["t"]]


def both(call: Any, plain: pd.DataFrame) -> None:
    """Compare plain pandas with the engine, which must have taken the sort into the head."""
    terality.options.mode = "off"
    expected = call(plain.copy())
    terality.options.mode = "native"
    lazy = call(terality.from_pandas(plain))
    text = terality.explain(lazy)
    assert "in the order of" in text
    assert "SORT" not in text
    assert_frame_equal(terality.to_pandas(lazy), expected)


@pytest.mark.parametrize("rows", [0, 1, 7, 600, 5000])
@pytest.mark.parametrize("by", range(len(SORTS)))
def test_heads_and_tails(rows: int, by: int) -> None:
    keys, ascending = SORTS[by]
    plain = frame(rows, rows + by)
    for number, group in enumerate(GROUPS):
        n = 1 + (number + by) % 4
        for dropna in (True, False):
            for position in ("first", "last"):
                both(
                    lambda d, group=group, n=n, dropna=dropna, position=position: getattr(
                        d.sort_values(keys, ascending=ascending, kind="stable", na_position=position).groupby(
                            group, dropna=dropna, observed=True
                        ),
                        "head" if n % 2 else "tail",
                    )(n),
                    plain,
                )


@pytest.mark.parametrize(
    "execution", [{"morsel_rows": 1, "threads": 2}, {"threads": 1}, {"hash_zero": True}, {"codec": True}]
)
def test_however_it_runs(execution: dict[str, Any]) -> None:
    _engine.set_execution(**execution)
    plain = frame(300, 5)
    for keys, ascending in SORTS:
        for end in ("head", "tail"):
            both(
                lambda d, end=end, keys=keys, ascending=ascending: getattr(
                    d.sort_values(keys, ascending=ascending, kind="stable").groupby("g", sort=False), end
                )(2),
                plain,
            )


def test_columns_computed_in_between() -> None:
    plain = frame(1000, 3)

    def call(d: Any) -> Any:
        d = d.sort_values("f", ascending=False, kind="stable")
        d = d.assign(twice=d["f"] * 2, upper=d["s"].str.upper())
        return d.groupby("upper").head(3)[["twice", "g", "upper"]]

    both(call, plain)
    both(lambda d: d.sort_values("w", kind="stable").groupby("g").head(2).reset_index(drop=True), plain)


@pytest.mark.parametrize("n", [0, -1, 33, 100000])
def test_other_heads_sort(n: int) -> None:
    plain = frame(1000, 4)
    lazy = terality.from_pandas(plain).sort_values("f", kind="stable").groupby("g").head(n)
    assert "in the order of" not in terality.explain(lazy)
    terality.options.mode = "off"
    assert_frame_equal(terality.to_pandas(lazy), plain.sort_values("f", kind="stable").groupby("g").head(n))


def test_a_sort_with_other_readers_stays() -> None:
    plain = frame(1000, 6)
    ordered = terality.from_pandas(plain).sort_values("f", kind="stable")
    both_ends = terality.concat([ordered.groupby("g").head(1), ordered.groupby("g").tail(1)])
    assert "in the order of" not in terality.explain(both_ends)
    terality.options.mode = "off"
    ordered = plain.sort_values("f", kind="stable")
    expected = pd.concat([ordered.groupby("g").head(1), ordered.groupby("g").tail(1)])
    assert_frame_equal(terality.to_pandas(both_ends), expected)


def test_a_plan_that_travels_keeps_its_sort() -> None:
    lazy = terality.from_pandas(frame(1000, 7)).sort_values("f", kind="stable").groupby("g").head(2)
    native = native_of(lazy, ingest=False)
    assert isinstance(native, Table)
    rel = native.flat().rel
    assert "in the order of" in rel.explain(optimised=True)
    text = rel.detach(None).explain()
    assert "SORT" in text
    assert "in the order of" not in text
