"""Native versions of pandas' calls, one module per kind. Importing this package registers them all.

A handler checks that it can do exactly what pandas would; where it cannot, it raises Fallback before doing anything.
"""

from __future__ import annotations

from .. import outside
from . import (
    arithmetic,
    arrow,
    combining,
    datetimes,
    grouping,
    io,
    ordering,
    reducing,
    selecting,
    shaping,
    showing,
    text,
)

__all__ = [
    "arithmetic",
    "arrow",
    "combining",
    "datetimes",
    "grouping",
    "io",
    "ordering",
    "outside",
    "reducing",
    "selecting",
    "shaping",
    "showing",
    "text",
]
