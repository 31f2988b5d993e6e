"""A container image as an OCI layout, made from the workers' tars without a Docker daemon.

The image has one layer per architecture: the files below ``opt/terality`` of the tar, the C library and certificates
that the tar brings along below ``opt/image`` and an empty ``/tmp``. Everything that could differ from run to run
(order, owners, times) is fixed, so the same tar gives the same digests and a second push moves no byte.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ENTRY_POINT", "INDEX", "MANIFEST", "Layout", "build"]

ENTRY_POINT = ("/opt/terality/terality-worker", "--fixed", "ecs")
"""Arguments and environment of RunTask do not change what the worker does (docs/deploy-aws.md, threat model)."""

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_PLATFORMS: dict[str, dict[str, str]] = {
    "x86_64": {"architecture": "amd64", "os": "linux"},
    "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
}
_USER = "65532:65532"
_MOST_BYTES = 512 << 20  # of a layer, unpacked


class Layout:
    """An OCI image layout on disk: ``oci-layout``, ``index.json`` and blobs by digest.

    Parameters
    ----------
    folder : path
        Made when missing.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._blobs = self.folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True, exist_ok=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}\n')

    def add(self, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Keep a blob and give its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self._blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def add_json(self, value: Any, media_type: str, **more: Any) -> dict[str, Any]:
        """Keep a JSON document as a blob and give its descriptor."""
        return self.add(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), media_type, **more)

    def read(self, digest: str) -> bytes:
        """Give a blob, after a look at whether it is the one of that digest.

        Raises
        ------
        ValueError
            The blob on disk is not what its name says.
        """
        algorithm, _, name = digest.partition(":")
        content = (self._blobs / name).read_bytes()
        if algorithm != "sha256" or hashlib.sha256(content).hexdigest() != name:
            raise ValueError(f"{self.folder}: the blob {digest} does not have this digest")
        return content

    def read_json(self, digest: str) -> Any:
        """Give a blob that is a JSON document."""
        return json.loads(self.read(digest))

    @property
    def root(self) -> dict[str, Any]:
        """The descriptor of the image: an index over the architectures."""
        (found,) = json.loads((self.folder / "index.json").read_text())["manifests"]
        return dict(found)

    def _point_to(self, root: dict[str, Any]) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]}
        (self.folder / "index.json").write_text(json.dumps(index) + "\n")


def build(tars: Mapping[str, str | os.PathLike[str]], folder: str | os.PathLike[str], version: str) -> Layout:
    """Make the image's layout.

    Parameters
    ----------
    tars : mapping of str to path
        The worker's tar by architecture (``x86_64``, ``arm64``).
    folder : path
        Of the layout.
    version : str
        The tag.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        A tar has no worker in it, or the architecture is not known.
    """
    layout = Layout(folder)
    manifests = []
    for architecture, tar in sorted(tars.items()):
        if architecture not in _PLATFORMS:
            raise ValueError(f"architecture {architecture!r}: there are {' and '.join(_PLATFORMS)}")
        layer = _layer(Path(tar))
        descriptor = layout.add(gzip.compress(layer, 9, mtime=0), _LAYER)
        platform = _PLATFORMS[architecture]
        config = layout.add_json(_config(platform, layer, version), _CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [descriptor]}
        manifests.append(layout.add_json(manifest, MANIFEST, platform=platform))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    layout._point_to(layout.add_json(index, INDEX, annotations={"org.opencontainers.image.ref.name": version}))
    return layout


def _config(platform: dict[str, str], layer: bytes, version: str) -> dict[str, Any]:
    return {
        **platform,
        "config": {
            "Entrypoint": list(ENTRY_POINT),
            "User": _USER,
            "WorkingDir": "/",
            "Volumes": {"/tmp": {}},  # a task's scratch volume is mounted there, and gets this folder's mode
            "Labels": {"org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0"},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": "terality.deploy.image"}],
    }


def _place(name: str) -> str:
    """Where a file of the tar goes in the image; empty for what only EC2 needs."""
    name = name.removeprefix("./").strip("/")
    if name.startswith("opt/image/"):
        return name.removeprefix("opt/image/")
    return name if name == "opt" or name == "opt/terality" or name.startswith("opt/terality/") else ""


def _layer(tar: Path) -> bytes:
    """The layer as an uncompressed tar."""
    out = io.BytesIO()
    with tarfile.open(tar) as source, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as layer:
        members = {_place(member.name): member for member in source.getmembers() if _place(member.name)}
        if not any(name == ENTRY_POINT[0].lstrip("/") for name in members):
            raise ValueError(f"{tar} holds no {ENTRY_POINT[0].lstrip('/')}: is it a worker's tar?")
        if sum(member.size for member in members.values()) > _MOST_BYTES:
            raise ValueError(f"{tar}: more than {_MOST_BYTES >> 20} MiB unpacked")
        parents = {str(parent) for name in members for parent in Path(name).parents} - {"."}
        folders = sorted((parents | {"tmp"}) - members.keys())
        for name in sorted([*members, *folders]):
            if name in members:
                member = members[name]
                _check(tar, member)
                content = source.extractfile(member) if member.isreg() else None
                layer.addfile(_fixed(member, name), content)
            else:
                made = tarfile.TarInfo(name)
                made.type, made.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
                layer.addfile(made)
    return out.getvalue()


def _check(tar: Path, member: tarfile.TarInfo) -> None:
    if ".." in Path(member.name).parts or not (member.isreg() or member.isdir() or member.issym()):
        raise ValueError(f"{tar}: {member.name} is no file, folder or link inside the tar")


def _fixed(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = member.type, member.size, member.linkname
    made.mode = 0o777 if member.issym() else (0o755 if member.isdir() or member.mode & 0o100 else 0o644)
    return made
