"""The worker as bootstrap of a Lambda function: invocations, reuse, freezes, deadlines, errors."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from pandas.testing import assert_frame_equal
from terality import daemons

from tests.deploy.lambda_double import LambdaDouble
from tests.scheduler.daemon import wait_for
from tests.worker.test_worker import PROGRAMS, answer, in_background


def invoke(double: LambdaDouble, kind: str = "RequestResponse", payload: bytes = b'{"wake":1}', name: str = "worker"):
    """Give status, headers and body of an Invoke call."""
    request = urllib.request.Request(f"{double.url}/2015-03-31/functions/{name}/invocations", payload)
    request.add_header("X-Amz-Invocation-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, dict(refusal.headers), refusal.read()


def compare(program, path, table) -> None:
    """Run it on the cluster and look whether the answer is pandas'."""
    plain = pickle.loads(pickle.dumps(answer(program, path)))  # a frame that needs no worker to be looked at
    assert_frame_equal(plain, PROGRAMS[program](table))


def test_an_invocation_wakes_a_worker(cluster, aws_lambda, function, path, table):
    made = function()
    cluster.connect()
    wait = in_background(lambda: compare("two keys", path, table))
    wait_for(lambda: cluster.tenant.worker.get("/v1/capacity")["tasks"]["ready"])
    assert invoke(aws_lambda, "Event")[0] == 202
    wait()
    [invocation] = made.invocations
    assert invocation.done.wait(30) and invocation.error is None
    said = json.loads(invocation.result)
    assert said["end"] == "idle" and said["tasks"] >= 5
    [worker] = cluster.tenant.worker.get("/v1/workers")["workers"]
    assert worker["kind"] == "lambda-small"
    # A line of metrics per task, and nothing of data in the log.
    assert sum("_aws" in line for line in made.log) == said["tasks"]
    assert not any(str(path) in line for line in made.log)


def test_environments_are_used_again_and_the_payload_means_nothing(cluster, aws_lambda, function, path, table):
    made = function()
    cluster.connect()
    hostile = json.dumps({"TERALITY_SCHEDULER": "https://example.com", "store": "/", "wake": 0}).encode()
    for payload in (b'{"wake":1}', b"", b"\x00 no JSON", hostile):
        wait = in_background(lambda: compare("groups", path, table))
        status, headers, body = invoke(aws_lambda, payload=payload)
        assert status == 200 and "X-Amz-Function-Error" not in headers
        assert json.loads(body)["end"] == "idle"
        wait()
        wait_for(lambda: made.free)
    assert made.starts == 1
    # Each invocation is a worker of its own: what was said to one (drain!) does not hold for the next.
    names = {worker["worker"] for worker in cluster.tenant.worker.get("/v1/workers")["workers"]}
    assert names == {invocation.id for invocation in made.invocations}


def test_many_at_once_and_too_many(cluster, aws_lambda, function, path, table):
    made = function(concurrency=3)
    cluster.connect(target_rows=3_000)
    statuses = [invoke(aws_lambda, "Event")[0] for _ in range(4)]
    assert statuses == [202, 202, 202, 429]
    compare("sort", path, table)
    for invocation in made.invocations:
        assert invocation.done.wait(30) and invocation.error is None
    assert made.starts == 3
    assert invoke(aws_lambda, "Event", name="other")[0] == 404


def test_a_drained_worker_ends_its_invocation(cluster, aws_lambda, function):
    made = function({"TERALITY_IDLE_SECONDS": "60"})
    invoke(aws_lambda, "Event")
    [worker] = wait_for(lambda: cluster.tenant.worker.get("/v1/workers")["workers"])
    cluster.tenant.worker.delete(f"/v1/workers/{worker['worker']}")
    assert made.invocations[0].done.wait(30)
    assert json.loads(made.invocations[0].result) == {"tasks": 0, "end": "drained"}
    wait_for(lambda: made.free)
    # The environment lives on, and is no longer drained.
    invoke(aws_lambda, "Event")
    wait_for(lambda: len(cluster.tenant.worker.get("/v1/workers")["workers"]) == 2)
    assert made.starts == 1 and not made.invocations[1].done.is_set()


def test_before_the_deadline_it_hands_back(cluster, aws_lambda, function, path, table):
    made = function({"TERALITY_STORE_FAULTS": "put:1:late:60000"}, timeout=6)
    cluster.connect()
    wait = in_background(lambda: compare("groups", path, table))
    wait_for(lambda: cluster.tenant.worker.get("/v1/capacity")["tasks"]["ready"])
    begin = time.monotonic()
    status, headers, body = invoke(aws_lambda)
    assert status == 200 and "X-Amz-Function-Error" not in headers, body
    assert json.loads(body)["end"] == "deadline"
    assert made.timeouts == 0 and time.monotonic() - begin < 60
    # Handed back, not lost: nothing is leased any more.
    assert cluster.running() == 0
    made.environment["TERALITY_STORE_FAULTS"] = ""
    cluster.worker()
    wait()


