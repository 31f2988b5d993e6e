"""One engine's run of the db-benchmark, in a process of its own and, for peers, in a virtual environment of its own.

Started as ``python -m bench.dbbench_run job.json`` by `dbbench`. Every question is run twice after loading; a time ends
when the result is complete in the engine's own format. Sums, fingerprints and answer files are made outside the times.
Only the standard library and the engine are imported (numpy and pyarrow come with pandas).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pickle
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

WHOLE_ROWS = 300_000  # answers of pandas and terality up to this size are handed over whole
GROUP_BY = [f"q{i}" for i in range(1, 11)]
SORTS = ["sort v3", "sort id3", "sort id6, v1 desc"]
JOINS = [f"j{i}" for i in range(1, 6)]
JOIN_TABLES = ["x", "small", "medium", "big"]


class Pandas:
    """Plain pandas; the base of terality, whose programs are the same."""

    module = "pandas"

    def __init__(self, threads: int) -> None:
        import pyarrow.parquet  # noqa: F401  (pandas imports it late)

        self.pd = importlib.import_module(self.module)
        source = Path(__file__).with_name("db_questions.py").read_text(encoding="utf-8")
        text = source.replace("import terality as pd", f"import {self.module} as pd")
        self.texts = types.ModuleType("db_questions")
        exec(compile(text, "db_questions.py", "exec"), self.texts.__dict__)

    def version(self) -> str:
        return self.pd.__version__

    def whole(self, result: Any) -> Any:
        """Make a result complete."""
        return result

    def load(self, file: str) -> Any:
        return self.whole(self.pd.read_parquet(file))

    def read_csv(self, file: str) -> Any:
        return self.whole(self.pd.read_csv(file))

    def write_parquet(self, table: Any, file: str) -> None:
        table.to_parquet(file, index=False)

    def ask(self, name: str, tables: list[Any]) -> Any:
        return self.whole(self.texts.QUESTIONS[name](*tables))

    def oracle(self, name: str, tables: list[Any]) -> Any | None:
        """The answer with a stable sort, where the default one leaves the order of ties open."""
        stable = self.texts.STABLE.get(name)
        return None if stable is None else self.whole(stable(*tables))

    def summary(self, result: Any) -> dict[str, Any]:
        """Row count and sums, the same quantities in every engine."""
        sums = [float(result.iloc[:, i].sum()) for i in range(result.shape[1]) if result.dtypes.iloc[i].kind in "if"]
        return {"rows": len(result), "sums": sorted(sums)}

    def order_sum(self, result: Any, column: str) -> float:
        """Σ (position mod 1021) · key: equal when the keys come in the same order."""
        import numpy as np

        key = result[column].str.slice(2).astype("int64") if column == "id3" else result[column]
        return float((key.to_numpy() * (np.arange(len(result)) % 1021)).sum())

    def calls(self) -> dict[str, int]:
        """How many calls the engine served and how many pandas did; nothing for plain pandas."""
        return {}


class Terality(Pandas):
    """The same programs through terality."""

    module = "terality"

    def version(self) -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("terality")
        except PackageNotFoundError:
            return "not installed"

    def whole(self, result: Any) -> Any:
        self.pd.execute(result)
        return result

    def oracle(self, name: str, tables: list[Any]) -> None:
        return None

    def calls(self) -> dict[str, int]:
        report = self.pd.report()
        return {"native": int(report.native), "fallback": int(report.fallback)}


class Polars:
    """Polars' lazy interface; `engine` is its name for how a plan is run."""

    engine = "streaming"

    def __init__(self, threads: int) -> None:
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        self.pl = importlib.import_module("polars")

    def version(self) -> str:
        return f"{self.pl.__version__} ({self.engine})"

    def load(self, file: str) -> Any:
        return self.pl.read_parquet(file)

    def read_csv(self, file: str) -> Any:
        return self.pl.read_csv(file)

    def write_parquet(self, table: Any, file: str) -> None:
        table.write_parquet(file, compression="snappy")

    def ask(self, name: str, tables: list[Any]) -> Any:
        c, lazy = self.pl.col, [t.lazy() for t in tables]
        x = lazy[0]
        if name in JOINS:
            _, small, medium, big = lazy
            joined = {
                "j1": lambda: x.join(small, on="id1"),
                "j2": lambda: x.join(medium, on="id2"),
                "j3": lambda: x.join(medium, on="id2", how="left"),
                "j4": lambda: x.join(medium, on="id5"),
                "j5": lambda: x.join(big, on="id3"),
            }
            return joined[name]().collect(engine=self.engine)
        questions = {
            "q1": lambda: x.group_by("id1").agg(c("v1").sum()),
            "q2": lambda: x.group_by("id1", "id2").agg(c("v1").sum()),
            "q3": lambda: x.group_by("id3").agg(c("v1").sum(), c("v3").mean()),
            "q4": lambda: x.group_by("id4").agg(c("v1", "v2", "v3").mean()),
            "q5": lambda: x.group_by("id6").agg(c("v1", "v2", "v3").sum()),
            "q6": lambda: x.group_by("id4", "id5").agg(c("v3").median().alias("median"), c("v3").std().alias("std")),
            "q7": lambda: x.group_by("id3").agg((c("v1").max() - c("v2").min()).alias("range_v1_v2")),
            "q8": lambda: x.drop_nulls("v3").group_by("id6").agg(c("v3").top_k(2)).explode("v3"),
            "q9": lambda: x.group_by("id2", "id4").agg((self.pl.corr("v1", "v2") ** 2).alias("r2")),
            "q10": lambda: x.group_by("id1", "id2", "id3", "id4", "id5", "id6").agg(c("v3").sum(), self.pl.len()),
            "sort v3": lambda: x.sort("v3"),
            "sort id3": lambda: x.sort("id3"),
            "sort id6, v1 desc": lambda: x.sort("id6", "v1", descending=[False, True], maintain_order=True),
        }
        return questions[name]().collect(engine=self.engine)

    def oracle(self, name: str, tables: list[Any]) -> None:
        return None

    def summary(self, result: Any) -> dict[str, Any]:
        sums = [float((s.fill_nan(0) if s.dtype.is_float() else s).sum()) for s in result if s.dtype.is_numeric()]
        return {"rows": result.height, "sums": sorted(sums)}

    def order_sum(self, result: Any, column: str) -> float:
        key = self.pl.col(column)
        key = key.str.slice(2).cast(self.pl.Int64) if column == "id3" else key
        return float(result.select((key * (self.pl.int_range(self.pl.len()) % 1021)).sum()).item())

    def calls(self) -> dict[str, int]:
        return {}


