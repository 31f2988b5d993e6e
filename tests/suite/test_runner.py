"""The runner itself: rewriting keeps lines, losses are found, a crash or a hang costs one test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas

from tests.suite import rewrite, score, selection
from tests.suite.pool import Outcome, Run

ROOT = Path(__file__).resolve().parents[2]

VICTIM = '''
"""Patches pandas so that three tests of DataFrame.assign end badly."""
import os, time, pandas
assign = pandas.DataFrame.assign
def bad(self, *args, **kwargs):
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    if "test_assign_order" in test:
        os.abort()
    if "test_assign_bad" in test:
        time.sleep(600)
    if "test_assign_multiple" in test:
        return self
    return assign(self, *args, **kwargs)
def install():
    pandas.DataFrame.assign = bad
'''


def test_a_crash_a_hang_and_a_wrong_result_cost_one_test_each(tmp_path: Path) -> None:
    (tmp_path / "suite_victim.py").write_text(VICTIM)
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "tests.suite", "--module", "pandas", "--preload", "suite_victim:install"]
    command += ["--parts", "frame/methods/test_assign.py", "--patience", "10", "--jobs", "1", "--out", str(out)]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads(out.read_text())
    lost = {loss["test"].split("::")[-1]: loss["outcome"] for loss in result["losses"]}
    assert lost == {"test_assign_order": "crashed", "test_assign_bad": "hung", "test_assign_multiple": "failed"}
    assert result["passes"] > len(lost), ran.stdout


def test_imports_are_rewritten_and_lines_kept() -> None:
    source = (
        "import pandas as pd\n"
        "import pandas\n"
        "import pandas._testing as tm\n"
        "from pandas.core.frame import (\n    DataFrame,\n    _private,\n)\n"
        "from pandas.core.indexing import IndexingError\n"
        "def f():\n"
        "    from pandas import Series, _libs  # here too\n"
        "    from pandas.tests.frame.common import zip_frames\n"
    )
    new = rewrite.rewritten(source, "candidate", rewrite.public_name_test(pandas))
    assert new.splitlines() == [
        "import candidate as pd",
        "import candidate as pandas",
        "import pandas._testing as tm",
        "from candidate import DataFrame; from pandas.core.frame import _private",
        "",
        "",
        "",
        "from pandas.core.indexing import IndexingError",
        "def f():",
        "    from candidate import Series; from pandas import _libs  # here too",
        "    from pandas_suite.tests.frame.common import zip_frames",
    ]
    plain = rewrite.rewritten(source, "pandas", rewrite.public_name_test(pandas))
    assert plain == source.replace("from pandas.tests", "from pandas_suite.tests")


def test_vanished_tests_and_lost_files_count_as_lost() -> None:
    baseline = {"frame/test_a.py::one": "passed", "frame/test_a.py::two": "passed", "series/test_b.py::x[1]": "passed"}
    baseline["series/test_b.py::y"] = "failed"
    run = Run({"frame/test_a.py::one": Outcome("passed"), "series/test_b.py": Outcome("crashed", "at import")})
    run.outcomes["series/test_b.py::y"] = Outcome("passed")
    result = score.score(baseline, run, "native")
    assert result.parts == {"frame": (2, 1), "series": (1, 0)}
    assert {loss.test: loss.outcome for loss in result.losses} == {
        "frame/test_a.py::two": "vanished",
        "series/test_b.py::x[1]": "crashed",
    }
    assert result.gained == ["series/test_b.py::y"]
    assert result.share == 1 / 3


def test_parts() -> None:
    assert selection.part_of("io/parser/test_x.py::t") == "parser"
    assert selection.part_of("test_take.py::t") == "top"
    assert selection.part_of("copy_view/index/test_x.py::t") == "copy_view"
