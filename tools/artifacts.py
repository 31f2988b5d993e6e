#!/usr/bin/env python3
"""Packs the worker for AWS: a zip for Lambda and a tar.gz for EC2 and ECS, for x86-64 and aarch64.

    artifacts.py [--arch x86_64] [--arch arm64] [--out out/artifacts]

The program is built as always, with a search path of libraries beside it, and packed with the shared libraries it
needs, which are Debian's own packages: this machine's, or those of the other architecture unpacked into a folder
(nothing is installed for it but a compiler). The C library is not packed: what is packed must need no newer one than
Amazon Linux 2023 has, which is looked at in every file. The tar has it besides, below opt/image, for the container
image, in which there is nothing else.

The same sources and packages give the same bytes: names are sorted, times, owners and modes are fixed.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = (ROOT / os.environ.get("BUILD", "build")).resolve()
VENV = (ROOT / os.environ.get("VENV", ".venv")).resolve()
ENVIRONMENT = {**os.environ, "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}", "LC_ALL": "C"}
CACHE = Path(os.environ.get("TERALITY_TOOLS") or Path.home() / ".cache" / "terality-tools")
GLIBC = (2, 34)  # Amazon Linux 2023
ZIP_BYTES = 20 << 20
# Parts of the C library: they come with the system, and must be of one piece.
SYSTEM = re.compile(r"(ld-linux.*|lib(c|m|dl|pthread|rt|resolv|util|anl|nss_\w+))\.so\.\d+")
RPATH = "-Wl,-rpath,$ORIGIN/lib,--disable-new-dtags"  # also for libraries of libraries, and before LD_LIBRARY_PATH
STATIC = ("libexpat1-dev", "libsnappy-dev", "libdouble-conversion-dev")  # and what gcc adds: see licenses()
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip can say


class Problem(Exception):
    """The artifacts cannot be made; the text says why."""


def run(*command: object, **settings: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, **settings)
    if done.returncode:
        raise Problem(f"{' '.join(words[:6])} …: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


@dataclass
class Target:
    """An architecture: how it is built, and where its libraries lie."""

    name: str  # as AWS has it
    triplet: str
    loader: str
    tools: str = ""  # prefix of binutils
    sysroot: Path = Path("/")

    @property
    def folders(self) -> list[Path]:
        return [self.sysroot / place / self.triplet for place in ("usr/lib", "lib")]

    def library(self, name: str) -> Path:
        for folder in self.folders:
            if (folder / name).exists():
                return (folder / name).resolve()
        raise Problem(f"{name} is in none of {', '.join(map(str, self.folders))}")

    @functools.cached_property
    def owners(self) -> dict[str, str]:
        """Packages by the names of their files."""
        return json.loads((self.sysroot / "owners.json").read_text()) if self.tools else {}

    def package(self, library: Path) -> str:
        if self.tools:
            return self.owners[library.name]
        return run("dpkg-query", "-S", f"*/{library.name}").splitlines()[0].split(":")[0]


TARGETS = {
    "x86_64": Target("x86_64", "x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2"),
    "arm64": Target("arm64", "aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1"),
}
HERE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")


# ---- the other architecture's packages
def packages(file: str) -> list[str]:
    lines = (ROOT / "tools" / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def install_cross() -> None:
    """Compiler and emulator, when they are missing."""
    wanted = packages("apt-packages-cross.txt")
    missing = [p for p in wanted if subprocess.run(["dpkg", "-s", p], capture_output=True, check=False).returncode]
    if not missing:
        return
    print(f"artifacts: apt-get install {' '.join(missing)}", flush=True)
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    try:
        run(*root, *install)
    except Problem:
        run(*root, "apt-get", "update")
        run(*root, *install)


def make_sysroot(target: Target) -> Path:
    """Download Debian's packages for the architecture and unpack them; nothing of this system changes."""
    wanted = [p for p in packages("apt-packages.txt") if p.startswith(("lib", "zlib")) and "clang" not in p]
    wanted = [p for p in wanted if p != "libcmocka-dev"] + ["ca-certificates"]
    key = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    made = CACHE / f"sysroot-{target.name}-{key}"
    if (made / "owners.json").exists():
        return made
    print(f"artifacts: Debian's packages for {target.name} into {made}", flush=True)
    work = CACHE / f"apt-{target.name}"
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    places = {"Dir::State": work / "state", "Dir::State::status": work / "status", "Dir::Cache": work / "cache",
              "APT::Architecture": "arm64", "APT::Architectures::": "arm64", "Debug::NoLocking": "1",
              "APT::Sandbox::User": "root", "APT::Keep-Downloaded-Packages": "true"}  # fmt: skip
    options = [f"-o{name}={value}" for name, value in places.items()]
    run("apt-get", *options, "update")
    run("apt-get", *options, "install", "-y", "--no-install-recommends", "--download-only", *wanted)
    fresh = CACHE / f"sysroot-{target.name}-new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    owners: dict[str, str] = {}
    for deb in sorted((work / "cache/archives").glob("*.deb")):
        run("dpkg-deb", "-x", deb, fresh)
        package = deb.name.split("_")[0]
        for line in run("dpkg-deb", "-c", deb).splitlines():
            name = line.split(None, 5)[5].split(" -> ")[0]
            owners[name.rsplit("/", 1)[-1]] = package
    make_links_relative(fresh)
    (fresh / "owners.json").write_text(json.dumps(owners))
    shutil.rmtree(made, ignore_errors=True)
    fresh.rename(made)
    shutil.rmtree(work)
    return made


