"""Programs, and running one program in two modes.

A program is inputs and statements of Python source, so that a failing one can be cut down statement by statement and
printed as a script. Statements that raise are part of it: the exception must be pandas' own.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas
import terality

from . import compare
from .compare import Tolerance, difference
from .frames import Frame

__all__ = [
    "CONFIGURATIONS",
    "Outcome",
    "Program",
    "Step",
    "configured",
    "differences",
    "disagreements",
    "new_space",
    "run",
    "script",
]

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "one-row morsels": {"morsel_rows": 1},
    "one thread": {"threads": 1},
    "hash zero": {"hash_zero": True},
    "optimiser off": {"optimise": False},
    "through the codec": {"codec": True},
    "in stages": {"stages": 5},
    "all at once": {"morsel_rows": 3, "threads": 2, "hash_zero": True, "optimise": False},
}
"""Arguments of ``_engine.set_execution``."""


@dataclass(frozen=True)
class Step:
    """One statement, and the variable that it makes (None when it changes one)."""

    source: str
    target: str | None = None


@dataclass(frozen=True)
class Program:
    """Inputs, statements, and how exactly each variable must agree (absent: bits)."""

    frames: dict[str, Frame]
    steps: tuple[Step, ...]
    tolerances: dict[str, Tolerance] = field(default_factory=dict)
    seed: int = 0


@dataclass
class Outcome:
    """What a run left: per step the exception (class, text) or None; the variables; the files written."""

    errors: list[tuple[str, str] | None]
    variables: dict[str, Any]
    schemas: dict[str, Any]
    files: dict[str, bytes]


INFO = """
def info(frame, **arguments):
    buffer = io.StringIO()
    frame.info(buf=buffer, **arguments)
    return buffer.getvalue()
"""

REDUCTION = re.compile(r"v\d+ = (?P<frame>\w+)(?P<call>\.(sum|mean|median|prod|min|max|std|var|sem|any|all)\(.*\))")

for _file in (__file__, compare.__file__):
    terality.patch.add_internal(_file)  # our looking at results is no call of the program


def new_space(inputs: dict[str, pandas.DataFrame], folder: str) -> dict[str, Any]:
    """Give the namespace a program runs in, on copies of its inputs."""
    space: dict[str, Any] = {name: frame.copy() for name, frame in inputs.items()}
    space.update(pd=terality, np=np, nan=np.nan, inf=np.inf, tmp=folder, io=io)
    execute(INFO, space)
    return space


KNOWN_ERRORS = (
    ("IndexError", "cannot do a non-empty take from an empty axes."),
    ("ArrowIndexError", "Index -1 out of bounds"),
)
"""Exceptions of pandas that are listed in docs/differences.md: the engine gives a result instead."""


@contextmanager
def mode(name: str, configuration: str = "default") -> Iterator[None]:
    """Set terality's mode and execution for a while."""
    before, quiet = terality.options.mode, terality.options.quiet
    terality.options.quiet = True
    terality.options.mode = name
    terality._engine.set_execution(**CONFIGURATIONS[configuration])
    try:
        yield
    finally:
        terality._engine.set_execution()
        terality.options.mode, terality.options.quiet = before, quiet


@contextmanager
def configured(configuration: str) -> Iterator[None]:
    """Native mode under one of :data:`CONFIGURATIONS`."""
    with mode("native", configuration):
        yield


@contextmanager
def folder() -> Iterator[str]:
    """Give an empty folder with the same name every time, so that error texts agree."""
    path = os.path.join(tempfile.gettempdir(), f"parity-{os.getpid()}")
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def execute(source: str, space: dict[str, Any]) -> tuple[str, str] | None:
    """Run one statement as a user would; give its exception."""
    try:
        exec(compile(source, "<program>", "exec"), space)
    except Exception as error:
        return type(error).__name__, str(error)
    return None


def run(
    program: Program, inputs: dict[str, pandas.DataFrame], *, oracle: bool, configuration: str = "default"
) -> Outcome:
    """Run a program by plain pandas (`oracle`), or natively.

    Returns
    -------
    Outcome
        Its variables are plain pandas objects.
    """
    with mode("off" if oracle else "native", configuration), folder() as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        space = new_space(inputs, path)
        errors = [execute(step.source, space) for step in program.steps]
        names = [*program.frames, *(step.target for step in program.steps if step.target in space)]
        outcome = Outcome(errors, {}, {}, {})
        for name in dict.fromkeys(names):
            assert name is not None
            value = space[name]
            try:
                outcome.schemas[name] = schema(value)
                outcome.variables[name] = plain(value)
            except Exception as error:
                outcome.variables[name] = f"computing it raised {type(error).__name__}: {error}"
        for name in sorted(os.listdir(path)):
            with open(os.path.join(path, name), "rb") as stream:
                outcome.files[name] = stream.read()
    return outcome


def schema(value: Any) -> Any:
    """What a lazy object says of itself before it is computed."""
    if isinstance(value, pandas.DataFrame):
        return list(value.dtypes), value.shape
    return (value.dtype, value.shape) if isinstance(value, pandas.Series) else None


def plain(value: Any) -> Any:
    """Give a pandas object without a plan behind it."""
    return terality.to_pandas(value) if isinstance(value, (pandas.DataFrame, pandas.Series)) else value


