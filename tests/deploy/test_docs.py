"""docs/deploy-aws.md and docs/threat-model.md say what the template says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from .policy_simulator import listed
from .stack import ROOT, VARIANTS, Stack, load

PAGE = (ROOT / "docs" / "deploy-aws.md").read_text("utf-8")
THREATS = (ROOT / "docs" / "threat-model.md").read_text("utf-8")


def rows() -> set[tuple[str, str, frozenset[str]]]:
    """Give the rows of the permission tables: statement, effect, actions."""
    found = set()
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[2] in ("allow", "deny"):
            found.add((cells[1], cells[2], frozenset(re.findall(r"`([^`]+)`", cells[3]))))
    return found


def statements() -> set[tuple[str, str, frozenset[str]]]:
    found: set[Any] = set()
    for given in VARIANTS.values():
        for document in Stack(given=given).documents().values():
            for s in document["Statement"]:
                found.add((s["Sid"], s["Effect"].lower(), frozenset(listed(s["Action"]))))
    return found


def test_every_statement_is_on_the_page_and_no_other() -> None:
    assert rows() == statements()


def test_numbers_on_the_page_are_the_templates() -> None:
    minimal = Stack().identity_policies("SchedulerRole")
    allowed = {a for d in minimal for s in d["Statement"] if s["Effect"] == "Allow" for a in listed(s["Action"])}
    assert f"allows {len(allowed)} actions" in PAGE
    parameters = load()["Parameters"]
    assert f"`ResultDays` ({parameters['ResultDays']['Default']})" in PAGE
    assert f"`AuditDays` ({parameters['AuditDays']['Default']})" in PAGE
    for name in re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", PAGE + THREATS):
        known = {*parameters, *load()["Outputs"], *load()["Resources"], "ReservedConcurrentExecutions", "WriteOnce"}
        assert name in known or name in {"MaxSize"}, f"{name} is no parameter, output or resource of the template"


@pytest.mark.parametrize("page", ["deploy-aws.md", "threat-model.md"])
def test_links_and_figures_are_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
        if target.endswith(".svg"):
            assert ElementTree.parse(ROOT / "docs" / target).getroot().tag.endswith("svg")
