"""What the stack is made from goes into the account first: artifacts into a private bucket, the image into ECR.

Artifacts lie under a version that names their content, so that an update of the stack sees new ones, a rollback finds
the old ones, and what is there already is not sent again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .account import Account, error_code
from .image import build
from .registry import Registry, push

__all__ = ["Artifacts", "bucket_name", "ensure_bucket", "ensure_image", "find_artifacts", "put_artifacts", "put_text"]

_MISSING = ("404", "NoSuchKey", "NotFound", "NoSuchBucket")


@dataclass(frozen=True)
class Artifacts:
    """The workers' artifacts of this version.

    Attributes
    ----------
    version : str
        terality's version and the beginning of a hash over the files.
    files : dict of str to Path
        By their names in the bucket.
    digests : dict of str to str
        SHA-256 in hex, by the same names.
    """

    version: str
    files: dict[str, Path]
    digests: dict[str, str]

    def key(self, name: str) -> str:
        """Where a file lies in the bucket."""
        return f"terality/{self.version}/{name}"


def find_artifacts(folder: Path, names: list[str], version: str) -> Artifacts:
    """Look at the artifacts in a folder.

    Raises
    ------
    FileNotFoundError
        One of the names is not there.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} has no {' and no '.join(missing)}: python -m terality.deploy.artifacts")
    files = {name: folder / name for name in names}
    digests = {name: _sha256(path) for name, path in files.items()}
    whole = hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(names)).encode()).hexdigest()
    return Artifacts(f"{version}-{whole[:8]}", files, digests)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bucket_name(account: Account) -> str:
    """Give the name of the artifact bucket: one for an account and region, shared by its deployments."""
    return f"terality-artifacts-{account.number}-{account.region}"


def ensure_bucket(account: Account, name: str) -> bool:
    """Make the artifact bucket unless it is there: private, encrypted, TLS only; gives whether it was made.

    Raises
    ------
    ValueError
        Somebody else has a bucket of this name.
    """
    from botocore.exceptions import ClientError

    s3 = account.client("s3")
    try:
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=account.number)
        return False
    except ClientError as fault:
        if error_code(fault) == "403":
            raise ValueError(f"the bucket {name} belongs to somebody else: give --artifact-bucket") from None
        if error_code(fault) not in _MISSING:
            raise
    more: dict[str, Any] = {}
    if account.region != "us-east-1":
        more["CreateBucketConfiguration"] = {"LocationConstraint": account.region}
    s3.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced", **more)
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(closed, True))
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=encryption)
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(_tls_only(f"arn:{account.partition}:s3:::{name}")))
    abort: dict[str, Any] = {"ID": "abort", "Status": "Enabled", "Filter": {"Prefix": ""}}
    abort["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 1}
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [abort]})
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "terality:artifacts", "Value": "yes"}]})
    return True


def _tls_only(arn: str) -> dict[str, Any]:
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def put_artifacts(account: Account, bucket: str, artifacts: Artifacts, say: Callable[[str], None]) -> None:
    """Upload what the bucket does not hold; S3 checks each file's SHA-256 on arrival."""
    for name, path in artifacts.files.items():
        key, digest = artifacts.key(name), artifacts.digests[name]
        if _held(account, bucket, key) == digest:
            say(f"s3://{bucket}/{key}: there already")
            continue
        say(f"s3://{bucket}/{key}: {path.stat().st_size:,} bytes")
        with path.open("rb") as body:
            _put(account, bucket, key, body, digest, "application/octet-stream")


def put_text(account: Account, bucket: str, key: str, text: str) -> str:
    """Upload a text (the template) and give its https URL."""
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()
    if _held(account, bucket, key) != digest:
        _put(account, bucket, key, content, digest, "text/yaml")
    suffix = "amazonaws.com.cn" if account.partition == "aws-cn" else "amazonaws.com"
    return f"https://{bucket}.s3.{account.region}.{suffix}/{key}"


def _held(account: Account, bucket: str, key: str) -> str:
    """The SHA-256 in an object's metadata; empty without one."""
    from botocore.exceptions import ClientError

    try:
        found = account.client("s3").head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account.number)
    except ClientError as fault:
        if error_code(fault) in _MISSING:
            return ""
        raise
    return str(found["Metadata"].get("sha256", ""))


def _put(account: Account, bucket: str, key: str, body: Any, digest: str, kind: str) -> None:
    account.client("s3").put_object(
        Bucket=bucket,
        Key=key,
        Body=body,
        ContentType=kind,
        Metadata={"sha256": digest},
        ChecksumSHA256=base64.b64encode(bytes.fromhex(digest)).decode(),
        ExpectedBucketOwner=account.number,
    )


def ensure_image(
    account: Account,
    repository: str,
    artifacts: Artifacts,
    folder: Path,
    tags: dict[str, str],
    say: Callable[[str], None],
) -> str:
    """Build the image of the tars among the artifacts and push it to ECR.

    Parameters
    ----------
    account : Account
    repository : str
        Made when missing.
    artifacts : Artifacts
    folder : Path
        Where the layout is written.
    tags : dict
        Of a new repository.
    say : callable

    Returns
    -------
    str
        The image by digest, as a task definition names it.
    """
    from botocore.exceptions import ClientError

    ecr = account.client("ecr")
    try:
        (about,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    except ClientError as fault:
        if error_code(fault) != "RepositoryNotFoundException":
            raise
        about = ecr.create_repository(
            repositoryName=repository,
            tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            imageScanningConfiguration={"scanOnPush": True},
        )["repository"]
    workers = {n: p for n, p in artifacts.files.items() if n.startswith("worker-") and n.endswith(".tar.gz")}
    tars = {n[len("worker-") : -len(".tar.gz")]: p for n, p in workers.items()}
    layout = build(tars, folder, artifacts.version)
    (granted,) = ecr.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(granted["authorizationToken"]).decode().partition(":")
    registry = Registry(granted["proxyEndpoint"], repository, user, password)
    digest = push(layout, registry, artifacts.version, say)
    return f"{about['repositoryUri']}@{digest}"
