"""An AWS account on this machine: moto for control APIs, real processes where moto only says that something runs.

In front of moto stands a server that checks every signature (sigv4_check) and, of the scheduler's role, every
permission (policy_simulator, over the policies that the stack has made), and that serves what moto fakes:

- STS: who takes a role must be the one its trust names, with its ExternalId; sessions end with their role;
- Lambda's Invoke runs the bootstrap of the uploaded zip (lambda_double);
- an ECS task goes from PROVISIONING to RUNNING after a while, and is then a worker process, until either ends;
- an instance that comes into service in an autoscaling group is a worker process after a while, until it goes;
- the data bucket is one of versitygw, where only worker roles and the user have keys; other buckets are moto's;
- ECR's login leads to registry_double;
- the instance of a scheduler in the account boots by its own user data (boot.py), and is then the scheduler of the
  uploaded tar; its host name leads to loopback (`hosts`).

Workers have the settings that the stack gives them: the function's environment, the task definition's labels, the
worker.conf in the launch template's user data.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import tarfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from terality import daemons

from tests.store.servers import KEY, SECRET, Server, versitygw, versitygw_binary

from . import aws_double, servers, sigv4_check
from .aws_double import ACCOUNT, AwsDouble, Call, Reply, refusal
from .boot import boot
from .lambda_double import LambdaDouble
from .policy_simulator import Request, applies, decide
from .registry_double import PASSWORD, USER, RegistryDouble

__all__ = ["REGION", "START_SECONDS", "Cloud", "cloud", "make_artifacts"]

REGION = "eu-west-1"
START_SECONDS = {"lambda": 0.5, "ecs": 35.0, "ec2": 40.0}
"""From the call until the worker asks for work, as docs/autoscaling.md assumes from published figures."""
_ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"


def make_artifacts(folder: Path, architecture: str = "x86_64") -> Path:
    """Make the zip and the tar of this machine's worker, as the build for AWS lays them out."""
    folder.mkdir(parents=True, exist_ok=True)
    worker = daemons.path("terality-worker")
    with zipfile.ZipFile(folder / f"worker-{architecture}.zip", "w") as archive:
        archive.write(worker, "bootstrap")
    with tarfile.open(folder / f"worker-{architecture}.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(worker, "opt/terality/terality-worker")
    with tarfile.open(folder / f"scheduler-{architecture}.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(daemons.path("terality-scheduler"), "opt/terality/terality-scheduler")
    return folder


@dataclass
class Machine:
    """What runs a worker process: an ECS task or an EC2 instance."""

    name: str
    kind: str
    process: subprocess.Popen[bytes] | None = None

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)


class Cloud(AwsDouble):
    """See above.

    Parameters
    ----------
    moto, s3 : str, Server
        Control APIs, and the server of the data bucket.
    registry : RegistryDouble
    folder : path
        For logs and unpacked programs.
    start_scale : float
        Of START_SECONDS: 1 is as published, 0.01 is for tests in a hurry.
    idle_seconds : float
        After so long without work a task's worker ends; 60 is what `--fixed ecs` has. An instance's does not.
    """

    def __init__(
        self, moto: str, s3: Server, registry: RegistryDouble, folder: Path, start_scale: float, idle_seconds: float
    ):
        super().__init__(moto)
        self.s3, self.registry, self.folder = s3, registry, folder
        self.start_scale, self.idle_seconds = start_scale, idle_seconds
        self.keys[KEY], self.owners[KEY] = (SECRET, None), _ADMIN
        self.functions = LambdaDouble()
        self.machines: dict[str, Machine] = {}
        self.started: dict[str, int] = {"ecs": 0, "ec2": 0}
        self.refused: list[str] = []
        self.faults_of_ours: list[str] = []
        self.data_buckets: set[str] = set()
        self.worker_keys: dict[str, tuple[str, str]] = {}
        self.hosts: dict[str, str] = {}
        self.certificates = ""
        self._stopping = threading.Event()
        # A program that dies with its parent dies with the thread that started it: this one stays.
        self._starter = ThreadPoolExecutor(1)
        self._policies: dict[str, tuple[list[Any], Any]] = {}
        self._clients: dict[str, Any] = {}
        self._making = threading.Lock()
        self._alive: dict[str, float] = {}
        self._kept = threading.local()
        self.groups: list[dict[str, Any]] = []
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    # ---- for tests
    def client(self, service: str) -> Any:
        """Give a client of moto itself, past every check; clients are dear to make and may be shared."""
        with self._making:
            if service not in self._clients:
                self._clients[service] = boto3.client(
                    service, endpoint_url=self.upstream, region_name=REGION, aws_access_key_id="a",
                    aws_secret_access_key="b",
                )  # fmt: skip
            return self._clients[service]

    def environment(self) -> dict[str, str]:
        """Give the environment of a user of this account."""
        return {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }  # fmt: skip

    def running(self, kind: str = "") -> list[Machine]:
        """Give tasks and instances whose worker runs."""
        with self.lock:
            found = [m for m in self.machines.values() if m.process and m.process.poll() is None]
        return [m for m in found if m.kind == kind or not kind]

    def busy_functions(self) -> int:
        """Count invocations that have not ended."""
        return sum(not one.done.is_set() for f in list(self.functions.functions.values()) for one in f.invocations)

    def interrupt(self, machine: Machine) -> None:
        """Take a spot instance away at once."""
        machine.stop(signal.SIGKILL)
        self.client("ec2").terminate_instances(InstanceIds=[machine.name])

    # ---- the server
    def __enter__(self) -> Cloud:
        super().__enter__()
        self._watcher.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._watcher.join()
        for machine in self.machines.values():
            machine.stop(signal.SIGKILL)
            if machine.process:
                machine.process.wait()
        self.functions.stop()
        lines = [f"{f.name}: {line}\n" for f in self.functions.functions.values() for line in f.log]
        (self.folder / "functions.log").write_text("".join(lines))
        super().__exit__(*exc)
        self._starter.shutdown()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """Serve a request; what goes wrong in here is kept in `faults_of_ours`, for the test to look at."""
        try:
            return self._answer(method, target, headers, body)
        except Exception:
            self.faults_of_ours.append(traceback.format_exc())
            return refusal("sts", "InternalFailure", "the stand-in is at fault", 500)

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        scope = re.search(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/", headers.get("authorization", ""))
        if scope and scope[3] == "s3":
            return self._serve_s3(method, target, headers, body)
        if scope and scope[1] == KEY:
            return self._serve_user(scope[3], method, target, headers, body)
        return super().answer(method, target, headers, body)

    def _serve_s3(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """The servers check signatures, or need not; the host that was signed stays.

        versitygw knows no sessions: what a role's session has signed is checked here, and signed anew with the keys of
        a user of that server.
        """
        bucket = urlsplit(target).path.split("/")[1]
        to = self.s3.endpoint if bucket in self.data_buckets else self.upstream or ""
        if "x-amz-security-token" not in headers:
            return self.forward_as_is(to, method, target, headers, body)
        try:
            with self.lock:
                access, *_ = sigv4_check.check(method, target, headers, body, self.keys, aws_double.now(self.skew))
        except sigv4_check.BadSignature as bad:
            return refusal("s3", bad.code, bad.reason, 403)
        if not self.lives(self.owners[access]):
            return refusal("s3", "AccessDenied", "the session's role is gone", 403)
        # What is not a worker's in the data bucket: of these that bucket's own server judges.
        if bucket not in self.data_buckets or self.owners[access].split("/")[1] not in self.worker_keys:
            path = urlsplit(target).path.strip("/")
            what = ("s3:GetObject" if method in ("GET", "HEAD") else "s3:PutObject") if "/" in path else "s3:ListBucket"
            denied = self._judge(self.owners[access], what, f"arn:aws:s3:::{path}", {})
            if denied:
                self.refused.append(denied)
                return refusal("s3", "AccessDenied", denied, 403)
        drop = ("authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256", "host", "connection")
        kept = {name: value for name, value in headers.items() if name not in drop}
        request = AWSRequest(method, f"{to}{target}", data=body, headers=kept)
        request.context["payload_signing_enabled"] = False
        S3SigV4Auth(Credentials(access, self.keys[access][0]), "s3", "us-east-1").add_auth(request)
        signed = {name.lower(): value for name, value in request.headers.items()} | {"host": urlsplit(to).netloc}
        return self.forward_as_is(to, method, target, signed, body)

    def forward_as_is(self, to: str, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """Forward with all headers, both ways."""
        kept = self._kept.__dict__.setdefault("connections", {})
        for fresh in (to not in kept, True):
            if fresh:
                at = urlsplit(to)
                kept[to] = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
            connection = kept[to]
            try:
                connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    if name not in ("connection", "expect"):
                        connection.putheader(name, value)
                connection.endheaders(body)
                got = connection.getresponse()
                content = got.read()
                break
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()  # one that was kept may have been closed by the server meanwhile
                if fresh:
                    raise
        drop = ("content-length", "content-type", "connection", "date", "transfer-encoding", "server", "keep-alive")
        keep = {name: value for name, value in got.headers.items() if name.lower() not in drop}
        return Reply(got.status, content, got.headers.get("Content-Type", ""), keep, got.headers.get("Content-Length"))

    def _serve_user(self, service: str, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """The administrator may do everything."""
        try:
            with self.lock:
                sigv4_check.check(method, target, headers, body, self.keys, aws_double.now(self.skew))
        except sigv4_check.BadSignature as bad:
            return refusal(service, bad.code, bad.reason, 403)
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "ecr" and action == "GetAuthorizationToken":
            token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            granted = {"authorizationToken": token, "proxyEndpoint": self.registry.url, "expiresAt": time.time() + 3600}
            text = json.dumps({"authorizationData": [granted]})
            return Reply(200, text.encode(), "application/x-amz-json-1.1")
        if service == "ecs" and action in ("ListTasks", "StopTask"):
            call = Call(service, action, _ADMIN, REGION, json.loads(body), target, headers)
            with self.lock:
                return self.serve_ecs(call)
        reply = self.forward_as_is(self.upstream or "", method, target, headers, body)
        if service == "cloudformation" and b"Action=ExecuteChangeSet" in body and reply.status == 200:
            self._follow_stacks()
        return reply

    def forward(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """A call of the scheduler's, its signature checked: allowed, and by whom is it served?"""
        region, service = re.findall(r"Credential=[^/]+/[^/]+/([^/]+)/([^/]+)/", headers["authorization"])[0]
        access = headers["authorization"].split("Credential=")[1].split("/")[0]
        call = aws_double.read_call(service, self.owners[access], region, target, headers, body)
        denied = self._denied(call)
        if denied:
            self.refused.append(denied)
            return refusal(service, "AccessDeniedException", denied, 403)
        if service == "lambda" and call.action == "Invoke":
            return self._invoke(call)
        if service in ("ecs", "monitoring"):
            with self.lock:
                return self.serve_ecs(call) if service == "ecs" else self.serve_monitoring(call)
        if service in ("ec2", "ssm"):
            return self.forward_as_is(self.upstream or "", method, target, headers, body)
        return super().forward(method, target, headers, body)

    # ---- identity and permissions
    def lives(self, who: str) -> bool:
        """Whether the session's role is there; believed for a second, for every request of S3 asks."""
        name = who.split("/")[1]
        if self._alive.get(name, 0) < time.monotonic():
            if self._role(name) is None:
                return False
            self._alive[name] = time.monotonic() + 1
        return True

    def _role(self, name: str) -> dict[str, Any] | None:
        iam = self.client("iam")
        try:
            return dict(iam.get_role(RoleName=name)["Role"])
        except iam.exceptions.NoSuchEntityException:
            return None

    def sts(self, call: Call) -> Reply:
        """As AWS decides: by the trust of a role that is there."""
        if call.action == "AssumeRole":
            arn = call.parameters["RoleArn"]
            role = self._role(arn.rpartition("/")[2])
            self.roles.pop(arn, None)
            context = {"sts:ExternalId": call.parameters.get("ExternalId", "")}
            session = call.who.startswith("arn:aws:sts:")
            who = f"arn:aws:iam::{ACCOUNT}:role/{call.who.split('/')[1]}" if session else call.who
            denied = self._judge(call.who, "sts:AssumeRole", arn, context) if session and role else ""
            request = Request(who, "sts:AssumeRole", arn, context)
            trust = role["AssumeRolePolicyDocument"] if role else {"Statement": []}
            if not denied and any(s["Effect"] == "Allow" and applies(s, request) for s in trust["Statement"]):
                self.role(arn.rpartition("/")[2], ACCOUNT, call.parameters.get("ExternalId"))
            else:
                self.refused.append(f"sts:AssumeRole {arn}")
        return super().sts(call)

    def _denied(self, call: Call) -> str:
        """What the role of a session may not do; empty when it may."""
        for action, resource, context in self._asked(call):
            denied = self._judge(call.who, action, resource, {"aws:RequestedRegion": call.region, **context})
            if denied:
                return denied
        return ""

    def _judge(self, who: str, action: str, resource: str, context: dict[str, Any]) -> str:
        """Why a session may not do something; empty when it may."""
        role = who.split("/")[1]
        identity, boundary = self._documents(role)
        decision = decide(Request(f"arn:aws:iam::{ACCOUNT}:role/{role}", action, resource, context), identity, boundary)
        return "" if decision else f"{action} on {resource}: {decision.reason}"

    def _documents(self, role: str) -> tuple[list[Any], Any]:
        """The policies of a role as the stack has made them."""
        if role not in self._policies:
            iam = self.client("iam")
            names = iam.list_role_policies(RoleName=role)["PolicyNames"]
            documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
            about = self._role(role) or {}
            arn = about["PermissionsBoundary"]["PermissionsBoundaryArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            documents.append(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
            # moto gives a document as JSON, as Python writes it, or as it is.
            *identity, boundary = [ast.literal_eval(one) if isinstance(one, str) else one for one in documents]
            self._policies[role] = (identity, boundary)
        return self._policies[role]

    def _asked(self, call: Call) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Actions, resources and conditions' keys of a call, as AWS' reference of actions gives them."""
        p, here = call.parameters, f"{call.region}:{ACCOUNT}"
        if call.service == "lambda":
            yield "lambda:InvokeFunction", f"arn:aws:lambda:{here}:function:{call.target.split('/')[3]}", {}
        elif call.service == "monitoring":
            yield f"cloudwatch:{call.action}", "*", {}
        elif call.service == "ssm":
            arn = f"arn:aws:ssm:{here}:parameter{p['Name']}"
            opened = {"kms:ViaService": f"ssm.{call.region}.amazonaws.com", "kms:EncryptionContext:PARAMETER_ARN": arn}
            yield f"ssm:{call.action}", arn, {}
            yield "kms:Decrypt", f"arn:aws:kms:{here}:key/aws-ssm", opened
        elif call.service == "ec2":
            tag = {"aws:ResourceTag/terality:deployment": self._tag_of(p["InstanceId"])}
            kind, name = ("volume", p["VolumeId"]) if "VolumeId" in p else ("elastic-ip", p["AllocationId"])
            for one in (f"{kind}/{name}", f"instance/{p['InstanceId']}"):
                yield f"ec2:{call.action}", f"arn:aws:ec2:{here}:{one}", tag
        elif call.service == "autoscaling":
            arn = "*"
            if not call.action.startswith("Describe"):
                group = p.get("AutoScalingGroupName") or self._group_of(p["InstanceId"])
                arn = f"arn:aws:autoscaling:{here}:autoScalingGroup:1:autoScalingGroupName/{group}"
            yield f"autoscaling:{call.action}", arn, {}
        elif call.action == "RunTask":
            cluster = {"ecs:cluster": f"arn:aws:ecs:{here}:cluster/{p['cluster']}"}
            definition = self._definition(p["taskDefinition"])
            yield "ecs:RunTask", definition["taskDefinitionArn"], cluster
            for role in (definition["taskRoleArn"], definition["executionRoleArn"]):
                yield "iam:PassRole", role, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
        else:
            cluster = {"ecs:cluster": f"arn:aws:ecs:{here}:cluster/{p['cluster'].rpartition('/')[2]}"}
            for task in p.get("tasks") or [p.get("task", "*")]:
                yield f"ecs:{call.action}", task, cluster

    def _group_of(self, instance: str) -> str:
        found = self.client("autoscaling").describe_auto_scaling_instances(InstanceIds=[instance])
        return str(found["AutoScalingInstances"][0]["AutoScalingGroupName"]) if found["AutoScalingInstances"] else ""

    def _tag_of(self, instance: str) -> str:
        """The deployment that a machine is tagged with."""
        filters = [{"Name": "resource-id", "Values": [instance]}, {"Name": "key", "Values": ["terality:deployment"]}]
        found = self.client("ec2").describe_tags(Filters=filters)["Tags"]
        return str(found[0]["Value"]) if found else ""

    # ---- what the stack makes
    def _follow_stacks(self) -> None:
        """Data buckets go to the real server, with keys for worker roles; functions to the double of Lambda."""
        self._policies.clear()
        formation = self.client("cloudformation")
        for stack in formation.describe_stacks()["Stacks"]:
            outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
            if "DataBucket" not in outputs:
                continue
            self._make_bucket(outputs["DataBucket"], outputs["WorkerRoleNames"].split(","))
            for name in (outputs["LambdaSmall"], outputs["LambdaLarge"]):
                self._make_function(name)

    def _make_bucket(self, bucket: str, roles: list[str]) -> None:
        at = boto3.client(
            "s3", endpoint_url=self.s3.endpoint, region_name="us-east-1", aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )  # fmt: skip
        if bucket not in self.data_buckets:
            at.create_bucket(Bucket=bucket)
        self.data_buckets.add(bucket)
        for role in roles:
            if role not in self.worker_keys:
                self.worker_keys[role] = (f"AKROLE{secrets.token_hex(7).upper()}", secrets.token_hex(20))
                access, secret = self.worker_keys[role]
                command = [str(versitygw_binary()), "admin", "--access", KEY, "--secret", SECRET]
                command += ["--endpoint-url", self.s3.endpoint, "create-user", "--access", access]
                subprocess.run([*command, "--secret", secret, "--role", "user"], check=True, capture_output=True)
        workers = [self.worker_keys[role][0] for role in roles]
        place = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"]
        allow = {"Effect": "Allow", "Principal": {"AWS": workers}, "Action": actions, "Resource": place}
        at.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))

    def _make_function(self, name: str) -> None:
        about = self.client("lambda").get_function_configuration(FunctionName=name)
        settings = {
            **self._led(about["Environment"]["Variables"]), **self._as_role(about["Role"].rpartition("/")[2]),
            "PATH": os.defpath,
        }  # fmt: skip
        self.functions.add(
            name, [str(self._bootstrap(name))], settings, timeout=about["Timeout"], memory_mb=about["MemorySize"],
            start_delay=START_SECONDS["lambda"] * self.start_scale,
        )  # fmt: skip

    def _bootstrap(self, name: str) -> Path:
        """The program of the zip that the function was made from."""
        code = self.client("lambda").get_function(FunctionName=name)
        template = code["Configuration"]["CodeSha256"]
        place = self.folder / f"function-{name}-{re.sub('[^A-Za-z0-9]', '', template)[:12]}"
        if not place.exists():
            place.mkdir(parents=True)
            found = self._parameters(name.rpartition("-worker-")[0])
            body = self.client("s3").get_object(Bucket=found["ArtifactBucket"], Key=found["WorkerZipKey"])["Body"]
            (place / "code.zip").write_bytes(body.read())
            with zipfile.ZipFile(place / "code.zip") as archive:
                archive.extractall(place)
            (place / "bootstrap").chmod(0o755)
        return place / "bootstrap"

    def _parameters(self, stack: str) -> dict[str, str]:
        (about,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {one["ParameterKey"]: one["ParameterValue"] for one in about["Parameters"]}

    def _outputs(self, stack: str) -> dict[str, str]:
        (about,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in about["Outputs"]}

    def _later(self, seconds: float, what: Callable[..., None], *about: Any) -> None:
        """Do it after a while; what goes wrong then is kept as what goes wrong in a request."""

        def guarded() -> None:
            try:
                what(*about)
            except Exception:
                self.faults_of_ours.append(traceback.format_exc())

        threading.Timer(seconds, guarded).start()

    def _as_role(self, role: str) -> dict[str, str]:
        """The environment of a process that has a session of a worker's role."""
        access, secret = self.worker_keys[role]
        token = f"session-of-{role}"
        with self.lock:
            self.keys[access] = (secret, token)
            self.owners[access] = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/worker"
        return {
            "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
            "AWS_REGION": REGION, "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }  # fmt: skip

    # ---- Lambda
    def _invoke(self, call: Call) -> Reply:
        function = self.functions.functions.get(call.target.split("/")[3])
        if function is None:
            return refusal("lambda", "ResourceNotFoundException", f"Function not found: {call.target}", 404)
        if function.invoke(b"{}") is None:
            return refusal("lambda", "TooManyRequestsException", "Rate Exceeded.", 429)
        return Reply(202, b"", "application/json")

    # ---- ECS
    def _definition(self, family: str) -> dict[str, Any]:
        found = self.client("ecs").describe_task_definition(taskDefinition=family)
        roles = f"arn:aws:iam::{ACCOUNT}:role/"  # moto's CloudFormation forgets them, and the size
        missing = {
            "cpu": self._outputs(family.removesuffix("-worker"))["EcsCpu"],
            "taskRoleArn": f"{roles}{family}-ecs",
            "executionRoleArn": f"{roles}{family[: -len('worker')]}ecs-execution",
        }
        return {**missing, **found["taskDefinition"]}

    def serve_ecs(self, call: Call) -> Reply:
        if call.action == "ListTasks":
            there = [arn for arn, task in self.tasks.items() if task["lastStatus"] != "STOPPED"]
            return Reply(200, json.dumps({"taskArns": there}).encode(), "application/x-amz-json-1.1")
        before = set(self.tasks)
        reply = super().serve_ecs(call)
        if call.action == "RunTask":
            definition = self._definition(call.parameters["taskDefinition"])
            for arn in set(self.tasks) - before:
                self.machines[arn] = Machine(arn, "ecs")
                after = START_SECONDS["ecs"] * self.start_scale
                self._later(after, self._start_task, arn, definition)
        elif call.action == "StopTask":
            self.machines[call.parameters["task"]].stop()
        return reply

    def _start_task(self, arn: str, definition: dict[str, Any]) -> None:
        labels = definition["containerDefinitions"][0]["dockerLabels"]
        settings = {name.upper().replace(".", "_"): value for name, value in labels.items()}
        settings["TERALITY_IDLE_SECONDS"] = f"{self.idle_seconds:g}"
        cores = int(definition["cpu"]) // 1024
        role = definition["taskRoleArn"].rpartition("/")[2]
        with self.lock:
            if self._stopping.is_set() or self.tasks[arn]["lastStatus"] == "STOPPED":
                return
            self.tasks[arn]["lastStatus"] = "RUNNING"
            self._start_worker(self.machines[arn], role, settings, cores)

    # ---- EC2
    def _instances(self) -> dict[str, tuple[str, str]]:
        """Instances in service in the stack's groups: what they are, and their launch template."""
        found: dict[str, tuple[str, str]] = {}
        self.groups = self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        for group in self.groups:
            mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate")
            specification = mixed["LaunchTemplateSpecification"] if mixed else group["LaunchTemplate"]
            kind, template = "ec2" if mixed else "scheduler", specification["LaunchTemplateId"]
            for one in group["Instances"]:
                if one["LifecycleState"] == "InService":
                    found[one["InstanceId"]] = (kind, template)
        return found

    def _look_at_instances(self) -> None:
        there = self._instances()
        for name, (kind, template) in there.items():
            if name not in self.machines:
                with self.lock:
                    self.machines[name] = Machine(name, kind)
                after = START_SECONDS["ec2"] * self.start_scale
                self._later(after, self._start_instance, name, template)
        for machine in list(self.machines.values()):
            if machine.kind != "ecs" and machine.name not in there:
                machine.stop()

    def _start_instance(self, name: str, template: str) -> None:
        if self._stopping.is_set() or name not in self._instances():
            return
        (version,) = self.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=template, Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        script = base64.b64decode(data["UserData"]).decode()
        if self.machines[name].kind == "scheduler":
            self._start_scheduler(self.machines[name], data, script)
            return
        conf = re.search(r"worker\.conf <<'CONF'\n(.*?)\n\s*CONF", script, re.DOTALL)
        assert conf, script
        settings = dict(line.strip().split("=", 1) for line in conf[1].splitlines())
        profile = data["IamInstanceProfile"]["Arn"].rpartition("/")[2]
        about = self.client("iam").get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
        with self.lock:
            self._start_worker(self.machines[name], about["Roles"][0]["RoleName"], settings, 8)

    def _start_scheduler(self, machine: Machine, data: dict[str, Any], script: str) -> None:
        """Boot it by its user data, then do what systemd does, with loopback for the addresses of AWS."""
        tags = [{"Key": t["Key"], "Value": t["Value"]} for t in data["TagSpecifications"][0]["Tags"]]
        self.client("ec2").create_tags(Resources=[machine.name], Tags=tags)
        access, secret, token = self.session(data["IamInstanceProfile"]["Arn"].rpartition("/")[2])
        environment = {
            "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
            "AWS_ENDPOINT_URL": self.url, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }  # fmt: skip
        command, variables = boot(self.folder / machine.name, script, environment, machine.name)
        if machine.name not in self._instances():
            return  # taken away meanwhile
        (host,) = self.hosts.values()
        here = {"0.0.0.0:443": f"127.0.0.1:{urlsplit(host).port}"}
        command = [here.get(word, word) for word in command]
        command += ["--die-with-parent", "--aws-endpoint", self.url, "--sts-endpoint", f"{self.url}/"]
        with open(self.folder / "scheduler.log", "ab") as log:
            machine.process = self._spawn(command, {**environment, **variables}, log)

    # ---- workers
    def _led(self, settings: dict[str, str]) -> dict[str, str]:
        """A worker's settings, with the scheduler's name led to where it is."""
        url = settings["TERALITY_SCHEDULER"]
        more = {"TERALITY_CA_FILE": self.certificates} if self.certificates else {}
        return {**settings, "TERALITY_SCHEDULER": self.hosts.get(url, url), **more}

    def _start_worker(self, machine: Machine, role: str, settings: dict[str, str], cores: int) -> None:
        environment = {
            **self._led(settings), **self._as_role(role), "PATH": os.defpath, "TERALITY_WORKER_INSTANCE": machine.name,
            "TERALITY_THREADS": str(min(cores, os.cpu_count() or 1)), "TERALITY_MEMORY_BUDGET": "512M",
        }  # fmt: skip
        with open(self.folder / f"{machine.kind}.log", "ab") as log:
            command = [str(daemons.path("terality-worker")), "--die-with-parent", "--metrics"]
            machine.process = self._spawn(command, environment, log)
        self.started[machine.kind] += 1

    def _spawn(self, command: list[str], environment: dict[str, str], log: BinaryIO) -> subprocess.Popen[bytes]:
        start = self._starter.submit(
            subprocess.Popen, command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        return start.result()

    def _watch(self) -> None:
        """Instances come and go with their group; tasks end with their process."""
        while not self._stopping.wait(0.2):
            with contextlib.suppress(OSError):
                self._look_at_instances()
            with self.lock:
                for machine in self.machines.values():
                    task = self.tasks.get(machine.name)
                    if task and machine.process and machine.process.poll() is not None:
                        why = f"Essential container in task exited ({machine.process.returncode})"
                        task.update(lastStatus="STOPPED", stopCode="EssentialContainerExited", stoppedReason=why)


@contextlib.contextmanager
def cloud(folder: Path, start_scale: float = 0.01, idle_seconds: float = 60.0) -> Iterator[Cloud]:
    """Run an account while the context lasts."""
    with contextlib.ExitStack() as running:
        moto = running.enter_context(servers.moto())
        s3 = running.enter_context(versitygw())
        registry = running.enter_context(RegistryDouble())
        yield running.enter_context(Cloud(moto, s3, registry, folder, start_scale, idle_seconds))
