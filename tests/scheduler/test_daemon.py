"""The process: arguments, the admin key, kills and restarts in the middle, a disk that is full."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from terality import _engine, daemons

from .conftest import KEY
from .daemon import ADMIN, Refused, Scheduler, Tenant, report_of, wait_for
from .test_api import sources_of


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess:
    command = [str(daemons.path("terality-scheduler")), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, **settings}, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "--data is missing"),
        (["--data", "x", "more"], 2, "more is not understood"),
        (["--data", "x", "--listen", "nowhere"], 2, "is not ADDRESS:PORT"),
        (["--data", "x", "--listen", "127.0.0.1:99999"], 2, "is not ADDRESS:PORT"),
        (["--data", "x", "--listen", "0.0.0.0:0"], 2, "no loopback address"),
        (["--data", "x", "--tls-cert", "a"], 2, "go together"),
        (["--data", "/dev/null/x"], 1, "/dev/null/x"),
        (["--colour"], 2, "usage:"),
    ],
)
def test_arguments(tmp_path, arguments, status, said):
    arguments = [str(tmp_path / "x") if a == "x" else a for a in arguments]
    done = run(*arguments, TERALITY_ADMIN_KEY=ADMIN)
    assert done.returncode == status and said in done.stderr


def test_a_short_admin_key_is_refused(tmp_path):
    done = run("--data", str(tmp_path / "x"), TERALITY_ADMIN_KEY="short")
    assert done.returncode == 1 and "5 characters" in done.stderr and "short" not in done.stderr


def test_certificates_that_are_none(tmp_path):
    (tmp_path / "bad.pem").write_text("nothing")
    bad = str(tmp_path / "bad.pem")
    listen = ("--data", str(tmp_path / "x"), "--listen", "127.0.0.1:0")
    done = run(*listen, "--tls-cert", bad, "--tls-key", bad, TERALITY_ADMIN_KEY=ADMIN)
    assert done.returncode == 1 and "certificate" in done.stderr


def test_the_admin_key_is_made(tmp_path):
    scheduler = Scheduler(tmp_path / "data")
    process = subprocess.Popen(
        [str(daemons.path("terality-scheduler")), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    found = re.search(r"(http://\S+)$", process.stdout.readline().strip())
    path = tmp_path / "data" / "admin.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data" / "scheduler.db").stat().st_mode & 0o777 == 0o600
    scheduler.url = found[1]
    assert scheduler.api(path.read_text().strip()).get("/v1/accounts") == {"accounts": []}
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    process.stdout.close()
    path.chmod(0o644)
    assert "can be read by others" in run("--data", str(tmp_path / "data")).stderr


def test_two_schedulers_do_not_share_a_database(own_scheduler):
    done = run("--data", str(own_scheduler.folder), "--listen", "127.0.0.1:0", TERALITY_ADMIN_KEY=ADMIN)
    assert done.returncode == 1 and "locked" in done.stderr


def test_it_dies_with_its_parent(tmp_path):
    program = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\nprint(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    command = [str(daemons.path("terality-scheduler")), "--data", str(tmp_path / "d"), "--listen", "127.0.0.1:0"]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *command, "--die-with-parent"], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    def ended() -> bool:
        try:
            return "Z" in open(f"/proc/{child}/stat").read().rsplit(")", 1)[1]
        except FileNotFoundError:
            return True

    wait_for(ended)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_restart_in_the_middle_loses_nothing(own_scheduler, group_plan, end):
    tenant = Tenant(own_scheduler, "t")
    query = tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    first, second, *_ = tenant.lease()["tasks"]
    tenant.lease(want=0, reports=[report_of(first)])
    getattr(own_scheduler, end)()
    own_scheduler.start()
    # The worker goes on with what it has, the client with its query, on new connections.
    answer = tenant.api.get(f"/v1/queries/{query}")
    assert answer["state"] == "running" and answer["stages"][0]["done"] == 1
    assert tenant.lease(want=0, running=[second["lease"]])["cancel"] == []
    assert tenant.api.get(f"/v1/queries/{query}")["stages"][0]["running"] == 1
    assert tenant.lease(want=4, reports=[report_of(second)])["tasks"] == []
    time.sleep(0.5)
    tenant.work()
    answer = tenant.api.get(f"/v1/queries/{query}", wait_ms=1000)
    assert answer["state"] == "done"
    assert answer["stages"][0]["tasks"] == 4 and answer["stages"][0]["rows"] == 40
    own_scheduler.kill()
    own_scheduler.start()
    assert tenant.api.get(f"/v1/queries/{query}") == answer


def test_kills_at_any_instruction(own_scheduler, group_plan):
    """Workers and clients go on through twelve kills; every query that was accepted ends, with every task done once."""
    tenant = Tenant(own_scheduler, "t")
    queries: list[str] = []
    stop = threading.Event()

    def again(call):
        while not stop.is_set():
            try:
                return call()
            except (ConnectionError, TimeoutError, OSError):
                time.sleep(0.02)
        return None

    def work(name):
        api = own_scheduler.api(tenant.token)
        reports, tasks = [], []
        while not stop.is_set():
            api.url = own_scheduler.url
            body = {"worker": name, "want": 3, "wait_ms": 200, "reports": reports}
            body["running"] = [task["lease"] for task in tasks]
            answer = again(lambda body=body: api.post("/v1/lease", body))
            if answer is None:
                return
            reports = [report_of(task) for task in tasks]
            tasks = answer["tasks"]

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(12):
            for _ in range(3):
                queries.append(tenant.submit(group_plan, sources_of(group_plan), target_rows=25))
            time.sleep(0.05 + 0.013 * i)
            own_scheduler.kill()
            own_scheduler.start()

        def all_done():
            states = [tenant.api.get(f"/v1/queries/{query}") for query in queries]
            return states if all(s["state"] == "done" for s in states) else None

        for answer in wait_for(all_done, 300):
            assert answer["stages"][0]["rows"] == 40
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)


def test_a_full_disk(own_scheduler, group_plan):
    """Writes get a 503, reads go on, and when there is room again nothing is missing."""
    tenant = Tenant(own_scheduler, "t")
    query = tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    task = tenant.lease()["tasks"][0]
    size = sum(path.stat().st_size for path in own_scheduler.folder.iterdir())
    pid = own_scheduler.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (min(size, 4096), usual[1]))
    with pytest.raises(Refused, match="503 storage"):
        tenant.submit(group_plan, sources_of(group_plan))
    with pytest.raises(Refused, match="503 storage"):
        tenant.lease(want=0, reports=[report_of(task)])
    assert tenant.api.get(f"/v1/queries/{query}")["stages"][0]["done"] == 0
    resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
    assert tenant.lease(want=0, running=[task["lease"]], reports=[])["cancel"] == []
    tenant.lease(want=0, reports=[report_of(task)])
    assert tenant.api.get(f"/v1/queries/{query}")["stages"][0]["done"] == 1
    assert len(tenant.api.get("/v1/queries")["queries"]) == 1
    assert "nothing can be written" in own_scheduler.said()


def test_nothing_planted_is_kept(own_scheduler):
    """Literals of a plan, keys and tokens are in no file, log or metric of the scheduler."""
    planted = "Plantedvalue4711"
    text = (Path(__file__).resolve().parents[1] / "data" / "plans_v1" / "group.json").read_text().strip()
    text = text.replace('{"t":"str","v":"bb"}', f'{{"t":"str","v":"{planted}"}}')
    plan = _engine.seal_plan(text, KEY)
    assert planted in text and planted not in plan
    tenant = Tenant(own_scheduler, "t")
    tenant.submit(json.loads(plan), sources_of(plan))
    kept = own_scheduler.said().encode() + tenant.api.get("/metrics").encode()
    for path in own_scheduler.folder.iterdir():
        kept += path.read_bytes()
    for secret in (planted, tenant.key, tenant.token, ADMIN):
        assert secret.encode() not in kept


def test_one_port_is_one_schedulers(scheduler, tmp_path):
    """A second one must not take half of the first's requests."""
    done = run("--data", str(tmp_path / "other"), "--listen", f"127.0.0.1:{scheduler.port}")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {scheduler.port}" in done.stderr and "in use" in done.stderr
