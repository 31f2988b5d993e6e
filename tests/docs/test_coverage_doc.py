"""docs/coverage.md says what the handlers say, and the tool that writes it reads them rightly."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("coverage_table", ROOT / "tools" / "coverage_table.py")
assert spec is not None and spec.loader is not None
coverage = importlib.util.module_from_spec(spec)
sys.modules["coverage_table"] = coverage
spec.loader.exec_module(coverage)

HANDLER = """
def handler(self, how, axis, n):
    refuse(how=(how, *HOWS), axis=(axis, 0, "index"))
    if n:
        raise Fallback(f"n of type {type(n).__name__}")
    if how:
        raise Fallback(f"{how}={n!r}")
    raise ValueError("pandas' own")
"""


def test_document_is_up_to_date() -> None:
    assert coverage.TARGET.read_text(encoding="utf-8") == coverage.table(), f"run {coverage.COMMAND}"


def test_reasons_come_from_refusals_and_fallbacks() -> None:
    found = list(coverage.reasons_in(ast.parse(HANDLER), {"HOWS": ("left", "inner")}))
    assert found == ["`how` other than `'left'`, `'inner'`", "`axis` other than `0`, `'index'`", "n of type …"]


@pytest.mark.parametrize(
    ("texts", "merged"),
    [
        (["Serve sum of a column.", "Serve mean of a column."], "… of a column."),
        (["Serve .str.len().", "Serve .str.lower()."], "as pandas"),
        (["", ""], "as pandas"),
        (["Serve head."], "head."),
    ],
)
def test_common_text(texts: list[str], merged: str) -> None:
    assert coverage.common_text(texts) == merged


def test_out_of_date_is_noticed(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    stale = tmp_path / "coverage.md"
    stale.write_text("old\n", encoding="utf-8")
    monkeypatch.setattr(coverage, "TARGET", stale)
    monkeypatch.setattr(coverage, "ROOT", tmp_path)
    assert coverage.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert coverage.main([]) == 0
    assert coverage.main(["--check"]) == 0
