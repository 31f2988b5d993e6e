"""The template's policies, asked by a simulator: every call of deploy/aws/calls.json is allowed, and nothing else.

What the simulator says about buckets is compared with a real S3 server that enforces the same documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import parliament
import pytest
from terality.deploy import permissions

from .policy_simulator import Decision, Request, decide, listed
from .stack import ACCOUNT, IN_ACCOUNT, REGION, ROOT, SCHEDULER, VARIANTS, Stack

CALLS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "deploy" / "aws" / "calls.json").read_text("utf-8"))
BUCKET = f"terality-demo-{ACCOUNT}-0a1b2c3d"
# Whose calls a role makes: its sections of calls.json.
ROLES = {
    "SchedulerRole": ["scheduler-minimal"],
    "WorkerLambdaRole": ["worker", "worker-lambda"],
    "WorkerEcsRole": ["worker"],
    "WorkerEc2Role": ["worker", "worker-ec2"],
    "EcsExecutionRole": ["ecs-execution"],
    "SchedulerInstanceRole": ["scheduler-instance"],
}
PREFIXES = ["audit", "commit", "keys", "results", "shuffle", "uploads"]
MINIMAL, MANAGED, HERE = Stack(), Stack(given={"SchedulerAccess": "managed"}), Stack(given=IN_ACCOUNT)
GRADES = {"minimal": MINIMAL, "managed": MANAGED}


def concrete(value: Any) -> Any:
    """Fill in the placeholders of calls.json."""
    if isinstance(value, dict):
        return {concrete(k): concrete(v) for k, v in value.items()}
    names = {"ACCOUNT": ACCOUNT, "REGION": REGION, "NAME": "demo", "BUCKET": BUCKET, "ARTIFACTS": "programs-of-demo"}
    names |= {"INPUT": "flights-raw", "VPC": "vpc-0vpc", "DISK": "vol-0schedulerdisk"}
    names["ADDRESS"] = "eipalloc-0scheduleraddress"
    return re.sub(r"\b(" + "|".join(names) + r")\b", lambda m: names[m[1]], value)


def calls(*sections: str) -> list[dict[str, Any]]:
    found = [call for section in sections for call in CALLS[section]]
    return [{"context": {}, **call, **concrete({k: v for k, v in call.items() if k != "why"})} for call in found]


def stack_and_sections(role: str, grade: str) -> tuple[Stack, list[str]]:
    if role == "SchedulerRole" and grade == "managed":
        return MANAGED, ["scheduler-minimal", "scheduler-managed"]
    return (HERE if role == "SchedulerInstanceRole" else GRADES[grade]), ROLES[role]


def ask(stack: Stack, role: str, action: str, resource: str, **context: Any) -> Decision:
    """What AWS would answer to a role, bucket policy included."""
    keys = {"aws:SecureTransport": "true", **context.pop("keys", {}), **context}
    request = Request(stack.role_arn(role), action, resource, keys)
    bucket = stack.resources["DataBucketPolicy"]["Properties"]["PolicyDocument"]
    ours = resource == f"arn:aws:s3:::{BUCKET}" or resource.startswith(f"arn:aws:s3:::{BUCKET}/")
    return decide(request, stack.identity_policies(role), stack.boundary(role), bucket if ours else None)


def allowed_actions(stack: Stack, role: str) -> set[str]:
    return {
        action
        for document in stack.identity_policies(role)
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }


# ---- every call is allowed, and only those


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("role", ROLES)
def test_every_call_is_allowed(role: str, grade: str) -> None:
    stack, sections = stack_and_sections(role, grade)
    for call in calls(*sections):
        decision = ask(stack, role, call["action"], call["resource"], keys=call["context"])
        assert decision, f"{role}: {call['action']} on {call['resource']}: {decision.reason}"


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_allowed_that_is_not_called(role: str, grade: str) -> None:
    stack, sections = stack_and_sections(role, grade)
    assert allowed_actions(stack, role) == {call["action"] for call in calls(*sections)}


@pytest.mark.parametrize("grade", GRADES)
def test_no_other_action_of_any_service(grade: str) -> None:
    """What is not listed is refused, whatever AWS calls it."""
    stack = GRADES[grade]
    _, sections = stack_and_sections("SchedulerRole", grade)
    known = {
        f"{service['prefix']}:{privilege['privilege']}"
        for service in parliament.iam_definition
        for privilege in service["privileges"]
    }
    ours = calls(*sections)
    listed_actions = {call["action"] for call in ours}
    assert listed_actions <= known, f"no actions of AWS: {listed_actions - known}"
    context = {
        "aws:SecureTransport": "true",
        "aws:RequestedRegion": REGION,
        "aws:RequestTag/terality:deployment": "demo",
    }
    resources = [
        "*",
        f"arn:aws:s3:::{BUCKET}/results/x",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:terality-demo-own",
    ]
    policies, boundary = stack.identity_policies("SchedulerRole"), stack.boundary("SchedulerRole")
    # Services that the role acts on and such as hold data or rights; of the rest no statement speaks.
    services = ("autoscaling:", "cloudformation:", "cloudwatch:", "ec2:", "ecs:", "iam:", "kms:", "lambda:", "logs:")
    services += ("s3:", "secretsmanager:", "ssm:", "sts:")
    others = sorted(a for a in known - listed_actions if a.startswith(services))
    assert len(others) > 1500
    for action in others:
        for resource in resources:
            request = Request(stack.role_arn("SchedulerRole"), action, resource, context)
            assert not decide(request, policies, boundary), f"{action} on {resource}"


def test_minimal_grade_is_small() -> None:
    actions = allowed_actions(MINIMAL, "SchedulerRole")
    assert len(actions) <= 14, sorted(actions)
    assert not any("*" in action for action in actions)


def test_calls_of_the_sources_are_listed() -> None:
    """What the scheduler's launchers name in their requests is in calls.json."""
    found = set()
    for path in (ROOT / "src" / "scheduler" / "launch").glob("*.c"):
        text = path.read_text("utf-8")
        pattern = r'launch_call_query\([^;]*?"(autoscaling|ec2|monitoring)",\s*"(\w+)"'
        for service, action in re.findall(pattern, text):
            found.add(f"{'cloudwatch' if service == 'monitoring' else service}:{action}")
        found |= {f"ecs:{action}" for action in re.findall(r'launch_call_json\([^;]*?"(\w+)",', text)}
        if "/invocations" in text:
            found.add("lambda:InvokeFunction")
    known = {call["action"] for call in calls("scheduler-minimal", "scheduler-managed")}
    assert found <= known, f"called but not in deploy/aws/calls.json: {found - known}"


