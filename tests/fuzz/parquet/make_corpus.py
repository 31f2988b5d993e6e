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


def varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def record(**fields: object) -> bytes:
    """A struct of Thrift's compact protocol: numbers are i64 when their field's name ends with L, else i32."""
    out, last = b"", 0
    for name, value in fields.items():
        no = int(name.strip("fL"))
        if isinstance(value, int):
            kind, data = 6 if name.endswith("L") else 5, varint(2 * value)
        elif isinstance(value, str):
            kind, data = 8, varint(len(value)) + value.encode()
        elif isinstance(value, list):
            kind, data = 9, bytes([len(value) << 4 | 12]) + b"".join(value)
        else:
            kind, data = 12, value
        out += bytes([no - last << 4 | kind]) + data
        last = no
    return out + b"\0"


def late_dictionary(n: int) -> bytes:
    """A page of nothing but a missing text, then a dictionary of n that nobody uses, then a text in a plain page."""

    def page(kind: int, body: bytes, **header: bytes) -> bytes:
        return record(f1=kind, f2=len(body), f3=len(body), **header) + body

    def data(level: int, body: bytes) -> bytes:
        return page(0, b"\2\0\0\0\2" + bytes([level]) + body, f5=record(f1=1, f2=0, f3=3, f4=3))

    texts = b"".join(b"\5\0\0\0%05d" % k for k in range(n))
    pages = data(0, b"") + page(2, texts, f7=record(f1=n, f2=0)) + data(1, b"\1\0\0\0x")
    encodings, path = bytes([1 << 4 | 5, 0]), bytes([1 << 4 | 8, 1]) + b"s"
    about = bytes([0x15, 12, 0x19]) + encodings + bytes([0x19]) + path  # fields 1 to 3; the others count from there
    about += record(f1=0, f2L=2, f3L=len(pages), f4L=len(pages), f6L=4)
    group = record(f1=[record(f2L=4, f3=about)], f2L=len(pages), f3L=2)
    schema = [record(f4="schema", f5=1), record(f1=6, f3=1, f4="s", f6=0)]
    footer = record(f1=1, f2=schema, f3L=2, f4=[group])
    return b"PAR1" + pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


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
    (OUT / "late-dictionary").write_bytes(late_dictionary(3000))


if __name__ == "__main__":
    main()
