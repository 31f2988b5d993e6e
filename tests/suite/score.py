"""Compares a candidate's outcomes with plain pandas' and says what was lost, by part and by cause."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .pool import Outcome, Run
from .selection import part_of

LOSSES_FILE = Path(__file__).with_name("losses.toml")


@dataclass
class Loss:
    """A test that passes on plain pandas and not on the candidate."""

    test: str
    outcome: str
    message: str
    reason: str = ""  # from losses.toml; "" when the loss is new


@dataclass
class Score:
    """The share kept, by part and in all."""

    parts: dict[str, tuple[int, int]]  # part -> (passes of plain pandas, of these kept)
    losses: list[Loss]
    gained: list[str] = field(default_factory=list)  # fail on plain pandas, pass on the candidate: usually a warning
    counters: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def passes(self) -> int:
        return sum(base for base, _ in self.parts.values())

    @property
    def share(self) -> float:
        return sum(kept for _, kept in self.parts.values()) / max(1, self.passes)

    def as_json(self, **about: Any) -> dict[str, Any]:
        return {**about, "share": self.share, "passes": self.passes, **asdict(self)}


def score(baseline: dict[str, str], run: Run, mode: str) -> Score:
    """Score a run.

    Parameters
    ----------
    baseline : dict
        Node id -> outcome under plain pandas, for the same parts and sample.
    run : Run
        The candidate's run. A test that vanished from it counts as lost.
    mode : str
        The mode it ran in, to pick the known losses.
    """
    known = known_losses(mode)
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    losses = []
    for test, outcome in baseline.items():
        if outcome != "passed":
            continue
        total = totals[part_of(test)]
        total[0] += 1
        now = run.outcomes.get(test) or _outcome_of_parent(test, run)
        if now.outcome == "passed":
            total[1] += 1
        else:
            reason = next((r for pattern, r in known if fnmatch.fnmatchcase(test, pattern)), "")
            losses.append(Loss(test, now.outcome, now.message, reason))
    gained = [t for t, o in run.outcomes.items() if o.outcome == "passed" and baseline.get(t) in ("failed", "crashed")]
    return Score({k: (a, b) for k, (a, b) in totals.items()}, losses, gained, run.counters, run.seconds)


def _outcome_of_parent(test: str, run: Run) -> Outcome:
    """What happened to the class or file of a test that did not run."""
    parent = test
    while "::" in parent:
        parent = parent.rpartition("::")[0]
        if parent in run.outcomes:
            return run.outcomes[parent]
    return Outcome("vanished", "not collected")


def known_losses(mode: str) -> list[tuple[str, str]]:
    """The (pattern, reason) pairs of losses.toml that hold in a mode; node ids are matched literally but for ``*``."""
    entries = tomllib.loads(LOSSES_FILE.read_text(encoding="utf-8")).get("loss", [])
    return [
        (entry["test"].replace("[", "[[]"), entry["reason"]) for entry in entries if mode in entry.get("modes", [mode])
    ]


def causes(losses: list[Loss]) -> list[tuple[int, str, str]]:
    """Group losses by their message without its numbers and names: (count, message, one test), most first."""
    groups: Counter[str] = Counter()
    example: dict[str, Loss] = {}
    for loss in losses:
        message, _, where = loss.message.partition("  [")
        key = message if " " in message else f"{message} {where.partition('`')[2]}"  # a bare class says too little
        key = re.sub(r"'[^']{0,60}'|\"[^\"]{0,60}\"", "'…'", key)
        key = re.sub(r"0x[0-9a-f]+|-?\d+(\.\d+)?(e[+-]?\d+)?", "#", key)[:160]
        groups[f"{loss.outcome}: {key}"] += 1
        example.setdefault(f"{loss.outcome}: {key}", loss)
    return [(n, example[key].message or example[key].outcome, example[key].test) for key, n in groups.most_common()]


def table(result: Score, top: int = 25) -> str:
    """The report people read."""
    lines = [f"{'part':<14}{'pandas passes':>15}{'kept':>10}{'lost':>8}{'share':>10}"]
    for part, (base, kept) in sorted(result.parts.items()):
        lines.append(f"{part:<14}{base:>15,}{kept:>10,}{base - kept:>8,}{kept / max(1, base):>10.2%}")
    kept = sum(k for _, k in result.parts.values())
    lines.append(f"{'all':<14}{result.passes:>15,}{kept:>10,}{result.passes - kept:>8,}{result.share:>10.3%}")
    known = sum(bool(loss.reason) for loss in result.losses)
    lines.append(f"losses: {len(result.losses)} ({known} listed in losses.toml), gained: {len(result.gained)}")
    if result.counters:
        native, fallback = (sum(v[i] for v in result.counters.values()) for i in (0, 1))
        lines.append(
            f"calls: {native:,} native, {fallback:,} fallback, {native / max(1, native + fallback):.1%} native"
        )
    found = causes(result.losses)
    if found:
        lines.append(f"\nloss causes (top {min(top, len(found))} of {len(found)}):")
        lines += [f"{n:>6}  {message}\n        e.g. {test}" for n, message, test in found[:top]]
    return "\n".join(lines)
