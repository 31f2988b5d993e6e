"""How many calls the engine served, and how many pandas did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import fallback

__all__ = ["Calls", "Report", "wrappers"]

wrappers: dict[str, Any] = {}
"""Every installed wrapper by its label, e.g. ``"DataFrame.merge"``."""


@dataclass(frozen=True)
class Calls:
    """Counts of one method: calls served natively and by pandas, bytes given to pandas, seconds in native code."""

    native: int
    fallback: int
    bytes: int
    seconds: float


class Report:
    """Counts since the start, or since the last ``reset()``."""

    @property
    def calls(self) -> dict[str, Calls]:
        """Counts per method, for methods that were called; reading schema (shape, columns) is not counted."""
        found = {}
        for label, wrapper in wrappers.items():
            if (wrapper.natives or wrapper.fallbacks) and not label.endswith("__init__"):
                size = fallback.bytes_by_name.get(label, 0)
                found[label] = Calls(wrapper.natives, wrapper.fallbacks, size, wrapper.nanoseconds / 1e9)
        return found

    @property
    def native(self) -> int:
        """Number of calls served by the engine."""
        return sum(calls.native for calls in self.calls.values())

    @property
    def fallback(self) -> int:
        """Number of calls served by pandas although an argument lives in the engine or was meant to."""
        return sum(calls.fallback for calls in self.calls.values())

    @property
    def share(self) -> float:
        """Share of native calls, 1.0 when there was no call."""
        total = self.native + self.fallback
        return self.native / total if total else 1.0

    def reset(self) -> None:
        """Set all counts to zero and announce fallbacks again."""
        for wrapper in wrappers.values():
            wrapper.reset()
        fallback.bytes_by_name.clear()
        fallback.announced.clear()

    def __str__(self) -> str:
        lines = [f"{'call':<40} {'native':>8} {'pandas':>8} {'bytes':>14} {'seconds':>9}"]
        for name, calls in sorted(self.calls.items()):
            lines.append(f"{name:<40} {calls.native:>8} {calls.fallback:>8} {calls.bytes:>14} {calls.seconds:>9.3f}")
        lines.append(f"{self.native} native, {self.fallback} by pandas: {100 * self.share:.1f} % native")
        return "\n".join(lines)

    __repr__ = __str__


def suite_counters() -> dict[str, tuple[int, int]]:
    """Give name -> (native, fallback), for the runner of pandas' own tests."""
    return {name: (calls.native, calls.fallback) for name, calls in Report().calls.items()}
