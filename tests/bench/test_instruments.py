"""The benchmark's tables are the same every time, and the example runner notices a wrong answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from bench import dbbench_data

ROOT = Path(__file__).resolve().parents[2]

WRONG = """
import pandas as _pandas
from pandas import *
_nlargest = _pandas.DataFrame.nlargest
_pandas.DataFrame.nlargest = lambda self, n, columns: _nlargest(self, n, columns).iloc[::-1]
"""


def test_tables_are_deterministic_and_as_described(tmp_path: Path) -> None:
    first = dbbench_data.make(tmp_path / "a", 20_000)
    second = dbbench_data.make(tmp_path / "b", 20_000)
    for name, file in first.items():
        assert file.read_bytes() == second[name].read_bytes(), name
    x = pd.read_parquet(first["G1"])
    pd.testing.assert_frame_equal(x, pd.read_csv(first["G1.csv"]))
    assert x["id1"].str.fullmatch(r"id\d{3}").all()
    assert x["id3"].str.fullmatch(r"id\d{10}").all()
    assert x[["id4", "id6", "v1", "v2"]].max().tolist() == [100, 200, 5, 15]
    left, big = pd.read_parquet(first["x"]), pd.read_parquet(first["big"])
    assert left["id3"].is_unique
    assert big["id3"].is_unique
    assert left["id3"].isin(big["id3"]).mean() == 0.9
    assert (left["id6"] == "id" + left["id3"].astype("str")).all()


def run_example(tmp_path: Path, candidate: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/run_example.py", "--candidate", candidate, "--quiet", "--home", str(tmp_path)]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path, "SCALE": ""}, capture_output=True, text=True
    )


def test_example_equals_itself(tmp_path: Path) -> None:
    ran = run_example(tmp_path, "pandas")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "results:  equal" in ran.stdout


def test_a_wrong_answer_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "wrong_pandas.py").write_text(WRONG)
    ran = run_example(tmp_path, "wrong_pandas")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "longest: " in ran.stdout
    assert "printed text differs" in ran.stdout
