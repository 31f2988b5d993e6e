"""Accounts and deployments that share a scheduler do not meet: every path of the document, with every kind of key.

Two accounts with two deployments each. For each operation of docs/openapi.json `ROUTES` says what a stranger's request
for the first deployment of the first account gets; the rest follows from the document's `security`. An operation
without a line in `ROUTES` fails, so that a new one comes with a decision.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from .daemon import ADMIN, DOCUMENT, Api, Refused, Scheduler, Tenant, report_of
from .test_api import sources_of
from .test_aws_settings import SETTINGS

ROLE = SETTINGS["worker_roles"][0]
NOWHERE = "http://127.0.0.1:1"
KINDS = {"adminKey": "operator", "apiKey": "user", "workerToken": "worker"}


class Home:
    """An account with two deployments that are on AWS, a query in each, a worker that holds tasks of the first's."""

    def __init__(self, scheduler: Scheduler, name: str, plan: str):
        self.tenant = tenant = Tenant(scheduler, name)
        self.name, self.api = name, tenant.api
        self.first = tenant.deployment
        made = tenant.api.post("/v1/deployments", {"name": "second"})
        self.second, self.second_token = made["id"], made["token"]
        for deployment in ("main", "second"):
            tenant.api.call("PUT", f"/v1/deployments/{deployment}/aws", SETTINGS)
        body = {"deployment": "main", "plan": plan, "manifest": f"m-{name}", "sources": sources_of(plan)}
        self.body = {**body, "options": {"target_rows": 25}}
        self.query = tenant.api.post("/v1/queries", self.body)["query"]
        self.others = tenant.api.post("/v1/queries", {**self.body, "deployment": "second"})["query"]
        self.worker = f"worker-of-{name}"
        self.task = tenant.lease(self.worker, want=1, kind="lambda-small", cores=1)["tasks"][0]
        spare = tenant.api.post("/v1/keys", {"name": f"spare-of-{name}"})
        self.spare = spare["id"]
        gone = tenant.api.post("/v1/keys", {"name": f"gone-of-{name}"})
        self.gone, self.gone_key = gone["id"], gone["key"]
        tenant.api.delete(f"/v1/keys/{self.gone}")

    @property
    def names(self) -> set[str]:
        """What of this account's must show nowhere else."""
        ids = {self.first, self.second, self.query, self.others, self.spare, self.gone, self.tenant.account}
        return ids | {self.worker, f"m-{self.name}", f"spare-of-{self.name}", f"gone-of-{self.name}"}


class World:
    """The scheduler with both accounts; the first is the one that others ask about."""

    def __init__(self, scheduler: Scheduler, plan: str):
        self.scheduler = scheduler
        self.mine, self.theirs = Home(scheduler, "mine", plan), Home(scheduler, "theirs", plan)
        self.key = dict(scheduler.contents()["secrets"])["token_key"]

    def state(self) -> Any:
        """The database, and what of the first account is in memory only."""
        seen = [self.mine.api.get("/v1/workers", deployment=d)["workers"] for d in (self.mine.first, self.mine.second)]
        for worker in seen[0] + seen[1]:
            del worker["silent_ms"]
        tables = self.scheduler.contents()
        del tables["spend"]  # grows with every minute of a worker that is there
        return tables, seen

    def mine_of(self, state: Any) -> Any:
        """The part of it that is the first account's."""
        tables, seen = state
        names = self.mine.names
        return {
            t: [r for r in rows if any(c in names for c in r if isinstance(c, str))] for t, rows in tables.items()
        }, seen

    def proved(self, deployment: str, seconds: float = 600) -> str:
        """The token of a worker that has proved its role, as the scheduler makes it."""
        text = f"worker {deployment} {ROLE} {int(time.time() + seconds)}".encode()
        mac = hmac.digest(self.key.encode(), text, hashlib.sha256)
        return f"trw_{_coded(text)}.{_coded(mac)}"


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True)
class Route:
    """What is asked for of the first account, and what strangers get.

    Attributes
    ----------
    path : callable
        Of the first account's thing.
    body : callable, optional
    params : callable
        Of the query string.
    user, worker : str
        For the key of another account, and the token of another deployment: "404 no_query", or "own": it makes what is
        its own, and sees and changes nothing of the first account's.
    operator : str
        For the admin key where the document lets it in.
    last : int
        In which order it is tried by those who may.
    """

    path: Callable[[Home], str] | None = None
    body: Callable[[Home], Any] | None = None
    params: Callable[[Home], dict[str, str]] = field(default=lambda home: {})
    user: str = ""
    worker: str = ""
    operator: str = "200"
    last: int = 0


def _account(home: Home) -> dict[str, str]:
    return {"account": home.tenant.account}


