"""AWS for tests of the scheduler: checks every signature, keeps a book of calls, breaks on demand.

STS is served here as AWS serves it (trust with an external id, sessions that end, roles that are deleted), because what
moto's does is no check of anything. Lambda, ECS, autoscaling and CloudWatch are small models whose states the test
moves; with `upstream` the checked request goes on to another server (moto) and its answer comes back.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from . import sigv4_check

OWN = ("AKSCHEDULER", "own-secret")
ACCOUNT = "123456789012"
XML = "text/xml"


@dataclass
class Reply:
    """What goes back; a `body` of bytes as it is."""

    status: int
    body: bytes
    type: str = XML
    headers: dict[str, str] = field(default_factory=dict)
    length: str | None = None  # of the body that a HEAD does not give


@dataclass
class Call:
    """A request whose signature was good."""

    service: str
    action: str
    who: str
    region: str
    parameters: dict
    target: str
    headers: dict[str, str]


def now(skew: datetime.timedelta) -> datetime.datetime:
    """The server's time."""
    return datetime.datetime.now(datetime.UTC) + skew


def xml(action: str, inside: str) -> Reply:
    """Give a reply of the query protocol."""
    return Reply(200, f"<{action}Response><{action}Result>{inside}</{action}Result></{action}Response>".encode())


def refusal(service: str, code: str, text: str, status: int = 400) -> Reply:
    """Give an error in the form of the service's protocol."""
    if service in ("ecs", "lambda"):
        body = json.dumps({"__type": f"com.amazonaws.{service}#{code}", "message": text}).encode()
        return Reply(status, body, "application/x-amz-json-1.1", {"x-amzn-errortype": f"{code}:http://internal/"})
    inside = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
    return Reply(status, f"<ErrorResponse>{inside}<RequestId>1</RequestId></ErrorResponse>".encode())


