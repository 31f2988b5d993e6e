"""Fixtures: a scheduler with a tenant and a folder, and AWS Lambda as it stands in for the real one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from terality import daemons

from tests.deploy.lambda_double import Function, LambdaDouble
from tests.worker.cluster import Cluster
from tests.worker.conftest import in_mode, path, table

__all__ = ["path", "table"]


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    """Leases outlast the two seconds after which a worker renews them when nobody tells it otherwise."""
    yield from in_mode("auto", Cluster(tmp_path, lease_ms=4000))


@pytest.fixture
def aws_lambda() -> Iterator[LambdaDouble]:
    double = LambdaDouble()
    yield double
    double.stop()


@pytest.fixture
def function(cluster: Cluster, aws_lambda: LambdaDouble) -> Callable[..., Function]:
    """Make a function "worker" that works for the cluster."""

    def make(environment: dict[str, str] | None = None, **limits: float) -> Function:
        settings = {
            "PATH": os.environ["PATH"],
            "TERALITY_SCHEDULER": cluster.scheduler.url,
            "TERALITY_WORKER_TOKEN": cluster.tenant.token,
            "TERALITY_STORE": str(cluster.store),
            "TERALITY_WORKER_KIND": "lambda-small",
            "TERALITY_IDLE_SECONDS": "2",
            **(environment or {}),
        }
        settings = {name: value for name, value in settings.items() if value}
        return aws_lambda.add("worker", [str(daemons.path("terality-worker"))], settings, **limits)

    return make
