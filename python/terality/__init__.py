"""terality: pandas' own classes, executed by an engine in C.

``import terality as pd`` is the only line that changes: every public name of pandas is here, and
``terality.DataFrame is pandas.DataFrame``.
"""

from __future__ import annotations

import os as _os
import sys as _sys
import warnings as _warnings
from typing import Any as _Any

import pandas as _pandas

from . import _engine
from . import patch as _patch
from .counters import Report as _Report
from .counters import suite_counters as _suite_counters  # noqa: F401 - for the runner of pandas' tests
from .native import execute, explain, from_pandas, is_lazy, to_pandas
from .patch import install, uninstall
from .registry import NotNativeError
from .settings import Options as _Options

__version__ = "0.1.0"

_reason = _patch.unsupported()
if _reason is None:
    _patch.patch_classes()
else:
    _warnings.warn(f"terality: {_reason}; pandas runs unpatched", RuntimeWarning, stacklevel=2)
globals().update({name: value for name, value in _patch.public_names().items() if name != "annotations"})
options = _Options()
_the_report = _Report()


def report() -> _Report:
    """Give the counts of calls served natively and by pandas.

    Returns
    -------
    Report
        With ``native``, ``fallback``, ``calls``, ``reset()``; printing it gives a table.
    """
    return _the_report


def connect(*args: _Any, **kwargs: _Any) -> _Any:
    """Run plans on a deployment from now on; see :func:`terality.remote.connect` for the parameters."""
    from .remote import connect

    return connect(*args, **kwargs)


def _connect_first(rel: _Any, need: _Any) -> _Any:
    """Be the runner until the first run: ``TERALITY_URL`` says that plans run on a deployment."""
    from .remote import connect_from_environment

    return connect_from_environment().run(rel, need)


if _reason is None and _os.environ.get("TERALITY_URL"):
    _engine.set_runner(_connect_first)


def disconnect() -> None:
    """Run plans in this process again."""
    _engine.set_runner(None)
    if "terality.remote" in _sys.modules:
        from .remote import disconnect

        disconnect()


for _name in ("api", "arrays", "errors", "io", "plotting", "testing", "tseries"):
    _sys.modules.setdefault(f"{__name__}.{_name}", getattr(_pandas, _name))

__all__ = [
    *(getattr(_pandas, "__all__", None) or [name for name in vars(_pandas) if not name.startswith("_")]),
    "NotNativeError", "connect", "disconnect", "execute", "explain", "from_pandas", "install", "is_lazy", "report",
    "to_pandas", "uninstall",
]  # fmt: skip
__all__ = list(dict.fromkeys(__all__))


def __getattr__(name: str) -> _Any:
    return getattr(_pandas, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_pandas)})
