"""Values that the engine refuses only when it meets them: pandas' answer or exception comes all the same.

What pandas raises for belongs to the call; what it has an answer for may come when a lazy result is looked at. In
strict mode either is the call's error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import terality
from pandas import DataFrame, Series, Timedelta, Timestamp
from pandas.testing import assert_frame_equal, assert_series_equal
from terality.registry import NotNativeError

MOST = np.iinfo("int64").max
SPAN = Series([MOST - 5, 10, None], dtype="timedelta64[ns]")
TIMES = Series([MOST - 5, 10, None], dtype="datetime64[ns]")
EARLY = Series([-MOST + 5, 0, None], dtype="datetime64[ns]")
FAR = Series([2**58, 0, None, -(2**58)], dtype="datetime64[s]")
FAR_MS = Series([2**62, 0, None, -(2**62)], dtype="datetime64[ms]")
FAR_SPAN = Series([2**62 + 1, 7, None, -(2**61) - 1], dtype="timedelta64[ns]")
NEWER = Series(["a\U0001fae9\ua7cb\u1c89B", "stra\xdfe", None, ""], dtype="str")  # of Unicode 16
TEXTS = Series(["\xc9A1", "x\u06f51", "a" * 30 + "b", None], dtype="str")
PARTS = ("month", "day", "day_of_week", "day_of_year", "quarter", "days_in_month", "is_leap_year", "is_month_start",
         "is_month_end")  # fmt: skip

Call = Callable[[Any], Any]

RAISING: dict[str, tuple[Series, Call]] = {
    "span times int": (SPAN, lambda s: s * 3),
    "int times span": (SPAN, lambda s: 3 * s),
    "span times whole float": (SPAN, lambda s: s * 3.0),
    "span times float": (SPAN, lambda s: s * 2.5),
    "span times infinity": (SPAN, lambda s: s * np.inf),
    "span times column": (SPAN, lambda s: s * Series([3, 3, 3])),
    "span times float column": (SPAN, lambda s: s * Series([3.5, 3, 3])),
    "span by small": (SPAN, lambda s: s / 1e-9),
    "span and span": (SPAN, lambda s: s + s),
    "span less span": (SPAN, lambda s: -s - s),
    "time and span": (TIMES, lambda s: s + Timedelta("1D")),
    "time less time": (TIMES, lambda s: s - Timestamp("1690-01-01")),
    "time of other unit less time": (FAR, lambda s: s - Timestamp("1690-01-01").as_unit("ns")),
    "time of other unit and span": (FAR, lambda s: s + Timedelta(1, unit="ns")),
    "frame times int": (SPAN, lambda s: DataFrame({"a": s, "b": s}) * 3),
    "frame and span": (TIMES, lambda s: DataFrame({"a": s}) + Timedelta("1D")),
    "normalize": (EARLY, lambda s: s.dt.normalize()),
    "floor": (EARLY, lambda s: s.dt.floor("D")),
    "ceil": (TIMES, lambda s: s.dt.ceil("D")),
    "year": (FAR, lambda s: s.dt.year),
    "cast to a finer unit": (FAR, lambda s: s.astype("datetime64[ns]")),
    "cast of text": (TEXTS, lambda s: s.astype("int64")),
    "cast of a missing number": (Series([1.5, None]), lambda s: s.astype("int64")),
}

ANSWERED: dict[str, tuple[Series, Call]] = {
    "span by zero": (SPAN, lambda s: s / 0),
    "span by zero float": (SPAN, lambda s: s / 0.0),
    "span by zeros": (SPAN, lambda s: s / Series([0.0, -0.0, 1.0])),
    "whole quotient by zeros": (SPAN, lambda s: s // Series([0, 1, 2])),
    "strftime": (FAR, lambda s: s.dt.strftime("%Y")),
    "cast to text": (FAR, lambda s: s.astype("str")),
    "year of milliseconds": (FAR_MS, lambda s: s.dt.year),
    **{part: (FAR, lambda s, part=part: getattr(s.dt, part)) for part in PARTS},
    **{f"{part} of milliseconds": (FAR_MS, lambda s, part=part: getattr(s.dt, part)) for part in PARTS},
    "day_name": (FAR, lambda s: s.dt.day_name()),
    "month_name": (FAR_MS, lambda s: s.dt.month_name()),
    "total_seconds": (FAR_SPAN, lambda s: s.dt.total_seconds()),
    **{
        name: (NEWER, lambda s, name=name: getattr(s.str, name)())
        for name in ("upper", "lower", "title", "capitalize", "isdigit", "isalpha")
    },
    "case beyond ASCII": (TEXTS, lambda s: s.str.contains("a", case=False)),
    "case of a pattern beyond ASCII": (TEXTS, lambda s: s.str.contains("\xe9", case=False)),
    "class beyond ASCII": (TEXTS, lambda s: s.str.contains(r"\w\d")),
    "a pattern of many ways": (TEXTS, lambda s: s.str.contains("(a+)+(a+)+$")),
    "wide zfill": (TEXTS, lambda s: s.str.zfill(2**24 + 1).str.len()),
    "replacing nothing": (TEXTS, lambda s: s.str.replace("a", "b", n=0)),
}

LATE: dict[str, tuple[Series, Call]] = {  # operations over operations, rows picked and grouped by them
    "above another": (NEWER, lambda s: s.str.upper().str.slice(0, 2).str.lower()),
    "twice": (NEWER, lambda s: s.str.upper() + s.str.title()),
    "in a filter": (NEWER, lambda s: s[s.str.lower().str.startswith("a")]),
    "in a filter of dates": (FAR, lambda s: s[(s.dt.month > 1) & s.notna()]),
    "beside others": (FAR, lambda s: DataFrame({"t": s, "m": s.dt.month + 0.5, "d": s.dt.day_name()})),
    "as a key": (FAR, lambda s: DataFrame({"m": s.dt.month_name(), "v": s}).groupby("m").size()),
    "compared": (FAR_MS, lambda s: s.dt.quarter == 2),
    "missing or not": (FAR_MS, lambda s: s.dt.quarter.isna()),
    "sorted": (NEWER, lambda s: s.to_frame("a").assign(b=s.str.upper()).sort_values("b", kind="stable")),
}


@pytest.fixture(params=["native", "auto"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    before = terality.options.mode
    terality.options.mode = request.param
    yield request.param
    terality.options.mode = before


def same(ours: Any, theirs: Any) -> None:
    assert terality.is_lazy(ours) or type(ours) is type(theirs)
    ours = terality.to_pandas(ours)
    (assert_frame_equal if isinstance(theirs, DataFrame) else assert_series_equal)(ours, theirs)


def by_pandas(series: Series, call: Call) -> Any:
    """Give pandas' answer, or the exception."""
    before = terality.options.mode
    terality.options.mode = "off"
    try:
        return call(series.copy())
    except Exception as error:
        return error
    finally:
        terality.options.mode = before


