"""A sample of generated programs under every configuration; `python -m tests.parity` runs many more."""

from __future__ import annotations

import argparse
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
import terality

from . import __main__ as long_run
from .generate import random_program
from .programs import CONFIGURATIONS, differences, script

SHARE = 5 if os.environ.get("TERALITY_SANITIZED") == "1" else 1
BATCH = 25
SAMPLE = 300 // SHARE
SAMPLE_OF_EACH = 50 // SHARE


def check(seeds: range, configuration: str) -> None:
    """Fail with a script for the first program that differs."""
    for seed in seeds:
        program = random_program(seed)
        found = differences(program, configuration)
        if found:
            pytest.fail(f"seed {seed}, {configuration}: {found[0]}\n{script(program, configuration)}")


def batches(n: int) -> list[range]:
    return [range(start, min(start + BATCH, n)) for start in range(0, n, BATCH)]


@pytest.mark.parametrize("seeds", batches(SAMPLE), ids=str)
def test_programs(seeds: range) -> None:
    check(seeds, "default")


@pytest.mark.parametrize("seeds", batches(SAMPLE_OF_EACH), ids=str)
@pytest.mark.parametrize("configuration", [name for name in CONFIGURATIONS if name != "default"])
def test_configurations(configuration: str, seeds: range) -> None:
    check(seeds, configuration)


def test_most_calls_are_native() -> None:
    """The sample would show nothing if pandas served it."""
    terality.report().reset()
    for seed in range(SAMPLE // 2):
        differences(random_program(seed))
    assert terality.report().share > 0.7


def test_the_oracle_is_pandas() -> None:
    """With mode off nothing is counted as native, and no object carries a plan."""
    terality.report().reset()
    terality.options.mode = "off"
    try:
        for seed in range(20):
            random_program(seed)
        assert terality.report().native == 0
    finally:
        terality.options.mode = "auto"


def test_a_long_run_says_how_a_process_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = argparse.Namespace(out=tmp_path)
    monkeypatch.setattr(long_run, "run_chunk", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert long_run.in_child(range(1), arguments, Counter()) == "SIGTERM"
    monkeypatch.setattr(long_run, "run_chunk", lambda *_: os._exit(3))
    assert long_run.in_child(range(1), arguments, Counter()) == "status 3"
