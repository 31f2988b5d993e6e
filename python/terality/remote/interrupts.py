"""Ctrl-C that waits for a moment: while a query is being handed to a scheduler nobody could cancel it.

The scheduler may have accepted a query whose id has not come back yet. An interrupt in between would leave it running,
so it is kept until the id is known. A second one does not wait.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType

__all__ = ["InterruptsLater"]


class InterruptsLater:
    """From its making on SIGINT is noted; ``deliver`` gives the handler back and calls it for what came meanwhile.

    Does nothing outside the main thread, where Python delivers no signals, and where SIGINT has no Python handler.
    """

    def __init__(self) -> None:
        self._came: tuple[int, FrameType | None] | None = None
        self._before = None
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came is not None and self._before is not None:
            self.restore()
            self._before(number, frame)
        self._came = (number, frame)

    def restore(self) -> None:
        """Give the handler back, whatever came."""
        with contextlib.suppress(ValueError):
            if self._before is not None and signal.getsignal(signal.SIGINT) == self._note:
                signal.signal(signal.SIGINT, self._before)

    def deliver(self) -> None:
        """Give the handler back; raise what it raises, if there was an interrupt."""
        self.restore()
        if self._came is not None and self._before is not None:
            came, self._came = self._came, None
            self._before(*came)
