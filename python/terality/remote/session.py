"""Running plans on a deployment: sources to the bucket, the sealed plan to the scheduler, the result from the bucket.

Data never passes the scheduler: in-memory frames go to ``uploads/`` of the bucket once per content, names of objects
and storage options into a manifest there, and the result is read from ``results/``. What does go to the scheduler is
written to ``audit/`` in the bucket, word for word.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import json
import os
import secrets
import sys
import threading
import time
from typing import Any

import pandas as pd

from .. import _engine, settings
from ..registry import Fallback
from ..stores import engine_options, is_remote, known_options
from .api import Api, ApiError
from .interrupts import InterruptsLater
from .profiles import Profile
from .progress import Progress

__all__ = ["QueryError", "Session"]

_POLL_MS = 10_000
_KEY_BYTES = 32
OPTIONS = ("target_rows", "partitions", "broadcast_rows")
_PIECE_ROWS = 1 << 20  # of an uploaded frame, unless partitions are asked to be smaller


class QueryError(RuntimeError):
    """A query failed for a reason that is not pandas': no worker could run a task."""


class Session:
    """A connection to one deployment; safe with threads.

    Parameters
    ----------
    profile : Profile
    storage_options : dict, optional
        Credentials for the bucket, as ``read_parquet`` takes them; the environment's by default.
    options : dict, optional
        ``partitions``, ``target_rows``, ``broadcast_rows``: how finely plans are cut; else the scheduler chooses.
    min_rows : int
        Plans over nothing but frames in this process' memory with fewer rows altogether run here.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        storage_options: dict[str, Any] | None = None,
        options: dict[str, int] | None = None,
        min_rows: int = 100_000,
    ) -> None:
        self.profile = profile
        self.options = _checked_options(options)
        self.min_rows = _whole_number("min_rows", min_rows)
        self.queries = 0
        self._audit: list[dict[str, Any]] = []
        self._audit_lock = threading.Lock()
        self._sender = f"client-{secrets.token_hex(6)}"
        self._api = Api(profile.url, profile.api_key, sending=self._note, telling=self._announce)
        credentials = _credentials(profile.store, storage_options)
        self.deployment = self._find_deployment()  # a wrong key or a wrong version is told here too
        self._store = _engine.Store(profile.store, credentials)
        self._key = self._deployment_key()
        self._local_store = "://" not in profile.store or profile.store.startswith("file://")

    def __repr__(self) -> str:
        return f"Session({self.profile.url!r}, deployment={self.profile.deployment!r}, store={self.profile.store!r})"

    def _find_deployment(self) -> str:
        """Give the id of the deployment that the profile names."""
        found = self._api.get("/v1/deployments")["deployments"]
        for deployment in found:
            if self.profile.deployment in (deployment["id"], deployment["name"]):
                return str(deployment["id"])
        names = ", ".join(str(deployment["name"]) for deployment in found) or "none"
        raise ValueError(f"no deployment {self.profile.deployment!r} at {self.profile.url}: the account has {names}")

    # ---- a query

    def run(self, rel: Any, need: tuple[int, ...] | None) -> Any:
        """Compute columns of a node on the deployment.

        Parameters
        ----------
        rel : Rel
        need : tuple of int or None
            Positions; all when None.

        Returns
        -------
        Frame, as ``rel.run(need)`` gives it; the result is kept on the node.
        """
        plan = rel.detach(need)
        text, sources = _engine.encode_plan(plan)
        if self._belongs_here(plan, sources):
            return rel.run_here(need)
        described = [self._source(source) for source in sources]
        manifest = self._put_manifest([entry for _, entry in described])
        body = {
            "deployment": self.deployment,
            "plan": json.loads(_engine.seal_plan(text, self._key)),
            "manifest": manifest,
            "sources": [seen for seen, _ in described],
        }
        if self.options:
            body["options"] = self.options
        query = None
        interrupts = InterruptsLater()
        try:
            query = self._api.post("/v1/queries", body, again=True)["query"]
            self.queries += 1
            interrupts.deliver()
            state = self._wait(query)
        except BaseException:
            interrupts.restore()
            if query is not None:
                self._cancel(query)
            raise
        finally:
            self.write_audit()
        if state["state"] != "done":
            failure = self._failure(query, state)
            if not isinstance(failure, NotImplementedError):
                raise failure
            self._announce(f"query {query} meets what only pandas can do ({failure}); it runs in this process")
            return rel.run_here(need)
        frame = _engine.read_result(self._store, query, len(state["stages"]) - 1, len(state["result"]))
        return rel.attach(need, frame)

    def _announce(self, text: str) -> None:
        if not settings.current.quiet:
            print(f"terality: {text}", file=sys.stderr)

    def _belongs_here(self, plan: Any, sources: tuple[Any, ...]) -> bool:
        """Nothing to compute, or so little over frames in memory that sending it away would take longer."""
        if plan.kind == "FRAME":
            return True
        return all(s.kind == "FRAME" for s in sources) and sum(s.n_rows for s in sources) < self.min_rows

    def _wait(self, query: str) -> dict[str, Any]:
        progress = Progress()
        seen = None
        try:
            while True:
                path = f"/v1/queries/{query}"
                state: dict[str, Any] = self._api.get(path, wait_ms=_POLL_MS if seen is not None else 500, seen=seen)
                if state["state"] not in ("queued", "running"):
                    return state
                seen = state["version"]
                progress.show(state)
        finally:
            progress.close()

    def _cancel(self, query: str) -> None:
        """Best effort: whatever interrupted the wait is what the user must see."""
        with contextlib.suppress(ApiError, OSError):
            self._api.delete(f"/v1/queries/{query}")

    def _failure(self, query: str, state: dict[str, Any]) -> BaseException:
        if state["state"] == "cancelled":
            return QueryError(f"query {query} was cancelled")
        error = state.get("error") or {}
        name = str(error.get("class", ""))
        text = f"query {query} failed"
        if error.get("sealed"):
            try:
                text = _engine.unseal_bytes(error["sealed"], self._key).decode("utf-8", "replace")
            except ValueError:
                text = (f"query {query} failed with {name}; the text of the error cannot be unsealed: the workers' key "
                        f"is not the one in {self.profile.store}. Is that the store of this deployment?")  # fmt: skip
            if error.get("message"):
                text = f"{text}; {error['message']}"
        elif error.get("message"):
            text = str(error["message"])
        elif name:
            # What cannot be sealed does not leave the worker.
            key = f"{self.profile.store.rstrip('/')}/keys/{self.deployment}"
            text = f"query {query} failed: a worker cannot read {key} ({name}); the worker's log tells the cause"
        found = _exception_class(name)(text)
        found.add_note(f"terality: query {query}, stage {error.get('stage')}, task {error.get('task')} on the cluster")
        return found

    # ---- sources

    def _source(self, rel: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give what the scheduler is told of a source (counts), and what the manifest says of it (names)."""
        if rel.kind == "FRAME":
            return self._upload(rel)
        objects = []
        rows: list[int] = []
        total = 0
        options: dict[str, str] = {}
        for i, (url, size, etag, in_place, row_groups) in enumerate(_engine.parquet_objects(rel)):
            rows += row_groups
            total += size
            if is_remote(url):
                options = known_options(url)
            else:
                url = self._local_file(rel, i, url, in_place)
                size, etag = _engine.stat_object(url)
            objects.append({"url": url, "size": size, "etag": etag})
        entry: dict[str, Any] = {"kind": "parquet", "objects": objects}
        if options:
            entry["storage_options"] = _engine.seal_bytes(json.dumps(options, sort_keys=True).encode(), self._key)
        return {"kind": "parquet", "rows": rows or [0], "bytes": total}, entry

    def _local_file(self, rel: Any, i: int, path: str, in_place: bool) -> str:
        """Give where workers find a file of this machine.

        Workers of a folder read it in place, as long as the path leads to what was opened; otherwise a copy goes into
        the bucket, once per content.
        """
        if self._local_store and in_place:
            return os.path.abspath(path)
        content = _engine.parquet_bytes(rel, i)
        key = f"uploads/{hashlib.sha256(content).hexdigest()}"
        self._store.put_if_absent(key, content)
        return f"{self.profile.store.rstrip('/')}/{key}"

    def _upload(self, rel: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        piece_rows = min(_PIECE_ROWS, self.options.get("target_rows") or _PIECE_ROWS)
        block, rows = _engine.encode_block(rel, piece_rows)
        key = f"uploads/{hashlib.sha256(block).hexdigest()}"
        self._store.put_if_absent(key, block)
        size, etag = self._store.stat(key)
        entry = {"key": key, "size": size, "etag": etag}
        return {"kind": "block", "rows": rows, "bytes": size}, {"kind": "block", "objects": [entry]}

    def _put_manifest(self, entries: list[dict[str, Any]]) -> str:
        name = f"m{secrets.token_hex(12)}"
        self._store.put(f"uploads/manifest-{name}", json.dumps({"version": 1, "sources": entries}).encode())
        return name

    def _deployment_key(self) -> bytes:
        """Give the key of sealing: made by the first client of a deployment, in the bucket only."""
        name = f"keys/{self.deployment}"
        try:
            key: bytes = self._store.get(name)
        except FileNotFoundError:
            self._store.put_if_absent(name, secrets.token_bytes(_KEY_BYTES))
            key = self._store.get(name)
        if len(key) != _KEY_BYTES:
            raise ValueError(f"{self.profile.store}/{name}: {len(key)} bytes, a key has {_KEY_BYTES}")
        return key

    # ---- audit

    def _note(self, method: str, path: str, body: str) -> None:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "sender": self._sender,
            "to": self.profile.url,
            "request": f"{method} {path}",
            "bytes": len(path) + len(body),
            "body": body,
        }
        with self._audit_lock:
            self._audit.append(entry)

    def write_audit(self) -> None:
        """Write what was sent since the last time to the bucket."""
        with self._audit_lock:
            entries, self._audit = self._audit, []
        if entries:
            lines = "".join(json.dumps(entry) + "\n" for entry in entries)
            day = entries[0]["time"][:10]
            self._store.put(f"audit/{day}/{self._sender}-{secrets.token_hex(6)}", lines.encode())


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}={value!r}: expected a whole number")
    return value


def _checked_options(options: dict[str, int] | None) -> dict[str, int]:
    for name, value in (options or {}).items():
        if name not in OPTIONS:
            raise ValueError(f"options[{name!r}] is not known: expected {', '.join(OPTIONS)}")
        _whole_number(f"options[{name!r}]", value)
    return dict(options or {})


def _credentials(store: str, storage_options: dict[str, Any] | None) -> dict[str, str]:
    """Translate storage_options as ``read_parquet`` does; what it would leave to pandas is an error here."""
    if not is_remote(store):
        if storage_options:
            raise ValueError(f"storage_options for the store {store!r}: a folder takes none")
        return {}
    try:
        return engine_options(store, storage_options)
    except Fallback as unknown:
        raise ValueError(f"{unknown} is not known for the store {store!r}") from None


def _exception_class(name: str) -> Any:
    """pandas' or Python's exception of that name; ArrowInvalid is pyarrow's; QueryError for anything else."""
    if name == "ArrowInvalid":
        from pyarrow.lib import ArrowInvalid

        return ArrowInvalid
    for module in (builtins, pd.errors):
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    return QueryError
