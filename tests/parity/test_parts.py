"""``.str`` over text of all kinds, and ``.dt`` over all units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from .columns import EVERY, frame
from .programs import disagreements
from .steps.parts import DATE, SPAN, TEXT

WORDS = ["", "a", "A", "ab", "aB c", "  pad ", "10", "-5", "+7", "1.5", "Straße", "İstanbul", "ǆ", "ﬁ", "日本語",
         "e\u0301", "𝄞", "tab\t", "x" * 40, "line\nbreak", "٣", "²", "Ⅷ", "ß", "Σς", None, "a.b", "a|b", "(",
         "nan"]  # fmt: skip
MORE = ("zfill(-1)", "zfill(50)", "pad(3)", "slice(1, None)", "slice(None, -1)", "slice(5, 1)", "slice(None, None, -1)",
        "get(-5)", "[0:100]", "replace('', 'x')", "replace('a', 'b', n=0)", "replace('A', 'b', case=False)",
        "contains('')", "contains('(')", "contains('a', regex=False)", "contains('ß', case=False)", "contains(r'\\d')",
        "contains(r'\\w+$')", "startswith('')", "endswith('ß')", "find('')", "strip('')", "find('a', 1)", "match('a')",
        "title()", "swapcase()", "isspace()", "islower()", "isnumeric()", "isdecimal()", "isalnum()",
        "pad(5, fillchar='ab')")  # fmt: skip


@pytest.mark.parametrize("call", [*TEXT, *MORE])
def test_text(call: str) -> None:
    words = pd.DataFrame({"s": pd.array(WORDS, dtype="str")})
    many = pd.DataFrame({"s": pd.array(WORDS * 50, dtype="str")})
    dot = "" if call.startswith("[") else "."
    sources = [f"df['s'].str{dot}{call}", f"df.head(0)['s'].str{dot}{call}", f"many['s'].str{dot}{call}"]
    found = disagreements({"df": words, "many": many}, *sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "part",
    [*DATE, "floor('s')", "ceil('min')", "floor('7h')", "floor('D')", "strftime('%d.%m.%y %H %j')", "strftime('')"],
)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates(part: str, unit: str) -> None:
    name = f"datetime64[{unit}]"
    seconds = np.array(
        [
            0,
            -1,
            951782399,
            951782400,
            4102444799,
            -2208988801,
            1709164800,
            1735689599,
            253402300799 if unit != "ns" else 1,
        ]
    )
    days = pd.DataFrame({"d": pd.array(seconds.astype("M8[s]").astype(f"M8[{unit}]"))})
    found = disagreements(
        {"df": frame(), "days": days},
        f"df[{name!r}].dt.{part}",
        f"days['d'].dt.{part}",
        f"df.head(0)[{name!r}].dt.{part}",
    )
    assert not found, "\n".join(found)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_spans(unit: str) -> None:
    name = f"timedelta64[{unit}]"
    found = disagreements({"df": frame()}, *(f"df[{name!r}].dt.{part}" for part in SPAN), f"df[{name!r}].dt.year")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
def test_accessors_of_other_dtypes(column: str) -> None:
    found = disagreements(
        {"df": frame()}, f"df[{column!r}].str.len()", f"df[{column!r}].dt.year", f"df[{column!r}].dt.days"
    )
    assert not found, "\n".join(found)
