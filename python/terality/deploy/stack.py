"""A CloudFormation stack: a change set that is shown before it is executed, progress while AWS works, removal."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .account import Account, error_code

__all__ = ["Change", "Stack", "StackFailed"]

_POLL_SECONDS = 3.0
_PATIENCE_SECONDS = 3600.0
_CAPABILITIES = ["CAPABILITY_NAMED_IAM"]
_NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")


class StackFailed(RuntimeError):
    """AWS could not do what was asked; the text has the first reasons it gave."""


@dataclass(frozen=True)
class Change:
    """One line of a change set.

    Attributes
    ----------
    action : str
        ``Add``, ``Modify``, ``Remove``…
    name, kind : str
        Logical name and type of the resource.
    replaces : bool
        Whether the resource is made anew, under another physical name.
    """

    action: str
    name: str
    kind: str
    replaces: bool


class Stack:
    """A stack by its name, whether or not it exists.

    Parameters
    ----------
    account : Account
    name : str
    poll_seconds : float
        Between two looks at what AWS is doing.
    """

    def __init__(self, account: Account, name: str, poll_seconds: float = _POLL_SECONDS) -> None:
        self.name = name
        self._cloudformation = account.client("cloudformation")
        self._poll_seconds = poll_seconds
        self._change_set = ""

    def about(self, name: str | None = None) -> dict[str, Any] | None:
        """Describe the stack; None when there is none, or one whose first change set was never executed."""
        from botocore.exceptions import ClientError

        try:
            (found,) = self._cloudformation.describe_stacks(StackName=name or self.name)["Stacks"]
        except ClientError as fault:
            if error_code(fault) == "ValidationError" and "does not exist" in str(fault):
                return None
            raise
        return None if found["StackStatus"] == "REVIEW_IN_PROGRESS" else found

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        about = self.about()
        if about is None:
            raise ValueError(f"there is no stack {self.name} in this account and region")
        return {output["OutputKey"]: output["OutputValue"] for output in about.get("Outputs", [])}

    def resource_ids(self) -> set[str]:
        """Give the physical ids of everything in the stack."""
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return {one.get("PhysicalResourceId", "") for page in pages for one in page["StackResourceSummaries"]} - {""}

    def propose(
        self, template_url: str, parameters: list[dict[str, Any]], tags: dict[str, str], description: str
    ) -> list[Change] | None:
        """Make a change set and give what it would change; None when nothing would.

        Raises
        ------
        StackFailed
            AWS refuses template or parameters, or the stack is in a state that cannot be changed.
        """
        about = self.about()
        if about and (about["StackStatus"] == "ROLLBACK_COMPLETE" or "_FAILED" in about["StackStatus"]):
            raise StackFailed(
                f"stack {self.name} is {about['StackStatus']} and cannot be updated: "
                "`terality destroy aws` removes it (the data bucket stays), then deploy again"
            )
        name = "terality-" + datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S-%f")
        made = self._cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if about else "CREATE",
            TemplateURL=template_url,
            Parameters=parameters,
            Capabilities=_CAPABILITIES,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            Description=description,
        )
        self._change_set = made["Id"]
        return self._changes()

    def _changes(self) -> list[Change] | None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = self._cloudformation.describe_change_set(ChangeSetName=self._change_set, StackName=self.name)
            if found["Status"] == "FAILED":
                self.discard()
                reason = found.get("StatusReason", "")
                if any(words in reason for words in _NOTHING_TO_DO):
                    return None
                raise StackFailed(f"stack {self.name}: {reason}")
            if found["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                break
            self._pause(end)
        changes = list(found.get("Changes", []))
        while found.get("NextToken"):
            found = self._cloudformation.describe_change_set(
                ChangeSetName=self._change_set, StackName=self.name, NextToken=found["NextToken"]
            )
            changes += found["Changes"]
        return [_change(one["ResourceChange"]) for one in changes if "ResourceChange" in one]

    def discard(self) -> None:
        """Drop the change set; and the empty stack that the first one made."""
        self._cloudformation.delete_change_set(ChangeSetName=self._change_set, StackName=self.name)
        if self.about() is None:
            self._cloudformation.delete_stack(StackName=self.name)

    def execute(self, say: Callable[[str], None]) -> dict[str, str]:
        """Do what the change set says, and give the stack's outputs.

        Raises
        ------
        StackFailed
            Something could not be made; AWS has taken the rest back.
        """
        since = self._last_event()
        self._cloudformation.execute_change_set(ChangeSetName=self._change_set, StackName=self.name)
        status, reasons = self._follow(self.name, since, say)
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise StackFailed(f"stack {self.name} is {status}: " + ("; ".join(reasons[:3]) or "AWS gave no reason"))
        return self.outputs

    def delete(self, say: Callable[[str], None]) -> None:
        """Delete the stack and wait until it is gone.

        Raises
        ------
        StackFailed
            Something could not be deleted.
        """
        about = self.about()
        if about is None:
            return
        identifier, since = about["StackId"], self._last_event()  # a deleted stack answers to its id only
        self._cloudformation.delete_stack(StackName=identifier)
        status, reasons = self._follow(identifier, since, say)
        if status not in ("DELETE_COMPLETE", "GONE"):
            raise StackFailed(f"stack {self.name} is {status}: " + ("; ".join(reasons[:3]) or "AWS gave no reason"))

    def _pause(self, end: float) -> None:
        if time.monotonic() > end:
            raise StackFailed(f"stack {self.name}: AWS is not done after {_PATIENCE_SECONDS / 60:.0f} minutes")
        time.sleep(self._poll_seconds)

    def _last_event(self) -> str:
        if self.about() is None:
            return ""
        events = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return str(events[0]["EventId"]) if events else ""

    def _events_since(self, name: str, last: str) -> list[dict[str, Any]]:
        from botocore.exceptions import ClientError

        found: list[dict[str, Any]] = []
        try:
            for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=name):
                for event in page["StackEvents"]:  # newest first
                    if event["EventId"] == last:
                        return found[::-1]
                    found.append(event)
        except ClientError as fault:
            if error_code(fault) != "ValidationError":
                raise
        return found[::-1]

    def _follow(self, name: str, last: str, say: Callable[[str], None]) -> tuple[str, list[str]]:
        """Show events until the stack is at rest; give its status and why things failed, first reason first."""
        end = time.monotonic() + _PATIENCE_SECONDS
        reasons = []
        while True:
            about = self.about(name)  # before the events: those of the last step are then shown too
            for event in self._events_since(name, last):
                last = event["EventId"]
                status, reason = event.get("ResourceStatus", ""), event.get("ResourceStatusReason", "")
                say(f"{status:<28} {event.get('LogicalResourceId', '')}  {reason}".rstrip())
                if "FAILED" in status and "cancelled" not in reason:
                    reasons.append(f"{event.get('LogicalResourceId')}: {reason}")
            if about is None:
                return "GONE", reasons
            if not about["StackStatus"].endswith("_IN_PROGRESS"):
                return about["StackStatus"], reasons
            self._pause(end)


def _change(one: dict[str, Any]) -> Change:
    replaces = one.get("Replacement") in ("True", "Conditional")
    return Change(one["Action"], one["LogicalResourceId"], one["ResourceType"], replaces)