class PolarsInMemory(Polars):
    """Polars' other engine."""

    engine = "in-memory"


class DuckDB:
    """DuckDB: tables in memory, each answer made a table."""

    def __init__(self, threads: int) -> None:
        self.db = importlib.import_module("duckdb")
        self.con = self.db.connect(":memory:", config={"threads": threads})
        self.made = 0

    def version(self) -> str:
        return self.db.__version__

    def _table(self, query: str) -> str:
        self.made += 1
        self.con.execute(f"CREATE TABLE t{self.made} AS {query}")
        return f"t{self.made}"

    def drop(self, table: str) -> None:
        self.con.execute(f"DROP TABLE IF EXISTS {table}")

    def load(self, file: str) -> str:
        return self._table(f"SELECT * FROM read_parquet('{file}')")

    def read_csv(self, file: str) -> str:
        return self._table(f"SELECT * FROM read_csv('{file}')")

    def write_parquet(self, table: str, file: str) -> None:
        self.con.execute(f"COPY {table} TO '{file}' (FORMAT parquet, COMPRESSION snappy)")

    def ask(self, name: str, tables: list[str]) -> str:
        x = tables[0]
        if name in JOINS:
            _, small, medium, big = tables
            right, key, kind = {
                "j1": (small, "id1", ""),
                "j2": (medium, "id2", ""),
                "j3": (medium, "id2", "LEFT"),
                "j4": (medium, "id5", ""),
                "j5": (big, "id3", ""),
            }[name]
            return self._table(f"SELECT * FROM {x} AS x {kind} JOIN {right} AS y USING ({key})")
        top_two = (
            "SELECT id6, unnest(top) AS v3 FROM "
            f"(SELECT id6, max(v3, 2) AS top FROM {x} WHERE v3 IS NOT NULL GROUP BY id6)"
        )
        questions = {
            "q1": f"SELECT id1, sum(v1) AS v1 FROM {x} GROUP BY id1",
            "q2": f"SELECT id1, id2, sum(v1) AS v1 FROM {x} GROUP BY id1, id2",
            "q3": f"SELECT id3, sum(v1) AS v1, mean(v3) AS v3 FROM {x} GROUP BY id3",
            "q4": f"SELECT id4, mean(v1) AS v1, mean(v2) AS v2, mean(v3) AS v3 FROM {x} GROUP BY id4",
            "q5": f"SELECT id6, sum(v1) AS v1, sum(v2) AS v2, sum(v3) AS v3 FROM {x} GROUP BY id6",
            "q6": f"SELECT id4, id5, median(v3) AS m, stddev(v3) AS s FROM {x} GROUP BY id4, id5",
            "q7": f"SELECT id3, max(v1) - min(v2) AS range_v1_v2 FROM {x} GROUP BY id3",
            "q8": top_two,
            "q9": f"SELECT id2, id4, pow(corr(v1, v2), 2) AS r2 FROM {x} GROUP BY id2, id4",
            "q10": f"SELECT id1, id2, id3, id4, id5, id6, sum(v3) AS v3, count(*) AS n FROM {x} GROUP BY ALL",
            "sort v3": f"SELECT * FROM {x} ORDER BY v3",
            "sort id3": f"SELECT * FROM {x} ORDER BY id3",
            "sort id6, v1 desc": f"SELECT * FROM {x} ORDER BY id6, v1 DESC",
        }
        return self._table(questions[name])

    def oracle(self, name: str, tables: list[Any]) -> None:
        return None

    def summary(self, table: str) -> dict[str, Any]:
        described = self.con.execute(f"DESCRIBE {table}").fetchall()
        numeric = [name for name, kind, *_ in described if kind != "VARCHAR"]
        sums = ", ".join(f'(sum("{n}") FILTER (NOT isnan("{n}"::DOUBLE)))::DOUBLE' for n in numeric)
        rows, *found = self.con.execute(f"SELECT count(*), {sums} FROM {table}").fetchone()
        return {"rows": rows, "sums": sorted(0.0 if v is None else v for v in found)}

    def order_sum(self, table: str, column: str) -> float:
        key = f"substr({column}, 3)::BIGINT" if column == "id3" else column
        return float(self.con.execute(f"SELECT sum({key} * (rowid % 1021)) FROM {table}").fetchone()[0])

    def calls(self) -> dict[str, int]:
        return {}


