"""A server's half of AWS Signature Version 4, written from AWS' description of it: is this request what was signed?"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


class BadSignature(Exception):
    """The request is refused; the text is AWS' code for it and a reason."""

    def __init__(self, code: str, reason: str):
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(secret: str, date: str, region: str, service: str, to_sign: str) -> str:
    """Give the hex signature of a string to sign."""
    key = _mac(_mac(_mac(_mac(f"AWS4{secret}".encode(), date), region), service), "aws4_request")
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def canonical_request(
    method: str, target: str, headers: Mapping[str, str], signed: list[str], body: bytes, s3: bool = False
) -> str:
    """Give the canonical request: every service but S3 escapes the path twice and hashes the body itself."""
    path, _, query = target.partition("?")
    pairs = sorted(
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~"))
        for name, _, value in (part.partition("=") for part in query.split("&") if part)
    )
    lines = [method, path if s3 else quote(path, safe="/-_.~"), "&".join(f"{n}={v}" for n, v in pairs)]
    lines += [f"{name}:{' '.join(headers[name].split())}" for name in signed]
    lines += ["", ";".join(signed), headers["x-amz-content-sha256"] if s3 else hashlib.sha256(body).hexdigest()]
    return "\n".join(lines)


def check(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Mapping[str, tuple[str, str | None]],
    now: datetime.datetime,
    within: int = 300,
) -> tuple[str, str, str]:
    """Give access key, region and service of a good request.

    Parameters
    ----------
    headers
        By name in lower case.
    secrets
        Access key to secret key and session token (None: long-lived keys).
    now
        The server's time; requests may be `within` seconds off.

    Raises
    ------
    BadSignature
        With the code that AWS would give.
    """
    found = FORM.fullmatch(headers.get("authorization", ""))
    if not found:
        raise BadSignature("MissingAuthenticationToken", "no AWS4-HMAC-SHA256 signature")
    access, date, region, service, names, told = found.groups()
    if access not in secrets:
        raise BadSignature("InvalidClientTokenId", "The security token included in the request is invalid.")
    secret, token = secrets[access]
    if token != headers.get("x-amz-security-token"):
        raise BadSignature("InvalidClientTokenId", "The security token included in the request is invalid.")
    signed = names.split(";")
    if signed != sorted(signed) or "host" not in signed:
        raise BadSignature("SignatureDoesNotMatch", "SignedHeaders are not sorted or lack host")
    for name in headers:
        if name.startswith("x-amz-") and name not in signed:
            raise BadSignature("SignatureDoesNotMatch", f"{name} is not signed")
    if any(name not in headers for name in signed):
        raise BadSignature("SignatureDoesNotMatch", "a signed header was not sent")
    stamp = headers.get("x-amz-date", "")
    sent = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    if not stamp.startswith(date):
        raise BadSignature("SignatureDoesNotMatch", "the scope has another day than x-amz-date")
    canonical = canonical_request(method, target, headers, signed, body, service == "s3")
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, f"{date}/{region}/{service}/aws4_request",
         hashlib.sha256(canonical.encode()).hexdigest()]
    )  # fmt: skip
    if not hmac.compare_digest(signature(secret, date, region, service, to_sign), told):
        raise BadSignature("SignatureDoesNotMatch", "The request signature we calculated does not match")
    if abs((now - sent).total_seconds()) > within:
        early = "not yet current" if sent > now else "expired"
        raise BadSignature("SignatureDoesNotMatch", f"Signature {early}: {stamp} is too far from {now}")
    return access, region, service


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    keys: tuple[str, str, str | None],
    scope: tuple[str, str],
    now: datetime.datetime | None = None,
) -> dict[str, str]:
    """Give the headers with x-amz-date, token, host and Authorization: what a worker sends.

    `keys` are access key, secret key and token, `scope` is region and service.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    rest = url.partition("://")[2]
    host, slash, path = rest.partition("/")
    sent = {name.lower(): value for name, value in headers.items()}
    sent |= {"host": host, "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ")}
    if keys[2]:
        sent["x-amz-security-token"] = keys[2]
    signed = sorted(sent)
    canonical = canonical_request(method, slash + path or "/", sent, signed, body)
    place = f"{sent['x-amz-date'][:8]}/{scope[0]}/{scope[1]}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", sent["x-amz-date"], place, digest])
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys[0]}/{place}, SignedHeaders={';'.join(signed)}, "
        f"Signature={signature(keys[1], sent['x-amz-date'][:8], scope[0], scope[1], to_sign)}"
    )
    return sent
