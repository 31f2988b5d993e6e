"""What the commands say to the scheduler: make a deployment, hand over what AWS gave, drain it, ask for its health."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..remote.api import Api, ApiError

__all__ = ["Scheduler", "settings"]

_POLL_SECONDS = 2.0


class Scheduler:
    """One account at a scheduler, and the deployment of a name in it.

    Parameters
    ----------
    url, key : str
        Of the scheduler and the account.
    name : str
        The deployment's.
    """

    def __init__(self, url: str, key: str, name: str) -> None:
        self.api = Api(url, key)
        self.url, self.key, self.name = self.api.url, key, name

    def deployment(self) -> dict[str, Any] | None:
        """Describe the deployment; None when there is none of this name."""
        for one in self.api.get("/v1/deployments")["deployments"]:
            if self.name in (one["name"], one["id"]):
                return dict(self.api.get(f"/v1/deployments/{one['id']}"))
        return None

    def ensure_deployment(self) -> dict[str, Any]:
        """Describe the deployment, after making it when there is none."""
        found = self.deployment()
        if found is None:
            self.api.post("/v1/deployments", {"name": self.name})
            found = self.deployment()
        assert found is not None
        return found

    def health(self, deployment: str) -> dict[str, Any]:
        """Give the health of a deployment as the scheduler sees it."""
        return dict(self.api.get(f"/v1/deployments/{deployment}/health"))

    def access(self, deployment: str) -> tuple[bool, str]:
        """Whether AWS refuses the scheduler its role, and in which words; asks for the health, which tries the role."""
        error = self.health(deployment).get("role", {}).get("error") or {}
        words = f"{error.get('code', '')} {error.get('message', '')}".strip()
        return "AccessDenied" in words, words or "no word yet"

    def running(self, deployment: str) -> list[str]:
        """Give the ids of queries that have not ended."""
        found = self.api.get("/v1/queries", limit=1000)["queries"]
        return [q["query"] for q in found if q["deployment"] == deployment and not q["finished"]]

    def end_queries(self, deployment: str, force: bool, say: Callable[[str], None]) -> None:
        """Wait until no query runs, or cancel all."""
        told = ""
        while running := self.running(deployment):
            if force:
                for query in running:
                    say(f"cancelling {query}")
                    self.api.delete(f"/v1/queries/{query}")
            elif told != (told := ", ".join(running)):
                say(f"waiting for {told} (Ctrl-C and --force cancels)")
            time.sleep(_POLL_SECONDS)

    def drain(self, deployment: str) -> None:
        """Have no worker started any more, and those that run end when they have done what they hold."""
        try:
            made = self.api.get(f"/v1/deployments/{deployment}/aws")
        except ApiError as fault:
            if fault.status == 404:
                return
            raise
        made["limits"]["workers"] = 0
        self.api.put(f"/v1/deployments/{deployment}/aws", made)

    def take_role_again(self, deployment: str) -> None:
        """Have the scheduler throw away its session and ask for its role anew: settings that are new make it do so."""
        path = f"/v1/deployments/{deployment}/aws"
        made = self.api.get(path)
        self.api.delete(path)
        self.api.put(path, made)

    def wait_for_workers(self, deployment: str, say: Callable[[str], None], patience_seconds: float = 300.0) -> bool:
        """Wait until no worker has been heard of for a while; gives whether all went by themselves."""
        end = time.monotonic() + patience_seconds
        told = -1
        while True:
            known = self.api.get("/v1/workers", deployment=deployment)["workers"]
            workers = [w for w in known if w["silent_ms"] < 5000]
            if not workers:
                return True
            if len(workers) != told:
                told = len(workers)
                say(f"{told} workers are ending")
            for worker in workers:
                if not worker["drain"]:
                    self.api.delete(f"/v1/workers/{worker['worker']}?deployment={deployment}")
            if time.monotonic() > end:
                say(f"{told} workers have not ended in {patience_seconds:.0f} s: they end with the stack")
                return False
            time.sleep(_POLL_SECONDS)

    def forget(self, deployment: str) -> None:
        """Remove the AWS settings and the deployment itself; what is gone already is fine."""
        for path in (f"/v1/deployments/{deployment}/aws", f"/v1/deployments/{deployment}"):
            try:
                self.api.delete(path)
            except ApiError as fault:
                if fault.status != 404:
                    raise


def _listed(outputs: dict[str, str], name: str) -> list[str]:
    return [part.strip() for part in outputs.get(name, "").split(",") if part.strip()]


def settings(outputs: dict[str, str], parameters: dict[str, str], limits: dict[str, float]) -> dict[str, Any]:
    """Put together what ``PUT /v1/deployments/{id}/aws`` takes from a stack's outputs and parameters.

    Parameters
    ----------
    outputs, parameters : dict of str to str
        Of the stack.
    limits : dict
        ``workers``, ``usd_per_query``, ``usd_per_hour``, ``idle_seconds``.

    Returns
    -------
    dict
        Without ``ecs`` when the stack has no image, and so on.
    """
    lambdas = [
        {"name": outputs[output], "kind": kind, "memory_mb": int(parameters[memory])}
        for output, kind, memory in (
            ("LambdaSmall", "lambda-small", "LambdaSmallMb"),
            ("LambdaLarge", "lambda-large", "LambdaLargeMb"),
        )
        if outputs.get(output)
    ]
    made: dict[str, Any] = {
        "region": outputs["Region"],
        "account": outputs["AccountId"],
        "role_arn": outputs["SchedulerRoleArn"],
        "access": outputs["SchedulerAccess"],
        "worker_roles": _listed(outputs, "WorkerRoleNames"),
        "limits": limits,
        "metrics_namespace": "terality",
    }
    if lambdas:
        made["lambda"] = {"functions": lambdas}
    if outputs.get("EcsTaskFamily"):
        made["ecs"] = {
            "cluster": outputs["EcsCluster"],
            "task_family": outputs["EcsTaskFamily"],
            "container": outputs["EcsContainer"],
            "subnets": _listed(outputs, "Subnets"),
            "security_groups": _listed(outputs, "SecurityGroups"),
            "cpu": int(outputs["EcsCpu"]),
            "memory_mb": int(outputs["EcsMemoryMb"]),
            "assign_public_ip": True,
        }
    if outputs.get("AutoScalingGroup"):
        made["ec2"] = {
            "group": outputs["AutoScalingGroup"],
            "cores": int(outputs["Ec2Cores"]),
            "memory_mb": int(outputs["Ec2MemoryMb"]),
            "spot": True,
        }
    return made
