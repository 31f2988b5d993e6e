"""What a person at a terminal sees of a query that takes longer than half a second: one line, rewritten in place."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

__all__ = ["Progress", "amount"]

_DELAY_SECONDS = 0.5
_EVERY_SECONDS = 0.1


def amount(n: float, unit: str = "") -> str:
    """Spell a count in three digits: ``amount(16_800_000)`` is "16.8M", ``amount(3 << 30, "B")`` is "3.22GB"."""
    for limit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= limit:
            return f"{n / limit:.3g}{sign}{unit}"
    return f"{n:.0f}{unit}"


class Progress:
    """Shows the state of one query on a terminal; silent elsewhere and for the first half second.

    Parameters
    ----------
    out : text file, optional
        stderr by default; nothing is written unless it is a terminal.
    label : str
        What the line begins with.
    """

    def __init__(self, out: TextIO | None = None, label: str = "terality") -> None:
        self._out = out if out is not None else sys.stderr
        self._label = label
        self._live = bool(getattr(self._out, "isatty", lambda: False)())
        self._start = time.monotonic()
        self._next = self._start + _DELAY_SECONDS
        self._shown = False

    def show(self, state: dict[str, Any]) -> None:
        """Show a query's state as the scheduler gives it (see docs/openapi.json)."""
        now = time.monotonic()
        if not self._live or now < self._next:
            return
        self._next = now + _EVERY_SECONDS
        self._write(self.line(state, now - self._start))

    def note(self, text: str) -> None:
        """Show a line of one's own, under the same rules."""
        now = time.monotonic()
        if self._live and now >= self._next:
            self._next = now + _EVERY_SECONDS
            self._write(f"{self._label}: {text}")

    def line(self, state: dict[str, Any], seconds: float) -> str:
        """Give the text for a state: stages, tasks, rows, bytes, and the time left where it can be told."""
        stages = state.get("stages", [])
        tasks = sum(stage["tasks"] for stage in stages)
        done = sum(stage["done"] for stage in stages)
        complete = sum(1 for stage in stages if stage["done"] >= stage["tasks"])
        rows = amount(sum(stage.get("rows", 0) for stage in stages))
        size = amount(sum(stage.get("bytes", 0) for stage in stages), "B")
        text = f"{self._label}: stage {min(complete + 1, len(stages))}/{len(stages)}, {done}/{tasks} tasks, "
        text += f"{rows} rows, {size}, {seconds:.0f} s"
        if 0 < done < tasks:
            text += f", about {seconds / done * (tasks - done):.0f} s left"
        return text

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._shown = False

    def _write(self, text: str) -> None:
        self._out.write(f"\r\x1b[K{text}")
        self._out.flush()
        self._shown = True
