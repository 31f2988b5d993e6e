"""A scheduler in the deployed-to account: its secrets, its first answer, its first account key.

Nothing secret passes through the stack. The user's own credentials put three SecureString parameters into the parameter
store (certificate, its key, an admin key made here); the scheduler's machine may read these three and write none. The
account key is then made over TLS with the admin key, which the user's credentials read back, and is kept in the user's
profile and nowhere else. Each step looks first whether it was done, so that a command that was broken off goes on where
it stopped.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from ..remote import profiles
from ..remote.api import Api, ApiError, ConnectionLost
from .account import Account, error_code
from .scheduler import Scheduler

__all__ = ["InAccount", "secrets_path"]

_POLL_SECONDS = 5.0
_PARAMETER_BYTES = 8192  # the parameter store's most


def secrets_path(name: str) -> str:
    """Give where the secrets of a deployment's scheduler are in the parameter store."""
    return f"/terality/{name}/scheduler"


class InAccount:
    """The scheduler of one deployment.

    Parameters
    ----------
    account : Account
    name : str
        Of the deployment, and of its account at the scheduler.
    path : str
        Of the secrets in the parameter store.
    say : callable
        Told what is done.
    """

    def __init__(self, account: Account, name: str, path: str, say: Callable[[str], None]) -> None:
        self._ssm = account.client("ssm")
        self.name, self.path = name, path
        self._say = say

    # ---- secrets

    def check(self, certificate: str | None, key: str | None) -> dict[str, str]:
        """Look at what will be put into the parameter store, before anything is made.

        Parameters
        ----------
        certificate, key : str, optional
            PEM files; without them the parameter store must have them already.

        Returns
        -------
        dict
            Texts by the last part of their parameter's name; empty without files.

        Raises
        ------
        ValueError
            They do not belong together, only one is given, or there are none anywhere.
        """
        if bool(certificate) != bool(key):
            raise ValueError("--scheduler-certificate and --scheduler-key go together")
        if not certificate or not key:
            missing = [part for part in ("certificate", "key") if self._get(part) is None]
            if missing:
                raise ValueError(
                    f"the scheduler in the account needs a certificate that clients and workers trust: give "
                    f"--scheduler-certificate and --scheduler-key (PEM), or put SecureString parameters at {self.path}/"
                    f"{' and '.join(missing)}"
                )
            return {}
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, ValueError) as fault:
            raise ValueError(f"{certificate} and {key} are no certificate and its key: {fault}") from None
        texts = {part: Path(file).read_text("ascii") for part, file in (("certificate", certificate), ("key", key))}
        for part, text in texts.items():
            if len(text) > _PARAMETER_BYTES:
                raise ValueError(f"the {part} has {len(text)} bytes: the parameter store takes {_PARAMETER_BYTES}")
        return texts

    def ensure_secrets(self, texts: dict[str, str]) -> None:
        """Put certificate and key where the machine reads them, and an admin key unless there is one."""
        for part, text in texts.items():
            had = self._get(part)
            if had != text:
                self._put(part, text, had is not None)
                if had is not None:
                    self._say("the machine reads it when it starts: end it, and its group starts another")
        if self._get("admin-key") is None:
            self._put("admin-key", "tra_" + secrets.token_urlsafe(32), False)

    def _get(self, part: str) -> str | None:
        from botocore.exceptions import ClientError

        try:
            found = self._ssm.get_parameter(Name=f"{self.path}/{part}", WithDecryption=True)
        except ClientError as fault:
            if error_code(fault) == "ParameterNotFound":
                return None
            raise
        return str(found["Parameter"]["Value"])

    def _put(self, part: str, text: str, replaces: bool) -> None:
        about = {"Description": f"of the scheduler of the terality deployment {self.name}", "Type": "SecureString"}
        tags = [{"Key": "terality:deployment", "Value": self.name}]
        more = {"Overwrite": True} if replaces else {"Tags": tags}
        # A long chain of certificates, or a large key, is more than a standard parameter holds.
        tier = "Standard" if part == "admin-key" else "Intelligent-Tiering"
        self._ssm.put_parameter(Name=f"{self.path}/{part}", Value=text, Tier=tier, **about, **more)
        self._say(f"parameter {self.path}/{part}: {'replaced' if replaces else 'made'} (SecureString)")

    # ---- the scheduler

    def wait(self, url: str, address: str, patience_seconds: float, poll_seconds: float = _POLL_SECONDS) -> None:
        """Wait until the scheduler answers.

        Parameters
        ----------
        url : str
        address : str
            Where its name should lead.
        patience_seconds : float
        poll_seconds : float
            Between two tries.

        Raises
        ------
        RuntimeError
            It does not answer; the text has the last reason.
        """
        end = time.monotonic() + patience_seconds
        self._say(f"the scheduler will answer at {url}: let that name lead to {address}")
        api, told = Api(url, "", timeout_seconds=10.0, patience_seconds=0.0), ""
        while True:
            try:
                api.get("/healthz")
                self._say(f"{url} answers")
                return
            except (ApiError, ConnectionLost) as fault:
                words = str(fault)
            if words != told:
                told = words
                self._say(f"not yet: {words}")
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{told} after {patience_seconds / 60:.0f} minutes. The stack is there: the same command goes on "
                    f"from here once the name leads to {address} and its certificate is the one at {self.path}"
                )
            time.sleep(poll_seconds)

    def first_key(self, url: str) -> Scheduler:
        """Give the deployment's account at the scheduler: with the key in the profile, or with a new one kept there.

        An account that is there without a key at hand (a command was broken off, or somebody else deployed) gets
        another key.
        """
        known = profiles.find(self.name)
        if known and known.url == url and known.api_key:
            scheduler = Scheduler(url, known.api_key, self.name)
            try:
                scheduler.deployment()
                return scheduler
            except ApiError as fault:
                if fault.status != 401:
                    raise
        admin = Api(url, self._get("admin-key") or "")
        if self.name in [one["name"] for one in admin.get("/v1/accounts")["accounts"]]:
            made = admin.post("/v1/keys", {"name": "deploy", "account": self.name})
        else:
            made = admin.post("/v1/accounts", {"name": self.name})["key"]
        path = profiles.save(profiles.Profile(url, made["key"]), self.name)
        self._say(f"account {self.name} at the scheduler; its key is in the profile {self.name} of {path}")
        return Scheduler(url, made["key"], self.name)


def _no_password() -> str:
    raise ValueError("the key is encrypted: the scheduler's machine cannot ask for its password")
