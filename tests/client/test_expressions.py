"""Expressions over computed columns, against pandas."""

from __future__ import annotations

import pandas
import terality
from pandas.testing import assert_series_equal


def test_membership_of_a_computed_number() -> None:
    plain = pandas.DataFrame({"a": [1, 2, 3], "b": [4, 2, 5]})
    df = terality.DataFrame.from_pandas(plain)
    ours = (df["a"] * df["b"]).isin([4, 15]).to_pandas()
    assert_series_equal(ours, pandas.Series([True, True, True]))
    ours = (df["a"] / df["b"]).isin([1.0]).to_pandas()
    assert_series_equal(ours, pandas.Series([False, True, False]))
