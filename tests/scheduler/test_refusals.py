"""Wrong input gets a clear 4xx that names the fault, and changes nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from .daemon import ADMIN, Refused, Tenant, report_of
from .test_api import sources_of


@pytest.fixture
def database(scheduler):
    """Gives what is in the database, to be compared before and after."""
    return scheduler.contents


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (None, "401 no_key"),
        ("", "401 no_key"),
        ("wrong", "401 wrong_key"),
        ("x" * 5000, "401 wrong_key"),
        (ADMIN, "403 wrong_kind"),
        ("worker", "403 wrong_kind"),
    ],
)
def test_keys(scheduler, tenant, key, fault):
    api = scheduler.api(tenant.token if key == "worker" else key)
    with pytest.raises(Refused, match=fault):
        api.get("/v1/deployments")


def test_a_revoked_key_ends_at_once(tenant, scheduler):
    made = tenant.api.post("/v1/keys", {"name": "short"})
    api = scheduler.api(made["key"])
    api.get("/v1/queries")
    tenant.api.delete(f"/v1/keys/{made['id']}")
    with pytest.raises(Refused, match="401 revoked_key"):
        api.get("/v1/queries")


def test_a_user_key_is_no_worker_token(tenant):
    with pytest.raises(Refused, match="403 wrong_kind: a worker token is needed"):
        tenant.api.post("/v1/lease", {"worker": "w", "want": 1})


@pytest.mark.parametrize(
    ("version", "status"), [("0", 426), ("1", 200), ("2", 200), ("3", 426), ("x", 400), ("-1", 426)]
)
def test_versions(scheduler, tenant, version, status):
    api = scheduler.api(tenant.key, version=version)
    assert api.raw("GET", "/v1/queries")[0] == status
    if status == 426:
        with pytest.raises(Refused, match="upgrade"):
            api.get("/v1/queries")


def test_a_client_without_version_is_served(scheduler, tenant):
    assert scheduler.api(tenant.key, version=None).get("/v1/queries")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/queries/", 404),
        ("GET", "/v2/queries", 404),
        ("PUT", "/v1/queries", 405),
        ("DELETE", "/v1/lease", 405),
        ("GET", "/v1/queries/q%00x", 404),
        ("GET", "/v1/queries/q%20x", 400),
        ("GET", "/v1/queries/" + "q" * 5000, 404),
        ("GET", "/v1/queries/qdoes-not-exist", 404),
        ("GET", "/v1/queries?limit=x", 400),
        ("GET", "/v1/queries?limit=-1", 400),
        ("GET", "/v1/queries/q1?wait_ms=99999999999999999999", 400),
        ("GET", "/v1/capacity?deployment=a/b", 400),
        ("GET", "/v1/capacity?deployment=none", 404),
        ("GET", "/v1/capacity", 400),
        ("GET", "/" + "x" * 60000, 414),
    ],
)
def test_paths(tenant, method, target, status):
    assert tenant.api.raw(method, target)[0] == status


BODIES = [
    ("", "invalid_json"),
    ("{", "invalid_json"),
    ("nul", "invalid_json"),
    ('{"name":"a","name":"b"}', "invalid_json"),
    ("[]", "no JSON object"),
    ("{}", '"name" is missing'),
    ('{"name":7}', '"name" is no text'),
    ('{"name":""}', '"name"'),
    ('{"name":"a b"}', '"name" is no name'),
    ('{"name":"' + "a" * 65 + '"}', '"name" is too long'),
    ('{"name":"a","x":1}', "2 fields, only 1"),
    ("[" * 100 + "]" * 100, "more than 64 deep"),
    ("[" + "0," * 30000, "invalid_json"),
    ("\xff\xfe", "invalid_json"),
    ('{"name":"\\u0000"}', "invalid_json"),
]


@pytest.mark.parametrize(("body", "fault"), BODIES)
def test_small_bodies(tenant, database, body, fault):
    before = database()
    status, _, text = tenant.api.raw("POST", "/v1/deployments", body.encode("latin-1"))
    error = json.loads(text)["error"]
    assert status == 400
    assert fault in f"{error['code']} {error['message']}"
    assert database() == before


def query_body(given, changes):
    body = {"deployment": "main", "plan": given, "manifest": "m1", "sources": sources_of(given)}
    return {name: value for name, value in {**body, **changes}.items() if value is not ...}


QUERY_FAULTS = [
    ({"deployment": "none"}, "404 no_deployment"),
    ({"deployment": ...}, '400 invalid_body: the body: "deployment" is missing'),
    ({"manifest": "a/b"}, '"manifest" is no id'),
    ({"manifest": "x" * 81}, '"manifest" is too long'),
    ({"plan": 5}, "neither object nor text"),
    ({"plan": {}}, "400 invalid_plan: plan: "),
    ({"plan": "no json"}, "400 invalid_plan"),
    ({"plan": {"version": 99, "sources": [], "exprs": [], "nodes": []}}, "400 invalid_plan"),
    ({"sources": {}}, '"sources" is no list'),
    ({"sources": []}, "400 invalid_plan: plan: it has 1 sources, 0"),
    ({"sources": [{"kind": "parquet", "rows": []}]}, '"rows" is empty'),
    ({"sources": [{"kind": "parquet", "rows": [-1]}]}, '"rows".0. is no number of rows'),
    ({"sources": [{"kind": "parquet", "rows": [1.5]}]}, "is no number of rows"),
    ({"sources": [{"kind": "csv", "rows": [1]}]}, "neither parquet nor block"),
    ({"sources": [{"kind": "parquet", "rows": [1], "url": "s3://b"}]}, "3 fields, only 2"),
    ({"sources": [{"kind": "parquet", "rows": [1]}] * 1001}, "1001 entries, more than 1000"),
    ({"options": {"partitions": 10**6}}, '"partitions" is 1000000'),
    ({"options": {"colour": 1}}, "options has 1 fields"),
    ({"extra": 1}, "the body has 5 fields"),
]


@pytest.mark.parametrize(("changes", "fault"), QUERY_FAULTS)
def test_queries(tenant, group_plan, database, changes, fault):
    before = database()
    with pytest.raises(Refused, match=fault):
        tenant.api.post("/v1/queries", query_body(group_plan, changes))
    assert database() == before


def test_a_readable_literal_is_refused(tenant):
    plan = (Path(__file__).resolve().parents[1] / "data" / "plans_v1" / "filter_project.json").read_text().strip()
    with pytest.raises(Refused, match="400 invalid_plan"):
        tenant.submit(plan, sources_of(plan))


def bomb(nodes: int) -> dict:
    """A plan of so many nodes, one over the other."""
    source = {"kind": "PARQUET", "rows": 100, "cols": [{"dtype": "int64"}]}
    steps = [{"kind": "SLICE", "inputs": [i], "stop": 5} for i in range(nodes)]
    return {"version": 1, "sources": [source], "exprs": [], "nodes": [{"source": 0}, *steps]}


@pytest.mark.parametrize("nodes", [600, 5000, 60000])
def test_plan_bombs(tenant, nodes):
    with pytest.raises(Refused, match="400 invalid_plan"):
        tenant.submit(bomb(nodes), [{"kind": "parquet", "rows": [100]}])


def test_wide_bombs(tenant):
    exprs = [{"op": "COL", "column": 0, "dtype": "int64"}]
    exprs += [{"op": "ADD", "args": [i, i], "dtype": "int64"} for i in range(200)]
    plan = {**bomb(0), "exprs": exprs}
    plan["nodes"] = [{"source": 0}, {"kind": "PROJECT", "inputs": [0], "exprs": [200]}]
    with pytest.raises(Refused, match="400 invalid_plan"):
        tenant.submit(plan, [{"kind": "parquet", "rows": [100]}])


def test_oversize_bodies(tenant, database):
    before = database()
    with pytest.raises(Refused, match="413 body_too_large"):
        tenant.api.post("/v1/deployments", {"name": "x" * 70000})
    with pytest.raises(Refused, match="413 body_too_large"):
        tenant.api.post("/v1/queries", {"plan": "x" * (17 << 20)})
    with pytest.raises(Refused, match="more than 1048576 values"):
        tenant.api.post("/v1/queries", {"plan": [[]] * 2000000})
    status, _, text = tenant.api.raw("GET", "/v1/queries", b"a body where none is taken")
    assert status == 413, text
    assert database() == before


def test_a_body_without_length(tenant):
    def pieces():
        for _ in range(300):
            yield b"x" * 65536

    with pytest.raises(Refused, match="413 body_too_large"):
        api = tenant.api
        connection = api.connect()
        connection.request(
            "POST", "/v1/queries", pieces(), {"Authorization": f"Bearer {tenant.key}"}, encode_chunked=True
        )
        reply = connection.getresponse()
        raise Refused(reply.status, json.loads(reply.read())["error"])


def test_bodies_of_strangers_are_not_kept(scheduler):
    with pytest.raises(Refused, match="401"):
        scheduler.api("wrong").post("/v1/queries", {"plan": "x" * (15 << 20)})


def test_expectations_are_refused_before_the_body(scheduler):
    at = ("127.0.0.1", scheduler.port)
    with socket.create_connection(at, timeout=10) as s:
        s.sendall(b"POST /v1/queries HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "noise",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/lease HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
def test_noise(scheduler, noise):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=10) as s:
        s.sendall(noise)
        s.shutdown(socket.SHUT_WR)
    assert scheduler.api(None).get("/healthz")


LEASE_FAULTS = [
    ({"worker": ...}, '"worker" is missing'),
    ({"worker": "a b"}, '"worker" is no name'),
    ({"want": 65}, '"want" is 65'),
    ({"want": "1"}, '"want" is no integer'),
    ({"wait_ms": 30001}, '"wait_ms" is 30001'),
    ({"running": ["q"]}, "running.0. is no lease"),
    ({"running": [7]}, "running.0. is no lease"),
    ({"running": ["q1/0/0/1"] * 257}, "257 entries"),
    ({"reports": [{}]}, 'reports.0.: "query" is missing'),
    ({"secret": 1}, "3 fields, only 2"),
]


@pytest.mark.parametrize(("changes", "fault"), LEASE_FAULTS)
def test_leases(tenant, changes, fault):
    body = {"worker": "w", "want": 1, **changes}
    with pytest.raises(Refused, match=fault):
        tenant.worker.post("/v1/lease", {name: value for name, value in body.items() if value is not ...})


def test_reports(tenant, group_plan, database):
    query = tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    task = tenant.lease()["tasks"][0]
    good = report_of(task)
    where = {name: good[name] for name in ("query", "stage", "task", "attempt")}
    before = database()
    faults = [
        ({**good, "rows": -1}, '"rows" is -1'),
        ({**good, "seconds": "1"}, '"seconds" is no number'),
        ({**good, "segment_rows": [1]}, "segments"),
        ({**good, "segment_rows": [1] * 99, "segment_bytes": [1] * 99}, "parts, the report 99"),
        ({**good, "segment_bytes": [0.5] * len(good["segment_bytes"])}, "is no count"),
        ({**good, "stage": 99}, "no task"),
        ({**good, "task": 99}, "no task"),
        ({**good, "note": "text"}, "only"),
        ({**where, "ok": False}, '"class" is missing'),
        ({**where, "ok": False, "class": "a text with values 42"}, '"class" is no name of an error class'),
        ({**where, "ok": False, "class": "E", "sealed": "in the clear"}, '"sealed" is not sealed'),
        ({**where, "ok": False, "class": "E", "sealed": "short.x"}, '"sealed" is not sealed'),
        ({**where, "ok": False, "class": "E", "lost": {"stage": 98, "task": 0, "attempt": 1}}, "no task 0 in stage 98"),
    ]
    for report, fault in faults:
        # A good report before the bad one is not taken either.
        with pytest.raises(Refused, match=fault):
            tenant.worker.post("/v1/lease", {"worker": "w1", "want": 0, "reports": [good, report]})
    assert database() == before
    assert tenant.api.get(f"/v1/queries/{query}")["stages"][0]["done"] == 0


def test_the_account_limit(scheduler):
    tenant = Tenant(scheduler, "many")
    with pytest.raises(Refused, match="409 exists"):
        tenant.api.post("/v1/deployments", {"name": "main"})
    with pytest.raises(Refused, match="409 exists"):
        scheduler.api().post("/v1/accounts", {"name": "many"})
