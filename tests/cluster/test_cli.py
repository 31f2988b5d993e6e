"""The command ``terality``: a cluster from its start to Ctrl-C, and every way to look at it meanwhile."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from terality.cli import main
from terality.remote.session import QueryError

from tests.scheduler.daemon import wait_for

FRAME = pd.DataFrame({"k": np.arange(500) % 7, "x": np.arange(500) * 0.5})


class Up:
    """``terality up`` as a shell would start it; its home is a folder of the test."""

    def __init__(self, folder: Path, workers: int):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "terality.cli", "up", "--workers", str(workers), "--store", str(folder / "store")],
            stdout=subprocess.PIPE,
            stderr=(folder / "up.log").open("wb"),
            text=True,
        )
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("Ctrl-C"):
                break

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TERALITY_HOME", str(tmp_path / "home"))
    for name in ("URL", "API_KEY", "DEPLOYMENT", "STORE", "PROFILE"):
        monkeypatch.delenv(f"TERALITY_{name}", raising=False)
    before, terality.options.mode = terality.options.mode, "native"
    yield tmp_path
    terality.disconnect()
    terality.options.mode = before


def command(capsys: Any, *words: str) -> tuple[int, str]:
    """Run a command of the profile that ``up`` writes; give status and what was printed."""
    capsys.readouterr()
    status = main(["--profile", "local", *words])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def test_from_up_to_ctrl_c(home: Path, capsys: Any) -> None:
    up = Up(home, 2)
    try:
        daemons = up.children()
        assert len(daemons) == 3, up.said
        config = home / "home" / "config"
        assert config.stat().st_mode & 0o777 == 0o600
        # The line to paste is Python, and works.
        line = next(said for said in up.said if said.startswith("connect:"))
        eval(line.removeprefix("connect:").strip(), {"terality": terality})
        terality.connect(profile="local", min_rows=0, options={"target_rows": 100})
        lazy = terality.from_pandas(FRAME)
        pd.testing.assert_series_equal(terality.to_pandas(lazy.groupby("k")["x"].sum()), FRAME.groupby("k")["x"].sum())
        terality.disconnect()
        status, text = command(capsys, "status")
        assert status == 0 and "capacity" in text and text.count("local") >= 2
        status, text = command(capsys, "queries")
        query, *_ = re.findall(r"q[0-9a-f]{16}", text)
        assert status == 0 and "done" in text
        status, text = command(capsys, "cancel", query)
        assert (status, text) == (0, f"{query}: done\n")
        status, text = command(capsys, "cancel", "q0123456789abcdef")
        assert status == 1 and "404" in text and re.search(r"request [0-9a-f]{16}", text)
        _keys(capsys)
        status, text = command(capsys, "doctor")
        assert status == 0 and "written, read, deleted" in text and "terality-worker: /" in text
        status, text = command(capsys, "audit", "--bodies")
        assert status == 0 and "POST /v1/queries" in text and '"plan"' in text
        assert re.search(r"\n\d+ bytes left for the scheduler in all\n$", text)
        assert config.read_text().split("api_key = ")[1].split()[0] not in text
        assert up.stop() == 0
        for pid in daemons:
            wait_for(lambda pid=pid: not _runs(pid))
        status, text = command(capsys, "audit")
        assert status == 0 and "POST /v1/lease" in text  # the workers wrote theirs when they ended
    finally:
        up.stop()


def _runs(pid: int) -> bool:
    try:
        return b"terality" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def _keys(capsys: Any) -> None:
    status, text = command(capsys, "keys", "create", "second")
    made, number = re.findall(r"(trk_\S+) .*id ([^;]+);", text)[0]
    assert status == 0
    status, text = command(capsys, "keys", "list")
    assert status == 0 and number in text and "second" in text and made not in text
    assert command(capsys, "keys", "revoke", number) == (0, f"{number}: revoked\n")
    status, text = command(capsys, "keys", "revoke")
    assert status == 1 and "which?" in text
    status, text = command(capsys, "keys", "list")
    row = next(line for line in text.splitlines() if number in line)
    assert not row.rstrip().endswith("-")


def test_cancel_ends_a_query_that_runs(home: Path, capsys: Any) -> None:
    up = Up(home, 0)
    try:
        terality.connect(profile="local", min_rows=0)
        outcome: list[Any] = []

        def ask() -> None:
            try:
                outcome.append(terality.to_pandas(terality.from_pandas(FRAME).groupby("k")["x"].sum()))
            except Exception as fault:
                outcome.append(fault)

        thread = threading.Thread(target=ask)
        thread.start()
        query = wait_for(lambda: re.findall(r"q[0-9a-f]{16}", command(capsys, "queries")[1]))[0]
        status, text = command(capsys, "cancel", query)
        assert status == 0 and "cancelled" in text
        thread.join(120)
        assert isinstance(outcome[0], QueryError) and query in str(outcome[0]) and "cancelled" in str(outcome[0])
    finally:
        assert up.stop() == 0


def test_a_reader_that_has_enough() -> None:
    program = """
import sys
from terality import cli

def doctor(arguments):
    print("x" * 100000, flush=True)

cli.doctor = doctor
sys.exit(cli.main(["doctor"]))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as told:
        assert told.stdout is not None and told.stderr is not None
        told.stdout.close()
        assert (told.stderr.read(), told.wait()) == (b"", 1)


def test_without_a_cluster_it_says_so(home: Path, capsys: Any) -> None:
    for words in (("status",), ("queries",), ("keys", "list"), ("audit",)):
        status, text = command(capsys, *words)
        assert status == 1 and text.startswith("terality: ") and "local" in text, words
