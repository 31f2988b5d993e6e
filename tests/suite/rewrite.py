"""Makes a tree of pandas' installed tests in which ``pandas`` is another module.

The tests ship in the pandas wheel. A copy of ``pandas/tests`` and ``pandas/conftest.py`` becomes a package of its own,
``pandas_suite``, whose import statements are edited where their syntax tree says they are; every other character
and all line numbers stay. What the tests take from pandas' public namespace comes from the candidate:

- ``import pandas as pd``, ``import pandas``, ``from pandas import DataFrame``;
- ``from pandas.core.frame import DataFrame``, when ``pandas.DataFrame`` is that same object.

``pandas.tests`` and ``pandas.conftest`` become ``pandas_suite``; pandas' internals stay pandas'. With the candidate
``pandas`` only the last rule acts, so that a baseline and a candidate run differ in nothing but the module.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

PACKAGE = "pandas_suite"
_REVISION = 3  # part of the tree's name: raise it when the rules below change


def tree(module: str, root: Path) -> Path:
    """Give the folder that holds ``pandas_suite`` for a candidate, made on first use.

    Parameters
    ----------
    module : str
        Name of the candidate module.
    root : Path
        Folder in which trees are kept.

    Returns
    -------
    Path
        Folder to put on ``sys.path`` and to use as pytest's root.
    """
    import pandas

    home = root / f"tree-{module}-{pandas.__version__}-r{_REVISION}"
    if home.is_dir():
        return home
    making = home.with_name(f"{home.name}.{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    source = Path(pandas.__file__).parent
    package = making / PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    public = public_name_test(pandas)
    files = [source / "conftest.py", *sorted((source / "tests").rglob("*.py"))]
    for file in files:
        target = package / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(rewritten(file.read_text(encoding="utf-8"), module, public), encoding="utf-8")
    (making / "pytest.ini").write_text(_pytest_ini(source / "pyproject.toml"), encoding="utf-8")
    try:
        making.rename(home)
    except OSError:  # another process made the same tree meanwhile
        shutil.rmtree(making, ignore_errors=True)
    return home


def public_name_test(pandas: ModuleType) -> Callable[[str, str], bool]:
    """Give a predicate: is ``name`` of ``module`` an object of pandas' public namespace?"""
    names = set(pandas.__all__)

    def is_public(module: str, name: str) -> bool:
        if name not in names:
            return False
        if module == "pandas":
            return True
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            return False
        return found is getattr(pandas, name)

    return is_public


def rewritten(source: str, module: str, is_public: Callable[[str, str], bool]) -> str:
    """Edit the import statements of one file.

    Parameters
    ----------
    source : str
        Text of a Python file.
    module : str
        Name of the candidate module.
    is_public : callable
        ``(module, name) -> bool``, as made by `public_name_test`.

    Returns
    -------
    str
        The text with the same number of lines.
    """
    lines = source.splitlines(keepends=True)
    statements = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import | ast.ImportFrom)]
    for node in sorted(statements, key=lambda n: n.lineno, reverse=True):
        new = _import(node, module) if isinstance(node, ast.Import) else _import_from(node, module, is_public)
        if new is None:
            continue
        first, last = node.lineno - 1, node.end_lineno - 1
        head = lines[first].encode()[: node.col_offset].decode()
        tail = lines[last].encode()[node.end_col_offset :].decode()
        lines[first : last + 1] = [head + new + tail, *["\n"] * (last - first)]
    return "".join(lines)


def _import(node: ast.Import, module: str) -> str | None:
    parts = []
    for alias in node.names:
        name, bound = alias.name, alias.asname
        if name == "pandas":
            name, bound = module, bound or "pandas"
        elif _is_test_package(name) and bound:
            name = PACKAGE + name.removeprefix("pandas")
        parts.append(name if bound in (None, name) else f"{name} as {bound}")
    new = "import " + ", ".join(parts)
    return None if new == ast.unparse(node) else new


def _import_from(node: ast.ImportFrom, module: str, is_public: Callable[[str, str], bool]) -> str | None:
    origin = node.module or ""
    if node.level or not (origin == "pandas" or origin.startswith("pandas.")):
        return None
    if _is_test_package(origin):
        return _statement(PACKAGE + origin.removeprefix("pandas"), node.names)
    ours = [a for a in node.names if (a.name == "*" and origin == "pandas") or is_public(origin, a.name)]
    tests = [a for a in node.names if origin == "pandas" and a.name in ("tests", "conftest")]
    theirs = [a for a in node.names if a not in ours and a not in tests]
    if not (ours and module != "pandas") and not tests:
        return None
    groups = [(module, ours), (PACKAGE, tests), (origin, theirs)]
    return "; ".join(_statement(name, aliases) for name, aliases in groups if aliases)


def _statement(origin: str, aliases: list[ast.alias]) -> str:
    return f"from {origin} import " + ", ".join(f"{a.name} as {a.asname}" if a.asname else a.name for a in aliases)


def _is_test_package(name: str) -> bool:
    return name in ("pandas.tests", "pandas.conftest") or name.startswith("pandas.tests.")


def _pytest_ini(pyproject: Path) -> str:
    """Pandas' own pytest settings, without its reports and paths."""
    options = tomllib.loads(pyproject.read_text())["tool"]["pytest"]["ini_options"]
    options = {k: v for k, v in options.items() if k not in ("minversion", "testpaths", "junit_family")}
    options["addopts"] = "--strict-markers --strict-config --capture=no"
    options["python_files"] = "test_*.py"
    text = ["[pytest]"]
    for key, value in options.items():
        values = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, bool) else str(value)]
        text += [f"{key} =", *(f"    {v}" for v in values)] if len(values) > 1 else [f"{key} = {values[0]}"]
    return "\n".join(text) + "\n"
