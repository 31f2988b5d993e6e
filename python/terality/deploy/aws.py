"""``terality deploy aws``: from nothing, or from an older version, to a deployment that answers a query.

The order keeps every step harmless until the person has said yes: look (credentials, region, template, what is there
already), show (resources, permissions with reasons, changes), then bucket and artifacts, then the stack, then the
scheduler, then a query. A scheduler in the account comes with the stack and issues what the stack needs, so the stack
is made with that left empty and updated with it (in_account.py).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .. import __version__
from ..remote import profiles
from . import assets, permissions, uploads
from .account import Account, open_account
from .in_account import InAccount, secrets_path
from .scheduler import Scheduler, settings
from .stack import Change, Stack
from .template import Template

__all__ = ["Deploy", "confirm", "run", "say", "stack_name"]

_SMOKE_SECONDS = 900
_SMALLEST = {"arm64": "t4g.small", "x86_64": "t3a.small"}  # for a scheduler in the account
_BODY_BYTES = 51_200  # of a template that travels inside a request


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def confirm(question: str, yes: bool) -> bool:
    """Ask; True with --yes.

    Raises
    ------
    ValueError
        Nobody is there to answer.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError(f"{question} Nobody can answer here: give --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def stack_name(name: str) -> str:
    """Give the stack of a deployment."""
    return f"terality-{name}"


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command."""
    if arguments.template_only:
        template = Template(assets.template(arguments.template))
        sys.stdout.write(template.text)
        if arguments.in_account_scheduler:
            print(_by_hand(template, arguments.name), file=sys.stderr)
        return 0
    return Deploy(arguments).run()


def _price(template: Template) -> str:
    """What the template says a scheduler in the account costs."""
    return " ".join(str(template.parameters["InAccountScheduler"]["Description"]).split())


def _by_hand(template: Template, name: str) -> str:
    """How the template is used for a scheduler in the account without this command."""
    return "\n".join(
        [
            f"InAccountScheduler: {_price(template)}",
            f"1. SecureString parameters {secrets_path(name)}/certificate, key and admin-key",
            f"2. the stack with InAccountScheduler=yes, SchedulerSecretsPath={secrets_path(name)}, SchedulerDomain and "
            "SchedulerBinaryKey, and without DeploymentId and ExternalId",
            "3. SchedulerDomain leads to the output SchedulerAddress; an account and a deployment on the scheduler",
            "4. the stack again, with the DeploymentId and ExternalId that the scheduler issued",
        ]
    )


class Deploy:
    """One deployment on its way.

    Parameters
    ----------
    arguments : argparse.Namespace
        As ``command.add_deploy`` describes them.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.name: str = arguments.name
        self.template = Template(assets.template(arguments.template))
        self.account: Account = open_account(arguments.region, arguments.aws_profile)
        self.stack = Stack(self.account, stack_name(self.name), arguments.poll_seconds)
        self.bucket: str = arguments.artifact_bucket or uploads.bucket_name(self.account)
        self.tags = {"terality:deployment": self.name}
        self._had: dict[str, str] = {}

    def run(self) -> int:
        """Do all of it; gives the exit status."""
        say(f"account {self.account.number}, region {self.account.region}, as {self.account.arn}")
        about = self.stack.about()
        self._had = {one["ParameterKey"]: one["ParameterValue"] for one in (about or {}).get("Parameters", [])}
        here = self._in_account()
        artifacts = self._artifacts()
        self._validate()
        scheduler = None if here else self._scheduler()
        parameters = self._parameters(artifacts)
        texts = here.check(self.arguments.scheduler_certificate, self.arguments.scheduler_key) if here else {}
        self._show(parameters, about, artifacts)
        if self.arguments.dry_run:
            say("dry run: nothing was made or changed")
            return 0
        if not confirm(f"Put artifacts into s3://{self.bucket} and prepare the stack {self.stack.name}?", self._yes):
            return 1
        if scheduler:
            deployment = scheduler.ensure_deployment()
            parameters |= self._of_deployment(scheduler, deployment)
        if here:
            here.ensure_secrets(texts)
        url = self._upload(artifacts, parameters)
        changes = self.stack.propose(url, self._given(parameters), self.tags, f"terality {artifacts.version}")
        if not self._agree(changes):
            return 1
        outputs = self.stack.execute(say) if changes is not None else self.stack.outputs
        if here:
            scheduler = self._first_answer(here, outputs)
            deployment = scheduler.ensure_deployment()
            parameters |= {"DeploymentId": deployment["id"], "ExternalId": deployment["external_id"]}
            outputs = self._tell_the_stack(url, parameters, artifacts, outputs)
        assert scheduler is not None
        return self._finish(scheduler, deployment, outputs)

    def _in_account(self) -> InAccount | None:
        """The scheduler in the account, when there is one or shall be."""
        wanted = self.arguments.in_account_scheduler
        if not wanted and self._had.get("InAccountScheduler") == "yes":
            raise ValueError(
                f"the stack {self.stack.name} holds its own scheduler: give --in-account-scheduler "
                "(`terality destroy aws` removes it, with the stack)"
            )
        if not wanted:
            return None
        if not self._of_scheduler("SchedulerDomain", self.arguments.scheduler_domain):
            raise ValueError("a scheduler in the account needs a host name: give --scheduler-domain")
        path = self._of_scheduler("SchedulerSecretsPath", "", secrets_path(self.name))
        return InAccount(self.account, self.name, path, say)

    def _of_scheduler(self, parameter: str, given: str | None, otherwise: str = "") -> str:
        """A parameter of the template: as given, as the stack has it, or this."""
        named = dict(one.partition("=")[::2] for one in self.arguments.parameter)
        return named.get(parameter) or given or self._had.get(parameter) or otherwise

    def _instance_type(self, architecture: str) -> str:
        """Of the scheduler: what the stack has is kept while it fits the architecture."""
        same = self._had.get("Architecture") == architecture
        had = self._had.get("SchedulerInstanceType") if same else ""
        return had or _SMALLEST[architecture]

    def _first_answer(self, here: InAccount, outputs: dict[str, str]) -> Scheduler:
        url = self.arguments.scheduler or outputs["SchedulerUrl"]
        poll = min(5.0, 10 * self.arguments.poll_seconds)
        here.wait(url, outputs["SchedulerAddress"], 60 * self.arguments.wait_minutes, poll)
        return here.first_key(url)

    def _tell_the_stack(
        self, url: str, parameters: dict[str, str], artifacts: uploads.Artifacts, outputs: dict[str, str]
    ) -> dict[str, str]:
        """Give the stack what its own scheduler has issued, unless it has it; asked for with the first change set."""
        changes = self.stack.propose(url, self._given(parameters), self.tags, f"terality {artifacts.version}: its ids")
        if changes is None:
            return outputs
        say(f"deployment {parameters['DeploymentId']}: the stack is updated with its id and its external id")
        return self.stack.execute(say)

    @property
    def _yes(self) -> bool:
        return bool(self.arguments.yes)

    # ---- looking

    def _scheduler(self) -> Scheduler:
        given = self.arguments
        url, key = profiles.scheduler(given.profile, url=given.scheduler)
        return Scheduler(url, key, self.name)

    def _artifacts(self) -> uploads.Artifacts:
        folder = assets.artifacts(self.arguments.artifacts)
        wanted = assets.artifact_names([self.arguments.architecture])
        if self.arguments.image:
            # The image serves whichever architecture there is; Lambda and EC2 get the one that was asked for.
            wanted += [n for n in assets.artifact_names() if n.endswith(".tar.gz") and (folder / n).is_file()]
        if self.arguments.in_account_scheduler:
            wanted.append(assets.scheduler_artifact(self.arguments.architecture))
        return uploads.find_artifacts(folder, sorted(set(wanted)), __version__)

    def _validate(self) -> None:
        """AWS' opinion of the template, asked before anything is made."""
        from botocore.exceptions import ClientError

        compact = self.template.compact()
        if len(compact.encode()) > _BODY_BYTES:
            say(f"template {self.template.path}: too large to be validated before it is uploaded; AWS will do it then")
            return
        try:
            self.account.client("cloudformation").validate_template(TemplateBody=compact)
        except ClientError as fault:
            raise ValueError(f"template {self.template.path}: {fault}") from fault
        say(f"template {self.template.path}: valid")

    def _parameters(self, artifacts: uploads.Artifacts) -> dict[str, str]:
        """What this command knows of the template's parameters before anything is made."""
        given, architecture = self.arguments, self.arguments.architecture
        made = {
            "DeploymentName": self.name,
            "SchedulerAccess": given.access,
            "ArtifactBucket": self.bucket,
            "WorkerZipKey": artifacts.key(f"worker-{architecture}.zip"),
            "WorkerBinaryKey": artifacts.key(f"worker-{architecture}.tar.gz"),
            "Architecture": architecture,
            "InAccountScheduler": "yes" if given.in_account_scheduler else "no",
            "InputBuckets": ",".join(given.input_bucket),
            "WorkerImage": f"{self._repository}:{artifacts.version}" if given.image else "",
        }
        if given.in_account_scheduler:
            made |= {
                "SchedulerDomain": self._of_scheduler("SchedulerDomain", given.scheduler_domain),
                "SchedulerSecretsPath": self._of_scheduler("SchedulerSecretsPath", "", secrets_path(self.name)),
                "SchedulerBinaryKey": artifacts.key(assets.scheduler_artifact(architecture)),
                "SchedulerInstanceType": self._instance_type(architecture),
            }
        for one in given.parameter:
            name, equals, value = one.partition("=")
            if not equals or name not in self.template.parameters:
                known = ", ".join(self.template.parameters)
                raise ValueError(f"--parameter {one}: expected NAME=VALUE with a NAME of the template: {known}")
            made[name] = value
        return made

    def _of_deployment(self, scheduler: Scheduler, deployment: dict[str, Any]) -> dict[str, str]:
        """What the scheduler issues."""
        principal = self.arguments.scheduler_principal or deployment.get("scheduler_principal", "")
        if not principal:
            raise ValueError(
                "who is the scheduler? It does not know its own AWS role: give --scheduler-principal ARN "
                "(the role or user under which terality-scheduler runs)"
            )
        return {
            "DeploymentId": deployment["id"],
            "ExternalId": deployment["external_id"],
            "SchedulerUrl": scheduler.url,
            "SchedulerPrincipalArn": principal,
        }

    @property
    def _repository(self) -> str:
        return f"terality-{self.name}-worker"

    # ---- showing

    def _pseudo(self) -> dict[str, str]:
        return {
            "AWS::Region": self.account.region,
            "AWS::AccountId": self.account.number,
            "AWS::Partition": self.account.partition,
            "AWS::StackName": self.stack.name,
            "AWS::URLSuffix": "amazonaws.com.cn" if self.account.partition == "aws-cn" else "amazonaws.com",
        }

    def _show(self, parameters: dict[str, str], about: dict[str, Any] | None, artifacts: uploads.Artifacts) -> None:
        resources = self.template.resources(parameters, self._pseudo())
        if about is None:
            say(f"\nstack {self.stack.name} will be created with {len(resources)} resources:")
        else:
            say(f"\nstack {self.stack.name} ({about['StackStatus']}) will be updated; its {len(resources)} resources:")
        for name, resource in resources.items():
            kept = "  (stays when the stack is deleted)" if resource.get("DeletionPolicy") == "Retain" else ""
            say(f"  {resource['Type']:<44} {name}{kept}")
        if self.arguments.in_account_scheduler:
            say(f"\nscheduler in this account at https://{parameters['SchedulerDomain']}, costs all the time:")
            say(f"  {_price(self.template)}")
            say(
                f"  its certificate, key and admin key: SecureString parameters at {parameters['SchedulerSecretsPath']}"
            )
            say("  once it answers, the stack is updated with the deployment's id and external id, which it issues")
        say("\npermissions:")
        for line in permissions.explain(self.template, parameters, self._pseudo()):
            say("  " + line)
        say(f"\nartifacts {artifacts.version} for s3://{self.bucket}:")
        for name, path in artifacts.files.items():
            say(f"  {name:<28} {path.stat().st_size:>12,} bytes  sha256 {artifacts.digests[name]}")
        if self.arguments.image:
            say(f"container image for the ECR repository {self._repository}")

    def _agree(self, changes: list[Change] | None) -> bool:
        if changes is None:
            say(f"stack {self.stack.name}: nothing to change")
            return True
        say(f"\nchange set of {self.stack.name}: {len(changes)} changes")
        for change in changes:
            say(f"  {change.action:<8} {change.kind:<44} {change.name}{'  REPLACED' if change.replaces else ''}")
        if confirm("Execute it?", self._yes):
            return True
        self.stack.discard()
        say("nothing was changed")
        return False

    # ---- making

    def _upload(self, artifacts: uploads.Artifacts, parameters: dict[str, str]) -> str:
        """Artifacts, image and template; gives the template's URL."""
        if uploads.ensure_bucket(self.account, self.bucket):
            say(f"made the bucket {self.bucket}: private, encrypted, TLS only")
        uploads.put_artifacts(self.account, self.bucket, artifacts, say)
        if self.arguments.image:
            with tempfile.TemporaryDirectory(prefix="terality-image-") as folder:
                image = uploads.ensure_image(
                    self.account, self._repository, artifacts, Path(folder), self.tags, lambda line: say("  " + line)
                )
            say(f"image {image}")
            parameters["WorkerImage"] = image
        key = artifacts.key(f"template-{self.name}.yaml")
        return uploads.put_text(self.account, self.bucket, key, self.template.text)

    def _given(self, parameters: dict[str, str]) -> list[dict[str, Any]]:
        """The change set's parameters: ours, and for the rest what the stack has or the template says."""
        made: list[dict[str, Any]] = []
        for name in self.template.parameters:
            if name in parameters:
                made.append({"ParameterKey": name, "ParameterValue": parameters[name]})
            elif name in self._had:
                made.append({"ParameterKey": name, "UsePreviousValue": True})
        return made

    def _finish(self, scheduler: Scheduler, deployment: dict[str, Any], outputs: dict[str, str]) -> int:
        """Register with the scheduler, keep a profile, run a query."""
        about = self.stack.about() or {}
        values = {one["ParameterKey"]: one["ParameterValue"] for one in about.get("Parameters", [])}
        limits = {
            "workers": self.arguments.max_workers,
            "usd_per_query": self.arguments.usd_per_query,
            "usd_per_hour": self.arguments.usd_per_hour,
            "idle_seconds": self.arguments.idle_seconds,
        }
        scheduler.api.put(f"/v1/deployments/{deployment['id']}/aws", settings(outputs, values, limits))
        say(f"registered as {deployment['id']} with {scheduler.url}")
        store = f"s3://{outputs['DataBucket']}"
        profile = profiles.Profile(scheduler.url, scheduler.key, deployment["id"], store, self.account.region)
        path = profiles.save(profile, self.name)
        if not self.arguments.no_smoke:
            status = self._smoke(profile)
            if status:
                say("the stack is there, but the query did not come back right: `terality status` shows its health")
                return status
        say(f'\nconnect:  terality.connect(profile="{self.name}")    (written to {path})')
        say(f"data in {store}; clients need the policy {outputs['ClientPolicyArn']}")
        say(f"remove:   terality destroy aws --name {self.name}")
        return 0

    def _smoke(self, profile: profiles.Profile) -> int:
        """Run a query in a process of its own, with the credentials that boto3 found."""
        say("smoke query (the first workers start now)")
        credentials = self.account.session.get_credentials().get_frozen_credentials()
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_REGION": self.account.region,
            "TERALITY_URL": profile.url,
            "TERALITY_API_KEY": profile.api_key,
            "TERALITY_DEPLOYMENT": profile.deployment,
            "TERALITY_STORE": profile.store,
        }
        environment.pop("AWS_SESSION_TOKEN", None)
        if credentials.token:
            environment["AWS_SESSION_TOKEN"] = credentials.token
        # As a text, which counts as a user's program: what files of the package call goes to pandas itself.
        program = Path(__file__).with_name("smoke.py").read_text(encoding="utf-8")
        command = [sys.executable, "-c", program]
        try:
            return subprocess.run(command, env=environment, timeout=_SMOKE_SECONDS, check=False).returncode
        except subprocess.TimeoutExpired:
            say(f"smoke query: no answer in {_SMOKE_SECONDS} s")
            return 1
