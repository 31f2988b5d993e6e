"""A deployment's settings on AWS: what is taken, what is refused, what outlives a restart and an older database."""

from __future__ import annotations

import copy
import sqlite3

import pytest

from .daemon import ADMIN, Refused, Scheduler, Tenant

SETTINGS = {
    "region": "eu-west-1",
    "account": "123456789012",
    "role_arn": "arn:aws:iam::123456789012:role/terality-one-scheduler",
    "access": "minimal",
    "worker_roles": ["terality-one-worker-lambda", "terality-one-worker-ecs", "terality-one-worker-ec2"],
    "lambda": {
        "functions": [
            {"name": "terality-one-worker-small", "kind": "lambda-small", "memory_mb": 1769},
            {"name": "terality-one-worker-large", "kind": "lambda-large", "memory_mb": 10240},
        ]
    },
    "ecs": {
        "cluster": "terality-one",
        "task_family": "terality-one-worker",
        "container": "worker",
        "subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "security_groups": ["sg-0123456789abcdef0"],
        "cpu": 4096,
        "memory_mb": 16384,
        "assign_public_ip": True,
    },
    "ec2": {"group": "terality-one-workers", "cores": 8, "memory_mb": 16384, "spot": True},
    "limits": {"workers": 200, "usd_per_query": 5.0, "usd_per_hour": 20.0},
    "metrics_namespace": "terality",
}
MANAGED = {
    "name": "one",
    "cluster": True,
    "lambda": {
        "role_arn": "arn:aws:iam::123456789012:role/terality-one-worker-lambda",
        "architecture": "arm64",
        "bucket": "artifacts-of-one",
        "key": "terality/0.1.0/worker-arm64.zip",
        "timeout_s": 900,
        "environment": {"TERALITY_SCHEDULER": "https://scheduler.example:8470", "TERALITY_DEPLOYMENT": "d1"},
    },
    "ec2": {
        "launch_template": "terality-one-managed",
        "image": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        "instance_profile": "terality-one-worker-ec2",
        "user_data": "IyEvYmluL3NoCg==",
        "instance_types": ["c7g.2xlarge", "c6g.2xlarge"],
        "max": 50,
        "subnets": ["subnet-0123456789abcdef0"],
        "security_groups": ["sg-0123456789abcdef0"],
    },
}


def changed(path: str, value: object, base: dict = SETTINGS) -> dict:
    """Give settings in which the field at a.b.0.c is another; None takes it away."""
    made = copy.deepcopy(base)
    at: object = made
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    key = int(last) if isinstance(at, list) else last
    if value is None:
        del at[key]
    else:
        at[key] = value
    return made


def managed(path: str | None = None, value: object = None) -> dict:
    """Give settings of the managed grade."""
    made = {**copy.deepcopy(SETTINGS), "access": "managed", "managed": copy.deepcopy(MANAGED)}
    made["ecs"]["cluster"] = "terality-one-managed"
    made["ec2"]["group"] = "terality-one-managed"
    return changed(path, value, made) if path else made


