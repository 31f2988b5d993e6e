"""What happens when things go wrong: files, memory, signals, threads, forks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet
import pytest
import terality
from pandas.testing import assert_frame_equal, assert_series_equal
from terality import _engine

from ..parity.programs import mode


def table(n: int) -> pandas.DataFrame:
    """Make n rows of three dtypes."""
    rng = np.random.default_rng(1)
    return pandas.DataFrame(
        {"k": rng.integers(0, 9, n), "v": rng.random(n), "s": pandas.array(np.tile(["x", "yy"], n)[:n], dtype="str")}
    )


@pytest.mark.parametrize("read", ["read_parquet", "read_csv"])
def test_missing_file(read: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as ours:
        getattr(terality, read)(tmp_path / "absent")
    assert "absent" in str(ours.value)


def test_not_a_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no such thing at all")
    with pytest.raises(pa.ArrowInvalid, match=r"x\.parquet"):
        terality.read_parquet(tmp_path / "x.parquet")


def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table(1000).to_parquet(path)
    whole = path.read_bytes()
    for size in (0, 3, 8, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(pa.ArrowInvalid, match=r"x\.parquet"):
            terality.execute(terality.read_parquet(path))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"index_columns": [', json.JSONDecodeError),
        (b"\xff\xfe", ValueError),
        (b"3", ValueError),
        (b"[]", ValueError),
        (b'{"index_columns": 3, "columns": []}', ValueError),
        (b'{"index_columns": [3], "columns": []}', ValueError),
        (b'{"index_columns": [], "columns": [3]}', ValueError),
        (b'{"index_columns": [], "columns": [{"field_name": "k"}]}', ValueError),
        (b'{"index_columns": [], "columns": [], "column_indexes": ["k"]}', ValueError),
        (b'{"index_columns": [{"kind": "range", "name": null}], "columns": []}', ValueError),
        (b'{"index_columns": [{"kind": "range", "start": 0, "stop": 9, "step": 0}], "columns": []}', ValueError),
        (b'{"index_columns": [{"kind": "range", "start": 0, "stop": "x", "step": 1}], "columns": []}', ValueError),
    ],
)
def test_corrupt_pandas_metadata(text: bytes, error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = pyarrow.table({"k": [1, 2]})
    pyarrow.parquet.write_table(columns.replace_schema_metadata({b"pandas": text}), path)
    with pytest.raises(error, match=r"x\.parquet.*pandas metadata"):
        terality.read_parquet(path)


def test_replaced_between_plan_and_read(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table(1000).to_parquet(path)
    df = terality.read_parquet(path)
    other = tmp_path / "y.parquet"
    table(10).to_parquet(other)
    os.replace(other, path)  # the old file lives on behind the open descriptor, as in pandas
    assert len(df.to_pandas()) == 1000
    df = terality.read_parquet(path)
    with open(path, "r+b") as file:  # changed in place: that must be noticed
        file.write(b"\0" * 2000)
    with pytest.raises(Exception, match=r"x\.parquet"):
        df.to_pandas()


def test_writing_where_one_cannot(tmp_path: Path) -> None:
    df = terality.from_pandas(table(100))
    for target in (tmp_path / "no folder" / "x.parquet", tmp_path):
        for name in ("to_parquet", "to_csv"):
            with pytest.raises(OSError) as ours:
                getattr(df, name)(target)
            with pytest.raises(OSError) as theirs, mode("off"):
                getattr(table(100), name)(target)
            assert type(ours.value) is type(theirs.value)
            assert target == tmp_path or str(ours.value) == str(theirs.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk(tmp_path: Path) -> None:
    df = terality.from_pandas(table(200_000))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    code = f"""
    import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    {limit}
    import numpy as np, pandas, terality
    df = terality.from_pandas(pandas.DataFrame({{"v": np.random.default_rng(1).random(200_000)}}))
    for write in (df.to_parquet, df.to_csv):
        try:
            write({str(tmp_path / "x")!r})
        except OSError as error:
            print(type(error).__name__, error)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert ran.stdout.count(str(tmp_path / "x")) == 2
    assert list(tmp_path.iterdir()) == []
    assert len(df) == 200_000


def test_over_budget() -> None:
    df = terality.from_pandas(table(1_000_000))
    before = _engine.memory()["budget"]
    _engine.set_memory_budget(_engine.memory()["used"] + 1_000_000)
    try:
        with pytest.raises(MemoryError, match="budget"):
            terality.execute(df.sort_values("v"))
    finally:
        _engine.set_memory_budget(before)
    assert len(df.sort_values("v").to_pandas()) == 1_000_000


@pytest.mark.parametrize(
    ("name", "value"),
    [("MODE", "fast"), ("MEMORY_BUDGET", "8 gigs"), ("MEMORY_BUDGET", "-5"), ("THREADS", "0"), ("THREADS", "two")],
)
def test_wrong_environment(name: str, value: str) -> None:
    environment = {**os.environ, f"TERALITY_{name}": value}
    code = "import terality"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith(f"ValueError: TERALITY_{name}={value!r}: expected ")


def test_interrupt_leaves_everything_usable() -> None:
    df = terality.from_pandas(table(3_000_000))
    expected = df.sort_values("v").head(3).to_pandas()

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    # What a shell runs in the background is started with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupted = 0
    for delay in (0.01, 0.03, 0.06):
        timer = threading.Timer(delay, interrupt)
        timer.start()
        try:
            for _ in range(50):
                terality.execute(df.sort_values(["s", "v"]))
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            timer.cancel()
            timer.join()
    signal.signal(signal.SIGINT, before)
    assert interrupted
    assert_frame_equal(df.sort_values("v").head(3).to_pandas(), expected)


def test_threads() -> None:
    df = terality.from_pandas(table(200_000))
    plain = df.to_pandas()
    expected = plain.groupby("k")["v"].sum()
    shared = df[df["v"] > 0.5]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                assert_series_equal(df.groupby("k")["v"].sum().to_pandas(), expected)
                assert len(shared.to_pandas()) == int((plain["v"] > 0.5).sum())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures


def test_fork() -> None:
    df = terality.from_pandas(table(200_000))
    expected = float(df["v"].sum())
    pid = os.fork()
    if pid == 0:
        ok = float(df["v"].sum()) == expected and len(df[df["v"] > 0.5].to_pandas()) > 0
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert float(df["v"].sum()) == expected
