"""Operations in stages of few rows, each of a kind that exchanges rows differently, against pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality

from .programs import configured

N = 47


@pytest.fixture(autouse=True, params=[1, 5, 20])
def stages(request: pytest.FixtureRequest) -> Iterator[None]:
    with configured("in stages"):
        terality._engine.set_execution(stages=request.param)
        yield


def table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "k": rng.integers(0, 6, N),
            "f": rng.choice([0.0, -0.0, 1.5, np.nan], N),
            "s": pd.array(rng.choice(["a", "b", "a longer text than inline", None], N), dtype="str"),
            "v": rng.normal(size=N),
            "n": rng.integers(-100, 100, N).astype("int8"),
            "t": pd.date_range("2024-01-01", periods=N, freq="7h"),
        }
    )
    frame.loc[rng.integers(0, N, 9), "v"] = np.nan
    return frame


def beside_a_filter(d: Any) -> Any:
    """The quotient's dtype depends on values: it is a frame that is read by the positions of the filtered rows."""
    part = d[d.v.notna()]
    part = part.assign(q=part.n // part.k)
    joined = part.merge(d[["k"]].head(1).assign(w=1.5), on="k")
    return joined.groupby("s").agg(a=("q", "max"), b=("w", "sum"), c=("n", "nunique"))


CASES: dict[str, Callable[[Any], Any]] = {
    "filter and project": lambda d: d[d.v > 0].assign(w=lambda x: x.v * 2 + x.k),
    "whole-column sum": lambda d: d.v.sum(),
    "whole-column spread": lambda d: d[["v", "n"]].agg(["std", "var", "mean", "min", "max"]),
    "sorted groups": lambda d: d.groupby("k").agg({"v": ["sum", "mean", "std", "first", "last"], "n": ["sum", "min"]}),
    "groups as they come": lambda d: d.groupby("s", sort=False, dropna=False).v.sum(),
    "groups by two keys": lambda d: d.groupby(["f", "s"], dropna=False).n.sum(),
    "medians": lambda d: d.groupby("k").v.median(),
    "distinct values per group": lambda d: d.groupby("s", sort=False).k.nunique(),
    "transform": lambda d: d.v - d.groupby("k").v.transform("mean"),
    "running sum in groups": lambda d: d.groupby("s").n.cumsum(),
    "rank in groups": lambda d: d.groupby("k").v.rank(),
    "heads of groups": lambda d: d.groupby("k").head(2),
    "distinct": lambda d: d.drop_duplicates(["k", "s"]),
    "distinct, none kept": lambda d: d.drop_duplicates(["k", "s"], keep=False),
    "sort": lambda d: d.sort_values(["s", "v"], ascending=[False, True], kind="stable"),
    "top": lambda d: d.sort_values("v", kind="stable").head(7),
    "head of a filter": lambda d: d[d.k != 2].head(5),
    "tail of a filter": lambda d: d[d.k != 2].tail(5),
    "every third row": lambda d: d[d.k != 2].iloc[3:-2:3],
    "concat": lambda d: terality.concat([d[d.k < 3], d, d[d.v > 0]], ignore_index=True),
    "self-join": lambda d: d[["k", "v"]].merge(d[["k", "n"]], on="k"),
    "left join that lacks rows": lambda d: d.merge(d[d.k > 2][["k", "n"]].drop_duplicates("k"), on="k", how="left"),
    "right join": lambda d: d[d.k > 1][["s", "v"]].merge(d[["s", "n"]], on="s", how="right"),
    "outer join": lambda d: d[d.k > 1][["k", "v"]].merge(d[d.k < 4][["k", "n"]], on="k", how="outer"),
    "a computed column beside a filter, joined and grouped": lambda d: beside_a_filter(d),
    "whole-column running sum": lambda d: d.v.cumsum(),
    "shift": lambda d: d.n.shift(3),
    "row labels behind a filter": lambda d: d[d.v > 0].reset_index(drop=True),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    frame = table()
    terality.options.mode = "off"
    want = CASES[name](frame)
    terality.options.mode = "native"
    got = CASES[name](terality.from_pandas(frame))
    if isinstance(want, (pd.DataFrame, pd.Series)):
        got = terality.to_pandas(got)
        (pd.testing.assert_frame_equal if want.ndim == 2 else pd.testing.assert_series_equal)(got, want, rtol=1e-12)
    else:
        assert got == pytest.approx(want, rel=1e-12)


def test_infinities_that_cancel_between_tasks() -> None:
    frame = pd.DataFrame(
        {"k": [0, 1, 1, 0, 0, 1] * 4, "v": np.array([1, -np.inf, np.inf, 1, 1, -np.inf] * 4, "float32")}
    )
    terality.options.mode = "off"
    want = frame.groupby("k").v.agg(["sum", "prod", "max"])
    terality.options.mode = "native"
    got = terality.to_pandas(terality.from_pandas(frame).groupby("k").v.agg(["sum", "prod", "max"]))
    pd.testing.assert_frame_equal(got, want)


def test_dtypes_that_a_part_of_the_rows_decides() -> None:
    frame = pd.DataFrame({"k": np.arange(30), "small": np.array([100] * 29 + [0], "int8")})
    other = pd.DataFrame({"k": np.arange(29), "n": np.arange(29)})
    terality.options.mode = "off"
    want = [frame.merge(other, on="k", how="left"), frame.groupby(frame.k // 15).small.sum(), 7 // frame.small]
    terality.options.mode = "native"
    left, right = terality.from_pandas(frame), terality.from_pandas(other)
    got = [left.merge(right, on="k", how="left"), left.groupby(left.k // 15).small.sum(), 7 // left.small]
    pd.testing.assert_frame_equal(terality.to_pandas(got[0]), want[0])
    pd.testing.assert_series_equal(terality.to_pandas(got[1]), want[1])
    pd.testing.assert_series_equal(terality.to_pandas(got[2]), want[2])
