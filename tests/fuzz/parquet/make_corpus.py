"""Makes the Parquet corpus with pyarrow: small files over types, encodings, codecs and page versions.

Run by hand when the corpus is to change: `python tests/fuzz/parquet/make_corpus.py`. The files are committed.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parents[1] / "corpus" / "fuzz_parquet"
WORDS = ["", "a", "é", "exactly12byt", "thirteen byte", "something quite a bit longer", None]


def table(n: int) -> pa.Table:
    i = range(n)
    return pa.table(
        {
            "i8": pa.array([k % 5 for k in i], pa.int8()),
            "u64": pa.array([None if k % 7 == 3 else k * 2**57 % 2**64 for k in i], pa.uint64()),
            "f": pa.array([None if k % 11 == 5 else k / 3 for k in i], pa.float64()),
            "b": pa.array([k % 3 == 0 for k in i]),
            "t": pa.array([k * 10**15 for k in i], pa.timestamp("us")),
            "d": pa.array([None if k % 2 else k for k in i], pa.duration("ns")),
            "s": pa.array([WORDS[k % len(WORDS)] for k in i]),
            "c": pa.array([WORDS[k % 5] for k in i]).dictionary_encode(),
        }
    )


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for codec in ("none", "snappy", "gzip", "zstd"):
        for version in ("1.0", "2.0"):
            pq.write_table(table(40), OUT / f"{codec}-v{version[0]}", compression=codec, data_page_version=version)
    pq.write_table(table(40), OUT / "plain-groups", use_dictionary=False, row_group_size=7, write_statistics=False)
    pq.write_table(
        table(300), OUT / "fallback", dictionary_pagesize_limit=20, data_page_size=64, data_page_version="2.0"
    )
    pq.write_table(table(0), OUT / "empty")
    i96 = pa.table({"t": pa.array([1, None, 3], pa.timestamp("us"))})
    pq.write_table(i96, OUT / "int96", use_deprecated_int96_timestamps=True)
    nested = pa.table({"l": [[1], None, [2, 3]], "x": [1, 2, 3], "st": [{"a": 1}, None, {"a": 2}]})
    pq.write_table(nested, OUT / "nested")
    one = pa.table({"x": pa.array([1, None, 3], pa.int32())})
    pq.write_table(one, OUT / "maybe-float", write_statistics=False, store_schema=False)


if __name__ == "__main__":
    main()
