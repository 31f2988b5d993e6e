"""A small AWS inside namespaces of its own, for workers that take their settings from fixed places only.

``unshare --net --mount python -m tests.deploy.fixed_world ecs|ec2 FOLDER WHAT`` makes the addresses that AWS has (the
container agent's, the instance metadata's), names and certificates of S3 and STS, a real S3 server and a scheduler.
Starts ``terality-worker --fixed`` there with an environment and arguments that want it to do something else, and prints
what happened as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.deploy import aws_double
from tests.deploy.machine_double import MachineDouble, iso, serve
from tests.store.servers import KEY, SECRET, versitygw_binary

REGION = "eu-west-1"
HOSTS = f"""127.0.0.1 localhost
127.0.0.2 sts.{REGION}.amazonaws.com
127.0.0.3 s3.{REGION}.amazonaws.com data-of-one.s3.{REGION}.amazonaws.com
"""
TOKEN = "session-token-of-the-role"
EVIL = {
    "TERALITY_SCHEDULER": "http://127.0.0.9:9",
    "TERALITY_STORE": "/tmp/elsewhere",
    "TERALITY_WORKER_TOKEN": "trw_evil",
    "TERALITY_CA_FILE": "/nowhere",
    "AWS_ENDPOINT_URL": "http://127.0.0.9:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.9:9",
    "AWS_ACCESS_KEY_ID": "AKEVIL",
    "AWS_SECRET_ACCESS_KEY": "SKEVIL",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.9:9/",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.9:9/",
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.9:9",
    "HTTPS_PROXY": "http://127.0.0.9:9",
    "http_proxy": "http://127.0.0.9:9",
    "SSL_CERT_FILE": "/dev/null",
    "CURL_CA_BUNDLE": "/dev/null",
    "OPENSSL_CONF": "/dev/null",
    "LD_LIBRARY_PATH": "/tmp",
}


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def make_network() -> None:
    run("ip", "link", "set", "lo", "up")
    for address in ("169.254.170.2", "169.254.169.254"):
        run("ip", "address", "add", f"{address}/32", "dev", "lo")


def make_etc(folder: Path, conf: str | None) -> ssl.SSLContext:
    """Put a copy over /etc, with our hosts and a certificate that is trusted; give a server's TLS settings."""
    etc = folder / "etc"
    etc.mkdir()
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"):
        source = Path("/etc") / name
        if source.is_dir():
            shutil.copytree(source, etc / name, symlinks=True)
        elif source.exists():
            shutil.copy2(source, etc / name)
    (etc / "hosts").write_text(HOSTS)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = f"DNS:sts.{REGION}.amazonaws.com,DNS:s3.{REGION}.amazonaws.com,DNS:*.s3.{REGION}.amazonaws.com"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=test", "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out",
        str(certificate))  # fmt: skip
    # Where a container has the certificates of its image, and Amazon Linux its own.
    trusted = etc / ("ssl/certs/ca-certificates.crt" if conf is None else "pki/tls/certs/ca-bundle.crt")
    trusted.parent.mkdir(parents=True)
    shutil.copy(certificate, trusted)
    if conf is not None:
        (etc / "terality").mkdir()
        (etc / "terality" / "worker.conf").write_text(conf)
    run("mount", "--make-rprivate", "/")
    run("mount", "--bind", str(etc), "/etc")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class RoleKeys(MachineDouble):
    """The keys are those of the S3 server, with a session's token."""

    def keys(self, prefix: str) -> dict[str, str]:
        self.n += 1
        return {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": iso(self.lifetime)}


class Front(ThreadingHTTPServer):
    """S3 under its name: takes the session's token, which the server behind does not know, off and signs anew."""

    daemon_threads = True
    request_queue_size = 64


class FrontHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        assert f"Credential={KEY}/" in headers["authorization"]
        assert headers.get("x-amz-security-token", TOKEN) == TOKEN
        bucket = headers["host"].split(".")[0]
        kept = {name: value for name, value in headers.items() if name.startswith(("if-", "range", "content-type"))}
        request = AWSRequest(self.command, f"http://127.0.0.1:7070/{bucket}{self.path}", kept, body)
        S3SigV4Auth(Credentials(KEY, SECRET), "s3", REGION).add_auth(request)
        behind = http.client.HTTPConnection("127.0.0.1", 7070, timeout=60)
        behind.request(self.command, f"/{bucket}{self.path}", body, dict(request.headers.items()))
        reply = behind.getresponse()
        data = reply.read()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        length = reply.headers["Content-Length"] if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(data)
        behind.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class World:
    """Everything but the worker."""

    def __init__(self, place: str, folder: Path):
        from tests.scheduler.daemon import Scheduler, Tenant
        from tests.scheduler.test_aws_settings import SETTINGS

        self.place, self.folder = place, folder
        make_network()
        (folder / "elsewhere").mkdir()
        self.conf = folder / "etc" / "terality" / "worker.conf"
        self.tls = make_etc(folder, "" if place == "ec2" else None)
        self.machine = RoleKeys()
        serve(self.machine, "169.254.170.2" if place == "ecs" else "169.254.169.254", 80)
        self.sts = aws_double.AwsDouble()
        self.sts.__enter__()
        self.sts.keys[KEY] = (SECRET, TOKEN)
        self.sts.owners[KEY] = f"arn:aws:sts::{aws_double.ACCOUNT}:assumed-role/terality-one-worker-{place}/s"
        self.serve_sts()
        self.start_s3()
        self.scheduler = Scheduler(folder / "data", "--lease-ms", "4000", "--aws-endpoint", self.sts.url).start()
        self.tenant = Tenant(self.scheduler, "tenant")
        self.tenant.api.call("PUT", "/v1/deployments/main/aws", SETTINGS)
        self.settings = {
            "TERALITY_SCHEDULER": self.scheduler.url,
            "TERALITY_DEPLOYMENT": self.tenant.deployment,
            "TERALITY_STORE": "s3://data-of-one",
            "TERALITY_WORKER_KIND": place,
            "TERALITY_REGION": REGION,
            "TERALITY_IDLE_SECONDS": "3",
        }
        if place == "ec2":
            lines = [f"{name}={value}" for name, value in self.settings.items()]
            self.conf.write_text("\n".join(["# the launch template's", *lines, "TERALITY_WORKER_TOKEN=trw_no", ""]))
        else:
            labels = {name.lower().replace("_", "."): value for name, value in self.settings.items()}
            self.machine.labels.update(labels)

    def serve_sts(self) -> None:
        """The double's own server, once more, under the name and with the certificate of AWS' STS."""
        double = self.sts
        server = type(double.server)(("127.0.0.2", 443), double.server.RequestHandlerClass)
        server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def start_s3(self) -> None:
        data = self.folder / "s3"
        (data / "data-of-one").mkdir(parents=True)
        self.s3 = subprocess.Popen(
            [str(versitygw_binary()), "--access", KEY, "--secret", SECRET, "--port", "127.0.0.1:7070", "--region",
             REGION, "--quiet", "posix", str(data)],
            stdout=subprocess.DEVNULL, stderr=(self.folder / "s3.log").open("wb"),
        )  # fmt: skip
        front = Front(("127.0.0.3", 443), FrontHandler)
        front.socket = self.tls.wrap_socket(front.socket, server_side=True)
        threading.Thread(target=front.serve_forever, daemon=True).start()

    def worker(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen:
        from terality import daemons

        told = {
            "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/0123",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/0123",
        }
        command = [str(daemons.path("terality-worker")), "--fixed", self.place, *arguments]
        given = {**os.environ, **(told if self.place == "ecs" else {})}
        given |= EVIL if environment is None else environment
        return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def query(self) -> list[float]:
        import pandas
        import terality

        os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
        frame = pandas.DataFrame({"k": [1, 2] * 500, "v": [0.5] * 1000})
        frame.to_parquet(self.folder / "t.parquet", row_group_size=250)
        terality.connect(
            self.scheduler.url, api_key=self.tenant.key, deployment=self.tenant.deployment, store="s3://data-of-one",
            min_rows=0, options={"target_rows": 250},
        )  # fmt: skip
        result = terality.read_parquet(str(self.folder / "t.parquet")).groupby("k", as_index=False)["v"].sum()
        terality.execute(result)
        terality.disconnect()
        return [float(value) for value in result["v"]]

    def stop(self) -> None:
        self.scheduler.stop()
        self.s3.kill()
        self.s3.wait()


def query_or_tell(world: World, process: subprocess.Popen) -> list[float]:
    try:
        return world.query()
    except Exception:
        process.kill()
        print(process.communicate()[1], file=sys.stderr)
        raise


def works(world: World) -> dict[str, Any]:
    """It works for whom the fixed settings say."""
    process = world.worker("--fixed", "ec2", "--name", "evil", "--idle-seconds", "1")
    time.sleep(0.5)
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    answer = query_or_tell(world, process)
    workers = world.tenant.api.get("/v1/workers", deployment="main")["workers"]
    out, err = process.communicate(timeout=60)
    return {
        "answer": answer,
        "environment": sorted(entry.decode().split("=")[0] for entry in environment if entry),
        "workers": [{name: worker[name] for name in ("worker", "kind", "instance")} for worker in workers],
        "status": process.returncode,
        "out": out.splitlines(),
        "err": err,
        "asked": world.machine.asked,
        "identities": [call.who for call in world.sts.made("sts", "GetCallerIdentity")],
    }


def spot(world: World) -> dict[str, Any]:
    """A notice comes; the worker ends by itself."""
    text = world.conf.read_text().replace("TERALITY_IDLE_SECONDS=3", "TERALITY_IDLE_SECONDS=600")
    world.conf.write_text(text)
    process = world.worker()
    answer = query_or_tell(world, process)
    world.machine.notice = {"action": "terminate", "time": iso(120)}
    _, err = process.communicate(timeout=90)
    return {"answer": answer, "status": process.returncode, "err": err}


def refused(world: World) -> dict[str, Any]:
    """What it does not take."""
    said = {}

    def note(name: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        _, err = world.worker(*arguments, environment=environment).communicate(timeout=60)
        said[name] = err

    if world.place == "ecs":
        note("other address", environment={"ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.9:80/v4/1"})
        note("looks alike", environment={"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2.evil/v4/1"})
        note("user part", environment={"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2@127.0.0.9/v4/1"})
        del world.machine.labels["terality.store"]
        note("no store")
        return said
    text = world.conf.read_text()
    world.conf.chmod(0o666)
    note("writable")
    world.conf.chmod(0o644)
    world.conf.write_text("what is this\n")
    note("no line")
    world.conf.write_text(text.replace("TERALITY_DEPLOYMENT", "TERALITY_OTHER"))
    note("no deployment")
    world.conf.write_text(text.replace("http://127.0.0.1", "http://127x.example"))
    note("no TLS")
    world.conf.unlink()
    note("no file")
    return said


def main() -> None:
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        os.environ.pop(name, None)
    place, folder, what = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    world = World(place, folder)
    try:
        print(json.dumps({"works": works, "spot": spot, "refused": refused}[what](world)), flush=True)
    finally:
        world.stop()


if __name__ == "__main__":
    main()
