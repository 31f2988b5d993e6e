"""The steps of a deployment, one by one, against moto: bucket and artifacts, change sets, a stack's end, the sweep."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from terality.deploy import sweep, uploads
from terality.deploy.account import Account, open_account
from terality.deploy.image import INDEX
from terality.deploy.stack import Change, Stack, StackFailed

from . import servers
from .registry_double import PASSWORD, USER, RegistryDouble
from .test_image import make_tar

TEMPLATE = """
Parameters:
  Days: {Type: Number, Default: 1}
Resources:
  Kept:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties: {BucketName: terality-small-data}
  Logs:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: /terality/small, RetentionInDays: !Ref Days}
  Cluster:
    Type: AWS::ECS::Cluster
    Properties: {ClusterName: terality-small, Tags: [{Key: 'terality:deployment', Value: small}]}
Outputs:
  Bucket: {Value: !Ref Kept}
"""


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with servers.moto() as url:
        yield url


@pytest.fixture
def account(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    for name, value in {
        "AWS_ENDPOINT_URL": moto_url, "AWS_ACCESS_KEY_ID": "AKUSER", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return open_account("eu-west-1")


@pytest.fixture
def artifacts(tmp_path: Path) -> uploads.Artifacts:
    make_tar(tmp_path / "worker-arm64.tar.gz", b"worker")
    (tmp_path / "worker-arm64.zip").write_bytes(b"zip")
    return uploads.find_artifacts(tmp_path, ["worker-arm64.zip", "worker-arm64.tar.gz"], "0.1.0")


def test_who_and_where(account, monkeypatch):
    assert account.number == "123456789012" and account.region == "eu-west-1" and account.partition == "aws"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ValueError, match="no AWS credentials"):
        open_account("eu-west-1")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ValueError, match="no region: give --region"):
        open_account()
    with pytest.raises(ValueError, match="AWS does not say who you are"):
        open_account("eu-west-1", "nobody")


def test_artifacts_go_to_a_closed_bucket_once(account, artifacts):
    bucket = uploads.bucket_name(account)
    assert bucket == "terality-artifacts-123456789012-eu-west-1"
    assert uploads.ensure_bucket(account, bucket) and not uploads.ensure_bucket(account, bucket)
    s3 = account.client("s3")
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"}
    }
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    said: list[str] = []
    uploads.put_artifacts(account, bucket, artifacts, said.append)
    assert len(said) == 2 and all("bytes" in line for line in said)
    said.clear()
    uploads.put_artifacts(account, bucket, artifacts, said.append)
    assert all(line.endswith("there already") for line in said)
    found = s3.get_object(Bucket=bucket, Key=artifacts.key("worker-arm64.zip"))
    assert found["Metadata"]["sha256"] == hashlib.sha256(found["Body"].read()).hexdigest()


def test_other_artifacts_are_another_version(artifacts, tmp_path):
    (tmp_path / "worker-arm64.zip").write_bytes(b"other")
    other = uploads.find_artifacts(tmp_path, list(artifacts.files), "0.1.0")
    assert other.version != artifacts.version and other.version.startswith("0.1.0-")
    with pytest.raises(FileNotFoundError, match=r"has no worker-x86_64\.zip"):
        uploads.find_artifacts(tmp_path, ["worker-x86_64.zip"], "0.1.0")


def test_the_life_of_a_stack(account):
    bucket = uploads.bucket_name(account)
    uploads.ensure_bucket(account, bucket)
    url = uploads.put_text(account, bucket, "terality/test/template.yaml", TEMPLATE)
    assert url == f"https://{bucket}.s3.eu-west-1.amazonaws.com/terality/test/template.yaml"
    stack, said = Stack(account, "terality-small", 0.05), []
    assert stack.about() is None
    with pytest.raises(ValueError, match="there is no stack terality-small"):
        stack.outputs
    stack.propose(url, [], {}, "first")
    stack.discard()
    assert stack.about() is None
    changes = stack.propose(url, [], {"terality:deployment": "small"}, "first")
    assert Change("Add", "Logs", "AWS::Logs::LogGroup", False) in changes and len(changes) == 3
    assert stack.execute(said.append) == {"Bucket": "terality-small-data"}
    assert any("CREATE_COMPLETE" in line for line in said)
    # moto sees changes of the template, not those of parameters.
    longer = uploads.put_text(account, bucket, "terality/test/longer.yaml", TEMPLATE.replace("!Ref Days", "3"))
    assert [change.name for change in stack.propose(longer, [], {}, "second")] == ["Logs"]
    stack.execute(said.append)
    assert (stack.about() or {})["StackStatus"] == "UPDATE_COMPLETE"
    assert "terality-small" in stack.resource_ids()
    stack.delete(said.append)
    stack.delete(said.append)
    assert stack.about() is None
    account.client("s3").head_bucket(Bucket="terality-small-data")


def test_what_aws_refuses_is_named_and_leaves_nothing(account, monkeypatch):
    """moto answers 500 to a template with a dangling reference; AWS, asynchronously, what stands here."""
    bucket = uploads.bucket_name(account)
    uploads.ensure_bucket(account, bucket)
    url = uploads.put_text(account, bucket, "terality/test/template.yaml", TEMPLATE)
    cloudformation = account.client("cloudformation")
    told = {"Status": "FAILED", "StatusReason": "Unresolved resource dependencies [Nothing] in the Resources block"}
    monkeypatch.setattr(cloudformation, "describe_change_set", lambda **_: told)
    stack = Stack(account, "terality-bad", 0.05)
    with pytest.raises(StackFailed, match=r"^stack terality-bad: Unresolved resource dependencies \[Nothing\]"):
        stack.propose(url, [], {}, "bad")
    assert stack.about() is None
    told["StatusReason"] = "The submitted information didn't contain changes. Submit different information."
    assert stack.propose(url, [], {}, "none") is None


def test_the_sweep_takes_what_has_name_and_tag(account):
    ecs, functions, scaling, ec2 = (account.client(name) for name in ("ecs", "lambda", "autoscaling", "ec2"))
    ours, theirs = {"terality:deployment": "main"}, {"terality:deployment": "other"}
    role = account.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = [("terality-main-x", ours), ("terality-main-y", theirs), ("terality-mainly", ours)]
    for name, tags in made:
        pairs = [{"key": k, "value": v} for k, v in tags.items()]
        big = [{"Key": k, "Value": v} for k, v in tags.items()]
        ecs.create_cluster(clusterName=name, tags=pairs)
        functions.create_function(
            FunctionName=name, Runtime="provided.al2023", Handler="b", Role=role, Tags=tags, Code={"ZipFile": b"zip"}
        )
        ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={"ImageId": image, "InstanceType": "t3.small"},
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": big}],
        )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=2, DesiredCapacity=1, AvailabilityZones=["eu-west-1a"],
            LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
            Tags=[{**tag, "PropagateAtLaunch": True} for tag in big],
        )  # fmt: skip
        account.client("ecr").create_repository(repositoryName=name, tags=big)
    ssm = account.client("ssm")
    for name, tags in [("/terality/main/scheduler/key", ours), ("/terality/main/theirs", theirs), ("/main/key", ours)]:
        big = [{"Key": k, "Value": v} for k, v in tags.items()]
        ssm.put_parameter(Name=name, Value="secret", Type="SecureString", Tags=big)
    found = sweep.find(account, "main", set())
    kinds = ["cluster", "group", "launch template", "function", "repository", "parameter"]
    assert [one.kind for one in found] == kinds
    names = {one.name for one in found if one.kind != "launch template"}
    assert names == {"terality-main-x", "/terality/main/scheduler/key"}
    assert [one.kind for one in sweep.find(account, "main", {"terality-main-x"})] == ["launch template", "parameter"]
    said: list[str] = []
    sweep.remove(account, found, said.append)
    sweep.remove(account, found, said.append)
    assert sweep.find(account, "main", set()) == [] and len(sweep.find(account, "other", set())) == 0
    assert len(functions.list_functions()["Functions"]) == 2
    assert {one["Name"] for one in ssm.describe_parameters()["Parameters"]} == {"/terality/main/theirs", "/main/key"}
    states = {
        one["clusterName"]: one["status"] for one in ecs.describe_clusters(clusters=[n for n, _ in made])["clusters"]
    }
    assert states == {"terality-main-x": "INACTIVE", "terality-main-y": "ACTIVE", "terality-mainly": "ACTIVE"}


def test_the_image_goes_to_ecr(account, artifacts, tmp_path, monkeypatch):
    with RegistryDouble() as registry:
        ecr = account.client("ecr")
        granted = {"authorizationToken": _basic(), "proxyEndpoint": registry.url}
        monkeypatch.setattr(ecr, "get_authorization_token", lambda: {"authorizationData": [granted]})
        tags = {"terality:deployment": "img"}
        image = uploads.ensure_image(account, "terality-img-worker", artifacts, tmp_path / "l", tags, lambda _: None)
        again = uploads.ensure_image(account, "terality-img-worker", artifacts, tmp_path / "l2", tags, lambda _: None)
        assert image == again
        uri, _, digest = image.partition("@")
        assert uri == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/terality-img-worker"
        assert registry.manifests[digest][0] == INDEX
        assert [one.name for one in sweep.find(account, "img", set())] == ["terality-img-worker"]


def _basic() -> str:
    return base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
