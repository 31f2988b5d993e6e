"""The simulator's word on the data bucket against a real S3 server (versitygw) that enforces the same documents.

versitygw has users with bucket policies, no roles with policies of their own. So what the template attaches to a role
is written into the bucket's policy as a statement about that role's user, and the condition on aws:PrincipalArn becomes
the scheduler's user as principal. Two things cannot be taken along: the statement WriteOnce, since the server refuses
the condition key s3:if-none-match (the simulator alone judges it), and TlsOnly, which is tested by itself: the test's
server speaks plain HTTP, so under TlsOnly it has to refuse everything.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .policy_simulator import Request, decide, listed
from .stack import ACCOUNT, Stack

_SPEC = importlib.util.spec_from_file_location("store_servers", Path(__file__).parents[1] / "store" / "servers.py")
assert _SPEC and _SPEC.loader
servers: Any = importlib.util.module_from_spec(_SPEC)
sys.modules.setdefault("store_servers", servers)
_SPEC.loader.exec_module(servers)

STACK = Stack()
TEMPLATES = STACK.outputs["DataBucket"]  # the bucket's name in the template; the server's is another
BUCKET = "tables"
ROLES = {"WORKER": "WorkerLambdaRole", "SCHEDULER": "SchedulerRole", "CLIENT": None}
PREFIXES = [
    "audit/x",
    "commit/q1/0/1",
    "keys/d01",
    "results/q1",
    "shuffle/3f/x",
    "uploads/ab",
    "uploads/doctor-1",
    "other",
]
ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"]


def identity_policies(user: str) -> list[Any]:
    role = ROLES[user]
    return STACK.identity_policies(role) if role else [STACK.documents()["ClientPolicy"]]


def arn(user: str) -> str:
    role = ROLES[user]
    return STACK.role_arn(role) if role else f"arn:aws:iam::{ACCOUNT}:role/analyst"


def own_bucket_statements(resource: Any) -> list[str]:
    """Give what a statement says about the data bucket, under the server's name for it."""
    found = []
    for one in listed(resource):
        if one == "*":
            found += [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
        elif one == f"arn:aws:s3:::{TEMPLATES}" or one.startswith(f"arn:aws:s3:::{TEMPLATES}/"):
            found.append(one.replace(TEMPLATES, BUCKET))
    return found


def as_bucket_policy(statements: list[Any], principal: Any) -> list[Any]:
    """Write statements as ones about a user, those about S3 and the data bucket only; one for each kind of resource."""
    out = []
    for statement in statements:
        actions = [a for a in listed(statement["Action"]) if a.startswith("s3:")]
        resources = own_bucket_statements(statement["Resource"])
        if not actions or not resources:
            continue
        assert "Condition" not in statement, statement["Sid"]
        out.append({"Effect": statement["Effect"], "Principal": principal, "Action": actions, "Resource": resources})
    return out


def policies_of_all_users() -> list[Any]:
    return [
        made
        for user in ROLES
        for document in identity_policies(user)
        for made in as_bucket_policy(document["Statement"], {"AWS": [user]})
    ]


def template_bucket_statements(*sids: str) -> list[Any]:
    document = json.loads(json.dumps(STACK.resources["DataBucketPolicy"]["Properties"]["PolicyDocument"]))
    found = [s for s in document["Statement"] if s["Sid"] in sids]
    assert len(found) == len(sids)
    for statement in found:
        statement["Resource"] = own_bucket_statements(statement["Resource"])
        if statement["Sid"] == "NeverTheScheduler":
            assert arn("SCHEDULER") in statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]
            del statement["Condition"]
            statement["Principal"] = {"AWS": ["SCHEDULER"]}
        del statement["Sid"]
    return found


