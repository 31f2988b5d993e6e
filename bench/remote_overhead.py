"""What a query costs beyond its work: the smallest one, from call to result, on a cluster of this machine.

python -m bench.remote_overhead [--workers 4] [--queries 200] [--store FOLDER or s3://…]

Prints milliseconds (p50, p90, p99); the bar is 60 ms at p50.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import terality
from terality.cluster.processes import LocalCluster


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--store")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "remote_overhead.json")
    args = parser.parse_args()
    terality.options.mode = "native"
    with tempfile.TemporaryDirectory() as folder:
        store = args.store or f"{folder}/store"
        with (
            open(f"{folder}/log", "wb") as log,
            LocalCluster(args.workers, store, f"{folder}/data", log=log) as cluster,
        ):
            p = cluster.profile
            terality.connect(p.url, api_key=p.api_key, deployment=p.deployment, store=p.store, min_rows=0)
            seconds = []
            for i in range(args.queries + 10):
                frame = terality.from_pandas(terality.DataFrame({"x": np.arange(10) + i}))
                start = time.perf_counter()
                assert int(frame["x"].sum()) == 45 + 10 * i
                seconds.append(time.perf_counter() - start)
            terality.disconnect()
    p50, p90, p99 = np.percentile(np.array(seconds[10:]) * 1000, [50, 90, 99])
    print(f"smallest query, {args.workers} idle workers: p50 {p50:.1f} ms, p90 {p90:.1f} ms, p99 {p99:.1f} ms")
    facts = {"date": str(date.today()), "machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    facts |= {"workers": args.workers, "queries": args.queries, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99}
    args.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
