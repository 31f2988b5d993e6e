"""Cutting a failing program down: fewer statements, columns, rows, plainer labels and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .frames import Column, Frame
from .programs import Program

__all__ = ["shrink"]

PLAIN = {"bool": True, "float64": 1.0, "float32": 1.0, "str": "a", "category": 0, "ordered": 0}


def shrink(program: Program, fails: Callable[[Program], bool], budget: int = 400) -> Program:
    """Give a smaller program for which `fails` still holds, after at most `budget` attempts."""
    attempts = 0
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(program):
            attempts += 1
            if attempts > budget:
                return program
            if fails(smaller):
                program, progress = smaller, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """Give programs with one thing less, big cuts first."""
    n = len(program.steps)
    for size in sorted({n // 2, 1} - {0}, reverse=True):
        for end in range(n, 0, -size):
            kept = program.steps[: max(0, end - size)] + program.steps[end:]
            if kept:
                yield replace(program, steps=kept)
    for name in program.frames:
        if len(program.frames) > 1 and not any(name in step.source for step in program.steps):
            yield replace(program, frames={k: f for k, f in program.frames.items() if k != name})
    for name, frame in program.frames.items():
        for smaller in _smaller_frames(frame):
            yield replace(program, frames={**program.frames, name: smaller})


def _smaller_frames(frame: Frame) -> Iterator[Frame]:
    rows = list(range(frame.n_rows))
    size = frame.n_rows // 2
    while size:
        for start in range(0, frame.n_rows, size):
            yield frame.take(rows[:start] + rows[start + size :])
        size //= 2
    for i in range(len(frame.columns)):
        yield replace(frame, columns=frame.columns[:i] + frame.columns[i + 1 :])
    if not frame.ranged or frame.index != (0, 1) or frame.names != (None,):
        yield replace(frame, index=(0, 1), names=(None,))
    if frame.columns_name is not None:
        yield replace(frame, columns_name=None)
    for i, column in enumerate(frame.columns):
        for plainer in _plainer(column):
            yield replace(frame, columns=(*frame.columns[:i], plainer, *frame.columns[i + 1 :]))


def _plainer(column: Column) -> Iterator[Column]:
    plain = PLAIN.get(column.dtype, 1)
    for i, value in enumerate(column.values):
        if value != plain and len(column.values) <= 12:
            yield replace(column, values=(*column.values[:i], plain, *column.values[i + 1 :]))
