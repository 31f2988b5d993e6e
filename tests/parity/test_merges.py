"""Merges of all kinds by keys of every dtype, with missing keys, repeats and no rows."""

from __future__ import annotations

import pytest

from .columns import EVERY, frame
from .programs import disagreements

HOWS = ("inner", "left", "right", "outer")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("key", EVERY)
def test_kinds(key: str, how: str) -> None:
    whole = frame()
    left = whole[[key, "g", "int64", "str"]] if key not in ("int64", "str") else whole[["g", "int64", "str"]]
    right = whole[[key, "k", "bool", "float64"]].iloc[3:9] if key != "bool" else whole[["bool", "k", "uint8"]].iloc[3:9]
    if key == "float64":
        right = whole[["float64", "k", "bool"]].iloc[3:9]
    sources = [f"left.merge(right, on={key!r}, how={how!r}{extra})" for extra in ("", ", sort=True")]
    sources += [f"left.merge(right.rename(columns={{{key!r}: 'o'}}), left_on={key!r}, right_on='o', how={how!r})",
                f"left.merge(right.head(0), on={key!r}, how={how!r})",
                f"left.head(0).merge(right, on={key!r}, how={how!r})",
                f"pd.merge(left, left, on={key!r}, how={how!r}, suffixes=('_a', '_b'))"]  # fmt: skip
    found = disagreements({"left": left, "right": right}, *sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("how", HOWS)
def test_several_keys(how: str) -> None:
    whole = frame()
    sources = [
        f"left.merge(right, on={keys!r}, how={how!r})"
        for keys in (["g", "k"], ["k", "bool"], ["int8", "float64"], ["str", "g"])
    ]
    sources += [f"left.merge(right, left_on={a!r}, right_on={b!r}, how={how!r})"
                for a,
                b in (("int64", "int32"), ("uint8", "int64"), ("float64", "int64"), ("str", "k"), ("int64", "str"),
                             (["g", "k"], ["int64", "k"]))]  # fmt: skip
    found = disagreements({"left": whole, "right": whole.iloc[2:7]}, *sources)
    assert not found, "\n".join(found)


def test_arguments() -> None:
    whole = frame()[["g", "k", "int64"]]
    sources = ["df.merge(df, how='cross')", "df.merge(df, how='cross', on='g')", "df.merge(df, on='missing')",
               "df.merge(df, how='bad')", "df.merge(df, left_on='g')", "df.merge(df, left_on=['g', 'k'], right_on='g')",
               "df.merge(df.rename(columns=str.upper))", "df.merge(df, on='g', suffixes=('', ''))", "df.merge(3)",
               "df.merge(df, on='g', validate='1:1')", "df.merge(df, on='g', indicator=True)",
               "df.merge(df, left_index=True, right_index=True)", "df.merge(df)",
               "df.merge(df.drop_duplicates('k'), on='k', validate='m:1')",
               "df.merge(df['g'].rename('g'), on='g')"]  # fmt: skip
    found = disagreements({"df": whole}, *sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
def test_concat(column: str) -> None:
    part = f"df[[{column!r}, 'g']]"
    sources = [f"pd.concat([{part}, {part}.head(2)])", f"pd.concat([{part}, {part}.iloc[5:]], ignore_index=True)",
               f"pd.concat([{part}, {part}], keys=['a', 'b'], names=['w'])",
               f"pd.concat([df[{column!r}], df[{column!r}]])", f"pd.concat([{part}, df[['g']]])",
               f"pd.concat([{part}.head(0), {part}])"]  # fmt: skip
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found)
