"""A small fixed sample of pandas' own tests through terality in native mode: 98 % of pandas' passes must be kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARE_TO_KEEP = 0.98
SAMPLE = 0.2
FILES = [
    "frame/indexing/test_getitem.py",
    "frame/indexing/test_setitem.py",
    "frame/methods/test_assign.py",
    "frame/methods/test_drop_duplicates.py",
    "frame/methods/test_rename.py",
    "frame/methods/test_reset_index.py",
    "frame/methods/test_sort_values.py",
    "frame/test_reductions.py",
    "frame/test_repr.py",
    "series/test_arithmetic.py",
    "series/methods/test_isin.py",
    "series/methods/test_rank.py",
    "series/methods/test_value_counts.py",
    "groupby/aggregate/test_aggregate.py",
    "groupby/methods/test_nth.py",
    "groupby/test_reductions.py",
    "reshape/concat/test_concat.py",
    "reshape/merge/test_merge.py",
    "reshape/test_pivot.py",
    "indexing/test_loc.py",
    "copy_view/test_methods.py",
    "strings/test_find_replace.py",
]


def test_pandas_own_tests_in_native_mode(tmp_path: Path) -> None:
    terality = pytest.importorskip("terality", reason="the client is not built: `make build`")
    assert terality is not None
    out = tmp_path / "suite.json"
    command = [sys.executable, "-m", "tests.suite", "--module", "terality", "--mode", "native", "--jobs", "2"]
    command += ["--parts", ",".join(FILES), "--sample", str(SAMPLE), "--out", str(out)]
    ran = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    result = json.loads(out.read_text())
    assert result["passes"] > 1_000, ran.stdout
    assert result["share"] >= SHARE_TO_KEEP, ran.stdout
