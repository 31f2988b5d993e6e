"""What who runs a scheduler does from the command line: accounts, their first keys, what each has used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from terality.cli import main
from terality.remote import profiles

from .daemon import ADMIN, Refused, Tenant
from .test_api import sources_of

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def terality(scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command with the operator's environment; give status and what was printed."""
    for name in ("API_KEY", "DEPLOYMENT", "STORE", "PROFILE"):
        monkeypatch.delenv(f"TERALITY_{name}", raising=False)
    monkeypatch.setenv("TERALITY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TERALITY_URL", scheduler.url)
    monkeypatch.setenv("TERALITY_ADMIN_KEY", ADMIN)

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(list(words))
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_accounts_are_made_and_listed(terality: Command, scheduler, tmp_path: Path):
    status, said = terality("account", "create", "printed")
    assert status == 0 and "shown this once" in said
    key = said.splitlines()[1].split()[0]
    assert scheduler.api(key).get("/v1/deployments") == {"deployments": []}
    status, said = terality("account", "create", "kept", "--save-as", "kept")
    saved = profiles.find("kept")
    assert status == 0 and saved and saved.url == scheduler.url and saved.api_key not in said
    assert scheduler.api(saved.api_key).get("/v1/keys")["keys"][0]["name"] == "first"
    assert (tmp_path / "home" / "config").stat().st_mode & 0o777 == 0o600
    status, said = terality("account", "list")
    assert status == 0 and "printed" in said and "kept" in said and key not in said
    status, said = terality("account", "create", "kept")
    assert status == 1 and "409" in said


def test_without_the_admin_key_it_says_so(terality: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TERALITY_ADMIN_KEY")
    status, said = terality("account", "list")
    assert status == 1 and "set TERALITY_ADMIN_KEY" in said
    monkeypatch.setenv("TERALITY_ADMIN_KEY", "not-the-admin-key-at-all")
    status, said = terality("account", "list")
    assert status == 1 and "401" in said


def test_usage_of_an_account_and_of_a_deployment(
    terality: Command, scheduler, group_plan: str, monkeypatch: pytest.MonkeyPatch
):
    tenant = Tenant(scheduler, "paying")
    tenant.api.post("/v1/deployments", {"name": "idle"})
    tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    tenant.work()
    tasks = sum(day["tasks"] for day in tenant.api.get("/v1/usage")["days"])
    status, said = terality("usage", "--account", "paying")
    assert status == 0 and f"account {tenant.account}, the last 30 days" in said
    names, day, in_all = (line.split() for line in said.splitlines()[1:])
    assert day[names.index("tasks")] == str(tasks) and "in all" in said and str(tasks) in in_all
    monkeypatch.setenv("TERALITY_API_KEY", tenant.key)
    status, said = terality("usage", "--deployment", "main")
    assert status == 0 and f"deployment {tenant.deployment}" in said and str(tasks) in said
    status, said = terality("usage", "--deployment", "idle")
    assert status == 0 and str(tasks) not in said.splitlines()[-1].split()
    status, said = terality("usage", "--deployment", "nothing")
    assert status == 1 and "no deployment nothing in this account" in said
    other = Tenant(scheduler, "not-paying")
    with pytest.raises(Refused, match="404 no_deployment"):
        other.api.get("/v1/usage", deployment=tenant.deployment)