ENGINES: dict[str, type] = {
    "pandas": Pandas,
    "terality": Terality,
    "polars": Polars,
    "polars-in-memory": PolarsInMemory,
    "duckdb": DuckDB,
}


def memory_mib(field: str) -> float:
    """A field of /proc/self/status in MiB: VmRSS, or VmHWM (the peak since `forget_peak`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def forget_peak() -> None:
    """Start a new peak, where the kernel allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


class Measured:
    """Times tasks twice and keeps what is to be reported."""

    def __init__(self, engine: Any, out: Path) -> None:
        self.engine, self.out = engine, out
        self.floor_mib = memory_mib("VmRSS")
        self.peak_mib = 0.0
        self.tasks: dict[str, dict[str, Any]] = {}

    def twice(self, name: str, work: Callable[[], Any]) -> Any:
        """Run a task two times; gives the second result. A failure is noted and the run goes on."""
        seconds: list[float] = []
        result = None
        entry: dict[str, Any] = {"seconds": seconds}
        self.tasks[name] = entry
        calls = self.engine.calls()
        forget_peak()
        try:
            for _ in range(2):
                self.free(result)
                result = None
                gc.collect()
                began = time.perf_counter()
                result = work()
                seconds.append(time.perf_counter() - began)
        except Exception as error:
            entry["error"] = f"{type(error).__name__}: {error}"[:500]
            print(f"  {name}: {entry['error']}", flush=True)
        entry["peak_mib"] = memory_mib("VmHWM") - self.floor_mib
        self.peak_mib = max(self.peak_mib, entry["peak_mib"])
        entry |= {kind: count - calls[kind] for kind, count in self.engine.calls().items()}
        print(f"  {name}: {' '.join(f'{s:.3f}' for s in seconds)}", flush=True)
        return result

    def check(self, name: str, result: Any, oracle: Any = None) -> None:
        """Note row count and sums; of pandas and terality the fingerprint and, when small, the answer itself."""
        if result is None:
            return
        entry = self.tasks[name]
        entry |= self.engine.summary(result)
        if name in SORTS:
            entry["order_sum"] = self.engine.order_sum(result, name.split()[1].rstrip(","))
        if isinstance(self.engine, Pandas):
            from bench.fingerprint import fingerprint

            for kind, frame in (("answer", result), ("oracle", oracle)):
                if frame is not None:
                    entry[kind] = fingerprint(frame).as_json()
                    if len(frame) <= WHOLE_ROWS:
                        with open(self.out / f"{name} {kind}.pickle", "wb") as file:
                            pickle.dump(frame, file)

    def free(self, result: Any) -> None:
        """Give a result back; DuckDB's are tables in its catalogue."""
        if result is not None and isinstance(self.engine, DuckDB):
            self.engine.drop(result)