def _first(home: Home) -> dict[str, str]:
    return {"deployment": home.first}


def _report(home: Home) -> dict[str, Any]:
    return {"worker": "thief", "want": 1, "wait_ms": 0, "reports": [report_of(home.task)]}


PROOF = {"url": "https://sts.evil.example/", "headers": {"host": "sts.evil.example"}}
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/healthz"): Route(),
    ("GET", "/metrics"): Route(),
    ("GET", "/v1/openapi.json"): Route(),
    ("POST", "/v1/accounts"): Route(body=lambda home: {"name": "third"}, operator="201"),
    ("GET", "/v1/accounts"): Route(),
    ("POST", "/v1/keys"): Route(
        body=lambda home: {"name": "more", "account": home.tenant.account}, user="404 no_account", operator="201"
    ),
    ("GET", "/v1/keys"): Route(params=_account, user="404 no_account"),
    ("DELETE", "/v1/keys/{id}"): Route(path=lambda home: home.spare, user="404 no_key", last=4),
    ("POST", "/v1/deployments"): Route(body=lambda home: {"name": "more"}, user="own"),
    ("GET", "/v1/deployments"): Route(params=_account, user="404 no_account"),
    ("GET", "/v1/deployments/{id}"): Route(path=lambda home: home.first, user="404 no_deployment"),
    ("DELETE", "/v1/deployments/{id}"): Route(path=lambda home: home.second, user="404 no_deployment", last=5),
    ("PUT", "/v1/deployments/{id}/aws"): Route(
        path=lambda home: home.first,
        body=lambda home: {**SETTINGS, "limits": {"workers": 1, "usd_per_query": 1.0, "usd_per_hour": 1.0}},
        user="404 no_deployment",
    ),
    ("GET", "/v1/deployments/{id}/aws"): Route(path=lambda home: home.first, user="404 no_deployment"),
    ("DELETE", "/v1/deployments/{id}/aws"): Route(path=lambda home: home.first, user="404 no_deployment", last=3),
    ("GET", "/v1/deployments/{id}/health"): Route(path=lambda home: home.first, user="404 no_deployment"),
    ("POST", "/v1/queries"): Route(body=lambda home: {**home.body, "deployment": home.first}, user="404 no_deployment"),
    ("GET", "/v1/queries"): Route(params=_account, user="404 no_account"),
    ("GET", "/v1/queries/{id}"): Route(path=lambda home: home.query, user="404 no_query"),
    ("DELETE", "/v1/queries/{id}"): Route(path=lambda home: home.others, user="404 no_query", last=2),
    ("GET", "/v1/queries/{id}/plan"): Route(path=lambda home: home.query, worker="404 no_query"),
    ("POST", "/v1/lease"): Route(body=_report, worker="404 no_query", last=1),
    ("GET", "/v1/workers"): Route(params=_first, user="404 no_deployment", worker="404 no_deployment"),
    ("DELETE", "/v1/workers/{id}"): Route(
        path=lambda home: home.worker, params=_first, user="404 no_deployment", worker="404 no_deployment", last=1
    ),
    ("GET", "/v1/workers/challenge"): Route(params=_first),
    # Whoever asks must prove a role; what they prove it with is test_identity.py's business.
    ("POST", "/v1/workers/identity"): Route(body=lambda home: {**PROOF, "deployment": home.first}, operator="403"),
    ("GET", "/v1/capacity"): Route(params=_first, user="404 no_deployment", worker="404 no_deployment"),
    ("GET", "/v1/usage"): Route(
        params=lambda home: {"account": home.tenant.account, "deployment": home.first}, user="404 no_account"
    ),
}
OPERATIONS = [(m.upper(), path, about) for path, methods in DOCUMENT["paths"].items() for m, about in methods.items()]


@dataclass(frozen=True)
class Credential:
    """A key as it is sent, what kind of key it is, and what is wrong with it, if anything is."""

    key: str | None
    kind: str
    fault: str = ""


def credentials(world: World) -> dict[str, Credential]:
    """Give those of everybody who is not of the first deployment of the first account."""
    mine, theirs = world.mine, world.theirs
    proved = world.proved(theirs.first)
    return {
        "nobody": Credential(None, "", "401 no_key"),
        "a wrong key": Credential("trk_" + "x" * 43, "", "401 wrong_key"),
        "the id of a key": Credential(mine.spare, "", "401 wrong_key"),
        "a revoked key": Credential(mine.gone_key, "", "401 revoked_key"),
        "the operator": Credential(ADMIN, "operator"),
        "another account": Credential(theirs.tenant.key, "user"),
        "a worker of another account": Credential(theirs.tenant.token, "worker"),
        "a worker of the other deployment": Credential(mine.second_token, "worker"),
        "a proved worker of another account": Credential(proved, "worker"),
        "a proved worker of the other deployment": Credential(world.proved(mine.second), "worker"),
        "a worker whose proof is old": Credential(world.proved(mine.first, -1), "", "401 wrong_key"),
        "a worker with another's proof": Credential(f"{proved[:-4]}AAAA", "", "401 wrong_key"),
        "a worker without the role": Credential(world.proved("d0123456789abcdef"), "", "401 wrong_key"),
    }


