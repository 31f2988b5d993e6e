"""What moto's CloudFormation leaves undone that AWS' does, done by calls of the API, so it works over HTTP as well.

moto 5.2.5 does not make bucket policies, event-invoke settings, metric filters and alarms (it warns), it does not
attach managed policies to roles, and it neither takes subnets off their route tables nor removes these tables when a
stack goes, so that deleting a stack with a network ends with DependencyViolation.
"""

from __future__ import annotations

from typing import Any


def before_deletion(ec2: Any, cloudformation: Any, stack: str) -> None:
    """Remove the route tables of a stack, as CloudFormation would.

    Parameters
    ----------
    ec2, cloudformation : boto3 clients
    stack : str
        Name of the stack that is deleted next.
    """
    resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    found = [r["PhysicalResourceId"] for r in resources if r.get("ResourceType") == "AWS::EC2::RouteTable"]
    for table in ec2.describe_route_tables(RouteTableIds=found)["RouteTables"] if found else []:
        for association in table["Associations"]:
            ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        ec2.delete_route_table(RouteTableId=table["RouteTableId"])
