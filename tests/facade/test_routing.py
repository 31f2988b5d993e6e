"""Who serves a call, what is counted, and what strict mode and fallbacks say."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import terality
from terality.registry import Fallback

from . import fake_engine
from .conftest import lazy, small

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_plain_pandas_is_left_alone_in_auto_mode() -> None:
    with fake_engine.active("auto"):
        terality.report().reset()
        df = small()
        assert not terality.is_lazy(df["a"] + 1) and terality.report().calls == {}


def test_large_pandas_objects_go_native_in_auto_mode() -> None:
    with fake_engine.active("auto"):
        long = pd.DataFrame({"a": np.zeros(100_000)})
        assert terality.is_lazy(long + 1) and not terality.is_lazy(long.iloc[:99_999] + 1)
        wide = pd.DataFrame(np.zeros((2, 1 << 20)))
        assert terality.is_lazy(wide + 1) and not terality.is_lazy(wide.iloc[:1] + 1)
        named = long.set_axis(pd.Index(np.arange(100_000) * 2.0))
        assert terality.is_lazy(named + 1)


def test_a_handle_in_any_argument_makes_a_call_native() -> None:
    with fake_engine.active("auto"):
        df, other = small(), lazy(small())[0]
        assert terality.is_lazy(df + other) and terality.is_lazy(other + df)
        assert terality.is_lazy(df.merge(other, on="a")) and terality.is_lazy(df.merge(right=other, on="a"))


def test_attribute_access_stays_lazy(fake: object) -> None:
    df, table = lazy(small())
    assert terality.is_lazy(df.a) and table.runs == 0 and terality.is_lazy(df.a + 1)
    with pytest.raises(AttributeError, match="nothing"):
        df.nothing


def test_a_wrapper_equals_what_it_wraps() -> None:
    """pandas refuses ufuncs of a Series and a frame by asking whether both have the same ``__array_ufunc__``."""
    wrapped = pd.Series.__array_ufunc__
    assert wrapped == pd.DataFrame.__array_ufunc__ and wrapped != pd.Series.__add__
    assert hash(wrapped) == hash(wrapped.__wrapped__)
    with pytest.raises(NotImplementedError, match="mixed DataFrame and Series"):
        np.add(pd.Series([1, 2], index=["b", "c"]), pd.DataFrame({"b": [1, 2], "c": [3, 4]}))


def test_off_mode(fake: object) -> None:
    df, _ = lazy(small())
    terality.options.mode = "off"
    assert not terality.is_lazy(df[["a"]] + 1)


def test_calls_inside_pandas_are_not_counted(fake: object) -> None:
    terality.report().reset()
    small().describe()
    assert set(terality.report().calls) == {"DataFrame.describe"}


def test_calls_that_numpy_passes_on_for_pandas_are_not_counted(fake: object) -> None:
    """dropna asks ``numpy.all(mask)``, and that calls ``mask.all()``."""
    df = small()
    terality.report().reset()
    df.dropna(how="all")
    assert set(terality.report().calls) == {"DataFrame.dropna"}


def test_calls_that_numpy_passes_on_for_users_are_counted(fake: object, capsys: pytest.CaptureFixture[str]) -> None:
    df, _ = lazy(small())
    terality.report().reset()
    terality.options.quiet = False
    try:
        np.all(df)
    finally:
        terality.options.quiet = True
    assert "DataFrame.all" in terality.report().calls
    line = inspect.currentframe().f_lineno - 4  # type: ignore[union-attr]
    assert f"test_routing.py:{line}: DataFrame.all served by pandas" in capsys.readouterr().err


def test_user_functions_called_by_pandas_are_users(fake: object) -> None:
    seen = []
    small()[["a"]].apply(lambda column: seen.append(terality.is_lazy(column + 1)) or 0)
    assert seen and all(seen)


def test_counts(fake: object) -> None:
    df = small()
    df["a"] + 1
    df.describe()
    report = terality.report()
    assert report.calls["Series.__add__"].native == 1 and report.calls["DataFrame.describe"].fallback == 1
    assert report.native == 2 and report.fallback == 1 and "DataFrame.describe" in str(report)
    assert terality._suite_counters()["Series.__add__"] == (1, 0)
    report.reset()
    assert report.calls == {}


def test_fallback_is_announced_once_per_call_site(fake: object, capsys: pytest.CaptureFixture[str]) -> None:
    terality.options.quiet = False
    try:
        df, _ = lazy(small())
        for _ in range(3):
            df.describe()
    finally:
        terality.options.quiet = True
    text = capsys.readouterr().err
    assert text.count("DataFrame.describe served by pandas (no native version") == 1
    assert f"test_routing.py:{inspect.currentframe().f_lineno - 5}" in text  # type: ignore[union-attr]


def test_handler_refusing_an_argument(fake: object) -> None:
    df, _ = lazy(small())
    with pytest.warns(Warning, match="deprecated"):
        df.sort_values("a", inplace=True)
    assert terality.report().calls["DataFrame.sort_values"].fallback == 1


@pytest.mark.parametrize("fake", ["strict"], indirect=True)
def test_strict(fake: object) -> None:
    df = small()
    assert terality.is_lazy(df["a"] + 1)
    with pytest.raises(terality.NotNativeError, match=r"DataFrame\.describe .* no native version"):
        df.describe()
    with pytest.raises(terality.NotNativeError, match=r"DataFrame\.sort_values .* inplace"):
        df.sort_values("a", inplace=True)


def test_groupby_is_lazy(fake: object) -> None:
    df, table = lazy(small())
    grouped = df.groupby("c")
    assert type(grouped) is pd.core.groupby.DataFrameGroupBy and "_grouper" not in vars(grouped)
    column = grouped["a"]
    assert "_grouper" not in vars(column) and table.runs == 0
    pd.testing.assert_series_equal(column.sum(), small().groupby("c")["a"].sum(), check_index_type=False)
    with pytest.raises(KeyError, match="Column not found: q"):
        grouped["q"]
    with pytest.raises(KeyError, match="q"):
        df.groupby("q")
    assert grouped.ngroups == 2 and list(grouped.groups) == ["x", "y"]


def test_groupby_by_own_column_excludes_it(fake: object) -> None:
    df = small()[["a", "c"]]
    expected = small()[["a", "c"]].groupby(small()["c"]).sum()
    assert list(df.groupby(df["c"]).sum().columns) == ["a"] != list(expected.columns)


def test_str_and_dt_are_lazy(fake: object) -> None:
    s, table = lazy(small()["c"])
    methods = s.str
    assert type(methods) is pd.core.strings.accessor.StringMethods and table.runs == 0
    assert list(methods.upper()) == ["X", "Y", "X"]
    with pytest.raises(AttributeError, match=r"Can only use \.str accessor"):
        lazy(small()["a"])[0].str
    days, plan = lazy(pd.Series(pd.date_range("2020-01-01", periods=3)))
    assert days.dt is not None and plan.runs == 0 and list(days.dt.day) == [1, 2, 3]


def test_indexers_are_lazy(fake: object) -> None:
    df, table = lazy(small())
    assert df.loc is not None and df.iloc is not None and table.runs == 0 and df.loc[1, "a"] == 2


def test_fallback_never_reaches_users(fake: object) -> None:
    @terality.registry.native("DataFrame.nunique")
    def refuse(self: pd.DataFrame) -> None:
        raise Fallback("always")

    assert list(small().nunique()) == [3, 2, 2] and terality.report().calls["DataFrame.nunique"].fallback == 1


def run_python(*args: str) -> str:
    """Run another interpreter in the root of the tree; give what it printed."""
    environment = {**os.environ, "TERALITY_QUIET": "1", "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_uninstall_materialises_and_restores() -> None:
    code = """
        import pandas
        before = {cls: dict(vars(cls)) for cls in (pandas.DataFrame, pandas.Series, pandas.core.generic.NDFrame)}
        merge, read_csv = pandas.merge, pandas.read_csv
        import terality
        from tests.facade import fake_engine
        from tests.facade.conftest import lazy, small
        terality.install()
        assert pandas.merge is not merge and pandas.read_csv is not read_csv and terality.merge is pandas.merge
        df, table = lazy(small())
        terality.uninstall()
        assert pandas.merge is merge and pandas.read_csv is read_csv
        for cls, names in before.items():
            assert dict(vars(cls)) == names, set(vars(cls)) ^ set(names)
        assert table.runs == 1 and df.a.sum() == 6 and df.sort_values("a").shape == (3, 3)
        assert "_tr_native" not in vars(df)
        terality.install()
        assert pandas.merge is not merge
        print("done")
    """
    assert run_python("-c", textwrap.dedent(code)) == "done\n"


def test_unmodified_script(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text("import sys\nimport pandas as pd\nprint(type(pd.merge).__name__, sys.argv[1:], __name__)\n")
    assert run_python("-m", "terality", str(script), "x", "-y") == "Method ['x', '-y'] __main__\n"


def test_script_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "terality", str(tmp_path / "absent.py")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "absent.py" in ran.stderr


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of off, auto, native, strict"):
        terality.options.mode = "fast"
    assert terality.options.display.max_rows == pd.options.display.max_rows


def test_options_of_pandas_that_begin_with_mode_are_there() -> None:
    """Many scripts set ``pd.options.mode.chained_assignment``; terality's own option is called mode, too."""
    mode = terality.options.mode
    assert isinstance(mode, str) and mode in ("off", "auto", "native", "strict")
    assert mode.string_storage == pd.options.mode.string_storage  # type: ignore[attr-defined]
    assert "string_storage" in dir(mode)
    before = pd.options.mode.string_storage
    try:
        terality.options.mode.string_storage = "python"
        assert pd.options.mode.string_storage == "python"
    finally:
        pd.options.mode.string_storage = before
    with pytest.warns(pd.errors.Pandas4Warning, match="chained_assignment"):
        terality.options.mode.chained_assignment = None
    with pytest.raises(pd.errors.OptionError):
        terality.options.mode.no_such_option = 1


def test_a_key_that_is_no_column_is_refused_without_computing(fake: object) -> None:
    df, table = lazy(small())
    terality.report().reset()
    with pytest.raises(KeyError, match="nothing"):
        df.groupby("nothing")
    assert table.runs == 0 and terality.is_lazy(df)
