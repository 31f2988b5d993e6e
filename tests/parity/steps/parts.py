"""``.str`` and ``.dt``."""

from __future__ import annotations

from ..generate import Draft, World, step

TEXT = (
    "len()", "lower()", "upper()", "title()", "capitalize()", "isdigit()", "isalpha()", "strip()",
    "lstrip()", "rstrip()", "strip('a ')", "contains('a')", "contains('A', case=False)", "contains('b|x')",
    "contains('.', regex=False)", "contains('^a.*c$')", "contains('a', na=False)", "startswith('a')", "endswith('b')",
    "startswith(('a', 'b'))", "slice(0, 2)", "slice(-2)", "slice(None, None, 2)", "[0]", "[1:3]", "[-1]", "get(0)",
    "replace('a', 'X')", "replace('a', '')", "replace('a', 'XY', n=1)", "replace('[ab]', 'X', regex=True)", "find('b')",
    "zfill(4)", "pad(6)", "pad(6, side='both', fillchar='*')", "rjust(5)", "ljust(5, '-')", "center(7)", "cat(sep='-')",
    "split(' ')", "isupper()", "count('a')", "contains(1)", "zfill('x')",
)  # fmt: skip
DATE = (
    "year", "month", "day", "hour", "minute", "second", "microsecond", "nanosecond", "day_of_week",
    "weekday", "dayofweek", "day_of_year", "dayofyear", "quarter", "days_in_month", "is_leap_year", "is_month_start",
    "is_month_end", "normalize()", "day_name()", "month_name()", "floor('h')", "ceil('D')", "floor('15min')",
    "round('h')", "floor('ME')", "strftime('%Y-%m-%d')", "strftime('%H:%M:%S')", "date", "time", "is_quarter_start",
    "as_unit('s')", "isocalendar()", "floor('bad')",
)  # fmt: skip
SPAN = ("days", "seconds", "microseconds", "nanoseconds", "total_seconds()")


@step(6)
def text(w: World) -> Draft | None:
    source = w.series("str")
    return None if source is None else Draft(f"{source}.str{_dot(w.choice(*TEXT))}", (w.owner(source),))


def _dot(call: str) -> str:
    return call if call.startswith("[") else f".{call}"


@step(5)
def date(w: World) -> Draft | None:
    source = w.series("datetime")
    return None if source is None else Draft(f"{source}.dt.{w.choice(*DATE)}", (w.owner(source),))


@step(2)
def span(w: World) -> Draft | None:
    source = w.series("timedelta")
    return None if source is None else Draft(f"{source}.dt.{w.choice(*SPAN)}", (w.owner(source),), wild=True)
