"""Pushing an image to a container registry by its HTTP API (version 2), as ECR and others speak it.

What is there already is not sent again. The order is what registries insist on: blobs, then the manifests that name
them, then the index that names those, under its tag.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from email.message import Message
from typing import Any

from ..remote.api import is_loopback
from .image import INDEX, MANIFEST, Layout

__all__ = ["Registry", "RegistryError", "push"]

_TRIES = 4
_TIMEOUT_SECONDS = 120.0


class RegistryError(RuntimeError):
    """The registry refused; the text has its own words."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the credentials to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Registry:
    """One repository of a registry.

    Parameters
    ----------
    url : str
        ``https://host[:port]``; plain http on loopback only.
    repository : str
        Its name, such as ``terality-main-worker``.
    user, password : str, optional
        Sent as Basic, or exchanged for a token where the registry asks for one.
    """

    def __init__(self, url: str, repository: str, user: str = "", password: str = "") -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError(f"registry {url!r}: expected https://host[:port] (plain http is for loopback only)")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.repository = repository
        self._basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        self._authorization = self._basic
        self._opener = urllib.request.build_opener(_NoRedirect)

    def has(self, kind: str, reference: str) -> bool:
        """Whether a blob (kind ``blobs``) or manifest (``manifests``) is there."""
        status, _, _ = self._request("HEAD", f"{kind}/{reference}", accept=f"{INDEX}, {MANIFEST}", missing=True)
        return status == 200

    def put_blob(self, digest: str, content: bytes) -> None:
        """Upload a blob: one request to begin, one with the bytes."""
        _, headers, _ = self._request("POST", "blobs/uploads/", b"")
        location = urllib.parse.urljoin(f"{self.url}/v2/{self.repository}/blobs/uploads/", headers.get("Location", ""))
        place = urllib.parse.urlsplit(location)
        if f"{place.scheme}://{place.netloc}" != self.url:
            raise RegistryError(f"{self.url} wants the upload sent to {place.scheme}://{place.netloc}: refused")
        query = urllib.parse.parse_qsl(place.query, keep_blank_values=True)
        query.append(("digest", digest))
        target = urllib.parse.urlunsplit(place._replace(query=urllib.parse.urlencode(query)))
        self._request("PUT", target, content, content_type="application/octet-stream")

    def put_manifest(self, reference: str, media_type: str, content: bytes) -> None:
        """Upload a manifest or an index under its digest or a tag."""
        self._request("PUT", f"manifests/{reference}", content, content_type=media_type)

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str = "",
        accept: str = "",
        missing: bool = False,
    ) -> tuple[int, Message, bytes]:
        url = path if "://" in path else f"{self.url}/v2/{self.repository}/{path}"
        asked = False
        for attempt in range(_TRIES):
            headers = {"User-Agent": "terality", "Content-Type": content_type, "Accept": accept}
            headers["Authorization"] = self._authorization
            headers = {name: value for name, value in headers.items() if value}
            request = urllib.request.Request(url, body, headers, method=method)
            try:
                with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as reply:
                    return reply.status, reply.headers, reply.read(1 << 20)
            except urllib.error.HTTPError as fault:
                with fault:
                    text = fault.read(1 << 16)
                if fault.code == 401 and not asked:
                    asked = True
                    self._authorize(fault.headers.get("WWW-Authenticate", ""))
                    continue
                if fault.code == 404 and missing:
                    return 404, fault.headers, b""
                if fault.code not in (429, 500, 502, 503, 504) or attempt + 1 == _TRIES:
                    raise RegistryError(f"{method} {url}: {fault.code} {_words(text) or fault.reason}") from None
            except (OSError, http.client.HTTPException) as fault:
                if attempt + 1 == _TRIES:
                    raise RegistryError(f"{method} {url}: {fault}") from fault
            time.sleep(0.25 * 2**attempt)
        raise RegistryError(f"{method} {url}: not authorized")

    def _authorize(self, challenge: str) -> None:
        """Answer a challenge: Basic with what we have, Bearer with a token from the realm it names."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._basic:
            self._authorization = self._basic
            return
        if scheme.lower() != "bearer":
            raise RegistryError(f"{self.url} asks for credentials ({challenge or 'of no kind'}), and none fit")
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.pop("realm", "")
        parts = urllib.parse.urlsplit(realm)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise RegistryError(f"{self.url} sends its credentials to {realm!r}: refused")
        asked.setdefault("scope", f"repository:{self.repository}:pull,push")
        request = urllib.request.Request(realm + "?" + urllib.parse.urlencode(asked))
        if self._basic:
            request.add_header("Authorization", self._basic)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as reply:
                answer = json.loads(reply.read(1 << 20))
        except (OSError, ValueError) as fault:
            raise RegistryError(f"no token for {self.repository} from {realm}: {fault}") from fault
        self._authorization = f"Bearer {answer.get('token') or answer.get('access_token')}"


def _words(text: bytes) -> str:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return "; ".join(f"{error.get('code')}: {error.get('message')}" for error in json.loads(text)["errors"])
    return text.decode(errors="replace")[:200].strip()


def push(layout: Layout, registry: Registry, tag: str, say: Callable[[str], None] = lambda _: None) -> str:
    """Push an image and give the digest of its index.

    Parameters
    ----------
    layout : Layout
    registry : Registry
    tag : str
        What the index is called besides its digest.
    say : callable, optional
        Told what is sent, a line at a time.

    Returns
    -------
    str
        ``sha256:…``, which names exactly these bytes for ever.

    Raises
    ------
    RegistryError
        The registry refused something.
    """
    root = layout.root
    index = layout.read_json(root["digest"])
    for entry in index["manifests"]:
        manifest = layout.read_json(entry["digest"])
        for blob in [*manifest["layers"], manifest["config"]]:
            if not registry.has("blobs", blob["digest"]):
                say(f"{blob['digest'][:19]}… {blob['size']:,} bytes ({entry['platform']['architecture']})")
                registry.put_blob(blob["digest"], layout.read(blob["digest"]))
        if not registry.has("manifests", entry["digest"]):
            registry.put_manifest(entry["digest"], entry["mediaType"], layout.read(entry["digest"]))
    registry.put_manifest(tag, root["mediaType"], layout.read(root["digest"]))
    return str(root["digest"])
