"""pyarrow writes random tables with random options, the engine copies them, pandas and DuckDB read the copies.

`peers.py COPY_PARQUET [FIRST LAST]`: seeds FIRST to LAST. Equal means equal dtypes, values (floats by their bits)
and categories. Needs pandas and pyarrow (exit 77, "skipped", without them); DuckDB judges too where it is installed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as reason:
    print("skipped:", reason)
    sys.exit(77)
try:
    import duckdb
except ImportError:
    duckdb = None

WORDS = ["", "a", "é", "日本語テキスト長い", "exactly12byt", "thirteen byte", "x" * 100, "\0nul", "zz" * 20]


def random_table(rng: np.random.Generator, n: int) -> pa.Table:
    def missing() -> np.ndarray:
        return rng.random(n) < rng.choice([0, 0, 0.1, 0.9, 1])

    columns = {}
    for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        high = min(int(rng.choice([3, 100, 2**62])), int(np.iinfo(name).max))
        low = -high if name[0] == "i" else 0
        columns[name] = pa.array(rng.integers(low, high, n, dtype=name, endpoint=True), mask=missing())
    for name in ("f4", "f8"):
        values = rng.standard_normal(n).astype(name)
        values[rng.random(n) < 0.3] = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5])
        columns[name] = pa.array(values, mask=missing(), from_pandas=False)
    columns["b"] = pa.array(rng.random(n) < 0.5)
    for unit in ("ms", "us", "ns"):
        ticks = rng.integers(-(2**53), 2**53, n)
        columns["t" + unit] = pa.array(ticks.view(f"M8[{unit}]"), mask=missing())
        columns["d" + unit] = pa.array(ticks, mask=missing()).cast(pa.duration(unit))
    words = np.array(WORDS + [f"w{i}" for i in range(rng.choice([1, 300, 5000]))], object)
    texts = rng.choice(words, n)
    columns["s"] = pa.array(texts, pa.string(), mask=missing())
    columns["distinct"] = pa.array([f"value number {i}" for i in range(n)], pa.large_string(), mask=missing())
    columns["zoned"] = pa.array(np.zeros(n, "M8[us]")).cast(pa.timestamp("us", "UTC"))
    if n:
        columns["c"] = pa.array(texts, pa.string(), mask=missing()).dictionary_encode()
        codes = pa.array(rng.integers(0, 5, n).astype("i1"))
        columns["co"] = pa.DictionaryArray.from_arrays(codes, ["q", "w", "e", "r, but longer", "t"], ordered=True)
        columns["number_categories"] = pa.array(rng.integers(0, 5, n)).dictionary_encode()
    return pa.table(columns)


def random_options(rng: np.random.Generator, n: int) -> dict:
    small = n < 2000
    return {
        "data_page_version": str(rng.choice(["1.0", "2.0"])),
        "use_dictionary": bool(rng.random() < 0.6),
        "compression": str(rng.choice(["none", "snappy", "gzip", "zstd"])),
        "write_statistics": bool(rng.random() < 0.7),
        "row_group_size": int(rng.choice([1 if n < 100 else 101, 17 if n < 100 else 997, 1000, 10**6])),
        "data_page_size": int(rng.choice([1 if small else 1000, 64 if small else 5000, 2**20])),
        "dictionary_pagesize_limit": int(rng.choice([10, 1000, 2**20])),
        "store_schema": bool(rng.random() < 0.8),
        "use_deprecated_int96_timestamps": bool(rng.random() < 0.1),
    }


def difference(got: pd.Series, want: pd.Series) -> str:
    if got.dtype.name == "category" and want.dtype.name == "category":
        got, want = got.astype("str"), want.astype("str")
    if got.dtype != want.dtype:
        return f"dtype {got.dtype}, not {want.dtype}"
    try:
        pd.testing.assert_series_equal(got, want, check_exact=True)
    except AssertionError as difference:
        return str(difference)
    if got.dtype.kind == "f":
        x, y = got.to_numpy(), want.to_numpy()
        if not np.array_equal(np.signbit(x)[x == x], np.signbit(y)[y == y]):
            return "signs of zeros"
    return ""


def same_categories(got: pd.Series, want: pd.Series) -> bool:
    """The order of categories is kept; a file of some of the rows keeps all categories too."""
    return list(got.cat.categories) == list(want.cat.categories) and got.cat.ordered == want.cat.ordered


def judge_duckdb(path: str, judged: pd.DataFrame) -> list[str]:
    names = [name for name in judged if not name.startswith(("t", "d", "c", "zoned"))] + ["distinct"]
    quoted = ", ".join(f'"{name}"' for name in names)
    got = duckdb.sql(f"select {quoted} from read_parquet('{path}')").to_arrow_table()
    want = pq.read_table(path, columns=names)
    faults = []
    for name in names:
        x, y = got[name], want[name].cast(got[name].type)
        if [repr(v) for v in x.to_pylist()] != [repr(v) for v in y.to_pylist()]:
            faults.append(f"{name}: DuckDB reads other values")
    return faults


def check(copy: str, folder: Path, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    n = int(rng.choice([0, 1, 2, 8, 9, 63, 65, 1000, 5000, 70000], p=[0.05] * 5 + [0.1, 0.1, 0.4, 0.1, 0.05]))
    table, options = random_table(rng, n), random_options(rng, n)
    source, target = folder / "source.parquet", folder / "target.parquet"
    pq.write_table(table, source, **options)
    begin = int(rng.integers(0, n + 1)) if rng.random() < 0.5 else 0
    end = int(rng.integers(begin, n + 1)) if begin else n
    group = int(rng.choice([0, 77 if n < 3000 else 7777, 1000]))
    command = [copy, source, target, rng.integers(0, 4), group, begin, end, rng.integers(1, 3)]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        return [f"{options} {done.stderr}"]
    want = pd.read_parquet(source).iloc[begin:end].reset_index(drop=True)
    got = pd.read_parquet(target)
    faults = []
    dtypes = dict(line.rsplit("\t", 1) for line in done.stdout.splitlines())
    for name in want:
        whole = want[name].dtype.name
        if name not in got:
            if not (whole == "object" or whole.endswith("UTC]")):
                faults.append(f"{name} of dtype {whole} was refused")
            continue
        if dtypes[name] != whole:
            faults.append(f"{name}: read as {dtypes[name]}, pandas says {whole}")
        elif end > begin and (why := difference(got[name], want[name])):
            faults.append(f"{name}: {why}")
        elif end > begin and whole == "category" and not same_categories(got[name], want[name]):
            faults.append(f"{name}: categories")
    if duckdb and end > begin:
        faults += judge_duckdb(str(target), got)
    return [f"seed {seed}, {n} rows [{begin}, {end}), {options}: {fault}" for fault in faults]


def main() -> int:
    copy = sys.argv[1]
    first, last = (int(word) for word in sys.argv[2:4]) if len(sys.argv) > 3 else (0, 60)
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last):
            faults += check(copy, Path(folder), seed)
    print("\n".join(faults[:20]))
    print(f"{last - first} files, {len(faults)} faults, judges: pandas{' and DuckDB' if duckdb else ''}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