WHO = [
    "nobody", "a wrong key", "the id of a key", "a revoked key", "the operator", "another account",
    "a worker of another account", "a worker of the other deployment", "a proved worker of another account",
    "a proved worker of the other deployment", "a worker whose proof is old", "a worker with another's proof",
    "a worker without the role",
]  # fmt: skip


def allowed(about: dict[str, Any]) -> set[str]:
    """Give the kinds of keys that the document names for an operation; empty when it needs none."""
    return {KINDS[name] for one in about["security"] for name in one}


def ask(world: World, api: Api, method: str, path: str, of: Home) -> Any:
    """Send the operation, as it is for things of an account."""
    route = ROUTES[method, path]
    target = path.replace("{id}", route.path(of) if route.path else "")
    body = route.body(of) if route.body else None
    return api.call(method, target, body, **route.params(of))


@pytest.fixture(scope="module")
def world(tmp_path_factory, group_plan) -> Iterator[World]:
    endpoints = ["--aws-endpoint", NOWHERE, "--sts-endpoint", f"{NOWHERE}/", "--lease-ms", "600000"]
    scheduler = Scheduler(tmp_path_factory.mktemp("isolation") / "data", *endpoints).start()
    yield World(scheduler, group_plan)
    scheduler.stop()


def test_every_operation_has_a_decision():
    assert {(method, path) for method, path, _ in OPERATIONS} == set(ROUTES)
    for method, path, about in OPERATIONS:
        route, kinds = ROUTES[method, path], allowed(about)
        assert bool(route.user) == ("user" in kinds), f"{method} {path}: what does the key of another account get?"
        assert bool(route.worker) == ("worker" in kinds), f"{method} {path}: what does another worker get?"


def expected(route: Route, about: dict[str, Any], credential: Credential) -> str:
    """What a request gets, by the document and the route's decision; "" for those who may."""
    kinds = allowed(about)
    if not kinds:
        return ""
    if credential.fault:
        return credential.fault
    if credential.kind not in kinds:
        return "403 wrong_kind"
    return {"operator": "", "user": route.user, "worker": route.worker}[credential.kind]


@pytest.mark.parametrize("who", WHO)
def test_strangers_are_refused_and_change_nothing(world: World, who: str):
    credential = credentials(world)[who]
    api = world.scheduler.api(credential.key)
    before = world.state()
    for method, path, about in OPERATIONS:
        wanted = expected(ROUTES[method, path], about, credential)
        if wanted in ("", "own"):
            continue  # the next tests
        with pytest.raises(Refused) as refused:
            ask(world, api, method, path, world.mine)
        said = f"{refused.value.status} {refused.value.code}"
        assert said == wanted, f"{who}: {method} {path}"
        told = refused.value.message
        hidden = world.mine.names - set(ask_words(method, path, world.mine))
        assert not any(name in told for name in hidden), f"{who}: {method} {path} tells {told}"
        if method != "GET":
            assert world.state() == before, f"{who}: {method} {path} was refused and changed something"
    assert world.state() == before


def ask_words(method: str, path: str, of: Home) -> list[str]:
    """The names that the request itself has: an answer may repeat them."""
    route = ROUTES[method, path]
    body = json.dumps(route.body(of)) if route.body else ""
    sent = f"{route.path(of) if route.path else ''} {route.params(of)} {body}"
    return [name for name in of.names if name in sent]


def test_own_lists_hold_nothing_of_others(world: World):
    """What needs no name of a thing answers from the asker's own account or deployment."""
    theirs, mine = world.theirs, world.mine
    before = world.state()
    everything = [
        json.dumps(ask(world, theirs.api, method, path, mine))
        for (method, path), route in ROUTES.items()
        if "own" in (route.user, route.worker)
    ]
    for path in ("/v1/keys", "/v1/deployments", "/v1/queries", "/v1/usage"):
        everything.append(json.dumps(theirs.api.get(path)))
    for token in (theirs.tenant.token, world.proved(theirs.first)):
        worker = world.scheduler.api(token)
        everything += [json.dumps(worker.get(path)) for path in ("/v1/workers", "/v1/capacity")]
        everything.append(json.dumps(worker.post("/v1/lease", {"worker": "own", "want": 0, "wait_ms": 0})))
    stolen = {"worker": "own", "want": 0, "wait_ms": 0, "running": [mine.task["lease"]]}
    told = world.scheduler.api(theirs.tenant.token).post("/v1/lease", stolen)
    assert told["cancel"] == [mine.task["lease"]]
    public = [json.dumps(world.scheduler.api(None).get(path)) for path in ("/healthz", "/metrics", "/v1/openapi.json")]
    for text in everything + public:
        assert not any(name in text for name in mine.names), text
    assert world.mine_of(world.state()) == world.mine_of(before)


