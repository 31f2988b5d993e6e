"""moto with what it leaves undone put right, on import or as a server: outputs, route tables, bucket policies.

moto 5.2.5 computes no outputs of a stack that a change set has made, does not take subnets off the route tables of a
stack that goes (so that its network stays, with DependencyViolation), takes a parameter's default for another value
than none, and a bucket policy's statement without looking at its condition (a Deny of plain http would lock everybody
out). Of parameters that an update changes it sees those that a resource names by Ref, not within a text; a role keeps
its trust, a task definition loses what it had, and the previous value of a list is no text.

::

    python -m tests.deploy.moto_server -H 127.0.0.1 -p PORT
"""

from __future__ import annotations

import json
import sys
from typing import Any

from moto.backends import get_backend
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.parsing import ResourceMap
from moto.ecs.models import TaskDefinition
from moto.iam.models import Role
from moto.s3.models import FakeBucket
from moto.server import main

_execute = CloudFormationBackend.execute_change_set
_delete = CloudFormationBackend.delete_stack
_diff = ResourceMap.build_resource_diff
_load = ResourceMap.load_parameters
_update_role = Role.update_from_cloudformation_json.__func__


def execute_change_set(backend: Any, change_set_name: str, stack_name: str | None = None) -> None:
    """Execute it, and give the stack its outputs."""
    _execute(backend, change_set_name, stack_name)
    for stack in backend.stacks.values():
        if stack_name in (stack.name, stack.stack_id):
            stack._parse_template()
            stack.output_map = stack._create_output_map()


def delete_stack(backend: Any, name_or_stack_id: str) -> None:
    """Take the network apart in the order that AWS takes it, then delete the rest."""
    ec2 = get_backend("ec2")[backend.account_id][backend.region_name]
    for stack in backend.stacks.values():
        if name_or_stack_id in (stack.name, stack.stack_id):
            for resource in stack.stack_resources:
                table = ec2.route_tables.get(getattr(resource, "physical_resource_id", ""))
                if table:
                    table._associations.clear()
                    ec2.delete_route_table(table.id)
    _delete(backend, name_or_stack_id)


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def has_parameters(stack: Any, others: dict[str, Any]) -> bool:
    """Compare with the values of the last update: one that is not given is the template's."""
    defaults = {name: about.get("Default") for name, about in stack.template_dict.get("Parameters", {}).items()}
    had = stack.resource_map.input_parameters
    ours, theirs = ({name: _text(v) for name, v in {**defaults, **given}.items()} for given in (had, others))
    return ours == theirs


def build_resource_diff(resources: Any, template: dict[str, Any], parameters: Any = None) -> dict[str, Any]:
    """Find what the template changes, and what names a changed parameter, of the kinds that parameters change here."""
    found = _diff(resources, template)
    defaults = {name: about.get("Default") for name, about in template.get("Parameters", {}).items()}

    had, given = {**defaults, **resources.input_parameters}, {**defaults, **(parameters or {})}
    changed = [name for name in given if parameters and _text(had.get(name)) != _text(given[name])]
    for name, about in template["Resources"].items():
        text = json.dumps(about, default=str)
        if about["Type"] in _UPDATED and any(f'"{p}"' in text or f"${{{p}}}" in text for p in changed):
            found["Modify"] += [name] if name not in found["Modify"] + found["Add"] else []
    return found


_UPDATED = ("AWS::IAM::Role", "AWS::EC2::LaunchTemplate", "AWS::ECS::TaskDefinition", "AWS::Lambda::Function")


def load_parameters(resources: Any) -> None:
    """Take lists as texts."""
    resources.input_parameters = {name: _text(value) for name, value in resources.input_parameters.items()}
    _load(resources)


def update_role(cls: Any, original_resource: Any, *words: Any, **named: Any) -> Any:
    """Change who may take it, too."""
    role = _update_role(cls, original_resource, *words, **named)
    trust = named["cloudformation_json"]["Properties"]["AssumeRolePolicyDocument"]
    role.assume_role_policy_document = json.dumps(trust, default=str)
    return role


def update_task_definition(cls: Any, original_resource: Any, new_resource_name: str, **named: Any) -> Any:
    """Register another revision as the first one was."""
    return cls.create_from_cloudformation_json(new_resource_name, **named)


ResourceMap.load_parameters = load_parameters
ResourceMap.build_resource_diff = build_resource_diff
Role.update_from_cloudformation_json = classmethod(update_role)
TaskDefinition.update_from_cloudformation_json = classmethod(update_task_definition)
Stack.has_parameters = has_parameters
CloudFormationBackend.execute_change_set = execute_change_set
CloudFormationBackend.delete_stack = delete_stack
FakeBucket.get_permission = lambda bucket, action, resource: None

if __name__ == "__main__":
    main(sys.argv[1:])
