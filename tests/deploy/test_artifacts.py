"""What `make artifacts` packs: as AWS wants it, the same each time, and it works with nothing else around."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.scheduler.daemon import wait_for
from tests.worker.test_worker import in_background

from .test_lambda import compare, invoke

ROOT = Path(__file__).parents[2]


def tool() -> ModuleType:
    """Load tools/artifacts.py."""
    spec = importlib.util.spec_from_file_location("artifacts_tool", ROOT / "tools" / "artifacts.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def here() -> str:
    name = tool().HERE
    if not name or not shutil.which("dpkg-query"):
        pytest.skip("artifacts are packed on Debian")
    return name


@pytest.fixture(scope="module")
def packed(here, tmp_path_factory) -> Path:
    """The worker's artifacts for this machine's architecture."""
    out = tmp_path_factory.mktemp("artifacts")
    tool().pack(here, out, ("terality-worker",))
    return out


def unpack(archive: Path, folder: Path) -> Path:
    subprocess.run(["tar", "-xzf", archive, "-C", folder, "--no-same-owner"], check=True)
    return folder


def test_the_zip_is_a_functions(here, packed):
    path = packed / f"worker-{here}.zip"
    assert path.stat().st_size <= 20 << 20
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    modes = {entry.filename: stat.S_IMODE(entry.external_attr >> 16) for entry in entries}
    assert modes["bootstrap"] == 0o755
    assert {name.split("/")[0] for name in modes} == {"bootstrap", "lib", "licenses"}
    # The C library is the system's, and of one piece.
    assert not any(name.startswith(("lib/libc.", "lib/libm.", "lib/ld-")) for name in modes)
    sum_line = (packed / f"worker-{here}.zip.sha256").read_text()
    assert sum_line == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  worker-{here}.zip\n"


def test_the_same_again(here, packed, tmp_path):
    tool().pack(here, tmp_path, ("terality-worker",))
    for path in packed.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_newer_glibc_is_refused(here, packed, tmp_path):
    made = tool()
    target = made.prepare(here)
    made.GLIBC = (2, 33)
    unpack(packed / f"worker-{here}.tar.gz", tmp_path)
    with pytest.raises(made.Problem, match=r"worker needs 2\.34"):
        made.check_glibc(target, {"worker": tmp_path / "opt" / "terality" / "terality-worker"})


def test_the_zip_works_as_a_function(here, packed, tmp_path, cluster, aws_lambda, function, path, table):
    with zipfile.ZipFile(packed / f"worker-{here}.zip") as archive:
        archive.extractall(tmp_path / "task")
    bootstrap = tmp_path / "task" / "bootstrap"
    bootstrap.chmod(0o755)
    made = function()
    made.command = [str(bootstrap)]
    cluster.connect()
    wait = in_background(lambda: compare("two keys", path, table))
    wait_for(lambda: cluster.tenant.worker.get("/v1/capacity")["tasks"]["ready"])
    status, headers, body = invoke(aws_lambda)
    assert status == 200 and "X-Amz-Function-Error" not in headers and json.loads(body)["tasks"] > 0, body
    wait()
    # Its libraries are those beside it.
    shown = subprocess.run(
        [bootstrap, "--help"], env={"LD_DEBUG": "libs"}, capture_output=True, text=True, check=True, timeout=60
    ).stderr
    loaded = [line.split()[-1] for line in shown.splitlines() if "calling init" in line]
    ours = {name for name in loaded if name.startswith(str(tmp_path))}
    assert any("libcurl" in name for name in ours)
    assert not any(library in name for name in set(loaded) - ours for library in ("libcurl", "libcrypto", "libzstd"))


def test_the_tar_has_all_that_an_image_needs(here, packed, tmp_path):
    with tarfile.open(packed / f"worker-{here}.tar.gz") as archive:
        for member in archive.getmembers():
            assert (member.uid, member.gid, member.mtime, member.uname) == (0, 0, 0, "")
    root = unpack(packed / f"worker-{here}.tar.gz", tmp_path)
    unit = (root / "etc" / "systemd" / "system" / "terality-worker.service").read_text()
    assert "ExecStart=/opt/terality/terality-worker --fixed ec2" in unit
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("mount and chroot need root")
    shutil.copytree(root / "opt" / "image", root, dirs_exist_ok=True, symlinks=True)
    (root / "proc").mkdir()
    script = 'mount --bind /proc "$1/proc" && exec env -i PATH="$PATH" chroot "$1" "$2" --fixed ecs'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", root, "/opt/terality/terality-worker"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "this is no ECS task" in done.stderr, done.stderr


@pytest.mark.artifacts
def test_aarch64_under_qemu(tmp_path, cluster, path, table):
    made = tool()
    if made.HERE != "x86_64":
        pytest.skip("aarch64 is built on x86-64")
    made.pack("arm64", tmp_path, ("terality-worker",))
    root = unpack(tmp_path / "worker-arm64.tar.gz", tmp_path)
    command = ["qemu-aarch64-static", "-L", str(root / "opt" / "image"), str(root / "opt/terality/terality-worker")]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.startswith("usage: terality-worker")
    cluster.connect()
    process = subprocess.Popen(
        [*command, "--name", "arm", "--renew-ms", "200"], env=cluster.environment(), stdout=cluster.log,
        stderr=cluster.log,
    )  # fmt: skip
    cluster.workers.append(process)
    for program in ("filter", "groups", "two keys", "sort", "text"):
        compare(program, path, table)
    with zipfile.ZipFile(tmp_path / "worker-arm64.zip") as archive:
        assert archive.getinfo("bootstrap").external_attr >> 16 & 0o111
    assert (tmp_path / "worker-arm64.zip").stat().st_size <= 20 << 20


def test_the_module_runs_the_trees_tool(tmp_path):
    def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, *command, "--help"], cwd=folder, capture_output=True, text=True,
                              timeout=120, check=False)  # fmt: skip

    shown = run(ROOT, "-m", "terality.deploy.artifacts")
    assert shown.returncode == 0 and "--arch" in shown.stdout
    shutil.copy(ROOT / "python" / "terality" / "deploy" / "artifacts.py", tmp_path)  # as if installed elsewhere
    shown = run(tmp_path, "artifacts.py")
    assert shown.returncode == 2 and "made from a source tree" in shown.stderr
