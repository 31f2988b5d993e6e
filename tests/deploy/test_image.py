"""The container image: what is in its layers, the same bytes every time, and what a registry takes of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from terality.deploy.image import INDEX, MANIFEST, build
from terality.deploy.registry import Registry, RegistryError, push

from tests.store.servers import free_ports

from . import servers
from .registry_double import PASSWORD, USER, RegistryDouble


def make_tar(path: Path, worker: bytes, extra: dict[str, bytes] | None = None, owner: int = 1000) -> Path:
    """A worker's tar as the build makes them: the program, a library behind a link, what only EC2 needs."""
    files = {
        "opt/terality/terality-worker": worker,
        "opt/terality/lib/libx.so.1": b"library",
        "opt/image/etc/ssl/certs/ca-certificates.crt": b"certificates",
        "etc/systemd/system/terality-worker.service": b"[Unit]",
        **(extra or {}),
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mtime = len(content), owner, int(time.time())
            member.mode = 0o755 if name.endswith("worker") else 0o640
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("opt/terality/lib/libx.so")
        link.type, link.linkname = tarfile.SYMTYPE, "libx.so.1"
        tar.addfile(link)
    return path


@pytest.fixture
def tars(tmp_path: Path) -> dict[str, Path]:
    return {name: make_tar(tmp_path / f"{name}.tar.gz", name.encode()) for name in ("x86_64", "arm64")}


def layers(layout, platform: str) -> tuple[dict, tarfile.TarFile]:
    """The config of an architecture, and its one layer."""
    for entry in layout.read_json(layout.root["digest"])["manifests"]:
        if entry["platform"]["architecture"] == platform:
            manifest = layout.read_json(entry["digest"])
            (layer,) = manifest["layers"]
            unpacked = gzip.decompress(layout.read(layer["digest"]))
            config = layout.read_json(manifest["config"]["digest"])
            assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(unpacked).hexdigest()]
            return config, tarfile.open(fileobj=io.BytesIO(unpacked))
    raise AssertionError(platform)


