"""Reading 64 MB objects from an S3 server on this machine (versitygw): MB/s beside boto3, obstore, Polars and DuckDB.

python -m bench.s3_read [--objects 6] [--rounds 5] [--json FILE]

Two questions: `get`, whole objects as bytes (terality, boto3, obstore), and `parquet`, one uncompressed Parquet file of
eight float64 columns per object, all columns (terality, Polars, DuckDB). Each engine is a process of its own that stays
alive; they take turns, one pass over all objects each, and the best pass counts, since the machine and the server are
shared by all. What cannot be installed, or cannot reach the server, is left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MB, ROWS, COLUMNS = 64, 1_000_000, 8
ENGINES = {"get": ("terality", "boto3", "obstore"), "parquet": ("terality", "polars", "duckdb")}
BAR = 0.8


# --- a worker process: this file run by an engine's own interpreter ---------------------------------------------------
def get_with(engine: str) -> Any:
    if engine == "terality":
        from terality import _engine

        return _engine.Store("s3://tables").get
    if engine == "boto3":
        import boto3
        from botocore.config import Config

        client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        return lambda key: client.get_object(Bucket="tables", Key=key)["Body"].read()
    from obstore.store import S3Store

    store = S3Store("tables", endpoint=os.environ["AWS_ENDPOINT_URL"], client_options={"allow_http": True})
    return lambda key: store.get(key).bytes()


def parquet_with(engine: str) -> Any:
    if engine == "terality":
        import terality

        return lambda key: terality.execute(terality.read_parquet(f"s3://tables/{key}"))
    if engine == "polars":
        import polars as pl

        options = {"aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true"}
        return lambda key: pl.read_parquet(f"s3://tables/{key}", storage_options=options)
    import duckdb

    host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    duckdb.sql("install httpfs; load httpfs")
    duckdb.sql(f"""create secret (type s3, key_id '{os.environ["AWS_ACCESS_KEY_ID"]}', region 'us-east-1',
               secret '{os.environ["AWS_SECRET_ACCESS_KEY"]}', endpoint '{host}', url_style 'path', use_ssl false)""")
    return lambda key: duckdb.sql(f"from read_parquet('s3://tables/{key}')").fetchnumpy()


def serve(question: str, engine: str, objects: int) -> None:
    """Each line of input is answered by the seconds of one pass."""
    read = (get_with if question == "get" else parquet_with)(engine)
    for _ in sys.stdin:
        begin = time.perf_counter()
        for i in range(objects):
            assert read(f"{question}/{i}") is not None
        print(time.perf_counter() - begin, flush=True)


# --- the driver -------------------------------------------------------------------------------------------------------
def make_objects(objects: int) -> int:
    """Put the objects there; gives the bytes of one Parquet file."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from terality import _engine

    store = _engine.Store("s3://tables")
    random = np.random.default_rng(0)
    table = pa.table({f"c{i}": random.random(ROWS) for i in range(COLUMNS)})
    with tempfile.NamedTemporaryFile() as file:
        pq.write_table(table, file.name, compression="none", use_dictionary=False, row_group_size=ROWS // 4)
        data = Path(file.name).read_bytes()
    for i in range(objects):
        store.put(f"parquet/{i}", data)
        store.put(f"get/{i}", random.bytes(MB * 1_000_000))
    return len(data)


class Worker:
    def __init__(self, question: str, engine: str, objects: int) -> None:
        from bench.environments import interpreter

        command = [interpreter(engine), str(Path(__file__)), "--serve", question, engine, str(objects)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def one_pass(self) -> float | None:
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            return float(self.process.stdout.readline())
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


def ask(question: str, objects: int, rounds: int, size: int) -> dict[str, float]:
    """Best MB/s of each engine."""
    workers = {engine: Worker(question, engine, objects) for engine in ENGINES[question]}
    best: dict[str, float] = {}
    for _ in range(rounds):
        for engine, worker in list(workers.items()):
            seconds = worker.one_pass()
            if seconds is None:
                print(f"{question}: {engine} cannot do it here")
                workers.pop(engine)
                continue
            best[engine] = max(best.get(engine, 0.0), objects * size / seconds / 1e6)
    for worker in workers.values():
        worker.close()
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "store"))
    import servers

    results, good = {}, True
    with servers.versitygw() as server:
        os.environ.update(server.environment)
        size = make_objects(options.objects)
        for question in ENGINES:
            speeds = ask(question, options.objects, options.rounds, size if question == "parquet" else MB * 1_000_000)
            others = {engine: speed for engine, speed in speeds.items() if engine != "terality"}
            ratio = speeds["terality"] / max(others.values()) if others else float("nan")
            good &= not others or ratio >= BAR
            results[question] = {"MB/s": speeds, "ratio": ratio}
            shown = ", ".join(f"{engine} {speed:,.0f}" for engine, speed in sorted(speeds.items(), key=lambda x: -x[1]))
            print(f"{question:<8} MB/s: {shown}; terality / best other = {ratio:.2f} (bar {BAR})")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(main())
