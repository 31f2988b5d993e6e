"""Runs the example and the db-benchmark's questions in an AWS account that is stand-ins, from deploying to destroying.

Usage: python tools/run_aws.py [--workers 4] [--rows 1e6] [--scale 1] [--parts mix,ecs,ec2] [--start-scale 1]

The account is moto for control APIs, versitygw for data, and real worker processes wherever moto only says that
something runs (tests/deploy/standins.py); a scheduler stands outside of it. `terality deploy aws` deploys the template;
then come the parts, on workers that nothing but the scheduler's calls of AWS' API starts, after the published start
times. In "mix" it chooses among all kinds for examples/flights.py and the questions of the db-benchmark, in small
pieces; in "ecs", "ec2" and "function" it has that kind only, for queries of tests/deploy/workload.py ("ecs+" and so on:
for all that "mix" runs). Answers are compared with plain pandas'. Each part begins with no worker, and is over when the
last one has ended by itself. At last `terality destroy aws`: afterwards every call of the scheduler must be refused,
and the data be there.

Logs of the scheduler and of workers, and who ran when, are left in out/aws. Exit code 0: everything as it must be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.run_cluster import QUESTIONS, in_pieces  # noqa: E402

OUT = ROOT / "out" / "aws"
KINDS = {"function": "lambda", "ecs": "ecs", "ec2": "ec2"}  # as the settings name them
REST_SECONDS = 900.0  # until all have ended: idle minutes, and what AWS is asked now and then


class Timeline:
    """Who runs, looked at twice a second while the context lasts; a line whenever that has changed.

    Parameters
    ----------
    site : tests.deploy.site.Site
    """

    def __init__(self, site: Any):
        self.site, self.began = site, time.monotonic()
        self.most: Counter[str] = Counter()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Timeline:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.ending.set()
        self.thread.join()

    def begin_part(self) -> None:
        self.most = Counter()

    def _watch(self) -> None:
        before: dict[str, int] = {}
        with open(OUT / "workers.tsv", "w") as file:
            print("seconds", *KINDS, "tasks", "instances", sep="\t", file=file)
            while not self.ending.wait(0.5):
                workers, machines = self.site.workers(), self.site.machines()
                for kind, n in workers.items():
                    self.most[kind] = max(self.most[kind], n)
                now = {**workers, **machines}
                if now == before:
                    continue
                before, at = now, time.monotonic() - self.began
                print(f"{at:.1f}", *now.values(), sep="\t", file=file, flush=True)
                said = ", ".join(f"{n} {kind}" for kind, n in workers.items() if n) or "nobody"
                coming = machines["tasks"] + machines["desired"] - workers["ecs"] - workers["ec2"]
                said += f", {coming} on their way" if coming > 0 else ""
                print(f"run-aws: {at:6.1f} s  {said}", flush=True)


def commands(args: argparse.Namespace, data: Path, part: str) -> dict[str, list[str]]:
    """Give the programs of a part by name."""
    found = {}
    if part in KINDS:
        return {"workload": [sys.executable, "-m", "tests.deploy.workload", "--rows", "400000", "--rounds", "1"]}
    if float(args.scale) > 0:
        example = [sys.executable, str(ROOT / "tools" / "run_example.py"), "--data", str(data), "--quiet"]
        found["flights"] = [*example, "--home", str(OUT / f"flights-{part}")]
    if float(args.rows) > 0:
        bench = [sys.executable, "-m", "bench.dbbench", "--rows", args.rows, "--engines", "pandas,terality"]
        found["db-benchmark"] = [*bench, "--tasks", QUESTIONS, "--out", str(OUT / f"dbbench-{part}.json")]
    return found


def run_part(site: Any, part: str, args: argparse.Namespace, data: Path, timeline: Timeline) -> list[str]:
    """Run the programs of a part on its kinds of workers; give what went wrong."""
    kind = part.removesuffix("+")
    kinds = set(KINDS) if kind == "mix" else {kind}
    with site.only(*(KINDS[kind] for kind in kinds)):
        return run_on(site, kinds, part, args, data, timeline)


def run_on(
    site: Any, kinds: set[str], part: str, args: argparse.Namespace, data: Path, timeline: Timeline
) -> list[str]:
    """Run the programs from nobody to nobody; give what went wrong."""
    print(f"run-aws: == {part}: workers may be {', '.join(sorted(kinds))}; nobody runs", flush=True)
    timeline.begin_part()
    before, wrong = site.tasks(), []
    environment = {
        **site.connected(),
        "TERALITY_MIN_ROWS": "0",
        "TERALITY_TARGET_ROWS": str(args.target_rows),
        "TERALITY_PARTITIONS": str(args.partitions),
    }
    for name, command in commands(args, data, part).items():
        began = time.monotonic()
        with open(OUT / f"{name}-{part}.log", "wb") as log:
            failed = subprocess.run(command, env=environment, cwd=ROOT, stdout=log, stderr=log).returncode
        seconds = time.monotonic() - began
        print(f"run-aws: {part}: {name}: {'FAILED' if failed else 'equal to pandas'}, {seconds:.0f} s", flush=True)
        if failed:
            wrong.append(f"{part}: {name} (see {log.name})")
    done = site.tasks() - before
    print(f"run-aws: {part}: tasks done: {', '.join(f'{n} by {by}' for by, n in sorted(done.items()))}", flush=True)
    if not rest(site):
        wrong.append(f"{part}: not all workers ended: {site.workers()}, {site.machines()}")
    if set(+done) - kinds or not +done:
        wrong.append(f"{part}: tasks were done by {dict(done)}")
    if sum(timeline.most.values()) < 1 or max(timeline.most.values()) > args.workers:
        wrong.append(f"{part}: at most there were {dict(timeline.most)} workers")
    print(f"run-aws: {part}: 0 -> {dict(+timeline.most)} -> {sum(site.workers().values())} workers", flush=True)
    return wrong


def rest(site: Any) -> bool:
    """Wait until nobody runs, nothing is on its way and nothing costs money."""
    end, quiet = time.monotonic() + REST_SECONDS, 0
    while quiet < 5:
        quiet = quiet + 1 if site.at_rest() else 0
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def destroy(site: Any) -> list[str]:
    """Take the deployment away and look what is left; give what went wrong."""
    from tests.deploy.site import NAME, READING, calls_of_scheduler

    wrong = []
    bucket = site.profiles()[NAME]["store"].removeprefix("s3://")
    before = site.objects(bucket)
    allowed = site.scheduler_calls(bucket, READING)
    said = site.destroy()
    print(said, end="", flush=True)
    if not said.rstrip().endswith("access is gone"):
        wrong.append("destroy: access is not proven to be gone")
    after = site.scheduler_calls(bucket, calls_of_scheduler("", "", ""))
    print(f"run-aws: the scheduler's calls before: {allowed}", flush=True)
    print(f"run-aws: the scheduler's calls after: {after}", flush=True)
    good = all((text == "allowed") == (name != "ListObjects") for name, text in allowed.items())
    if not good or not all(text.startswith("AccessDenied") for text in after.values()):
        wrong.append(f"destroy: calls of the scheduler: before {allowed}, after {after}")
    kept = site.objects(bucket)
    sizes: Counter[str] = Counter()
    for key in kept:
        sizes[key.split("/")[0]] += kept[key]
    print("run-aws: the bucket has " + ", ".join(f"{k}/ {n:,} bytes" for k, n in sorted(sizes.items())), flush=True)
    if set(before) - set(kept):
        wrong.append(f"destroy: {len(set(before) - set(kept))} objects are gone from {bucket}")
    return wrong


def check_account(site: Any) -> list[str]:
    """What the stand-ins have noticed in all that time."""
    account, wrong = site.account, []
    for what, found in (("a bad signature", account.bad), ("a call that the scheduler's role may not make",
                        account.refused), ("an error of the stand-ins", account.faults_of_ours)):  # fmt: skip
        if found:
            wrong.append(f"{what}, {len(found)} times, the first: {found[0]}")
    return wrong


def run(args: argparse.Namespace) -> list[str]:
    """Do all of it; give what went wrong."""
    from tests.deploy.site import site as running

    data = in_pieces(args.scale, OUT / "flights", args.target_rows) if float(args.scale) > 0 else OUT
    with running(OUT, start_scale=args.start_scale) as site, Timeline(site) as timeline:
        print(f"run-aws: account at {site.account.url}, scheduler at {site.scheduler.url}, logs in {OUT}", flush=True)
        print(site.deploy("--max-workers", str(args.workers)), end="", flush=True)
        wrong = [] if rest(site) else ["deploy: the workers of the smoke query did not end"]
        for part in args.parts.split(","):
            wrong += run_part(site, part, args, data, timeline)
        wrong += check_account(site)
        return wrong + destroy(site)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, help="at most, all kinds together")
    parser.add_argument("--rows", default=os.environ.get("ROWS") or "1e6", help="of the db-benchmark; 0 leaves it out")
    parser.add_argument("--scale", default=os.environ.get("SCALE") or "1", help="of the flights; 0 leaves them out")
    parser.add_argument("--target-rows", type=int, default=50_000, help="rows per task")
    parser.add_argument("--partitions", type=int, default=16, help="tasks per stage at most")
    parser.add_argument("--parts", default="mix,ecs,ec2", help="mix, function, ecs, ec2, ecs+ ...")
    parser.add_argument("--start-scale", type=float, default=1.0, help="of the published start times")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # all that was started ends with this program
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    wrong = run(args)
    for text in wrong:
        print(f"run-aws: FAILED: {text}", flush=True)
    print("run-aws: " + ("everything equal" if not wrong else f"{len(wrong)} things went wrong"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
