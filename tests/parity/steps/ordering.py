"""Sorting, top rows, ranks, running values, duplicates, counting values."""

from __future__ import annotations

import pandas as pd

from ..generate import Draft, World, step


def _directions(w: World, n: int) -> str:
    chance = w.random.random()
    if chance < 0.5:
        return ""
    if chance < 0.75 or n == 1:
        return f", ascending={w.flip()}"
    return f", ascending={[w.flip() for _ in range(n)]!r}"


@step(6)
def sorted_rows(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    keys = w.some(frame)
    if not keys:
        return None
    extra = _directions(w, len(keys))
    extra += ", na_position='first'" if w.flip(0.2) else ""
    extra += ", ignore_index=True" if w.flip(0.2) else ""
    return Draft(
        f"{frame}.sort_values({(keys if len(keys) > 1 or w.flip() else keys[0])!r}{extra}, kind='stable')", (frame,)
    )


@step(2)
def sorted_series(w: World) -> Draft | None:
    source = w.series()
    if source is None:
        return None
    extra = w.choice("", "ascending=False, ", "na_position='first', ", "ignore_index=True, ")
    return Draft(f"{source}.sort_values({extra}kind='stable')", (w.owner(source),))


@step(3)
def sorted_labels(w: World) -> Draft | None:
    target = w.frame() if w.flip(0.6) else w.pick(pd.Series)
    if target is None:
        return None
    extra = w.choice("", "", "ascending=False, ", "na_position='first', ", "ignore_index=True, ")
    return Draft(f"{target}.sort_index({extra}kind='stable')", (target,))


@step(3)
def top(w: World) -> Draft | None:
    name = w.choice("nlargest", "nsmallest")
    n = w.choice(0, 1, 2, 3, 5, 100)
    if w.flip(0.4):
        source = w.series("int", "float", "datetime")
        return None if source is None else Draft(f"{source}.{name}({n})", (w.owner(source),))
    frame = w.frame()
    if frame is None:
        return None
    keys = w.some(frame, "int", "float", "datetime", most=2)
    if not keys:
        return None
    return Draft(f"{frame}.{name}({n}, {(keys if w.flip(0.4) else keys[0])!r})", (frame,))


@step(3)
def ranked(w: World) -> Draft | None:
    source = w.series("int", "float", "datetime", "str")
    if source is None:
        return None
    return Draft(f"{source}.rank({rank_arguments(w)})", (w.owner(source),), wild=True)


def rank_arguments(w: World) -> str:
    """Give arguments of rank."""
    given = []
    if w.flip():
        given.append(f"method={w.choice('average', 'min', 'max', 'first', 'dense')!r}")
    if w.flip(0.3):
        given.append("ascending=False")
    if w.flip(0.2):
        given.append(f"na_option={w.choice('keep', 'top', 'bottom')!r}")
    if w.flip(0.2):
        given.append("pct=True")
    return ", ".join(given)


@step(4)
def running(w: World) -> Draft | None:
    source = w.series("int", "float")
    if source is None:
        return None
    name = w.choice("cumsum", "cummax", "cummin", "cumprod")
    return Draft(f"{source}.{name}()", (w.owner(source),), reduces=True, loose=name == "cumprod")


@step(3)
def shifted(w: World) -> Draft | None:
    source = w.series()
    if source is None:
        return None
    name = w.choice("shift", "shift", "diff")
    return Draft(f"{source}.{name}({w.choice('', 1, 2, -1, -3, 0, 100)})", (w.owner(source),))


@step(4)
def distinct(w: World) -> Draft | None:
    extra = w.choice("", "", "keep='last'", "keep=False", "ignore_index=True")
    if w.flip(0.25):
        source = w.series()
        return None if source is None else Draft(f"{source}.drop_duplicates({extra})", (w.owner(source),))
    frame = w.frame()
    if frame is None:
        return None
    subset = w.some(frame)
    what = w.choice("", f"subset={subset!r}", f"{(subset[0] if subset else None)!r}")
    return Draft(f"{frame}.drop_duplicates({', '.join(t for t in (what, extra) if t)})", (frame,))


@step(1)
def unique(w: World) -> Draft | None:
    source = w.series()
    return None if source is None else Draft(f"{source}.{w.choice('unique', 'nunique')}()", (w.owner(source),))


@step(4)
def counted(w: World) -> Draft | None:
    extra = w.choice(
        "", "", "sort=False", "normalize=True", "ascending=True", "dropna=False", "normalize=True, dropna=False"
    )
    if w.flip(0.7):
        source = w.series("int", "str", "float", "bool", "category")
        return None if source is None else Draft(f"{source}.value_counts({extra})", (w.owner(source),), wild=True)
    frame = w.frame()
    if frame is None:
        return None
    what = f"subset={w.some(frame)!r}"
    return Draft(f"{frame}.value_counts({', '.join(t for t in (what, extra) if t)})", (frame,), wild=True)
