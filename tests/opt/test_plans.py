"""What typical chains of pandas calls become: the text of :func:`terality.explain`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    n = 1000
    frame = pd.DataFrame({
        "k": rng.integers(0, 10, n),
        "x": rng.normal(size=n),
        "y": rng.integers(0, 100, n),
        "t": np.arange(n),
        "s": rng.choice(["a", "b", "c"], n),
    })  # fmt: skip
    out = tmp_path_factory.mktemp("plans") / "a.parquet"
    frame.to_parquet(out, row_group_size=100, index=False)
    return out


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    before = terality.options.mode
    terality.options.mode = "native"
    yield
    terality.options.mode = before


@pytest.fixture
def read(path: Path) -> Any:
    return terality.read_parquet(path)


@pytest.fixture
def names() -> Any:
    return terality.from_pandas(pd.DataFrame({"k": np.arange(8), "z": np.arange(8) * 1.5, "name": list("abcdefgh")}))


def lines(obj: Any) -> list[str]:
    return [line.strip().split("  [")[0].split(" #")[0] for line in terality.explain(obj).splitlines()]


def test_a_filter_reads_the_row_groups_it_can_match(read: Any) -> None:
    text = terality.explain(read[read.t > 850])
    assert "reads 5 of 5 columns (k, x, y, t, s), 2 of 10 row groups" in text


def test_only_columns_in_use_are_read(read: Any) -> None:
    text = terality.explain(read[read.t > 850].groupby("k").y.sum())
    assert "reads 3 of 5 columns (k, y, t), 2 of 10 row groups" in text


def test_two_filters_are_one(read: Any) -> None:
    some = read[read.t > 600]
    text = terality.explain(some[some.y < 50])
    assert text.count("FILTER") == 1
    assert "4 of 10 row groups" in text


def test_head_of_a_sort_is_a_top_n(read: Any) -> None:
    text = terality.explain(read.sort_values("x").head(5))
    assert "SORT" in text and " top 5 by " in text and "SLICE" not in text


def test_a_filter_after_a_merge_runs_before_it(read: Any, names: Any) -> None:
    both = read.merge(names, on="k")
    out = both[(both.t > 850) & (both.z < 4)].groupby("name").y.sum()
    kinds = lines(out)
    join = kinds.index("JOIN")
    assert "FILTER" not in kinds[:join]
    assert kinds[join:].count("FILTER") == 2
    assert "2 of 10 row groups" in terality.explain(out)


def test_a_sort_that_a_group_by_cannot_see_goes(read: Any) -> None:
    assert "SORT" not in terality.explain(read.sort_values("y").groupby("k").y.sum())
    assert "SORT" in terality.explain(read.sort_values("y").groupby("k").y.first())


def test_a_filter_on_group_keys_runs_before_the_groups_are_made(read: Any) -> None:
    sums = read.groupby("k").y.sum().reset_index()
    text = terality.explain(sums[sums.k > 7].groupby("y").size())
    assert text.rindex("AGGREGATE") < text.index("> 7")
    numbered = terality.explain(sums[sums.k > 7])  # its labels number the groups
    assert numbered.index("> 7") < numbered.index("AGGREGATE")


def test_head_of_parquet_reads_the_first_row_group(path: Path) -> None:
    text = terality.explain(terality.read_parquet(path).head(3))
    assert "1 of 10 row groups" in text


def test_a_pruned_scan_is_not_kept_as_the_whole(path: Path) -> None:
    read = terality.read_parquet(path)
    assert len(read[read.t > 950]) == 49
    assert int(read[read.t > 950].t.sum()) == sum(range(951, 1000))
    assert len(read) == 1000
    assert int(read.t.sum()) == sum(range(1000))
    assert list(read[read.t >= 998].index) == [998, 999]
    assert list(read.tail(2).t) == [998, 999]


def test_what_is_at_hand_is_not_rewritten(read: Any) -> None:
    ordered = read.sort_values("x")
    assert len(ordered.x.to_list()) == 1000
    kept = terality.explain(ordered)
    assert "kept" in kept
