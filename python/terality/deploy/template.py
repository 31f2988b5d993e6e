"""Reading the CloudFormation template: what it makes under given parameters, and what its roles may do.

Only enough of CloudFormation's functions is computed to show people what will come: parameters, conditions and texts;
what AWS alone knows (names it makes up, attributes of resources) stays as ``${Name}``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .account import MissingExtra

__all__ = ["Statement", "Template"]

_NOTHING = object()  # AWS::NoValue


@dataclass(frozen=True)
class Statement:
    """One statement of a policy.

    Attributes
    ----------
    role : str
        Logical name of the role or policy it is in.
    sid : str
    effect : str
        ``Allow`` or ``Deny``.
    actions, resources : tuple of str
    conditions : tuple of str
        As ``operator key value``.
    """

    role: str
    sid: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[str, ...]


class Template:
    """A template.

    Parameters
    ----------
    path : path

    Raises
    ------
    MissingExtra
        PyYAML is not installed.
    ValueError
        The file is no template.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.body = _load(self.text, path)
        if not isinstance(self.body, dict) or "Resources" not in self.body:
            raise ValueError(f"{path}: no CloudFormation template (it has no Resources)")

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The parameters by name."""
        return dict(self.body.get("Parameters", {}))

    def compact(self) -> str:
        """The same template as JSON without blanks: what fits into a request where the file does not."""
        return json.dumps(self.body, separators=(",", ":"), default=str)

    def resources(self, parameters: dict[str, str], pseudo: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Give what the template makes.

        Parameters
        ----------
        parameters : dict
            Values; defaults are taken for those that are missing.
        pseudo : dict
            Values of ``AWS::Region`` and its like.

        Returns
        -------
        dict
            Resources by logical name, without those whose condition does not hold.
        """
        return self._scope(parameters, pseudo).resources()

    def statements(self, parameters: dict[str, str], pseudo: dict[str, str]) -> list[Statement]:
        """Give the statements of all roles and managed policies that the template makes, in its order."""
        found = []
        for name, resource in self.resources(parameters, pseudo).items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::IAM::Role":
                documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            elif resource["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::RolePolicy"):
                documents = [properties["PolicyDocument"]]
            else:
                continue
            for document in documents:
                found += [_statement(name, one) for one in _listed(document["Statement"])]
        return found

    def boundaries(self) -> set[str]:
        """Give the logical names of the policies that are permissions boundaries, which allow nothing by themselves."""
        found = set()
        for resource in self.body["Resources"].values():
            named = resource.get("Properties", {}).get("PermissionsBoundary")
            if isinstance(named, dict):
                found.add(str(named.get("Ref") or ""))
        return found - {""}

    def _scope(self, parameters: dict[str, str], pseudo: dict[str, str]) -> _Scope:
        values: dict[str, Any] = {name: about.get("Default", "") for name, about in self.parameters.items()}
        unknown = set(parameters) - set(values)
        if unknown:
            raise ValueError(f"the template has no parameter {', '.join(sorted(unknown))}")
        for name, about in self.parameters.items():
            given = parameters.get(name, values[name])
            is_list = about.get("Type", "").startswith("List<") or about.get("Type") == "CommaDelimitedList"
            values[name] = [part.strip() for part in str(given).split(",")] if is_list else given
        return _Scope(self.body, {**values, **pseudo})


