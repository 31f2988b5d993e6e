"""Tables in Azure Blob (Azurite): SharedKey, SAS, connection strings; equal to local files."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from pandas.testing import assert_frame_equal
from terality import _engine

pytestmark = pytest.mark.cluster
ACCOUNT = "acct1"
ACCOUNT_KEY = base64.b64encode(b"thirty-two bytes of a test's key").decode()


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    before = terality.options.mode
    terality.options.mode = "strict"
    yield
    terality.options.mode = before


@pytest.fixture
def az(azurite: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in azurite.environment.items():
        monkeypatch.setenv(name, value)
    _engine.Store("az://tables").make()
    return "az://tables"


def frame(n: int = 20_000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"i": rng.integers(0, 99, n), "f": rng.random(n), "t": rng.choice(["x", "", "yy zz"], n)})


def native(df: pd.DataFrame) -> Any:
    return terality.DataFrame.from_pandas(df)


def sas(permissions: str) -> str:
    """A service SAS of the container, as Azure's documentation says."""
    version, end, resource = "2021-12-02", "2099-01-01T00:00:00Z", f"/blob/{ACCOUNT}/tables"
    fields = [permissions, "", end, resource, "", "", "", version, "c", "", "", "", "", "", "", ""]
    mac = hmac.new(base64.b64decode(ACCOUNT_KEY), "\n".join(fields).encode(), hashlib.sha256).digest()
    query = {"sp": permissions, "se": end, "sv": version, "sr": "c", "sig": base64.b64encode(mac).decode()}
    return urllib.parse.urlencode(query)


def test_round_trips(az: str, tmp_path: Path) -> None:
    parts = [frame(20_000, seed) for seed in range(3)]
    for i, part in enumerate(parts):
        native(part).to_parquet(f"{az}/p/{i}.parquet")
    whole = pd.concat(parts, ignore_index=True)
    for source in (f"{az}/p/", f"{az}/p/*.parquet", "abfs://tables/p", "abfss://tables/*/?.parquet"):
        assert_frame_equal(terality.read_parquet(source).to_pandas(), whole)
    native(parts[0]).to_csv(f"{az}/c/x.csv", index=False)
    terality.options.mode = "off"
    parts[0].to_csv(tmp_path / "x.csv", index=False)
    expected = pd.read_csv(tmp_path / "x.csv")
    terality.options.mode = "strict"
    assert _engine.Store(az).get("c/x.csv") == (tmp_path / "x.csv").read_bytes()
    assert_frame_equal(terality.read_csv(f"{az}/c/x.csv").to_pandas(), expected)


def test_large_object(az: str) -> None:
    df = pd.DataFrame({"x": np.random.default_rng(0).random(5_000_000)})
    native(df).to_parquet(f"{az}/large.parquet", compression=None)
    assert_frame_equal(terality.read_parquet(f"{az}/large.parquet").to_pandas(), df)


def test_storage_options(azurite: Any, az: str, monkeypatch: pytest.MonkeyPatch) -> None:
    df = frame(100)
    native(df).to_parquet(f"{az}/o.parquet")
    text = azurite.environment["AZURE_STORAGE_CONNECTION_STRING"]
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    with pytest.raises(ValueError, match="no Azure storage account is named"):
        terality.read_parquet(f"{az}/o.parquet")
    got = terality.read_parquet(f"{az}/o.parquet", storage_options={"connection_string": text})
    assert_frame_equal(got.to_pandas(), df)
    read_only = f"BlobEndpoint={azurite.endpoint};AccountName={ACCOUNT};SharedAccessSignature={sas('rl')}"
    options = {"connection_string": read_only}
    assert_frame_equal(terality.read_parquet(f"{az}/o.parquet", storage_options=options).to_pandas(), df)
    assert_frame_equal(terality.read_parquet(f"{az}/o*", storage_options=options).to_pandas(), df)
    with pytest.raises(PermissionError, match="Authorization"):
        native(df).to_parquet(f"{az}/denied.parquet", storage_options=options)
    forged = read_only.replace("sig=", "sig=A")
    with pytest.raises(PermissionError) as refused:
        terality.read_parquet(f"{az}/o.parquet", storage_options={"connection_string": forged})
    assert "sig" not in str(refused.value)


def test_errors(az: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"az://tables/none\.parquet"):
        terality.read_parquet(f"{az}/none.parquet")
    with pytest.raises(FileNotFoundError, match="container 'nowhere' does not exist"):
        terality.read_parquet("az://nowhere/x.parquet")
    with pytest.raises(PermissionError, match=r"AuthorizationFailure|AuthenticationFailed"):
        wrong = base64.b64encode(b"x" * 32).decode()
        endpoint = dict(p.split("=", 1) for p in os.environ["AZURE_STORAGE_CONNECTION_STRING"].split(";"))
        text = f"AccountName={ACCOUNT};AccountKey={wrong};BlobEndpoint={endpoint['BlobEndpoint']}"
        terality.read_parquet(f"{az}/x.parquet", storage_options={"connection_string": text})
    native(frame(1_000)).to_parquet(f"{az}/change.parquet")
    changed = terality.read_parquet(f"{az}/change.parquet")
    native(frame(1_000, 1)).to_parquet(f"{az}/change.parquet")
    with pytest.raises(OSError, match="changed meanwhile"):
        changed["i"].sum()
