"""`terality-worker --fixed`: settings from fixed places, and whatever environment and arguments say is not heard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from terality import daemons

from tests.deploy.machine_double import INSTANCE, TASK
from tests.store.servers import Unavailable, versitygw_binary


def world(place: str, folder: Path, what: str) -> Any:
    """Run it in namespaces of its own."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode:
        pytest.skip("network and mount namespaces need root")
    try:
        versitygw_binary()
    except Unavailable as why:
        pytest.skip(str(why))
    command = [
        "unshare",
        "--net",
        "--mount",
        sys.executable,
        "-m",
        "tests.deploy.fixed_world",
        place,
        str(folder),
        what,
    ]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("place", ["ecs", "ec2"])
def test_it_works_for_whom_the_fixed_settings_say(place, tmp_path):
    said = world(place, tmp_path, "works")
    assert said["answer"] == [250.0, 250.0] and said["status"] == 0, said["err"]
    allowed = {"ECS_CONTAINER_METADATA_URI_V4", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"}
    assert set(said["environment"]) == (allowed if place == "ecs" else set())
    [worker] = said["workers"]
    assert worker["kind"] == place and worker["worker"] != "evil"
    assert worker["instance"] == (TASK if place == "ecs" else INSTANCE)
    assert said["identities"] and all(f"terality-one-worker-{place}/" in who for who in said["identities"])
    # The lines of metrics are there without being asked for.
    lines = [json.loads(line) for line in said["out"] if "_aws" in line]
    assert lines and lines[0]["Kind"] == place and sum(line["StoreRequests"] for line in lines) > 0


def test_a_spot_notice_drains(tmp_path):
    said = world("ec2", tmp_path, "spot")
    assert said["answer"] == [250.0, 250.0]
    assert said["status"] == 0 and "this spot instance ends in" in said["err"]


def test_what_a_task_does_not_take(tmp_path):
    said = world("ecs", tmp_path, "refused")
    for name in ("other address", "looks alike", "user part"):
        assert "is not at http://169.254.170.2" in said[name], name
    assert "TERALITY_STORE is not set in the task's labels" in said["no store"]


def test_what_an_instance_does_not_take(tmp_path):
    said = world("ec2", tmp_path, "refused")
    assert "must be a file of root's that nobody else may write" in said["writable"]
    assert "/etc/terality/worker.conf:1: no NAME=VALUE" in said["no line"]
    assert "TERALITY_DEPLOYMENT is not set in /etc/terality/worker.conf" in said["no deployment"]
    assert "only a loopback address" in said["no TLS"]
    assert "/etc/terality/worker.conf" in said["no file"]


def test_other_places_are_unknown():
    done = subprocess.run(
        [str(daemons.path("terality-worker")), "--fixed", "moon"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and "there are ecs and ec2" in done.stderr
