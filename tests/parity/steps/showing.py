"""What people look at: repr, info, memory_usage, lengths and labels."""

from __future__ import annotations

import pandas as pd

from ..generate import Draft, World, step


def _levels_keep_missing(index: pd.Index) -> bool:
    """NaN among the levels that no row has (any more) shows in how wide they are printed (docs/differences.md)."""
    if not isinstance(index, pd.MultiIndex):
        return False
    return any(level.hasnans and not index.get_level_values(i).hasnans for i, level in enumerate(index.levels))


@step(4)
def shown(w: World) -> Draft | None:
    target = w.frame() if w.flip(0.6) else w.pick(pd.Series)
    if target is None or _levels_keep_missing(w.space[target].index):
        return None
    if w.counted(target) and (w.space[target].index < 0).any():  # RangeIndex and Index print these in other widths
        return None
    if w.flip(0.8):
        return Draft(f"repr({target})", (target,))
    return Draft(f"{target}.to_string()", (target,))


def _measured(w: World, frame: str) -> bool:
    """Text is measured in Arrow buffers, which depend on how they came about, and so is an index in use."""
    return not w.labels(frame, "str", "category", "other") and type(w.space[frame].index) is pd.RangeIndex


@step(1)
def summary(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None or isinstance(w.space[frame].index, pd.MultiIndex) or w.counted(frame):
        return None  # a MultiIndex says numpy.int64(0) or 0, by class of the level
    arguments = w.choice("", "verbose=True", "show_counts=True", "max_cols=2", "verbose=False")
    if not _measured(w, frame):
        arguments = f"{arguments}, memory_usage=False".removeprefix(", ")
    return Draft(f"info({frame}, {arguments})", (frame,))


@step(1)
def memory(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None or not _measured(w, frame):
        return None
    return Draft(f"{frame}.memory_usage({w.choice('', 'index=False', 'deep=True')})", (frame,))


@step(3)
def known_ahead(w: World) -> Draft | None:
    target = w.frame() if w.flip(0.6) else w.pick(pd.Series)
    if target is None:
        return None
    what = w.choice("len({})", "{}.shape", "list({}.dtypes)" if w.space[target].ndim == 2 else "{}.dtype",
                    "{}.index", "{}.empty", "{}.columns" if w.space[target].ndim == 2 else "{}.name")  # fmt: skip
    return Draft(what.format(target), (target,))


@step(1)
def described(w: World) -> Draft | None:
    """Something that pandas serves, between native steps."""
    frame = w.frame()
    return (
        None
        if frame is None
        else Draft(f"{frame}.{w.choice('T', 'describe()', 'to_dict()', 'nunique(axis=1)')}", (frame,), loose=True)
    )
