"""Labels that long runs of generated programs found wrong: class of the Index, which of two equal labels, names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
import terality

from .programs import configured, disagreements, mode

NAN = float("nan")


def test_zeros_among_several_keys() -> None:
    """pandas labels groups of several keys by the first zero of each column, whatever sign the group's own has."""
    frame = pandas.DataFrame({
        "a": [1.5, -0.0, 0.0, 0.0, -0.0], "b": np.array([0.0, -0.0, NAN, -0.0, 0.0], "float32"),
        "c": ["x", "y", "x", "x", "z"],
    })  # fmt: skip
    found = disagreements(
        {"df": frame},
        *(f"df.groupby({keys}, {extra}).size()" for keys in (["a", "b"], ["c", "a"], ["b", "c"], ["a"])
          for extra in ("", "sort=False", "dropna=False", "as_index=False")),
        "df.value_counts(['a', 'c'])",
        "df[1:].groupby(['c', 'a'])['b'].max()",
    )  # fmt: skip
    assert not found, "\n".join(found)


def test_labels_do_not_change_the_keys() -> None:
    """Where every row is a group in its turn, the labels are the key columns themselves."""
    frame = pandas.DataFrame({"a": [1.0, -0.0], "b": [0.0, -0.0], "v": [1, 2]})
    found = disagreements({"df": frame}, "df.groupby(['a', 'b'], sort=False)['v'].sum()", "df['b'].sort_index()", "df")
    assert not found, "\n".join(found)


def test_missing_levels() -> None:
    """A group-by with dropna=False leaves NaN among the levels, which descending sorts and object labels show."""
    frame = pandas.DataFrame({
        "a": [2, 1, 2, 1], "b": [1.0, NAN, 0.5, 0.5], "s": ["x", None, "y", None],
        "t": pandas.to_datetime(["2020-01-01", None, "2019-01-01", None]),
        "c": pandas.Categorical([10, 1, None, 1], categories=[10, 1]),
    })  # fmt: skip
    pairs = [["a", "b"], ["s", "a"], ["t", "b"], ["c", "t"], ["c", "s", "b"]]
    sources = [f"df.groupby({keys}, dropna=False, observed=True, sort={sort}).size()" for keys in pairs
               for sort in (True, False)]  # fmt: skip
    calls = (".sort_index(ascending=False, kind='stable')", ".index.to_list()", ".head(2)", ".__repr__()")
    shown = [f"{source}{call}" for source in sources for call in calls]
    shown += [f"{source}.index.levels" for source in sources[::2]]
    found = disagreements({"df": frame}, *sources, *shown, "df.value_counts(['s', 'a'], dropna=False).index.levels")
    assert not found, "\n".join(found)


def test_class_of_labels_put_together() -> None:
    frame = pandas.DataFrame({"a": [1, 2, 3]})
    sources = ("pd.concat([df, df])", "pd.concat([df[:1], df[1:]])", "pd.concat([df[:1], df[2:]])")
    with configured("default"):
        for source in sources:
            names = {"pd": terality, "df": frame.copy()}
            ours = [type(eval(f"{source}{call}.index", names)) for call in ("", ".head(2)", "[::2]")]
            with mode("off"):
                names = {"pd": pandas, "df": frame.copy()}
                theirs = [type(eval(f"{source}{call}.index", names)) for call in ("", ".head(2)", "[::2]")]
            assert ours == theirs, source
    repeated = "pd.concat([pd.concat([df, df]), pd.concat([df, df]).head(2)], axis=1)"
    found = disagreements({"df": frame}, repeated)
    assert not found, "\n".join(found)


def test_names_of_merged_columns() -> None:
    """Whether the right side's labels count depends on the number of rows when it has nothing but keys."""
    left = pandas.DataFrame({"a": [1, 2], "b": [3, 4]})
    left.columns.name = "n"
    right = pandas.DataFrame({"a": [5]})
    found = disagreements(
        {"df": left, "other": right, "same": left[["a"]] + 4},
        *(f"df.merge({name}, how={how!r})" for name in ("other", "same", "df[['a']]")
          for how in ("inner", "left", "outer", "right")),
    )  # fmt: skip
    assert not found, "\n".join(found)


