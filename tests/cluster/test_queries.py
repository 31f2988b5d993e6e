"""What a user's calls give on a cluster: pandas' answers and errors, row order included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality

ROWS = 400


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(7)
    left = pd.DataFrame({
        "k": rng.integers(0, 23, ROWS),
        "name": pd.array(rng.choice(["ada", "bob", "carl", "dora", None], ROWS), dtype="str"),
        "x": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(size=ROWS)),
        "when": np.datetime64("2024-01-01", "us") + rng.integers(0, 10**6, ROWS) * np.timedelta64(1, "s"),
        "c": pd.Categorical(rng.choice(["low", "high"], ROWS)),
    })  # fmt: skip
    right = pd.DataFrame({"k": rng.permutation(30), "y": rng.normal(size=30), "label": [f"L{i}" for i in range(30)]})
    return {"a": left, "b": right}


QUERIES = {
    "filter and derive": lambda a, b: a[(a.x > 0) & a.name.notna()].assign(z=lambda d: d.x * 2 + d.k),
    "text and dates": lambda a, b: a.assign(u=a.name.str.upper(), h=a.when.dt.hour),
    "grouped sums": lambda a, b: a.groupby("k")[["x"]].sum(),
    "several aggregates": lambda a, b: a.groupby(["name", "k"]).agg(n=("x", "count"), m=("x", "mean"), s=("x", "std")),
    "first seen order": lambda a, b: a.groupby("name", sort=False)["x"].max(),
    "median": lambda a, b: a.groupby("k")["x"].median(),
    "distinct counts": lambda a, b: a.groupby("name")["k"].nunique(),
    "transform": lambda a, b: a["x"] - a.groupby("k")["x"].transform("mean"),
    "rank in groups": lambda a, b: a.groupby("k")["x"].rank(),
    "running sums": lambda a, b: a.groupby("k")["x"].cumsum(),
    "group heads": lambda a, b: a.groupby("k").head(2),
    "inner join": lambda a, b: a.merge(b, on="k"),
    "left join": lambda a, b: a.merge(b, on="k", how="left"),
    "right join": lambda a, b: a.merge(b, on="k", how="right"),
    "outer join": lambda a, b: a.merge(b, on="k", how="outer"),
    "sort": lambda a, b: a.sort_values(["k", "x"], ascending=[False, True], kind="stable"),
    "sort text": lambda a, b: a.sort_values("name", kind="stable", na_position="first"),
    "top": lambda a, b: a.nlargest(17, "x"),
    "distinct": lambda a, b: a.drop_duplicates(["name", "k"]),
    "counts": lambda a, b: a["name"].value_counts(),
    "concat": lambda a, b: pd.concat([a, a[a.k > 10]], ignore_index=True),
    "concat with itself": lambda a, b: pd.concat([a, a[::2], a.head(2), a.groupby("k").head(3)]),
    "concat of exchanges": lambda a, b: pd.concat([a.groupby("k")[["x"]].sum(), b.groupby("k")[["y"]].sum()]),
    "slice": lambda a, b: a[a.k > 3].iloc[100:250:3],
    "last rows": lambda a, b: a[a.k > 3].tail(7),
    "pipeline": lambda a, b: (
        a.merge(b, on="k").query("y > 0").groupby("label")["x"].sum().sort_values(ascending=False).head(5)
    ),
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_gives_pandas_answer(session: Any, both: Any, frames: dict[str, pd.DataFrame], query: str) -> None:
    before = session.queries
    both(QUERIES[query], frames)
    assert session.queries > before


def test_parquet_is_read_by_the_workers(session: Any, frames: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frames["a"].to_parquet(path, row_group_size=64)
    got = terality.read_parquet(path)
    got = got[got.k > 5].groupby("name")["x"].sum()
    a = frames["a"]
    pd.testing.assert_series_equal(terality.to_pandas(got), a[a.k > 5].groupby("name")["x"].sum(), rtol=1e-12)
    terality.read_parquet(path).sort_values("x").to_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "b.parquet"), a.sort_values("x", kind="stable"))


def test_repr_of_a_lazy_frame(session: Any, frames: dict[str, pd.DataFrame]) -> None:
    lazy = terality.from_pandas(frames["a"])
    assert repr(lazy[lazy.k > 2]) == repr(frames["a"][frames["a"].k > 2])


def test_an_error_of_the_data_has_pandas_class_and_text(session: Any) -> None:
    lazy = terality.from_pandas(pd.DataFrame({"s": ["1", "2", "x3"], "k": [1, 1, 2]}))
    with pytest.raises(ValueError, match="could not convert string to float: 'x3'"):
        terality.to_pandas(lazy["s"].astype("float64"))


def test_a_file_exchanged_after_opening_is_read_as_it_was(session: Any, tmp_path: Path) -> None:
    path, other = tmp_path / "a.parquet", tmp_path / "b.parquet"
    frame = pd.DataFrame({"x": np.arange(100)})
    frame.to_parquet(path)
    lazy = terality.read_parquet(path)
    pd.DataFrame({"x": np.arange(90)}).to_parquet(other)
    other.rename(path)
    pd.testing.assert_frame_equal(terality.to_pandas(lazy[lazy.x > 3]), frame[frame.x > 3])


def test_a_file_changed_in_place_is_noticed(session: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"x": np.arange(100)}).to_parquet(path)
    lazy = terality.read_parquet(path)
    with open(path, "r+b") as file:
        file.write(b"PAR2")
    with pytest.raises(ValueError, match=r"a\.parquet' was changed"):
        terality.to_pandas(lazy[lazy.x > 3])
