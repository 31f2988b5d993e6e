"""to_parquet_folder and to_csv_folder on disk: sizes, names, order, what is refused, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from pandas.testing import assert_frame_equal


def frame(n: int = 1_000) -> pd.DataFrame:
    return pd.DataFrame({"i": np.arange(n), "t": [f"text {i}" for i in range(n)]})


def native(df: pd.DataFrame) -> Any:
    return terality.DataFrame.from_pandas(df)


def test_number_of_files(tmp_path: Path) -> None:
    df = frame()
    native(df).to_parquet_folder(f"{tmp_path}/out/part_*.parquet", num_files=12)
    assert sorted(os.listdir(tmp_path / "out")) == [f"part_{i:02d}.parquet" for i in range(1, 13)]
    assert_frame_equal(terality.read_parquet(f"{tmp_path}/out").to_pandas(), df)
    lengths = [len(pd.read_parquet(tmp_path / "out" / name)) for name in os.listdir(tmp_path / "out")]
    assert max(lengths) - min(lengths) <= 1
    assert os.listdir(tmp_path) == ["out"]


def test_rows_per_file(tmp_path: Path) -> None:
    native(frame()).to_csv_folder(str(tmp_path / "c"), num_rows_per_file=300, index=False)
    names = sorted(os.listdir(tmp_path / "c"))
    assert names == [f"part-{i}.csv" for i in range(1, 5)]
    parts = [pd.read_csv(tmp_path / "c" / name) for name in names]
    assert [len(p) for p in parts] == [300, 300, 300, 100]
    assert_frame_equal(pd.concat(parts, ignore_index=True), frame())


def test_bytes_per_file(tmp_path: Path) -> None:
    df = frame()
    total = int(df.memory_usage(deep=True).sum())
    native(df).to_parquet_folder(tmp_path / "b", in_memory_file_size=total // 4 + 1)
    assert len(os.listdir(tmp_path / "b")) == 4
    assert_frame_equal(terality.read_parquet(f"{tmp_path}/b/*").to_pandas(), df)


def test_no_rows(tmp_path: Path) -> None:
    native(frame()[:0]).to_parquet_folder(tmp_path / "e", num_rows_per_file=10)
    assert os.listdir(tmp_path / "e") == ["part-1.parquet"]


def test_refused(tmp_path: Path) -> None:
    df = native(frame(10))
    for sizes in ({}, {"num_files": 1, "num_rows_per_file": 1}, {"num_files": 0}):
        with pytest.raises(ValueError):
            df.to_parquet_folder(tmp_path / "r", **sizes)
    for path in ("a*/b.parquet", "a/*x*.parquet"):
        with pytest.raises(ValueError):
            df.to_parquet_folder(f"{tmp_path}/{path}", num_files=1)
    df.to_parquet_folder(tmp_path / "r", num_files=2)
    with pytest.raises(FileExistsError):
        df.to_parquet_folder(tmp_path / "r", num_files=3)
    df.to_parquet_folder(f"{tmp_path}/r/other-*.parquet", num_files=1)
    assert sorted(os.listdir(tmp_path / "r")) == ["other-1.parquet", "part-1.parquet", "part-2.parquet"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"compression|codec|nonsense"):
        native(frame()).to_parquet_folder(tmp_path / "f", num_files=3, compression="nonsense")
    assert os.listdir(tmp_path) == []
