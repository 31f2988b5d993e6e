"""Merge in all kinds, and concat."""

from __future__ import annotations

from ..generate import Draft, World, step

HOWS = ("inner", "left", "right", "outer")


def _keys(w: World, left: str, right: str) -> str | None:
    """Give the arguments that name the keys."""
    kind = w.choice(("int",), ("str",), ("int", "bool"), ("datetime",), ("float",), ("category",), ())
    n = w.choice(1, 1, 1, 2)
    lefts = [w.label(left, *kind) for _ in range(n)]
    shared = [label for label in w.labels(left) if label in w.labels(right)]
    chance = w.random.random()
    if chance < 0.15:
        return ""
    if shared and chance < 0.5:
        on = list(dict.fromkeys(w.choice(*range(len(shared))) for _ in range(n)))
        chosen = [shared[i] for i in on]
        return f"on={(chosen if len(chosen) > 1 or w.flip() else chosen[0])!r}"
    rights = [w.label(right, *kind) for _ in range(n)]
    if None in lefts or None in rights:
        return None
    if n == 1 and w.flip():
        return f"left_on={lefts[0]!r}, right_on={rights[0]!r}"
    return f"left_on={lefts!r}, right_on={rights!r}"


@step(9)
def merged(w: World) -> Draft | None:
    left, right = w.frame(few=True), w.frame(few=True)
    if left is None or right is None:
        return None
    parents = tuple({left, right})
    extra = f", suffixes={w.choice(('_l', '_r'), ('', '_r'), (None, '_y'), ('_x', '_x'))!r}" if w.flip(0.2) else ""
    if w.flip(0.06):
        return Draft(f"{left}.merge({right}.head(5), how='cross'{extra})", parents)
    keys = _keys(w, left, right)
    if keys is None:
        return None
    how = f"how={w.choice(*HOWS)!r}" if w.flip(0.85) else ""
    extra += ", sort=True" if w.flip(0.15) else ""
    arguments = ", ".join(t for t in (how, keys) if t) + extra
    arguments = arguments.removeprefix(", ")
    if w.flip(0.15):
        return Draft(f"pd.merge({left}, {right}, {arguments})" if arguments else f"pd.merge({left}, {right})", parents)
    return Draft(f"{left}.merge({right}{', ' + arguments if arguments else ''})", parents)


@step(1)
def self_merged(w: World) -> Draft | None:
    frame = w.frame(few=True)
    if frame is None or (label := w.label(frame, "int", "str")) is None:
        return None
    return Draft(
        f"{frame}.merge({frame}.groupby({label!r}, as_index=False).size(), on={label!r}, how={w.choice(*HOWS)!r})",
        (frame,),
    )


@step(4)
def stacked(w: World) -> Draft | None:
    if w.flip(0.2):
        source = w.series()
        if source is None:
            return None
        return Draft(
            f"pd.concat([{source}, {source}.head(2)]{w.choice('', ', ignore_index=True')})", (w.owner(source),)
        )
    frame = w.frame(few=True)
    if frame is None:
        return None
    other = f"{frame}.head(2)" if w.flip(0.4) else f"{frame}[::2]" if w.flip(0.3) else w.frame(few=True)
    parents = tuple({frame, (other or "").split(".")[0].split("[")[0]} & set(w.known))
    counted = any(w.counted(parent) for parent in parents)
    extra = w.choice(
        "",
        "",
        ", ignore_index=True",
        ", keys=['p', 'q']",
        ", keys=['p', 'q'], names=['n']",
        ", join='inner'",
        *(() if counted else (", axis=1",)),
    )
    return Draft(f"pd.concat([{frame}, {other}]{extra})", parents)