def test_usage_adds_up_and_is_ones_own(world: World):
    """Of both deployments of an account, that of one which was dropped too; of no other account."""
    home = Home(world.scheduler, "busy", world.mine.body["plan"])
    home.tenant.work("w", rows=7)
    second = world.scheduler.api(home.second_token)
    tasks = second.post("/v1/lease", {"worker": "w2", "want": 1, "wait_ms": 0})["tasks"]
    second.post("/v1/lease", {"worker": "w2", "want": 0, "wait_ms": 0, "reports": [report_of(tasks[0], 11)]})
    counts = ("queries", "tasks", "rows", "bytes")

    def used(**params: str) -> dict[str, float]:
        days = home.api.get("/v1/usage", **params)["days"]
        return {name: sum(day[name] for day in days) for name in (*counts, "seconds", "cost_usd")}

    first, other, both = used(deployment="main"), used(deployment=home.second), used()
    assert (first["queries"], other["queries"], other["tasks"], other["rows"]) == (1, 1, 1, 11)
    assert first["tasks"] > 1 and first["cost_usd"] >= 0
    assert both == {name: pytest.approx(first[name] + other[name]) for name in both}
    assert home.api.get("/v1/usage", deployment="main")["deployment"] == home.first
    admin = world.scheduler.api()
    assert admin.get("/v1/usage", account="busy") == home.api.get("/v1/usage")
    assert admin.get("/v1/usage", account="busy", deployment="second") == home.api.get("/v1/usage", deployment="second")
    theirs = world.theirs.api.get("/v1/usage")["days"]
    assert [day["queries"] for day in theirs] == [2] and [day["tasks"] for day in theirs] == [0]
    home.api.delete(f"/v1/queries/{home.others}")
    home.api.delete("/v1/deployments/second")
    assert used() == pytest.approx(both)
    with pytest.raises(Refused, match="404 no_deployment"):
        home.api.get("/v1/usage", deployment="second")


OLD_USAGE = """
DROP TABLE usage;
CREATE TABLE usage(account TEXT NOT NULL, day TEXT NOT NULL, queries INTEGER NOT NULL, tasks INTEGER NOT NULL,
 seconds REAL NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, usd REAL NOT NULL DEFAULT 0,
 PRIMARY KEY(account, day)) WITHOUT ROWID;
ALTER TABLE tasks DROP COLUMN memory;
ALTER TABLE tasks DROP COLUMN outlasts;
PRAGMA user_version=2;
"""


def test_usage_of_an_earlier_release_stays(own_scheduler):
    tenant = Tenant(own_scheduler, "old")
    own_scheduler.stop()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    with contextlib.closing(sqlite3.connect(own_scheduler.folder / "scheduler.db")) as db:
        db.executescript(OLD_USAGE)
        db.execute("INSERT INTO usage VALUES(?, ?, 3, 4, 5.5, 6, 7, 0.25)", (tenant.account, day))
        db.commit()
    own_scheduler.start()
    (found,) = own_scheduler.api(tenant.key).get("/v1/usage")["days"]
    assert found == {"day": day, "queries": 3, "tasks": 4, "seconds": 5.5, "rows": 6, "bytes": 7, "cost_usd": 0.25}
    assert own_scheduler.api(tenant.key).get("/v1/usage", deployment="main")["days"] == []


def test_those_who_may_get_what_is_theirs(world: World):
    """Each operation is right as it is asked above: those whom the document names are served. Changes the world."""
    mine = world.mine
    keys = {"operator": ADMIN, "user": mine.tenant.key, "worker": mine.tenant.token}
    for method, path, about in sorted(OPERATIONS, key=lambda one: ROUTES[one[0], one[1]].last):
        route = ROUTES[method, path]
        for kind in sorted(allowed(about)) or ["nobody"]:
            if route.last and kind == "operator":
                continue  # once is enough for what can be done once
            api = world.scheduler.api(keys.get(kind))
            if (method, path) == ("POST", "/v1/workers/identity"):
                with pytest.raises(Refused, match="403 identity_refused"):
                    ask(world, api, method, path, mine)
            else:
                assert ask(world, api, method, path, mine) is not None, f"{kind}: {method} {path}"
