"""The process pool of the suite: a crash or a hang costs the one test that was running, and the chunk resumes after it.

Each chunk of test files runs in a fresh process (`worker.py`) that appends events to a file. When the process ends
without its last event, or writes nothing for `Job.patience_s`, the test whose start was written last is recorded as
``crashed`` or ``hung`` and a new process takes the rest. Every chunk therefore ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from . import selection


@dataclasses.dataclass(frozen=True)
class Job:
    """What is the same for all chunks of a run."""

    tree: Path  # as made by rewrite.tree
    module: str  # the candidate
    preload: tuple[str, ...] = ()  # "module" or "module:function", before anything else
    mode: str = ""  # TERALITY_MODE; "" leaves it unset
    sample: float = 1.0
    patience_s: float = 120.0


@dataclasses.dataclass
class Outcome:
    """How one test ended: passed, failed, skipped, xfailed, crashed or hung."""

    outcome: str
    message: str = ""


@dataclasses.dataclass
class Run:
    """What a whole run gives."""

    outcomes: dict[str, Outcome] = dataclasses.field(default_factory=dict)
    counters: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


class _Chunk:
    """Some files in the hands of one process at a time."""

    def __init__(self, job: Job, files: list[str], folder: Path, done: dict[str, Outcome] | None = None) -> None:
        self.job, self.files, self.folder = job, files, folder
        self.folder.mkdir()
        self.done: dict[str, Outcome] = done or {}
        self.rest: list[list[str]] = []  # files that need processes of their own
        self.counters: list[dict[str, list[int]]] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.attempt = 0

    def start(self) -> None:
        self.attempt += 1
        self.events = self.folder / f"events-{self.attempt}.jsonl"
        self.events.touch()
        spec = {
            "tree": str(self.job.tree),
            "module": self.job.module,
            "preload": self.job.preload,
            "files": self.files,
            "sample": self.job.sample,
            "done": sorted(self.done),
            "marks_left_out": selection.MARKS_LEFT_OUT,
            "events": str(self.events),
        }
        (self.folder / "job.json").write_text(json.dumps(spec))
        environment = {"TERALITY_QUIET": "1", **os.environ, "PYTHONHASHSEED": "0"}
        environment.pop("TERALITY_MODE", None)
        if self.job.mode:
            environment["TERALITY_MODE"] = self.job.mode
        with open(self.folder / f"output-{self.attempt}.txt", "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("worker.py")), str(self.folder / "job.json")],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.size, self.moved = 0, time.monotonic()

    def poll(self) -> bool:
        """Look after the process; True when the chunk is done."""
        assert self.process is not None
        code = self.process.poll()
        if code is None:
            size = self.events.stat().st_size
            if size != self.size:
                self.size, self.moved = size, time.monotonic()
            if time.monotonic() - self.moved < self.job.patience_s:
                return False
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        before = len(self.done)
        running, finished = self._read()
        if finished:
            return True
        how = Outcome("hung", f"hung: no progress for {self.job.patience_s:g} s")
        if code is not None:
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            how = Outcome("crashed", f"crashed: {name} | {self._last_output()}")
        if running:
            self.done[running] = how
        elif len(self.files) > 1:  # died outside any test: find the file by running one at a time
            self.rest = [[file] for file in self.files]
            return True
        elif len(self.done) == before:
            self.done[self.files[0]] = how
            return True
        self.start()
        return False

    def _read(self) -> tuple[str, bool]:
        running, finished = "", False
        for line in self.events.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # a line cut by the crash
            kind = event["event"]
            if kind == "start":
                running = event["id"]
            elif kind == "end":
                running = ""
                self.done[event["id"]] = Outcome(event["outcome"], event["message"])
            elif kind == "counters":
                self.counters.append(event["counters"])
            elif kind == "finished":
                finished = True
        return running, finished

    def _last_output(self) -> str:
        """What a dying process said: faulthandler's innermost frames when there are any, else the last lines."""
        text = (self.folder / f"output-{self.attempt}.txt").read_text(errors="replace")
        lines = text.partition("Fatal Python error")[2].splitlines()
        if lines:
            frames = [line.strip() for line in lines[1:] if line.lstrip().startswith("File ")]
            return " / ".join(["Fatal Python error" + lines[0], *frames[:3]])
        return text.strip()[-300:].replace("\n", " / ")

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def run(job: Job, parts: list[str], processes: int, progress: Callable[[str], None] = lambda line: None) -> Run:
    """Run the files of some parts.

    Parameters
    ----------
    job : Job
    parts : list of str
        Names in `selection.PARTS`, or files below ``pandas/tests``.
    processes : int
        How many workers run at a time.
    progress : callable
        Takes a line of text now and then.

    Returns
    -------
    Run
        Outcome of every test that was in the sample; a file lost whole stands under its own name.
    """
    began = time.monotonic()
    result = Run()
    with tempfile.TemporaryDirectory(prefix="terality-suite-") as scratch:
        waiting = [
            _Chunk(job, files, Path(scratch) / f"chunk-{i}")
            for i, files in enumerate(selection.chunks(job.tree, parts, processes))
        ]
        total, active, finished = len(waiting), [], 0
        try:
            while waiting or active:
                while waiting and len(active) < processes:
                    active.append(waiting.pop(0))
                    active[-1].start()
                time.sleep(0.05)
                for chunk in [c for c in active if c.poll()]:
                    active.remove(chunk)
                    waiting += [
                        _Chunk(job, files, chunk.folder / f"rest-{i}", chunk.done) for i, files in enumerate(chunk.rest)
                    ]
                    total += len(chunk.rest)
                    finished += 1
                    result.outcomes |= chunk.done
                    _add(result.counters, chunk.counters)
                    counts = Counter(o.outcome for o in result.outcomes.values())
                    said = ", ".join(f"{n} {k}" for k, n in counts.most_common())
                    progress(f"{finished}/{total} chunks, {time.monotonic() - began:.0f} s: {said}")
        finally:
            for chunk in active:
                chunk.kill()
    result.seconds = time.monotonic() - began
    return result


def _add(total: dict[str, list[int]], more: list[dict[str, list[int]]]) -> None:
    for counters in more:
        for name, (native, fallback) in counters.items():
            entry = total.setdefault(name, [0, 0])
            entry[0] += native
            entry[1] += fallback
