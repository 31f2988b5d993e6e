"""The template with its parameters filled in and every intrinsic function resolved, as CloudFormation would do it.

Only what the template uses is known; anything else raises, so a new intrinsic cannot pass unresolved into a policy that
tests then judge.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "deploy" / "aws" / "template.yaml"
ACCOUNT, REGION = "123456789012", "eu-west-1"
SCHEDULER = "arn:aws:iam::999988887777:role/terality-hosted-scheduler"
PARAMETERS = {
    "DeploymentName": "demo",
    "DeploymentId": "d0123456789abcdef",
    "SchedulerUrl": "https://scheduler.example",
    "SchedulerPrincipalArn": SCHEDULER,
    "ExternalId": "Zm9yLXRlc3RzLW9ubHk_-0",
    "ArtifactBucket": "programs-of-demo",
    "WorkerZipKey": "terality/1.0/worker-arm64.zip",
    "WorkerBinaryKey": "terality/1.0/worker-arm64.tar.gz",
    "WorkerImage": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/terality/worker:1.0",
    "InputBuckets": "flights-raw,flights-clean",
}
IN_ACCOUNT = {
    "InAccountScheduler": "yes",
    "SchedulerUrl": "",
    "SchedulerPrincipalArn": "",
    "SchedulerBinaryKey": "terality/1.0/scheduler-arm64.tar.gz",
    "SchedulerDomain": "terality.example",
    "SchedulerSecretsPath": "/terality/demo",
}
# What the grades and options of the template are tested with.
VARIANTS: dict[str, dict[str, str]] = {
    "minimal": {},
    "managed": {"SchedulerAccess": "managed"},
    "lambda only": {"WorkerBinaryKey": "", "WorkerImage": "", "InputBuckets": ""},
    "attached": {"AttachLambdaToVpc": "yes", "MaxLambdaConcurrency": "50", "AlarmEmail": "ops@example.com"},
    "in account": IN_ACCOUNT,
    "in account, managed": {**IN_ACCOUNT, "SchedulerAccess": "managed", "Architecture": "x86_64"},
}
_NO_VALUE = object()
_NAMES = {  # what Ref gives, by type: the property that names the resource
    "AWS::AutoScaling::AutoScalingGroup": "AutoScalingGroupName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with CloudFormation's short forms written out."""