class _Scope:
    """Values under which the template's functions are computed."""

    def __init__(self, body: dict[str, Any], values: dict[str, Any]) -> None:
        self._body, self._values = body, values

    def resources(self) -> dict[str, dict[str, Any]]:
        return {
            name: self.value(resource)
            for name, resource in self._body["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }

    def holds(self, condition: str) -> bool:
        return bool(self.value(self._body["Conditions"][condition]))

    def value(self, item: Any) -> Any:
        if isinstance(item, list):
            computed = [self.value(one) for one in item]
            return [one for one in computed if one is not _NOTHING]
        if not isinstance(item, dict):
            return item
        if len(item) == 1:
            ((name, argument),) = item.items()
            function = getattr(self, "_" + name.replace("Fn::", "").lower(), None)
            if function and (name.startswith("Fn::") or name in ("Ref", "Condition")):
                return function(argument)
        computed_items = {name: self.value(one) for name, one in item.items()}
        return {name: one for name, one in computed_items.items() if one is not _NOTHING}

    def _ref(self, name: str) -> Any:
        return _NOTHING if name == "AWS::NoValue" else self._values.get(name, f"${{{name}}}")

    def _condition(self, name: Any) -> Any:
        # In a policy "Condition" is a word like any other; as a function its argument is a condition's name.
        return self.holds(name) if isinstance(name, str) else {"Condition": self.value(name)}

    def _getatt(self, argument: Any) -> str:
        return "${" + (argument if isinstance(argument, str) else ".".join(map(str, argument))) + "}"

    def _sub(self, argument: Any) -> str:
        text, extra = argument if isinstance(argument, list) else (argument, {})
        known = {**self._values, **self.value(extra)}

        def put(found: re.Match[str]) -> str:
            if found[1].startswith("!"):
                return "${" + found[1][1:] + "}"
            return _text(known.get(found[1], found[0]))

        return re.sub(r"\$\{([^}]+)\}", put, text)

    def _join(self, argument: Any) -> str:
        between, parts = argument
        computed = self.value(parts)
        return between.join(map(_text, computed)) if isinstance(computed, list) else _text(computed)

    def _split(self, argument: Any) -> Any:
        between, text = argument
        return str(self.value(text)).split(between)

    def _select(self, argument: Any) -> Any:
        number, parts = self.value(argument)
        fits = isinstance(parts, list) and int(number) < len(parts)
        return parts[int(number)] if fits else f"{_text(parts)}[{number}]"

    def _findinmap(self, argument: Any) -> Any:
        name, first, second = self.value(argument)
        return self.value(self._body["Mappings"][name].get(first, {}).get(second, f"{name}.{first}.{second}"))

    def _if(self, argument: Any) -> Any:
        condition, then, otherwise = argument
        return self.value(then if self.holds(condition) else otherwise)

    def _equals(self, argument: Any) -> bool:
        left, right = self.value(argument)
        return _text(left) == _text(right)

    def _not(self, argument: Any) -> bool:
        return not self.value(argument)[0]

    def _and(self, argument: Any) -> bool:
        return all(self.value(argument))

    def _or(self, argument: Any) -> bool:
        return any(self.value(argument))

    def _base64(self, argument: Any) -> Any:
        return self.value(argument)


def _text(value: Any) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statement(role: str, item: dict[str, Any]) -> Statement:
    conditions = []
    for operator, about in item.get("Condition", {}).items():
        conditions += [f"{operator} {key} {_text(value)}" for key, value in about.items()]
    actions = _listed(item.get("Action", item.get("NotAction", [])))
    resources = _listed(item.get("Resource", item.get("NotResource", [])))
    return Statement(
        role,
        item.get("Sid", ""),
        item["Effect"],
        tuple(map(_text, actions)),
        tuple(map(_text, resources)),
        tuple(conditions),
    )


def _load(text: str, path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("PyYAML is missing: pip install 'terality[aws]'") from None

    class Loader(yaml.SafeLoader):
        """Knows CloudFormation's short forms, and leaves dates as the texts they are."""

    def function(loader: Any, suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.ScalarNode):
            argument: Any = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            argument = loader.construct_sequence(node, deep=True)
        else:
            argument = loader.construct_mapping(node, deep=True)
        if suffix == "GetAtt" and isinstance(argument, str):
            argument = argument.split(".", 1)
        return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": argument}

    Loader.add_multi_constructor("!", function)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as fault:
        raise ValueError(f"{path}: {fault}") from None
