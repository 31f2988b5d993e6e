"""Writing random programs: step by step, looking at what pandas made of the steps before."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pandas

from .compare import Tolerance
from .frames import Frame, random_frame
from .programs import Program, Step, execute, folder, mode, new_space

__all__ = ["STEPS", "Draft", "World", "kind_of", "random_program", "step"]

EXACT = 2.0**53
"""Up to this sum of magnitudes every order of adding whole numbers as floats gives the same."""

RELATIVE = 1e-12
"""Allowed error of float reductions, times the sum of magnitudes (design §2.1)."""


@dataclass(frozen=True)
class Draft:
    """A statement to be.

    Attributes
    ----------
    source : expression, or a statement when `mutates` is the name of the variable it changes
    parents : variables it reads
    reduces : adds up floats in an order of its own: near enough is enough when its inputs are not exact
    loose : inexact on any input (deviations, products, correlations)
    ulps : relative error in units of the last place
    wild : makes floats whose sums depend on the order
    """

    source: str
    parents: tuple[str, ...]
    reduces: bool = False
    loose: bool = False
    ulps: int = 0
    wild: bool = False
    mutates: str | None = None


@dataclass
class Known:
    """What is known of a variable besides its value in pandas."""

    wild: bool
    tolerance: Tolerance | None = None


Maker = Callable[["World"], Draft | None]
STEPS: list[tuple[float, Maker]] = []


def step(weight: float) -> Callable[[Maker], Maker]:
    """Register a maker of drafts; `weight` says how often it is asked. It gives None when it has nothing to work on."""

    def register(maker: Maker) -> Maker:
        STEPS.append((weight, maker))
        return maker

    return register


def kind_of(dtype: Any) -> str:
    """Give bool, int, float, str, datetime, timedelta, category or other."""
    if isinstance(dtype, pandas.CategoricalDtype):
        return "category"
    if isinstance(dtype, pandas.StringDtype):
        return "str"
    kinds = {"b": "bool", "i": "int", "u": "int", "f": "float", "M": "datetime", "m": "timedelta"}
    return kinds.get(dtype.kind, "other") if isinstance(dtype, np.dtype) else "other"


class World:
    """What a program under construction can use: the random numbers, the variables, and their values in pandas."""

    def __init__(self, random: Random, space: dict[str, Any], frames: dict[str, Frame]) -> None:
        self.random = random
        self.space = space
        self.known = {name: Known(frame.wild) for name, frame in frames.items()}
        self.tolerances: dict[str, Tolerance] = {}

    def pick(self, kind: type, *, loose: bool = False, few: bool = False) -> str | None:
        """Give a variable of a class, late ones more often; `loose` takes inexact ones too, `few` short ones only."""
        names = [n for n, k in self.known.items()
                 if type(self.space.get(n)) is kind and (loose or k.tolerance is None)
                 and (not few or len(self.space[n]) <= 60)]  # fmt: skip
        if not names:
            return None
        return self.random.choice(names[-3:] if self.random.random() < 0.7 else names)

    def frame(self, *, loose: bool = False, few: bool = False) -> str | None:
        """Give a frame, mostly one with columns."""
        name = self.pick(pandas.DataFrame, loose=loose, few=few)
        if name is not None and not len(self.space[name].columns):
            name = self.pick(pandas.DataFrame, loose=loose, few=few)
        return name

    def series(self, *kinds: str) -> str | None:
        """Give an expression for a Series: a variable, or a column of a frame; mostly of one of the kinds."""
        if self.random.random() < 0.4:
            name = self.pick(pandas.Series)
            if name is not None and (
                not kinds or kind_of(self.space[name].dtype) in kinds or self.random.random() < 0.03
            ):
                return name
        frame = self.frame()
        if frame is None:
            return None
        label = self.label(frame, *kinds)
        return None if label is None else f"{frame}[{label!r}]"

    def labels(self, frame: str, *kinds: str) -> list[Hashable]:
        """Labels of a frame's columns of some kinds (of any without kinds)."""
        dtypes = self.space[frame].dtypes
        return [
            label for label, dtype in zip(dtypes.index, dtypes, strict=True) if not kinds or kind_of(dtype) in kinds
        ]

    def counted(self, name: str) -> bool:
        """Tell whether row labels are whole numbers whose class may be another here (docs/differences.md)."""
        index = self.space[name].index
        first = type(index) is pandas.RangeIndex and index.start == 0 and index.step == 1
        return type(index) in (pandas.Index, pandas.RangeIndex) and index.dtype == np.int64 and not first

    def label(self, frame: str, *kinds: str) -> Hashable | None:
        """Give a label, mostly of a column of one of the kinds, seldom one that is not there."""
        chance = self.random.random()
        if chance < 0.01:
            return "missing"
        found = self.labels(frame, *(() if chance < 0.05 else kinds))
        return self.random.choice(found) if found else None

    def some(self, frame: str, *kinds: str, most: int = 3) -> list[Hashable]:
        """Give up to `most` different labels of some kinds."""
        found = list(dict.fromkeys(self.labels(frame, *kinds)))
        if not found:
            return []
        chosen = self.random.sample(found, min(len(found), self.random.randint(1, most)))
        if self.random.random() < 0.015:
            chosen.append("missing")
        return chosen

    def of(self, source: str) -> Any:
        """Give the value of a variable or column expression in pandas; None when it raises."""
        try:
            return eval(source, self.space)
        except Exception:
            return None

    def owner(self, source: str) -> str:
        """Give the variable an expression of :meth:`series` begins with."""
        return source.split("[", 1)[0]

    def flip(self, share: float = 0.5) -> bool:
        return self.random.random() < share

    def choice(self, *values: Any) -> Any:
        return self.random.choice(values)

    # ---- exactness

    def tolerance(self, draft: Draft) -> Tolerance | None:
        """How exactly the result of a draft must agree."""
        known = [self.known[p] for p in draft.parents]
        if draft.loose or (draft.reduces and any(k.wild for k in known)):
            size = max(1.0, sum(self.magnitude(p) for p in draft.parents))
            if "var" in draft.source:  # a sum of squares
                size = min(size * size, 1e300)
            return Tolerance(RELATIVE * size, RELATIVE)
        if draft.ulps:
            return Tolerance(0.0, draft.ulps * 2.3e-16)
        inherited = [k.tolerance for k in known if k.tolerance is not None]
        return max(inherited, key=lambda t: t.absolute) if inherited else None

    def magnitude(self, name: str) -> float:
        """Sum of the magnitudes of a variable's numbers."""
        value = self.space[name]
        frame = value.to_frame() if isinstance(value, pandas.Series) else value
        if not isinstance(frame, pandas.DataFrame):
            return 0.0
        total = 0.0
        for i in range(frame.shape[1]):
            values = frame._mgr.iget_values(i)
            if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
                with np.errstate(all="ignore"):
                    finite = np.abs(values.astype(float))
                    total += float(finite[np.isfinite(finite)].sum())
        return total if math.isfinite(total) else 1e300

    def repeats(self, name: str) -> bool:
        """Tell whether products of a variable's columns may be text that does not fit into memory."""
        dtypes = getattr(self.space[name], "dtypes", None)
        texts = [dtypes] if not isinstance(dtypes, pandas.Series) else list(dtypes)
        return "str" in map(kind_of, texts) and self.magnitude(name) > 1e6

    def add(self, draft: Draft, number: int) -> Step | None:
        """Run a draft by pandas and make it a step."""
        for parent in draft.parents:
            if parent not in self.known or (" * " in draft.source and self.repeats(parent)):
                return None
        tolerance = self.tolerance(draft)
        wild = draft.wild or any(self.known[p].wild for p in draft.parents)
        target = None if draft.mutates else f"v{number}"
        source = draft.source if draft.mutates else f"{target} = {draft.source}"
        error = execute(source, self.space)
        name = draft.mutates or target
        assert name is not None
        if error is None:
            self.known[name] = Known(wild or self.magnitude(name) > EXACT, tolerance)
            if tolerance is not None:
                self.tolerances[name] = tolerance
        return Step(source, target)


def random_program(seed: int, n_steps: int | None = None) -> Program:
    """Give the program of a seed.

    Parameters
    ----------
    seed : int
    n_steps : int, optional
        Number of statements; random without.
    """
    from . import steps  # noqa: F401 - registers the makers

    random = Random(seed)
    frames = {f"df{i}": random_frame(random) for i in range(random.choice((1, 1, 2)))}
    with mode("off"), folder() as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = World(random, new_space({n: f.build() for n, f in frames.items()}, path), frames)
        made: list[Step] = []
        wanted = n_steps or random.randint(1, 8)
        makers = [maker for _, maker in STEPS]
        weights = [weight for weight, _ in STEPS]
        for _ in range(wanted * 4):
            draft = random.choices(makers, weights)[0](world)
            added = world.add(draft, len(made)) if draft is not None else None
            if added is not None:
                made.append(added)
            if len(made) == wanted:
                break
    return Program(frames, tuple(made), world.tolerances, seed)
