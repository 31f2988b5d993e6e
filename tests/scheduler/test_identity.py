"""Workers on AWS prove who they are: a double of STS that checks every signature is the judge."""

from __future__ import annotations

import datetime
import os

import pytest

from tests.deploy.aws_double import Reply, refusal, running
from tests.deploy.sigv4_check import sign

from .daemon import Refused, Scheduler, Tenant
from .test_aws_settings import SETTINGS

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
REGION = ("eu-west-1", "sts")
ROLE = "terality-one-worker-lambda"
TYPE = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def sts():
    with running() as double:
        yield double


@pytest.fixture(scope="module")
def asked(sts, tmp_path_factory):
    """A scheduler that takes the double for an STS."""
    scheduler = Scheduler(tmp_path_factory.mktemp("identity") / "data", "--sts-endpoint", sts.url, "--aws-endpoint",
                          sts.url)  # fmt: skip
    yield scheduler.start()
    scheduler.stop()


@pytest.fixture
def one(asked, sts):
    """A tenant with settings on AWS."""
    sts.heal()
    tenant = Tenant(asked, f"t{os.urandom(4).hex()}")
    tenant.api.call("PUT", "/v1/deployments/main/aws", SETTINGS)
    return tenant


def proof(asked, sts, tenant, keys=None, scope=REGION, body=BODY, now=None, deployment=None, **headers):
    """Give a proof as a worker makes it; a header of None is left out."""
    told = asked.api(None).get("/v1/workers/challenge", deployment=deployment or tenant.deployment)
    sent = {"content-type": TYPE, "x-terality-server": told["server_id"], "x-terality-nonce": told["nonce"]}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in sent.items() if value is not None}
    signed = sign("POST", f"{sts.url}/", sent, body, keys or sts.session(ROLE), scope, now)
    return {"deployment": tenant.deployment, "url": f"{sts.url}/", "headers": signed}


def prove(asked, body):
    return asked.api(None).post("/v1/workers/identity", body)


def refused(asked, body, said, status=403):
    with pytest.raises(Refused) as caught:
        prove(asked, body)
    assert caught.value.status == status and said in caught.value.message, caught.value
    if status == 403:
        assert caught.value.code == "identity_refused"


def test_a_worker_proves_its_role_and_works(asked, sts, one):
    answer = prove(asked, proof(asked, sts, one))
    assert answer["expires_s"] == 3600
    worker = asked.api(answer["token"])
    lease = {"worker": "w1", "kind": "lambda-small", "instance": "6f1c9d52-1", "want": 1, "wait_ms": 0}
    assert worker.post("/v1/lease", lease) == {"tasks": [], "cancel": [], "drain": False}
    listed = one.api.get("/v1/workers", deployment="main")["workers"]
    assert [(w["worker"], w["instance"]) for w in listed] == [("w1", "6f1c9d52-1")]
    with pytest.raises(Refused, match="403 wrong_kind"):
        worker.get("/v1/deployments")
    assert sts.made("sts", "GetCallerIdentity")[-1].who.endswith(f"assumed-role/{ROLE}/session")


def test_tokens_outlive_a_restart_and_end_with_the_role(asked, sts, one):
    token = prove(asked, proof(asked, sts, one))["token"]
    asked.kill()
    asked.start()
    lease = {"worker": "w1", "want": 0}
    asked.api(token).post("/v1/lease", lease)
    one.api.call("PUT", "/v1/deployments/main/aws", {**SETTINGS, "worker_roles": ["another"]})
    with pytest.raises(Refused, match="401 wrong_key"):
        asked.api(token).post("/v1/lease", lease)
    one.api.call("PUT", "/v1/deployments/main/aws", SETTINGS)
    asked.api(token).post("/v1/lease", lease)
    one.api.delete("/v1/deployments/main/aws")
    with pytest.raises(Refused, match="401 wrong_key"):
        asked.api(token).post("/v1/lease", lease)


