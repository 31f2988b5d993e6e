"""The db-benchmark (group-by and join), three sorts and the readers: terality beside its peers, in one run.

python -m bench.dbbench --rows 1e7 --engines pandas,polars,duckdb,terality

Same files for all, each engine in its own process and environment, every task twice, results fully materialised,
answers compared. Ratios are of the better of two runs to the best peer's. The JSON goes to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import dbbench_data, environments
from .dbbench_run import GROUP_BY, JOINS, SORTS
from .fingerprint import Fingerprint, differences, value_differences

HERE = Path(__file__).resolve().parent
ENGINES = ["pandas", "polars", "duckdb", "terality"]
TASKS = ["read CSV", "read Parquet", *GROUP_BY, *SORTS, "write Parquet", *JOINS]
TOTALS = {"group-by total": GROUP_BY, "join total": JOINS, "sorts total": SORTS}
# Largest ratio of terality's time to the best peer's that issue 3 allows.
BARS = {
    "group-by total": 0.7,
    "join total": 0.8,
    "sorts total": 0.7,
    **dict.fromkeys(SORTS, 0.7),
    "read CSV": 1.0,
    "read Parquet": 1.2,
}


def run_engine(engine: str, files: dict[str, Path], tasks: list[str], threads: int) -> dict[str, Any]:
    """Run one engine's process; gives its result, or an ``error`` entry when the process died."""
    home = HERE / "data" / "answers" / engine
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    job = {"engine": engine, "files": {k: str(v) for k, v in files.items()}, "tasks": tasks, "threads": threads}
    (home / "job.json").write_text(json.dumps(job))
    python = environments.interpreter(engine.split("-")[0])
    print(f"{engine}:", flush=True)
    ran = subprocess.run([python, "-m", "bench.dbbench_run", str(home / "job.json")], cwd=environments.ROOT)
    if ran.returncode:
        return {"version": "?", "tasks": {}, "peak_mib": math.nan, "error": f"exit code {ran.returncode}"}
    return json.loads((home / "result.json").read_text())


def best(result: dict[str, Any], name: str) -> float:
    """Seconds of a task, or of the tasks of a total: the better of two runs; NaN when one is missing."""
    tasks = TOTALS.get(name, [name])
    times = [result["tasks"].get(t, {}).get("seconds") for t in tasks]
    return sum(min(t) for t in times) if all(t and len(t) == 2 for t in times) else math.nan


def checks(results: dict[str, dict[str, Any]]) -> list[str]:
    """Compare the engines' answers; gives one line per difference.

    Between engines: row counts, sums of all numeric columns, and the order of the sort keys. Between terality and
    pandas: everything, with ties in stable order.
    """
    wrong = []
    for task in TASKS:
        entries = {e: r["tasks"][task] for e, r in results.items() if "rows" in r["tasks"].get(task, {})}
        if not entries:
            continue
        reference = "pandas" if "pandas" in entries else next(iter(entries))
        for engine, entry in entries.items():
            wrong += [f"{task}: {engine} {text}" for text in _sums_differ(entry, entries[reference])]
    return wrong + _exact_differences(results)


def _sums_differ(entry: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    found = []
    if entry["rows"] != reference["rows"]:
        found.append(f"has {entry['rows']} rows, not {reference['rows']}")
    ours, theirs = entry["sums"], reference["sums"]
    if len(ours) != len(theirs) or not all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(ours, theirs, strict=True)):
        found.append(f"sums {ours} != {theirs}")
    if not math.isclose(entry.get("order_sum", 0), reference.get("order_sum", 0), rel_tol=1e-9):
        found.append("keys come in another order")
    return found


def _exact_differences(results: dict[str, dict[str, Any]]) -> list[str]:
    if "terality" not in results or "pandas" not in results:
        return []
    wrong = []
    for task, entry in results["terality"]["tasks"].items():
        reference = results["pandas"]["tasks"].get(task, {})
        kind = "oracle" if "oracle" in reference else "answer"
        if kind not in reference or "answer" not in entry:
            continue
        different, close = differences(Fingerprint.from_json(entry["answer"]), Fingerprint.from_json(reference[kind]))
        answers = HERE / "data" / "answers"
        files = [answers / "terality" / f"{task} answer.pickle", answers / "pandas" / f"{task} {kind}.pickle"]
        if all(f.exists() for f in files):
            frames = [pickle.loads(f.read_bytes()) for f in files]
            different, close = value_differences(*frames)
        entry["equal_to_pandas"] = not different
        entry["close_columns"] = close
        wrong += [f"{task}: terality differs from pandas: {text}" for text in different]
    return wrong


