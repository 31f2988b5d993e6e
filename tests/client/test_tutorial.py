"""The tutorial flow of the product, end to end on the embedded engine, compared with pandas step by step."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import terality
from pandas.testing import assert_frame_equal, assert_series_equal


def comments(n: int, seed: int) -> pandas.DataFrame:
    """Make a table of comments: text, numbers, missing values."""
    rng = np.random.default_rng(seed)
    author = np.array([f"author {i:04d}" for i in range(60)], dtype=object)[rng.integers(0, 60, n)]
    author[rng.random(n) < 0.05] = None
    return pandas.DataFrame(
        {
            "id": [f"t1_{i:07x}" for i in range(n)],
            "author": pandas.array(author, dtype="str"),
            "subreddit": pandas.array(rng.choice(["news", "aww", "funny and long enough"], n), dtype="str"),
            "score": rng.integers(-50, 5000, n),
            "ups": rng.integers(0, 5000, n).astype("float64"),
            "body": pandas.array([f"text of comment {i % 97}" for i in range(n)], dtype="str"),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of three Parquet files."""
    home = tmp_path_factory.mktemp("comments")
    for part in range(3):
        comments(400, part).to_parquet(home / f"part-{part}.parquet", index=False)
    return home


@pytest.fixture
def strict() -> Any:
    """Any call that pandas would serve fails the test."""
    before = terality.options.mode
    terality.options.mode = "strict"
    yield
    terality.options.mode = before


def printed(obj: Any, **kwargs: Any) -> str:
    """Give what info() prints."""
    out = StringIO()
    obj.info(buf=out, **kwargs)
    return out.getvalue()


def test_small_frame(strict: None) -> None:
    plain = pandas.DataFrame({"a": [1, 2, 3], "b": ["ab", "abcd", "abcde"]})
    df = terality.DataFrame.from_pandas(plain)
    assert repr(df) == "   a      b\n0  1     ab\n1  2   abcd\n2  3  abcde"
    out = df[(df["a"] >= 2) & (df["b"].str.len() > 3)].to_pandas()
    assert_frame_equal(out, pandas.DataFrame({"a": [2, 3], "b": ["abcd", "abcde"]}, index=[1, 2]))


def test_folder_flow(folder: Path, strict: None) -> None:
    with pandas_only():
        theirs = pandas.read_parquet(folder)
        their_info = printed(theirs)
        their_repr = repr(theirs)
        their_sorted = theirs.sort_values(by="score", ascending=False, kind="stable")
        first, last = their_sorted.iloc[0, :], their_sorted.iloc[-1, :]
        counts = theirs.value_counts(subset=["subreddit"])
        ups = theirs.groupby("author")["ups"].sum().sort_values(ascending=False)
        row = theirs.set_index("id").loc["t1_0000007", ["author", "score"]]
    df = terality.read_parquet(folder)
    assert printed(df).splitlines()[:-1] == their_info.splitlines()[:-1]  # the last line counts bytes of memory
    assert repr(df) == their_repr
    ordered = df.sort_values(by="score", ascending=False)
    assert_series_equal(terality.to_pandas(ordered.iloc[0, :]), first)
    assert_series_equal(terality.to_pandas(ordered.iloc[-1, :]), last)
    assert_series_equal(df.value_counts(subset=["subreddit"]).to_pandas(), counts)
    assert_series_equal(df.groupby("author")["ups"].sum().sort_values(ascending=False).to_pandas(), ups)
    assert_frame_equal(terality.to_pandas(df.set_index("id").loc["t1_0000007", ["author", "score"]]), row)


def test_left_merges(folder: Path, strict: None) -> None:
    authors = pandas.DataFrame({"author": [f"author {i:04d}" for i in range(0, 60, 2)], "age": np.arange(30)})
    topics = pandas.DataFrame({"subreddit": ["news", "aww"], "topic": ["world", "animals"]})
    with pandas_only():
        theirs = (
            pandas.read_parquet(folder)
            .merge(authors, on=["author"], how="left")
            .merge(topics, on=["subreddit"], how="left")
        )
    df = terality.read_parquet(folder)
    ours = df.merge(terality.from_pandas(authors), on=["author"], how="left")
    ours = ours.merge(terality.from_pandas(topics), on=["subreddit"], how="left")
    assert_frame_equal(ours.to_pandas(), theirs)


def test_written_again(folder: Path, tmp_path: Path, strict: None) -> None:
    df = terality.read_parquet(folder)
    df.set_index("id").to_parquet(tmp_path / "out.parquet")
    assert int(df.memory_usage(deep=True).sum()) > 0
    with pandas_only():
        assert_frame_equal(pandas.read_parquet(tmp_path / "out.parquet"), pandas.read_parquet(folder).set_index("id"))


class pandas_only:
    """Inside, every call is pandas' own."""

    def __enter__(self) -> None:
        self.before = terality.options.mode
        terality.options.mode = "off"

    def __exit__(self, *exc: object) -> None:
        terality.options.mode = self.before