def make_links_relative(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            inside = root / os.readlink(path).lstrip("/")
            path.unlink()
            path.symlink_to(os.path.relpath(inside, path.parent))


def cross_file(target: Target, path: Path) -> None:
    root, tools = target.sysroot, target.tools
    libraries = root / "usr/lib" / target.triplet / "pkgconfig"
    path.write_text(f"""[binaries]
c = ['ccache', '{tools}gcc']
cpp = ['ccache', '{tools}g++']
ar = '{tools}ar'
strip = '{tools}strip'
pkg-config = 'pkg-config'
exe_wrapper = ['qemu-aarch64-static', '-L', '{root}']
[properties]
sys_root = '{root}'
pkg_config_libdir = ['{libraries}', '{root / "usr/share/pkgconfig"}']
[built-in options]
c_args = ['--sysroot={root}']
cpp_args = ['--sysroot={root}']
c_link_args = ['--sysroot={root}', '{RPATH}']
cpp_link_args = ['--sysroot={root}', '{RPATH}']
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
""")


# ---- building
def prepare(name: str) -> Target:
    target = TARGETS[name]
    if name == HERE:
        return target
    if name != "arm64" or HERE != "x86_64":
        raise Problem(f"{name} is not built on {platform.machine()}: only arm64 on x86-64, and what the machine is")
    install_cross()
    return Target(target.name, target.triplet, target.loader, "aarch64-linux-gnu-", make_sysroot(target))


def compile_program(target: Target, program: str) -> Path:
    """Build and strip; give the program."""
    folder = BUILD / f"artifact-{target.name}"
    options = ["-Dpython=false", "-Dbuildtype=release", "-Dportable=true"]
    if target.tools:
        cross = BUILD / f"cross-{target.name}.ini"
        BUILD.mkdir(parents=True, exist_ok=True)
        cross_file(target, cross)
        options += ["--cross-file", str(cross)]
    else:
        options += [f"-Dc_link_args={RPATH}", f"-Dcpp_link_args={RPATH}"]
    run(ROOT / "tools" / "configure.sh", folder, *options, cwd=ROOT)
    jobs = [f"-j{os.environ['JOBS']}"] if os.environ.get("JOBS") else []
    floor = program.removeprefix("terality-")
    run("ninja", "-C", folder, *jobs, f"src/{floor}/{program}")
    stripped = folder / program
    # The build id is a hash over paths of this machine too.
    run(f"{target.tools}strip", "--strip-all", "--remove-section=.note.gnu.build-id", "-o", stripped,
        folder / "src" / floor / program)  # fmt: skip
    return stripped


def needed(target: Target, file: Path) -> list[str]:
    text = run(f"{target.tools}readelf", "-d", file)
    return re.findall(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]", text)


def libraries(target: Target, program: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Give all that the program needs by name: what is packed, and the parts of the C library."""
    packed: dict[str, Path] = {}
    system: dict[str, Path] = {}
    queue = needed(target, program)
    while queue:
        name = queue.pop()
        if name in packed or name in system:
            continue
        found = target.library(name)
        (system if SYSTEM.fullmatch(name) else packed)[name] = found
        queue += needed(target, found)
    return packed, system


def glibc_need(target: Target, file: Path) -> tuple[int, ...]:
    """Give the newest version of the C library that the file asks for."""
    found = re.findall(r"\(?GLIBC_(\d+(?:\.\d+)+)\)?", run(f"{target.tools}objdump", "-T", file))
    return max((tuple(map(int, version.split("."))) for version in found), default=(0,))


def check_glibc(target: Target, files: dict[str, Path]) -> tuple[int, ...]:
    needs = {name: glibc_need(target, file) for name, file in files.items()}
    late = {name: need for name, need in needs.items() if need > GLIBC}
    if late:
        words = ", ".join(f"{name} needs {'.'.join(map(str, need))}" for name, need in late.items())
        raise Problem(f"{target.name}: glibc {'.'.join(map(str, GLIBC))} is all there is: {words}")
    return max(needs.values())


def licenses(target: Target, packed: dict[str, Path]) -> dict[str, bytes]:
    """Give the copyright files of the packages whose libraries are packed, and our own."""
    found = {"terality": (ROOT / "LICENSE").read_bytes()}
    documents = target.sysroot / "usr/share/doc"
    for package in {*STATIC, *map(target.package, packed.values())}:
        found[package] = (documents / package / "copyright").read_bytes()
    gcc = (
        Path("/usr/share/doc") / run("gcc", "-dumpversion").strip().split(".")[0].join(("gcc-", "-base")) / "copyright"
    )
    found["gcc-runtime"] = gcc.read_bytes()
    return {f"licenses/{name}": content for name, content in sorted(found.items())}


def certificates(target: Target) -> bytes:
    """Give the authorities of Debian's ca-certificates in one file."""
    folder = target.sysroot / "usr/share/ca-certificates/mozilla"
    if not folder.is_dir():
        raise Problem(f"{folder} is not there: install ca-certificates")
    return b"".join(file.read_bytes().rstrip() + b"\n" for file in sorted(folder.glob("*.crt")))


# ---- packing
Files = dict[str, tuple[bytes, int]]


def write_zip(path: Path, files: Files) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, (content, mode) in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix: modes count
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, compresslevel=9)
    if path.stat().st_size > ZIP_BYTES:
        raise Problem(f"{path}: {path.stat().st_size / 1e6:.1f} MB, more than {ZIP_BYTES >> 20} MiB")


def write_tar(path: Path, files: Files) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
        for name in sorted([*folders, *files]):
            entry = tarfile.TarInfo(name)
            if name in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
                continue
            content, entry.mode = files[name]
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    path.write_bytes(gzip.compress(raw.getvalue(), 9, mtime=0))


def image_files(target: Target, system: dict[str, Path]) -> Files:
    """What a container without a distribution needs: the C library, names of hosts by DNS, certificates."""
    wanted = dict(system)
    for name in ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2", "libc.so.6"):
        wanted[name] = target.library(name)
    files: Files = {}
    for name, path in wanted.items():
        place = target.loader if name.startswith("ld-linux") else f"lib/{target.triplet}/{name}"
        files[f"opt/image/{place}"] = (path.read_bytes(), 0o755)
    loader = target.sysroot / target.loader
    files[f"opt/image/{target.loader}"] = (loader.resolve().read_bytes(), 0o755)
    files["opt/image/etc/nsswitch.conf"] = (b"hosts: files dns\n", 0o644)
    files["opt/image/etc/ssl/certs/ca-certificates.crt"] = (certificates(target), 0o644)
    return files


def pack(name: str, out: Path, programs: tuple[str, ...] = ("terality-worker", "terality-scheduler")) -> list[Path]:
    """Make the artifacts of an architecture; give their paths."""
    target = prepare(name)
    made: list[Path] = []
    for program in programs:
        file = compile_program(target, program)
        packed, system = libraries(target, file)
        need = check_glibc(target, {program: file, **packed})
        beside: Files = {f"lib/{library}": (path.read_bytes(), 0o755) for library, path in packed.items()}
        beside |= {place: (content, 0o644) for place, content in licenses(target, packed).items()}
        files = {f"opt/terality/{place}": entry for place, entry in beside.items()}
        files[f"opt/terality/{program}"] = (file.read_bytes(), 0o755)
        short = program.removeprefix("terality-")
        if short == "worker":
            made.append(out / f"worker-{name}.zip")
            write_zip(made[-1], {"bootstrap": (file.read_bytes(), 0o755), **beside})
            unit = (ROOT / "deploy/worker/terality-worker.service").read_bytes()
            files["etc/systemd/system/terality-worker.service"] = (unit, 0o644)
            files |= image_files(target, system)
        made.append(out / f"{short}-{name}.tar.gz")
        write_tar(made[-1], files)
        version = ".".join(map(str, need))
        print(f"artifacts: {program} {name}: {len(packed)} libraries, glibc {version} or newer", flush=True)
    for path in made:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
        print(f"artifacts: {path} {path.stat().st_size / 1e6:.1f} MB sha256 {digest[:16]}…", flush=True)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", choices=sorted(TARGETS))
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "artifacts")
    parser.add_argument("--worker-only", action="store_true", help="not the scheduler")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    programs = ("terality-worker",) if given.worker_only else ("terality-worker", "terality-scheduler")
    try:
        for name in given.arch or TARGETS:
            pack(name, given.out, programs)
    except Problem as problem:
        print(f"artifacts: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
