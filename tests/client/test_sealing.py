"""What leaves the process sealed, and a runner in place of this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import terality
from terality import _engine
from terality.native import native_of

KEY = bytes(range(32))
PLANTED = "Ärger-42"


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    before = terality.options.mode
    terality.options.mode = "native"
    yield
    terality.options.mode = before


@pytest.fixture
def plan() -> tuple[str, Any]:
    frame = terality.from_pandas(pd.DataFrame({"s": ["a", PLANTED, None], "x": [1, 2, 31415926]}))
    chosen = frame[(frame.s == PLANTED) | frame.s.isin([PLANTED, "b"]) | (frame.x < 31415926)]
    chosen = chosen.assign(t=chosen.s.str.replace("rger", "rg_42_er"))
    return _engine.encode_plan(native_of(chosen, ingest=False).flat().rel.detach(None))


def test_a_sealed_plan_shows_no_value_and_comes_back(plan: tuple[str, Any]) -> None:
    text, _ = plan
    assert PLANTED in json.dumps(json.loads(text), ensure_ascii=False)
    sealed = _engine.seal_plan(text, KEY)
    for secret in (PLANTED, "31415926", "rg_42_er"):
        assert secret not in json.dumps(json.loads(sealed), ensure_ascii=False)
    assert _engine.unseal_plan(sealed, KEY) == text


def test_another_key_or_a_changed_text_is_refused(plan: tuple[str, Any]) -> None:
    sealed = _engine.seal_plan(plan[0], KEY)
    with pytest.raises(ValueError):
        _engine.unseal_plan(sealed, KEY[::-1])
    with pytest.raises(ValueError, match="31 bytes"):
        _engine.seal_plan(plan[0], KEY[1:])
    text = _engine.seal_bytes(b"credentials", KEY)
    assert _engine.unseal_bytes(text, KEY) == b"credentials"
    flipped = text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1]
    with pytest.raises(ValueError):
        _engine.unseal_bytes(flipped, KEY)


def test_a_runner_computes_what_is_not_at_hand() -> None:
    calls: list[Any] = []

    def runner(rel: Any, need: Any) -> Any:
        calls.append(need)
        text, sources = _engine.encode_plan(rel.detach(need))
        return rel.attach(need, _engine.decode_plan(text, sources).run_here())

    frame = pd.DataFrame({"k": [1, 2, 1], "x": [1.5, 2.5, 3.5]})
    _engine.set_runner(runner)
    try:
        sums = terality.from_pandas(frame).groupby("k").x.sum()
        pd.testing.assert_series_equal(terality.to_pandas(sums), frame.groupby("k").x.sum())
        assert calls
        _engine.set_runner(lambda rel, need: None)
        with pytest.raises(TypeError, match="NoneType, not a Frame"):
            terality.to_pandas(terality.from_pandas(frame).sort_values("x"))
    finally:
        _engine.set_runner(None)
