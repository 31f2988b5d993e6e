#!/usr/bin/env python3
"""Runs every test of the project, stage by stage, and ends with the line `N passed, N failed`.

A stage that fails or cannot be built counts as failed tests and does not keep later stages from running. Counts
come from machine-readable results: meson's testlog.json (and the cmocka cases inside it) and pytest's JUnit XML.
Exit status 0 only if nothing failed and something ran.

Stages: `arch` (floors), `build` (the package, counted only when it fails), `units` (cmocka under ASan+UBSan),
`python` (pytest over tests/ with the installed package), `sanitized` (pytest over tests/parity with an
ASan+UBSan build of the extension). `test_all.py STAGE…` runs only those.

VENV and BUILD say where things are, JOBS how many processes to use (default: the cores). TERALITY_SANITIZED=1 is
set in the last stage, so that generated tests can take a smaller sample there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = (ROOT / os.environ.get("VENV", ".venv")).resolve()
BUILD = (ROOT / os.environ.get("BUILD", "build")).resolve()
JOBS = os.environ.get("JOBS") or str(min(len(os.sched_getaffinity(0)), 8))
RESULTS = ROOT / "out" / "test"
SANITIZED = BUILD / "asan"
PYTHON = VENV / "bin" / "python"
ENVIRONMENT = {**os.environ, "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}", "VENV": str(VENV), "BUILD": str(BUILD)}


@dataclass
class Count:
    """What a stage found; `note` says why, when the numbers do not."""

    passed: int = 0
    failed: int = 0
    note: str = ""


def run(*command: object, **environment: str) -> int:
    """Runs a command with its output shown; gives its exit status."""
    words = [str(word) for word in command]
    print("+", " ".join(words), flush=True)
    return subprocess.run(words, cwd=ROOT, env={**ENVIRONMENT, **environment}, check=False).returncode


def meson_count(log: Path, status: int) -> Count:
    """Counts cmocka cases inside each meson test; a program that died without a failed case counts as one failure."""
    count = Count()
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            text = record.get("stdout", "") + "\n" + record.get("stderr", "")
            passed = sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test", text)))
            failed = sum(map(int, re.findall(r"\[  FAILED  \] (\d+) test", text)))
            good = record["result"] in ("OK", "EXPECTEDFAIL")
            if record["result"] == "SKIP":
                continue
            count.passed += passed or (1 if good else 0)
            count.failed += 0 if good else max(1, failed)
    if status and not count.failed:
        count.failed, count.note = 1, f"meson test ended with status {status}"
    return count


def junit_count(report: Path, status: int) -> Count:
    """Counts pytest's cases; errors (also of collection and of fixtures) are failures, skips are neither."""
    count = Count()
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            count.passed += max(0, total - skipped - failed)
            count.failed += failed
    if status == 5:
        count.note = "no tests there"
    elif status and not count.failed:
        count.failed, count.note = 1, f"pytest ended with status {status}"
    return count


def pytest(name: str, *arguments: object, **environment: str) -> Count:
    report = RESULTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    status = run(
        PYTHON,
        "-m",
        "pytest",
        "-q",
        f"--junit-xml={report}",
        "-m",
        "not slow and not cluster and not artifacts",
        *arguments,
        **environment,
    )
    return junit_count(report, status)


def arch() -> Count:
    return pytest("arch", "tests/arch")


def build() -> Count:
    status = run("tools/build.sh")
    return Count(0, 1 if status else 0, "terality cannot be installed" if status else "")


def sanitized_build() -> str:
    """Compiles engine, unit tests and extension with ASan+UBSan; gives what failed, or an empty text."""
    options = ["-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dwerror=true"]
    options += ["-Dunit_tests=true", "-Dfuzzers=true", "-Dpython.platlibdir=/site", "-Dpython.purelibdir=/site"]
    if run("tools/configure.sh", SANITIZED, *options):
        return "meson setup failed"
    # Keep going: one module that does not compile must not hide the tests of the others.
    return "compiling failed" if run("ninja", "-C", SANITIZED, "--quiet", "-k", "0", f"-j{JOBS}") else ""


def units() -> Count:
    log = SANITIZED / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    trouble = sanitized_build()
    if trouble == "meson setup failed":
        return Count(0, 1, trouble)
    listed = subprocess.run(
        ["meson", "introspect", "--tests", SANITIZED], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and json.loads(listed.stdout) == []:
        return Count(0, 1 if trouble else 0, trouble or "no tests there")
    status = run(
        *("meson", "test", "-C", SANITIZED, "--no-rebuild", "--print-errorlogs"),
        *("--num-processes", JOBS, "--timeout-multiplier", "4"),
        ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1",
        UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
    )
    count = meson_count(log, status)
    if trouble:
        count.failed, count.note = max(1, count.failed), trouble
    return count


def python() -> Count:
    return pytest("python", "-n", JOBS, "tests", "--ignore=tests/arch/test_floors.py")


def runtime(name: str) -> str:
    """Full path of one of gcc's sanitizer runtimes."""
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def sanitized() -> Count:
    if not any((ROOT / "tests" / "parity").rglob("test_*.py")):
        return Count(note="no tests there")
    trouble = sanitized_build()
    if trouble:
        return Count(0, 1, trouble)
    site = SANITIZED / "root" / "site"
    shutil.rmtree(SANITIZED / "root", ignore_errors=True)
    if run("meson", "install", "-C", SANITIZED, "--no-rebuild", "--quiet", "--destdir", SANITIZED / "root"):
        return Count(0, 1, "meson install failed")
    if not list((site / "terality").glob("_engine*.so")):
        return Count(note="no extension yet")
    # Python and Arrow free little at exit, so leaks are looked for in the unit tests only. Their own allocators
    # would hide overflows of foreign buffers from ASan. pytest must leave file descriptor 2 alone, or what a
    # sanitizer writes before it ends the process is lost.
    return pytest(
        "sanitized",
        *("-n", JOBS, "--capture=sys", "tests/parity", "tests/scheduler", "tests/worker"),
        PYTHONPATH=str(site),
        LD_PRELOAD=f"{runtime('libasan.so')}:{runtime('libubsan.so')}",
        ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:handle_segv=1",
        UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
        PYTHONMALLOC="malloc",
        ARROW_DEFAULT_MEMORY_POOL="system",
        TERALITY_SANITIZED="1",
    )


STAGES: dict[str, tuple[str, Callable[[], Count]]] = {
    "arch": ("the floors and the shape of the house", arch),
    "build": ("terality, installed into the virtualenv", build),
    "units": ("C unit tests under ASan and UBSan", units),
    "python": ("pytest with the installed package", python),
    "sanitized": ("parity tests on an ASan and UBSan build of the extension, daemons of that build", sanitized),
}


def main(names: list[str]) -> int:
    RESULTS.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Count] = {}
    for name in names or STAGES:
        title, stage = STAGES[name]
        print(f"\n== {name}: {title}", flush=True)
        begin = time.monotonic()
        try:
            counts[name] = stage()
        except Exception as error:
            counts[name] = Count(0, 1, f"{type(error).__name__}: {error}")
        count = counts[name]
        note = f" ({count.note})" if count.note else ""
        print(f"== {name}: {count.passed} passed, {count.failed} failed{note}, {time.monotonic() - begin:.0f} s")
    passed = sum(count.passed for count in counts.values())
    failed = sum(count.failed for count in counts.values())
    if not passed and not failed:
        failed = 1
    print(
        "\n" + "\n".join(f"{name:<10}{c.passed:>7} passed {c.failed:>5} failed  {c.note}" for name, c in counts.items())
    )
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
