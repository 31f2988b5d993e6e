"""What a user is told when the store does not work for the client or for workers: the object, and the cause."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality

from tests.fault.proxy import Proxy
from tests.store import servers
from tests.worker.cluster import Cluster

FRAME = pd.DataFrame({"k": np.arange(3000) % 7, "x": np.arange(3000) * 0.5})


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Any]:
    """Make a cluster over the store of this URL; it is stopped at the end."""
    made: list[Cluster] = []

    def make(url: str | None = None) -> Cluster:
        made.append(Cluster(tmp_path, url))
        return made[-1]

    before, terality.options.mode = terality.options.mode, "native"
    yield make
    terality.options.mode = before
    for cluster in made:
        cluster.stop()


@pytest.fixture
def on_s3(versitygw: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in versitygw.environment.items():
        monkeypatch.setenv(name, value)


def sums() -> Any:
    return terality.to_pandas(terality.from_pandas(FRAME).groupby("k")["x"].sum())


def test_a_missing_bucket_is_named_when_connecting(clusters: Any, on_s3: None) -> None:
    cluster = clusters("s3://nobucket/x")
    with pytest.raises(FileNotFoundError, match="the bucket 'nobucket' does not exist"):
        cluster.connect()
    assert terality.remote.current() is None


def test_credentials_that_the_store_refuses(clusters: Any, on_s3: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PermissionError, match=r"s3://tables/refused/keys/.*: .*SignatureDoesNotMatch"):
        clusters("s3://tables/refused").connect()


def connect(cluster: Cluster, store: str, **arguments: Any) -> None:
    """As ``cluster.connect``, but to any store and with any arguments."""
    tenant = cluster.tenant
    terality.connect(
        cluster.url, api_key=tenant.key, deployment=tenant.deployment, store=store, min_rows=0, **arguments
    )


def test_credentials_are_given_as_to_readers(
    clusters: Any, versitygw: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = versitygw.environment
    for name in given:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cluster = clusters("s3://tables/given")
    place = {"endpoint_url": given["AWS_ENDPOINT_URL"], "region_name": given.get("AWS_REGION", "us-east-1")}
    right = {"key": given["AWS_ACCESS_KEY_ID"], "secret": given["AWS_SECRET_ACCESS_KEY"], "client_kwargs": place}
    connect(cluster, cluster.store_url, storage_options=right)
    with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
        connect(cluster, cluster.store_url, storage_options={**right, "secret": "wrong"})


def test_another_store_than_that_of_the_workers_is_said_so(clusters: Any, tmp_path: Path) -> None:
    cluster = clusters()
    cluster.connect()
    connect(cluster, str(tmp_path / "another"))
    cluster.worker()
    with pytest.raises(FileNotFoundError, match=r"not the one in .*another\. Is that the store of this deployment\?"):
        sums()


def test_a_worker_without_rights_names_what_it_may_not_read(clusters: Any, on_s3: None) -> None:
    cluster = clusters("s3://tables/norights")
    cluster.connect(target_rows=500)
    cluster.worker(AWS_SECRET_ACCESS_KEY="wrong")
    with pytest.raises(
        PermissionError, match=r"a worker cannot read s3://tables/norights/keys/d\w+ \(PermissionError\)"
    ):
        sums()
    assert "SignatureDoesNotMatch" in cluster.said()
    assert cluster.running() == 0


def test_a_worker_whose_rights_end_in_the_middle(clusters: Any, on_s3: None, versitygw: servers.Server) -> None:
    """Answers 403 from the second stage on, as when a session token expires."""

    def rule(exchange: Any) -> str:
        return "403" if "/shuffle/" in exchange.target and exchange.method == "GET" else ""

    cluster = clusters("s3://tables/expired")
    cluster.connect(target_rows=500, broadcast_rows=-1)
    with Proxy(versitygw.endpoint, rule) as proxy:
        cluster.worker(AWS_ENDPOINT_URL=proxy.url)
        with pytest.raises(PermissionError, match=r"s3://tables/expired/shuffle/\S+: .*ExpiredToken"):
            sums()
    assert cluster.running() == 0


def test_a_worker_whose_disk_is_full(clusters: Any) -> None:
    cluster = clusters()
    cluster.connect(target_rows=500)
    worker = cluster.worker()
    pd.testing.assert_series_equal(sums(), FRAME.groupby("k")["x"].sum())
    usual = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (100, usual[1]))
    with pytest.raises(OSError, match=r"File too large: .*/store/shuffle/"):
        sums()
    assert cluster.running() == 0
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, usual)
    pd.testing.assert_series_equal(sums(), FRAME.groupby("k")["x"].sum())
