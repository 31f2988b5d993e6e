"""moto with what it leaves undone put right, on import or as a server: outputs, route tables, bucket policies.

moto 5.2.5 computes no outputs of a stack that a change set has made, does not take subnets off the route tables of a
stack that goes (so that its network stays, with DependencyViolation), takes a parameter's default for another value
than none, and a bucket policy's statement without looking at its condition (a Deny of plain http would lock everybody
out).

::

    python -m tests.deploy.moto_server -H 127.0.0.1 -p PORT
"""

from __future__ import annotations

import sys
from typing import Any

from moto.backends import get_backend
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.s3.models import FakeBucket
from moto.server import main

_execute = CloudFormationBackend.execute_change_set
_delete = CloudFormationBackend.delete_stack


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


def has_parameters(stack: Any, others: dict[str, Any]) -> bool:
    """Compare values: one that is not given is the template's."""
    defaults = {name: about.get("Default") for name, about in stack.template_dict.get("Parameters", {}).items()}
    ours, theirs = ({name: str(v) for name, v in {**defaults, **given}.items()} for given in (stack.parameters, others))
    return ours == theirs


Stack.has_parameters = has_parameters
CloudFormationBackend.execute_change_set = execute_change_set
CloudFormationBackend.delete_stack = delete_stack
FakeBucket.get_permission = lambda bucket, action, resource: None

if __name__ == "__main__":
    main(sys.argv[1:])
