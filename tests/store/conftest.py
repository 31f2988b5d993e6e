"""Servers as fixtures; a test is skipped, with the reason, where its server cannot be had."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("store_servers", Path(__file__).with_name("servers.py"))
assert _spec and _spec.loader
servers: Any = importlib.util.module_from_spec(_spec)
import sys  # noqa: E402

sys.modules["store_servers"] = servers
_spec.loader.exec_module(servers)


def _start(name: str) -> Iterator[Any]:
    try:
        with servers.STARTERS[name]() as server:
            yield server
    except servers.Unavailable as error:
        pytest.skip(f"{name}: {error}")


@pytest.fixture(scope="session")
def versitygw() -> Iterator[Any]:
    yield from _start("versitygw")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Any]:
    yield from _start("azurite")


@pytest.fixture
def s3(versitygw: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket; the environment says how to reach it."""
    for name, value in versitygw.environment.items():
        monkeypatch.setenv(name, value)
    return "s3://tables"
