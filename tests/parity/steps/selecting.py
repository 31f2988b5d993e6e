"""Choosing rows and columns; adding, renaming and dropping columns; row labels."""

from __future__ import annotations

import pandas as pd

from ..generate import Draft, World, step
from .scalars import mask, scalar


@step(3)
def column(w: World) -> Draft | None:
    frame = w.frame(loose=True)
    if frame is None or (label := w.label(frame)) is None:
        return None
    return Draft(f"{frame}[{label!r}]", (frame,))


@step(3)
def columns(w: World) -> Draft | None:
    frame = w.frame(loose=True)
    if frame is None:
        return None
    chosen = w.some(frame, most=5)
    if w.flip(0.05):
        chosen = chosen * 2 if w.flip() else []
    return Draft(f"{frame}[{chosen!r}]", (frame,))


@step(9)
def filtered(w: World) -> Draft | None:
    frame = w.frame()
    source = mask(w, frame) if frame is not None else None
    if frame is None or source is None:
        return None
    chance = w.random.random()
    if chance < 0.65:
        return Draft(f"{frame}[{source}]", (frame,))
    if chance < 0.75:
        return Draft(f"{frame}.loc[{source}]", (frame,))
    label = w.label(frame)
    if chance < 0.85:
        return Draft(f"{frame}.loc[{source}, {w.some(frame)!r}]", (frame,))
    return Draft(
        f"{frame}{w.choice('.loc', '')}[{source}, {label!r}]" if w.flip(0.1) else f"{frame}.loc[{source}, {label!r}]",
        (frame,),
    )


@step(2)
def filtered_series(w: World) -> Draft | None:
    name = w.pick(pd.Series)
    if name is None:
        return None
    return Draft(
        f"{name}[{name}{w.choice('.isna()', '.notna()', ' == ' + scalar(w, 'int'), ' > ' + scalar(w, 'float'))}]",
        (name,),
    )


@step(4)
def by_position(w: World) -> Draft | None:
    target = w.frame(loose=True) if w.flip(0.75) else w.pick(pd.Series, loose=True)
    if target is None:
        return None
    n, m = (w.choice(None, 0, 1, 2, 3, 5, -1, -2, 100) for _ in range(2))
    step_text = f":{w.choice(1, 2, 3)}" if w.flip(0.15) else ""
    bounds = f"{'' if n is None else n}:{'' if m is None else m}{step_text}"
    chance = w.random.random()
    if chance < 0.25:
        return Draft(f"{target}[{bounds}]", (target,))
    if chance < 0.5:
        return Draft(f"{target}.{w.choice('head', 'tail')}({w.choice('', 0, 1, 2, 3, -1, -2, 50)})", (target,))
    if chance < 0.75 or not target_is_frame(w, target):
        return Draft(f"{target}.iloc[{bounds}]", (target,))
    columns_text = w.choice(":", "1:", ":2", "0", "-1", "::2")
    return Draft(f"{target}.iloc[{bounds}, {columns_text}]", (target,))


def target_is_frame(w: World, name: str) -> bool:
    return hasattr(w.space[name], "columns")


@step(1)
def one_row(w: World) -> Draft | None:
    target = w.frame() if w.flip() else w.pick(pd.Series)
    if target is None:
        return None
    return Draft(f"{target}.iloc[{w.choice(0, 1, -1, 5)}]", (target,))


