"""Servers that tests of deployments need beside an object store, installed on first use as those of tests/store."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.store.servers import Unavailable, _installing, _run

__all__ = ["Unavailable", "registry_binary"]

REGISTRY = "github.com/google/go-containerregistry/cmd/registry@v0.22.1"


def registry_binary() -> Path:
    """Give the program of an in-memory container registry."""
    with _installing() as folder:
        binary = folder / "bin" / "registry"
        if not binary.exists():
            if not shutil.which("go"):
                raise Unavailable("the registry is built by Go, which is not installed")
            _run("go", "install", REGISTRY, GOBIN=str(binary.parent))
        return binary
