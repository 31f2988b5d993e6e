#!/usr/bin/env python3
"""Writes docs/coverage.md: the pandas calls that have a native version, and what makes pandas serve them all the same.

Usage: .venv/bin/python tools/coverage_table.py [--check]

Nothing here is written by hand: the calls come from terality.registry, what they serve from the handlers' docstrings,
and the reasons from their code, that is from each ``refuse(...)`` and ``raise Fallback(...)`` that a handler reaches
through functions of its own package. --check writes nothing and exits 1 when the file is out of date.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "coverage.md"
COMMAND = ".venv/bin/python tools/coverage_table.py"

SECTIONS = {
    "pandas": ("Functions of the pandas namespace", "pandas.{}"),
    "DataFrame": ("DataFrame", "df.{}"),
    "Series": ("Series", "s.{}"),
    "_LocIndexer": ("loc and iloc", "loc.{}"),
    "_iLocIndexer": ("loc and iloc", "iloc.{}"),
    "DataFrameGroupBy": ("DataFrame.groupby", "df.groupby(…).{}"),
    "SeriesGroupBy": ("DataFrame.groupby, one column", "df.groupby(…)[label].{}"),
    "StringMethods": ("Text", "s.str.{}"),
    "DatetimeProperties": ("Datetimes", "s.dt.{}"),
    "TimedeltaProperties": ("Timedeltas", "s.dt.{}"),
}
# Reached by nearly every handler; the text above the tables speaks of them once.
GENERAL = {"table_of", "literal", "native_of", "engine_name", "array_from_pandas", "load_handlers", "handler_of"}

INTRODUCTION = """# What runs natively

Made by `{command}` from the handlers in `python/terality`; a test says
when it is out of date. A call that is not listed, or that meets one of the reasons in the last column, is served by
pandas on materialised data: same answer, announced once per call site on stderr, counted in `terality.report()`, and
an error in strict mode.

For every call: it is pandas' when an object is of a subclass of DataFrame or Series; when a column or the row labels
have a dtype that the engine does not hold (it holds bool, all integers, float32 and float64, `str`, datetime64 and
timedelta64 without time zone, category); when a scalar is of another type than Python's and numpy's numbers, `str`,
datetimes and timedeltas; where the engine has no rule for a combination of dtypes (`src/meta/plan/expr_ops.c`,
`src/data/kern/group/agg_dtype.c`); and where it cannot hold what a file contains. `…` stands for what is known only at
the call.

{n_calls} calls have a native version.
"""


@cache
def tree_of(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


@cache
def node_of(function: FunctionType | type) -> ast.AST | None:
    """The definition of a function (by its line, decorators counted) or of a class (by its name)."""
    path = inspect.getsourcefile(function)
    if path is None:
        return None
    for node in ast.walk(tree_of(path)):
        if isinstance(function, type):
            if isinstance(node, ast.ClassDef) and node.name == function.__name__:
                return node
        elif isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == function.__code__.co_firstlineno and node.name == function.__code__.co_name:
                return node
    return None


def text_of(node: ast.expr) -> str:
    """A message as text, what it fills in at run time as an ellipsis."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body)}; {text_of(node.orelse)}"
    if not isinstance(node, ast.JoinedStr):
        return "…"
    parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
    return "".join(str(part) for part in parts)


def cleaned(message: str) -> str | None:
    """A message, or None when it says nothing without what it fills in."""
    return message.strip() if re.search(r"[A-Za-z]", message) else None


def served_values(node: ast.Tuple, names: dict[str, Any]) -> list[str]:
    """The values of a parameter that a ``refuse`` lets pass, as written; a starred constant by its elements."""
    values: list[str] = []
    for value in node.elts[1:]:
        if isinstance(value, ast.Starred) and isinstance(value.value, ast.Name):
            values.extend(repr(one) for one in names.get(value.value.id, ()))
        else:
            values.append(ast.unparse(value))
    return values


def reasons_in(node: ast.AST, names: dict[str, Any]) -> Iterator[str]:
    """What the code of one function, in a module of these names, says about the calls it does not serve."""
    for part in ast.walk(node):
        if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call) and ast.unparse(part.exc.func) == "Fallback":
            for piece in text_of(part.exc.args[0]).split("; "):
                message = cleaned(piece)
                if message:
                    yield message
        elif isinstance(part, ast.Call) and ast.unparse(part.func) == "refuse":
            for keyword in part.keywords:
                if keyword.arg and isinstance(keyword.value, ast.Tuple):
                    served = ", ".join(f"`{value}`" for value in served_values(keyword.value, names))
                    yield f"`{keyword.arg}` other than {served}"


