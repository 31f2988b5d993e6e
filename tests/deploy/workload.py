"""Queries on a deployment, of rows made here, each compared with pandas' answer; a program of its own.

::

    python -m tests.deploy.workload [--rows 400000] [--rounds 2] [--pieces 16] [--only sort]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas
import terality


def programs(frame: Any, names: Any) -> dict[str, Any]:
    """Give lazy results: grouping, a merge, a sort."""
    merged = frame.merge(names, on="key", how="left")
    return {
        "group": frame.groupby("key")["value"].agg(["sum", "mean", "count"]),
        "merge and group": merged.groupby("name")["value"].sum().sort_index(),
        "sort": frame.sort_values(["value", "key"]).reset_index(drop=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", help="one of them: group, sort or merge and group")
    parser.add_argument("--pieces", type=int, default=16, help="tasks of a stage, about")
    given = parser.parse_args()
    options = {"target_rows": max(given.rows // given.pieces, 1), "partitions": given.pieces, "broadcast_rows": 10}
    session = terality.connect(options=options, min_rows=0)
    for number in range(given.rounds):
        random = np.random.default_rng(number)
        frame = pandas.DataFrame({"key": random.integers(0, 1000, given.rows), "value": random.random(given.rows)})
        names = pandas.DataFrame({"key": np.arange(1000), "name": [f"name {i % 50}" for i in range(1000)]})
        terality.options.mode = "off"
        expected = {k: v for k, v in programs(frame, names).items() if k == (given.only or k)}
        terality.options.mode = "native"
        began = time.monotonic()
        lazy = programs(terality.from_pandas(frame), terality.from_pandas(names))
        for name, wanted in expected.items():
            got = terality.to_pandas(lazy[name])
            check = pandas.testing.assert_frame_equal
            if isinstance(wanted, pandas.Series):
                check = pandas.testing.assert_series_equal
            check(got, wanted, rtol=1e-12)
        print(f"round {number}: {len(expected)} answers are pandas', {time.monotonic() - began:.1f} s", flush=True)
    print(f"{session.queries} queries ran on the deployment")


if __name__ == "__main__":
    main()