def _short_form(loader: yaml.Loader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise ValueError(f"!{suffix} over a mapping")


_Loader.add_multi_constructor("!", _short_form)


@cache
def load() -> dict[str, Any]:
    """Give the template as it is written, short forms as `Fn::`."""
    with open(TEMPLATE, encoding="utf-8") as file:
        found: dict[str, Any] = yaml.load(file, Loader=_Loader)
    return found


@dataclass
class Stack:
    """Resources and outputs of one set of parameters; `Condition` is honoured, so absent resources are absent."""

    template: dict[str, Any] = field(default_factory=load)
    given: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        declared = self.template["Parameters"]
        unknown = set(self.given) - set(declared)
        if unknown:
            raise KeyError(f"no such parameters: {unknown}")
        values = {name: self.given.get(name, PARAMETERS.get(name, p.get("Default"))) for name, p in declared.items()}
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise KeyError(f"parameters without value: {missing}")
        self.values: dict[str, Any] = {
            name: str(value).split(",") if declared[name]["Type"] == "CommaDelimitedList" else str(value)
            for name, value in values.items()
        }
        self.resources: dict[str, Any] = {
            name: self.resolve({k: v for k, v in resource.items() if k not in ("Condition", "Metadata")})
            for name, resource in self.template["Resources"].items()
            if self.holds(resource.get("Condition"))
        }
        self.outputs: dict[str, str] = {
            name: self.resolve(output["Value"])
            for name, output in self.template["Outputs"].items()
            if self.holds(output.get("Condition"))
        }

    # ---- intrinsics

    def holds(self, condition: Any) -> bool:
        if condition is None:
            return True
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        ((name, arguments),) = condition.items()
        if name == "Fn::Equals":
            return self.resolve(arguments[0]) == str(self.resolve(arguments[1]))
        if name == "Fn::Not":
            return not self.holds(arguments[0])
        if name == "Condition":
            return self.holds(arguments)
        raise ValueError(f"condition {name} is not known here")

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [v for v in (self.resolve(item) for item in value) if v is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, arguments),) = value.items()
            if name == "Ref":
                return self._ref(arguments)
            if name.startswith("Fn::"):
                return getattr(self, "_" + name[4:].lower())(arguments)
        resolved = {k: self.resolve(v) for k, v in value.items()}
        return {k: v for k, v in resolved.items() if v is not _NO_VALUE}

    def _ref(self, name: str) -> Any:
        pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws", "AWS::NoValue": _NO_VALUE}
        pseudo["AWS::StackId"] = (
            f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/terality-demo/0a1b2c3d-0000-11ee-9999"
        )
        if name in pseudo:
            return pseudo[name]
        if name in self.values:
            return self.values[name]
        resource = self._existing(name)
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in _NAMES:
            return self.resolve(properties[_NAMES[kind]])
        if kind == "AWS::IAM::ManagedPolicy":
            return f"arn:aws:iam::{ACCOUNT}:policy/{self.resolve(properties['ManagedPolicyName'])}"
        if kind == "AWS::SNS::Topic":
            return f"arn:aws:sns:{REGION}:{ACCOUNT}:{self.resolve(properties['TopicName'])}"
        prefix = {"AWS::EC2::VPC": "vpc", "AWS::EC2::Volume": "vol", "AWS::EC2::LaunchTemplate": "lt"}
        return f"{prefix.get(kind, kind.rsplit(':', 1)[-1].lower())}-0{name.lower()}"

    def _existing(self, name: str) -> Any:
        resource = self.template["Resources"][name]
        if not self.holds(resource.get("Condition")):
            raise ValueError(f"{name} is referred to, but its condition {resource['Condition']} does not hold")
        return resource

    def _getatt(self, arguments: list[str]) -> str:
        name, attribute = arguments
        kind = self._existing(name)["Type"]
        ref = self._ref(name)
        arns = {
            "AWS::S3::Bucket": f"arn:aws:s3:::{ref}",
            "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{ref}",
            "AWS::IAM::InstanceProfile": f"arn:aws:iam::{ACCOUNT}:instance-profile/{ref}",
            "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{ref}",
        }
        if attribute == "Arn" and kind in arns:
            return arns[kind]
        if attribute in ("LatestVersionNumber", "AllocationId"):
            return {"LatestVersionNumber": "1", "AllocationId": f"eipalloc-0{name.lower()}"}[attribute]
        raise ValueError(f"{name}.{attribute} of {kind} is not known here")

    def _sub(self, arguments: Any) -> str:
        text, names = (arguments, {}) if isinstance(arguments, str) else arguments

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in names:
                return str(self.resolve(names[name]))
            return str(self._getatt(name.split(".", 1)) if "." in name else self._ref(name))

        return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", value, text)

    def _join(self, arguments: Any) -> str:
        return str(arguments[0]).join(str(item) for item in self.resolve(arguments[1]))

    def _split(self, arguments: Any) -> list[str]:
        return str(self.resolve(arguments[1])).split(arguments[0])

    def _select(self, arguments: Any) -> Any:
        return self.resolve(arguments[1])[int(arguments[0])]

    def _if(self, arguments: Any) -> Any:
        return self.resolve(arguments[1] if self.holds(arguments[0]) else arguments[2])

    def _getazs(self, arguments: Any) -> list[str]:
        return [f"{REGION}{zone}" for zone in "abc"]

    def _base64(self, arguments: Any) -> str:
        return str(self.resolve(arguments))

    # ---- policies

    def of_type(self, kind: str) -> dict[str, Any]:
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}

    def documents(self) -> dict[str, Any]:
        """Give every policy document by a name of its own: trust, inline, managed, bucket and endpoint policies."""
        found: dict[str, Any] = {}
        for name, resource in self.resources.items():
            properties = resource.get("Properties", {})
            if "PolicyDocument" in properties:
                found[name] = properties["PolicyDocument"]
            if "AssumeRolePolicyDocument" in properties:
                found[f"{name} trust"] = properties["AssumeRolePolicyDocument"]
            for policy in properties.get("Policies", []):
                found[f"{name} {policy['PolicyName']}"] = policy["PolicyDocument"]
        return json.loads(json.dumps(found))

    def managed(self, arn: str) -> Any:
        by_arn = {self._ref(name): p["PolicyDocument"] for name, p in self.of_type("AWS::IAM::ManagedPolicy").items()}
        return by_arn[arn]

    def identity_policies(self, role: str) -> list[Any]:
        """Give what is attached to a role: its managed and inline policies, and policies that name it."""
        properties = self.resources[role]["Properties"]
        found = [self.managed(arn) for arn in properties.get("ManagedPolicyArns", [])]
        found += [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        for policy in self.of_type("AWS::IAM::Policy").values():
            if properties["RoleName"] in policy["Roles"]:
                found.append(policy["PolicyDocument"])
        return found

    def boundary(self, role: str) -> Any:
        return self.managed(self.resources[role]["Properties"]["PermissionsBoundary"])

    def role_arn(self, role: str) -> str:
        return f"arn:aws:iam::{ACCOUNT}:role/{self.resources[role]['Properties']['RoleName']}"