@pytest.mark.parametrize("name", RAISING)
def test_raises_at_the_call(name: str, mode: str) -> None:
    series, call = RAISING[name]
    expected = by_pandas(series, call)
    assert isinstance(expected, Exception)
    with pytest.raises(type(expected)) as caught:
        call(terality.from_pandas(series))
    assert type(caught.value) is type(expected)
    assert str(caught.value) == str(expected)


@pytest.mark.parametrize("name", [*ANSWERED, *LATE])
def test_answers(name: str, mode: str) -> None:
    series, call = {**ANSWERED, **LATE}[name]
    expected = by_pandas(series, call)
    ours = call(terality.from_pandas(series))
    if isinstance(expected, DataFrame):
        assert list(ours.columns) == list(expected.columns)
    same(ours, expected)


NATIVE = ("cast of a missing number", "class beyond ASCII", "a pattern of many ways", "whole quotient by zeros",
          "span by zero")  # fmt: skip
"""What the engine does itself."""


@pytest.mark.parametrize("name", [name for name in (*RAISING, *ANSWERED) if name not in NATIVE])
def test_strict_refuses_at_the_call(name: str) -> None:
    series, call = {**RAISING, **ANSWERED}[name]
    lazy = terality.from_pandas(series)
    before = terality.options.mode
    terality.options.mode = "strict"
    try:
        with pytest.raises(NotNativeError, match="would be served by pandas"):
            call(lazy)
    finally:
        terality.options.mode = before


def test_a_lazy_column_in_strict_mode_says_what_it_is() -> None:
    lazy = terality.from_pandas(NEWER).str.upper()
    before = terality.options.mode
    terality.options.mode = "strict"
    try:
        with pytest.raises(NotNativeError, match="STR_UPPER"):
            repr(lazy._mgr)
    finally:
        terality.options.mode = before


def test_stays_lazy_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    terality.report().reset()
    lazy = terality.from_pandas(NEWER).str.upper()
    assert terality.is_lazy(lazy)
    assert capsys.readouterr().err == ""
    same(lazy, by_pandas(NEWER, lambda s: s.str.upper()))
    assert "STR_UPPER computed by pandas" in capsys.readouterr().err


def test_dictionaries() -> None:
    many = Series(np.tile(NEWER.to_numpy(), 3000), dtype="str")
    same(terality.from_pandas(many).str.upper(), by_pandas(many, lambda s: s.str.upper()))
    same(terality.from_pandas(many).str.isalpha(), by_pandas(many, lambda s: s.str.isalpha()))


FILES: dict[str, list[pa.Array]] = {
    "bool without statistics": [pa.array([True, None, False])],
    "bool that misses nothing, without statistics": [pa.array([True, True, False])],
    "bool and bool with missing": [pa.array([True, False]), pa.array([True, None])],
    "int with missing and float": [pa.array([1, None]), pa.array([1.5, 2.5])],
    "float and int with missing": [pa.array([1.5, 2.5]), pa.array([1, None])],
    "ints of two widths with missing": [pa.array([1, None], pa.int32()), pa.array([1, None], pa.int64())],
    "times of two units": [pa.array([1, 2], pa.timestamp("ms")), pa.array([1, 2], pa.timestamp("us"))],
    "categories and text": [pa.array(["a", "b"]).dictionary_encode(), pa.array(["a", "b"])],
}


@pytest.mark.parametrize("name", FILES)
def test_parquet_columns(name: str, mode: str, tmp_path: Path) -> None:
    for i, array in enumerate(FILES[name]):
        table = pa.table({"t": array, "n": pa.array(range(len(array)))})
        pq.write_table(table, tmp_path / f"{i}.parquet", write_statistics="without" not in name)
    try:
        expected = pandas.read_parquet(tmp_path)
    except Exception as error:
        with pytest.raises(type(error)) as caught:
            terality.read_parquet(tmp_path)
        assert str(caught.value) == str(error)
        return
    same(terality.read_parquet(tmp_path), expected)
    same(terality.read_parquet(tmp_path)["t"].head(1), expected["t"].head(1))
