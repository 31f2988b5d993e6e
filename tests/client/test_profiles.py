"""Profiles: what wins, what is missing, who may read the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import terality
from terality.remote import profiles
from terality.remote.profiles import Profile

FULL = Profile("https://one.example", "tk_secret", "prod", "s3://bucket/prefix")


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("TERALITY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TERALITY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_saved_profile_is_read_back_and_is_its_owners_only(empty_home: Path) -> None:
    path = profiles.save(FULL)
    profiles.save(Profile("http://127.0.0.1:1", "k%%", "d", "/tmp/x"), "local")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(empty_home.stat().st_mode) == 0o700
    assert profiles.load() == FULL
    assert profiles.load("local").api_key == "k%%"
    assert profiles.profile_names() == ["default", "local"]
    assert "tk_secret" not in repr(profiles.load())


def test_arguments_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.save(FULL)
    monkeypatch.setenv("TERALITY_DEPLOYMENT", "from-environment")
    monkeypatch.setenv("TERALITY_URL", "https://environment.example")
    found = profiles.load(url="https://argument.example")
    assert found == Profile("https://argument.example", "tk_secret", "from-environment", "s3://bucket/prefix")


def test_what_is_missing_is_named_with_the_ways_to_give_it(empty_home: Path) -> None:
    with pytest.raises(ValueError, match=r"api_key \(or TERALITY_API_KEY\), deployment") as caught:
        profiles.load(url="https://one.example")
    assert str(empty_home / "config") in str(caught.value)
    assert not empty_home.exists()


def test_without_a_default_profile_those_there_are_get_named() -> None:
    profiles.save(FULL, "local")
    with pytest.raises(ValueError, match=r"not known: url .*or --profile: there is local$"):
        profiles.load()


def test_an_unknown_profile_names_those_there_are() -> None:
    profiles.save(FULL)
    with pytest.raises(ValueError, match=r"no profile 'prd' in .*: it has default"):
        profiles.load("prd")


def test_a_file_that_others_may_read_is_refused() -> None:
    profiles.save(FULL).chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        profiles.load()


def test_a_file_that_is_no_ini_is_named() -> None:
    path = profiles.save(FULL)
    path.write_text("url = x\n")
    with pytest.raises(ValueError, match="config"):
        profiles.load()


@pytest.mark.parametrize(
    ("store", "arguments", "text"),
    [
        ("/tmp/x", {"options": {"target_row": 3}}, r"options\['target_row'\] is not known: expected target_rows"),
        ("/tmp/x", {"options": {"partitions": "4"}}, r"options\['partitions'\]='4': expected a whole number"),
        ("/tmp/x", {"min_rows": "1"}, r"min_rows='1': expected a whole number"),
        ("/tmp/x", {"storage_options": {"key": "a"}}, "a folder takes none"),
        ("s3://b/p", {"storage_options": {"nosuch": 1}}, r"storage_options\['nosuch'\] is not known for .*s3://b/p"),
        ("s3://b/p", {"storage_options": [1]}, "storage_options that are no dict"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_sent(store: str, arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        terality.connect("http://127.0.0.1:9", api_key="k", deployment="d", store=store, **arguments)