def test_settings_are_kept(tenant):
    path = f"/v1/deployments/{tenant.deployment}/aws"
    with pytest.raises(Refused, match="404 no_aws"):
        tenant.api.get(path)
    assert tenant.api.call("PUT", path, SETTINGS) == SETTINGS
    assert tenant.api.get(path) == SETTINGS
    assert tenant.api.get(f"/v1/deployments/{tenant.deployment}")["aws"] is True
    smaller = changed("ecs", None)
    assert tenant.api.call("PUT", path, smaller) == smaller
    assert tenant.api.call("PUT", "/v1/deployments/main/aws", managed()) == managed()
    assert tenant.api.delete(path) == {}
    with pytest.raises(Refused, match="404 no_aws"):
        tenant.api.delete(path)
    assert tenant.api.get("/v1/deployments/main")["aws"] is False


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("region", "eu-west-1.evil.example/", "is no AWS region"),
        ("region", "eu_west_1", "is no AWS region"),
        ("region", None, "missing"),
        ("account", "12345678901", "12 digits"),
        ("account", "123456789013", "another account"),
        ("region", "cn-north-1", "another partition"),
        ("role_arn", "arn:aws:iam::123456789012:user/x", "is no ARN of a role"),
        ("role_arn", "arn:aws:iam::123456789012:role/a b", "is no ARN of a role"),
        ("access", "all", "neither minimal nor managed"),
        ("worker_roles", [], "is empty"),
        ("worker_roles", ["a", "a"], "there twice"),
        ("worker_roles", ["a/b"], "is no name of a role"),
        ("worker_roles.1", 7, "no text"),
        ("worker_roles", ["r"] * 9, "more than 8"),
        ("lambda.functions", [], "is empty"),
        ("lambda.functions.0.name", "a/b", "is no name of a function"),
        ("lambda.functions.0.kind", "lambda-large", "there twice"),
        ("lambda.functions.0.kind", "ec2", "neither lambda-small"),
        ("lambda.functions.0.memory_mb", 64, "128 to 10240"),
        ("lambda.functions.1.more", 1, "fields"),
        ("ecs.cluster", 'x","y":"', "is no name"),
        ("ecs.subnets.0", "subnet-xyz", "is no id of a subnet"),
        ("ecs.security_groups", ["sg-1"], "is no id of a security group"),
        ("ecs.cpu", 1000, "no size of Fargate"),
        ("ecs.assign_public_ip", 1, "neither true nor false"),
        ("ec2.group", "a b", "is no name of an autoscaling group"),
        ("ec2.spot", None, "missing"),
        ("limits.workers", 10001, "0 to 10000"),
        ("limits.usd_per_hour", -1, "out of range"),
        ("limits.idle_seconds", 0, "1 to 86400"),
        ("limits", None, "missing"),
        ("metrics_namespace", "AWS/Lambda", "AWS' own"),
        ("managed", MANAGED, "access"),
        ("colour", "blue", "fields"),
        ("external_id", "mine", "fields"),
    ],
)
def test_what_is_no_setting_is_refused(tenant, path, value, said):
    with pytest.raises(Refused, match="400 invalid_body") as refused:
        tenant.api.call("PUT", "/v1/deployments/main/aws", changed(path, value))
    assert said in refused.value.message
    with pytest.raises(Refused, match="no_aws"):
        tenant.api.get("/v1/deployments/main/aws")


def test_some_launcher_is_there(tenant):
    without = changed("ecs", None, changed("ec2", None, changed("lambda", None)))
    with pytest.raises(Refused, match="none of"):
        tenant.api.call("PUT", "/v1/deployments/main/aws", without)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("managed.name", "One", "is no name of a deployment"),
        ("managed.name", "two", "does not begin with terality-two-"),
        ("ec2.group", "terality-oneself", "does not begin with terality-one-"),
        ("ecs.cluster", "terality-one", "does not begin with terality-one-"),
        ("lambda.functions.0.name", "other", "does not begin with terality-one-"),
        ("managed.ec2.launch_template", "x", "does not begin with terality-one-"),
        ("managed.ec2.image", "resolve:ssm:/secret", "neither an image"),
        ("managed.ec2.instance_types", ["t4g"], "is no instance type"),
        ("managed.ec2.user_data", "#!/bin/sh", "is no base64"),
        ("managed.lambda.architecture", "mips", "neither arm64"),
        ("managed.lambda.environment.LD_PRELOAD", "x", "TERALITY_"),
        ("managed.lambda.environment.TERALITY_STORE", 1, "no text"),
        ("managed.lambda.key", 'a"b', "is no key"),
        ("managed.lambda.bucket", "A", "is no name of a bucket"),
        ("ec2", None, 'without "ec2"'),
        ("ecs", None, 'without "ecs"'),
        ("lambda", None, 'without "lambda"'),
    ],
)
def test_what_is_no_managed_setting_is_refused(tenant, path, value, said):
    with pytest.raises(Refused, match="400 invalid_body") as refused:
        tenant.api.call("PUT", "/v1/deployments/main/aws", managed(path, value))
    assert said in refused.value.message


