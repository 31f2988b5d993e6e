"""Which of pandas' tests are run: parts are folders, some marks and folders are left out, files come in chunks."""

from __future__ import annotations

from pathlib import Path

from .rewrite import PACKAGE

MARKS_LEFT_OUT = ["slow", "single_cpu", "db", "network", "clipboard", "high_memory"]
FOLDERS_LEFT_OUT = ["internals", "libs", "tslibs", "plotting", "interchange", "extension"]

# A part is a list of folders or files below pandas/tests; "top" is the test files that lie in no folder.
DEFAULT_PARTS = ["frame", "series", "groupby", "reshape", "indexing", "copy_view", "strings"]
_OTHER_FOLDERS = ["indexes", "arithmetic", "resample", "window", "apply", "base", "generic", "reductions", "tools"]
_OTHER_FOLDERS += ["computation", "arrays", "dtypes", "scalar", "tseries", "api", "config", "construction", "util"]
PARTS: dict[str, list[str]] = {
    **{name: [name] for name in DEFAULT_PARTS + _OTHER_FOLDERS},
    "parser": ["io/parser"],
    "formats": ["io/formats"],
    "io": ["io/json", "io/test_parquet.py", "io/test_pickle.py"],
    "top": ["."],
}
_CHUNK_BYTES = 400_000  # of test source: about 20 s


def files_of(tree: Path, part: str) -> list[str]:
    """The test files of a part, relative to ``pandas/tests``."""
    tests = tree / PACKAGE / "tests"
    found: list[Path] = []
    for name in PARTS.get(part, [part]):
        path = tests / name
        if path.is_file():
            found.append(path)
        elif name == ".":
            found += path.glob("test_*.py")
        elif path.is_dir():
            found += path.rglob("test_*.py")
        else:
            raise SystemExit(f"no part and no test file or folder of pandas: {part!r}")
    files = sorted({str(p.relative_to(tests)) for p in found})
    return [f for f in files if f.split("/")[0] not in FOLDERS_LEFT_OUT]


def part_of(node_id: str) -> str:
    """The part to which a test counts."""
    file = node_id.split("::")[0]
    for part, names in PARTS.items():
        if any(file == n or file.startswith(n + "/") for n in names):
            return part
    return "top" if "/" not in file else file.split("/")[0]


def chunks(tree: Path, parts: list[str], processes: int) -> list[list[str]]:
    """Cut the files of some parts into chunks of about the same work, the largest first."""
    tests = tree / PACKAGE / "tests"
    size = {f: (tests / f).stat().st_size for part in parts for f in files_of(tree, part)}
    limit = min(_CHUNK_BYTES, max(1, sum(size.values()) // processes + 1))
    cut: list[list[str]] = []
    filled = limit
    for file in sorted(size):
        if filled + size[file] > limit and filled > 0:
            cut.append([])
            filled = 0
        cut[-1].append(file)
        filled += size[file]
    return sorted(cut, key=lambda files: -sum(size[f] for f in files))