def differences(program: Program, configuration: str = "default", oracle: Outcome | None = None) -> list[str]:
    """Run a program both ways and say what differs, first things first; nothing when all is equal."""
    with mode("off"):
        inputs = {name: frame.build() for name, frame in program.frames.items()}
    theirs = run(program, inputs, oracle=True) if oracle is None else oracle
    ours = run(program, inputs, oracle=False, configuration=configuration)
    with mode("off"):
        return list(_compare(program, ours, theirs, configuration))


def disagreements(inputs: dict[str, pandas.DataFrame], *sources: str, tolerance: Tolerance | None = None) -> list[str]:
    """Run statements on given frames both ways; each makes a variable ``v0``, ``v1`` … unless it assigns itself.

    Parameters
    ----------
    inputs : frames by name
    tolerance : how exactly every result must agree; None means bits
    """
    steps = tuple(
        Step(s, None) if " = " in s.split("(")[0] else Step(f"v{i} = {s}", f"v{i}") for i, s in enumerate(sources)
    )
    tolerances = {} if tolerance is None else {f"v{i}": tolerance for i in range(len(steps))}
    program = Program({}, steps, tolerances)
    theirs = run(program, inputs, oracle=True)
    ours = run(program, inputs, oracle=False)
    with mode("off"):
        return list(_compare(program, ours, theirs))


def _compare(program: Program, ours: Outcome, theirs: Outcome, configuration: str = "default") -> Iterator[str]:
    for step, a, b in zip(program.steps, ours.errors, theirs.errors, strict=True):
        if b in KNOWN_ERRORS:
            return
        if configuration == "in stages" and _of_another_fault(a, b):
            continue
        if a != b and _without_schema(a) != _without_schema(b) and not _of_another_column(step.source, a, b, theirs):
            yield f"{step.source}: raised {a}, expected {b}"
    made_by = {step.target: step.source for step in program.steps}
    for name, expected in theirs.variables.items():
        if name not in ours.variables:
            continue
        value = ours.variables[name]
        if isinstance(value, str) and value.startswith("computing it raised"):
            yield f"{made_by.get(name, name)}: {value}"
            continue
        found = difference(value, expected, program.tolerances.get(name))
        if found is None and ours.schemas[name] != theirs.schemas[name]:
            found = f"schema {ours.schemas[name]}, expected {theirs.schemas[name]}"
        if found:
            yield f"{made_by.get(name, name)}: {found}"
    for name, content in theirs.files.items():
        found = _file_difference(name, ours.files.get(name), content)
        if found:
            yield f"file {name}: {found}"


def _of_another_column(source: str, ours: Any, theirs: Any, outcome: Outcome) -> bool:
    """Tell whether a reduction complains of another column than pandas, which goes by blocks (docs/differences.md)."""
    found = REDUCTION.fullmatch(source)
    frame = outcome.variables.get(found["frame"]) if found else None
    refused = {error and error[0] for error in (ours, theirs)} == {"TypeError"}
    if found is None or not isinstance(frame, pandas.DataFrame) or not refused:
        return False
    parts = (frame.iloc[:, [i]] for i in range(frame.shape[1]))
    return ours in [execute(f"part{found['call']}", {"part": part}) for part in parts]


def _of_another_fault(ours: tuple[str, str] | None, theirs: tuple[str, str] | None) -> bool:
    """Tell whether a cast met another of its column's faults than pandas, which looks for one kind first in all rows.

    A task sees its own rows only: docs/distributed.md, "Errors that values cause".
    """
    faults = ("Cannot convert non-finite values", "Cannot losslessly cast")
    return all(error is not None and error[1].startswith(faults) for error in (ours, theirs))


def _without_schema(error: tuple[str, str] | None) -> tuple[str, str] | None:
    """Leave out the Arrow schema that pyarrow repeats: how text is stored is the writer's choice."""
    if error is not None and error[1].startswith("No match for FieldRef"):
        return error[0], error[1].split(" in ")[0]
    return error


def _file_difference(name: str, ours: bytes | None, theirs: bytes) -> str | None:
    if ours == theirs:
        return None
    if ours is None:
        return "missing"
    if not name.endswith(".parquet"):
        return f"{ours[:300]!r}, expected {theirs[:300]!r}"
    a, b = (terality.read_parquet(io.BytesIO(content)) for content in (ours, theirs))
    return difference(a, b)


def script(program: Program, configuration: str = "default") -> str:
    """Give a script that runs the program natively and prints every variable."""
    lines = ["import io, tempfile", "import numpy as np", "import terality as pd", "", "nan, inf = np.nan, np.inf"]
    lines.append("tmp = tempfile.mkdtemp()")
    if any("info(" in step.source for step in program.steps):
        lines.append(INFO)
    arguments = CONFIGURATIONS[configuration]
    if arguments:
        lines.append(f"pd._engine.set_execution(**{arguments})")
    lines += [frame.source(name) for name, frame in program.frames.items()]
    lines.append('pd.options.mode = "native"  # "off": pandas itself')
    lines += [step.source for step in program.steps]
    names = dict.fromkeys(step.target for step in program.steps if step.target)
    lines += [f"print(pd.to_pandas({name}) if hasattr({name}, '_mgr') else repr({name}))" for name in list(names)[-1:]]
    if not names:
        lines += [f"print(pd.to_pandas({name}))" for name in program.frames]
    return "\n".join(lines) + "\n"
