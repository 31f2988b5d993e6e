"""Plots of the simulation as SVG, written by hand: no library, and a diff that can be read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from . import MIXES, PURE, SHAPES, by_workload

COLOURS = {"lambda": "#d9541e", "ec2": "#2563a8", "fargate": "#7b4ba0", "mix": "#111111", "mix+fargate": "#2f8f4e"}
DASHES = {"mix+fargate": ' stroke-dasharray="5 3"'}
PANEL_W, PANEL_H, LEFT, TOP, GAP = 250, 230, 56, 46, 34
FONT = 'font-family="sans-serif" font-size="11"'


def _size(size: float) -> str:
    return f"{size / 1e15:g} PB" if size >= 1e15 else f"{size / 1e12:g} TB" if size >= 1e12 else f"{size / 1e9:g} GB"


def _text(x: float, y: float, text: str, anchor: str = "middle", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT}{extra}>{text}</text>'


def _document(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">'
    background = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    title_text = _text(width / 2, 16, title, extra=' font-weight="bold"')
    return "\n".join([head, background, title_text, *parts, "</svg>", ""])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def policies(results: list[dict[str, Any]], field: str, title: str, unit: str) -> str:
    """One panel per shape: `field` over the size of the data, a line per policy; both axes are logarithmic."""
    found = by_workload(results)
    sizes = sorted({size for _, size in found})
    low, high = _decades([r[field] for r in results])
    left, right = math.log10(sizes[0]), math.log10(sizes[-1])
    parts = []
    for panel, shape in enumerate(SHAPES):
        x0 = LEFT + panel * (PANEL_W + GAP)

        def at(size: float, value: float, x0: float = x0) -> tuple[float, float]:
            x = x0 + (math.log10(size) - left) / (right - left) * PANEL_W
            return x, TOP + (high - math.log10(value)) / (high - low) * PANEL_H

        parts.append(_text(x0 + PANEL_W / 2, TOP - 8, shape))
        for decade in range(low, high + 1):
            y = at(sizes[0], 10.0**decade)[1]
            parts.append(f'<path d="M{x0:.1f} {y:.1f}h{PANEL_W}" stroke="#dddddd"/>')
            if panel == 0:
                parts.append(_text(x0 - 6, y + 4, f"{unit}{10.0**decade:,.{max(0, -decade)}f}", "end"))
        for size in sizes:
            parts.append(_text(at(size, 10.0**low)[0], TOP + PANEL_H + 15, _size(size)))
        for policy in (*PURE, *MIXES):
            points = [at(size, found[shape, size][policy][field]) for size in sizes]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            style = f'fill="none" stroke="{COLOURS[policy]}" stroke-width="2"{DASHES.get(policy, "")}'
            parts.append(f'<polyline points="{line}" {style}/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{COLOURS[policy]}"/>' for x, y in points]
    for i, policy in enumerate((*PURE, *MIXES)):
        x, y = LEFT + i * 130, TOP + PANEL_H + 38
        style = f'stroke="{COLOURS[policy]}" stroke-width="3"{DASHES.get(policy, "")}'
        parts.append(f'<path d="M{x} {y - 4}h22" {style}/>')
        parts.append(_text(x + 28, y, policy if policy in MIXES else f"{policy} only", "start"))
    return _document(LEFT + 3 * (PANEL_W + GAP), TOP + PANEL_H + 52, title, parts)


def timelines(results: Sequence[dict[str, Any]], title: str) -> str:
    """Cores over time, one kind of worker on top of the other; a panel per result."""
    parts = []
    for panel, result in enumerate(results):
        points = result["timeline"]
        step = max(1, len(points) // 200)
        points = [*points[::step], points[-1]]
        x0, end = LEFT + panel * (PANEL_W + GAP + 30), max(points[-1][0], 1)
        most = max(sum(point[1:]) for point in points) or 1
        base = [0.0] * len(points)
        parts.append(_text(x0 + PANEL_W / 2, TOP - 8, f"{result['shape']} of {_size(result['bytes'])}"))
        for column, kind in ((1, "lambda"), (2, "ec2"), (3, "fargate")):
            top = [low + point[column] for low, point in zip(base, points, strict=True)]
            outline = [*zip(points, top, strict=True), *reversed(list(zip(points, base, strict=True)))]
            path = " ".join(
                f"{x0 + p[0] / end * PANEL_W:.1f},{TOP + PANEL_H - value / most * PANEL_H:.1f}" for p, value in outline
            )
            parts.append(f'<polygon points="{path}" fill="{COLOURS[kind]}" fill-opacity="0.75"/>')
            base = top
        parts.append(f'<path d="M{x0} {TOP}v{PANEL_H}h{PANEL_W}" fill="none" stroke="#555555"/>')
        parts.append(_text(x0 - 5, TOP + 8, f"{most:,.0f}", "end"))
        parts.append(_text(x0 - 5, TOP + PANEL_H, "0 cores", "end"))
        parts.append(_text(x0 + PANEL_W, TOP + PANEL_H + 15, f"{end:,.0f} s", "end"))
    for i, kind in enumerate(("lambda", "ec2", "fargate")):
        x, y = LEFT + i * 110, TOP + PANEL_H + 38
        parts.append(f'<rect x="{x}" y="{y - 10}" width="14" height="11" fill="{COLOURS[kind]}" fill-opacity="0.75"/>')
        parts.append(_text(x + 20, y, kind, "start"))
    return _document(LEFT + len(results) * (PANEL_W + GAP + 30), TOP + PANEL_H + 52, title, parts)
