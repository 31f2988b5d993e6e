"""Boots the scheduler's machine: its user data, really run by bash below a folder, then its systemd unit as a process.

Paths of the system become paths below the folder. ``aws`` is a small program over boto3 with the credentials of the
machine's role, so that what the script asks of AWS is signed, judged and answered as for a real machine; what needs a
kernel or a distribution (disks, users, packages) only notes that it was called.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import boto3

__all__ = ["boot"]

_SYSTEM = re.compile(r"(?<![\w.}/])/(?=(?:etc|var|run|opt|dev/disk)/)")
_NOTED = ("blkid", "chown", "mkfs.xfs", "mount", "systemctl", "useradd")
_AGENT = "opt/aws/amazon-cloudwatch-agent"


def boot(root: Path, script: str, environment: dict[str, str], instance: str) -> tuple[list[str], dict[str, str]]:
    """Run the user data of a machine.

    Parameters
    ----------
    root : path
        The machine's file system; made.
    script : str
    environment : dict
        How the machine reaches AWS, with its role's credentials.
    instance : str
        Its id.

    Returns
    -------
    tuple
        Command and environment of the unit that the script has enabled.
    """
    commands = root / "commands"
    for folder in (commands, root / "etc/systemd/system", root / "var/lib", root / "run", root / "dev/disk/by-id"):
        folder.mkdir(parents=True)
    noted = f'#!/bin/sh\necho "$(basename "$0") $*" >>{shlex.quote(str(root / "noted"))}\n'
    for name in _NOTED:
        _program(commands / name, noted + ("exit 2\n" if name == "blkid" else ""))
    agent = shlex.quote(str(root / _AGENT))
    _program(commands / "dnf", f"{noted}mkdir -p {agent}/etc {agent}/bin\nln -s ../../../../commands/mount {agent}/bin/"
             "amazon-cloudwatch-agent-ctl\n")  # fmt: skip
    _program(commands / "install", '#!/bin/bash\nexec /bin/mkdir -p "${@: -1}"\n')
    _program(commands / "curl", f'#!/bin/sh\ncase "$*" in *api/token*) echo T;; *"metadata-token: T"*instance-id)'
             f" echo {instance};; *) exit 22;; esac\n")  # fmt: skip
    _program(commands / "aws", f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {root} "$@"\n')
    here = _SYSTEM.sub(f"{root}/", script).replace("-C / ", f"-C {root} ")
    path = {"PATH": f"{commands}:{os.defpath}"}
    done = subprocess.run(
        ["/bin/bash", "-c", here], env={**environment, **path}, capture_output=True, text=True, timeout=120, check=False
    )
    (root / "cloud-init.log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, f"user data ended with {done.returncode}: {done.stderr}"
    assert "systemctl enable --now terality-scheduler.service" in (root / "noted").read_text()
    unit = (root / "etc/systemd/system/terality-scheduler.service").read_text()
    command = re.search(r"^\s*ExecStart=(.*)$", unit, re.MULTILINE)
    variables = re.search(r"^\s*EnvironmentFile=(.*)$", unit, re.MULTILINE)
    assert command and variables, unit
    lines = Path(variables[1]).read_text().splitlines()
    return shlex.split(command[1]), dict(line.split("=", 1) for line in lines)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def aws(root: Path, words: list[str]) -> None:
    """The calls that the script makes, as AWS' command makes them."""
    service, call, *rest = words
    at = boto3.client(service)  # type: ignore[call-overload]
    if (service, call) == ("ec2", "attach-volume"):
        volume = _option(rest, "--volume-id")
        at.attach_volume(VolumeId=volume, InstanceId=_option(rest, "--instance-id"), Device=_option(rest, "--device"))
        (root / "dev/disk/by-id" / f"nvme-Amazon_Elastic_Block_Store_vol{volume.split('-')[1]}").touch()
    elif (service, call) == ("ec2", "associate-address"):
        again = "--allow-reassociation" in rest
        address, instance = _option(rest, "--allocation-id"), _option(rest, "--instance-id")
        at.associate_address(AllocationId=address, InstanceId=instance, AllowReassociation=again)
    elif (service, call) == ("s3", "cp"):
        url, to = rest[-2:]
        bucket, _, key = url.removeprefix("s3://").partition("/")
        Path(to).write_bytes(at.get_object(Bucket=bucket, Key=key)["Body"].read())
    elif (service, call) == ("ssm", "get-parameter"):
        decrypted = at.get_parameter(Name=_option(rest, "--name"), WithDecryption="--with-decryption" in rest)
        print(decrypted["Parameter"]["Value"])
    else:
        raise SystemExit(f"aws {service} {call} is not known here")


if __name__ == "__main__":
    aws(Path(sys.argv[1]), sys.argv[2:])
