"""The scheduler sees metadata only: values are planted wherever users put them, and looked for in all that it gets.

Looked through are both directions of its traffic (clients' and workers', recorded by a proxy), its database, what it
writes to its log, its metrics, and the audit log of what was sent. Values are looked for as text, as the bytes that
numbers have in memory, in hex and in base64.
"""

from __future__ import annotations

import base64
import io
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from terality import _engine

from tests.fault.proxy import Proxy
from tests.store import servers
from tests.worker.cluster import Cluster

TEXTS = {
    "a value of the data": "Quelle-0815",
    "a pattern": "muster-4711",
    "a label that the data make": "lbl-99a7",
    "a category": "cat-31337",
    "a value of a list": "liste-2357",
    "what an error says": "kaputt-6174",
    "a file's name": "geheim-77",
    "a folder's name": "ordner-88",
    "a key of the index": "schluessel-42",
}
NUMBERS = {
    "an integer": 918273645546,
    "a float": 27182.8182845,
    "a time": np.datetime64("2011-11-11T11:11:11.111111", "us"),
}


def forms(value: Any) -> set[bytes]:
    """Give how the value could look in somebody's bytes."""
    if isinstance(value, str):
        plain = {value.encode(), value.encode("utf-16-le")}
    elif isinstance(value, np.datetime64):
        whole = int(value.astype("int64"))
        plain = {str(whole).encode(), struct.pack("<q", whole), struct.pack("<q", whole * 1000), str(value).encode()}
    elif isinstance(value, int):
        plain = {str(value).encode(), struct.pack("<q", value), struct.pack("<d", value)}
    else:
        plain = {repr(value).encode(), struct.pack("<d", value)}
    found = set(plain)
    for one in plain:
        found |= {one.hex().encode(), one.hex().upper().encode()}
        # base64 of a longer text that holds it at any of three places
        for shift in range(3):
            whole = base64.b64encode(b"\0" * shift + one)
            found.add(whole[4 if shift else 0 : len(whole) - 4])
    return {form for form in found if len(form) >= 5}


@pytest.fixture(params=["folder", "s3"])
def watched(
    request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Cluster, Proxy, str, dict]]:
    """A cluster behind a recording proxy; where its tables lie, and the options that are needed to read them."""
    url, place, options = None, str(tmp_path / "ordner-88"), {}
    if request.param == "s3":
        server = request.getfixturevalue("versitygw")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        url, place = "s3://tables/deployment", "s3://tables/ordner-88"
        options = {"key": servers.KEY, "secret": servers.SECRET, "endpoint_url": server.endpoint}
    cluster = Cluster(tmp_path, url)
    with Proxy(cluster.scheduler.url) as proxy:
        cluster.url = proxy.url
        mode, terality.options.mode = terality.options.mode, "native"
        cluster.worker()
        cluster.connect(target_rows=100, broadcast_rows=10)
        yield cluster, proxy, place, options
        cluster.stop()
        terality.options.mode = mode


