"""Group-by in all its forms, and pivot_table."""

from __future__ import annotations

from collections.abc import Hashable

from ..generate import Draft, World, step
from .ordering import rank_arguments

EXACT = ("min", "max", "count", "first", "last", "nunique", "size", "any", "all")
ADDING = ("sum", "mean", "median", "sum", "mean")
LOOSE = ("std", "var", "prod", "sem")


def grouped(w: World) -> tuple[str, str, list[Hashable]] | None:
    """Give a frame, the source of its group-by, and the keys."""
    frame = w.frame()
    if frame is None:
        return None
    keys = w.some(frame, "int", "str", "bool", "category", "datetime", "float", most=w.choice(1, 1, 2, 2, 3))
    if not keys:
        return None
    extra = ""
    extra += f", as_index={w.flip()}" if w.flip(0.25) else ""
    extra += f", sort={w.flip()}" if w.flip(0.25) else ""
    extra += f", dropna={w.flip()}" if w.flip(0.25) else ""
    extra += ", observed=True" if w.flip(0.1) else ", observed=False" if w.flip(0.03) else ""
    return frame, f"{frame}.groupby({(keys if len(keys) > 1 or w.flip() else keys[0])!r}{extra})", keys


def aggregate(w: World) -> str:
    return w.choice(*EXACT, *ADDING, *EXACT, *ADDING, *LOOSE)


def numbers(w: World, frame: str, keys: list[Hashable], most: int = 3) -> list[Hashable]:
    """Labels to aggregate, mostly of numbers, mostly not keys."""
    kinds = ("int", "float", "bool") if w.flip(0.75) else ()
    found = [label for label in dict.fromkeys(w.labels(frame, *kinds)) if label not in keys or w.flip(0.03)]
    if not found:
        return []
    chosen = w.random.sample(found, min(len(found), w.random.randint(1, most)))
    if w.flip(0.02):
        chosen.append("missing")
    return chosen


@step(6)
def simple(w: World) -> Draft | None:
    made = grouped(w)
    if made is None:
        return None
    frame, source, keys = made
    name = aggregate(w)
    values = numbers(w, frame, keys)
    if w.flip(0.8) and values:
        source += f"[{(values if w.flip() else values[0])!r}]"
    arguments = "numeric_only=True" if name in ("sum", "mean", "std", "median", "min") and w.flip(0.15) else ""
    if name in ("sum", "prod", "min", "max", "first") and w.flip(0.1):
        arguments = f"min_count={w.choice(0, 1, 2)}"
    return Draft(
        f"{source}.{name}({arguments})",
        (frame,),
        reduces=name in ADDING,
        loose=name in LOOSE,
        wild=name in ("mean", "median"),
    )


@step(7)
def aggregated(w: World) -> Draft | None:
    made = grouped(w)
    if made is None:
        return None
    frame, source, keys = made
    values = numbers(w, frame, keys)
    if not values:
        return None
    names: list[str] = []

    def one() -> str:
        name = aggregate(w)
        if name == "size" and w.flip(0.9):
            name = "sum"
        names.append(name)
        return name

    form = w.random.random()
    if form < 0.25:
        spec = repr({label: one() for label in values})
    elif form < 0.45:
        spec = repr({label: [one() for _ in range(w.choice(1, 2))] for label in values})
    elif form < 0.7:
        spec = ", ".join(f"n{i}=({label!r}, {one()!r})" for i, label in enumerate(values))
    elif form < 0.8:
        source += f"[{values!r}]"
        spec = repr(w.choice(one(), [one(), one()]))
    else:
        source += f"[{values[0]!r}]"
        spec = w.choice(repr(one()), repr([one(), one()]), f"x={one()!r}, y={one()!r}")
    loose = any(name in LOOSE for name in names)
    return Draft(
        f"{source}.{w.choice('agg', 'agg', 'aggregate')}({spec})", (frame,), reduces=True, loose=loose, wild=True
    )