def test_forged_tokens(asked, sts, one):
    token = prove(asked, proof(asked, sts, one))["token"]
    payload, _, seal = token[4:].partition(".")
    for forged in (f"trw_{payload}.{seal[:-2]}AA", f"trw_{payload[:-2]}AA.{seal}", f"trw_{payload}.", f"trw_.{seal}",
                   f"trw_{payload}", f"{token}.{seal}", f"trw_{payload}.{seal}x"):  # fmt: skip
        with pytest.raises(Refused, match="401 wrong_key"):
            asked.api(forged).post("/v1/lease", {"worker": "w", "want": 0})


def test_wrong_role_and_other_account(asked, sts, one):
    refused(asked, proof(asked, sts, one, sts.session("terality-one-scheduler")), "is no role of this deployment")
    refused(asked, proof(asked, sts, one, sts.session(ROLE, "999999999999")), "account 999999999999")
    # A user of the account is no role, whatever it is called.
    keys = sts.session(ROLE)
    sts.owners[keys[0]] = f"arn:aws:iam::123456789012:user/{ROLE}"
    refused(asked, proof(asked, sts, one, keys), "is no role")
    sts.owners[keys[0]] = "arn:aws:sts::123456789012:federated-user/x"
    refused(asked, proof(asked, sts, one, keys), "is no role")


def test_proofs_for_somebody_else(asked, sts, one, tmp_path):
    refused(asked, proof(asked, sts, one, x_terality_server="0" * 64), "for another scheduler")
    # What another scheduler was given does not serve here, nor the other way round.
    other = Scheduler(tmp_path / "data", "--sts-endpoint", sts.url, "--aws-endpoint", sts.url).start()
    there = Tenant(other, "t")
    there.api.call("PUT", "/v1/deployments/main/aws", SETTINGS)
    good = proof(asked, sts, one)
    refused(other, {**good, "deployment": there.deployment}, "for another scheduler")
    mixed = other.api(None).get("/v1/workers/challenge", deployment=there.deployment)["nonce"]
    refused(asked, proof(asked, sts, one, x_terality_nonce=mixed), "nonce")
    other.stop()
    # Nor a nonce that was given for another deployment.
    second = one.api.post("/v1/deployments", {"name": "second"})
    one.api.call("PUT", "/v1/deployments/second/aws", SETTINGS)
    refused(asked, proof(asked, sts, one, deployment=second["id"]), "nonce")


def test_nonces(asked, sts, one):
    nonce = proof(asked, sts, one)["headers"]["x-terality-nonce"]
    when, rest = nonce.split(".", 1)
    for bad in (f"{int(when) - 301}.{rest}", f"{int(when) + 1000}.{rest}", f"{when}.{rest[:-1]}x", when, "x", f"{when}."):
        refused(asked, proof(asked, sts, one, x_terality_nonce=bad), "nonce")


def test_an_old_signature(asked, sts, one):
    """The nonce is fresh, what STS checks is not."""
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=20)
    refused(asked, proof(asked, sts, one, now=old), "STS refused the proof: SignatureDoesNotMatch")


@pytest.mark.parametrize("name", ["x-terality-server", "x-terality-nonce", "content-type"])
def test_every_header_is_signed(asked, sts, one, name):
    whole = proof(asked, sts, one)
    without = proof(asked, sts, one, **{name: None})
    refused(asked, without, f"the header {name} is missing")
    without["headers"][name] = whole["headers"][name]
    refused(asked, without, f"the header {name} is not signed")


