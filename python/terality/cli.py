"""The command ``terality``: run programs, start a cluster, look at deployments."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from typing import Any

from .deploy import command

__all__ = ["main"]


def _api(arguments: argparse.Namespace) -> Any:
    from .remote import profiles
    from .remote.api import Api

    profile = profiles.load(arguments.profile)
    return Api(profile.url, profile.api_key), profile


def _store(profile: Any) -> Any:
    from . import _engine

    return _engine.Store(profile.store, {})


def _when(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000)) if milliseconds else "-"


def _table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print rows of texts in aligned columns."""
    lines = [columns, *([str(row.get(column, "-")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def run(arguments: argparse.Namespace) -> int:
    from .__main__ import main as run_program

    return run_program([arguments.script, *arguments.arguments])


def up(arguments: argparse.Namespace) -> int:
    from .cluster.processes import LocalCluster
    from .remote import profiles

    # A shell starts what runs in the background with SIGINT ignored; SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="terality-up-") as scratch:
        data = arguments.data or scratch
        store = arguments.store or str(profiles.home() / "store")
        n_workers = 0 if arguments.ray else arguments.workers
        with LocalCluster(n_workers, store, data, arguments.listen, log=sys.stderr) as cluster:
            path = profiles.save(cluster.profile, "local")
            p = cluster.profile
            print(f"scheduler at {cluster.url}, {n_workers or 'Ray'} workers, store {cluster.store}")
            print(
                f'connect:  terality.connect("{p.url}", api_key="{p.api_key}", deployment="{p.deployment}", '
                f'store="{p.store}")'
            )
            print(f'      or  terality.connect(profile="local")    (written to {path})')
            print("Ctrl-C stops all", flush=True)
            try:
                _tend(cluster, arguments)
            except KeyboardInterrupt:
                print("stopping")
    return 0


def _tend(cluster: Any, arguments: argparse.Namespace) -> None:
    """Until interrupted: replace workers that ended, and say so."""
    with contextlib.ExitStack() as running:
        if arguments.ray:
            from .cluster.ray_workers import RayWorkers

            on_ray = running.enter_context(RayWorkers(arguments.ray, cluster.url, cluster.token, cluster.store))
            print(f"workers on {len(on_ray)} nodes of the Ray cluster", flush=True)
        while cluster.scheduler.poll() is None:
            told = on_ray.tend() if arguments.ray else []
            told += [f"a worker ended with status {status}; another was started" for status in cluster.tend()]
            for line in told:
                print(line, file=sys.stderr, flush=True)
            time.sleep(0.5)
    raise RuntimeError(f"the scheduler ended with status {cluster.scheduler.returncode}")


def status(arguments: argparse.Namespace) -> int:
    api, profile = _api(arguments)
    for deployment in api.get("/v1/deployments")["deployments"]:
        if profile.deployment not in (deployment["id"], deployment["name"]):
            continue
        capacity = api.get("/v1/capacity", deployment=deployment["id"])
        workers = api.get("/v1/workers", deployment=deployment["id"])["workers"]
        print(f"deployment {deployment['name']} ({deployment['id']}) at {profile.url}, store {profile.store}")
        cost = capacity.pop("cost")["usd_last_hour"]
        parts = [
            f"{value} {name} {what}"
            for name, one in capacity.items()
            if isinstance(one, dict)
            for what, value in one.items()
        ]
        print("capacity: " + ", ".join(parts))
        print(f"cost of its workers on AWS in the last hour, estimated: ${cost:.4f}")
        if workers:
            _table(workers, sorted({name for worker in workers for name in worker}))
        health = _health(api, deployment["id"])
        if health:
            print("\n".join(["", "on AWS", *_lines(health)]))
        return 0
    raise ValueError(f"no deployment {profile.deployment} at {profile.url}")


def _health(api: Any, deployment: str) -> dict[str, Any]:
    """What the scheduler knows of a deployment on AWS; empty for one elsewhere."""
    from .remote.api import ApiError

    try:
        found = dict(api.get(f"/v1/deployments/{deployment}/health"))
        return {} if found["status"] == "no_aws" else found
    except ApiError as fault:
        if fault.status == 404:
            return {}
        raise


def _lines(value: Any, depth: int = 1) -> list[str]:
    """A JSON document as indented lines for people."""
    lines = []
    for name, one in value.items() if isinstance(value, dict) else enumerate(value):
        words = f"{'  ' * depth}{str(name).replace('_', ' ')}"
        if isinstance(one, dict | list):
            lines += [words, *_lines(one, depth + 1)] if one else [f"{words}: none"]
        else:
            lines.append(f"{words}: {one}")
    return lines


def usage(arguments: argparse.Namespace) -> int:
    from .remote import profiles
    from .remote.api import Api

    if arguments.account:
        api = _admin(arguments)
    else:
        api = Api(*profiles.scheduler(arguments.profile, url=arguments.scheduler))
    found = api.get("/v1/usage", limit=arguments.days, account=arguments.account, deployment=arguments.deployment)
    days = found["days"]
    names = list(dict.fromkeys(name for day in days for name in day)) or ["day"]
    totals: dict[str, Any] = {name: sum(day.get(name, 0) for day in days) for name in names if name != "day"}
    rows = [*days, {"day": "in all", **totals}]
    shown = [{n: f"{v:.3f}" if isinstance(v, float) else v for n, v in row.items()} for row in rows]
    of = f", deployment {found['deployment']}" if "deployment" in found else ""
    print(f"account {found['account']}{of}, the last {arguments.days} days")
    _table(shown, names)
    return 0


def _admin(arguments: argparse.Namespace) -> Any:
    """The API with the key of who runs the scheduler, which is in no profile."""
    from .remote import profiles
    from .remote.api import Api

    key = os.environ.get("TERALITY_ADMIN_KEY")
    if not key:
        raise ValueError("this needs the admin key: set TERALITY_ADMIN_KEY (the scheduler keeps it in DIR/admin.key)")
    url, _ = profiles.scheduler(arguments.profile, url=arguments.scheduler, api_key=key)
    return Api(url, key)


def account(arguments: argparse.Namespace) -> int:
    from .remote import profiles

    api = _admin(arguments)
    if arguments.action == "list":
        found = api.get("/v1/accounts")["accounts"]
        for one in found:
            one["created"] = _when(one["created"])
        _table(found, ["id", "name", "created"])
        return 0
    if not arguments.name:
        raise ValueError("account create: what is it called?")
    made = api.post("/v1/accounts", {"name": arguments.name})
    print(f"account {made['name']} ({made['id']})")
    if arguments.save_as:
        path = profiles.save(profiles.Profile(api.url, made["key"]["key"]), arguments.save_as)
        print(f"its first key is in the profile {arguments.save_as} of {path}")
    else:
        print(f"{made['key']['key']}    (its first key, id {made['key']['id']}; shown this once)")
    return 0


def queries(arguments: argparse.Namespace) -> int:
    api, _ = _api(arguments)
    found = api.get("/v1/queries", limit=arguments.limit)["queries"]
    for query in found:
        query["seconds"] = f"{(query['finished'] - query['created']) / 1000:.2f}" if query["finished"] else "-"
        query["created"] = _when(query["created"])
        query["cost"] = f"${query['cost_usd']:.4f}"
    _table(found, ["query", "deployment", "state", "created", "seconds", "cost"])
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    api, _ = _api(arguments)
    print(f"{arguments.query}: {api.delete(f'/v1/queries/{arguments.query}')['state']}")
    return 0


def keys(arguments: argparse.Namespace) -> int:
    api, _ = _api(arguments)
    if arguments.action == "create":
        made = api.post("/v1/keys", {"name": arguments.name or "key"})
        print(f"{made['key']}    (id {made['id']}; shown this once)")
    elif arguments.action == "revoke":
        if not arguments.name:
            raise ValueError("keys revoke: which? give the id that `terality keys list` shows")
        api.delete(f"/v1/keys/{arguments.name}")
        print(f"{arguments.name}: revoked")
    else:
        found = api.get("/v1/keys")["keys"]
        for key in found:
            key["created"], key["revoked"] = _when(key["created"]), _when(key["revoked"])
        _table(found, ["id", "name", "created", "revoked"])
    return 0


def audit(arguments: argparse.Namespace) -> int:
    from .remote import profiles

    store = _store(profiles.load(arguments.profile))
    total = 0
    for key, _ in sorted(store.list("audit/")):
        for line in store.get(key).decode().splitlines():
            entry = json.loads(line)
            total += entry["bytes"]
            body = f"\n    {entry['body']}" if arguments.bodies else ""
            print(f"{entry['time']}  {entry['sender']}  {entry['request']}  {entry['bytes']} bytes{body}")
    print(f"{total} bytes left for the scheduler in all")
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Check one thing after the other; the first that fails says what to do."""
    import pandas
    import pyarrow

    from . import daemons
    from .remote import profiles

    print(f"python {sys.version.split()[0]}, pandas {pandas.__version__}, pyarrow {pyarrow.__version__}")
    for name in ("terality-scheduler", "terality-worker"):
        print(f"{name}: {daemons.path(name)}")
    print(f"profiles in {profiles.home() / 'config'}: {', '.join(profiles.profile_names()) or 'none'}")
    try:
        api, profile = _api(arguments)
    except ValueError as fault:
        print(f"no deployment to check: {fault}")
        return 0
    print(f"scheduler {profile.url}: {api.get('/healthz')}")
    names = [d["name"] for d in api.get("/v1/deployments")["deployments"]]
    print(f"deployments of this key: {', '.join(names) or 'none'}")
    store = _store(profile)
    probe = f"uploads/doctor-{os.getpid()}"
    store.put(probe, b"probe")
    found = store.get(probe)
    store.delete(probe)
    if found != b"probe":
        raise RuntimeError(f"{profile.store}/{probe} does not hold what was written to it")
    print(f"store {profile.store}: written, read, deleted")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("terality", description=__doc__)
    parser.add_argument("--profile", help="of ~/.terality/config; TERALITY_PROFILE or default")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(function: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(function.__name__, help=text, description=text)
        made.set_defaults(function=function)
        return made

    one = add(run, "run an unmodified pandas program on the engine")
    one.add_argument("script", help="a file, or -m and a module")
    one.add_argument("arguments", nargs=argparse.REMAINDER)
    one = add(up, "start a scheduler and workers on this machine")
    one.add_argument("--workers", type=int, default=4)
    one.add_argument("--store", help="folder or s3://bucket/prefix (default: a folder in ~/.terality)")
    one.add_argument("--listen", default="127.0.0.1:0", help="ADDRESS:PORT, port 0 takes a free one")
    one.add_argument("--data", help="the scheduler's folder (default: a temporary one)")
    one.add_argument("--ray", metavar="auto|ADDRESS", help="run the workers on a Ray cluster instead")
    command.add_deploy(add(command.deploy, "put a deployment into your own AWS account"))
    command.add_destroy(add(command.destroy, "take a deployment out of your AWS account; the data stays"))
    add(status, "show the deployment, its capacity, its workers and, on AWS, its health")
    one = add(usage, "show what the account, or one of its deployments, used, per day")
    one.add_argument("--days", type=int, default=30)
    one.add_argument("--account", help="of which account; needs TERALITY_ADMIN_KEY")
    one.add_argument("--deployment", help="of one deployment only, by name or id")
    one.add_argument("--scheduler", metavar="URL", help="else TERALITY_URL or the profile's")
    one = add(account, "make and list accounts of a scheduler; needs TERALITY_ADMIN_KEY")
    one.add_argument("action", choices=["create", "list"])
    one.add_argument("name", nargs="?", help="of a new account")
    one.add_argument("--save-as", metavar="PROFILE", help="keep its first key in a profile instead of printing it")
    one.add_argument("--scheduler", metavar="URL", help="else TERALITY_URL or the profile's")
    one = add(queries, "list the latest queries")
    one.add_argument("--limit", type=int, default=20)
    add(cancel, "cancel a query").add_argument("query")
    one = add(keys, "make, list and revoke API keys")
    one.add_argument("action", choices=["create", "list", "revoke"])
    one.add_argument("name", nargs="?", help="of a new key, or the id of one to revoke")
    one = add(audit, "show every byte that was sent to the scheduler")
    one.add_argument("--bodies", action="store_true", help="the bodies too")
    add(doctor, "check the installation, the scheduler and the store")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; errors are one line on stderr and status 1."""
    arguments = _parser().parse_args(argv)
    if arguments.function is run:
        return run(arguments)
    try:
        return int(arguments.function(arguments))
    except BrokenPipeError:  # whoever read what is printed has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, RuntimeError) as fault:
        print(f"terality: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
