"""Runs the example and the db-benchmark's questions on a cluster of this machine, over a real S3 server.

Usage: python tools/run_cluster.py [--workers 4] [--rows 1e6] [--scale 1] [--parity 0] [--target-rows 50000]
                                   [--store s3|folder]

Installs (once, into a cache folder) and starts versitygw, a scheduler and workers; runs examples/flights.py with every
plan sent to the cluster in small pieces and by plain pandas, and compares as `make run` does; the tutorial flow (its
tests, in pieces of 100 rows); then the questions of the db-benchmark, answers compared with pandas; then so many
generated parity programs. Exit code 0: all equal.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

QUESTIONS = "q1;q2;q3;q4;q5;q6;q7;q8;q9;q10;sort v3;sort id3;sort id6, v1 desc;j1;j2;j3;j4;j5"


@contextlib.contextmanager
def store(kind: str, folder: str) -> Iterator[str]:
    """Give the URL of an empty store; for S3 the server runs meanwhile, its credentials in the environment."""
    if kind == "folder":
        yield f"{folder}/store"
        return
    from tests.store import servers

    print("run-cluster: starting versitygw (built by Go when it is not in the cache yet)", flush=True)
    with servers.versitygw() as server:
        os.environ.update(server.environment)
        yield "s3://tables/cluster"


def in_pieces(scale: str, folder: Path, rows: int) -> Path:
    """Give the example's tables with the flights in row groups of `rows`: workers share a file by row groups."""
    import pyarrow.parquet as pq

    from tools.run_example import prepare

    original = ROOT / "data" / f"flights-x{scale}"
    prepare(original, int(scale))
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns("flights.parquet"))
    file = pq.ParquetFile(original / "flights.parquet")
    with pq.ParquetWriter(folder / "flights.parquet", file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            writer.write_table(file.read_row_group(group), rows)
    return folder


def pieces(command: list[str], environment: dict[str, str]) -> dict[str, str]:
    """Give the environment of a command; small tables are cut more finely."""
    rows = {"pytest": "100", "tests.parity": "3"}.get(command[2])
    return {**environment, "TERALITY_TARGET_ROWS": rows} if rows else environment


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rows", default=os.environ.get("ROWS") or "1e6", help="of the db-benchmark; 0 leaves it out")
    parser.add_argument("--scale", default=os.environ.get("SCALE") or "1", help="of the flights")
    parser.add_argument("--parity", default=os.environ.get("PARITY") or "0", help="generated programs, 3 rows a task")
    parser.add_argument("--target-rows", type=int, default=50_000, help="rows per task")
    parser.add_argument("--partitions", type=int, default=16, help="tasks per stage at most")
    parser.add_argument("--store", choices=["s3", "folder"], default="s3")
    args = parser.parse_args()
    from terality.cluster.processes import LocalCluster

    (ROOT / "out").mkdir(exist_ok=True)

    with contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="terality-cluster-"))
        url = running.enter_context(store(args.store, folder))
        log = running.enter_context(open(ROOT / "out" / "cluster.log", "wb"))
        cluster = running.enter_context(LocalCluster(args.workers, url, f"{folder}/data", log=log))
        print(f"run-cluster: scheduler at {cluster.url}, {args.workers} workers, store {url}", flush=True)
        profile = cluster.profile
        environment = {
            **os.environ,
            "TERALITY_URL": profile.url,
            "TERALITY_API_KEY": profile.api_key,
            "TERALITY_DEPLOYMENT": profile.deployment,
            "TERALITY_STORE": profile.store,
            "TERALITY_MIN_ROWS": "0",
            "TERALITY_TARGET_ROWS": str(args.target_rows),
            "TERALITY_PARTITIONS": str(args.partitions),
        }
        commands = []
        if float(args.scale) > 0:
            data = in_pieces(args.scale, Path(folder) / "flights", args.target_rows)
            commands.append([sys.executable, str(ROOT / "tools" / "run_example.py"), "--data", str(data), "--quiet"])
            flow = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/client/test_tutorial.py"]
            commands.append(flow)
        if float(args.rows) > 0:
            bench = [sys.executable, "-m", "bench.dbbench", "--rows", args.rows, "--engines", "pandas,terality"]
            commands.append([*bench, "--tasks", QUESTIONS, "--out", str(ROOT / "out" / "cluster-dbbench.json")])
        if int(args.parity) > 0:
            commands.append([sys.executable, "-m", "tests.parity", "--programs", args.parity, "--seed", "5000000"])
        failed = [c for c in commands if subprocess.run(c, env=pieces(c, environment), cwd=ROOT).returncode]
    print("run-cluster: " + ("everything equal" if not failed else f"{len(failed)} of {len(commands)} parts FAILED"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
