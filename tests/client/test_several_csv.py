"""read_csv of a folder, a glob or a list, which pandas does not have: the rows of the files one after another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import terality

PARTS = ["a,b\n1,x\n2,y\n", "a,b\n3.5,\n4,y\n", "b,a\nz,5\n"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, text in enumerate(PARTS):
        (tmp_path / f"part-{i}.csv").write_text(text)
    return tmp_path


@pytest.mark.parametrize("kind", ["folder", "glob", "list"])
@pytest.mark.parametrize("index_col", [None, "a"])
def test_rows_of_all_files(folder: Path, kind: str, index_col: str | None) -> None:
    paths = sorted(folder.iterdir())
    source = {"folder": folder, "glob": str(folder / "part-*.csv"), "list": paths}[kind]
    expected = pd.concat([pd.read_csv(p, index_col=index_col) for p in paths], ignore_index=index_col is None)
    got = terality.read_csv(source, index_col=index_col)
    pd.testing.assert_frame_equal(terality.to_pandas(got), expected)


def test_pandas_has_the_word_on_what_is_no_such_source(folder: Path) -> None:
    (folder / "notes.txt").write_text("no table")
    with pytest.raises(IsADirectoryError):
        terality.read_csv(folder)
    with pytest.raises(FileNotFoundError):
        terality.read_csv(str(folder / "none-*.csv"))
