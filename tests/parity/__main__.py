"""A long run of generated programs: ``python -m tests.parity --programs 20000 --seed 0``.

Prints every kind of difference once, cut down, as a script that shows it; then how many programs agreed and which
share of the calls the engine served.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import terality

from .generate import random_program
from .programs import CONFIGURATIONS, Program, differences, script
from .shrink import shrink


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
    reasons: Counter[str] = collections.Counter()
    original = terality.fallback.on_fallback

    def counting(name: str, reason: str | None, subject: Any, carries: bool) -> None:
        reasons[f"{name}: {reason or 'no native version'}"] += 1
        original(name, reason, subject, carries)

    terality.fallback.on_fallback = counting
    terality.patch._configure()
    return reasons


def main() -> int:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    reasons = watch_fallbacks()
    seen: Counter[str] = collections.Counter()
    steps = 0
    begin = time.monotonic()
    current = args.out / "current.py"
    calls: Counter[str] = collections.Counter()
    for number in range(args.programs):
        seed = args.seed + number
        faulthandler.dump_traceback_later(120, exit=True)
        program = random_program(seed)
        steps += len(program.steps)
        configurations = CONFIGURATIONS if args.configuration == "every" else [args.configuration]
        for configuration in configurations:
            current.write_text(f"# seed {seed}\n" + script(program, configuration), encoding="utf-8")
            terality.report().reset()
            found = differences(program, configuration)
            count(calls)
            if found and report(program, configuration, found, seen, args.out):
                break
        if len(seen) >= args.most:
            break
        if number % 500 == 499:
            rate = (number + 1) / (time.monotonic() - begin)
            print(
                f"{number + 1} programs, {sum(seen.values())} differ in {len(seen)} ways, {rate:.0f}/s",
                file=sys.stderr,
                flush=True,
            )
    faulthandler.cancel_dump_traceback_later()
    summary(number + 1, steps, seen, calls, reasons, args.reasons)
    return 1 if seen else 0


def count(calls: Counter[str]) -> None:
    for name, one in terality.report().calls.items():
        calls[f"{name} native"] += one.native
        calls[f"{name} pandas"] += one.fallback


def report(program: Program, configuration: str, found: list[str], seen: Counter[str], out: Path) -> bool:
    """Print a difference of a new kind, cut down."""
    kind = signature(found[0])
    seen[kind] += 1
    if seen[kind] > 1:
        return True

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
    return True


def summary(
    programs: int, steps: int, seen: Counter[str], calls: Counter[str], reasons: Counter[str], most: int
) -> None:
    native = sum(n for name, n in calls.items() if name.endswith(" native"))
    others = sum(n for name, n in calls.items() if name.endswith(" pandas"))
    print("\nfallbacks by reason")
    for reason, n in reasons.most_common(most):
        print(f"{n:8}  {reason[:150]}")
    print("\nkinds of difference")
    for kind, n in seen.most_common():
        print(f"{n:8}  {kind}")
    share = 100 * native / max(1, native + others)
    print(
        f"\n{programs} programs, {steps} statements, {sum(seen.values())} differ in {len(seen)} ways; "
        f"{share:.1f} % of calls native"
    )


if __name__ == "__main__":
    sys.exit(main())
