"""Fixtures of the facade's tests: the fake engine, and objects whose plan counts its runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import terality

from tests.facade import fake_engine


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The fake engine in native mode (or the mode given as parameter); counts start at zero."""
    with fake_engine.active(getattr(request, "param", "native")):
        terality.report().reset()
        yield fake_engine


def lazy(obj: Any) -> tuple[Any, fake_engine.Hidden]:
    """Give a lazy object over a pandas one, and its Native, whose ``runs`` counts materialisations."""
    table = fake_engine.Hidden(obj)
    wrap = terality.native.wrap_frame if isinstance(obj, pd.DataFrame) else terality.native.wrap_series
    return wrap(table), table


def small() -> pd.DataFrame:
    """Three rows of three dtypes."""
    return pd.DataFrame({"a": [1, 2, 3], "b": [1.5, None, 3.5], "c": ["x", "y", "x"]})
