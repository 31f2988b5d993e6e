"""Ctrl-C while a query is handed over: noted, and raised when the query can be cancelled."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from terality.remote.interrupts import InterruptsLater


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals belong to the main thread")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_comes_at_delivery() -> None:
    later = InterruptsLater()
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        later.deliver()
    later.deliver()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_does_not_wait() -> None:
    later = InterruptsLater()
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    later.restore()


def test_without_one_nothing_happens() -> None:
    later = InterruptsLater()
    later.deliver()
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_another_thread_and_no_handler() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    InterruptsLater().deliver()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=lambda: InterruptsLater().deliver())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
