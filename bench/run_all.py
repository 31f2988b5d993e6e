"""Everything `make bench` runs: the db-benchmark beside the peers, then the small-frame latencies.

python -m bench [--rows 1e7] [--engines pandas,polars,duckdb,terality]

The exit code is 1 when an answer differs, a call fell back to pandas or an engine failed; a missed bar is printed, not
punished: times are the machine's.
"""

from __future__ import annotations

import argparse
import sys

from . import dbbench, small


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1e7")
    parser.add_argument("--engines", default=",".join(dbbench.ENGINES))
    args = parser.parse_args(argv)
    code = dbbench.main(["--rows", args.rows, "--engines", args.engines])
    candidate = "terality" if "terality" in args.engines else "pandas"
    print()
    return max(code, small.main(["--candidate", candidate]))


if __name__ == "__main__":
    sys.exit(main())
