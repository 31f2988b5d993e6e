"""A stand-in for AWS Lambda on this machine: the Invoke call, and the runtime API with its clock, freezes and kills.

It starts the bootstrap as a real process per execution environment, as many as there are invocations at a time, up to
the function's concurrency. What it does as AWS documents it:

- a real epoch in ``Lambda-Runtime-Deadline-Ms``; whoever has not answered by then is killed;
- an environment is frozen (SIGSTOP) as soon as it asks for the next invocation, and thawed (SIGCONT) for that;
- environments are used again, the latest first;
- ``Event`` invocations give 202 at once, ``RequestResponse`` ones wait; over the concurrency 429;
- ``/init/error``, or a process that ends, costs the invocation and the environment.

::

    python -m tests.deploy.lambda_double --port 9001 --function NAME=PATH_OF_BOOTSTRAP [--timeout 900]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUNTIME = re.compile(r"/2018-06-01/runtime/(init/error|invocation/next|invocation/([0-9a-f-]+)/(response|error))$")
INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations$")
INIT_SECONDS = 10.0


@dataclass
class Invocation:
    """One call of a function and what became of it."""

    payload: bytes
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    deadline: float = 0.0
    result: bytes = b""
    error: str | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def settle(self, result: bytes, error: str | None = None) -> None:
        if not self.done.is_set():
            self.result, self.error = result, error
            self.done.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    owner: Any


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: object = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


class _RuntimeApi(_Answers):
    """What an environment's process sees."""

    def do_GET(self) -> None:
        environment: Environment = self.server.owner
        found = RUNTIME.match(self.path)
        if not found or found[1] != "invocation/next":
            self.answer(404, {"errorMessage": "not found", "errorType": "InvalidPath"})
            return
        invocation = environment.wait_for_work()
        if invocation is None:
            self.close_connection = True
            return
        self.answer(
            200,
            invocation.payload,
            Lambda_Runtime_Aws_Request_Id=invocation.id,
            Lambda_Runtime_Deadline_Ms=str(int(invocation.deadline * 1000)),
            Lambda_Runtime_Invoked_Function_Arn=environment.function.arn,
            Lambda_Runtime_Trace_Id="Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        )

    def do_POST(self) -> None:
        environment: Environment = self.server.owner
        found, body = RUNTIME.match(self.path), self.body()
        if not found:
            self.answer(404, {"errorMessage": "not found", "errorType": "InvalidPath"})
        elif found[1] == "init/error":
            environment.initial_error(body)
            self.answer(202, {"status": "OK"})
        elif environment.finish(found[2], body, found[3] == "error"):
            self.answer(202, {"status": "OK"})
        else:
            self.answer(400, {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"})


class Environment:
    """An execution environment: a process, its runtime API, and what it works on."""

    def __init__(self, function: Function):
        self.function, self.version, self.timeout = function, function.version, function.timeout
        self.changed = threading.Condition()
        self.current: Invocation | None = None  # taken by the process
        self.waiting: Invocation | None = None  # to be taken
        self.asks = False
        self.frozen = False
        self.dead = False
        self.init_error: bytes | None = None
        self.server = _Server(("127.0.0.1", 0), _RuntimeApi)
        self.server.owner = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.started = time.monotonic()
        settings = {
            **function.environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
        }
        self.process = subprocess.Popen(
            function.command, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        threading.Thread(target=self._collect, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _collect(self) -> None:
        for line in self.process.stdout:
            self.function.log.append(line.decode(errors="replace").rstrip("\n"))

    def _watch(self) -> None:
        """Kill at the deadline, and notice an end."""
        while self.process.poll() is None:
            time.sleep(0.01)
            with self.changed:
                busy = self.current or self.waiting
                if busy and busy.deadline and time.time() >= busy.deadline:
                    self.function.timeouts += 1
                    self.fail({"errorMessage": f"{busy.id} Task timed out", "errorType": "Sandbox.Timedout"})
                elif busy and not self.current and time.monotonic() - self.started > INIT_SECONDS and not self.asks:
                    self.fail({"errorMessage": "init timed out", "errorType": "Sandbox.Timedout"})
        with self.changed:
            text = {"errorMessage": f"RequestId: exited ({self.process.returncode})", "errorType": "Runtime.ExitError"}
            self.fail(json.loads(self.init_error) if self.init_error else text)

    def fail(self, error: dict) -> None:
        """Under the lock: the environment is lost, and what it works on."""
        self.dead = True
        for invocation in (self.current, self.waiting):
            if invocation:
                invocation.settle(json.dumps(error).encode(), "Unhandled")
        self.current = self.waiting = None
        self.changed.notify_all()
        if self.process.poll() is None:
            self.process.kill()
        self.function.gone(self)

    def give(self, invocation: Invocation) -> None:
        """Hand over an invocation: thaw."""
        with self.changed:
            if self.dead:
                invocation.settle(b'{"errorType":"Runtime.ExitError"}', "Unhandled")
                return
            if self.frozen:
                os.kill(self.process.pid, signal.SIGCONT)
                self.frozen = False
            self.waiting = invocation
            # The time of the first start does not count; a thaw does.
            if self.asks:
                invocation.deadline = time.time() + self.timeout
            self.changed.notify_all()

    def wait_for_work(self) -> Invocation | None:
        """Serve /next: freezes while there is nothing to do."""
        with self.changed:
            self.asks = True
            while not self.waiting and not self.dead:
                if not self.frozen and self.function.freezes and self.process.poll() is None:
                    os.kill(self.process.pid, signal.SIGSTOP)
                    self.frozen = True
                self.function.idle(self)
                self.changed.wait()
            if self.dead:
                return None
            self.current, self.waiting = self.waiting, None
            if not self.current.deadline:
                self.current.deadline = time.time() + self.timeout
            self.asks = False
            return self.current

    def finish(self, request: str, body: bytes, failed: bool) -> bool:
        with self.changed:
            if not self.current or self.current.id != request:
                return False
            self.current.settle(body, "Unhandled" if failed else None)
            self.current = None
            return True

    def initial_error(self, body: bytes) -> None:
        with self.changed:
            self.init_error = body

    def freeze(self) -> None:
        """Stop it in the middle of an invocation, as a pause of the machine would."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        with self.changed:
            self.dead = True
            self.changed.notify_all()
        self.process.kill()
        self.process.wait()
        self.server.shutdown()
        self.server.server_close()


class Function:
    """A function: its program, settings and environments."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], **limits: float):
        self.name, self.command, self.environment = name, command, environment
        self.timeout = float(limits.get("timeout", 900))
        self.memory_mb = int(limits.get("memory_mb", 1769))
        self.concurrency = int(limits.get("concurrency", 1000))
        self.start_delay = float(limits.get("start_delay", 0))
        self.freezes = True
        self.arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
        self.log: list[str] = []
        self.environments: list[Environment] = []
        self.free: list[Environment] = []
        self.lock = threading.Lock()
        self.starting = 0
        self.version = 0
        self.throttles = self.timeouts = self.starts = 0
        self.invocations: list[Invocation] = []

    def idle(self, environment: Environment) -> None:
        with self.lock:
            if environment.version != self.version:
                environment.process.kill()  # of before an update
            elif environment not in self.free:
                self.free.append(environment)

    def gone(self, environment: Environment) -> None:
        with self.lock:
            if environment in self.free:
                self.free.remove(environment)
            if environment in self.environments:
                self.environments.remove(environment)
                threading.Thread(target=environment.server.shutdown, daemon=True).start()

    def busy(self) -> int:
        with self.lock:
            return len(self.environments) + self.starting - len(self.free)

    def invoke(self, payload: bytes) -> Invocation | None:
        """Start an invocation; None when there are too many."""
        invocation = Invocation(payload)
        with self.lock:
            if len(self.environments) + self.starting - len(self.free) >= self.concurrency:
                self.throttles += 1
                return None
            self.invocations.append(invocation)
            environment = self.free.pop() if self.free else None
            self.starting += environment is None
        if environment:
            environment.give(invocation)
        else:
            threading.Thread(target=self._start, args=(invocation,), daemon=True).start()
        return invocation

    def _start(self, invocation: Invocation) -> None:
        time.sleep(self.start_delay)
        with self.lock:
            environment = Environment(self)
            self.environments.append(environment)
            self.starting -= 1
            self.starts += 1
        environment.give(invocation)

    def change(self, **limits: float) -> None:
        """Take another timeout or concurrency; as after an update no environment of before is used again."""
        with self.lock:
            self.version += 1
            free, self.free = self.free, []
            self.environments = [one for one in self.environments if one not in free]
            for name, value in limits.items():
                setattr(self, name, value)
        for environment in free:
            environment.stop()

    def stop(self) -> None:
        for environment in list(self.environments):
            environment.stop()


class _ControlApi(_Answers):
    """What callers of AWS Lambda see."""

    def do_POST(self) -> None:
        double: LambdaDouble = self.server.owner
        found, payload = INVOKE.match(self.path.split("?")[0]), self.body()
        double.requests.append((self.path, dict(self.headers.items())))
        function = double.functions.get(found[1].rsplit(":", 1)[-1]) if found else None
        if function is None:
            self.refuse(404, "ResourceNotFoundException", f"Function not found: {found[1] if found else self.path}")
            return
        invocation = function.invoke(payload)
        if invocation is None:
            self.refuse(429, "TooManyRequestsException", "Rate Exceeded.", Reason="ConcurrentInvocationLimitExceeded")
        elif self.headers.get("X-Amz-Invocation-Type") == "Event":
            self.answer(202, b"", x_amzn_RequestId=invocation.id)
        else:
            invocation.done.wait()
            headers = {"X_Amz_Function_Error": invocation.error} if invocation.error else {}
            self.answer(200, invocation.result, x_amzn_RequestId=invocation.id, **headers)

    def refuse(self, status: int, kind: str, message: str, **more: str) -> None:
        self.answer(status, {"Type": "User", "message": message, **more}, x_amzn_ErrorType=kind)


class LambdaDouble:
    """The service: functions by name, and a server on loopback that invokes them."""

    def __init__(self, port: int = 0):
        self.functions: dict[str, Function] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.server = _Server(("127.0.0.1", port), _ControlApi)
        self.server.owner = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name: str, command: list[str], environment: dict[str, str], **limits: float) -> Function:
        """
        Make a function.

        Parameters
        ----------
        name : str
            What it is invoked by.
        command : list of str
            The bootstrap.
        environment : dict
            All of its environment; the runtime's own variables are added.
        **limits : float
            ``timeout`` (seconds), ``memory_mb``, ``concurrency``, ``start_delay`` (seconds before a process starts).
        """
        self.functions[name] = Function(name, command, environment, **limits)
        return self.functions[name]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        for function in self.functions.values():
            function.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--function", action="append", required=True, metavar="NAME=BOOTSTRAP")
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--concurrency", type=int, default=1000)
    given = parser.parse_args()
    double = LambdaDouble(given.port)
    for text in given.function:
        name, _, program = text.partition("=")
        double.add(name, [program], dict(os.environ), timeout=given.timeout, concurrency=given.concurrency)
    print(f"lambda: {double.url}", flush=True)
    try:
        signal.pause()
    finally:
        double.stop()


if __name__ == "__main__":
    main()
