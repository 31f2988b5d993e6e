"""A long run of generated programs: ``python -m tests.parity --programs 20000 --seed 0``.

Prints every kind of difference once, cut down, as a script that shows it; then how many programs agreed and which
share of the calls the engine served.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import pickle
import re
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import terality

from .generate import random_program
from .programs import CONFIGURATIONS, Program, differences, script
from .shrink import shrink

CHUNK = 250
"""Programs per child process: a crash ends one chunk, and the run goes on behind it."""


def signature(found: str) -> str:
    """Give the kind of a difference: the operation without variables, labels and values."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "_", found)
    text = re.sub(r"\b(v|df)\d+\b", "_", text)
    text = re.sub(r"-?\d[\w.+-]*", "0", text)
    return re.sub(r"(_, )+_", "_", text)[:160]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--programs", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first program; each has its own")
    parser.add_argument("--configuration", choices=[*CONFIGURATIONS, "every"], default="default")
    parser.add_argument("--most", type=int, default=40, help="stop after this many kinds of difference")
    parser.add_argument("--out", type=Path, default=Path("out/parity"), help="where scripts are left")
    parser.add_argument("--reasons", type=int, default=25, help="how many reasons of fallbacks to print")
    return parser.parse_args()


def watch_fallbacks() -> Counter[str]:
    """Count why pandas served calls."""
    reasons: Counter[str] = Counter()
    original = terality.fallback.on_fallback

    def counting(name: str, reason: str | None, subject: Any, carries: bool) -> None:
        reasons[f"{name}: {reason or 'no native version'}"] += 1
        original(name, reason, subject, carries)

    terality.fallback.on_fallback = counting
    terality.patch._configure()
    return reasons


@dataclass
class Totals:
    """What a run found."""

    programs: int = 0
    steps: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: Totals) -> None:
        """Add what a chunk found."""
        self.programs += other.programs
        self.steps += other.steps
        self.seen.update(other.seen)
        self.calls.update(other.calls)
        self.reasons.update(other.reasons)


def main() -> int:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    terality.registry.load_handlers()  # once, so that every chunk runs the same code
    totals = Totals()
    begin = time.monotonic()
    seed, end = args.seed, args.seed + args.programs
    while seed < end and len(totals.seen) < args.most:
        chunk = range(seed, min(seed + CHUNK, end))
        found = in_child(chunk, args, totals.seen)
        if isinstance(found, str):
            crashed = int((args.out / "current.py").read_text(encoding="utf-8").split()[2])
            totals.seen[f"the process ended at seed {crashed}"] += 1
            path = args.out / f"crash{crashed}.py"
            (args.out / "current.py").rename(path)
            print(f"\n---- seed {crashed}: the process ended, {found}; see {path}", flush=True)
            totals.programs += crashed + 1 - seed
            seed = crashed + 1
        else:
            totals.add(found)
            seed = chunk.stop
        rate = totals.programs / (time.monotonic() - begin)
        wrong = f"{sum(totals.seen.values())} differ in {len(totals.seen)} ways"
        print(f"{totals.programs} programs, {wrong}, {rate:.0f}/s", file=sys.stderr, flush=True)
    summary(totals, args.reasons)
    return 1 if totals.seen else 0


def in_child(seeds: range, args: argparse.Namespace, seen: Counter[str]) -> Totals | str:
    """Run programs in a process of their own; how it ended when it did not live to tell."""
    left = args.out / "chunk.pickle"
    left.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:  # nothing may leave this block: the child would go on as its parent
            faulthandler.enable(sys.__stderr__ or 2)
            left.write_bytes(pickle.dumps(run_chunk(seeds, args, seen)))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if left.exists():
        return pickle.loads(left.read_bytes())  # type: ignore[no-any-return]
    # the watchdog of run_chunk ends a process with status 1, also when the machine stood still for so long
    return signal.Signals(-ended).name if ended < 0 else f"status {ended}"


def run_chunk(seeds: range, args: argparse.Namespace, seen: Counter[str]) -> Totals:
    """Run programs; kinds of difference that were seen before are counted, not printed."""
    totals = Totals(reasons=watch_fallbacks())
    current = args.out / "current.py"
    known = set(seen)
    for seed in seeds:
        faulthandler.dump_traceback_later(120, exit=True)
        current.write_text(f"# seed {seed}\n", encoding="utf-8")
        program = random_program(seed)
        totals.programs += 1
        totals.steps += len(program.steps)
        for configuration in CONFIGURATIONS if args.configuration == "every" else [args.configuration]:
            current.write_text(f"# seed {seed}\n" + script(program, configuration), encoding="utf-8")
            terality.report().reset()
            found = differences(program, configuration)
            count(totals.calls)
            if found:
                kind = signature(found[0])
                totals.seen[kind] += 1
                if kind not in known:
                    known.add(kind)
                    report(program, configuration, found, kind, args.out)
                break
    faulthandler.cancel_dump_traceback_later()
    return totals


def count(calls: Counter[str]) -> None:
    for name, one in terality.report().calls.items():
        calls[f"{name} native"] += one.native
        calls[f"{name} pandas"] += one.fallback


def report(program: Program, configuration: str, found: list[str], kind: str, out: Path) -> None:
    """Print a difference of a new kind, cut down."""

    def fails(smaller: Program) -> bool:
        try:
            now = differences(smaller, configuration)
        except Exception:
            return False
        return bool(now) and signature(now[0]) == kind

    small = shrink(program, fails)
    text = script(small, configuration)
    left = differences(small, configuration) or found
    path = out / f"seed{program.seed}.py"
    path.write_text(f"# {left[0]}\n{text}", encoding="utf-8")
    print(f"\n---- seed {program.seed}, {configuration}: {left[0]}\n{text}", flush=True)


def summary(totals: Totals, most: int) -> None:
    native = sum(n for name, n in totals.calls.items() if name.endswith(" native"))
    others = sum(n for name, n in totals.calls.items() if name.endswith(" pandas"))
    print("\nfallbacks by reason")
    for reason, n in totals.reasons.most_common(most):
        print(f"{n:8}  {reason[:150]}")
    print("\nkinds of difference")
    for kind, n in totals.seen.most_common():
        print(f"{n:8}  {kind}")
    share = 100 * native / max(1, native + others)
    wrong = f"{sum(totals.seen.values())} differ in {len(totals.seen)} ways"
    print(f"\n{totals.programs} programs, {totals.steps} statements, {wrong}; {share:.1f} % of calls native")


if __name__ == "__main__":
    sys.exit(main())