def test_killed_at_the_deadline(cluster, aws_lambda, function, path, table):
    # Whoever stops the process so that it cannot hand back in time: its leases run out, others do the work.
    made = function({"TERALITY_STORE_FAULTS": "put:1:late:60000"}, timeout=4)
    cluster.connect()
    wait = in_background(lambda: compare("groups", path, table))
    wait_for(lambda: cluster.tenant.worker.get("/v1/capacity")["tasks"]["ready"])
    invoke(aws_lambda, "Event")
    wait_for(lambda: cluster.running() > 0)
    made.environments[0].freeze()
    assert made.invocations[0].done.wait(30)
    assert made.invocations[0].error == "Unhandled" and b"timed out" in made.invocations[0].result
    assert made.timeouts == 1
    cluster.worker()
    wait()


def test_frozen_in_the_middle_until_the_lease_is_lost(cluster, aws_lambda, function, path, table):
    made = function({"TERALITY_STORE_FAULTS": "put:1:late:400", "TERALITY_IDLE_SECONDS": "60"})
    cluster.connect()
    wait = in_background(lambda: compare("groups", path, table))
    wait_for(lambda: cluster.tenant.worker.get("/v1/capacity")["tasks"]["ready"])
    invoke(aws_lambda, "Event")
    wait_for(lambda: cluster.running() > 0)
    made.environments[0].freeze()
    wait_for(lambda: cluster.running() == 0)  # the leases (1.5 s) ran out
    made.environments[0].thaw()
    # Late reports count or are passed over; the query ends well, and so does the invocation.
    wait()
    cluster.tenant.worker.delete(f"/v1/workers/{made.invocations[0].id}")
    assert made.invocations[0].done.wait(60)
    assert made.invocations[0].error is None


def test_frozen_between_invocations_until_connections_are_gone(cluster, aws_lambda, function, path, table):
    made = function()
    cluster.connect()
    wait = in_background(lambda: compare("groups", path, table))
    assert json.loads(invoke(aws_lambda)[2])["tasks"] > 0
    wait()
    wait_for(lambda: made.environments[0].frozen)
    cluster.scheduler.kill()  # what was connected is no more
    time.sleep(3.5)
    cluster.scheduler.start()
    wait = in_background(lambda: compare("two keys", path, table))
    assert json.loads(invoke(aws_lambda)[2])["end"] == "idle"
    wait()
    assert made.starts == 1


def test_errors_are_told(cluster, aws_lambda, function):
    made = function({"TERALITY_WORKER_TOKEN": "wrong"})
    status, headers, body = invoke(aws_lambda)
    assert status == 200 and headers["X-Amz-Function-Error"] == "Unhandled"
    said = json.loads(body)
    assert said["errorType"] == "Worker.Scheduler" and "401 wrong_key" in said["errorMessage"]
    wait_for(lambda: made.free)
    # It stays: the next invocation is served by the same process.
    assert json.loads(invoke(aws_lambda)[2])["errorType"] == "Worker.Scheduler"
    assert made.starts == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"TERALITY_SCHEDULER": ""}, "TERALITY_SCHEDULER is not set in the function's environment"),
        ({"TERALITY_WORKER_TOKEN": ""}, "TERALITY_WORKER_TOKEN is not set"),
        ({"TERALITY_STORE": "gs://nowhere/x"}, "gs"),
        ({"TERALITY_SCHEDULER": "http://10.1.2.3:1"}, "only a loopback address"),
    ],
)
def test_errors_of_the_start_are_told(aws_lambda, function, changes, text):
    function(changes)
    status, headers, body = invoke(aws_lambda)
    assert status == 200 and headers["X-Amz-Function-Error"] == "Unhandled"
    said = json.loads(body)
    assert said["errorType"] == "Worker.Settings" and text in said["errorMessage"]


def test_it_ends_when_told(cluster, aws_lambda, function):
    made = function()
    made.freezes = False
    invoke(aws_lambda)
    process = made.environments[0].process
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 0


def test_without_a_runtime_api_it_says_so(cluster, tmp_path):
    environment = {**cluster.environment(), "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1/.rt/none"}
    done = subprocess.run(
        [str(daemons.path("terality-worker"))], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "/.rt/none/2018-06-01/runtime/invocation/next" in done.stderr