def run(engine: Any, files: dict[str, str], chosen: list[str], out: Path) -> dict[str, Any]:
    """Run the chosen tasks; gives them with times, sums and peaks."""
    m = Measured(engine, out)
    if "read CSV" in chosen:
        table = m.twice("read CSV", lambda: engine.read_csv(files["G1.csv"]))
        m.check("read CSV", table)
        m.free(table)
        del table
    if {"read Parquet", "write Parquet", *GROUP_BY, *SORTS} & set(chosen):
        x = m.twice("read Parquet", lambda: engine.load(files["G1"]))
        m.check("read Parquet", x)
        for name in GROUP_BY + SORTS:
            if name in chosen:
                _ask(m, name, [x])
        if "write Parquet" in chosen:
            target = str(out / "written.parquet")
            m.twice("write Parquet", lambda: engine.write_parquet(x, target))
            m.tasks["write Parquet"]["bytes"] = os.path.getsize(target) if os.path.exists(target) else 0
            os.unlink(target)
        m.free(x)
        del x
    if set(JOINS) & set(chosen):
        tables = [engine.load(files[name]) for name in JOIN_TABLES]
        for name in JOINS:
            if name in chosen:
                _ask(m, name, tables)
    return {"tasks": m.tasks, "peak_mib": m.peak_mib, "rss_after_import_mib": m.floor_mib}


def _ask(m: Measured, name: str, tables: list[Any]) -> None:
    result = m.twice(name, lambda: m.engine.ask(name, tables))
    m.check(name, result, m.engine.oracle(name, tables))
    m.free(result)


def main(path: str) -> int:
    """Run one job file and write its ``result.json``."""
    job = json.loads(Path(path).read_text())
    out = Path(path).parent
    engine = ENGINES[job["engine"]](job["threads"])
    result = run(engine, job["files"], job["tasks"], out)
    (out / "result.json").write_text(json.dumps({"version": engine.version(), **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