@step(2)
def sizes(w: World) -> Draft | None:
    made = grouped(w)
    if made is None:
        return None
    frame, source, _ = made
    return Draft(f"{source}.{w.choice('size', 'size', 'ngroups' if w.flip(0.1) else 'size')}" + "()", (frame,))


@step(4)
def transformed(w: World) -> Draft | None:
    made = grouped(w)
    if made is None:
        return None
    frame, source, keys = made
    values = numbers(w, frame, keys)
    if not values:
        return None
    name = aggregate(w)
    what = repr(values if w.flip(0.3) else values[0])
    return Draft(
        f"{source}[{what}].transform({name!r})",
        (frame,),
        reduces=name in ADDING,
        loose=name in LOOSE,
        wild=name == "mean",
    )


@step(5)
def within(w: World) -> Draft | None:
    made = grouped(w)
    if made is None:
        return None
    frame, source, keys = made
    values = numbers(w, frame, keys)
    chance = w.random.random()
    if chance < 0.2:
        return Draft(f"{source}.cumcount({w.choice('', 'ascending=False')})", (frame,))
    if chance < 0.4:
        return Draft(f"{source}.{w.choice('head', 'tail')}({w.choice('', 0, 1, 2, 3, -1)})", (frame,))
    if not values:
        return None
    what = repr(values if w.flip(0.2) else values[0])
    if chance < 0.65:
        if w.known[frame].wild:  # beyond 2**53 pandas compares as float64 when a key is missing (docs/differences.md)
            return None
        return Draft(f"{source}[{what}].rank({rank_arguments(w)})", (frame,), wild=True)
    if chance < 0.85:
        name = w.choice("cumsum", "cummax", "cummin", "cumprod")
        return Draft(f"{source}[{what}].{name}()", (frame,), reduces=True, loose=name == "cumprod")
    return Draft(
        f"{source}[{what}].{w.choice('shift', 'shift', 'diff', 'ffill', 'bfill')}({w.choice('', '', 2)})", (frame,)
    )


APPLIED = (
    "lambda g: pd.Series({{'r': g[{0!r}].sum(), 'm': g[{1!r}].max() - g[{1!r}].min()}})",
    "lambda g: pd.Series({{'r': g[{0!r}].mean() * 2 + 1}})",
    "lambda g: g[{0!r}].sum()",
)
CORRELATED = "lambda g: pd.Series({{'c': g[{0!r}].corr(g[{1!r}]) ** 2}})"


@step(1)
def applied(w: World) -> Draft | None:
    made = grouped(w)
    if made is None:
        return None
    frame, source, keys = made
    one, two = w.label(frame, "int", "float"), w.label(frame, "int", "float")
    if one is None or two is None or one in keys or two in keys:
        return None
    chosen = w.choice(*APPLIED, CORRELATED)
    if chosen is CORRELATED and w.known[frame].wild:  # squares of 5e-324 are 0 (docs/differences.md)
        return None
    return Draft(f"{source}.apply({chosen.format(one, two)})", (frame,), loose=True)


@step(2)
def pivoted(w: World) -> Draft | None:
    frame = w.frame(few=True)
    if frame is None:
        return None
    index, columns = w.label(frame, "int", "str", "category"), w.label(frame, "str", "int", "bool", "category")
    values = numbers(w, frame, [index, columns], 2)
    if index is None or columns is None or not values:
        return None
    name = w.choice("mean", "sum", "count", "max", "min", "first", "nunique")
    extra = f", aggfunc={name!r}" if w.flip(0.8) else ""
    extra += f", fill_value={w.choice(0, -1)}" if w.flip(0.2) else ""
    extra += ", observed=False" if w.flip(0.03) else ""
    what = repr(values if w.flip(0.3) else values[0])
    return Draft(
        f"{frame}.pivot_table(index={index!r}, columns={columns!r}, values={what}{extra})",
        (frame,),
        reduces=True,
        wild=True,
    )
