"""The scheduler cannot touch data: its program has none of the code that could, and needs none of the libraries."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = re.compile(r"zstd|snappy|deflate|libz\.|lz4|brotli|pcre|utf8proc|python|arrow")


@pytest.fixture(scope="module")
def program() -> Path:
    """The program as the last build made it; the newest, if there are several build folders."""
    found = [p for p in ROOT.glob("build*/*/src/scheduler/terality-scheduler") if p.is_file()]
    if not found or not shutil.which("nm"):
        pytest.skip("no build of the scheduler here")
    return max(found, key=lambda path: path.stat().st_mtime)


def names_of(folder: str) -> set[str]:
    """Functions that the headers of a folder of src declare."""
    text = "\n".join(path.read_text() for path in (ROOT / "src" / folder).rglob("*.h"))
    return set(re.findall(r"\b(tr_\w+)\(", text))


def test_no_symbol_of_data(program):
    listing = subprocess.run(["nm", "--defined-only", program], capture_output=True, text=True, check=True).stdout
    symbols = {line.split()[-1].split(".")[0] for line in listing.splitlines() if line}
    allowed = set().union(*(names_of(f) for f in ("base", "meta", "net", "scheduler")))
    planted = (names_of("data") - allowed) & symbols
    assert not planted
    data = re.compile(r"tr_(exec|col|frame|array|kern|store|parquet|csv|block|task)_")
    assert not [name for name in symbols - allowed if data.match(name)]
    # The check would see something: the program is not stripped.
    assert "tr_shape_decode" in symbols and "tr_lease_give" in symbols


def test_no_library_of_data(program):
    dynamic = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    assert "libsqlite3.so.0" in needed
    assert not [name for name in needed if FOREIGN.search(name)]
