"""A few of the runs of ``make fault-tests``, one of each kind; and that the scenarios are as many as they should be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import terality

from tests.store import servers

from .runs import Runner, killer, scenarios

ALL = {scenario.name: scenario for scenario in scenarios()}
SAMPLE = [
    "worker killed after link:/commit/ number 1",
    "worker killed before send number 3",
    "scheduler killed before fdatasync 5",
    "scheduler killed before sendmsg 5",
    "fault filter read:4:short",
    "S3: truncate, every ninth",
    "S3: answers to commits lost",
    "network: ends after 9 kB, four of ten connections",
]


@pytest.fixture(scope="module")
def s3() -> Iterator[servers.Server]:
    try:
        servers.toxiproxy_binary()
        with servers.versitygw() as server:
            yield server
    except servers.Unavailable as error:
        pytest.skip(f"versitygw or toxiproxy: {error}")


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    before, terality.options.mode = terality.options.mode, "native"
    yield
    terality.options.mode = before


@pytest.mark.parametrize("name", SAMPLE)
def test_a_run_ends_well(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = ALL[name]
    server = request.getfixturevalue("s3") if scenario.s3 else None
    for variable, value in (server.environment if server else {}).items():
        monkeypatch.setenv(variable, value)
    with killer() as library:
        outcome = Runner(library, server).run(scenario)
    assert outcome.good, f"{outcome.verdict}: {outcome.detail}"


def test_there_are_sixty_runs() -> None:
    assert len(ALL) == len(scenarios()) >= 60
    kinds = [bool(s.worker) + 2 * bool(s.scheduler) for s in ALL.values()]
    assert kinds.count(1) >= 20 and kinds.count(2) >= 10 and kinds.count(0) >= 20
