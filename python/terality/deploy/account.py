"""The AWS account that is deployed to, as the user's own credentials reach it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Account", "MissingExtra", "error_code", "open_account"]


class MissingExtra(RuntimeError):
    """A package of the extra ``terality[aws]`` is not installed."""


def _boto3() -> Any:
    try:
        import boto3
    except ImportError as fault:
        raise MissingExtra(f"{fault.name or 'boto3'} is missing: pip install 'terality[aws]'") from None
    return boto3


@dataclass
class Account:
    """An account and a region.

    Attributes
    ----------
    number : str
        Twelve digits.
    region : str
    arn : str
        Of the user or role whose credentials these are.
    session : boto3.Session
    """

    number: str
    region: str
    arn: str
    session: Any = field(repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def client(self, service: str) -> Any:
        """Give the client of a service, made once."""
        if service not in self._clients:
            from botocore.config import Config

            config = Config(retries={"mode": "standard", "max_attempts": 6}, user_agent_extra="terality-deploy")
            self._clients[service] = self.session.client(service, config=config)
        return self._clients[service]

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn`` or ``aws-us-gov``."""
        return str(self.session.get_partition_for_region(self.region))


def error_code(fault: Exception) -> str:
    """Give the code of botocore's ClientError, such as ``NoSuchEntity``; empty for anything else."""
    response = getattr(fault, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def open_account(region: str | None = None, profile: str | None = None) -> Account:
    """Find credentials and region, and ask STS whose they are.

    Parameters
    ----------
    region : str, optional
        Else what environment and profile say.
    profile : str, optional
        Of ~/.aws; else ``AWS_PROFILE``.

    Raises
    ------
    MissingExtra
        boto3 is not installed.
    ValueError
        There are no credentials, no region, or AWS does not take them; the text says what to do.
    """
    boto3 = _boto3()
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
        if not session.region_name:
            raise ValueError("no region: give --region, or set AWS_REGION")
        if session.get_credentials() is None:
            raise ValueError("no AWS credentials: run `aws configure`, set AWS_PROFILE, or give --aws-profile")
        made = Account("", session.region_name, "", session)
        who = made.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as fault:
        raise ValueError(f"AWS does not say who you are: {fault}") from fault
    made.number, made.arn = who["Account"], who["Arn"]
    return made
