"""How long queries would take on AWS, and what they would cost: the scheduler's own rule in a simulation.

    python -m bench.scale_sim [--target 30] [--quota 1] [--json FILE] [--plots FOLDER]

Scans, joins and sorts of 100 GB to 1 PB by Lambda only, EC2 only, Fargate only and our mixes. Nothing is measured on
AWS: start-up times, throughputs, request rates, limits and prices are published ones or assumptions, each with its
source in ``sim.c`` and ``src/scheduler/scale/prices.c``; docs/autoscaling.md discusses them. ``sim.c`` is compiled with
the system's C compiler together with ``src/scheduler/scale/scale.c``, so it is the very rule that the scheduler runs.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ("scan", "join", "sort")
SIZES = (1e11, 1e12, 1e13, 1e14, 1e15)
PURE = ("lambda", "ec2", "fargate")
MIXES = ("mix", "mix+fargate")
BAR = 1.10
SOURCES = ("bench/scale_sim/sim.c", "src/scheduler/scale/scale.c", "src/scheduler/scale/prices.c")


@dataclass(frozen=True)
class Run:
    """One query by one policy. `quota` times AWS' default limits; `target` in seconds."""

    shape: str
    size: float
    policy: str
    quota: float = 1
    target: float = 30
    timeline: bool = False


@cache
def _program() -> Path:
    """The compiled simulator, once per process."""
    folder = tempfile.mkdtemp(prefix="terality-scale-sim-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / "sim"
    sources = [str(ROOT / source) for source in SOURCES]
    compiler = os.environ.get("CC", "cc")
    command = [compiler, "-std=gnu17", "-O2", f"-I{ROOT / 'src'}", *sources, "-lm", "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise RuntimeError(f"the simulator does not compile:\n{built.stderr}")
    return program


def simulate(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """What becomes of each run: seconds, dollars, requests, workers.

    Parameters
    ----------
    runs
        In any order and number.

    Returns
    -------
    list of dict
        In the order of `runs`, as ``sim.c`` prints them, with "target" added.

    Raises
    ------
    RuntimeError
        When a query does not end in 30 days, or the simulator does not compile.
    """
    runs = list(runs)
    lines = [f"{r.shape} {r.shape} {r.size:.0f} {r.policy} {r.quota:g} {r.target:g} {int(r.timeline)}\n" for r in runs]
    done = subprocess.run([_program()], input="".join(lines), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [{**json.loads(line), "target": r.target} for line, r in zip(done.stdout.splitlines(), runs, strict=True)]


def by_workload(results: Iterable[dict[str, Any]]) -> dict[tuple[str, float], dict[str, dict[str, Any]]]:
    """Results of one quota and target, by (shape, bytes) and policy."""
    found: dict[tuple[str, float], dict[str, dict[str, Any]]] = {}
    for result in results:
        found.setdefault((result["shape"], result["bytes"]), {})[result["policy"]] = result
    return found


def beaten_by(mix: dict[str, Any], pure: dict[str, Any]) -> float:
    """How far the pure policy beats the mix in both: the lesser of the two ratios; below 1 it wins in one at most."""
    return min(mix["seconds"] / pure["seconds"], mix["usd"] / pure["usd"])


def worst(results: Iterable[dict[str, Any]], mix: str) -> tuple[float, str, str, float]:
    """The workload in which a pure policy comes closest to beating `mix`: (ratio, policy, shape, bytes)."""
    return max(
        (beaten_by(policies[mix], policies[pure]), pure, shape, size)
        for (shape, size), policies in by_workload(results).items()
        for pure in PURE
        if pure in policies
    )
