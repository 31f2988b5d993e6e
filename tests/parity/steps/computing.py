"""Arithmetic, comparison and logic, casts, missing values, rounding, numpy functions, reductions."""

from __future__ import annotations

from ..generate import Draft, World, kind_of, step
from .scalars import COMPARISONS, scalar

ARITHMETIC = ("+", "-", "*", "/", "//", "%")
METHODS = ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge")
TARGETS = ("float64", "int64", "str", "bool", "float32", "int32", "int8", "uint8", "uint64", "category",
           "datetime64[ns]", "datetime64[us]", "timedelta64[ns]", "timedelta64[s]", float, int, str)  # fmt: skip


def kind(w: World, source: str) -> str:
    value = w.of(source)
    return kind_of(getattr(value, "dtype", None))


def partner(w: World, source: str, of: str) -> str | None:
    """Give another operand: a column of the same frame, any other Series, or a scalar."""
    owner = w.owner(source)
    chance = w.random.random()
    if chance < 0.4 and hasattr(w.space.get(owner), "columns"):
        label = w.label(owner, *(("int", "float", "bool") if of in ("int", "float", "bool") else (of,)))
        return None if label is None else f"{owner}[{label!r}]"
    if chance < 0.5:
        return w.series(of)
    return scalar(w, of)


@step(8)
def arithmetic(w: World) -> Draft | None:
    source = w.series("int", "float", "int", "float", "datetime", "timedelta", "str", "bool")
    if source is None:
        return None
    of = kind(w, source)
    operator = w.choice(*ARITHMETIC) if of != "str" else w.choice("+", "+", "*")
    other_kind = (
        w.choice("timedelta", "datetime")
        if of == "datetime"
        else w.choice("timedelta", "int")
        if of == "timedelta"
        else of
    )
    other = partner(w, source, other_kind)
    if other is None:
        return None
    parents = tuple({w.owner(source), w.owner(other)} & set(w.known))
    text = f"{source} {operator} {other}" if w.flip(0.8) else f"{other} {operator} {source}"
    return Draft(text, parents, wild=operator != "+")


@step(2)
def power(w: World) -> Draft | None:
    source = w.series("int", "float")
    if source is None:
        return None
    return Draft(
        f"{source} ** {w.choice('2', '3', '0', '0.5', '2.0', '-1', '-1.0')}", (w.owner(source),), ulps=2, wild=True
    )


@step(4)
def comparison(w: World) -> Draft | None:
    source = w.series()
    other = None if source is None else partner(w, source, kind(w, source))
    if source is None or other is None:
        return None
    parents = tuple({w.owner(source), w.owner(other)} & set(w.known))
    if w.flip(0.15):
        return Draft(f"{source}.{w.choice(*METHODS)}({other})", parents, wild=True)
    return Draft(f"{source} {w.choice(*COMPARISONS)} {other}", parents)


@step(2)
def logic(w: World) -> Draft | None:
    source = w.series("bool")
    other = None if source is None else partner(w, source, "bool")
    if source is None or other is None:
        return None
    parents = tuple({w.owner(source), w.owner(other)} & set(w.known))
    return Draft(
        w.choice(
            f"{source} & {other}", f"{source} | {other}", f"{source} ^ {other}", f"~{source}", f"{other} & {source}"
        ),
        parents,
    )