def test_sorting_labels_with_categories() -> None:
    """Whether several levels are in order already, pandas asks of the values; it sorts by the categories' order."""
    frame = pandas.DataFrame({"v": [1, 2]}, index=pandas.Categorical(["ab", "abc"], categories=["B", "abc", "ab"]))
    found = disagreements(
        {"df": frame},
        "pd.concat([df, df], keys=['p', 'q']).sort_index(kind='stable')",
        "pd.concat([df[::-1], df], keys=['p', 'q']).sort_index(kind='stable')",
        "df.sort_index(kind='stable')",
    )
    assert not found, "\n".join(found)


def test_names_of_counted_columns() -> None:
    """Counts are named by the labels that the columns have, not by equal ones that were given."""
    frame = pandas.DataFrame([[1, 2.5], [1, 3.5]], columns=pandas.Index([False, True]))
    numbers = pandas.DataFrame([[1, 2], [1, 3]], columns=pandas.Index([0.5, 1.0]))
    found = disagreements(
        {"df": frame, "numbers": numbers},
        "df.value_counts(subset=[False])", "df.value_counts([True, False])", "df.value_counts()",
        "numbers.value_counts([1])", "numbers.groupby([1])[0.5].sum()", "numbers.value_counts()",
    )  # fmt: skip
    assert not found, "\n".join(found)


def classes(source: str, frame: pandas.DataFrame, folder: str) -> tuple[list[str], list[str]]:
    """Give the labels' class natively and by pandas, of a source and of what is picked from it when it is known."""
    found = []
    for how in ("native", "off"):
        with mode(how):
            made = eval(source, {"pd": terality, "df": frame.copy(), "tmp": folder})
            found.append([repr(made.index), repr(made.head(2).index), repr(made)])
    return found[0], found[1]


@pytest.mark.parametrize("values", [[1, -1], [3, 5, 7], [1, 5, 7], [4], [], [2, 2], [0, 1, 2]])
def test_class_of_labels_that_were_put(values: list[int], tmp_path: Path) -> None:
    """pandas makes a RangeIndex of whole numbers put as labels, which it prints in another width."""
    frame = pandas.DataFrame({"i": np.array(values, "int64"), "v": 1.5})
    csv, parquet = f"{str(tmp_path)!r} + '/a.csv'", f"{str(tmp_path)!r} + '/a.parquet'"
    sources = (
        "df.set_index('i')",
        "df.set_index('i')['v']",
        f"(df.to_csv({csv}, index=False), pd.read_csv({csv}, index_col=0))[1]",
        f"(df.set_index('i').to_parquet({parquet}), pd.read_parquet({parquet}))[1]",
        f"(df.nlargest(2, 'v').to_parquet({parquet}), pd.read_parquet({parquet}))[1]",
    )
    for source in sources:
        ours, theirs = classes(source, frame, str(tmp_path))
        assert ours == theirs, source


def test_all_columns_by_position_are_the_same_object() -> None:
    """pandas takes column labels that are one object as they are, repeated ones too."""
    frame = pandas.DataFrame([[1, 2, "x"]], columns=["c", "c", "b"])
    found = disagreements(
        {"df": frame},
        "pd.concat([df.iloc[0:, :], df], join='inner')",
        "pd.concat([df.iloc[:, 0:3], df], join='inner')",
        "pd.concat([df[:1], df], join='inner')",
        "pd.concat([df.iloc[:, 1:], df], join='inner')",
    )
    assert not found, "\n".join(found)


def test_class_of_labels_is_each_tables_own() -> None:
    """A filter keeps the plan's columns of labels, yet its labels may be of another class."""
    with mode("native"):
        frame = pandas.DataFrame({"a": [1, 1, 2, 1]})
        whole = frame[frame["a"] > 0]
        some = whole[whole["a"] == 1]
        assert type(some.index) is pandas.Index
        assert type(whole.index) is pandas.RangeIndex
        assert type(some.head(2).index) is pandas.Index
        assert type(whole.head(2).index) is pandas.RangeIndex
