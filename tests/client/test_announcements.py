"""What strict mode and the announcements of fallbacks say over the real engine, found by ordinary scripts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import terality


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> Iterator[None]:
    before = terality.options.mode, terality.options.quiet
    terality.options.mode, terality.options.quiet = request.param, False
    yield
    terality.options.mode, terality.options.quiet = before


def sales() -> pd.DataFrame:
    return pd.DataFrame({"region": ["a", "a", "b"], "year": [1, 2, 1], "v": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize("mode", ["strict"], indirect=True)
def test_pivot_table_is_native_in_strict_mode(mode: None) -> None:
    """Its small result is arranged by pandas, which calls ``numpy.all``, which calls ``Series.all``."""
    got = sales().pivot_table(index="region", columns="year", values="v", aggfunc="sum")
    terality.options.mode = "off"
    expected = pd.DataFrame(
        [[1.0, 2.0], [3.0, np.nan]], pd.Index(["a", "b"], name="region"), pd.Index([1, 2], name="year")
    )
    pd.testing.assert_frame_equal(got, expected)


@pytest.mark.parametrize("mode", ["native"], indirect=True)
def test_an_announcement_is_one_line(mode: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Grouping by a list with a Series in it: the reason names the type, not all the values."""
    df = sales()
    df.groupby(["region", df["year"] + 1])["v"].sum()
    said = capsys.readouterr().err.splitlines()
    assert "DataFrame.groupby served by pandas (by with an element of type Series" in said[0]
    assert all(line.startswith("terality: ") for line in said)


@pytest.mark.parametrize("mode", ["native"], indirect=True)
def test_an_announcement_names_the_users_line(mode: None, capsys: pytest.CaptureFixture[str]) -> None:
    """numpy and pandas pass ``np.subtract`` on to ``DataFrame.__sub__``."""
    df = sales()[["year", "v"]]
    np.subtract(df, df["v"])
    said = capsys.readouterr().err.splitlines()
    assert said
    assert all(line.startswith("terality: test_announcements.py:") for line in said)
