"""Servers that tests of deployments need beside an object store, installed on first use as those of tests/store."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.store.servers import Unavailable, _running, free_ports, go_binary

__all__ = ["Unavailable", "moto", "registry_binary"]

REGISTRY = "github.com/google/go-containerregistry/cmd/registry@v0.22.1"


def registry_binary() -> Path:
    """Give the program of an in-memory container registry."""
    return go_binary("registry", REGISTRY)


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """AWS' control APIs while the context lasts; gives the URL. It checks no credentials."""
    port = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{port}"
        program = Path(__file__).with_name("moto_server.py")
        command = [sys.executable, str(program), "-H", "127.0.0.1", "-p", str(port)]
        with _running(command, f"{url}/moto-api/data.json", folder):
            yield url
