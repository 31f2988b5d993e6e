"""A scheduler in the account, in one command: made with its stack, booted by its own user data, asked for its ids.

The scheduler is the program of the uploaded tar; nothing but the stand-ins' account (standins.py) starts it.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from terality.cli import main
from terality.remote.api import Api

from tests.store.servers import free_ports

from . import standins
from .standins import Cloud, cloud

ROOT = Path(__file__).resolve().parents[2]
NAME, DOMAIN = "home", "terality.example"


class Home:
    """An account and its user; there is no scheduler but the one that will be in the account."""

    def __init__(self, account: Cloud, folder: Path):
        self.account, self.folder = account, folder
        self.url = f"https://localhost:{free_ports(1)}"
        self.certificate, self.key = self.make_certificate("first")
        account.hosts, account.certificates = {f"https://{DOMAIN}": self.url}, str(self.certificate)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TERALITY_"))},
            **account.environment(),
            "TERALITY_HOME": str(folder / "home"),
            "TERALITY_ARTIFACTS": str(standins.make_artifacts(folder / "artifacts")),
            "TERALITY_QUIET": "1",
            "SSL_CERT_FILE": str(self.certificate),
        }

    def make_certificate(self, name: str) -> tuple[Path, Path]:
        """Make one for the scheduler's name."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
             "-addext", f"subjectAltName=DNS:localhost,DNS:{DOMAIN}", "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        return certificate, key

    def terality(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "terality.cli", *words], env=self.environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        faults = "".join(self.account.faults_of_ours)
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{faults}"
        return done.stdout + done.stderr

    def deploy(self, *words: str, status: int = 0) -> str:
        given = ["--name", NAME, "--yes", "--poll-seconds", "0.1", "--architecture", "x86_64", "--in-account-scheduler"]
        given += ["--scheduler", self.url, "--wait-minutes", "2"]
        return self.terality("deploy", "aws", *given, *words, status=status)

    @property
    def profile(self) -> dict[str, str]:
        found = configparser.ConfigParser(interpolation=None, default_section="")
        found.read(self.folder / "home" / "config")
        return dict(found[NAME]) if found.has_section(NAME) else {}

    def parameters(self) -> dict[str, str]:
        """What the stack was given."""
        (about,) = self.account.client("cloudformation").describe_stacks()["Stacks"]
        return {one["ParameterKey"]: one["ParameterValue"] for one in about["Parameters"]}

    def secrets(self) -> dict[str, dict[str, Any]]:
        """The parameter store, by the last parts of names."""
        ssm = self.account.client("ssm")
        found = ssm.get_parameters_by_path(Path=f"/terality/{NAME}", Recursive=True, WithDecryption=True)["Parameters"]
        return {one["Name"].rpartition("/")[2]: one for one in found}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    with cloud(folder) as account:
        yield Home(account, folder)


@pytest.fixture
def here(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `terality deploy aws` in this process, which saves its start; give what it printed."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "TERALITY_"))]:
        monkeypatch.delenv(name)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        given = ["--name", NAME, "--architecture", "x86_64", "--in-account-scheduler"]
        assert main(["deploy", "aws", *given, *words]) == status
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def test_what_is_wrong_is_said_before_anything_is_made(home: Home, here: Callable[..., str]):
    certificate, key = str(home.certificate), str(home.key)
    assert "needs a host name: give --scheduler-domain" in here(status=1)
    domain = ["--scheduler-domain", DOMAIN]
    assert "needs a certificate that clients and workers trust" in here(*domain, status=1)
    said = here(*domain, "--scheduler-certificate", certificate, status=1)
    assert "--scheduler-certificate and --scheduler-key go together" in said
    _, other = home.make_certificate("other")
    said = here(*domain, "--scheduler-certificate", certificate, "--scheduler-key", str(other), status=1)
    assert "are no certificate and its key" in said
    said = here(*domain, "--scheduler-certificate", certificate, "--scheduler-key", key, "--dry-run")
    assert "about 18 USD a month" in said and "dry run: nothing was made or changed" in said
    assert f"at https://{DOMAIN}, costs all the time" in said and "SchedulerGroup" in said
    assert home.secrets() == {} and home.account.client("cloudformation").describe_stacks()["Stacks"] == []
    said = here("--template-only")
    assert said.startswith((ROOT / "deploy" / "aws" / "template.yaml").read_text())
    assert "about 18 USD a month" in said and f"SecureString parameters /terality/{NAME}/scheduler/certificate" in said


def test_from_nothing_to_answers_although_it_was_broken_off(home: Home):
    """The scheduler's name leads nowhere at first: the command ends, and the same command goes on."""
    home.account.hosts = {f"https://{DOMAIN}": f"https://localhost:{free_ports(1)}"}
    files = ["--scheduler-certificate", str(home.certificate), "--scheduler-key", str(home.key)]
    said = home.deploy("--scheduler-domain", DOMAIN, *files, "--wait-minutes", "0.02", status=1)
    assert "the same command goes on from here" in said and "no scheduler answers" in said
    made = home.secrets()
    assert set(made) == {"certificate", "key", "admin-key"} and {o["Type"] for o in made.values()} == {"SecureString"}
    assert made["certificate"]["Value"] == home.certificate.read_text()
    assert home.parameters()["DeploymentId"] == "" and home.profile == {}

    home.account.hosts = {f"https://{DOMAIN}": home.url}
    (old,) = [machine for machine in home.account.machines.values() if machine.kind == "scheduler"]
    home.account.interrupt(old)  # its group makes another, which takes disk and address
    said = home.deploy()
    assert f"{home.url} answers" in said and "smoke query: 200,000 rows in 97 groups, pandas' answer" in said
    assert 'connect:  terality.connect(profile="home")' in said
    assert {name: one["Version"] for name, one in home.secrets().items()} == {n: o["Version"] for n, o in made.items()}
    api = Api(home.url, home.profile["api_key"])
    (one,) = [d for d in _with(home, api) if d["name"] == NAME]
    assert home.parameters()["DeploymentId"] == one["id"] == home.profile["deployment"]
    assert home.account.refused == [] and home.account.faults_of_ours == [] and home.account.bad == []


def _with(home: Home, api: Api) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(home.certificate))
        return list(api.get("/v1/deployments")["deployments"])


def test_again_changes_nothing_and_a_lost_profile_gets_a_key(home: Home):
    before = home.profile
    (home.folder / "home" / "config").unlink()
    said = home.deploy("--no-smoke")
    assert "the stack is updated with its id" not in said
    assert home.profile["deployment"] == before["deployment"] and home.profile["api_key"] != before["api_key"]
    said = home.terality("deploy", "aws", "--name", NAME, "--yes", "--architecture", "x86_64", status=1)
    assert "holds its own scheduler: give --in-account-scheduler" in said


def test_destroy_takes_scheduler_and_secrets(home: Home):
    said = home.terality("destroy", "aws", "--name", NAME, "--yes", "--poll-seconds", "0.1")
    assert "the disk with its database is kept as a snapshot" in said and said.rstrip().endswith("access is gone")
    assert home.account.client("cloudformation").describe_stacks()["Stacks"] == []
    assert home.secrets() == {} and home.profile == {}
    assert home.account.faults_of_ours == []
