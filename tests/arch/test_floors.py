"""The house keeps its shape: tools/check_floors.py finds nothing here, and finds each planted mistake."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("check_floors", ROOT / "tools" / "check_floors.py")
floors = importlib.util.module_from_spec(spec)
sys.modules["check_floors"] = floors
spec.loader.exec_module(floors)


@pytest.mark.parametrize("check", floors.CHECKS)
def test_tree(check):
    problems = list(floors.CHECKS[check](ROOT))
    for problem in problems:
        if problem.warning:
            warnings.warn(str(problem), stacklevel=1)
    errors = [str(problem) for problem in problems if not problem.warning]
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize(
    ("file", "target", "fault"),
    [
        ("meta/plan/plan.c", "meta/type/type.h", None),
        ("meta/type/type.c", "meta/plan/plan.h", "may not include"),
        ("meta/opt/opt.c", "data/col/col.h", "may not include"),
        ("net/http.c", "meta/type/type.h", "may not include"),
        ("data/col/col.c", "meta/type/type.h", None),
        ("data/col/col.c", "meta/plan/expr.h", "may not include"),
        ("data/kern/sort/sort.c", "data/kern/take/take.h", None),
        ("data/kern/sort/sort.c", "data/kern/join/join.h", "do not know each other"),
        ("data/kern/sort/sort.c", "data/kern/types.h", None),
        ("data/kern/sort/sort.c", "data/exec/exec.h", "may not include"),
        ("data/format/csv/csv.c", "data/kern/take/take.h", None),
        ("data/format/csv/csv.c", "data/exec/exec.h", "may not include"),
        ("data/exec/run.c", "data/kern/join/join_int.h", "private"),
        ("data/exec/run.c", "data/exec/exec_int.h", None),
        ("client/engine.c", "data/exec/exec.h", None),
        ("data/exec/run.c", "client/engine.h", "may not include"),
        ("scheduler/main.c", "data/col/col.h", "may not include"),
        ("attic/old.c", "base/mem.h", "on no floor"),
    ],
)
def test_include_rules(file, target, fault):
    found = floors.include_fault(PurePosixPath(file), PurePosixPath(target))
    assert (found is None) if fault is None else fault in (found or "")


@pytest.fixture
def tree(tmp_path):
    """Writes files into an empty tree and gives its root."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def texts(problems):
    return [problem.text for problem in problems]


def test_missing_header_and_python(tree):
    root = tree(src__base__a_dot_c='#include <Python.h>\n#include "base/gone.h"\n')
    assert [p.line for p in floors.check_includes(root)] == [1, 2]


def test_names(tree):
    root = tree(src__base__utils_dot_c="", tests__helpers__x_dot_py="", src__base__utility_dot_c="")
    assert len(texts(floors.check_names(root))) == 2


def test_machine_paths(tree):
    planted = "/".join(["", "home", "somebody", "x"])
    root = tree(a_dot_md=f"see {planted}\n", b_dot_md="https://example.org/home/x and docs/work/x\n")
    assert [p.file for p in floors.check_machine_paths(root)] == ["a.md"]


def test_function_lengths():
    body = "  x = \"}{\"; /* } */ if (x) { y('{'); }\n"
    text = (
        "#define M(a) do { \\\n } while (0)\n"
        "struct s { int a; };\n"
        'extern "C" {\n'
        "static int long_one(int a,\n                    int b) {\n" + body * 5 + "}\n"
        "int table[] = {\n 1,\n};\n"
        "void TR_NAME(agg, SUFFIX)(void) { }\n"
        "}\n"
    )
    assert [(line, length) for line, length, _ in floors.functions(text)] == [(5, 8), (16, 1)]


def test_sizes(tree):
    def function(lines):
        return "int f(void) {\n" + "  g();\n" * (lines - 2) + "}\n"

    root = tree(src__base__a_dot_c=function(70), src__base__b_dot_c=function(71), src__base__c_dot_c=function(111))
    assert [(p.file, p.warning) for p in floors.check_sizes(root)] == [("src/base/b.c", True), ("src/base/c.c", False)]


def test_every_folder_is_on_a_floor():
    for file, _ in floors.c_files(ROOT):
        assert floors.floor_of(file), f"src/{file} is on no floor"
