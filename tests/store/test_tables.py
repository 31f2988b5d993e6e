"""Tables in an S3 bucket: what is read and written there equals what pandas reads and writes on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from pandas.testing import assert_frame_equal
from terality import _engine


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """Nothing falls back to pandas."""
    before = terality.options.mode
    terality.options.mode = "strict"
    yield
    terality.options.mode = before


def frame(n: int = 50_000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "i": rng.integers(-1000, 1000, n),
        "f": np.where(rng.random(n) < 0.1, np.nan, rng.random(n)),
        "few": rng.choice(["a", "bb", "", "a text of more than twelve bytes"], n),
        "many": [f"text number {i} of many" for i in rng.integers(0, n * 10, n)],
        "when": pd.to_datetime(rng.integers(0, 10**9, n), unit="s"),
    })  # fmt: skip


def native(df: pd.DataFrame) -> Any:
    return terality.DataFrame.from_pandas(df)


def upload(url: str, path: Path) -> None:
    root, _, key = url.removeprefix("s3://").partition("/")
    _engine.Store(f"s3://{root}").put(key, path.read_bytes())


def test_parquet_made_by_pandas(s3: str, tmp_path: Path) -> None:
    df = frame().set_index("i")
    terality.options.mode = "off"
    df.to_parquet(tmp_path / "x.parquet", row_group_size=7_000)
    upload(f"{s3}/made/x.parquet", tmp_path / "x.parquet")
    expected = pd.read_parquet(tmp_path / "x.parquet")
    expected_some = expected.loc[expected["f"] > 0.5, ["f", "many"]]
    terality.options.mode = "strict"
    assert_frame_equal(terality.read_parquet(f"{s3}/made/x.parquet").to_pandas(), expected)
    some = terality.read_parquet(f"{s3}/made/x.parquet", columns=["f", "many"])
    assert_frame_equal(some[some["f"] > 0.5].to_pandas(), expected_some)


def test_parquet_round_trip(s3: str, tmp_path: Path) -> None:
    df = frame(300_000)
    native(df).to_parquet(f"{s3}/round/y.parquet")
    assert_frame_equal(terality.read_parquet(f"{s3}/round/y.parquet").to_pandas(), df)
    (tmp_path / "y.parquet").write_bytes(_engine.Store(s3).get("round/y.parquet"))
    assert_frame_equal(pd.read_parquet(tmp_path / "y.parquet"), df)


def test_folder_prefix_glob_and_list(s3: str) -> None:
    parts = [frame(2_000, seed) for seed in range(4)]
    urls = [f"{s3}/many/part-{i}.parquet" for i in range(4)]
    for part, url in zip(parts, urls, strict=True):
        native(part).to_parquet(url)
    whole = pd.concat(parts, ignore_index=True)
    for source in (f"{s3}/many/", f"{s3}/many", f"{s3}/many/part-*.parquet", f"{s3}/*/part-[0-9].parquet", urls):
        assert_frame_equal(terality.read_parquet(source).to_pandas(), whole)
    assert_frame_equal(
        terality.read_parquet(f"{s3}/many/part-[12].parquet").to_pandas(), pd.concat(parts[1:3], ignore_index=True)
    )


def test_many_files_and_late_answers(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    df = frame(6_000)
    native(df).to_parquet_folder(f"{s3}/hundred/*.parquet", num_files=60)
    monkeypatch.setenv("TERALITY_STORE_FAULTS", "stat:1:late:100")
    assert_frame_equal(terality.read_parquet(f"{s3}/hundred").to_pandas(), df)
    _engine.Store(s3).put("hundred/07.parquet", b"no Parquet file")
    _engine.Store(s3).put("hundred/55.parquet", b"")
    with pytest.raises(ValueError, match=r"hundred/07\.parquet.*magic bytes not found"):
        terality.read_parquet(f"{s3}/hundred")


def test_csv(s3: str, tmp_path: Path) -> None:
    df = frame(20_000)
    native(df).to_csv(f"{s3}/c/x.csv", index=False)
    df.to_csv(tmp_path / "x.csv", index=False)
    assert _engine.Store(s3).get("c/x.csv") == (tmp_path / "x.csv").read_bytes()
    expected = pd.read_csv(tmp_path / "x.csv", parse_dates=["when"])
    assert_frame_equal(terality.read_csv(f"{s3}/c/x.csv", parse_dates=["when"]).to_pandas(), expected)


def test_storage_options(versitygw: Any, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    df = frame(100)
    native(df).to_parquet(f"{s3}/opt/x.parquet")
    for name in versitygw.environment:
        if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_ENDPOINT")):
            monkeypatch.delenv(name)
    key, secret, endpoint = "AKROOT", "SKROOTSECRET", versitygw.endpoint
    for options in (
        {"key": key, "secret": secret, "endpoint_url": endpoint},
        {"key": key, "secret": secret, "client_kwargs": {"endpoint_url": endpoint, "region_name": "us-east-1"}},
    ):
        assert_frame_equal(terality.read_parquet(f"{s3}/opt/x.parquet", storage_options=options).to_pandas(), df)
        native(df).to_csv(f"{s3}/opt/x.csv", index=False, storage_options=options)
        assert len(terality.read_csv(f"{s3}/opt/x.csv", storage_options=options)) == 100
    with pytest.raises(terality.NotNativeError, match="block_size"):
        terality.read_parquet(f"{s3}/opt/x.parquet", storage_options={"block_size": 5})


def test_errors_name_the_cause(versitygw: Any, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"s3://tables/no/such\.parquet"):
        terality.read_parquet(f"{s3}/no/such.parquet")
    with pytest.raises(FileNotFoundError, match="bucket 'nobucket' does not exist"):
        terality.read_parquet("s3://nobucket/x.parquet")
    with pytest.raises(FileNotFoundError, match="bucket 'nobucket' does not exist"):
        native(frame(10)).to_parquet("s3://nobucket/x.parquet")
    with pytest.raises(FileNotFoundError, match="No files match"):
        terality.read_parquet(f"{s3}/no/*.parquet")
    with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
        terality.read_parquet(f"{s3}/x.parquet", storage_options={"key": "AKROOT", "secret": "wrong"})
    _engine.Store(s3).put("bad/x.parquet", b"this is no Parquet file")
    with pytest.raises(ValueError, match="Parquet magic bytes not found"):
        terality.read_parquet(f"{s3}/bad/x.parquet")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(PermissionError, match="no AWS credentials"):
        terality.read_parquet(f"{s3}/x.parquet")


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"key": "a", "secret": "b", "endpoint_url": "http://127.0.0.1:9"}
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9/nowhere/a\.parquet: Failed to connect"):
        terality.read_parquet("s3://nowhere/a.parquet", storage_options=there)


def test_changed_and_deleted_objects(s3: str) -> None:
    native(frame(1_000)).to_parquet(f"{s3}/change/x.parquet")
    changed = terality.read_parquet(f"{s3}/change/x.parquet")
    native(frame(1_000, 1)).to_parquet(f"{s3}/change/x.parquet")
    with pytest.raises(OSError, match=r"change/x\.parquet: the object was changed meanwhile"):
        changed["i"].sum()
    deleted = terality.read_parquet(f"{s3}/change/x.parquet")
    _engine.Store(s3).delete("change/x.parquet")
    with pytest.raises(FileNotFoundError, match=r"change/x\.parquet"):
        deleted["i"].sum()


def test_faults_are_survived(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERALITY_STORE_FAULTS", "read:3:short,stat:2:fail,list:2:lost,put:2:lost,part:2:fail")
    df = frame(200_000)
    native(df).to_parquet(f"{s3}/faults/x.parquet")
    assert_frame_equal(terality.read_parquet(f"{s3}/faults/").to_pandas(), df)
    monkeypatch.setenv("TERALITY_STORE_FAULTS", "read:1:fail")
    with pytest.raises(OSError, match="faults/x"):
        terality.read_parquet(f"{s3}/faults/x.parquet")


def test_folders_of_files(s3: str) -> None:
    df = frame(10_000)
    native(df).to_parquet_folder(f"{s3}/folder/part_*.parquet", num_files=11)
    keys = [key for key, _ in _engine.Store(s3).list("folder/")]
    assert keys == [f"folder/part_{i:02d}.parquet" for i in range(1, 12)]
    assert_frame_equal(terality.read_parquet(f"{s3}/folder").to_pandas(), df)
    with pytest.raises(FileExistsError):
        native(df).to_parquet_folder(f"{s3}/folder/part_*.parquet", num_files=1)


def test_failed_folder_leaves_nothing(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERALITY_STORE_FAULTS", "put:1:fail")
    with pytest.raises(OSError):
        native(frame(100)).to_csv_folder(f"{s3}/gone/x*.csv", num_files=3)
    monkeypatch.delenv("TERALITY_STORE_FAULTS")
    assert _engine.Store(s3).list("gone/") == []
