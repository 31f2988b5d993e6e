"""Fingerprints tell frames apart by every value, label, dtype and row order, and forgive only float rounding."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bench.fingerprint import Fingerprint, differences, fingerprint, value_differences


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 10_000
    return pd.DataFrame(
        {
            "i": rng.integers(-9, 9, n),
            "f": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "s": pd.Series(rng.integers(0, 50, n)).astype("str").where(rng.random(n) > 0.1),
            "c": pd.Categorical(rng.choice(["x", "y"], n)),
            "t": pd.Timestamp("2013-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="h"),
        }
    )


def unequal(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    by_print = bool(differences(fingerprint(left), fingerprint(right))[0])
    assert by_print == bool(value_differences(left, right)[0])
    return by_print


def test_equal_whatever_the_chunks(frame: pd.DataFrame) -> None:
    pieces = pd.concat([frame.iloc[:1234], frame.iloc[1234:]])
    assert not unequal(frame, pieces)
    copied = Fingerprint.from_json(json.loads(json.dumps(fingerprint(frame).as_json())))
    assert differences(copied, fingerprint(frame)) == ([], [])


@pytest.mark.parametrize(
    ("column", "value"),
    [("i", 77), ("f", 1e-9), ("f", np.inf), ("f", -np.inf), ("s", "other"), ("s", None), ("c", None), ("t", None)],
)
def test_one_value_is_noticed(frame: pd.DataFrame, column: str, value: object) -> None:
    changed = frame.copy()
    changed.loc[5_000, column] = value
    assert unequal(frame, changed)


def test_labels_order_and_dtypes_are_noticed(frame: pd.DataFrame) -> None:
    assert unequal(frame, frame.iloc[::-1].reset_index(drop=True))
    assert unequal(frame, frame.rename(columns={"i": "j"}))
    assert unequal(frame, frame.astype({"i": "int32"}))
    assert unequal(frame, frame.set_axis(frame.index.astype("int64").to_numpy() + 0, axis=0).iloc[1:])
    assert unequal(frame, frame.rename_axis(index="row"))
    assert unequal(frame, frame[["f", "i", "s", "c", "t"]])


def test_rounding_of_floats_is_close_but_noted(frame: pd.DataFrame) -> None:
    changed = frame.copy()
    changed["f"] *= 1 + 2.5e-16
    frame.loc[7, "f"] = changed.loc[7, "f"] = np.inf
    for found in (
        differences(fingerprint(frame), fingerprint(changed)),
        value_differences(frame, changed),
    ):
        assert not found[0]
        assert len(found[1]) == 1
