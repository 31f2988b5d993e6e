"""All runs of runs.py, one line each: ``python -m tests.fault [--only TEXT] [--skip-s3]``.

Exit status 0 when every run gave the right answer, or a clear error where one is allowed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter

import terality

from tests.store import servers

from .runs import Runner, killer, scenarios


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="runs whose name holds this")
    parser.add_argument("--skip-s3", action="store_true", help="those on a folder only")
    parser.add_argument("--verbose", action="store_true", help="show what errors say")
    arguments = parser.parse_args()
    chosen = [s for s in scenarios() if arguments.only in s.name and not (s.s3 and arguments.skip_s3)]
    terality.options.mode = "native"
    verdicts: Counter[str] = Counter()
    bad = 0
    begin = time.monotonic()
    with contextlib.ExitStack() as running:
        server = running.enter_context(servers.versitygw()) if any(s.s3 for s in chosen) else None
        runner = Runner(running.enter_context(killer()), server)
        for number, scenario in enumerate(chosen, 1):
            outcome = runner.run(scenario)
            verdicts[outcome.verdict] += 1
            bad += not outcome.good
            killed = f", {outcome.killed} killed" if outcome.killed else ""
            print(f"{number:3} {scenario.name}: {outcome.verdict}{killed}, {outcome.seconds:.1f} s", flush=True)
            if outcome.detail and (arguments.verbose or not outcome.good):
                print("    " + outcome.detail.replace("\n", "\n    "), flush=True)
    told = ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items()))
    print(f"fault runs: {len(chosen)} in {time.monotonic() - begin:.0f} s: {told}")
    return 1 if bad or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
