"""Operations of one column over every dtype: casts, windows, order, reductions, scalars, missing values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
import terality

from .columns import EVERY, frame
from .compare import Tolerance
from .programs import disagreements, mode

SCALARS = ("0", "2", "-3", "2.5", "True", "'a'", "nan", "None", "2**40", "300", "np.int8(5)", "np.float32(0.1)",
           "np.float64(0.1)", "np.uint64(7)", "pd.Timestamp('2013-02-27')", "pd.Timedelta('1h')",
           "np.datetime64('2013-02-27')", "pd.NaT")  # fmt: skip
NEAR = Tolerance(1e-9, 1e-12)


@pytest.mark.parametrize("column", EVERY)
def test_casts(column: str) -> None:
    sources = [f"df[{column!r}].astype({target!r})" for target in (*EVERY[:-1], "object", "string", "Int64", "nosuch")]
    sources += [
        f"df.astype({{{column!r}: 'float64'}})",
        f"df[[{column!r}]].astype('str')",
        f"df.dropna()[{column!r}].astype('int64')",
    ]
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
def test_windows_and_order(column: str) -> None:
    calls = ["cumsum()", "cummax()", "cummin()", "cumprod()", "shift()", "shift(-1)", "shift(0)", "diff()", "diff(-2)",
             "nlargest(3)", "nsmallest(3)", "nlargest(3, keep='last')", "drop_duplicates()",
             "drop_duplicates(keep=False)", "unique()", "nunique()", "nunique(dropna=False)", "value_counts()",
             "value_counts(dropna=False)", "value_counts(normalize=True, sort=False)", "isna()", "dropna()", "head(2)",
             "tail(3)", "rename('z')", "reset_index()", "duplicated()"]  # fmt: skip
    calls += [f"sort_values(kind='stable', ascending={a}, na_position={p!r}, ignore_index={i})" for a in (True, False)
              for p in ("first", "last") for i in (True, False)]  # fmt: skip
    calls += [f"rank(method={m!r}, ascending={a}, na_option={o!r}, pct={p})" for m in ("average", "min", "max",
                                                                                       "first", "dense")
              for a in (True, False) for o in ("keep", "top", "bottom") for p in (True, False)]  # fmt: skip
    sources = [f"df[{column!r}].{call}" for call in calls]
    sources += [
        f"df.sort_values([{column!r}, 'g'], ascending=[{a}, {b}], kind='stable')"
        for a in (True, False)
        for b in (True, False)
    ]
    sources += [f"df.set_index({column!r}).sort_index(kind='stable')['g']", f"df.nlargest(4, [{column!r}, 'g'])",
                f"df.drop_duplicates([{column!r}, 'k'], keep='last')", f"repr(df[{column!r}])",
                f"repr(df[[{column!r}, 'k']])"]  # fmt: skip
    found = disagreements({"df": frame()}, *sources, tolerance=NEAR)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
def test_reductions(column: str) -> None:
    names = ("sum", "mean", "min", "max", "std", "var", "median", "prod", "sem", "count", "any", "all")
    sources = [f"df{part}[{column!r}].{name}({arguments})" for name in names for part in ("", ".head(0)",
                                                                                          ".head(1)", ".dropna()")
               for arguments in ("", "skipna=False") if not (arguments and name == "count")]  # fmt: skip
    sources += [f"df[{column!r}].sum(min_count=20)", f"df[{column!r}].var(ddof=0)", f"df[[{column!r}, 'g']].sum()",
                f"df[[{column!r}]].mean(numeric_only=True)", f"df[[{column!r}, 'g']].max()"]  # fmt: skip
    found = disagreements({"df": frame()}, *sources, tolerance=NEAR)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
def test_arithmetic(column: str) -> None:
    operators = ("+", "-", "*", "/", "//", "%", "==", "!=", "<", "<=", ">", ">=", "&", "|", "**")
    scalars = [s for s in SCALARS if not (column == "str" and s == "2**40")]  # pandas would repeat the text
    sources = [text for operator in operators for scalar in scalars
               for text in (f"df[{column!r}] {operator} {scalar}", f"{scalar} {operator} df[{column!r}]")
               if not (operator == "**" and scalar not in ("0", "2", "2.5"))]  # fmt: skip
    sources += [f"df[{column!r}] {operator} df[{other!r}]" for operator in operators[:12] for other in EVERY]
    sources += [f"df[[{column!r}, 'g']] * {scalar}" for scalar in scalars] + [
        f"-df[{column!r}]",
        f"~df[{column!r}]",
        f"abs(df[{column!r}])",
    ]
    found = disagreements({"df": frame()}, *sources, tolerance=Tolerance(0.0, 5e-16))
    assert not found, "\n".join(found[:40])


@pytest.mark.parametrize("column", EVERY)
def test_missing_and_tests(column: str) -> None:
    sources = [f"df[{column!r}].{call}" for scalar in SCALARS
               for call in (f"fillna({scalar})", f"isin([{scalar}])", f"isin([{scalar}, 1, 'a'])",
                            f"between({scalar}, {scalar})", f"clip({scalar})", f"clip(upper={scalar})")]  # fmt: skip
    sources += [f"df[{column!r}].round({digits})" for digits in ("", "1", "-1")]
    sources += [f"df.fillna({{{column!r}: {scalar}}})" for scalar in SCALARS]
    sources += [f"df.dropna(subset=[{column!r}, 'k'])", f"df.dropna(subset={column!r}, how='all', ignore_index=True)"]
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found[:40])


@pytest.mark.parametrize(
    "scalar",
    ["0", "2.5", "True", "'a'", "np.int8(3)", "np.float32(0.5)", "None", "pd.Timestamp('2013-01-01')"],
)
def test_columns_of_one_value(scalar: str) -> None:
    """A column made of a scalar has a dtype of its own: it is no Python number in what follows."""
    others = ("int8", "uint32", "float32", "bool", "str", "datetime64[s]")
    sources = [
        f"df['n'] = {scalar}",
        *(f"df['n'] + df[{other!r}]" for other in others),
        "df['n'] == df['n']",
        "df.isna()",
        "df[['n']].head(2)",
        "df.groupby('n')['g'].sum()",
        "df.sort_values('n', kind='stable')",
        "df['n'].nunique()",
        "df.merge(df, on='n', how='left')",
        "df[df['n'] == df['n']]",
        "df['n'].fillna(1)",
        "repr(df[['n', 'g']])",
    ]
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found)


def test_a_zero_makes_its_block_float() -> None:
    frame = pandas.DataFrame({
        "a": [1, 2], "b": [0, 1], "c": np.array([1, 2], "int8"), "d": np.array([0, 2], "int8"),
        "e": np.array([1, 2], "uint16"), "f": [0.0, 1.0],
    })  # fmt: skip
    sources = [
        f"{left} {op} {right}"
        for op in ("%", "//", "/")
        for left, right in (
            ("0", "df"),
            ("1", "df"),
            ("df", "0"),
            ("df", "2"),
            ("5", "df[['a', 'c', 'd']]"),
            ("7", "df[1:]"),
        )
    ]
    found = disagreements({"df": frame}, *sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("categories", "values"),
    [
        (["b", "a", "c", ""], ("'a'", "''", "'nowhere'", "3", "nan", "np.str_('a')")),
        ([3, 0, -1], ("3", "0", "7", "3.0", "True", "'a'", "2**62", "2**70")),
        ([0.5, -0.0, 2.0], ("0.5", "0.0", "-0.0", "2", "nan", "inf", "False")),
        ([], ("'a'", "1")),
    ],
)
def test_one_value_of_a_category(categories: list[object], values: tuple[str, ...]) -> None:
    for codes in ([0, -1, 2, 1, 2, 0], [-1, -1], []):
        codes = [code if code < len(categories) else -1 for code in codes]
        for ordered in (False, True):
            column = pandas.Categorical.from_codes(codes, categories=categories, ordered=ordered)
            df = pandas.DataFrame({"c": column, "v": np.arange(len(codes))})
            sources = [f"df['c'] {op} {value}" for op in ("==", "!=", "<") for value in values]
            sources += [f"{value} == df['c']" for value in values]
            sources += [f"df[df['c'] {op} {value}]" for op in ("==", "!=") for value in values]
            sources += [f"df[['c']] == {values[0]}", f"df['c'].eq({values[0]})", f"df[['c']] < {values[0]}"]
            found = disagreements({"df": df}, *sources)
            assert not found, "\n".join(found)


def test_one_value_of_a_category_is_native(tmp_path: Path) -> None:
    """Also over a Parquet file of several row groups, whose statistics are of the text."""
    path = tmp_path / "x.parquet"
    df = pandas.DataFrame({"c": pandas.Categorical(np.repeat(["b", "a", "c"], 40)), "v": np.arange(120)})
    df.to_parquet(path, row_group_size=25)
    for value in ("a", "c", "nowhere"):
        with mode("strict"):
            opened = terality.read_parquet(path)
            ours = terality.to_pandas(opened[opened["c"] == value]), terality.to_pandas(opened[opened["c"] != value])
        pandas.testing.assert_frame_equal(ours[0], df[df["c"] == value])
        pandas.testing.assert_frame_equal(ours[1], df[df["c"] != value])
