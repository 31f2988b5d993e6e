"""Where the engine's keys for S3 come from: containers, instances, roles; in AWS' order, refreshed, never leaked."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator

import pytest
import terality

from tests.deploy import aws_double
from tests.deploy.machine_double import MachineDouble, running

buckets = itertools.count()


@pytest.fixture
def machine(monkeypatch, tmp_path) -> Iterator[MachineDouble]:
    """A machine of which the environment says nothing yet but where the bucket is."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with running() as model:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", model.url)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", model.url)
        yield model


def read() -> Exception:
    """Read from a new bucket, which refuses; give how."""
    with pytest.raises((OSError, ValueError, RuntimeError)) as caught:
        terality.read_parquet(f"s3://bucket-{next(buckets)}/x.parquet")
    return caught.value


def keys_of(machine: MachineDouble) -> tuple[str, str]:
    """Read; give the keys of the request."""
    machine.seen.clear()
    error = read()
    assert machine.seen, error
    return machine.seen[-1]


def test_an_instances_role(machine):
    assert keys_of(machine) == ("AKI1", "TI1")
    assert machine.asked[0] == ("PUT", "/latest/api/token")  # sessions only


def test_not_when_disabled(machine, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    error = read()
    assert isinstance(error, PermissionError) and "no AWS credentials" in str(error)
    assert "AWS_EC2_METADATA_DISABLED" in str(error) and not machine.asked


def test_nobody_there(machine, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    error = read()
    assert isinstance(error, PermissionError) and "no AWS credentials" in str(error)


def test_a_containers_endpoint_comes_first(machine, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("ey.secret\n")
    machine.authorization = "ey.secret"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{machine.url}/v2/credentials/1")
    assert "401" in str(read())
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "ey.secret")
    assert keys_of(machine) == ("AKC1", "TC1")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "other")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    assert keys_of(machine) == ("AKC2", "TC2")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "none"))
    assert isinstance(read(), FileNotFoundError)


def test_a_container_elsewhere_is_refused(machine, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.1.2.3/v2/credentials/1")
    assert "plain HTTP is only for" in str(read())


def test_an_identity_token(machine, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("ey.J.token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod")
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "me")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", machine.url)
    assert keys_of(machine) == ("AKW1", "TW1")
    [form] = machine.forms
    assert form["RoleArn"] == "arn:aws:iam::1:role/pod" and form["RoleSessionName"] == "me"
    assert form["Version"] == "2011-06-15"
    (tmp_path / "token").write_text("expired")
    error = read()
    assert isinstance(error, PermissionError) and "InvalidIdentityToken: bad token" in str(error)


def test_a_profiles_role(machine, monkeypatch, tmp_path):
    with aws_double.running() as sts:
        role = sts.role("reader", external_id="ex")
        (tmp_path / "credentials").write_text(
            f"[base]\naws_access_key_id={aws_double.OWN[0]}\naws_secret_access_key={aws_double.OWN[1]}\n"
        )
        text = f"role_arn={role}\nexternal_id=ex\nduration_seconds=900\nsource_profile=base\n"
        (tmp_path / "config").write_text(f"[profile reader]\n{text}[profile wrong]\nrole_arn={role}\n"
                                         "source_profile=base\n")  # fmt: skip
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        monkeypatch.setenv("AWS_PROFILE", "reader")
        access, token = keys_of(machine)
        assert sts.keys[access][1] == token and sts.owners[access].endswith("assumed-role/reader/session")
        assert not sts.bad
        monkeypatch.setenv("AWS_PROFILE", "wrong")
        error = read()
        assert isinstance(error, PermissionError) and "AccessDenied" in str(error) and role in str(error)
        assert aws_double.OWN[1] not in str(error)


def test_a_role_by_the_instances_keys(machine, monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[default]\nrole_arn=r\ncredential_source=Ec2InstanceMetadata\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", machine.url)
    read()
    assert machine.seen == [("AKI1", "TI1")]  # the request for the role, which this STS refuses


def test_keys_are_fetched_again_before_they_end(machine):
    machine.lifetime = 200  # less than five minutes: fetched again, but not with each request
    url = f"s3://bucket-{next(buckets)}/x.parquet"
    for _ in range(2):
        with pytest.raises(PermissionError):
            terality.read_parquet(url)
    first = {access for access, _ in machine.seen}
    time.sleep(6)
    with pytest.raises(PermissionError):
        terality.read_parquet(url)
    assert machine.seen[-1][0] not in first or machine.n > len(first)
    assert int(machine.seen[-1][0].removeprefix("AKI")) == machine.n
