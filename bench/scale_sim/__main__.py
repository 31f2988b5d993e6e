"""``python -m bench.scale_sim``: the table, how robust it is, and the plots of docs/autoscaling.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from . import BAR, MIXES, PURE, SHAPES, SIZES, Run, by_workload, plots, simulate, worst


def grid(quota: float, target: float) -> list[Run]:
    return [Run(shape, size, policy, quota, target) for shape, size, policy in product(SHAPES, SIZES, (*PURE, *MIXES))]


def print_table(results: list[dict[str, Any]]) -> None:
    head = f"{'':<14}" + "".join(f"{policy:>24}" for policy in (*PURE, *MIXES)) + f"{'GET+PUT of mix':>18}"
    print(head)
    for (shape, size), policies in by_workload(results).items():
        cells = [f"{policies[p]['seconds']:>11,.0f} s ${policies[p]['usd']:>9,.2f}" for p in (*PURE, *MIXES)]
        requests = policies["mix"]["gets"] + policies["mix"]["puts"]
        print(f"{shape:<5}{size / 1e12:>7g} TB" + "".join(f"{cell:>24}" for cell in cells) + f"{requests:>18,.0f}")


def write_plots(results: list[dict[str, Any]], folder: Path, quota: float, target: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        result["requests"] = result["gets"] + result["puts"]
    note = "simulated, not measured on AWS"
    drawn = simulate(
        [
            Run("scan", 1e13, "mix", quota, target, True),
            Run("sort", 1e13, "mix", quota, target, True),
            Run("sort", 1e14, "mix+fargate", quota, target, True),
        ]
    )
    texts = {
        "scale_seconds.svg": plots.policies(results, "seconds", f"Seconds to the result ({note})", ""),
        "scale_dollars.svg": plots.policies(results, "usd", f"Dollars of workers and requests ({note})", "$"),
        "scale_requests.svg": plots.policies(results, "requests", f"Requests to S3 ({note})", ""),
        "scale_timeline.svg": plots.timelines(drawn, f"Cores while a query runs ({note})"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale_sim", description=__doc__)
    parser.add_argument("--target", type=float, default=30, help="seconds in which the work at hand should end")
    parser.add_argument("--quota", type=float, default=1, help="times AWS' default limits")
    parser.add_argument("--json", type=Path, help="write all results here")
    parser.add_argument("--plots", type=Path, help="write the plots into this folder")
    arguments = parser.parse_args()
    begin = time.monotonic()
    results = simulate(grid(arguments.quota, arguments.target))
    print("Simulated: nothing here was measured on AWS. Each cell: seconds to the result, dollars in all.")
    print_table(results)
    print("\nHow far a pure policy beats the mix in both time and dollars, at worst (1.10 is the bar):")
    cells = []
    sweeps = list(product((1, 10), (30, 60, 120, 300)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        swept = list(pool.map(lambda sweep: simulate(grid(*sweep)), sweeps))
    for ((quota, target), each), mix in product(zip(sweeps, swept, strict=True), MIXES):
        ratio, pure, shape, size = worst(each, mix)
        where = f"{pure} ({shape} of {size / 1e12:g} TB){'  over the bar' if ratio > BAR else ''}"
        print(f"  limits x{quota:<3} target {target:>3} s  {mix:<12} {ratio:.3f} by {where}")
        cells.append({"quota": quota, "target": target, "mix": mix, "ratio": ratio})
    slowest = max(results, key=lambda r: r["decide_us"])
    print(
        f"\na decision takes {slowest['decide_us']:.1f} microseconds at most in the mean of a run, "
        f"with up to {max(r['peak_workers'] for r in results):,} workers"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"results": results, "worst": cells}, indent=1) + "\n", encoding="utf-8")
    if arguments.plots:
        write_plots(results, arguments.plots, arguments.quota, arguments.target)
    print(f"{time.monotonic() - begin:.1f} s")
    return int(max(worst(results, mix)[0] for mix in MIXES) > BAR)


if __name__ == "__main__":
    sys.exit(main())
