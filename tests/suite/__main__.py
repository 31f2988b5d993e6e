"""Runs pandas' own tests through a candidate module and says which share of plain pandas' passes is kept.

python -m tests.suite --module terality --mode native --parts frame,series,groupby --sample 0.05 --jobs 2
python -m tests.suite --module pandas --preload terality:install    # unmodified imports, pandas patched beforehand
python -m tests.suite --baseline                                     # only make plain pandas' outcomes, kept in a file
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from . import pool, rewrite, score, selection, worker

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".tools" / "suite"  # trees and baselines; outside git


def versions() -> dict[str, str]:
    """Versions of what decides the outcomes."""
    found = {"python": platform.python_version()}
    for name in ("pandas", "numpy", "pyarrow", "pytest", "hypothesis", "terality"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "-"
    return found


def baseline(parts: list[str], sample: float, processes: int, home: Path, again: bool = False) -> dict[str, str]:
    """Plain pandas' outcomes for some parts, from the kept file or by running what it lacks.

    The file is named after the versions that decide the outcomes and keeps, part by part, the largest sample run.
    """
    import pandas  # noqa: F401  (a clear error here rather than in every worker)

    v = versions()
    file = home / f"baseline-{v['pandas']}-numpy{v['numpy']}-pyarrow{v['pyarrow']}-py{v['python']}.json.gz"
    kept = json.loads(gzip.decompress(file.read_bytes())) if file.exists() else {}
    missing = [p for p in parts if again or kept.get(p, {"sample": 0})["sample"] < sample]
    if missing:
        print(f"baseline: plain pandas on {', '.join(missing)} (sample {sample:g})", flush=True)
        tree = rewrite.tree("pandas", home)
        run = pool.run(pool.Job(tree, "pandas", sample=sample), missing, processes, _progress)
        for part in missing:
            files = set(selection.files_of(tree, part))
            outcomes = {t: o.outcome for t, o in run.outcomes.items() if t.split("::")[0] in files}
            kept[part] = {"sample": sample, "outcomes": outcomes}
        file.parent.mkdir(parents=True, exist_ok=True)
        making = file.with_suffix(".tmp")
        making.write_bytes(gzip.compress(json.dumps(kept).encode()))
        making.replace(file)
        print(f"baseline: {len(run.outcomes):,} tests in {run.seconds:.0f} s", flush=True)
    return {t: o for p in parts for t, o in kept[p]["outcomes"].items() if worker.chosen(t, sample)}


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.suite", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--module", default="terality", help="what `import pandas` becomes")
    parser.add_argument("--preload", default="", help="modules to import first: name[:function to call][,…]")
    parser.add_argument("--mode", default="native", help="TERALITY_MODE of the workers: auto, native, strict, off")
    parser.add_argument("--parts", default=",".join(selection.DEFAULT_PARTS), help="parts, or files and folders")
    parser.add_argument("--sample", type=float, default=1.0, help="share of the tests, chosen by crc32 of the node id")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds without progress that mean a hang")
    parser.add_argument("--top", type=int, default=25, help="how many loss causes to print")
    parser.add_argument("--min-share", type=float, default=0.0, help="exit code 1 when less than this share is kept")
    parser.add_argument("--out", type=Path, help="write everything to this JSON file")
    parser.add_argument("--home", type=Path, default=HOME, help="where trees and baselines are kept")
    parser.add_argument("--baseline", action="store_true", help="make plain pandas' outcomes anew and stop")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    parts = [p for p in args.parts.split(",") if p]
    base = baseline(parts, args.sample, args.jobs, args.home, again=args.baseline)
    passed = sum(o == "passed" for o in base.values())
    print(f"plain pandas passes {passed:,} of {len(base):,} tests", flush=True)
    if args.baseline:
        return 0
    preload = tuple(p for p in args.preload.split(",") if p)
    candidate = args.module != "pandas" or preload
    mode = args.mode if candidate else ""
    job = pool.Job(rewrite.tree(args.module, args.home), args.module, preload, mode, args.sample, args.patience)
    run = pool.run(job, parts, args.jobs, _progress)
    result = score.score(base, run, mode)
    title = " ".join([args.module, *(f"+{p}" for p in preload), f"mode={mode or '-'} sample={args.sample:g}"])
    print(f"\n{title}, {len(run.outcomes):,} tests in {run.seconds:.0f} s\n{score.table(result, args.top)}")
    if args.out:
        about = {"title": title, "parts_run": parts, "sample": args.sample, "mode": mode, "versions": versions()}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result.as_json(**about, date=datetime.now(UTC).isoformat(timespec="seconds")), indent=1)
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0 if result.share >= args.min_share else 1


if __name__ == "__main__":
    sys.exit(main())
