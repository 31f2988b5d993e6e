"""Makers of statements, one module per kind of operation; importing this package registers them."""

from __future__ import annotations

from . import combining, computing, files, grouping, ordering, parts, selecting, showing

__all__ = ["combining", "computing", "files", "grouping", "ordering", "parts", "selecting", "showing"]
