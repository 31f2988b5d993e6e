"""A query over rows that this process makes, run by a deployment's workers and compared with pandas' answer.

The text of a program, run in the environment of a client (``TERALITY_URL`` and so on); exit status 0 when the answers
are equal.
"""

from __future__ import annotations

import sys
import time

ROWS = 200_000
GROUPS = 97


def main() -> int:
    """Run it and say how long it took."""
    import numpy as np
    import pandas

    import terality

    random = np.random.default_rng(5)
    frame = pandas.DataFrame({"key": random.integers(0, GROUPS, ROWS), "value": random.random(ROWS)})
    terality.options.mode = "off"
    expected = frame.groupby("key")["value"].agg(["sum", "count"])
    terality.options.mode = "native"
    session = terality.connect(options={"target_rows": ROWS // 4}, min_rows=0)
    began = time.monotonic()
    got = terality.from_pandas(frame).groupby("key")["value"].agg(["sum", "count"]).to_pandas()
    seconds = time.monotonic() - began
    if not session.queries:
        print("smoke query: it ran in this process, not on the deployment", file=sys.stderr)
        return 1
    pandas.testing.assert_frame_equal(got, expected, rtol=1e-12)
    print(f"smoke query: {ROWS:,} rows in {GROUPS} groups, pandas' answer, {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