def test_more_headers_than_a_proof_has(asked, sts, one):
    refused(asked, proof(asked, sts, one, x_amz_target="x"), "x-amz-target has no place")
    unsigned = proof(asked, sts, one)
    unsigned["headers"]["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    refused(asked, unsigned, "x-amz-content-sha256 is not signed")
    twice = proof(asked, sts, one)
    twice["headers"]["Host"] = "127.0.0.1"
    refused(asked, twice, "there twice", 400)
    lists = proof(asked, sts, one)
    lists["headers"]["authorization"] += ", SignedHeaders=host"
    refused(asked, lists, "not one list of signed headers")
    lists["headers"]["authorization"] = "Bearer x"
    refused(asked, lists, "not one list of signed headers")


def test_tampered(asked, sts, one):
    for name, value in [("x-amz-date", "20300101T000000Z"), ("x-amz-security-token", "abc")]:
        body = proof(asked, sts, one)
        body["headers"][name] = value
        refused(asked, body, "STS refused the proof")
    body = proof(asked, sts, one)
    body["headers"]["authorization"] = body["headers"]["authorization"][:-4] + "0000"
    refused(asked, body, "STS refused the proof: SignatureDoesNotMatch")
    # Signed for another action: the scheduler sends its own body.
    refused(asked, proof(asked, sts, one, body=b"Action=GetSessionToken&Version=2011-06-15"), "SignatureDoesNotMatch")
    # Long-lived keys have no token: a role's session has.
    keys = ("AKIAUSER", "secret", None)
    sts.keys["AKIAUSER"] = ("secret", None)
    refused(asked, proof(asked, sts, one, keys), "x-amz-security-token is missing")


@pytest.mark.parametrize(
    "url",
    [
        "https://sts.eu-west-1.amazonaws.com.evil.example/",
        "https://evil.example/?sts.eu-west-1.amazonaws.com",
        "https://sts.eu-west-1.amazonaws.com@evil.example/",
        "https://sts.us-east-1.amazonaws.com/",
        "http://sts.eu-west-1.amazonaws.com/",
        "https://sts.eu-west-1.amazonaws.com:8443/",
        "https://sts.eu-west-1.amazonaws.com/path",
        "http://127.0.0.1:1/",
    ],
)
def test_hosts_that_are_no_sts(asked, sts, one, url):
    refused(asked, {**proof(asked, sts, one), "url": url}, "is no STS of region eu-west-1")


def test_host_scope_and_place(asked, sts, one):
    body = proof(asked, sts, one)
    body["headers"]["host"] = "sts.eu-west-1.amazonaws.com"
    refused(asked, body, "not that of the URL")
    refused(asked, proof(asked, sts, one, scope=("eu-west-1", "s3")), "is not for eu-west-1/sts")
    refused(asked, proof(asked, sts, one, scope=("us-east-1", "sts")), "is not for eu-west-1/sts")
    refused(asked, proof(asked, sts, one, content_type="text/plain"), "content-type")


def test_what_sts_may_say(asked, sts, one):
    moved = Reply(302, b"", headers={"Location": f"{sts.url}/elsewhere"})
    sts.fail(moved, "sts", "GetCallerIdentity")
    refused(asked, proof(asked, sts, one), "redirect")
    sts.heal()
    sts.fail(Reply(500, b"oops"), "sts", "GetCallerIdentity")
    refused(asked, proof(asked, sts, one), "STS could not be asked", 503)
    sts.heal()
    sts.fail(Reply(200, b"<not xml"), "sts", "GetCallerIdentity")
    refused(asked, proof(asked, sts, one), "names no identity")
    sts.heal()
    sts.fail(refusal("sts", "Throttling", "Rate exceeded"), "sts", "GetCallerIdentity")
    refused(asked, proof(asked, sts, one), "STS could not be asked", 503)
    sts.heal()
    assert prove(asked, proof(asked, sts, one))["token"].startswith("trw_")


def test_deployments_that_have_nothing_to_prove(asked, sts, one):
    plain = one.api.post("/v1/deployments", {"name": "plain"})["id"]
    with pytest.raises(Refused, match="404 no_deployment"):
        asked.api(None).get("/v1/workers/challenge", deployment=plain)
    refused(asked, {**proof(asked, sts, one), "deployment": plain}, "no deployment", 404)
    with pytest.raises(Refused, match="400 invalid_parameter"):
        asked.api(None).get("/v1/workers/challenge")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"headers": ["host"]}, "no JSON object"),
        ({"headers": {f"h{i}": "x" for i in range(13)}}, "more than 12"),
        ({"headers": {"host": "a\nb"}}, "character"),
        ({"headers": {"host": 1}}, "no header"),
        ({"headers": {"host": "x" * 8193}}, "no header"),
        ({"url": "x" * 301}, "too long"),
        ({"deployment": "a b"}, "no id"),
        ({"more": 1}, "fields"),
    ],
)
def test_bodies_that_are_no_proof(asked, change, said):
    refused(asked, {"deployment": "d1", "url": "https://sts.amazonaws.com/", "headers": {}} | change, said, 400)
