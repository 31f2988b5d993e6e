#!/usr/bin/env python3
"""Checks the shape of the house: who includes whom, names, sizes, and that no path of a machine is committed.

The floors of ARCHITECTURE.md are also enforced by link order; this finds a wrong include (a type or an inline
function needs no linking) and says it in words. Each check is a function that yields problems, so that
tests/arch/test_floors.py can run them one by one on the real tree and on planted mistakes.

Run without arguments: prints every problem as `file:line: text`, warnings too, and exits 1 if there is a problem.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# What each folder of src may include besides itself and what lies below it. The longest matching prefix decides.
META = ("meta/type", "meta/plan", "meta/opt")
FLOORS: dict[str, tuple[str, ...]] = {
    "base": (),
    "meta/type": ("base",),
    "meta/plan": ("base", "meta/type"),
    "meta/opt": ("base", "meta/type", "meta/plan"),
    "net": ("base",),
    "data/col": ("base", "meta/type"),
    "data/kern": ("base", "meta/type", "meta/plan", "data/col"),
    "data/store": ("base", "net"),
    "data/format": ("base", *META, "data/col", "data/kern", "data/store"),
    "data/exec": ("base", "net", *META, "data/col", "data/kern", "data/store", "data/format"),
    "client": ("base", "net", *META, "data"),
    "scheduler": ("base", "net", *META),
    "worker": ("base", "net", *META, "data"),
}
# Kernel families are independent of each other; gathering rows is the one thing several need.
KERN_SHARED = ("data/kern/take", "data/kern/sort")

FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}
# Home folders and work folders of one machine. Written so that this line does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:home|Users|root|work|mnt)/[A-Za-z0-9_.-]+")

FILE_LINES, FILE_LINES_MAX = 800, 1000
FUNCTION_LINES, FUNCTION_LINES_MAX = 70, 110
MACRO_LINES = 3

C_SUFFIXES = {".c", ".h", ".cc", ".cpp", ".hpp"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"(?P<ours>[^"]+)"|<(?P<system>[^>]+)>)', re.M)


@dataclass(frozen=True)
class Problem:
    """One finding; a warning is shown but fails nothing."""

    file: str
    line: int
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {'warning: ' if self.warning else ''}{self.text}"


def c_files(root: Path) -> Iterator[tuple[PurePosixPath, str]]:
    """Every C and C++ file of src, relative to src, with its text."""
    src = root / "src"
    for path in sorted(src.rglob("*")):
        if path.suffix in C_SUFFIXES and path.is_file():
            yield PurePosixPath(path.relative_to(src)), path.read_text(encoding="utf-8")


def tracked_files(root: Path) -> list[PurePosixPath]:
    """Files under version control; in a tree that is no checkout, all but what builds and tools have made."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        names = [PurePosixPath(name) for name in listing.stdout.split("\0") if name]
        return [name for name in names if (root / name).is_file()]
    names = [PurePosixPath(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    made = re.compile(r"(\.|build|out/|data/)|.*__pycache__/")
    return [name for name in names if not made.match(str(name))]


def within(path: PurePosixPath | str, folder: str) -> bool:
    return str(path) == folder or str(path).startswith(folder + "/")


def floor_of(path: PurePosixPath) -> str | None:
    """The floor a file of src belongs to."""
    return max((f for f in FLOORS if within(path, f)), key=len, default=None)


def kern_family(path: PurePosixPath) -> str | None:
    """The kernel family (`data/kern/NAME`) of a file, None for files of data/kern itself and all others."""
    if within(path, "data/kern") and len(path.parts) > 3:
        return "/".join(path.parts[:3])
    return None


def include_fault(file: PurePosixPath, target: PurePosixPath) -> str | None:
    """What is wrong with `file` including `target`, or None. Both are relative to src."""
    here, there = floor_of(file), floor_of(target)
    if here is None:
        return f"{file.parent} is on no floor: add it to FLOORS in tools/check_floors.py"
    if there is None:
        return f"includes {target}, which is on no floor"
    if target.name.endswith("_int.h") and not within(file, str(target.parent)):
        return f"includes {target}, which is private to its folder and those below it"
    if here != there and not any(within(target, allowed) for allowed in FLOORS[here]):
        return f"{here} may not include {target}: it may use {', '.join(FLOORS[here]) or 'nothing of ours'}"
    mine, its = kern_family(file), kern_family(target)
    if here == there == "data/kern" and its and mine != its and its not in KERN_SHARED:
        return f"includes {target}: kernel families do not know each other (shared: {', '.join(KERN_SHARED)})"
    return None


def check_includes(root: Path) -> Iterator[Problem]:
    """Every include of ours points to the same floor or one below it, and only the client knows Python."""
    for file, text in c_files(root):
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = match["ours"]
            if name is None:
                if match["system"].startswith(("Python.h", "numpy/")) and floor_of(file) != "client":
                    yield Problem(f"src/{file}", line, f"includes <{match['system']}>: only src/client knows Python")
                continue
            if name == "Python.h" or name.startswith("numpy/"):
                yield Problem(f"src/{file}", line, f"write <{name}>: quotes are for our own headers")
                continue
            beside = file.parent / name
            target = beside if (root / "src" / beside).is_file() else PurePosixPath(name)
            if not (root / "src" / target).is_file():
                yield Problem(f"src/{file}", line, f"includes {name}, which is neither beside it nor under src")
            elif fault := include_fault(file, target):
                yield Problem(f"src/{file}", line, fault)


def check_names(root: Path) -> Iterator[Problem]:
    """No file or folder is called after nothing in particular."""
    for path in tracked_files(root):
        for part in path.parts:
            if part.split(".")[0].lower() in FORBIDDEN_NAMES:
                yield Problem(str(path), 1, f"{part!r} says nothing about what is inside: name it after its job")


def check_machine_paths(root: Path) -> Iterator[Problem]:
    """No committed file holds an absolute path of the machine it was written on."""
    for path in tracked_files(root):
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if found := MACHINE_PATH.search(line):
                yield Problem(str(path), number, f"holds the path of a machine: {found[0]}")


def blank_out(text: str) -> str:
    """The text with comments, strings, character literals and preprocessor lines replaced by blanks, newlines kept."""

    def blanks(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    literals = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    text = re.sub(literals, blanks, text, flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blanks, text, flags=re.M)


def functions(text: str) -> Iterator[tuple[int, int, str]]:
    """(first line, number of lines, head) of every function defined at file level."""
    depth, opened, head_start = 0, None, 0
    code = blank_out(text)
    for match in re.finditer(r"[{};]", code):
        at, char = match.start(), match[0]
        if char == "{":
            head = code[head_start:at].strip()
            if depth == 0 and re.match(r"extern$|(inline )?namespace\b", head):
                head_start = at + 1
                continue
            if depth == 0 and head.endswith(")"):
                begin = head_start + len(code[head_start:at]) - len(code[head_start:at].lstrip())
                opened = (code.count("\n", 0, begin) + 1, " ".join(head.split()))
            depth += 1
        elif char == "}":
            # A brace in the first column closes whatever is open, also where #if and #else both opened one.
            depth = 0 if at == 0 or code[at - 1] == "\n" else max(0, depth - 1)
            if depth == 0:
                if opened:
                    yield opened[0], code.count("\n", 0, at) + 2 - opened[0], opened[1]
                opened, head_start = None, at + 1
        elif depth == 0:
            head_start = at + 1


def check_sizes(root: Path) -> Iterator[Problem]:
    """Files, functions and function-like macros stay readable; only far beyond the aim is it an error."""
    for file, text in c_files(root):
        name, lines = f"src/{file}", text.count("\n")
        if lines > FILE_LINES:
            yield Problem(name, 1, f"{lines} lines (aim {FILE_LINES}, limit {FILE_LINES_MAX})", lines <= FILE_LINES_MAX)
        for line, length, head in functions(text):
            if length > FUNCTION_LINES:
                label = (re.findall(r"(\w+)\s*\(", head) or [head])[0]
                limits = f"(aim {FUNCTION_LINES}, limit {FUNCTION_LINES_MAX})"
                yield Problem(name, line, f"{label} has {length} lines {limits}", length <= FUNCTION_LINES_MAX)
        # A list `#define THINGS(X)` that tables are generated from is exempt.
        for macro in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\((?!X\))(?:[^\n]*\\\n)*[^\n]*", text, re.M):
            length = macro[0].count("\n") + 1
            if re.search(r"\)\s*\\\n\s*do \{", macro[0]):
                length -= 3  # the head and the do { } while (0) around it are not counted
            if length > MACRO_LINES:
                line = text.count("\n", 0, macro.start()) + 1
                advice = "a template or a function reads better"
                yield Problem(name, line, f"macro {macro[1]} has {length} lines: {advice}", True)


CHECKS: dict[str, Callable[[Path], Iterator[Problem]]] = {
    "includes": check_includes,
    "names": check_names,
    "machine_paths": check_machine_paths,
    "sizes": check_sizes,
}


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    problems = [problem for check in CHECKS.values() for problem in check(root)]
    for problem in problems:
        print(problem)
    errors = sum(not problem.warning for problem in problems)
    print(f"floors: {errors} problems, {len(problems) - errors} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