def test_external_ids_are_the_schedulers(tenant):
    first = tenant.api.get(f"/v1/deployments/{tenant.deployment}")["external_id"]
    made = tenant.api.post("/v1/deployments", {"name": "other"})
    assert len(first) == 22 and made["external_id"] != first
    assert tenant.api.get("/v1/deployments/other")["external_id"] == made["external_id"]
    with pytest.raises(Refused, match="invalid_body"):
        tenant.api.post("/v1/deployments", {"name": "third", "external_id": first})


def test_others_do_not_see_them(scheduler, tenant):
    tenant.api.call("PUT", "/v1/deployments/main/aws", SETTINGS)
    other = Tenant(scheduler, f"not-{tenant.account}")
    for method, path, body in [
        ("GET", f"/v1/deployments/{tenant.deployment}", None),
        ("GET", f"/v1/deployments/{tenant.deployment}/aws", None),
        ("PUT", f"/v1/deployments/{tenant.deployment}/aws", SETTINGS),
        ("DELETE", f"/v1/deployments/{tenant.deployment}/aws", None),
        ("GET", f"/v1/deployments/{tenant.deployment}/health", None),
    ]:
        with pytest.raises(Refused, match="404 no_deployment"):
            other.api.call(method, path, body)
        with pytest.raises(Refused, match="403 wrong_kind"):
            tenant.worker.call(method, path, body)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_they_outlive_a_restart(own_scheduler, end):
    tenant = Tenant(own_scheduler, "t")
    tenant.api.call("PUT", "/v1/deployments/main/aws", managed())
    before = tenant.api.get("/v1/deployments/main")
    getattr(own_scheduler, end)()
    own_scheduler.start()
    assert tenant.api.get("/v1/deployments/main/aws") == managed()
    assert tenant.api.get("/v1/deployments/main") == before
    tenant.api.delete("/v1/deployments/main")
    own_scheduler.kill()
    own_scheduler.start()
    assert tenant.api.get("/v1/deployments") == {"deployments": []}


OLD_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE keys(id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(id), name TEXT NOT NULL,
 hash TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE deployments(id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(id), name TEXT NOT NULL,
 hash TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, UNIQUE(account, name)) WITHOUT ROWID;
CREATE TABLE queries(id TEXT PRIMARY KEY, account TEXT NOT NULL, deployment TEXT NOT NULL, state TEXT NOT NULL,
 created INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0, finished INTEGER NOT NULL DEFAULT 0,
 manifest TEXT NOT NULL, plan TEXT, spec TEXT, final TEXT);
CREATE TABLE tasks(query TEXT NOT NULL, stage INTEGER NOT NULL, task INTEGER NOT NULL, done INTEGER NOT NULL,
 attempt INTEGER NOT NULL, failures INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
 seconds REAL NOT NULL, segments BLOB, PRIMARY KEY(query, stage, task)) WITHOUT ROWID;
CREATE TABLE usage(account TEXT NOT NULL, day TEXT NOT NULL, queries INTEGER NOT NULL, tasks INTEGER NOT NULL,
 seconds REAL NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY(account, day)) WITHOUT ROWID;
INSERT INTO accounts VALUES('a1', 'old', 5);
INSERT INTO deployments VALUES('d1', 'a1', 'first', 'h1', 6);
INSERT INTO deployments VALUES('d2', 'a1', 'second', 'h2', 7);
PRAGMA user_version=1;
"""


def test_a_database_of_the_first_release_is_brought_forward(tmp_path):
    scheduler = Scheduler(tmp_path / "data")
    scheduler.folder.mkdir()
    with sqlite3.connect(scheduler.folder / "scheduler.db") as database:
        database.executescript(OLD_SCHEMA)
    database.close()
    scheduler.start()
    key = scheduler.api(ADMIN).post("/v1/keys", {"name": "k", "account": "old"})["key"]
    ids = {d["name"]: d["external_id"] for d in scheduler.api(key).get("/v1/deployments")["deployments"]}
    assert set(ids) == {"first", "second"} and len(set(ids.values())) == 2
    scheduler.api(key).call("PUT", "/v1/deployments/first/aws", SETTINGS)
    scheduler.stop()
    scheduler.start()
    assert {d["name"]: d["external_id"] for d in scheduler.api(key).get("/v1/deployments")["deployments"]} == ids
    assert scheduler.api(key).get("/v1/deployments/first/aws") == SETTINGS
    scheduler.stop()