def table(results: dict[str, dict[str, Any]], shown: list[str]) -> str:
    """The report: both runs of every engine, the best peer, terality's ratio and its bar."""
    engines = list(results)
    peers = [e for e in engines if e != "terality"]
    head = f"{'':<18}" + "".join(f"{e:>19}" for e in engines) + f"{'best peer':>26}"
    lines = [head + (f"{'ratio':>8}{'bar':>6}" if "terality" in engines else "")]
    for name in [*shown, *TOTALS]:
        row = f"{name:<18}"
        for engine in engines:
            seconds = results[engine]["tasks"].get(name, {}).get("seconds", [])
            value = best(results[engine], name)
            text = " / ".join(f"{s:.3f}" for s in seconds) if seconds else f"{value:.3f}"
            row += f"{text if seconds or not math.isnan(value) else '-':>19}"
        known = [(best(results[p], name), p) for p in peers if not math.isnan(best(results[p], name))]
        if known:
            seconds, peer = min(known)
            row += f"{f'{peer} {seconds:.3f}':>26}"
            ours = best(results.get("terality", {"tasks": {}}), name)
            if not math.isnan(ours):
                row += f"{ours / seconds:>8.2f}" + _verdict(name, ours / seconds)
        lines.append(row)
    lines.append(f"{'peak MiB':<18}" + "".join(f"{results[e]['peak_mib']:>19,.0f}" for e in engines))
    return "\n".join(lines)


def _verdict(name: str, ratio: float) -> str:
    if name not in BARS:
        return ""
    return f"{BARS[name]:>6.1f} {'ok' if ratio <= BARS[name] else 'MISSED'}"


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cpu = next((s.split(":")[1].strip() for s in _lines("/proc/cpuinfo") if s.startswith("model name")), "")
    memory = next((int(s.split()[1]) // 1024 for s in _lines("/proc/meminfo") if s.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": memory,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--engines", default=",".join(ENGINES), help="also: polars-in-memory")
    parser.add_argument("--tasks", default="", help=f"separated by semicolons, all when left out: {'; '.join(TASKS)}")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "dbbench.json")
    args = parser.parse_args(argv)
    tasks = [t.strip() for t in args.tasks.split(";") if t.strip()] or TASKS
    files = dbbench_data.make(HERE / "data", int(args.rows))
    results = {e: run_engine(e, files, tasks, args.threads) for e in args.engines.split(",")}
    wrong = checks(results)
    facts = machine()
    print(f"\ndb-benchmark, {int(args.rows):,} rows; seconds, first / second run; ratio of the better runs")
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_mib']:,} MiB, {facts['date']}")
    print(", ".join(f"{e} {r['version']}" for e, r in results.items()))
    print(table(results, tasks))
    failed = [f"{e}: {r['error']}" for e, r in results.items() if "error" in r]
    failed += [f"{t}: {e}: {n['error']}" for e, r in results.items() for t, n in r["tasks"].items() if "error" in n]
    fallback = {
        t: n["fallback"] for t, n in results.get("terality", {"tasks": {}})["tasks"].items() if n.get("fallback")
    }
    print("answers: " + ("all equal" if not wrong and not failed else "; ".join(wrong + failed)))
    if "terality" in results:
        print("native: " + ("every task" if not fallback else f"fallback in {fallback}"))
    for result in results.values():
        for entry in result["tasks"].values():
            entry.pop("answer", None)
            entry.pop("oracle", None)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"benchmark": "dbbench", "rows": int(args.rows), "machine": facts, "differences": wrong + failed}
    args.out.write_text(json.dumps({**about, "engines": results}, indent=1) + "\n")
    return 1 if wrong or failed or fallback else 0


if __name__ == "__main__":
    sys.exit(main())
