"""Where tables lie: URLs, storage options as pandas users write them, folders, prefixes and globs in stores."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import _engine
from .registry import Fallback

REMOTE = re.compile(r"(s3|s3a|az|abfs|abfss)://")

S3_NAMES = {"key": "access_key", "secret": "secret_key", "token": "session_token", "username": "access_key",
            "password": "secret_key", "endpoint_url": "endpoint", "profile": "profile", "region": "region"}  # fmt: skip
S3_CLIENT_NAMES = {"endpoint_url": "endpoint", "region_name": "region", "aws_access_key_id": "access_key",
                   "aws_secret_access_key": "secret_key", "aws_session_token": "session_token"}  # fmt: skip
AZURE_NAMES = {"account_name": "account_name", "account_key": "account_key", "sas_token": "sas_token",
               "connection_string": "connection_string", "account_host": "account_host"}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One file: its path, or its key in a store."""

    path: str
    store: Any = None
    url: str = ""

    def __str__(self) -> str:
        return self.url or self.path


def is_remote(path: Any) -> bool:
    return isinstance(path, str) and REMOTE.match(path) is not None


def engine_options(url: str, options: Any) -> dict[str, str]:
    """Translate storage_options (those of s3fs and adlfs) to the engine's; Fallback names one that is not known."""
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise Fallback("storage_options that are no dict")
    s3 = url.startswith("s3")
    found: dict[str, str] = {}
    for name, value in options.items():
        if value is None:
            continue
        known = (S3_NAMES if s3 else AZURE_NAMES).get(name)
        if name == "anon":
            found["anonymous"] = "true" if value else "false"
        elif known:
            found[known] = str(value)
        elif s3 and name == "client_kwargs" and isinstance(value, dict) and set(value) <= set(S3_CLIENT_NAMES):
            found.update({S3_CLIENT_NAMES[k]: str(v) for k, v in value.items() if v is not None})
        elif s3 and name == "config_kwargs" and isinstance(value, dict) and set(value) <= {"s3"}:
            found.update(_addressing(value.get("s3") or {}))
        elif not (s3 and name in ("use_ssl", "use_listings_cache", "default_fill_cache", "default_block_size")):
            raise Fallback(f"storage_options[{name!r}]")
    return found


def _addressing(config: dict[str, Any]) -> dict[str, str]:
    if set(config) - {"addressing_style"}:
        raise Fallback("storage_options['config_kwargs']")
    return {k: str(v) for k, v in config.items()}


def _split(url: str) -> tuple[str, str]:
    """Give the bucket's or container's URL and the key."""
    scheme, rest = url.split("://", 1)
    root, _, key = rest.partition("/")
    return f"{scheme}://{root}", key


_known: dict[str, dict[str, str]] = {}


def known_options(url: str) -> dict[str, str]:
    """Give the engine's options that the bucket of a URL was last opened with, for workers that read the same."""
    return _known.get(_split(url)[0], {})


class Stores:
    """The stores of one call: one per bucket, with the call's storage options."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.open: dict[str, Any] = {}

    def place(self, url: str) -> Place:
        """Give the place of one object; it need not be there."""
        root, key = _split(url)
        if root not in self.open:
            options = engine_options(url, self.options)
            self.open[root] = _engine.Store(root, options)
            _known[root] = options
        return Place(key, self.open[root], url)

    def files(self, url: str, suffixes: tuple[str, ...]) -> list[Place]:
        """Give the objects a URL stands for: itself, those matching a glob, or those of a folder."""
        root, key = _split(url)
        store = self.place(url).store
        if re.search(r"[*?\[]", key):
            return self._matching(root, store, key, url)
        if key and not key.endswith("/"):
            try:
                store.stat(key)
                return [Place(key, store, url)]
            except FileNotFoundError:
                found = self._folder(root, store, key + "/", suffixes)
                if not found:
                    raise
                return found
        found = self._folder(root, store, key, suffixes)
        if not found:
            raise FileNotFoundError(f"{url} holds no files of this format")
        return found

    def _folder(self, root: str, store: Any, prefix: str, suffixes: tuple[str, ...]) -> list[Place]:
        listed = [(key, is_prefix) for key, is_prefix in store.list_folder(prefix) if key != prefix]
        shown = [(k, p) for k, p in listed if not os.path.basename(k.rstrip("/")).startswith((".", "_"))]
        if any(is_prefix or not key.endswith(suffixes) for key, is_prefix in shown):
            raise Fallback("a folder of other things than files of this format")
        return [Place(key, store, f"{root}/{key}") for key, _ in shown]

    def _matching(self, root: str, store: Any, pattern: str, url: str) -> list[Place]:
        fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        match = re.compile(_glob_expression(pattern)).fullmatch
        keys = sorted(key for key, _ in store.list(fixed) if match(key))
        if not keys:
            raise FileNotFoundError(f"No files match {url!r}")
        return [Place(key, store, f"{root}/{key}") for key in keys]


def _glob_expression(pattern: str) -> str:
    """A glob as a regular expression: ``*`` and ``?`` stay within a part of the path, ``**`` crosses parts."""
    out = ""
    for piece in re.split(r"(\*\*/?|\*|\?|\[[^\]]*\])", pattern):
        if piece.startswith("**"):
            out += "(?:.*/)?" if piece.endswith("/") else ".*"
        elif piece == "*":
            out += "[^/]*"
        elif piece == "?":
            out += "[^/]"
        elif piece.startswith("["):
            out += fnmatch.translate(piece).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")
        else:
            out += re.escape(piece)
    return out


def texts(source: Any) -> Iterable[str] | None:
    """Give the texts of a path or a list of paths; None for anything else."""
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        return [path] if isinstance(path, str) else None
    if isinstance(source, (list, tuple)) and source and all(isinstance(s, (str, os.PathLike)) for s in source):
        return [os.fspath(s) for s in source]
    return None
