"""Random plans give the same, rewritten or not: dtypes and values, also of held nodes that are asked later."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from terality import _engine

from . import plans


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    yield
    _engine.set_execution()


def check(seed: int, folder: Path) -> None:
    """Run some nodes of a plan, the last first, with random needs, both ways."""
    steps = random.Random(seed).randrange(1, 11)
    as_made, rewritten = plans.make(seed, folder, steps), plans.make(seed, folder, steps)
    rng = random.Random(seed + 1)
    order = [len(as_made.rels) - 1] + [rng.randrange(len(as_made.rels)) for _ in range(3)]
    if rng.random() < 0.5:  # hold only what is asked for
        for i in set(range(len(as_made.rels))) - set(order):
            as_made.rels[i] = rewritten.rels[i] = None
    for at in order:
        n = as_made.rels[at].n_cols
        need = tuple(i for i in range(n) if rng.random() < 0.5) if rng.random() < 0.7 else tuple(range(n))
        try:
            _engine.set_execution(optimise=False, morsel_rows=rng.choice([0, 1, 3]))
            expected = plans.values(as_made.rels[at], need)
        except Exception:  # plans that nobody would make: dtypes that turn out otherwise below an expression
            return
        _engine.set_execution(optimise=True)
        text = rewritten.rels[at].explain(optimised=True, need=need)
        found = plans.values(rewritten.rels[at], need)
        context = f"seed {seed}, node {at}, columns {need}\n{as_made.rels[at].explain()}\n{text}"
        assert expected[0] == found[0], context
        for i, a, b in zip(need, expected[1:], found[1:], strict=True):
            assert (i, plans.differ(a, b)) == (i, None), context


@pytest.mark.parametrize("chunk", range(20))
def test_random_plans(chunk: int, folder: Path) -> None:
    for seed in range(20 * chunk, 20 * chunk + 20):
        check(seed, folder)
