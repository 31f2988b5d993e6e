"""Latency of calls on 10-row frames, and of the import: what a script of small frames pays.

python -m bench.small [--candidate terality] [--rounds 15]

Worker processes of the candidate and of plain pandas stay alive and take turns, one short block of a call at a time, so
that both see the same machine. Times are medians of the blocks' means, ratios medians of the turns' ratios. The
candidate runs in auto mode on plain pandas frames (no handle) and on frames made by ``DataFrame.from_pandas`` (handle),
there with ``execute`` on each result. Import times are of fresh processes that take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BARS = {"no handle": 1.1, "handle": 3.0, "import": 1.2}
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "df['a']": lambda df, right: df["a"],
    "df.a + 1": lambda df, right: df.a + 1,
    "groupby.sum": lambda df, right: df.groupby("c").sum(),
    "merge": lambda df, right: df.merge(right, on="c"),
    "repr": lambda df, right: repr(df),
}
ROOT = Path(__file__).resolve().parents[1]


# --- a worker process -------------------------------------------------------------------------------------------------
def serve(module: str, handle: bool) -> None:
    """Read ``call repeats`` lines and answer each with seconds per call."""
    pd = importlib.import_module(module)
    n = 10
    df = pd.DataFrame({"a": range(n), "b": [i / 4 for i in range(n)], "c": [i % 3 for i in range(n)]})
    right = pd.DataFrame({"c": [0, 1, 2], "w": [1.5, 2.5, 3.5]})
    whole: Callable[[Any], Any] = lambda result: result  # noqa: E731
    if handle:
        df, right = pd.DataFrame.from_pandas(df), pd.DataFrame.from_pandas(right)
        execute = pd.execute
        whole = lambda result: result if isinstance(result, str) else execute(result)  # noqa: E731
    for line in sys.stdin:
        name, repeats = line.rstrip("\n").split("\t")
        call, count = CALLS[name], int(repeats)
        began = time.perf_counter()
        for _ in range(count):
            whole(call(df, right))
        print(json.dumps((time.perf_counter() - began) / count), flush=True)


class Worker:
    """A live process that measures."""

    def __init__(self, module: str, handle: bool) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TERALITY_")}
        command = [sys.executable, "-m", "bench.small", "--serve", module, *(["--handle"] if handle else [])]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def measure(self, name: str, repeats: int) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{name}\t{repeats}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker died in {name}")
        return json.loads(answer)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(timeout=30)


# --- the measurement -------------------------------------------------------------------------------------------------
def latencies(candidate: str, rounds: int, generations: int = 3, block_s: float = 0.005) -> list[dict[str, Any]]:
    """Measure every call: plain pandas, and the candidate without and with a handle, in turns.

    Parameters
    ----------
    candidate : str
    rounds : int
        Turns of each generation.
    generations : int
        How often the processes are started anew, since two processes of one program may differ by their memory layout.
    block_s : float
        Seconds of one turn.

    Returns
    -------
    list of dict
        One per call: its name, median seconds of each kind and, for the candidate's kinds, ``"<kind> ratio"``.
    """
    kinds = {"pandas": ("pandas", False), "no handle": (candidate, False)}
    if candidate != "pandas":
        kinds["handle"] = (candidate, True)
    times: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in kinds} for name in CALLS}
    for _ in range(generations):
        workers = {kind: Worker(*how) for kind, how in kinds.items()}
        try:
            for name in CALLS:
                repeats = {}
                for kind, worker in workers.items():
                    worker.measure(name, 20)  # warm
                    repeats[kind] = max(3, int(block_s / worker.measure(name, 20)))
                for turn in range(rounds):
                    for kind in list(workers) if turn % 2 else list(reversed(workers)):
                        times[name][kind].append(workers[kind].measure(name, repeats[kind]))
        finally:
            for worker in workers.values():
                worker.close()
    rows = []
    for name, taken in times.items():
        row: dict[str, Any] = {"call": name, **{kind: statistics.median(t) for kind, t in taken.items()}}
        for kind in list(kinds)[1:]:
            row[f"{kind} ratio"] = statistics.median(a / b for a, b in zip(taken[kind], taken["pandas"], strict=True))
        rows.append(row)
    return rows


def import_times(candidate: str, rounds: int) -> dict[str, float]:
    """Median seconds a fresh process needs for the import, processes of both kinds in turns."""
    times: dict[str, list[float]] = {"pandas": [], candidate: []}
    text = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    for turn in range(rounds + 1):
        for module in list(times) if turn % 2 else list(reversed(times)):
            command = [sys.executable, "-c", text.format(module)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
            if turn:  # the first turn warms the file cache
                times[module].append(float(ran.stdout))
    return {module: statistics.median(t) for module, t in times.items()}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate", default="terality")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "small.json")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--handle", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve(args.serve, args.handle)
        return 0
    from .dbbench import machine

    facts = machine()
    rows = latencies(args.candidate, args.rounds)
    kinds = [k.removesuffix(" ratio") for k in rows[0] if k.endswith(" ratio")]
    print(f"10-row frames, microseconds, medians of 3 x {args.rounds} turns; {facts['cpu']}, {facts['date']}")
    print(f"{'':<14}{'pandas':>10}" + "".join(f"{k:>12}{'ratio':>8}{'bar':>6}" for k in kinds))
    for row in rows:
        line = f"{row['call']:<14}{row['pandas'] * 1e6:>10.1f}"
        for kind in kinds:
            ratio = row[f"{kind} ratio"]
            line += f"{row[kind] * 1e6:>12.1f}{ratio:>8.2f}{BARS[kind]:>6.1f}{'' if ratio <= BARS[kind] else ' MISSED'}"
        print(line)
    imports = import_times(args.candidate, max(9, args.rounds))
    ratio = imports[args.candidate] / imports["pandas"]
    verdict = "" if ratio <= BARS["import"] else " MISSED"
    shown = ", ".join(f"{module} {seconds * 1e3:.0f} ms" for module, seconds in imports.items())
    print(f"import: {shown}: ratio {ratio:.2f}, bar {BARS['import']}{verdict}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"benchmark": "small", "machine": facts, "calls": rows, "import_seconds": imports}
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
