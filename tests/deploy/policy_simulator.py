"""Says what IAM would say about one request, from policy documents alone.

Follows AWS' evaluation logic: an explicit Deny in any policy decides; otherwise an identity policy must allow and, if
the role has one, the permissions boundary too; a resource policy that allows the principal counts within one account
like an identity policy (the boundary still limits it, as it does for a role's ARN), and across accounts both sides have
to allow. Organisation and session policies are not modelled: they only ever take away.

Only what our policies use is known; an unknown operator or element raises, so that a policy is never judged by half.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"}


@dataclass(frozen=True)
class Request:
    """Who wants to do what to which resource.

    Attributes
    ----------
    principal : str
        ARN of the role (of a session: the role it was made from), or a service's name.
    action, resource : str
    context : mapping
        Condition keys and their values (a text, or a list for keys with several).
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def value(self, key: str) -> list[str] | None:
        implied = {"aws:principalarn": self.principal, "aws:principalaccount": account_of(self.principal)}
        for name, value in self.context.items():
            if name.lower() == key.lower():
                return [str(v) for v in value] if isinstance(value, (list, tuple)) else [str(value)]
        found = implied.get(key.lower())
        return [found] if found else None


@dataclass(frozen=True)
class Decision:
    """Whether, and because of which statement."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


def account_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 4 else ""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@cache
def _glob(pattern: str, any_case: bool) -> re.Pattern[str]:
    text = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if any_case else 0))


def matches(pattern: str, text: str, any_case: bool = False) -> bool:
    return _glob(pattern, any_case).fullmatch(text) is not None


def _arn_matches(pattern: str, arn: str) -> bool:
    """ARNs in conditions are compared part by part; a wildcard does not reach over a colon."""
    ours, theirs = pattern.split(":", 5), arn.split(":", 5)
    return len(ours) == len(theirs) and all(map(matches, ours, theirs))


_OPERATORS = {
    "StringEquals": lambda wanted, found: wanted == found,
    "StringLike": matches,
    "ArnEquals": _arn_matches,
    "ArnLike": _arn_matches,
    "Bool": lambda wanted, found: str(wanted).lower() == found.lower(),
    "NumericGreaterThan": lambda wanted, found: float(found) > float(wanted),
}


def _condition_holds(operator: str, key: str, wanted: Any, request: Request) -> bool:
    found = request.value(key)
    values = [str(w) for w in listed(wanted)]
    if operator == "Null":
        return any((value.lower() == "true") == (found is None) for value in values)
    if operator.endswith("IfExists"):
        if found is None:
            return True
        operator = operator[: -len("IfExists")]
    negated = operator.replace("Not", "", 1) if "Not" in operator else None
    compare = _OPERATORS.get(negated or operator)
    if compare is None:
        raise ValueError(f"condition operator {operator} is not known here")
    if found is None:
        return negated is not None
    hit = any(compare(value, one) for value in values for one in found)
    return not hit if negated else hit


def _principal_matches(principal: Any, request: Request) -> bool:
    if principal == "*":
        return True
    for kind, names in principal.items():
        for name in listed(names):
            if kind == "Service":
                if name == request.principal:
                    return True
            elif kind == "AWS":
                if name in ("*", request.principal) or name == f"arn:aws:iam::{account_of(request.principal)}:root":
                    return True
            else:
                raise ValueError(f"principal of kind {kind} is not known here")
    return False


def applies(statement: Mapping[str, Any], request: Request) -> bool:
    """Say whether a statement speaks about a request."""
    unknown = set(statement) - _ELEMENTS
    if unknown:
        raise ValueError(f"statement {statement.get('Sid')}: {unknown} is not known here")
    if "Principal" in statement and not _principal_matches(statement["Principal"], request):
        return False
    if "Action" in statement:
        if not any(matches(a, request.action, any_case=True) for a in listed(statement["Action"])):
            return False
    elif any(matches(a, request.action, any_case=True) for a in listed(statement["NotAction"])):
        return False
    if "Resource" in statement:
        if not any(matches(r, request.resource) for r in listed(statement["Resource"])):
            return False
    elif "NotResource" in statement and any(matches(r, request.resource) for r in listed(statement["NotResource"])):
        return False
    return all(
        _condition_holds(operator, key, wanted, request)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _first(documents: Iterable[Any], effect: str, request: Request) -> str | None:
    for document in documents:
        for statement in listed(document["Statement"]):
            if statement["Effect"] == effect and applies(statement, request):
                return str(statement.get("Sid", "a statement without Sid"))
    return None


def decide(
    request: Request,
    identity: Iterable[Any] = (),
    boundary: Any = None,
    resource: Any = None,
    owner: str | None = None,
) -> Decision:
    """Decide about a request.

    Parameters
    ----------
    request : Request
    identity : iterable of policy documents
        What is attached to the principal.
    boundary : policy document, optional
        Its permissions boundary.
    resource : policy document, optional
        The policy of what is acted on: a bucket's, or a role's trust policy.
    owner : str, optional
        Account of the resource; by default the principal's.
    """
    identity = list(identity)
    boundaries = [boundary] if boundary else []
    resources = [resource] if resource else []
    denied = _first([*identity, *boundaries, *resources], "Deny", request)
    if denied:
        return Decision(False, f"denied by {denied}")
    by_identity, by_resource = _first(identity, "Allow", request), _first(resources, "Allow", request)
    # A service has no account: the resource's policy alone decides, as a role's trust policy does.
    same_account = owner is None or account_of(request.principal) in ("", owner)
    granted = (by_identity or by_resource) if same_account else (by_identity and by_resource)
    if not granted:
        return Decision(False, "nothing allows it")
    if boundary and not _first(boundaries, "Allow", request):
        return Decision(False, "outside the permissions boundary")
    return Decision(True, f"allowed by {granted}")
