"""Where a scheduler is and how to talk to it: profiles in ``~/.terality/config``, the environment, arguments.

The file is INI, one section per profile, readable by its owner only: it holds API keys. ``TERALITY_HOME`` moves the
folder. What is given explicitly wins over the environment, and that over the profile.
"""

from __future__ import annotations

import configparser
import os
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

__all__ = ["Profile", "home", "load", "profile_names", "save"]

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
    """

    url: str = ""
    api_key: str = ""
    deployment: str = ""
    store: str = ""

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
    name = profile or os.environ.get("TERALITY_PROFILE")
    parser = _read()
    if name and not parser.has_section(name):
        raise ValueError(f"no profile {name!r} in {home() / 'config'}: it has {', '.join(parser.sections()) or 'none'}")
    section = name or DEFAULT
    values = {}
    for key, variable in _ENVIRONMENT.items():
        from_file = parser.get(section, key, fallback="") if parser.has_section(section) else ""
        values[key] = given[key] or os.environ.get(variable) or from_file
    missing = [key for key, value in values.items() if not value]
    if missing:
        ways = ", ".join(f"{key} (or {_ENVIRONMENT[key]})" for key in missing)
        raise ValueError(f"not known: {ways}; give it to terality.connect() or put it into {home() / 'config'}")
    return Profile(**values)


def save(values: Profile, profile: str = DEFAULT) -> Path:
    """Write a profile, replacing one of that name, as a whole or not at all; gives the file's path."""
    parser = _read()
    if parser.has_section(profile):
        parser.remove_section(profile)
    parser.add_section(profile)
    for field in fields(values):
        parser.set(profile, field.name, getattr(values, field.name))
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
