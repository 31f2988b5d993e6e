"""Arrow's C interface, both ways: what others read is what they would read of plain pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas
import pyarrow as pa
import pytest
import terality

from ..parity.columns import EVERY, frame
from ..parity.programs import mode


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    with mode("strict"):
        yield


def read(obj: object) -> pa.Table:
    return pa.RecordBatchReader.from_stream(obj).read_all()


FRAMES: dict[str, Callable[[pandas.DataFrame], pandas.DataFrame]] = {
    "as it is": lambda df: df,
    "range": lambda df: df.reset_index(drop=True),
    "half": lambda df: df.reset_index(drop=True)[2:5],
    "empty": lambda df: df.head(0),
    "filter": lambda df: df[df["g"] > 0],
    "no rows": lambda df: df[df["g"] > 10**6],
    "labels": lambda df: df.set_index("str"),
    "levels": lambda df: df.groupby(["g", "str"])[["float64"]].sum(),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_go_out(name: str) -> None:
    with mode("off"):
        df = frame()
        expected = pa.Table.from_pandas(FRAMES[name](df))
    ours = read(FRAMES[name](terality.from_pandas(df)))
    assert ours.schema.equals(expected.schema, check_metadata=True)
    assert ours.equals(expected)


@pytest.mark.parametrize("column", EVERY)
def test_series_go_out(column: str) -> None:
    with mode("off"):
        df = frame()
        expected = pa.chunked_array(df[column])
    assert pa.chunked_array(terality.from_pandas(df)[column]).equals(expected)


def test_tables_come_in() -> None:
    table = pa.table({"a": pa.array([1, None, 3]), "s": ["x", None, "y"], "k": [1, 2, 1]})
    df = terality.DataFrame.from_arrow(table)
    with mode("off"):
        plain = pandas.DataFrame.from_arrow(table)
        expected = plain[plain["k"] == 1].reset_index(drop=True)
    pandas.testing.assert_frame_equal(terality.to_pandas(df[df["k"] == 1].reset_index(drop=True)), expected)


def test_what_goes_out_lives_on() -> None:
    df = terality.from_pandas(pandas.DataFrame({"v": np.arange(100_000), "s": ["some text"] * 100_000}))
    half = df[df["v"] % 2 == 0]
    table = read(half)
    del df, half
    assert table["v"].to_pylist() == list(range(0, 100_000, 2))
    assert table["s"][49_999].as_py() == "some text"