@step(2)
def whole_frame(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    part = f"{frame}[{w.some(frame, w.choice('int', 'float', 'bool', 'str'), most=4)!r}]"
    chance = w.random.random()
    if chance < 0.3:
        return Draft(
            f"{part} {w.choice(*ARITHMETIC, *COMPARISONS)} {scalar(w, w.choice('int', 'float', 'str'))}",
            (frame,),
            wild=True,
        )
    if chance < 0.6:
        return Draft(f"{w.choice(part, frame)}.{w.choice('isna', 'notna')}()", (frame,))
    if chance < 0.7:
        return Draft(w.choice(f"-{part}", f"{part}.abs()", f"~{part}"), (frame,))
    if chance < 0.85:
        digits = {label: w.choice(0, 1, 2) for label in w.some(frame)}
        return Draft(f"{frame}.round({w.choice('', '0', '1', '2', '-1', repr(digits))})", (frame,), wild=True)
    return Draft(f"{part}.fillna({scalar(w, w.choice('int', 'float', 'str'))})", (frame,))


@step(2)
def unary(w: World) -> Draft | None:
    source = w.series()
    if source is None:
        return None
    return Draft(w.choice(f"-{source}", f"abs({source})", f"{source}.abs()", f"{source}.isna()", f"{source}.notna()",
                          f"~{source}"),
                 (w.owner(source),))  # fmt: skip


@step(4)
def cast(w: World) -> Draft | None:
    if w.flip(0.2):
        frame = w.frame()
        if frame is None:
            return None
        mapping = {label: w.choice(*TARGETS) for label in w.some(frame)}
        text = ", ".join(f"{label!r}: {target_text(t)}" for label, t in mapping.items())
        return Draft(f"{frame}.astype({{{text}}})", (frame,))
    source = w.series()
    if source is None:
        return None
    return Draft(f"{source}.astype({target_text(w.choice(*TARGETS))})", (w.owner(source),))


def target_text(target: str | type) -> str:
    return target.__name__ if isinstance(target, type) else repr(target)


@step(3)
def filled(w: World) -> Draft | None:
    if w.flip(0.3):
        frame = w.frame()
        if frame is None:
            return None
        text = ", ".join(f"{label!r}: {scalar(w, kind(w, f'{frame}[{label!r}]'))}" for label in w.some(frame))
        return Draft(f"{frame}.fillna({{{text}}})", (frame,))
    source = w.series("float", "str", "datetime", "timedelta", "category", "int")
    if source is None:
        return None
    return Draft(f"{source}.fillna({scalar(w, kind(w, source))})", (w.owner(source),))


@step(3)
def tested(w: World) -> Draft | None:
    source = w.series("int", "float", "str", "datetime")
    if source is None:
        return None
    of = kind(w, source)
    if w.flip():
        values = ", ".join(scalar(w, of) for _ in range(w.random.randint(0, 4)))
        return Draft(f"{source}.isin([{values}])", (w.owner(source),))
    inclusive = f", inclusive={w.choice('both', 'left', 'right', 'neither', 'bad')!r}" if w.flip(0.3) else ""
    return Draft(f"{source}.between({scalar(w, of)}, {scalar(w, of)}{inclusive})", (w.owner(source),))


@step(3)
def clipped(w: World) -> Draft | None:
    source = w.series("int", "float")
    if source is None:
        return None
    of = kind(w, source)
    if w.flip():
        return Draft(f"{source}.round({w.choice('', '0', '1', '2', '-1', '3')})", (w.owner(source),), wild=True)
    bounds = w.choice(
        scalar(w, of), f"lower={scalar(w, of)}", f"upper={scalar(w, of)}", f"{scalar(w, of)}, {scalar(w, of)}"
    )
    return Draft(f"{source}.clip({bounds})", (w.owner(source),), wild=True)


@step(2)
def numpy_function(w: World) -> Draft | None:
    source = w.series("float")
    if source is None:
        return None
    name = w.choice("sqrt", "floor", "ceil", "exp", "log", "log10", "log2", "log1p", "sin", "cos", "absolute")
    return Draft(f"np.{name}({source})", (w.owner(source),), ulps=2, wild=True)


REDUCTIONS = ("sum", "mean", "min", "max", "std", "var", "median", "prod", "count", "nunique", "sem", "any", "all")
LOOSE = ("std", "var", "prod", "sem")


@step(6)
def reduction(w: World) -> Draft | None:
    source = w.series("int", "float", "int", "float", "bool", "datetime", "timedelta", "str")
    if source is None:
        return None
    name = w.choice(*REDUCTIONS)
    arguments = ""
    if w.flip(0.15):
        arguments = (
            "skipna=False"
            if name not in ("count", "nunique", "any", "all")
            else "dropna=False"
            if name == "nunique"
            else ""
        )
    elif name in ("std", "var", "sem") and w.flip(0.2):
        arguments = f"ddof={w.choice(0, 1, 2)}"
    elif name in ("sum", "prod") and w.flip(0.2):
        arguments = f"min_count={w.choice(0, 1, 3)}"
    return Draft(f"{source}.{name}({arguments})", (w.owner(source),), reduces=True, loose=name in LOOSE)


@step(3)
def frame_reduction(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    name = w.choice(*REDUCTIONS[:10])
    part = f"{frame}[{w.some(frame, 'int', 'float', most=4)!r}]" if w.flip(0.7) else frame
    arguments = w.choice("", "", "numeric_only=True") if name not in ("count", "nunique") else ""
    return Draft(f"{part}.{name}({arguments})", (frame,), reduces=True, loose=name in LOOSE)


@step(1)
def correlation(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    one, two = w.label(frame, "int", "float"), w.label(frame, "int", "float")
    if one is None or two is None:
        return None
    return Draft(f"{frame}[{one!r}].corr({frame}[{two!r}])", (frame,), loose=True)
