"""A few generated programs on a cluster, three rows to a task; ``make run-cluster ARGS="--parity 2000"`` runs many."""

from __future__ import annotations

from typing import Any

import pytest
import terality
from terality.cluster.processes import LocalCluster

from tests.parity.generate import random_program
from tests.parity.programs import differences, script

from .conftest import connect

FOUND = [5000047, 5000243, 5000347]
"""Seeds of programs that once differed: tables put behind each other that share their rows."""


@pytest.mark.parametrize("seed", [*FOUND, *range(5000000, 5000012)])
def test_a_program_gives_pandas_answer(cluster: LocalCluster, seed: int) -> None:
    program = random_program(seed)
    session: Any = connect(cluster, target_rows=3, partitions=16, broadcast_rows=0)
    try:
        assert not differences(program, "default"), script(program, "default")
    finally:
        terality.disconnect()
    assert session.queries >= 0
