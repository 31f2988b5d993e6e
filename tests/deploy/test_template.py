"""The CloudFormation template: clean by AWS' linters, by rules of our own, and deployable."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import parliament
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from moto import mock_aws

from . import moto_server  # noqa: F401 (mends moto on import)
from .policy_simulator import listed
from .stack import ACCOUNT, PARAMETERS, REGION, TEMPLATE, VARIANTS, Stack, load

STACKS = {name: Stack(given=given) for name, given in VARIANTS.items()}
each_variant = pytest.mark.parametrize("stack", [pytest.param(s, id=name) for name, s in STACKS.items()])
TAG = "terality:deployment"
# Costs nothing as long as nobody calls or stores anything, or is there only by option.
IDLE_IS_FREE = {
    "AWS::AutoScaling::AutoScalingGroup",  # min 0, but the scheduler's
    "AWS::CloudWatch::Alarm",  # ten are free, further ones 0.10 USD a month
    "AWS::CloudWatch::Dashboard",  # three are free
    "AWS::EC2::InternetGateway",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::Route",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",  # of type Gateway
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::ECS::Cluster",
    "AWS::ECS::TaskDefinition",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Topic",
}
HOLDS_DATA = {
    "AWS::S3::Bucket",
    "AWS::EC2::Volume",
    "AWS::DynamoDB::Table",
    "AWS::RDS::DBInstance",
    "AWS::EFS::FileSystem",
}


# ---- linters


def test_cfn_lint_is_clean() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(TEMPLATE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@each_variant
def test_parliament_is_clean(stack: Stack) -> None:
    for name, document in stack.documents().items():
        # It judges what an identity may do; who it is comes from the role or bucket.
        for statement in document["Statement"]:
            principal = statement.pop("Principal", None)
            if principal and "Resource" not in statement:
                statement["Resource"] = "*"
        found = parliament.analyze_policy_string(json.dumps(document)).findings
        serious = [(f.issue, f.detail) for f in found if not excused(f)]
        assert not serious, f"{name}: {serious}"


def excused(finding: Any) -> bool:
    """Say whether parliament does not know better: each case with its reason."""
    if finding.issue == "RESOURCE_STAR":
        return True  # a rule of our own below, with the list of actions that know nothing narrower
    if finding.issue == "UNKNOWN_CONDITION_FOR_ACTION":
        # A key that Lambda puts into every request that a function's code makes.
        return "lambda:SourceFunctionArn" in finding.detail
    if finding.issue == "RESOURCE_MISMATCH":
        # IAM asks once per resource of a call, so RunInstances may be allowed in several statements, with the condition
        # that each kind of resource has; parliament wants one. That together they cover all is tested by calls.json.
        return {entry["action"] for entry in finding.detail} == {"ec2:RunInstances"}
    return False


@each_variant
def test_policies_fit_into_iams_limits(stack: Stack) -> None:
    def size(document: Any) -> int:
        return len(json.dumps(document, separators=(",", ":")))

    for name, properties in stack.of_type("AWS::IAM::ManagedPolicy").items():
        assert size(properties["PolicyDocument"]) <= 6144, name
    for name, properties in stack.of_type("AWS::IAM::Role").items():
        assert sum(size(p["PolicyDocument"]) for p in properties.get("Policies", [])) <= 10240, name
        assert size(properties["AssumeRolePolicyDocument"]) <= 2048, name
        assert len(properties.get("ManagedPolicyArns", [])) <= 10, name
        assert len(properties["RoleName"]) + 25 - len("demo") <= 64, name


# ---- rules of our own


@each_variant
def test_every_role_has_a_boundary(stack: Stack) -> None:
    for name, properties in stack.of_type("AWS::IAM::Role").items():
        assert properties["PermissionsBoundary"].startswith(f"arn:aws:iam::{ACCOUNT}:policy/terality-demo-"), name
        assert stack.boundary(name)["Statement"], name


@each_variant
def test_whoever_comes_from_elsewhere_needs_an_external_id(stack: Stack) -> None:
    for name, document in stack.documents().items():
        if not name.endswith(" trust"):
            continue
        for statement in document["Statement"]:
            assert statement["Action"] == "sts:AssumeRole"
            for arn in listed(statement["Principal"].get("AWS", [])):
                assert re.fullmatch(r"arn:aws:iam::\d{12}:(role|user)/[\w+=,.@/-]+", arn), f"{name}: {arn}"
                assert statement["Condition"]["StringEquals"]["sts:ExternalId"] == PARAMETERS["ExternalId"]
                assert len(listed(statement["Principal"]["AWS"])) == 1
    assert load()["Parameters"]["ExternalId"]["NoEcho"] is True


@each_variant
def test_nothing_is_allowed_by_wildcard(stack: Stack) -> None:
    """No action ends in `*`, and `Resource: *` goes only with actions for which AWS knows no narrower one."""
    without_resource = {
        "autoscaling:DescribeAutoScalingGroups",
        "cloudwatch:GetMetricData",
        "ec2:AssignPrivateIpAddresses",  # what follows: Lambda's service, with AttachLambdaToVpc only
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
        "ec2:DescribeLaunchTemplates",
        "ecr:GetAuthorizationToken",
        "ecs:ListTasks",
    }
    for name, document in stack.documents().items():
        for statement in document["Statement"]:
            assert statement.get("Sid"), f"{name}: a statement without Sid"
            if statement["Effect"] == "Deny":
                continue
            assert "NotAction" not in statement and "NotResource" not in statement, f"{name} {statement['Sid']}"
            for action in listed(statement["Action"]):
                assert "*" not in action, f"{name} {statement['Sid']}: {action}"
            if "*" in listed(statement.get("Resource", [])):
                assert set(listed(statement["Action"])) <= without_resource, f"{name} {statement['Sid']}"
                assert "Condition" in statement or statement["Action"] == "ecr:GetAuthorizationToken"


@each_variant
def test_scheduler_has_no_s3(stack: Stack) -> None:
    documents = [*stack.identity_policies("SchedulerRole"), stack.boundary("SchedulerRole")]
    for document in documents:
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow":
                s3 = [a for a in listed(statement["Action"]) if a.startswith("s3")]
                # The managed grade reads programs, which Lambda's service asks of whoever creates a function.
                assert not s3 or statement["Resource"] == "arn:aws:s3:::programs-of-demo/terality/*"
    denied = {a for d in documents[:-1] for s in d["Statement"] if s["Effect"] == "Deny" for a in listed(s["Action"])}
    assert {"s3:*", "kms:Decrypt", "secretsmanager:*", "ssm:GetParameter*"} <= denied
    assert stack.resources["SchedulerRole"]["Properties"]["MaxSessionDuration"] == 3600


@each_variant
def test_nothing_unretained_holds_data(stack: Stack) -> None:
    for name, resource in stack.resources.items():
        if resource["Type"] in HOLDS_DATA:
            wanted = "Snapshot" if resource["Type"] == "AWS::EC2::Volume" else "Retain"
            assert resource.get("DeletionPolicy") == wanted, name
            assert resource.get("UpdateReplacePolicy") == wanted, name
    # What protects the bucket stays with it.
    assert stack.resources["DataBucketPolicy"]["DeletionPolicy"] == "Retain"


def test_data_bucket() -> None:
    bucket = STACKS["minimal"].resources["DataBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    rule = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = {r["Id"]: r for r in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules["incomplete-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    days = {r["Prefix"]: str(r["ExpirationInDays"]) for r in rules.values() if "Prefix" in r}
    assert days == {"shuffle/": "1", "commit/": "30", "uploads/": "30", "results/": "30", "audit/": "400"}
    assert re.fullmatch(r"[a-z0-9-]{3,63}", bucket["BucketName"])
    longest = Stack(given={"DeploymentName": "a" * 25}).resources["DataBucket"]["Properties"]["BucketName"]
    assert len(longest) <= 63


@each_variant
def test_nothing_costs_while_idle(stack: Stack) -> None:
    here = stack.values["InAccountScheduler"] == "yes"
    allowed = IDLE_IS_FREE | ({"AWS::EC2::Volume", "AWS::EC2::EIP"} if here else set())
    assert {r["Type"] for r in stack.resources.values()} <= allowed
    for name, group in stack.of_type("AWS::AutoScaling::AutoScalingGroup").items():
        assert group["MinSize"] == ("1" if name == "SchedulerGroup" else "0")
        assert "DesiredCapacity" not in group
    assert ("SchedulerGroup" in stack.resources) == here
    for endpoint in stack.of_type("AWS::EC2::VPCEndpoint").values():
        assert endpoint["VpcEndpointType"] == "Gateway"
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert "ProvisionedConcurrencyConfig" not in function
    assert re.search(r"\d+ USD a month", load()["Parameters"]["InAccountScheduler"]["Description"])


@each_variant
def test_everything_that_can_be_tagged_is_tagged(stack: Stack) -> None:
    for name, resource in stack.resources.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema["properties"]
        properties = resource.get("Properties", {})
        if "Tags" in schema and resource["Type"] != "AWS::CloudWatch::Dashboard":
            tags = {tag["Key"]: tag["Value"] for tag in properties["Tags"]}
            assert tags[TAG] == "demo", name
        if "TagSpecifications" in schema:
            assert properties["TagSpecifications"][0]["Tags"] == [{"Key": TAG, "Value": "demo"}], name
            made = properties["LaunchTemplateData"]["TagSpecifications"]
            assert {m["ResourceType"] for m in made} == {"instance", "volume", "network-interface"}
            assert all({"Key": TAG, "Value": "demo"} in m["Tags"] for m in made)


@each_variant
def test_names_begin_with_the_deployment(stack: Stack) -> None:
    for name, resource in stack.resources.items():
        for key, value in resource.get("Properties", {}).items():
            if key in ("ClusterName", "Family", "TopicName", "GroupName") or (
                key.endswith("Name") and key[:4] != "Metr"
            ):
                assert isinstance(value, str), name
                if value.startswith(("com.amazonaws.", "bootstrap", "network")):
                    continue
                assert re.match(r"/?terality[-/]demo", value), f"{name}.{key}: {value}"


def test_workers_machines() -> None:
    stack = STACKS["attached"]
    functions = stack.of_type("AWS::Lambda::Function")
    assert {f["MemorySize"] for f in functions.values()} == {"1769", "10240"}
    for name, function in functions.items():
        assert function["Runtime"] == "provided.al2023" and function["Timeout"] == 900
        assert function["Architectures"] == ["arm64"]
        assert function["LoggingConfig"] == {"LogGroup": "/terality/demo/lambda"}
        assert function["ReservedConcurrentExecutions"] == "50"
        assert len(function["VpcConfig"]["SubnetIds"]) == 2
        invoke = stack.resources[f"{name}Invoke"]["Properties"]
        assert invoke["MaximumRetryAttempts"] == 0
    for function in STACKS["minimal"].of_type("AWS::Lambda::Function").values():
        assert "VpcConfig" not in function and "ReservedConcurrentExecutions" not in function
    for template in STACKS["in account"].of_type("AWS::EC2::LaunchTemplate").values():
        metadata = template["LaunchTemplateData"]["MetadataOptions"]
        assert metadata["HttpTokens"] == "required" and metadata["HttpPutResponseHopLimit"] == 1
        assert all(d["Ebs"]["Encrypted"] for d in template["LaunchTemplateData"]["BlockDeviceMappings"])
    group = stack.resources["WorkerGroup"]["Properties"]["MixedInstancesPolicy"]["InstancesDistribution"]
    assert group == {
        "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": 0,
        "SpotAllocationStrategy": "price-capacity-optimized",
    }
    for group in stack.of_type("AWS::EC2::SecurityGroup").values():
        assert group["SecurityGroupIngress"] == []
    for group in stack.of_type("AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == "14"
    assert stack.resources["SpendingAlarm"]["Properties"]["AlarmActions"] == [
        f"arn:aws:sns:{REGION}:{ACCOUNT}:terality-demo-alarms"
    ]
    assert len(stack.of_type("AWS::CloudWatch::Alarm")) == 5


def test_settings_reach_each_kind_of_worker_by_its_own_way() -> None:
    stack = STACKS["minimal"]
    bucket = stack.outputs["DataBucket"]
    common = {"scheduler": "https://scheduler.example", "deployment": "d0123456789abcdef", "store": f"s3://{bucket}"}
    for function, kind in (("WorkerSmall", "lambda-small"), ("WorkerLarge", "lambda-large")):
        variables = stack.resources[function]["Properties"]["Environment"]["Variables"]
        assert variables == {f"TERALITY_{k.upper()}": v for k, v in common.items()} | {
            "TERALITY_WORKER_KIND": kind,
            "TERALITY_REGION": REGION,
        }
    container = stack.resources["WorkerTask"]["Properties"]["ContainerDefinitions"][0]
    assert container["EntryPoint"] == ["/opt/terality/terality-worker", "--fixed", "ecs"]
    assert "Environment" not in container and "Command" not in container
    assert container["DockerLabels"] == {f"terality.{k}": v for k, v in common.items()} | {
        "terality.worker.kind": "ecs",
        "terality.region": REGION,
    }
    script = stack.resources["WorkerLaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
    conf = script.split("<<'CONF'\n")[1].split("\nCONF\n")[0]
    assert dict(line.split("=", 1) for line in conf.splitlines()) == {
        f"TERALITY_{k.upper()}": v for k, v in common.items()
    } | {"TERALITY_WORKER_KIND": "ec2", "TERALITY_REGION": REGION}
    assert "s3://programs-of-demo/terality/1.0/worker-arm64.tar.gz" in script


@each_variant
def test_scripts_of_machines_are_shell(stack: Stack) -> None:
    for name, template in stack.of_type("AWS::EC2::LaunchTemplate").items():
        script = template["LaunchTemplateData"]["UserData"]
        assert script.startswith("#!/bin/bash\n"), name
        assert len(base64.b64encode(script.encode())) <= 16384, name
        assert "${" not in script, f"{name}: a name that was not filled in"
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    body = json.loads(stack.resources["Dashboard"]["Properties"]["DashboardBody"])
    assert len(body["widgets"]) >= 7


def test_parameters_have_patterns_and_groups() -> None:
    template = load()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"], name
        bounded = "AllowedPattern" in parameter or "AllowedValues" in parameter
        assert bounded or (parameter["Type"] == "Number" and {"MinValue", "MaxValue"} <= set(parameter)), name


BAD = [
    ("DeploymentName", "Demo"),
    ("DeploymentName", "d"),
    ("DeploymentName", "a" * 26),
    ("SchedulerUrl", "http://scheduler.example"),
    ("SchedulerUrl", "https://scheduler.example/path"),
    ("SchedulerPrincipalArn", "*"),
    ("SchedulerPrincipalArn", "arn:aws:iam::123456789012:root"),
    ("ExternalId", "short"),
    ("InputBuckets", "bucket/*"),
    ("WorkerImage", "docker.io/library/debian:12"),
    ("VpcCidr", "8.8.0.0/16"),
    ("VpcCidr", "10.0.0.0/24"),
    ("ArtifactBucket", "*"),
    ("WorkerZipKey", "../x.zip"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_patterns_refuse(name: str, value: str) -> None:
    assert not re.fullmatch(load()["Parameters"][name]["AllowedPattern"], value)


def test_patterns_accept_what_the_tests_use() -> None:
    for given in ({}, *VARIANTS.values()):
        for name, value in {**PARAMETERS, **given}.items():
            for one in value.split(",") if name == "InputBuckets" else [value]:
                assert re.fullmatch(load()["Parameters"][name].get("AllowedPattern", ".*"), one), name


OUTPUTS = [
    "Region",
    "AccountId",
    "DataBucket",
    "SchedulerRoleArn",
    "WorkerRoleNames",
    "LambdaSmall",
    "LambdaLarge",
    "Subnets",
    "SecurityGroups",
    "ClientPolicyArn",
    "LogGroups",
    "DashboardName",
    "SchedulerAccess",
]
OUTPUTS_ECS = ["EcsCluster", "EcsTaskFamily", "EcsContainer", "EcsCpu", "EcsMemoryMb"]
OUTPUTS_EC2 = ["AutoScalingGroup", "Ec2Cores", "Ec2MemoryMb"]


def test_outputs() -> None:
    assert set(OUTPUTS + OUTPUTS_ECS + OUTPUTS_EC2) <= set(STACKS["minimal"].outputs)
    few = STACKS["lambda only"].outputs
    assert set(OUTPUTS) <= set(few) and not set(OUTPUTS_ECS + OUTPUTS_EC2 + ["SchedulerUrl"]) & set(few)
    assert STACKS["in account"].outputs["SchedulerUrl"] == "https://terality.example"
    names = STACKS["minimal"].outputs["WorkerRoleNames"]
    assert names == "terality-demo-worker-lambda,terality-demo-worker-ecs,terality-demo-worker-ec2"


# ---- deployed


@pytest.fixture
def aws() -> Iterator[Any]:
    with mock_aws(config={"lambda": {"use_docker": False}}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the types that moto does not make
        session = boto3.Session("AK", "SK", region_name=REGION)
        s3 = session.client("s3")
        s3.create_bucket(Bucket="programs-of-demo", CreateBucketConfiguration={"LocationConstraint": REGION})
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("bootstrap", "#!/bin/sh\n")
        for architecture in ("arm64", "x86_64"):
            s3.put_object(
                Bucket="programs-of-demo", Key=f"terality/1.0/worker-{architecture}.zip", Body=file.getvalue()
            )
        yield session


def deploy(aws: Any, given: dict[str, str]) -> dict[str, str]:
    values = {**PARAMETERS, **given}
    parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()]
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName="terality-demo",
        TemplateBody=TEMPLATE.read_text("utf-8"),
        Parameters=parameters,
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    stack = cloudformation.describe_stacks(StackName="terality-demo")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}


@pytest.mark.parametrize("variant", ["minimal", "attached", "in account, managed"])
def test_deploys_and_deletes(aws: Any, variant: str) -> None:
    outputs = deploy(aws, VARIANTS[variant])
    assert set(outputs) == set(STACKS[variant].outputs)
    iam, s3, cloudformation = (aws.client(c) for c in ("iam", "s3", "cloudformation"))
    made = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    assert made == {p["RoleName"] for p in STACKS[variant].of_type("AWS::IAM::Role").values()}
    assert {f["FunctionName"] for f in aws.client("lambda").list_functions()["Functions"]} == {
        outputs["LambdaSmall"],
        outputs["LambdaLarge"],
    }
    scaling = aws.client("autoscaling")
    scaling.set_desired_capacity(AutoScalingGroupName=outputs["AutoScalingGroup"], DesiredCapacity=2)
    groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[outputs["AutoScalingGroup"]])
    assert len(groups["AutoScalingGroups"][0]["Instances"]) == 2
    assert aws.client("ecs").describe_clusters(clusters=[outputs["EcsCluster"]])["clusters"][0]["status"] == "ACTIVE"
    s3.put_object(Bucket=outputs["DataBucket"], Key="results/q1/0-0", Body=b"data")

    cloudformation.delete_stack(StackName="terality-demo")
    assert iam.list_roles()["Roles"] == []
    assert aws.client("lambda").list_functions()["Functions"] == []
    assert scaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert s3.get_object(Bucket=outputs["DataBucket"], Key="results/q1/0-0")["Body"].read() == b"data"


NAMED = {  # every resource of issue and architecture page, by what makes it what it is
    "data bucket": "DataBucket",
    "its policy": "DataBucketPolicy",
    "small function": "WorkerSmall",
    "large function": "WorkerLarge",
    "network": "Vpc",
    "subnets": "SubnetA",
    "S3 gateway endpoint": "S3Endpoint",
    "ECS cluster": "Cluster",
    "Fargate task": "WorkerTask",
    "launch template": "WorkerLaunchTemplate",
    "autoscaling group": "WorkerGroup",
    "scheduler's role": "SchedulerRole",
    "workers' roles": "WorkerEc2Role",
    "client's policy": "ClientPolicy",
    "log groups": "LambdaLogs",
    "dashboard": "Dashboard",
    "alarms": "SpendingAlarm",
    "boundary": "WorkerBoundary",
}


def test_every_named_resource_is_there() -> None:
    assert not {what: name for what, name in NAMED.items() if name not in STACKS["minimal"].resources}
    for name in ("SchedulerGroup", "SchedulerDisk", "SchedulerAddress"):
        assert name in STACKS["in account"].resources
