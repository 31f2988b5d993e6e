"""Where a scheduler is and how to talk to it: profiles in ``~/.terality/config``, the environment, arguments.

The file is INI, one section per profile, readable by its owner only: it holds API keys. ``TERALITY_HOME`` moves the
folder. What is given explicitly wins over the environment, and that over the profile.
"""

from __future__ import annotations

import configparser
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

__all__ = ["Profile", "find", "home", "load", "profile_names", "remove", "save", "scheduler"]

DEFAULT = "default"
_ENVIRONMENT = {
    "url": "TERALITY_URL",
    "api_key": "TERALITY_API_KEY",
    "deployment": "TERALITY_DEPLOYMENT",
    "store": "TERALITY_STORE",
}


@dataclass(frozen=True)
class Profile:
    """How to reach one deployment.

    Attributes
    ----------
    url : str
        Of the scheduler, ``https://host[:port]`` (plain http on loopback only).
    api_key : str
        Of an account; shown by ``terality keys create`` once.
    deployment : str
        Its name or id.
    store : str
        The deployment's bucket, ``s3://bucket/prefix``, or a folder.
    region : str
        Where a deployment on AWS is; empty for others.
    """

    url: str = ""
    api_key: str = ""
    deployment: str = ""
    store: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return f"Profile(url={self.url!r}, deployment={self.deployment!r}, store={self.store!r})"


def home() -> Path:
    """Give the folder of configuration: ``TERALITY_HOME`` or ``~/.terality``."""
    return Path(os.environ.get("TERALITY_HOME") or Path.home() / ".terality")


def _read() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    path = home() / "config"
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise PermissionError(f"{path} holds API keys and may be read by others: chmod 600 {path}")
            parser.read_file(file)
    except FileNotFoundError:
        pass
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    return parser


def profile_names() -> list[str]:
    """Give the names of the profiles in the file."""
    return _read().sections()


def load(
    profile: str | None = None,
    *,
    url: str | None = None,
    api_key: str | None = None,
    deployment: str | None = None,
    store: str | None = None,
) -> Profile:
    """Put together arguments, environment and profile.

    Parameters
    ----------
    profile : str, optional
        Section of the file; ``TERALITY_PROFILE`` or "default" when None.
    url, api_key, deployment, store : str, optional
        What is given wins.

    Raises
    ------
    ValueError
        The profile asked for does not exist, or something is given nowhere; the text says how to give it.
    """
    given = {"url": url, "api_key": api_key, "deployment": deployment, "store": store}
    values, section = _together(profile, given)
    missing = [key for key in given if not values[key]]
    if missing:
        ways = ", ".join(f"{key} (or {_ENVIRONMENT[key]})" for key in missing)
        there = ", ".join(profile_names())
        hint = f"; or name a profile with profile=… or --profile: there is {there}" if there and not section else ""
        raise ValueError(f"not known: {ways}; give it to terality.connect() or put it into {home() / 'config'}{hint}")
    return Profile(**values, region=section.get("region", ""))


def _together(profile: str | None, given: dict[str, str | None]) -> tuple[dict[str, str], Mapping[str, str]]:
    """What is given, from the environment or in the profile; and the profile."""
    name = profile or os.environ.get("TERALITY_PROFILE")
    parser = _read()
    if name and not parser.has_section(name):
        raise ValueError(f"no profile {name!r} in {home() / 'config'}: it has {', '.join(parser.sections()) or 'none'}")
    section: Mapping[str, str] = parser[name or DEFAULT] if parser.has_section(name or DEFAULT) else {}
    return {
        key: one or os.environ.get(_ENVIRONMENT[key]) or section.get(key, "") for key, one in given.items()
    }, section


def scheduler(profile: str | None = None, *, url: str | None = None, api_key: str | None = None) -> tuple[str, str]:
    """Give URL and key of a scheduler, for what needs no deployment; from the same places as :func:`load`.

    Raises
    ------
    ValueError
        One of them is given nowhere.
    """
    values, _ = _together(profile, {"url": url, "api_key": api_key})
    missing = [f"{key} (or {_ENVIRONMENT[key]})" for key, value in values.items() if not value]
    if missing:
        raise ValueError(f"which scheduler? not known: {', '.join(missing)}; or name a profile with --profile")
    return values["url"], values["api_key"]


def find(profile: str) -> Profile | None:
    """Give a profile of the file as it is there; None when there is none of that name."""
    parser = _read()
    if not parser.has_section(profile):
        return None
    return Profile(**{field.name: parser.get(profile, field.name, fallback="") for field in fields(Profile)})


def remove(profile: str) -> None:
    """Take a profile out of the file; one that is not there is fine."""
    parser = _read()
    if parser.remove_section(profile):
        _write(parser)


def save(values: Profile, profile: str = DEFAULT) -> Path:
    """Write a profile, replacing one of that name, as a whole or not at all; gives the file's path."""
    parser = _read()
    parser.remove_section(profile)
    parser.add_section(profile)
    for field in fields(values):
        if value := getattr(values, field.name):
            parser.set(profile, field.name, value)
    return _write(parser)


def _write(parser: configparser.ConfigParser) -> Path:
    folder = home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "config"
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".config-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            parser.write(file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