def table() -> pd.DataFrame:
    n = 100
    frame = pd.DataFrame({
        "s": pd.array([TEXTS["a value of the data"], "muster-4711 x", "liste-2357"] * n, dtype="str"),
        "e": pd.array(["1", "2", "3"] * n, dtype="str"),
        "n": np.where(np.arange(3 * n) % 5 == 0, NUMBERS["an integer"], np.arange(3 * n)),
        "f": np.where(np.arange(3 * n) % 7 == 0, NUMBERS["a float"], 0.5),
        "t": np.where(np.arange(3 * n) % 9 == 0, NUMBERS["a time"], np.datetime64("2020-01-01", "us")),
        "label": pd.array(["lbl-99a7", "b"] * (3 * n // 2), dtype="str"),
    })  # fmt: skip
    frame["c"] = pd.Categorical(["cat-31337", "b", "c"] * n)
    frame.loc[3 * n - 1, "e"] = "kaputt-6174"
    return frame


def work(place: str, options: dict[str, Any]) -> None:
    """What a user may do with values: compare, search, replace, make labels of them, fail, write."""
    path = f"{place}/geheim-77.parquet"
    given = {"storage_options": options} if options else {}
    plain = table()
    content = io.BytesIO()
    plain.to_parquet(content, row_group_size=100)
    store = _engine.Store(place, options)
    store.put("geheim-77.parquet", content.getvalue())
    lazy = terality.read_parquet(path, **given)
    number, real, when = NUMBERS["an integer"], NUMBERS["a float"], pd.Timestamp(NUMBERS["a time"])
    for chosen in (
        lazy[lazy.s == "Quelle-0815"],
        lazy[lazy.s.str.contains("muster-4711")],
        lazy[lazy.s.isin(["liste-2357", "b"])].groupby("label").n.sum(),
        lazy[lazy.c == "cat-31337"],
        lazy[(lazy.n == number) | (lazy.f > real - 1e-9)],
        lazy[lazy.t == when].assign(n=lambda d: d.n + number, f=lambda d: d.f.fillna(real)),
        lazy.pivot_table(index="s", columns="label", values="n", aggfunc="sum"),
        lazy.set_index("s").sort_index().head(3),
        lazy.groupby(["s", "c"], observed=True).f.mean(),
        terality.from_pandas(plain).merge(lazy.groupby("s", as_index=False).n.max(), on="s", how="left"),
        terality.from_pandas(plain.rename(index=lambda i: f"schluessel-42 {i}")).sort_values("f"),
    ):
        assert len(terality.to_pandas(chosen)) > 0
    with pytest.raises(ValueError, match="kaputt-6174"):
        terality.to_pandas(lazy["e"].astype("float64"))
    if options:  # what a worker says of an object that is gone names it
        store.put("geheim-77-c.parquet", content.getvalue())
        gone = terality.read_parquet(f"{place}/geheim-77-c.parquet", **given)
        store.delete("geheim-77-c.parquet")
        with pytest.raises(OSError, match="ordner-88/geheim-77-c"):
            terality.to_pandas(gone[gone.n > 7])
    lazy[lazy.n > 5].to_parquet(f"{place}/geheim-77-b.parquet", **given)


def test_nothing_planted_reaches_the_scheduler(watched: tuple[Cluster, Proxy, str, dict]) -> None:
    cluster, proxy, place, options = watched
    work(place, options)
    session = terality.remote.current()
    assert session.queries > 10
    session.write_audit()
    sent = b"".join(session._store.get(key) for key, _ in session._store.list("audit/"))
    metrics = cluster.tenant.api.get("/metrics").encode()
    kept = b"".join(file.read_bytes() for file in cluster.scheduler.folder.rglob("*") if file.is_file())
    seen = {
        "traffic": proxy.passed(),
        "audit log": sent,
        "database": kept,
        "log": cluster.scheduler.said().encode(),
        "metrics": metrics,
    }
    secrets = {**TEXTS, **NUMBERS, **{f"storage option {name}": value for name, value in options.items()}}
    secrets["the path"] = place
    for what, value in secrets.items():
        for form in forms(value):
            for where, text in seen.items():
                assert form not in text, f"{what} ({form!r}) is in the {where}"
    # The search would find something: what may be seen is there, and errors did arrive, sealed.
    assert b"NotImplementedError" in seen["traffic"] and b',"sealed":"' in seen["traffic"]
    assert not options or b"FileNotFoundError" in seen["traffic"]
    for name in ("FILTER", "AGGREGATE"):
        assert name in proxy.passed().decode("latin-1").upper()
    assert len(proxy.exchanges) > 30 and kept
    # Keys pass as headers, and are kept and logged nowhere.
    for where in ("audit log", "database", "log", "metrics"):
        for key in (cluster.tenant.key, cluster.tenant.token):
            assert key.encode() not in seen[where], where


def test_the_plan_that_arrives_has_no_readable_literal(watched: tuple[Cluster, Proxy, str, dict]) -> None:
    """Whatever looks like a literal in a plan is an id and a ciphertext."""
    _, proxy, place, options = watched
    work(place, options)
    bodies = [json.loads(e.body) for e in proxy.exchanges if (e.method, e.target) == ("POST", "/v1/queries")]
    assert bodies
    sealed = 0
    for body in bodies:
        text = json.dumps(body["plan"])
        assert not re.search(r'"(v|list|pattern|value)":', text)
        for value in re.findall(r'"sealed": ("[^"]*"|[^,}]+)', text):
            assert re.fullmatch(r'"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]+"', value), value
            sealed += 1
        for source in body["sources"]:
            assert set(source) <= {"kind", "rows", "bytes"}
        assert set(body) <= {"deployment", "plan", "manifest", "sources", "options"}
    assert sealed >= len(bodies) // 2
