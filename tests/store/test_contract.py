"""The stores' contract (tests/unit/store/test_store.c) on the servers that `make test` leaves out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = os.environ.get("TERALITY_STORE_TEST")


@pytest.mark.cluster
@pytest.mark.parametrize("faults", ["", "read:5:fail,read:7:short,stat:3:fail,part:2:lost,list:2:lost"])
@pytest.mark.parametrize("server", ["seaweedfs", "azurite"])
def test_contract(server: str, faults: str) -> None:
    if not PROGRAM:
        pytest.skip("TERALITY_STORE_TEST names no program: run `make cluster-tests`")
    runner = Path(__file__).with_name("with_server.py")
    environment = {**os.environ, "TERALITY_TEST_FAULTS": faults} if faults else dict(os.environ)
    done = subprocess.run(
        [sys.executable, runner, server, PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
