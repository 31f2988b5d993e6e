"""Detached plans: what a run would compute as a plan of its own, which must decode and give the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from terality import _engine
from terality.native import native_of


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    before = terality.options.mode
    terality.options.mode = "native"
    yield
    terality.options.mode = before


def travel(rel: Any, need: tuple[int, ...]) -> Any:
    """The frame that `rel` gives for columns `need` by way of a detached, encoded and decoded plan."""
    detached = rel.detach(need)
    text, sources = _engine.encode_plan(detached)
    return _engine.decode_plan(text, sources).run()


def test_unneeded_columns_keep_their_dtype() -> None:
    frame = pd.DataFrame({"a": pd.array(["x", "y"], dtype="str"), "b": np.array([1, 2], "datetime64[s]")})
    lazy = terality.from_pandas(frame)
    lazy["a"] = lazy["b"]
    part = lazy[lazy["b"].notna()]
    both = terality.concat([part, part], keys=["p", "q"])
    rel = native_of(both, ingest=False).flat().rel
    for size in range(1, rel.n_cols + 1):
        for need in itertools.combinations(range(rel.n_cols), size):
            assert travel(rel, need).n_cols == size


def test_results_at_hand_are_leaves() -> None:
    lazy = terality.from_pandas(pd.DataFrame({"k": [1, 1, 2], "x": [1.0, 2.0, 3.0]}))
    sums = lazy.groupby("k").x.sum()
    rel = native_of(sums, ingest=False).rel
    rel.run()
    assert rel.detach(None).kind == "FRAME"
    text, sources = _engine.encode_plan(native_of(sums + 1, ingest=False).flat().rel.detach(None))
    assert "AGGREGATE" not in text
    assert len(sources) == 1


def test_attach_gives_the_result_of_the_run() -> None:
    frame = pd.DataFrame({"k": [2, 1, 2], "x": [1.0, 2.0, 3.0], "y": [7, 8, 9]})
    lazy = terality.from_pandas(frame).sort_values("k")
    rel = native_of(lazy, ingest=False).flat().rel
    need = (0, 2)
    rel.attach(need, travel(rel, need))
    assert rel.is_kept(need)
    assert not rel.is_kept((1,))
    pd.testing.assert_frame_equal(terality.to_pandas(lazy), frame.sort_values("k"))
    other = terality.from_pandas(frame).sort_values("x")
    one = native_of(other, ingest=False).flat().rel
    with pytest.raises(RuntimeError, match="a result of 1 columns"):
        one.attach(None, travel(one, (0,)))
