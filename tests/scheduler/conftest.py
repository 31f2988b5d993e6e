"""Fixtures: a scheduler for all tests of a module, tenants on it, a sealed plan."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from terality import _engine

from .daemon import Scheduler, Tenant

KEY = b"k" * 32
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    running = Scheduler(tmp_path_factory.mktemp("scheduler") / "data").start()
    yield running
    running.stop()


@pytest.fixture
def own_scheduler(tmp_path):
    """One that the test may kill."""
    running = Scheduler(tmp_path / "data", "--lease-ms", "1500", "--grace-ms", "400").start()
    yield running
    running.stop()


@pytest.fixture
def tenant(scheduler):
    return Tenant(scheduler, f"tenant{next(NUMBERS)}")


@pytest.fixture(scope="session")
def plans():
    """Sealed plans by name."""
    folder = Path(__file__).resolve().parents[1] / "data" / "plans_v1"
    return {path.stem: _engine.seal_plan(path.read_text().strip(), KEY) for path in sorted(folder.glob("*.json"))}


@pytest.fixture(scope="session")
def group_plan(plans):
    return plans["group"]
