"""The arguments of ``terality deploy`` and ``terality destroy``; what they do is imported when they run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from . import assets

__all__ = ["add_deploy", "add_destroy", "deploy", "destroy"]

_NAME = re.compile("[a-z][a-z0-9-]{1,24}")


def deploy(arguments: argparse.Namespace) -> int:
    from .aws import run

    return _told(run, arguments)


def destroy(arguments: argparse.Namespace) -> int:
    from .destroy import run

    return _told(run, arguments)


def _told(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; what botocore raises becomes an error that the command line tells in a line."""
    try:
        return run(arguments)
    except Exception as fault:
        if type(fault).__module__.split(".")[0] == "botocore":
            raise RuntimeError(f"AWS: {fault}") from fault
        raise


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: a lower-case letter, then 1 to 24 of a-z, 0-9 and -")
    return text


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", type=_name, default="main", help="of the deployment (default: main)")
    parser.add_argument("--region", help="of AWS; else AWS_REGION or the AWS profile's")
    parser.add_argument("--aws-profile", help="of ~/.aws; else AWS_PROFILE or the environment's credentials")
    parser.add_argument("--scheduler", metavar="URL", help="else TERALITY_URL or the profile's; key: TERALITY_API_KEY")
    parser.add_argument("--dry-run", action="store_true", help="look and show, change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--poll-seconds", type=float, default=3.0, help=argparse.SUPPRESS)


def add_deploy(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``terality deploy``."""
    parser.add_argument("where", choices=["aws"])
    _shared(parser)
    parser.add_argument(
        "--access",
        choices=["minimal", "managed"],
        default="minimal",
        help="of the scheduler: run the stack's workers, or make further functions, groups and clusters too",
    )
    parser.add_argument(
        "--in-account-scheduler", action="store_true", help="run the scheduler in this account too; costs all the time"
    )
    parser.add_argument("--scheduler-domain", metavar="HOST", help="its name, which its certificate has")
    parser.add_argument("--scheduler-certificate", metavar="FILE", help="its certificate and those above it, PEM")
    parser.add_argument("--scheduler-key", metavar="FILE", help="the certificate's key, PEM")
    parser.add_argument("--wait-minutes", type=float, default=30.0, help="for its first answer (default: 30)")
    parser.add_argument("--scheduler-principal", metavar="ARN", help="the AWS role under which the scheduler runs")
    parser.add_argument("--architecture", choices=assets.ARCHITECTURES, default="arm64", help="of the workers")
    parser.add_argument("--input-bucket", action="append", default=[], metavar="NAME", help="workers may read it")
    parser.add_argument("--no-image", dest="image", action="store_false", help="no Fargate: push no container image")
    parser.add_argument("--max-workers", type=int, default=200)
    parser.add_argument("--usd-per-query", type=float, default=5.0, help="a query is stopped there; 0: no cap")
    parser.add_argument("--usd-per-hour", type=float, default=20.0, help="nothing is started above it; 0: no cap")
    parser.add_argument("--idle-seconds", type=int, default=60, help="idle tasks and instances end then (default: 60)")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the template")
    parser.add_argument("--artifacts", metavar="DIR", help="the workers' zips and tars; else TERALITY_ARTIFACTS")
    parser.add_argument("--artifact-bucket", metavar="NAME", help="else terality-artifacts-ACCOUNT-REGION")
    parser.add_argument("--template", metavar="FILE", help="instead of the one of this version")
    parser.add_argument("--template-only", action="store_true", help="print the template and do nothing")
    parser.add_argument("--no-smoke", action="store_true", help="do not run a query at the end")


def add_destroy(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``terality destroy``."""
    parser.add_argument("where", choices=["aws"])
    _shared(parser)
    parser.add_argument("--force", action="store_true", help="cancel running queries instead of waiting for them")
    parser.add_argument("--without-scheduler", action="store_true", help="the scheduler is gone: remove what AWS has")
