"""Servers that tests of deployments need beside an object store, installed on first use as those of tests/store."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.store.servers import Unavailable, _installing, _run, _running, free_ports, go_binary

__all__ = ["Unavailable", "moto", "registry_binary"]

MOTO = "moto[all,server]==5.2.5"
REGISTRY = "github.com/google/go-containerregistry/cmd/registry@v0.22.1"


def registry_binary() -> Path:
    """Give the program of an in-memory container registry."""
    return go_binary("registry", REGISTRY)


def moto_binary() -> Path:
    """Give the server of AWS' control APIs, in a virtualenv of its own: it brings a hundred packages along."""
    with _installing() as folder:
        binary = folder / "moto" / "bin" / "moto_server"
        if not binary.exists():
            _run(sys.executable, "-m", "venv", folder / "moto")
            _run(folder / "moto" / "bin" / "python", "-m", "pip", "install", "-q", MOTO)
        return binary


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """AWS' control APIs while the context lasts; gives the URL. It checks no credentials."""
    binary, port = moto_binary(), free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{port}"
        with _running([str(binary), "-H", "127.0.0.1", "-p", str(port)], f"{url}/moto-api/data.json", folder):
            yield url


def moto_outputs(cloudformation: Any, stack: str) -> None:
    """Give a stack its outputs: moto computes them of stacks that are updated, not of those that a change set made."""
    (about,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    if not about.get("Outputs"):
        kept = [{"ParameterKey": p["ParameterKey"], "UsePreviousValue": True} for p in about.get("Parameters", [])]
        with contextlib.suppress(cloudformation.exceptions.ClientError):  # "No updates are to be performed"
            cloudformation.update_stack(
                StackName=stack,
                UsePreviousTemplate=True,
                Parameters=kept,
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Tags=about["Tags"],
            )