class Bucket:
    """The server's bucket, its users, and what they may do there."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.root = self.client(servers.KEY, servers.SECRET)
        admin = [str(servers.versitygw_binary()), "admin", "--access", servers.KEY, "--secret", servers.SECRET]
        admin += ["--endpoint-url", server.endpoint, "create-user", "--role", "user"]
        for user in ROLES:
            subprocess.run([*admin, "--access", user, "--secret", f"SECRET{user}"], check=True, capture_output=True)
        self.clients = {user: self.client(user, f"SECRET{user}") for user in ROLES}

    def client(self, access: str, secret: str) -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=config,
        )

    def govern(self, statements: list[Any]) -> None:
        document = {"Version": "2012-10-17", "Statement": statements}
        self.root.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(document))
        for key in PREFIXES:
            self.root.put_object(Bucket=BUCKET, Key=key, Body=b"data")

    def answers(self, user: str, action: str, key: str) -> bool:
        """Whether the server does it; every other refusal than for lack of rights is a failure of the test."""
        client = self.clients[user]
        try:
            if action == "s3:GetObject":
                assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"data"
            elif action == "s3:PutObject":
                client.put_object(Bucket=BUCKET, Key=f"{key}.{user.lower()}", Body=b"x", IfNoneMatch="*")
                self.root.delete_object(Bucket=BUCKET, Key=f"{key}.{user.lower()}")
            elif action == "s3:DeleteObject":
                client.delete_object(Bucket=BUCKET, Key=key)
                self.root.put_object(Bucket=BUCKET, Key=key, Body=b"data")
            else:
                client.list_objects_v2(Bucket=BUCKET, Prefix=key)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", error
            return False
        return True


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(servers.versitygw())
        except servers.Unavailable as error:
            pytest.skip(f"versitygw: {error}")
        yield Bucket(server)


def simulated(user: str, action: str, key: str, identity: list[Any], policy: list[str]) -> bool:
    document = STACK.resources["DataBucketPolicy"]["Properties"]["PolicyDocument"]
    chosen = {"Statement": [s for s in document["Statement"] if s["Sid"] in policy]}
    resource = f"arn:aws:s3:::{TEMPLATES}" + ("" if action == "s3:ListBucket" else f"/{key}")
    keys = {"aws:SecureTransport": "true", "s3:if-none-match": "*"}
    role = ROLES[user]
    boundary = STACK.boundary(role) if role else None
    return bool(decide(Request(arn(user), action, resource, keys), identity, boundary, chosen))


def test_server_and_simulator_agree(bucket: Bucket) -> None:
    bucket.govern(policies_of_all_users() + template_bucket_statements("NeverTheScheduler"))
    allowed = 0
    for user in ROLES:
        for action in ACTIONS:
            for key in PREFIXES:
                said = simulated(user, action, key, identity_policies(user), ["NeverTheScheduler", "WriteOnce"])
                assert bucket.answers(user, action, key) == said, f"{user} {action} {key}: the simulator says {said}"
                allowed += said
                assert user != "SCHEDULER" or not said
    assert allowed > 20


@pytest.mark.parametrize("action", ACTIONS)
def test_either_policy_alone_keeps_the_scheduler_out(bucket: Bucket, action: str) -> None:
    """Somebody allows the scheduler everything: the Deny in its own policy, or in the bucket's, still holds."""
    resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    mistake = [{"Effect": "Allow", "Principal": {"AWS": ["SCHEDULER"]}, "Action": "s3:*", "Resource": resources}]
    own = [s for d in identity_policies("SCHEDULER") for s in as_bucket_policy(d["Statement"], {"AWS": ["SCHEDULER"]})]
    assert own and all(s["Effect"] == "Deny" for s in own)
    bucket.govern(mistake)
    assert bucket.answers("SCHEDULER", action, PREFIXES[1]), "the test itself: the mistake must work"
    for protection in (own, template_bucket_statements("NeverTheScheduler")):
        bucket.govern(mistake + protection)
        for key in PREFIXES:
            assert not bucket.answers("SCHEDULER", action, key)


def test_plain_http_is_refused_to_everybody(bucket: Bucket) -> None:
    bucket.govern(policies_of_all_users() + template_bucket_statements("TlsOnly"))
    for user in ROLES:
        for action in ACTIONS:
            for key in PREFIXES:
                assert not bucket.answers(user, action, key), f"{user} {action} {key} without TLS"