def test_an_image_of_two_architectures(tars, tmp_path):
    layout = build(tars, tmp_path / "layout", "0.1.0-abc")
    assert json.loads((tmp_path / "layout" / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = layout.read_json(layout.root["digest"])
    assert layout.root["mediaType"] == index["mediaType"] == INDEX
    assert layout.root["annotations"]["org.opencontainers.image.ref.name"] == "0.1.0-abc"
    platforms = [entry["platform"] for entry in index["manifests"]]
    arm = {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert platforms == [arm, {"architecture": "amd64", "os": "linux"}]
    assert {entry["mediaType"] for entry in index["manifests"]} == {MANIFEST}
    for platform, worker in (("amd64", b"x86_64"), ("arm64", b"arm64")):
        config, layer = layers(layout, platform)
        assert config["config"]["Entrypoint"] == ["/opt/terality/terality-worker", "--fixed", "ecs"]
        assert "Env" not in config["config"] and config["config"]["User"] == "65532:65532"
        assert config["os"] == "linux" and config["architecture"] == platform
        assert layer.extractfile("opt/terality/terality-worker").read() == worker


def test_what_a_layer_holds(tars, tmp_path):
    _, layer = layers(build(tars, tmp_path / "layout", "1"), "amd64")
    names = layer.getnames()
    assert names == sorted(names)
    assert not any("systemd" in name or "opt/image" in name for name in names)
    assert layer.extractfile("etc/ssl/certs/ca-certificates.crt").read() == b"certificates"
    assert layer.getmember("opt/terality/lib/libx.so").linkname == "libx.so.1"
    assert layer.getmember("tmp").mode == 0o1777 and layer.getmember("opt").isdir()
    assert {(one.uid, one.gid, one.mtime) for one in layer.getmembers()} == {(0, 0, 0)}
    assert layer.getmember("opt/terality/terality-worker").mode == 0o755
    assert layer.getmember("opt/terality/lib/libx.so.1").mode == 0o644


def test_the_same_tar_gives_the_same_image(tmp_path):
    one = make_tar(tmp_path / "one.tar.gz", b"worker", owner=1)
    two = make_tar(tmp_path / "two.tar.gz", b"worker", owner=2)
    assert one.read_bytes() != two.read_bytes()
    digests = {build({"arm64": tar}, tmp_path / tar.stem, "1").root["digest"] for tar in (one, two)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("extra", "said"),
    [({"opt/terality/../../etc/passwd": b"root"}, "inside the tar"), (None, "is it a worker's tar")],
)
def test_tars_that_are_none(tmp_path, extra, said):
    tar = make_tar(tmp_path / "bad.tar.gz", b"worker", extra)
    if extra is None:
        with tarfile.open(tar, "w:gz") as empty:
            empty.addfile(tarfile.TarInfo("opt/terality/readme"))
    with pytest.raises(ValueError, match=said):
        build({"arm64": tar}, tmp_path / "layout", "1")


def test_an_architecture_that_is_none(tars, tmp_path):
    with pytest.raises(ValueError, match="architecture 'mips'"):
        build({"mips": tars["arm64"]}, tmp_path / "layout", "1")


def test_a_damaged_layout_is_not_pushed(tars, tmp_path):
    layout = build(tars, tmp_path / "layout", "1")
    manifest = layout.read_json(layout.read_json(layout.root["digest"])["manifests"][0]["digest"])
    blob = tmp_path / "layout" / "blobs" / "sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")
    blob.write_bytes(blob.read_bytes() + b"more")
    with RegistryDouble() as double, pytest.raises(ValueError, match="does not have this digest"):
        push(layout, Registry(double.url, "worker", USER, PASSWORD), "1")


@pytest.mark.parametrize("auth", ["none", "basic", "bearer"])
def test_push(tars, tmp_path, auth):
    layout = build(tars, tmp_path / "layout", "1")
    with RegistryDouble(auth) as double:
        said: list[str] = []
        digest = push(layout, Registry(double.url, "terality-main-worker", USER, PASSWORD), "1", said.append)
        assert digest == layout.root["digest"]
        assert double.manifests["1"] == double.manifests[digest] == (INDEX, layout.read(digest))
        assert len(double.blobs) == 4 and len(said) == 4
        puts = [line for line in double.log if line.startswith("PUT")]
        assert ["uploads" in line for line in puts] == [True, True, False, True, True, False, False]
        double.log.clear()
        push(layout, Registry(double.url, "terality-main-worker", USER, PASSWORD), "1")
        assert [line for line in double.log if not line.startswith("HEAD")] == [
            "PUT /v2/terality-main-worker/manifests/1"
        ]


def test_push_in_spite_of_trouble(tars, tmp_path):
    layout = build(tars, tmp_path / "layout", "1")
    with RegistryDouble() as double:
        double.trouble = 2
        assert push(layout, Registry(double.url, "worker", USER, PASSWORD), "1") in double.manifests


def test_refusals_name_the_registrys_words(tars, tmp_path):
    layout = build(tars, tmp_path / "layout", "1")
    with RegistryDouble() as double:
        with pytest.raises(RegistryError, match="401 Unauthorized"):
            push(layout, Registry(double.url, "worker", USER, "wrong"), "1")
        registry = Registry(double.url, "worker", USER, PASSWORD)
        with pytest.raises(RegistryError, match="400 DIGEST_INVALID"):
            registry.put_blob("sha256:" + "0" * 64, b"x")
        with pytest.raises(RegistryError, match="400 MANIFEST_UNKNOWN"):
            registry.put_manifest("1", INDEX, layout.read(layout.root["digest"]))


def test_credentials_go_nowhere_else(tars, tmp_path):
    layout = build(tars, tmp_path / "layout", "1")
    with pytest.raises(ValueError, match="plain http is for loopback only"):
        Registry("http://registry.example", "worker")
    with RegistryDouble("bearer") as double:
        double.realm = "http://elsewhere.example/token"
        with pytest.raises(RegistryError, match=r"sends its credentials to 'http://elsewhere.example/token': refused"):
            push(layout, Registry(double.url, "worker", USER, PASSWORD), "1")
    with RegistryDouble() as double:
        double.location = "https://elsewhere.example/upload"
        with pytest.raises(RegistryError, match="refused"):
            push(layout, Registry(double.url, "worker", USER, PASSWORD), "1")


@pytest.fixture
def real_registry(tmp_path: Path) -> Iterator[str]:
    try:
        binary = servers.registry_binary()
    except servers.Unavailable as why:
        pytest.skip(str(why))
    port = free_ports(1)
    with open(tmp_path / "registry.log", "wb") as log:
        child = subprocess.Popen([str(binary), "-port", str(port)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{url}/v2/", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < end and child.poll() is None, (tmp_path / "registry.log").read_text()
                time.sleep(0.05)
        yield url
    finally:
        child.terminate()
        child.wait()


def test_a_real_registry_takes_and_gives_it(tars, tmp_path, real_registry):
    layout = build(tars, tmp_path / "layout", "1")
    digest = push(layout, Registry(real_registry, "terality/worker"), "1")
    assert digest == push(layout, Registry(real_registry, "terality/worker"), "1")
    for reference in ("1", digest):
        request = urllib.request.Request(f"{real_registry}/v2/terality/worker/manifests/{reference}")
        request.add_header("Accept", INDEX)
        with urllib.request.urlopen(request) as reply:
            assert reply.headers["Docker-Content-Digest"] == digest
            assert reply.read() == layout.read(digest)
    for entry in layout.read_json(digest)["manifests"]:
        for blob in layout.read_json(entry["digest"])["layers"]:
            with urllib.request.urlopen(f"{real_registry}/v2/terality/worker/blobs/{blob['digest']}") as reply:
                assert reply.read() == layout.read(blob["digest"])
