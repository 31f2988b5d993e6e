"""The line that shows how far a query on a cluster is."""

from __future__ import annotations

import io

import pytest
from terality.remote import progress
from terality.remote.progress import Progress, amount

STATE = {
    "state": "running",
    "stages": [
        {"tasks": 4, "done": 4, "rows": 16_800_000, "bytes": 3 << 30},
        {"tasks": 8, "done": 2, "rows": 1200, "bytes": 500},
        {"tasks": 1, "done": 0, "rows": 0, "bytes": 0},
    ],
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_stages_tasks_rows_bytes_and_the_time_left() -> None:
    line = Progress(Terminal()).line(STATE, 6.0)
    assert line == "terality: stage 2/3, 6/13 tasks, 16.8M rows, 3.22GB, 6 s, about 7 s left"
    last = {"stages": [{"tasks": 2, "done": 2, "rows": 5, "bytes": 9}]}
    assert Progress(Terminal()).line(last, 1.0) == "terality: stage 1/1, 2/2 tasks, 5 rows, 9B, 1 s"


@pytest.mark.parametrize(("n", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (1_234_567, "1.23M"), (2e12, "2T")])
def test_amounts(n: float, text: str) -> None:
    assert amount(n) == text


def test_it_is_shown_on_terminals_only_after_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    quiet, terminal = io.StringIO(), Terminal()
    shown = [Progress(quiet), Progress(terminal)]
    for one in shown:
        one.show(STATE)
    assert terminal.getvalue() == ""
    now = 100.6
    for one in shown:
        one.show(STATE)
    assert terminal.getvalue().startswith("\r\x1b[Kterality: stage 2/3")
    length = len(terminal.getvalue())
    now = 100.65  # not rewritten more often than ten times a second
    shown[1].show(STATE)
    assert len(terminal.getvalue()) == length
    for one in shown:
        one.close()
    assert terminal.getvalue().endswith("\r\x1b[K") and quiet.getvalue() == ""