class Server(ThreadingHTTPServer):
    """Takes as many connections at a time as launchers open: with five waiting, others would come seconds later."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of those who hang up: workers are killed here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class Role:
    """A role that may be taken, or whose credentials a worker has."""

    external_id: str | None = None
    account: str = ACCOUNT


class AwsDouble:
    """A server on loopback; use as a context manager."""

    def __init__(self, upstream: str | None = None):
        self.upstream = upstream
        self.lock = threading.RLock()
        self.roles: dict[str, Role] = {}
        self.keys: dict[str, tuple[str, str | None]] = {OWN[0]: (OWN[1], None)}
        self.owners: dict[str, str] = {OWN[0]: f"arn:aws:iam::{ACCOUNT}:user/scheduler"}
        self.calls: list[Call] = []
        self.bad: list[str] = []
        self.faults: list[tuple[Callable[[Call], bool], Reply, int]] = []
        self.skew = datetime.timedelta()
        self.tasks: dict[str, dict] = {}
        self.desired, self.most, self.instances = 0, 100, {}  # type: int, int, dict[str, str]
        self.metrics: dict[str, list[float]] = {}
        self.numbers = iter(range(1, 1 << 30))

    # ---- what tests do
    def role(self, name: str, account: str = ACCOUNT, external_id: str | None = None) -> str:
        """Make a role; give its ARN."""
        arn = f"arn:aws:iam::{account}:role/{name}"
        self.roles[arn] = Role(external_id, account)
        return arn

    def session(self, role: str, account: str = ACCOUNT) -> tuple[str, str, str]:
        """Give keys of a session of the role: access key, secret key, token."""
        access, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(40)
        with self.lock:
            self.keys[access] = (secret, token)
            self.owners[access] = f"arn:aws:sts::{account}:assumed-role/{role}/session"
        return access, secret, token

    def fail(self, reply: Reply, service: str = "", action: str = "", times: int = 1 << 30) -> None:
        """Answer so many such calls with this."""

        def meant(call: Call) -> bool:
            return (not service or call.service == service) and (not action or call.action == action)

        with self.lock:
            self.faults.append((meant, reply, times))

    def heal(self) -> None:
        with self.lock:
            self.faults.clear()

    def made(self, service: str, action: str) -> list[Call]:
        """Calls of this kind."""
        with self.lock:
            return [c for c in self.calls if c.service == service and c.action == action]

    # ---- the server
    def __enter__(self) -> AwsDouble:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = double.answer(self.command, self.path, headers, body)
                self.send_response_only(reply.status)
                stamp = datetime.datetime.now(datetime.UTC) + double.skew
                self.send_header("Date", stamp.strftime("%a, %d %b %Y %H:%M:%S GMT"))
                self.send_header("Content-Type", reply.type)
                self.send_header("Content-Length", reply.length or str(len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                with contextlib.suppress(ConnectionError):  # who asked has gone: cancelled, or past its deadline
                    self.end_headers()
                    self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        try:
            with self.lock:
                access, region, service = sigv4_check.check(method, target, headers, body, self.keys, now(self.skew))
        except sigv4_check.BadSignature as bad:
            self.bad.append(str(bad))
            scope = headers.get("authorization", "").split("/")
            return refusal(scope[3] if len(scope) > 4 else "sts", bad.code, bad.reason, 403)
        call = read_call(service, access, region, target, headers, body)
        call.who = self.owners[access]
        with self.lock:
            self.calls.append(call)
            for i, (meant, reply, times) in enumerate(self.faults):
                if meant(call):
                    self.faults[i] = (meant, reply, times - 1)
                    if times <= 1:
                        del self.faults[i]
                    return reply
            if service == "sts":
                return self.sts(call)
            if not call.who.startswith("arn:aws:sts::") or not self.lives(call.who):
                return refusal(service, "AccessDeniedException", f"{call.who} is not authorized", 403)
        if self.upstream:
            return self.forward(method, target, headers, body)
        with self.lock:
            return getattr(self, f"serve_{service}")(call)

    def lives(self, who: str) -> bool:
        """Whether the session's role was not deleted."""
        account, name = who.split(":")[4], who.split("/")[1]
        return f"arn:aws:iam::{account}:role/{name}" in self.roles

    def forward(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        at = urlsplit(self.upstream or "")
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, target, body, {k: v for k, v in headers.items() if k != "host"})
            got = connection.getresponse()
            keep = {k: v for k, v in got.headers.items() if k.lower().startswith("x-amzn")}
            return Reply(got.status, got.read(), got.headers.get("Content-Type", XML), keep)

    # ---- services
    def sts(self, call: Call) -> Reply:
        if call.action == "GetCallerIdentity":
            account = call.who.split(":")[4]
            return xml(call.action, f"<Arn>{call.who}</Arn><UserId>X</UserId><Account>{account}</Account>")
        arn, given = call.parameters["RoleArn"], call.parameters.get("ExternalId")
        role = self.roles.get(arn)
        if role is None or given != role.external_id:
            text = f"User: {call.who} is not authorized to perform: sts:AssumeRole on resource: {arn}"
            return refusal("sts", "AccessDenied", text, 403)
        assert call.parameters["DurationSeconds"] == "900"
        access, secret, token = self.session(arn.split("/")[-1], role.account)
        until = datetime.datetime.now(datetime.UTC) + self.skew + datetime.timedelta(seconds=900)
        inside = f"<AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
        inside += f"<SessionToken>{token}</SessionToken><Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        return xml("AssumeRole", f"<Credentials>{inside}</Credentials><PackedPolicySize>6</PackedPolicySize>")

    def serve_lambda(self, call: Call) -> Reply:
        assert call.headers["x-amz-invocation-type"] == "Event"
        return Reply(202, b"", "application/json")

    def serve_ecs(self, call: Call) -> Reply:
        p = call.parameters
        if call.action == "RunTask":
            made = []
            for _ in range(p["count"]):
                arn = f"arn:aws:ecs:{call.region}:{ACCOUNT}:task/{p['cluster']}/{secrets.token_hex(16)}"
                self.tasks[arn] = {"taskArn": arn, "lastStatus": "PROVISIONING"}
                made.append(self.tasks[arn])
            value: dict = {"tasks": made, "failures": []}
        elif call.action == "DescribeTasks":
            known = [self.tasks[arn] for arn in p["tasks"] if arn in self.tasks]
            missing = [{"arn": arn, "reason": "MISSING"} for arn in p["tasks"] if arn not in self.tasks]
            value = {"tasks": known, "failures": missing}
        else:
            assert call.action == "StopTask"
            self.tasks[p["task"]]["lastStatus"] = "STOPPED"
            value = {"task": self.tasks[p["task"]]}
        return Reply(200, json.dumps(value).encode(), "application/x-amz-json-1.1")

    def serve_autoscaling(self, call: Call) -> Reply:
        p = call.parameters
        if call.action == "SetDesiredCapacity":
            if int(p["DesiredCapacity"]) > self.most:
                return refusal("autoscaling", "ValidationError", "New SetDesiredCapacity value is above max value")
            self.desired = int(p["DesiredCapacity"])
            while len(self.instances) < self.desired:
                self.instances[f"i-{next(self.numbers):017x}"] = "Pending"
            return xml(call.action, "")
        if call.action == "TerminateInstanceInAutoScalingGroup":
            assert p["ShouldDecrementDesiredCapacity"] == "true"
            if p["InstanceId"] not in self.instances:
                return refusal("autoscaling", "ValidationError", "Instance Id not found")
            self.desired -= 1
            del self.instances[p["InstanceId"]]
            return xml(call.action, "<Activity><StatusCode>InProgress</StatusCode></Activity>")
        assert call.action == "DescribeAutoScalingGroups"
        members = "".join(
            f"<member><InstanceId>{name}</InstanceId><LifecycleState>{state}</LifecycleState>"
            "<LaunchTemplate><Version>1</Version></LaunchTemplate></member>"
            for name, state in self.instances.items()
        )
        group = f"<AutoScalingGroupName>{p['AutoScalingGroupNames.member.1']}</AutoScalingGroupName>"
        group += f"<MinSize>0</MinSize><MaxSize>{self.most}</MaxSize><DesiredCapacity>{self.desired}</DesiredCapacity>"
        group += f"<Instances>{members}</Instances>"
        return xml(call.action, f"<AutoScalingGroups><member>{group}</member></AutoScalingGroups>")

    def serve_monitoring(self, call: Call) -> Reply:
        results = ""
        for n in range(1, 100):
            stat = f"MetricDataQueries.member.{n}.MetricStat.Metric"
            if f"{stat}.MetricName" not in call.parameters:
                break
            name = call.parameters[f"{stat}.MetricName"]
            function = call.parameters.get(f"{stat}.Dimensions.member.1.Value", "")
            values = self.metrics.get(f"{function}/{name}", [])
            inside = "".join(f"<member>{v}</member>" for v in values)
            results += f"<member><Id>m{n}</Id><Label>{name}</Label><Timestamps/><Values>{inside}</Values></member>"
        return xml("GetMetricData", f"<MetricDataResults>{results}</MetricDataResults>")


def read_call(service: str, who: str, region: str, target: str, headers: dict[str, str], body: bytes) -> Call:
    """Take a request apart by the protocol of its service."""
    if service == "lambda":
        action = "Invoke" if target.endswith("/invocations") else target
        return Call(service, action, who, region, json.loads(body or b"{}"), target, headers)
    if service == "ecs":
        action = headers["x-amz-target"].split(".")[1]
        assert headers["x-amz-target"] == f"AmazonEC2ContainerServiceV20141113.{action}"
        assert headers["content-type"] == "application/x-amz-json-1.1"
        return Call(service, action, who, region, json.loads(body), target, headers)
    if service == "ssm":
        action = headers["x-amz-target"].removeprefix("AmazonSSM.")
        return Call(service, action, who, region, json.loads(body), target, headers)
    parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
    versions = {"sts": "2011-06-15", "autoscaling": "2011-01-01", "monitoring": "2010-08-01", "ec2": "2016-11-15"}
    assert parameters["Version"] == versions[service]
    return Call(service, parameters["Action"], who, region, parameters, target, headers)


@contextlib.contextmanager
def running(upstream: str | None = None) -> Iterator[AwsDouble]:
    """Run a double for a test."""
    with AwsDouble(upstream) as double:
        yield double
