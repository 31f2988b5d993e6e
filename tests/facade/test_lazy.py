"""Lazy objects are pandas' own, answer from the schema, and run their plan once."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import terality

from .conftest import lazy, small


def test_identity() -> None:
    df, _ = lazy(small())
    assert terality.DataFrame is pd.DataFrame and terality.Series is pd.Series
    assert type(df) is pd.DataFrame and type(lazy(small()["a"])[0]) is pd.Series


def test_wrappers_look_like_functions() -> None:
    method = pd.DataFrame.sort_values
    assert method.__name__ == "sort_values" and method.__qualname__ == "DataFrame.sort_values"
    assert method.__module__ == "pandas" or method.__module__.startswith("pandas.")
    assert list(inspect.signature(method).parameters)[:2] == ["self", "by"]
    assert next(iter(inspect.signature(small().sort_values).parameters)) == "by"
    assert method.__doc__ == method.__wrapped__.__doc__ and inspect.unwrap(method) is method.__wrapped__
    assert pickle.loads(pickle.dumps(method)) is method and copy.deepcopy(method) is method
    assert pickle.loads(pickle.dumps(small().sum))().equals(small().sum())
    assert isinstance(pd.DataFrame.shape, property)


def test_schema_runs_nothing() -> None:
    df, table = lazy(small())
    assert df.shape == (3, 3) and len(df) == 3 and df.ndim == 2 and df.size == 9 and not df.empty
    assert list(df.columns) == ["a", "b", "c"] and df.columns is df.columns and df.index is df.axes[0]
    assert df.dtypes.equals(small().dtypes)
    assert "a" in df and list(df) == ["a", "b", "c"] and [*df.keys()] == ["a", "b", "c"]
    s, column = lazy(small()["a"])
    assert s.name == "a" and s.dtype == np.int64 and s.shape == (3,) and len(s) == 3 and s.ndim == 1
    assert terality.is_lazy(df) and terality.is_lazy(s) and table.runs == column.runs == 0


def test_runs_once_and_is_pandas_afterwards() -> None:
    df, table = lazy(small())
    columns, index = df.columns, df.index
    pd.testing.assert_frame_equal(df, small())
    assert df.sum(numeric_only=True)["a"] == 6
    assert table.runs == 1 and not terality.is_lazy(df)
    assert df.columns is columns and df.index is index


def test_two_objects_share_one_run_and_the_arrays() -> None:
    table = lazy(small())[1]
    one, two = terality.native.wrap_frame(table), terality.native.wrap_frame(table)
    assert np.shares_memory(one["a"].to_numpy(), two["a"].to_numpy()) and table.runs == 1
    one.loc[0, "a"] = 99
    assert two.loc[0, "a"] == 1 and one.loc[0, "a"] == 99


def test_name_of_an_axis_is_the_objects_own(fake: object) -> None:
    table = lazy(small())[1]
    one, two = terality.native.wrap_frame(table), terality.native.wrap_frame(table)
    one.columns.name = "cols"
    assert two.columns.name is None and one.columns.name == "cols"
    assert (one[["a"]] + 1).columns.name == "cols"


def test_attribute_error_of_a_plan_is_no_attribute_error() -> None:
    df, table = lazy(small())
    calls = []

    def fail() -> None:
        calls.append(1)
        raise AttributeError("inside")

    table.materialize = fail
    with pytest.raises(RuntimeError, match="inside"):
        df._mgr
    assert calls == [1] and terality.is_lazy(df)
    del table.materialize
    assert df["a"].sum() == 6


def test_assigning_a_manager() -> None:
    df, _ = lazy(small())
    df._mgr = pd.DataFrame({"z": [1]})._mgr
    assert list(df.columns) == ["z"] and terality.native.native_of(df, ingest=False) is None


def test_threads_run_a_plan_once() -> None:
    df, table = lazy(small())
    original, results = table.materialize, []

    def slow() -> object:
        time.sleep(0.05)
        return original()

    table.materialize = slow
    threads = [threading.Thread(target=lambda: results.append(df._mgr)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert table.runs == 1 and len(results) == 16 and len({id(manager) for manager in results}) == 1


def test_plan_that_needs_itself_says_so() -> None:
    df, table = lazy(small())
    table.materialize = lambda: df._mgr
    with pytest.raises(RuntimeError, match="own materialisation"):
        df._mgr


def test_fork_while_another_thread_materialises() -> None:
    df, table = lazy(small())
    original, started, finish = table.materialize, threading.Event(), threading.Event()

    def slow() -> object:
        started.set()
        finish.wait(10)
        return original()

    table.materialize = slow
    thread = threading.Thread(target=lambda: df._mgr)
    thread.start()
    started.wait(10)
    child = os.fork()
    if child == 0:
        table.materialize = original
        os._exit(0 if int(df["a"].sum()) == 6 else 1)
    finish.set()
    thread.join(10)
    assert os.waitpid(child, 0)[1] == 0 and int(df["a"].sum()) == 6


def test_pickle_is_plain_pandas() -> None:
    df, _ = lazy(small())
    df.attrs["k"] = 1
    data = pickle.dumps(df)
    assert b"terality" not in data
    again = pickle.loads(data)
    pd.testing.assert_frame_equal(again, small())
    assert again.attrs == {"k": 1}
    script = "import sys, pickle; print(len(pickle.load(sys.stdin.buffer)), 'terality' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
    assert done.stdout.strip() == b"3 False"


def test_attrs_and_flags(fake: object) -> None:
    df = small()
    df.attrs["origin"] = [1]
    df = df.set_flags(allows_duplicate_labels=False)
    result = df[["a"]]
    assert terality.is_lazy(result) and result.attrs == {"origin": [1]}
    assert result.attrs["origin"] is not df.attrs["origin"]
    assert result.flags.allows_duplicate_labels is False and result.flags._obj() is result
    assert small()[["a"]].flags.allows_duplicate_labels is True


def test_subclasses_stay_pandas(fake: object) -> None:
    class Mine(pd.DataFrame):
        @property
        def _constructor(self) -> type:
            return Mine

    df = Mine({"a": [1, 2]})
    result = df + 1
    assert type(result) is Mine and not terality.is_lazy(result)
    assert terality.native.native_of(df) is None and terality.report().native == 0


def test_from_and_to_pandas(fake: object) -> None:
    df = pd.DataFrame.from_pandas(small())
    assert terality.is_lazy(df)
    plain = df.to_pandas()
    pd.testing.assert_frame_equal(plain, small())
    assert terality.native.native_of(plain, ingest=False) is None
    with pytest.raises(TypeError, match="from_pandas expects"):
        terality.from_pandas([1])
