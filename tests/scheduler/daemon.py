"""A scheduler for a test, and a client that holds every answer against the description that the scheduler serves."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import sqlite3
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import jsonschema
from terality import daemons

ADMIN = "admin-key-for-tests"
DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text())


class Refused(Exception):
    """An answer that is no 2xx."""

    def __init__(self, status: int, error: dict):
        super().__init__(f"{status} {error['code']}: {error['message']}")
        self.status, self.code, self.message = status, error["code"], error["message"]


def template_of(path: str) -> str:
    """Give the path of the document that this path is one of."""
    for template in DOCUMENT["paths"]:
        if re.fullmatch(re.sub(r"\{id\}", "[^/]+", template), path):
            return template
    raise KeyError(path)


def check_against(schema: dict, value: object) -> None:
    """Fail when the value is not what the schema of the document says."""
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


class Api:
    """Calls of one holder of a key."""

    def __init__(self, url: str, key: str | None, version: str | None = "1", cafile: str | None = None):
        self.url, self.key, self.version, self.cafile = url, key, version, cafile
        self.connection: http.client.HTTPConnection | None = None

    def connect(self) -> http.client.HTTPConnection:
        at = urlsplit(self.url)
        if at.scheme == "https":
            context = ssl.create_default_context(cafile=self.cafile)
            return http.client.HTTPSConnection(at.hostname, at.port, timeout=120, context=context)
        return http.client.HTTPConnection(at.hostname, at.port, timeout=120)

    def raw(self, method: str, target: str, body: bytes | None = None, headers: dict | None = None):
        """Send as it is; give (status, headers, body)."""
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if self.version:
            sent["Terality-Version"] = self.version
        for attempt in range(2):
            if self.connection is None:
                self.connection = self.connect()
            try:
                self.connection.request(method, target, body, {**sent, **(headers or {})})
                reply = self.connection.getresponse()
                return reply.status, reply.headers, reply.read()
            except (ConnectionError, http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = None
                if attempt:
                    raise
        raise AssertionError

    def call(self, method: str, path: str, body: object = None, **params: object):
        """Send, check the answer against the document, give its JSON; raise Refused."""
        target = path + ("?" + urlencode(params) if params else "")
        data = None if body is None else json.dumps(body).encode()
        status, headers, text = self.raw(method, target, data)
        assert re.fullmatch("[0-9a-f]{16}", headers["X-Request-Id"])
        assert headers["Terality-Version"] == "1"
        value = json.loads(text) if headers["Content-Type"] == "application/json" else text.decode()
        if status >= 400:
            check_against(DOCUMENT["components"]["schemas"]["Error"], value)
            assert value["error"]["request_id"] == headers["X-Request-Id"]
            raise Refused(status, value["error"])
        operation = DOCUMENT["paths"][template_of(path)][method.lower()]
        answer = operation["responses"][str(status)]["content"][headers["Content-Type"].split(";")[0]]
        check_against(answer["schema"], value)
        if body is not None:
            check_against(operation["requestBody"]["content"]["application/json"]["schema"], body)
        return value

    def get(self, path: str, **params: object):
        return self.call("GET", path, **params)

    def post(self, path: str, body: object):
        return self.call("POST", path, body)

    def delete(self, path: str, **params: object):
        return self.call("DELETE", path, **params)


class Scheduler:
    """A daemon with a folder of its own; `restart` and `kill` leave the folder as it is."""

    def __init__(self, folder: Path, *arguments: str):
        self.folder, self.arguments = folder, arguments
        self.process: subprocess.Popen | None = None
        self.url = ""
        self.port = 0

    def start(self, **environment: str) -> Scheduler:
        command = [str(daemons.path("terality-scheduler")), "--data", str(self.folder), "--die-with-parent"]
        command += ["--listen", f"127.0.0.1:{self.port}", *self.arguments]
        # What a sanitizer says at the end (leaks too) is the exit status.
        settings = {"TERALITY_ADMIN_KEY": ADMIN, "ASAN_OPTIONS": "detect_leaks=1:exitcode=66"}
        self.log = (self.folder.parent / f"{self.folder.name}.log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, **settings, **environment}
        )
        line = self.process.stdout.readline().decode()
        found = re.search(r"(https?://\S+):(\d+)$", line.strip())
        assert found, f"no start: {line} {self.said()}"
        self.url, self.port = f"{found[1]}:{found[2]}", int(found[2])
        return self

    def said(self) -> str:
        """What it wrote to stderr."""
        return (self.folder.parent / f"{self.folder.name}.log").read_text()

    def stop(self) -> None:
        """End it in good order, and look whether it did."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        status = process.wait(120)
        process.stdout.close()
        assert status == 0, f"ended with {status}: {self.said()}"

    def kill(self) -> None:
        """End it at whatever instruction it is."""
        process, self.process = self.process, None
        process.kill()
        process.wait()
        process.stdout.close()

    def contents(self) -> dict[str, list[tuple]]:
        """What is in its database, by table."""
        path = self.folder / "scheduler.db"
        # The daemon holds its database alone; its files may be copied.
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as copy:
            for name in ("scheduler.db", "scheduler.db-wal"):
                there = path.parent / name
                (Path(copy) / name).write_bytes(there.read_bytes() if there.exists() else b"")
            with contextlib.closing(sqlite3.connect(Path(copy) / "scheduler.db")) as db:
                tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
                return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables}

    def api(self, key: str | None = ADMIN, **settings: object) -> Api:
        return Api(self.url, key, **settings)


class Tenant:
    """An account with a deployment."""

    def __init__(self, scheduler: Scheduler, name: str):
        account = scheduler.api().post("/v1/accounts", {"name": name})
        self.account, self.key = account["id"], account["key"]["key"]
        self.api = scheduler.api(self.key)
        deployment = self.api.post("/v1/deployments", {"name": "main"})
        self.deployment, self.token = deployment["id"], deployment["token"]
        self.worker = scheduler.api(self.token)

    def submit(self, plan: object, sources: list, **options: object) -> str:
        body = {"deployment": "main", "plan": plan, "manifest": "m1", "sources": sources, "options": options}
        return self.api.post("/v1/queries", body)["query"]

    def lease(self, name: str = "w1", want: int = 100, **more: object) -> dict:
        return self.worker.post("/v1/lease", {"worker": name, "want": min(want, 64), "wait_ms": 0, **more})

    def work(self, name: str = "w1", stop_after: int = 10**9, rows: int = 10) -> int:
        """Do tasks until there are none; give how many."""
        reports: list = []
        done = 0
        while done < stop_after:
            answer = self.lease(name, 8, reports=reports)
            done += len(reports)
            if not answer["tasks"]:
                break
            reports = [report_of(task, rows) for task in answer["tasks"]]
        return done


def report_of(task: dict, rows: int = 10) -> dict:
    """Give the report of a task that went well."""
    output = task["fragment"]["output"]
    parts = 1 if output["by"] in ("none", "result") else output["parts"]
    return {
        **{name: task[name] for name in ("query", "stage", "task", "attempt")},
        "ok": True,
        "rows": rows,
        "seconds": 0.01,
        "segment_rows": [rows] + [0] * (parts - 1),
        "segment_bytes": [rows * 8] + [0] * (parts - 1),
    }


def wait_for(condition, seconds: float = 120.0):
    """Give what the condition gives, once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value
