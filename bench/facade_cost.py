"""What the facade costs on objects that have nothing to do with terality: the table of small calls, and the import.

    python bench/facade_cost.py [--rounds 15] [--out result.json]

Each round starts a fresh interpreter per variant in turn (plain pandas; terality in auto mode; terality off), and
takes the best of several repetitions; the table shows medians over rounds and the ratio to plain pandas.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

CALLS = {
    "df._mgr": 20_000,
    "len(df)": 20_000,
    "df.shape": 20_000,
    "df.columns": 20_000,
    "df['a']": 5_000,
    "df[['a']]": 400,
    "df.a + 1": 1_500,
    "df.iloc[0:2]": 5_000,
    "df.groupby('c').sum()": 100,
    "df.merge(df2, on='a')": 50,
    "df.sort_values('a')": 300,
    "repr(df)": 100,
}
VARIANTS = {"pandas": "pandas", "auto": "terality", "off": "terality"}

PROGRAM = """
import json, sys, time, timeit
start = time.perf_counter()
import {module} as pd
imported = time.perf_counter() - start
df = pd.DataFrame({{"a": [1, 2, 3], "b": [1.5, 2.5, None], "c": ["x", "y", "x"]}})
df2 = df[["a", "b"]].rename(columns={{"b": "q"}})
found = {{"import": imported * 1e6}}
for call, number in {calls!r}.items():
    found[call] = min(timeit.repeat(call, globals=globals(), number=number, repeat=7)) / number * 1e6
print(json.dumps(found))
"""


def measure(variant: str) -> dict[str, float]:
    """Microseconds per call in a fresh interpreter."""
    environment = {**os.environ, "TERALITY_MODE": variant if variant != "pandas" else "auto", "TERALITY_QUIET": "1"}
    program = PROGRAM.format(module=VARIANTS[variant], calls=CALLS)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> int:
    """Run, print the table, and write the JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rounds = [{variant: measure(variant) for variant in VARIANTS} for _ in range(args.rounds)]
    names = ["import", *CALLS]
    table = {name: {v: statistics.median(r[v][name] for r in rounds) for v in VARIANTS} for name in names}
    print(f"{'microseconds':<24} {'pandas':>10} {'auto':>10} {'off':>10} {'auto/pandas':>12}")
    for name, row in table.items():
        ratio = row["auto"] / row["pandas"]
        print(f"{name:<24} {row['pandas']:>10.2f} {row['auto']:>10.2f} {row['off']:>10.2f} {ratio:>12.2f}")
    if args.out:
        args.out.write_text(json.dumps({"rounds": args.rounds, "microseconds": table}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
