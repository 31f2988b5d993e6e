"""What belongs to a deployment and is in no stack: made by the scheduler in the managed grade, or by this package.

Everything found has the deployment's name as prefix (``terality-NAME-``, of parameters ``/terality/NAME/``) and its
tag; a thing with only one of the two is somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .account import Account, error_code

__all__ = ["Leftover", "find", "remove"]


@dataclass(frozen=True)
class Leftover:
    """One thing.

    Attributes
    ----------
    kind : str
        ``task``, ``cluster``, ``group``, ``launch template``, ``function``, ``repository``, ``parameter``: the order of
        removal.
    name : str
        Or ARN, as its service wants it for removal.
    inside : str
        The cluster of a task.
    """

    kind: str
    name: str
    inside: str = ""


def find(account: Account, name: str, in_stack: set[str]) -> list[Leftover]:
    """Find what there is.

    Parameters
    ----------
    account : Account
    name : str
        Of the deployment.
    in_stack : set of str
        Physical ids that the stack removes by itself.

    Returns
    -------
    list of Leftover
        In the order in which they can be removed.
    """
    prefix = f"terality-{name}-"
    found: list[Leftover] = []
    for kind, search in _SEARCHES.items():
        found += [one for one in search(account, name, prefix) if one.kind == kind and one.name not in in_stack]
    return found


def remove(account: Account, leftovers: list[Leftover], say: Callable[[str], None]) -> None:
    """Remove them; what has gone by itself meanwhile is fine."""
    from botocore.exceptions import ClientError

    for one in leftovers:
        say(f"removing {one.kind} {one.name}")
        try:
            _REMOVALS[one.kind](account, one)
        except ClientError as fault:
            gone = ("NotFound" in error_code(fault), "not found" in str(fault), "NoSuch" in error_code(fault))
            if not any(gone):
                raise


def _tagged(tags: Any, name: str) -> bool:
    """Whether tags, in whichever of AWS' ways of writing them, have the deployment's."""
    if isinstance(tags, dict):
        pairs = tags
    else:
        pairs = {tag.get("Key", tag.get("key")): tag.get("Value", tag.get("value")) for tag in tags}
    return bool(pairs.get("terality:deployment") == name)


def _clusters(account: Account, name: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Clusters of the deployment, the stack's (which is called as the deployment) too."""
    ecs = account.client("ecs")
    arns = [arn for page in ecs.get_paginator("list_clusters").paginate() for arn in page["clusterArns"]]
    ours = [arn for arn in arns if (arn.rpartition("/")[2] + "-").startswith(prefix)]
    for at in range(0, len(ours), 100):
        for cluster in ecs.describe_clusters(clusters=ours[at : at + 100], include=["TAGS"])["clusters"]:
            if cluster["status"] != "INACTIVE" and _tagged(cluster.get("tags", []), name):
                yield cluster


def _find_tasks(account: Account, name: str, prefix: str) -> Iterator[Leftover]:
    pages = account.client("ecs").get_paginator("list_tasks")
    for cluster in _clusters(account, name, prefix):
        for page in pages.paginate(cluster=cluster["clusterArn"]):
            yield from (Leftover("task", arn, cluster["clusterArn"]) for arn in page["taskArns"])


def _find_clusters(account: Account, name: str, prefix: str) -> Iterator[Leftover]:
    for cluster in _clusters(account, name, prefix):
        if cluster["clusterName"].startswith(prefix):
            yield Leftover("cluster", cluster["clusterName"])


def _find_groups(account: Account, name: str, prefix: str) -> Iterator[Leftover]:
    for page in account.client("autoscaling").get_paginator("describe_auto_scaling_groups").paginate():
        for group in page["AutoScalingGroups"]:
            if group["AutoScalingGroupName"].startswith(prefix) and _tagged(group.get("Tags", []), name):
                yield Leftover("group", group["AutoScalingGroupName"])


def _find_launch_templates(account: Account, name: str, prefix: str) -> Iterator[Leftover]:
    for page in account.client("ec2").get_paginator("describe_launch_templates").paginate():
        for one in page["LaunchTemplates"]:
            if one["LaunchTemplateName"].startswith(prefix) and _tagged(one.get("Tags", []), name):
                yield Leftover("launch template", one["LaunchTemplateId"])


def _find_functions(account: Account, name: str, prefix: str) -> Iterator[Leftover]:
    functions = account.client("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for one in page["Functions"]:
            if not one["FunctionName"].startswith(prefix):
                continue
            if _tagged(functions.list_tags(Resource=one["FunctionArn"]).get("Tags", {}), name):
                yield Leftover("function", one["FunctionName"])


def _find_repositories(account: Account, name: str, prefix: str) -> Iterator[Leftover]:
    ecr = account.client("ecr")
    for page in ecr.get_paginator("describe_repositories").paginate():
        for one in page["repositories"]:
            if not one["repositoryName"].startswith(prefix):
                continue
            if _tagged(ecr.list_tags_for_resource(resourceArn=one["repositoryArn"])["tags"], name):
                yield Leftover("repository", one["repositoryName"])


def _find_parameters(account: Account, name: str, prefix: str) -> Iterator[Leftover]:
    """The secrets of a scheduler in the account."""
    ssm = account.client("ssm")
    path = [{"Key": "Path", "Option": "Recursive", "Values": [f"/terality/{name}"]}]
    for page in ssm.get_paginator("describe_parameters").paginate(ParameterFilters=path):
        for one in page["Parameters"]:
            tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=one["Name"])["TagList"]
            if _tagged(tags, name):
                yield Leftover("parameter", one["Name"])


_SEARCHES: dict[str, Callable[[Account, str, str], Iterator[Leftover]]] = {
    "task": _find_tasks,
    "cluster": _find_clusters,
    "group": _find_groups,
    "launch template": _find_launch_templates,
    "function": _find_functions,
    "repository": _find_repositories,
    "parameter": _find_parameters,
}

_REMOVALS: dict[str, Callable[[Account, Leftover], Any]] = {
    "task": lambda a, o: a.client("ecs").stop_task(cluster=o.inside, task=o.name, reason="terality destroy aws"),
    "cluster": lambda a, o: a.client("ecs").delete_cluster(cluster=o.name),
    "group": lambda a, o: a.client("autoscaling").delete_auto_scaling_group(
        AutoScalingGroupName=o.name, ForceDelete=True
    ),
    "launch template": lambda a, o: a.client("ec2").delete_launch_template(LaunchTemplateId=o.name),
    "function": lambda a, o: a.client("lambda").delete_function(FunctionName=o.name),
    "repository": lambda a, o: a.client("ecr").delete_repository(repositoryName=o.name, force=True),
    "parameter": lambda a, o: a.client("ssm").delete_parameter(Name=o.name),
}
