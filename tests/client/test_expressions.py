"""Expressions over computed columns, against pandas."""

from __future__ import annotations

import math

import pandas
import pytest
import terality
from pandas.testing import assert_series_equal


def test_membership_of_a_computed_number() -> None:
    plain = pandas.DataFrame({"a": [1, 2, 3], "b": [4, 2, 5]})
    df = terality.DataFrame.from_pandas(plain)
    ours = (df["a"] * df["b"]).isin([4, 15]).to_pandas()
    assert_series_equal(ours, pandas.Series([True, True, True]))
    ours = (df["a"] / df["b"]).isin([1.0]).to_pandas()
    assert_series_equal(ours, pandas.Series([False, True, False]))


def test_correlation_with_a_constant() -> None:
    plain = pandas.DataFrame({"k": ["a"] * 8, "c": [1, 1, 1, 1, 1, 1, 1, 10], "b": [0.1] * 8})
    df = terality.DataFrame.from_pandas(plain)
    assert math.isnan(df["b"].corr(df["c"]))
    assert math.isnan(df["c"].corr(df["b"]))
    assert df["c"].corr(df["c"]) == 1.0


@pytest.mark.parametrize("call", ["sum", "agg", "transform"])
def test_group_sum_of_timedeltas_out_of_bounds(call: str) -> None:
    plain = pandas.DataFrame({"k": [1, 1, 1], "t": [pandas.Timedelta.max] * 3})
    df = terality.DataFrame.from_pandas(plain)
    with pytest.raises(pandas.errors.OutOfBoundsTimedelta, match="overflow in timedelta operation"):
        grouped = df.groupby("k")["t"]
        (grouped.sum() if call == "sum" else getattr(grouped, call)("sum")).to_pandas()


def test_columns_of_two_frames_stay_lazy() -> None:
    left = terality.DataFrame.from_pandas(pandas.DataFrame({"a": [1, 2, 3], "x": [1.5, 2.5, 3.5]}))
    right = terality.DataFrame.from_pandas(pandas.DataFrame({"b": [10, 20, 30]}))
    left["sum"] = left["a"] + right["b"]
    again = left["sum"] * right["b"]
    assert "ZIP" in terality.explain(again)
    assert_series_equal(again.to_pandas(), pandas.Series([110, 440, 990]))
    assert left.to_pandas()["sum"].tolist() == [11, 22, 33]
