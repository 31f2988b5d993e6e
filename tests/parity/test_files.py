"""CSV and Parquet: every dtype written and read back, and the arguments of the readers."""

from __future__ import annotations

import pytest

from .columns import EVERY, frame
from .programs import disagreements

TEXT = 'a,b,c,d\n1,x,2.5,2013-01-01\n2,"y,z",,2013-01-02 03:04:05\n-3,NA,1e300,\n4,"q""q",nan,1969-12-31\n'
READ = ("", "sep=','", "header=None", "names=['p', 'q', 'r', 's']", "names=['p', 'q', 'r', 's'], header=0",
        "usecols=['a', 'c']", "usecols=['c', 'a']", "usecols=[0]", "usecols=['z']", "nrows=2", "nrows=0", "skiprows=1",
        "skiprows=[1]", "index_col='a'", "index_col=0", "index_col=['a', 'b']", "index_col='z'",
        "dtype={'a': 'float64'}", "dtype={'a': 'str', 'c': 'float32'}", "dtype={'b': 'int64'}", "dtype='str'",
        "dtype={'b': 'category'}", "na_values=['x']", "na_values={'a': [1]}", "keep_default_na=False",
        "na_filter=False", "parse_dates=['d']", "parse_dates=['z']", "parse_dates=True", "true_values=['x']",
        "comment='q'", "decimal=','", "thousands='.'", "skipfooter=1, engine='python'", "engine='python'", "sep=';'",
        "quotechar=\"'\"", "encoding='latin-1'", "low_memory=False", "on_bad_lines='skip'", "nosuch=1",
        "skipinitialspace=True", "dtype={'a': 'nosuch'}", "nrows='x'", "header=5")  # fmt: skip
BROKEN = ("", "\n", "a,b\n", "a,b\n1\n", "a,b\n1,2,3\n", "a,b\n1,2\n3,4,5\n", 'a,b\n"1,2\n', "a,a\n1,2\n", ",b\n1,2\n",
          "a\n\n\n1\n", "a,b\r\n1,2\r\n", "a\n1\nx\n", "a\nTrue\nFalse\n", "a\nTrue\nx\n", "a\n9223372036854775808\n",
          "a\n-1\n18446744073709551615\n", "a\n1e400\n", "\ufeffa,b\n1,2\n", "a\n0x10\n", "a\n1_000\n", "a\n 1\n",
          "a\n+1\n", "a\n1.\n", "a\n.5\n", "a\ninf\n-Infinity\n", "a\nNULL\n", "a;b\n1;2\n")  # fmt: skip


@pytest.mark.parametrize("arguments", READ)
def test_arguments_of_read_csv(arguments: str) -> None:
    found = disagreements({}, f"open(tmp + '/a.csv', 'w').write({TEXT!r})", f"pd.read_csv(tmp + '/a.csv', {arguments})")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", BROKEN)
def test_odd_csv(text: str) -> None:
    found = disagreements({}, f"open(tmp + '/a.csv', 'w', newline='').write({text!r})", "pd.read_csv(tmp + '/a.csv')")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
@pytest.mark.parametrize("arguments",
                         ["", "index=False", "na_rep='-'", "sep=';'", "header=False", "quoting=1", "quoting=2",
                          "mode='a'", "float_format='%.2f'", "date_format='%Y'", "lineterminator='\\r\\n'",
                          "columns=['g']"])  # fmt: skip
def test_to_csv(column: str, arguments: str) -> None:
    sources = [
        f"df[[{column!r}, 'g']].to_csv(tmp + '/a.csv', {arguments})",
        f"df.set_index({column!r})[['g']].to_csv(tmp + '/b.csv', {arguments})",
    ]
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("column", EVERY)
def test_parquet(column: str) -> None:
    part = f"df[[{column!r}, 'g']]"
    sources = [f"({part}.to_parquet(tmp + '/a.parquet', {arguments}), pd.read_parquet(tmp + '/a.parquet'))[1]"
               for arguments in ("", "index=False", "index=True", "compression=None", "compression='gzip'",
                                 "compression='zstd'", "compression='nosuch'")]  # fmt: skip
    sources += [f"({part}.head(0).to_parquet(tmp + '/b.parquet'), pd.read_parquet(tmp + '/b.parquet'))[1]",
                f"(df.set_index({column!r})[['g', 'k']].to_parquet(tmp + '/c.parquet'), "
                "pd.read_parquet(tmp + '/c.parquet'))[1]",
                "pd.read_parquet(tmp + '/c.parquet', columns=['g'])",
                "pd.read_parquet(tmp + '/c.parquet', columns=['nosuch'])",
                f"(df.set_index([{column!r}, 'g'])[['k']].to_parquet(tmp + '/d.parquet'), "
                "pd.read_parquet(tmp + '/d.parquet'))[1]",
                *(f"__import__('pyarrow.parquet').parquet.read_schema(tmp + '/{name}.parquet').remove_metadata()"
                  ".to_string()" for name in "abcd"),
                "pd.read_parquet(tmp + '/a.parquet', filters=[('g', '>', 1)])", "pd.read_parquet(tmp)"]  # fmt: skip
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found)


def test_falsy_names_of_levels() -> None:
    """pandas writes no label for a level named 0, but one for an index named 0."""
    sources = ("df.set_index(['g', 'k']).rename_axis([0, 'k'])", "df.set_index('g').rename_axis(0)")
    written = [f"{source}[['int64']].to_csv(tmp + '/{i}.csv')" for i, source in enumerate(sources)]
    found = disagreements({"df": frame()}, *written)
    assert not found, "\n".join(found)


def test_a_folder_is_no_target() -> None:
    sources = [f"df.{write}({path})" for write in ("to_csv", "to_parquet") for path in ("tmp", "tmp + '/'")]
    found = disagreements({"df": frame()}, *sources)
    assert not found, "\n".join(found)
