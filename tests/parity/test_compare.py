"""The comparison notices what it must, and the shrinker keeps what matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from .compare import Tolerance, difference
from .generate import random_program
from .programs import Program
from .shrink import shrink

FRAME = pd.DataFrame({"a": [1, 2], "b": [0.0, np.nan], "s": ["x", None], "c": pd.Categorical(["p", "q"])})

CHANGES = {
    "value": lambda d: d.assign(a=[1, 3]),
    "sign of zero": lambda d: d.assign(b=[-0.0, np.nan]),
    "missing": lambda d: d.assign(b=[0.0, 1.0]),
    "dtype": lambda d: d.astype({"a": "int32"}),
    "text": lambda d: d.assign(s=["x", "x"]),
    "categories": lambda d: d.assign(c=d["c"].cat.rename_categories(["p", "r"])),
    "ordered": lambda d: d.assign(c=d["c"].cat.as_ordered()),
    "order of columns": lambda d: d[["b", "a", "s", "c"]],
    "label": lambda d: d.rename(columns={"a": "z"}),
    "row label": lambda d: d.set_axis([0, 5]),
    "name of index": lambda d: d.rename_axis("i"),
    "kind of index": lambda d: d.set_axis(pd.Index([0, 1], dtype="float64")),
    "rows": lambda d: d.head(1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_differences_are_noticed(change: str) -> None:
    assert difference(FRAME, FRAME.copy()) is None
    assert difference(CHANGES[change](FRAME), FRAME) is not None


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        (1, 1, True),
        (1, np.int64(1), False),
        (float("nan"), float("nan"), True),
        (float("nan"), np.float64("nan"), False),
        (pd.NaT, pd.NaT, True),
        (pd.Timestamp("2020").as_unit("s"), pd.Timestamp("2020").as_unit("ns"), False),
        (pd.RangeIndex(3), pd.Index([0, 1, 2]), True),
        ([1, 2], (1, 2), False),
        ({"a": 1}, {"a": 1}, True),
    ],
)
def test_scalars(ours: Any, theirs: Any, same: bool) -> None:
    assert (difference(ours, theirs) is None) == same


def test_tolerance() -> None:
    assert difference(pd.Series([1.0 + 1e-13]), pd.Series([1.0]), Tolerance(1e-12)) is None
    assert difference(pd.Series([1.0 + 1e-11]), pd.Series([1.0]), Tolerance(1e-12)) is not None
    assert difference(pd.Series([-0.0]), pd.Series([0.0]), Tolerance()) is None


def test_shrink() -> None:
    """A failure that needs one statement and one row keeps just these."""
    program = next(p for p in map(random_program, range(100)) if len(p.steps) > 3 and p.frames["df0"].n_rows > 5)
    wanted = program.steps[1]

    def fails(smaller: Program) -> bool:
        return wanted in smaller.steps and smaller.frames["df0"].n_rows >= 1

    small = shrink(replace(program, tolerances={}), fails)
    assert small.steps == (wanted,)
    assert small.frames["df0"].n_rows == 1


def test_long_long_is_int64() -> None:
    """Dividing durations gives pandas a C long long, which equals int64 and is another class of dtype."""
    values = np.arange(2)
    assert difference(pd.Series(values), pd.Series(values.astype("longlong"))) is None
    assert difference(pd.Series(values), pd.Series(values.astype("ulonglong"))) is not None
    assert difference(np.int64(1), np.longlong(1)) is None
    assert difference(np.int64(1), np.longlong(2)) is not None
    assert difference(np.int64(1), np.int32(1)) is not None


def test_deviations_of_times_have_a_tolerance() -> None:
    near = Tolerance(1.0, 1e-12)
    assert difference(pd.Timedelta(10**18 + 100), pd.Timedelta(10**18), near) is None
    assert difference(pd.Timedelta(10**18 + 100), pd.Timedelta(10**18)) is not None
    assert difference(pd.Timedelta(10**18 + 10**8), pd.Timedelta(10**18), near) is not None
    assert difference(pd.Series([pd.Timedelta(10**18 + 100)]), pd.Series([pd.Timedelta(10**18)]), near) is None
    assert difference(pd.Series([pd.NaT], dtype="m8[ns]"), pd.Series([pd.Timedelta(1)]), near) is not None
