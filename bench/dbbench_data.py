"""Makes the db-benchmark's tables: deterministic, with numpy, one slice of a million rows after the other.

G1 (group-by, sorts, readers) is written as CSV and as Parquet, J1 (joins) as Parquet; Parquet with pyarrow's defaults
(snappy, dictionaries), a row group per million rows. Keys and value ranges are those of the
db-benchmark: K = 100 groups, 90 % of join keys shared and 10 % own on each side.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

ROW_GROUP = 1_000_000
K = 100
_SEED = 108


def make(folder: Path, rows: int) -> dict[str, Path]:
    """Write what is missing of the tables of one size.

    Parameters
    ----------
    folder : Path
        Where tables of all sizes lie; one folder per size is made in it.
    rows : int
        N; 1e7 gives a CSV of half a gigabyte.

    Returns
    -------
    dict
        Table name (``G1.csv``, ``G1``, ``x``, ``small``, ``medium``, ``big``) -> file.
    """
    home = folder / f"db-{rows:.0e}".replace("+0", "")
    home.mkdir(parents=True, exist_ok=True)
    names = {"G1.csv": "G1.csv", **{n: f"{n}.parquet" for n in ("G1", "x", "small", "medium", "big")}}
    files = {name: home / file for name, file in names.items()}
    if not (home / "complete").exists():
        _write(files["G1"], _group_by_slices(rows), csv=files["G1.csv"])
        for name, table in _join_tables(rows).items():
            _write(files[name], (table.slice(i, ROW_GROUP) for i in range(0, len(table), ROW_GROUP)))
        (home / "complete").touch()
    return files


def _write(file: Path, slices: Iterator[pa.Table], csv: Path | None = None) -> None:
    parquet_writer = csv_writer = None
    for part in slices:
        if parquet_writer is None:
            parquet_writer = pq.ParquetWriter(file, part.schema)
            if csv is not None:
                options = pa.csv.WriteOptions(quoting_style="none")
                csv_writer = pa.csv.CSVWriter(csv, part.schema, write_options=options)
        parquet_writer.write_table(part, ROW_GROUP)
        if csv_writer is not None:
            csv_writer.write_table(part)
    for writer in (parquet_writer, csv_writer):
        if writer is not None:
            writer.close()


def _group_by_slices(rows: int) -> Iterator[pa.Table]:
    few = pa.array([f"id{i:03d}" for i in range(1, K + 1)])
    groups = max(1, rows // K)
    many = pa.array([f"id{i:010d}" for i in range(1, groups + 1)])
    for number, start in enumerate(range(0, rows, ROW_GROUP)):
        n = min(ROW_GROUP, rows - start)
        rng = np.random.default_rng([_SEED, number])
        yield pa.table(
            {
                "id1": few.take(pa.array(rng.integers(0, K, n))),
                "id2": few.take(pa.array(rng.integers(0, K, n))),
                "id3": many.take(pa.array(rng.integers(0, groups, n))),
                "id4": rng.integers(1, K + 1, n),
                "id5": rng.integers(1, K + 1, n),
                "id6": rng.integers(1, groups + 1, n),
                "v1": rng.integers(1, 6, n),
                "v2": rng.integers(1, 16, n),
                "v3": np.round(rng.uniform(0, 100, n), 6),
            }
        )


def _join_tables(rows: int) -> dict[str, pa.Table]:
    rng = np.random.default_rng([_SEED, 1 << 20])
    sizes = {"id1": max(10, rows // 1_000_000), "id2": max(10, rows // 1_000), "id3": rows}
    left, right = {}, {}
    for name, size in sizes.items():
        keys = rng.permutation(np.arange(1, size + size // 10 + 1))
        shared = keys[: size - size // 10]
        left[name] = np.concatenate([shared, keys[len(shared) : size]])
        right[name] = np.concatenate([shared, keys[size:]])
    tables = {"x": _join_table(rng, left, rows, ["id1", "id2", "id3"], "v1")}
    for count, name in enumerate(("small", "medium", "big"), start=1):
        ids = ["id1", "id2", "id3"][:count]
        tables[name] = _join_table(rng, right, sizes[ids[-1]], ids, "v2")
    return tables


def _join_table(rng: np.random.Generator, keys: dict[str, np.ndarray], n: int, ids: list[str], value: str) -> pa.Table:
    """A table whose last key is as unique as n allows, in random order; every other key is drawn with repetition."""
    columns = {}
    for name in ids:
        own = keys[name]
        if len(own) >= n:
            columns[name] = rng.permutation(own)[:n]
        else:
            columns[name] = rng.permutation(np.concatenate([own, rng.choice(own, n - len(own))]))
    for name, text in zip(ids, ("id4", "id5", "id6"), strict=False):
        columns[text] = _texts(columns[name])
    columns[value] = np.round(rng.uniform(0, 100, n), 6)
    return pa.table(columns)


def _texts(numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise("id", pc.cast(pa.array(numbers), pa.string()), "")
