"""``terality destroy aws``: everything back except the data, and a proof that nobody has access any more.

Drained first (no query is cut off unless asked for), then what the scheduler made itself in the managed grade, then the
stack, then the proof: the role does not exist, and the scheduler says that it cannot take it. The data bucket is
retained by the template; it is named at the end, and stays the account's.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from ..remote import profiles
from . import sweep
from .account import Account, error_code, open_account
from .aws import confirm, say, stack_name
from .scheduler import Scheduler
from .stack import Stack

__all__ = ["Destroy", "run"]

_PROOF_SECONDS = 180.0


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command."""
    return Destroy(arguments).run()


class Destroy:
    """One deployment on its way out.

    Parameters
    ----------
    arguments : argparse.Namespace
        As ``command.add_destroy`` describes them.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.name: str = arguments.name
        known = profiles.find(arguments.profile or self.name)
        region = arguments.region or (known.region if known else None)
        self.account: Account = open_account(region, arguments.aws_profile)
        self.stack = Stack(self.account, stack_name(self.name), arguments.poll_seconds)
        self._known = known

    def run(self) -> int:
        """Do all of it; gives the exit status."""
        say(f"account {self.account.number}, region {self.account.region}, as {self.account.arn}")
        about = self.stack.about()
        outputs = self.stack.outputs if about else {}
        # Its scheduler goes with the stack: what it has to say, it says before.
        inside = "SchedulerUrl" in outputs
        scheduler = self._scheduler()
        deployment = scheduler.deployment() if scheduler else None
        leftovers = sweep.find(self.account, self.name, self.stack.resource_ids() if about else set())
        self._show(about, outputs, leftovers, deployment)
        if not about and not leftovers and not deployment:
            say("there is nothing to remove")
            return 0
        if self.arguments.dry_run:
            say("dry run: nothing was removed")
            return 0
        if not confirm(f"Remove the deployment {self.name}? The data stays.", bool(self.arguments.yes)):
            return 1
        if scheduler and deployment:
            self._drain(scheduler, deployment["id"])
            # Draining ends workers that had just been asked for, and the scheduler may have made more meanwhile.
            leftovers = sweep.find(self.account, self.name, self.stack.resource_ids() if about else set())
        if inside and scheduler and deployment:
            scheduler.forget(deployment["id"])
            say(f"deployment {deployment['id']} dropped at the scheduler, which goes with the stack")
        sweep.remove(self.account, leftovers, say)
        self.stack.delete(say)
        if inside:
            say("the scheduler's machine is gone; the disk with its database is kept as a snapshot")
            scheduler = None
        return self._prove(outputs, scheduler, deployment)

    def _scheduler(self) -> Scheduler | None:
        """The scheduler, unless it is said to be gone."""
        if self.arguments.without_scheduler:
            return None
        given = self.arguments
        named = given.profile or (self.name if self._known else None)
        url, key = profiles.scheduler(named, url=given.scheduler)
        return Scheduler(url, key, self.name)

    def _show(
        self,
        about: dict[str, Any] | None,
        outputs: dict[str, str],
        leftovers: list[sweep.Leftover],
        deployment: dict[str, Any] | None,
    ) -> None:
        say(f"stack {self.stack.name}: {about['StackStatus'] if about else 'not there'}")
        for one in leftovers:
            say(f"outside the stack: {one.kind} {one.name}")
        if deployment:
            say(f"deployment {deployment['id']} at the scheduler: will be drained and dropped")
        if outputs.get("DataBucket"):
            say(f"s3://{outputs['DataBucket']} and all that is in it: STAYS")

    def _drain(self, scheduler: Scheduler, deployment: str) -> None:
        """No new workers, queries to their end, workers away."""
        scheduler.drain(deployment)
        say("draining: no workers are started any more")
        scheduler.end_queries(deployment, self.arguments.force, say)
        scheduler.wait_for_workers(deployment, say)

    def _prove(self, outputs: dict[str, str], scheduler: Scheduler | None, deployment: dict[str, Any] | None) -> int:
        arn = outputs.get("SchedulerRoleArn", "")
        gone = not arn or self._role_is_gone(arn)
        if arn:
            say(f"{arn}: {'does not exist any more' if gone else 'STILL EXISTS'}")
        refused = True
        if scheduler and deployment:
            refused = not arn or self._is_refused(scheduler, deployment["id"])
            scheduler.forget(deployment["id"])
            say(f"deployment {deployment['id']} dropped at the scheduler: its keys and worker tokens are void")
        if outputs.get("DataBucket"):
            say(f"your data: s3://{outputs['DataBucket']} (delete it yourself if you want to)")
        profiles.remove(self.name)
        if gone and refused:
            say("access is gone")
            return 0
        say("access is NOT proven to be gone: see above")
        return 1

    def _role_is_gone(self, arn: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self.account.client("iam").get_role(RoleName=arn.rpartition("/")[2])
        except ClientError as fault:
            if error_code(fault) == "NoSuchEntity":
                return True
            raise
        return False

    def _is_refused(self, scheduler: Scheduler, deployment: str) -> bool:
        """Wait until the scheduler says that AWS refuses it the role."""
        end = time.monotonic() + _PROOF_SECONDS
        scheduler.take_role_again(deployment)
        while True:
            refused, words = scheduler.access(deployment)
            if refused or time.monotonic() > end:
                say(f"the scheduler on that role: {words}")
                return refused
            time.sleep(2.0)