@step(2)
def loc_columns(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    return Draft(f"{frame}.loc[:, {w.choice(w.some(frame), w.label(frame))!r}]", (frame,))


@step(5)
def set_column(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    label = w.choice("new", "new2", "a", "b", w.label(frame) or "c")
    if w.flip(0.2):
        value: str | None = scalar(w, w.choice("int", "float", "str", "bool"))
    elif w.flip(0.4):
        one, two = w.label(frame, "int", "float"), w.label(frame, "int", "float")
        value = None if one is None or two is None else f"{frame}[{one!r}] {w.choice('+', '-', '*')} {frame}[{two!r}]"
    elif w.flip(0.5):
        value = mask(w, frame)
    else:
        value = w.series()
    if value is None:
        return None
    parents = (frame, *({w.owner(value)} & set(w.known)))
    return Draft(f"{frame}[{label!r}] = {value}", parents, mutates=frame, wild=" * " in value)


@step(3)
def assigned(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None or (label := w.label(frame, "int", "float", "str", "bool")) is None:
        return None
    name = w.choice("new", "a", "b", "key")
    value = w.choice(
        f"{frame}[{label!r}]",
        scalar(w, w.choice("int", "float", "str")),
        f"lambda d: d[{label!r}]",
        mask(w, frame) or "1",
    )
    return Draft(f"{frame}.assign({name}={value})", (frame,))


@step(2)
def dropped(w: World) -> Draft | None:
    frame = w.frame(loose=True)
    if frame is None:
        return None
    chosen = w.some(frame)
    form = w.choice("columns={}", "{}, axis=1", "columns={}, errors='ignore'")
    what = repr(chosen if w.flip(0.7) or not chosen else chosen[0])
    return Draft(f"{frame}.drop({form.format(what)})", (frame,))


@step(2)
def renamed(w: World) -> Draft | None:
    frame = w.frame(loose=True)
    if frame is None:
        return None
    mapping = {label: w.choice("r1", "r2", "a", 5) for label in w.some(frame)}
    chance = w.random.random()
    if chance < 0.7:
        return Draft(f"{frame}.rename(columns={mapping!r})", (frame,))
    if chance < 0.8:
        return Draft(f"{frame}.rename(columns=str)", (frame,))
    if chance < 0.9:
        return Draft(f"{frame}.rename(columns={mapping!r}, errors='raise')", (frame,))
    return Draft(f"{frame}.rename({mapping!r}, axis=1)", (frame,))


@step(1)
def renamed_series(w: World) -> Draft | None:
    source = w.series()
    return None if source is None else Draft(f"{source}.rename({w.choice('r', None, 3)!r})", (w.owner(source),))


@step(1)
def new_labels(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    n = w.space[frame].shape[1] + w.choice(0, 0, 0, 0, 1)
    return Draft(f"{frame}.columns = {[f'c{i}' for i in range(n)]!r}", (frame,), mutates=frame)


@step(1)
def inserted(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None or (value := w.series()) is None:
        return None
    owner = w.owner(value)
    return Draft(
        f"{frame}.insert({w.choice(0, 1)}, {w.choice('new', 'a', 'ins')!r}, {value})", (frame, owner), mutates=frame
    )


@step(3)
def set_index(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    keys = w.some(frame, most=2)
    if not keys:
        return None
    drop = ", drop=False" if w.flip(0.15) else ""
    return Draft(f"{frame}.set_index({(keys if w.flip(0.6) else keys[0])!r}{drop})", (frame,))


@step(3)
def reset_index(w: World) -> Draft | None:
    target = w.frame(loose=True) if w.flip(0.75) else w.pick(pd.Series, loose=True)
    if target is None:
        return None
    arguments = w.choice("", "", "drop=True", "name='val'" if not target_is_frame(w, target) else "")
    return Draft(f"{target}.reset_index({arguments})", (target,))


@step(3)
def without_missing(w: World) -> Draft | None:
    if w.flip(0.3):
        source = w.series()
        return (
            None
            if source is None
            else Draft(f"{source}.dropna({w.choice('', 'ignore_index=True')})", (w.owner(source),))
        )
    frame = w.frame()
    if frame is None:
        return None
    subset = w.some(frame)
    arguments = w.choice("", "how='any'", "how='all'", f"subset={subset!r}", f"subset={subset!r}, how='all'",
                         "ignore_index=True", f"subset={(subset[0] if subset else None)!r}", "how='bad'",
                         "thresh=2")  # fmt: skip
    return Draft(f"{frame}.dropna({arguments})", (frame,))


@step(1)
def popped(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None or (label := w.label(frame)) is None:
        return None
    return Draft(f"{frame}.pop({label!r})", (frame,), mutates=frame)


@step(1)
def copied(w: World) -> Draft | None:
    frame = w.frame()
    return None if frame is None else Draft(f"{frame}.copy({w.choice('', 'deep=False')})", (frame,))