def callees(function: FunctionType, node: ast.AST) -> Iterator[FunctionType | type]:
    """Functions and classes of the package that a function names in calls."""
    module: ModuleType | None = inspect.getmodule(function)
    closure = inspect.getclosurevars(function).nonlocals if isinstance(function, FunctionType) else {}
    for part in ast.walk(node):
        if not isinstance(part, ast.Call) or not isinstance(part.func, ast.Name) or part.func.id in GENERAL:
            continue
        found: Any = closure.get(part.func.id, getattr(module, part.func.id, None))
        if isinstance(found, (FunctionType, type)) and found.__module__.startswith("terality."):
            if found.__module__ in ("terality.table", "terality.native") and isinstance(found, type):
                continue
            if not (isinstance(found, type) and issubclass(found, Exception)):
                yield found


def reasons_of(function: FunctionType) -> list[str]:
    """All reasons of a handler and of what it calls, in the order of the code, each once."""
    seen: dict[str, None] = {}
    visited: set[Any] = set()
    waiting: list[Any] = [function]
    while waiting:
        one = waiting.pop(0)
        if one in visited:
            continue
        visited.add(one)
        node = node_of(one)
        if node is not None:
            seen.update(dict.fromkeys(reasons_in(node, vars(inspect.getmodule(one)))))
            waiting.extend(callees(one, node))
    return list(seen)


def common_text(texts: list[str]) -> str:
    """One text for several: words that differ become an ellipsis."""
    words = [text.split() for text in texts]
    if len({len(w) for w in words}) != 1:
        return texts[0]
    merged = " ".join(column[0] if len(set(column)) == 1 else "…" for column in zip(*words, strict=True))
    what = merged.removeprefix("Serve ").strip()
    return "as pandas" if what in ("", "…") else what


def shown(name: str) -> str:
    """A call as the user writes it."""
    owner, _, attribute = name.rpartition(".")
    pattern = SECTIONS[owner][1]
    if attribute == "__getitem__":
        return f"`{pattern.removesuffix('.{}')}[…]`"
    if attribute == "__setitem__":
        return f"`{pattern.removesuffix('.{}')}[…] = …`"
    return f"`{pattern.format(attribute)}`"


def rows(names: dict[str, FunctionType]) -> Iterator[str]:
    """One row per function of the source; the calls it serves together."""
    groups: dict[Any, list[str]] = {}
    for name, function in names.items():
        code = function.__code__
        groups.setdefault((name.rpartition(".")[0], code.co_filename, code.co_firstlineno), []).append(name)
    for group in groups.values():
        first = names[group[0]]
        documented = [(names[name].__doc__ or "").strip().partition("\n")[0] for name in group]
        calls = ", ".join([shown(group[0]), *(f"`{name.rpartition('.')[2]}`" for name in group[1:])])
        reasons = "; ".join(reasons_of(first)) or "-"
        cells = (calls, common_text(documented), reasons)
        yield "| " + " | ".join(cell.replace("``", "`").replace("|", "\\|") for cell in cells) + " |"


def table() -> str:
    """The whole document."""
    from terality import registry

    registry.load_handlers()
    calls = {name: function for name, function in registry.handlers.items() if not name.endswith(".__init__")}
    calls.update({f"{name} = …": function for name, function in registry.setters.items()})
    known = {name: function for name, function in calls.items() if name.rpartition(".")[0] in SECTIONS}
    unknown = sorted(set(calls) - set(known))
    if unknown:
        raise SystemExit(f"coverage: no section for {', '.join(unknown)}: add the class to SECTIONS")
    parts = [INTRODUCTION.format(command=COMMAND, n_calls=len(calls))]
    by_title: dict[str, list[str]] = {}
    for owner, (title, _) in SECTIONS.items():
        by_title.setdefault(title, []).append(owner)
    for title, owners in by_title.items():
        chosen = {name: f for name, f in known.items() if name.rpartition(".")[0] in owners}
        if chosen:
            parts.append(
                f"## {title}\n\n| call | what is served | pandas serves |\n|---|---|---|\n"
                + "\n".join(rows(chosen))
                + "\n"
            )
    return "\n".join(parts)


def main(argv: list[str]) -> int:
    text = table()
    if argv == ["--check"]:
        if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
            return 0
        print(f"coverage: {TARGET.relative_to(ROOT)} is out of date; run {COMMAND}", file=sys.stderr)
        return 1
    TARGET.write_text(text, encoding="utf-8")
    print(f"coverage: {TARGET.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
