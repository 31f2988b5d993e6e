"""Remote mode: the same plans, run on a deployment's workers. Nothing here is imported before :func:`connect`."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from .. import _engine
from . import profiles
from .session import OPTIONS, QueryError, Session

__all__ = ["QueryError", "Session", "connect", "current", "disconnect"]

MIN_ROWS = 100_000
_session: Session | None = None
_lock = threading.RLock()


def connect(
    url: str | None = None,
    *,
    api_key: str | None = None,
    deployment: str | None = None,
    store: str | None = None,
    profile: str | None = None,
    storage_options: dict[str, Any] | None = None,
    options: dict[str, int] | None = None,
    min_rows: int = MIN_ROWS,
) -> Session:
    """Run plans on a deployment from now on.

    Parameters
    ----------
    url : str, optional
        Of the scheduler. What is not given comes from ``TERALITY_URL``, ``TERALITY_API_KEY``,
        ``TERALITY_DEPLOYMENT``, ``TERALITY_STORE``, then from a profile in ``~/.terality/config``.
    api_key, deployment, store : str, optional
        The account's key, the deployment's name, its bucket (``s3://bucket/prefix`` or a folder).
    profile : str, optional
        Which profile; ``TERALITY_PROFILE`` or "default".
    storage_options : dict, optional
        Credentials for the bucket, as ``read_parquet`` takes them; they stay in this process.
    options : dict, optional
        ``partitions``, ``target_rows``, ``broadcast_rows``: how finely plans are cut.
    min_rows : int
        Plans over frames in this process' memory with fewer rows altogether run here.

    Returns
    -------
    Session

    Raises
    ------
    ValueError
        Something is known from nowhere, or malformed.
    terality.remote.api.ApiError
        The scheduler refused: a wrong or revoked key, an unknown deployment, a version that does not fit.
    ConnectionError
        No scheduler answers at the URL.

    Examples
    --------
    >>> terality.connect("https://scheduler.example", api_key="trk_…", deployment="prod", store="s3://bucket")
    """
    global _session
    found = profiles.load(profile, url=url, api_key=api_key, deployment=deployment, store=store)
    session = Session(found, storage_options=storage_options, options=options, min_rows=min_rows)
    disconnect()
    _session = session
    _engine.set_runner(session.run)
    return session


def connect_from_environment() -> Session:
    """Connect as the environment and the profiles say, once per process.

    ``TERALITY_MIN_ROWS``, ``TERALITY_TARGET_ROWS``, ``TERALITY_PARTITIONS`` and ``TERALITY_BROADCAST_ROWS`` are the
    arguments of these names.
    """
    with _lock:
        if _session is None:
            given = {name: os.environ.get(f"TERALITY_{name.upper()}") for name in OPTIONS}
            options = {name: int(value) for name, value in given.items() if value}
            min_rows = int(os.environ.get("TERALITY_MIN_ROWS", MIN_ROWS))
            connect(options=options, min_rows=min_rows)
        assert _session is not None
        return _session


def disconnect() -> None:
    """Run plans in this process again."""
    global _session
    _engine.set_runner(None)
    if _session is not None:
        _session.write_audit()
    _session = None


def current() -> Session | None:
    """Give the session plans run on, None in-process."""
    return _session


atexit.register(disconnect)