# ---- what must be refused

OTHERS = [  # action, resource, keys: near misses of what is allowed
    ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payroll", {}),
    ("lambda:InvokeFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:terality-demo-worker-small", {}),
    ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:terality-demo-worker-small", {}),
    ("lambda:CreateFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payroll", {"tag": True}),
    ("lambda:CreateFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:terality-demo-own", {}),
    (
        "autoscaling:SetDesiredCapacity",
        f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/web",
        {"tagged": True},
    ),
    (
        "autoscaling:UpdateAutoScalingGroup",
        f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/terality-demo-workers",
        {"tagged": True},
    ),
    (
        "autoscaling:CreateAutoScalingGroup",
        f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/terality-demo-own",
        {"tag": True, "autoscaling:MaxSize": "21"},
    ),
    (
        "ecs:RunTask",
        f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/terality-demo-worker:1",
        {"ecs:cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/production"},
    ),
    (
        "ecs:RunTask",
        f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/terality-demo-worker:1",
        {
            "ecs:cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/terality-demo",
            "ecs:enable-execute-command": "true",
        },
    ),
    (
        "ecs:RunTask",
        f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/payroll:7",
        {"ecs:cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/terality-demo"},
    ),
    (
        "ecs:RegisterTaskDefinition",
        f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/terality-demo-worker:2",
        {"tag": True},
    ),
    ("ecs:ExecuteCommand", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/terality-demo/01", {}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/terality-demo-scheduler",
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/terality-demo-worker-ecs",
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    ("iam:DeleteRolePermissionsBoundary", f"arn:aws:iam::{ACCOUNT}:role/terality-demo-worker-ecs", {}),
    ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/terality-demo-scheduler", {}),
    ("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*", {"ec2:MetadataHttpTokens": "required"}),
    (
        "ec2:RunInstances",
        f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-1",
        {"ec2:Vpc": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-production"},
    ),
    ("ec2:CreateTags", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1", {"tag": True}),
    ("ec2:TerminateInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1", {"tagged": True}),
    (
        "ec2:DeleteLaunchTemplate",
        f"arn:aws:ec2:{REGION}:{ACCOUNT}:launch-template/lt-0workerlaunchtemplate",
        {"tagged": True},
    ),
    ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/results/q1/0-0", {}),
    ("s3:GetObject", "arn:aws:s3:::flights-raw/a.parquet", {}),
    ("s3:PutObject", "arn:aws:s3:::programs-of-demo/terality/1.0/worker-arm64.zip", {}),
    ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:x", {}),
    ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/x", {}),
    ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/x", {}),
    ("logs:GetLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/terality/demo/lambda:log-stream:x", {}),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/terality-demo-worker-ec2", {}),
]


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize(("action", "resource", "keys"), OTHERS)
def test_near_misses_are_refused(grade: str, action: str, resource: str, keys: dict[str, Any]) -> None:
    context = {"aws:RequestedRegion": REGION, **{k: v for k, v in keys.items() if ":" in k}}
    if "tag" in keys:
        context["aws:RequestTag/terality:deployment"] = "demo"
    if "tagged" in keys:
        context["aws:ResourceTag/terality:deployment"] = "demo"
    assert not ask(GRADES[grade], "SchedulerRole", action, resource, keys=context)


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize(
    "action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion", "s3:ListBucket"]
)
def test_each_of_three_policies_keeps_the_scheduler_from_data(grade: str, action: str) -> None:
    """Identity policy, boundary and bucket policy refuse, each with the other two giving everything."""
    stack = GRADES[grade]
    everything = {"Statement": [{"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}]}
    own = stack.identity_policies("SchedulerRole")
    bucket = stack.resources["DataBucketPolicy"]["Properties"]["PolicyDocument"]
    keys = {"aws:SecureTransport": "true", "s3:if-none-match": "*"}
    for prefix in PREFIXES:
        resource = f"arn:aws:s3:::{BUCKET}" + ("" if action == "s3:ListBucket" else f"/{prefix}/x")
        request = Request(stack.role_arn("SchedulerRole"), action, resource, keys)
        assert decide(request, [everything]), "the test itself: without our policies it would be allowed"
        assert not decide(request, [everything, *own])
        assert not decide(request, [everything], stack.boundary("SchedulerRole"))
        assert not decide(request, [everything], resource=bucket)
        # … nor the scheduler's own principal, of the other account, should a bucket policy ever let it in.
        foreign = Request(SCHEDULER, action, resource, keys)
        assert not decide(foreign, [everything], resource=bucket, owner=ACCOUNT)


def test_in_account_scheduler_has_no_data_either() -> None:
    for role in ("SchedulerRole", "SchedulerInstanceRole"):
        for prefix in PREFIXES:
            for action in ("s3:GetObject", "s3:PutObject"):
                assert not ask(HERE, role, action, f"arn:aws:s3:::{BUCKET}/{prefix}/x")


def test_in_account_scheduler_opens_its_own_parameters_only() -> None:
    role, key = "SchedulerInstanceRole", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0abc"
    mine = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/terality/demo/key"
    by = {"kms:ViaService": f"ssm.{REGION}.amazonaws.com", "kms:EncryptionContext:PARAMETER_ARN": mine}
    assert ask(HERE, role, "kms:Decrypt", key, keys=by)
    assert not ask(HERE, role, "kms:Decrypt", key)
    assert not ask(HERE, role, "kms:Decrypt", key, keys={**by, "kms:ViaService": f"s3.{REGION}.amazonaws.com"})
    for other in (f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/payroll", mine.replace("demo", "prod")):
        assert not ask(HERE, role, "kms:Decrypt", key, keys={**by, "kms:EncryptionContext:PARAMETER_ARN": other})
        assert not ask(HERE, role, "ssm:GetParameter", other)


WORKERS_NOT = [  # what a worker has no business with
    ("s3:PutObject", "keys/d0123"),
    ("s3:PutObject", "uploads/x"),
    ("s3:PutObject", "audit/x"),
    ("s3:PutObject", "audit/2026-11-30/client-1"),
    ("s3:GetObject", "audit/x"),
    ("s3:GetObject", "audit/2026-11-30/worker-w1-01"),
    ("s3:DeleteObject", "audit/2026-11-30/worker-w1-01"),
    ("s3:DeleteObject", "results/x"),
    ("s3:DeleteObject", "keys/d0123"),
    ("s3:DeleteObject", "shuffle/x"),
    ("s3:GetObject", "elsewhere"),
]
CLIENTS_NOT = [
    ("s3:PutObject", "commit/q/0/0"),
    ("s3:PutObject", "results/x"),
    ("s3:GetObject", "shuffle/x"),
    ("s3:DeleteObject", "audit/x"),
    ("s3:DeleteObject", "keys/d0123"),
    ("s3:DeleteObject", "uploads/ab12"),
]


@pytest.mark.parametrize(("action", "key"), WORKERS_NOT)
@pytest.mark.parametrize("role", ["WorkerLambdaRole", "WorkerEcsRole", "WorkerEc2Role"])
def test_workers_keep_to_their_prefixes(role: str, action: str, key: str) -> None:
    assert not ask(MINIMAL, role, action, f"arn:aws:s3:::{BUCKET}/{key}", keys={"s3:if-none-match": "*"})


def test_workers_write_no_input_and_no_other_bucket() -> None:
    for role in ("WorkerLambdaRole", "WorkerEcsRole", "WorkerEc2Role"):
        assert not ask(MINIMAL, role, "s3:PutObject", "arn:aws:s3:::flights-raw/x")
        assert not ask(MINIMAL, role, "s3:GetObject", "arn:aws:s3:::flights-raw-2/x")
        assert not ask(MINIMAL, role, "s3:PutObject", "arn:aws:s3:::programs-of-demo/terality/1.0/worker-arm64.zip")


def client(action: str, key: str, **keys: Any) -> Decision:
    resource = f"arn:aws:s3:::{BUCKET}" + (f"/{key}" if key else "")
    request = Request(f"arn:aws:iam::{ACCOUNT}:role/analyst", action, resource, {"aws:SecureTransport": "true", **keys})
    bucket = MINIMAL.resources["DataBucketPolicy"]["Properties"]["PolicyDocument"]
    return decide(request, [MINIMAL.documents()["ClientPolicy"]], resource=bucket)


def test_client_policy_is_what_clients_do() -> None:
    for call in calls("client"):
        key = call["resource"].removeprefix(f"arn:aws:s3:::{BUCKET}").removeprefix("/")
        decision = client(call["action"], key, **call["context"])
        assert decision, f"{call['action']} on {key}: {decision.reason}"
    statements = MINIMAL.documents()["ClientPolicy"]["Statement"]
    assert {a for s in statements for a in listed(s["Action"])} == {call["action"] for call in calls("client")}


@pytest.mark.parametrize(("action", "key"), CLIENTS_NOT)
def test_clients_keep_to_their_prefixes(action: str, key: str) -> None:
    assert not client(action, key, **{"s3:if-none-match": "*"})


@pytest.mark.parametrize("key", ["commit/q1/0/1", "keys/d0123456789abcdef"])
def test_what_counts_is_written_once(key: str) -> None:
    """A put without If-None-Match is refused to everybody, administrators too."""
    bucket = MINIMAL.resources["DataBucketPolicy"]["Properties"]["PolicyDocument"]
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    keys = {"aws:SecureTransport": "true"}
    admin = f"arn:aws:iam::{ACCOUNT}:role/admin"
    put = Request(admin, "s3:PutObject", f"arn:aws:s3:::{BUCKET}/{key}", keys)
    once = Request(admin, "s3:PutObject", f"arn:aws:s3:::{BUCKET}/{key}", {**keys, "s3:if-none-match": "*"})
    assert not decide(put, [everything], resource=bucket)
    assert decide(once, [everything], resource=bucket)
    assert decide(
        Request(admin, "s3:PutObject", f"arn:aws:s3:::{BUCKET}/uploads/x", keys), [everything], resource=bucket
    )


def test_plain_http_is_refused() -> None:
    for role in ("WorkerLambdaRole", "WorkerEc2Role"):
        for key in ("results/q1/0-0", "keys/d0123456789abcdef"):
            resource = f"arn:aws:s3:::{BUCKET}/{key}"
            assert ask(MINIMAL, role, "s3:GetObject", resource)
            assert not ask(MINIMAL, role, "s3:GetObject", resource, keys={"aws:SecureTransport": "false"})


# ---- who may take which role


def trust(stack: Stack, role: str, principal: str, **keys: str) -> Decision:
    document = stack.resources[role]["Properties"]["AssumeRolePolicyDocument"]
    everything = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}
    request = Request(principal, "sts:AssumeRole", stack.role_arn(role), keys)
    # A trust policy has no Resource: it speaks about the role that it belongs to.
    return decide(request, [everything] if principal.startswith("arn:") else [], resource=document, owner=ACCOUNT)


def test_the_schedulers_role_takes_principal_and_external_id() -> None:
    right = {"sts:ExternalId": "Zm9yLXRlc3RzLW9ubHk_-0"}
    assert trust(MINIMAL, "SchedulerRole", SCHEDULER, **right)
    assert not trust(MINIMAL, "SchedulerRole", SCHEDULER)
    assert not trust(MINIMAL, "SchedulerRole", SCHEDULER, **{"sts:ExternalId": "another-customers-id"})
    for other in (
        "arn:aws:iam::999988887777:root",
        "arn:aws:iam::999988887777:role/other",
        "arn:aws:iam::111111111111:role/x",
    ):
        assert not trust(MINIMAL, "SchedulerRole", other, **right)
    inside = HERE.role_arn("SchedulerInstanceRole")
    assert trust(HERE, "SchedulerRole", inside, **right)
    assert not trust(HERE, "SchedulerRole", SCHEDULER, **right)


def test_workers_roles_are_for_services_of_this_account() -> None:
    mine = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/terality-demo/1"}
    theirs = {"aws:SourceAccount": "111111111111", "aws:SourceArn": f"arn:aws:ecs:{REGION}:111111111111:task/x/1"}
    for role in ("WorkerEcsRole", "EcsExecutionRole"):
        assert trust(MINIMAL, role, "ecs-tasks.amazonaws.com", **mine)
        assert not trust(MINIMAL, role, "ecs-tasks.amazonaws.com", **theirs)
    assert trust(MINIMAL, "WorkerLambdaRole", "lambda.amazonaws.com")
    assert trust(MINIMAL, "WorkerEc2Role", "ec2.amazonaws.com")
    for role in ROLES:
        stack = HERE if role == "SchedulerInstanceRole" else MINIMAL
        assert not trust(stack, role, "arn:aws:iam::111111111111:role/x")
        if role != "SchedulerRole":
            assert not trust(stack, role, SCHEDULER, **{"sts:ExternalId": "Zm9yLXRlc3RzLW9ubHk_-0"})


# ---- boundaries


def roles() -> Iterator[tuple[str, Stack, str]]:
    for variant, given in VARIANTS.items():
        stack = Stack(given=given)
        for role in stack.of_type("AWS::IAM::Role"):
            yield variant, stack, role


@pytest.mark.parametrize(("variant", "stack", "role"), [pytest.param(*r, id=f"{r[0]}: {r[2]}") for r in roles()])
def test_boundaries_stop_whoever_attaches_administrator_access(variant: str, stack: Stack, role: str) -> None:
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    forbidden = [
        ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x"),
        ("iam:PutRolePolicy", stack.role_arn(role)),
        ("iam:DeleteRolePermissionsBoundary", stack.role_arn(role)),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/x"),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::{BUCKET}"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
        ("ec2:TerminateInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"),
        ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/x"),
    ]
    for action, resource in forbidden:
        request = Request(stack.role_arn(role), action, resource, {"aws:RequestedRegion": REGION})
        assert not decide(request, [everything], stack.boundary(role)), f"{variant}: {role} could {action}"


def test_the_command_has_a_reason_for_each_permission_and_no_other() -> None:
    """What `terality deploy aws` shows before it asks."""
    asked = set()
    for given in VARIANTS.values():
        stack = Stack(given=given)
        for role in stack.of_type("AWS::IAM::Role"):
            for document in stack.identity_policies(role):
                allowed = [s for s in document["Statement"] if s["Effect"] == "Allow"]
                asked |= {action for s in allowed for action in listed(s["Action"])}
    assert asked == set(permissions.REASONS)
