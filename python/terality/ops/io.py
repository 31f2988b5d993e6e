"""Readers and writers: Parquet and CSV; files, folders and globs, on disk and in stores."""

from __future__ import annotations

import csv
import errno
import glob
import json
import os
import shutil
import tempfile
from functools import cache
from io import StringIO
from typing import Any

import pandas as pd
from pandas import DataFrame, Index, RangeIndex
from pandas.io.common import check_parent_directory

from .. import _engine
from ..dtypes import category_dtype, engine_name, pandas_dtype
from ..native import wrap_frame
from ..registry import Fallback, native
from ..stores import Place, Stores, is_remote
from ..table import Keys, Range, Table, dtype_after, table_of_arrays
from .arguments import refuse, table_of
from .combining import concat


def _paths(source: Any, suffixes: tuple[str, ...]) -> list[str]:
    """Give the files of a path, a folder, a glob or a list of paths, sorted; Fallback for anything else."""
    if isinstance(source, (list, tuple)) and source and all(isinstance(s, (str, os.PathLike)) for s in source):
        return [path for one in source for path in _paths(one, suffixes)]
    if not isinstance(source, (str, os.PathLike)):
        raise Fallback(f"a source of type {type(source).__name__}")
    path = os.fspath(source)
    if not isinstance(path, str) or "://" in path:
        raise Fallback("a source that is no local path")
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        names = sorted(name for name in os.listdir(path) if not name.startswith((".", "_")))
        files = [os.path.join(path, name) for name in names]
        if not files or not all(os.path.isfile(f) and f.endswith(suffixes) for f in files):
            raise Fallback("a folder of other things than files of this format")
        return files
    if glob.has_magic(path) and not os.path.exists(path):
        files = sorted(glob.glob(path))
        if not files:
            raise FileNotFoundError(f"No files match {path!r}")
        return files
    return [path]


def _places(source: Any, suffixes: tuple[str, ...], storage_options: Any) -> list[Place]:
    """As _paths, where a path may also be the URL of an object, a folder or a glob in a store."""
    several = isinstance(source, (list, tuple))
    if not any(map(is_remote, source if several else [source])):
        if storage_options is not None:
            raise Fallback("storage_options for a local path")
        return [Place(path) for path in _paths(source, suffixes)]
    stores = Stores(storage_options)
    sources = source if several else [source]
    if not all(map(is_remote, sources)):
        raise Fallback("local and remote files together")
    return [place for url in sources for place in stores.files(url, suffixes)]


def _target(path: Any, storage_options: Any) -> Place:
    """Where a writer writes: a local path or an object of a store."""
    if is_remote(path):
        return Stores(storage_options).place(path)
    if not isinstance(path, (str, os.PathLike)) or "://" in str(path) or storage_options is not None:
        raise Fallback("a target that is neither a local path nor an object of a known store")
    return Place(os.path.expanduser(os.fspath(path)))


def _check_local(place: Place, words: str | None = None) -> None:
    """Refuse what pandas refuses, before anything is computed for it: a path in no folder, or a folder itself.

    `words` is the text about a folder, with a place for the path, where it is not the system's.
    """
    if place.store is not None:
        return
    check_parent_directory(place.path)
    if os.path.isdir(place.path):
        if words is None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place.path)
        raise IsADirectoryError(errno.EISDIR, words.format(place.path))


_opened: set[tuple[int, int]] = set()
"""Device and inode of every Parquet file that a plan may still read."""


def _inode(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _detach(path: Any) -> None:
    """Before pandas writes over a file that plans may still read: leave them the old one, put a copy in its place."""
    if not isinstance(path, (str, os.PathLike)) or is_remote(path):
        return
    target = os.path.realpath(os.path.expanduser(os.fspath(path)))
    if os.path.isfile(target) and _inode(target) in _opened:
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(target), delete=False) as copy:
            pass
        shutil.copy2(target, copy.name)
        os.replace(copy.name, target)


@native("pandas.read_parquet")
def read_parquet(
    path: Any,
    engine: str = "auto",
    columns: Any = None,
    storage_options: Any = None,
    dtype_backend: Any = pd.api.extensions.no_default,
    filesystem: Any = None,
    filters: Any = None,
    to_pandas_kwargs: Any = None,
    **kwargs: Any,
) -> DataFrame:
    """Serve Parquet files, lazily: local ones, and objects of stores by URL."""
    refuse(engine=(engine, "auto", "pyarrow"), filesystem=(filesystem, None),
           filters=(filters, None), to_pandas_kwargs=(to_pandas_kwargs, None),
           dtype_backend=(dtype_backend, pd.api.extensions.no_default))  # fmt: skip
    if kwargs:
        raise Fallback(f"{next(iter(kwargs))}=")
    places = _places(path, (".parquet", ".pq"), storage_options)
    paths, stores = [place.path for place in places], tuple(place.store for place in places)
    if not all(place.store or os.path.exists(place.path) for place in places):
        raise Fallback("a file that is not there")
    try:
        rel, columns_of_file, metadata = _engine.open_parquet(paths, stores)
    except ValueError:
        if stores[0] or (isinstance(path, (str, os.PathLike)) and os.path.isfile(path)):
            raise
        raise Fallback("a file that cannot be opened among several") from None
    _opened.update(_inode(place.path) for place in places if place.store is None)
    return wrap_frame(_parquet_table(rel, columns_of_file, metadata, columns, [str(place) for place in places]))


def _parquet_table(rel: Any, found: Any, metadata: str | None, wanted: Any, paths: list[str]) -> Table:
    names = [name for name, _, _ in found]
    if len(set(names)) != len(names):
        raise Fallback("duplicate column names")
    meta = _stored_metadata(metadata, paths[0]) if metadata else {}
    index_columns = meta.get("index_columns", [])
    physical = [c for c in index_columns if isinstance(c, str)]
    ranges = [c for c in index_columns if isinstance(c, dict)]
    if any(c not in names for c in physical) or (ranges and (physical or len(ranges) > 1)):
        raise Fallback("row labels in pandas metadata that the file does not hold")
    chosen = [n for n in names if n not in physical] if wanted is None else list(wanted)
    if any(n not in names or n in physical for n in chosen) or len(set(chosen)) != len(chosen):
        raise Fallback("columns that the file does not hold")
    if not chosen:
        raise Fallback("no columns")
    _check_metadata(meta, chosen, physical)
    where = {name: i for i, name in enumerate(names)}
    for name, reason, maybe_object in found:
        if name not in chosen and name not in physical:
            continue
        if reason is not None:
            raise Fallback(f"column {name!r}: {reason}")
        if maybe_object:
            rel.run((where[name],))  # whether pandas has an object column is known only then
    exprs = [_engine.col(rel, where[n]) for n in chosen]
    rows = _rows_of_metadata(rel, meta, physical, ranges, where, len(paths))
    columns = _labels_of_metadata(meta, chosen)
    dtypes = [_dtype_of(rel, e) for e in exprs]
    return Table(rel, exprs, dtypes, columns, rows)


def _stored_metadata(text: str, path: str) -> dict[str, Any]:
    """Parse what pandas stored with a file; what it cannot have stored is an error that names the file."""
    where = f"Parquet file {path!r}: the pandas metadata"
    try:
        meta = json.loads(text)
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(f"{where} is corrupt: {error.msg}", error.doc, error.pos) from None
    except RecursionError:
        meta = None
    if not isinstance(meta, dict):
        raise _corrupt(where, "no object")
    for part, kinds in (("index_columns", (str, dict)), ("columns", (dict,)), ("column_indexes", (dict,))):
        entries = meta.setdefault(part, [])
        if not isinstance(entries, list) or not all(isinstance(entry, kinds) for entry in entries):
            raise _corrupt(where, f"bad {part}")
    for entry in meta["index_columns"]:
        if isinstance(entry, dict):
            steps = [entry.get(bound) for bound in ("start", "stop", "step")]
            if not all(type(n) is int and abs(n) < 2**63 for n in steps) or steps[2] == 0:
                raise _corrupt(where, "a bad range of row labels")
    if not all("name" in entry for entry in meta["columns"]):
        raise _corrupt(where, "a column without a name")
    return meta


def _corrupt(where: str, reason: str) -> Exception:
    from pyarrow import ArrowInvalid

    return ArrowInvalid(f"{where} is corrupt: {reason}")


def _dtype_of(rel: Any, expr: Any) -> Any:
    if expr.dtype.startswith("category"):
        return category_dtype(rel.run((expr.column,)).col(expr.column))
    return pandas_dtype(expr.dtype)


def _check_metadata(meta: dict[str, Any], chosen: list[str], physical: list[str]) -> None:
    """What pandas stored says when a column was more than its Parquet type."""
    for column in meta.get("columns", []):
        if column.get("field_name", column.get("name")) not in (*chosen, *physical):
            continue
        kind = column.get("numpy_type")
        if kind in ("object", "string") and column.get("pandas_type") not in ("unicode", "string", "empty"):
            raise Fallback(f"column {column.get('name')!r} of type {column.get('pandas_type')}")
        if kind in (
            "Int64",
            "Int32",
            "Int16",
            "Int8",
            "UInt64",
            "UInt32",
            "UInt16",
            "UInt8",
            "boolean",
            "Float64",
            "Float32",
        ):
            raise Fallback(f"column {column.get('name')!r} of dtype {kind}")
    for labels in meta.get("column_indexes", []):
        if len(meta["column_indexes"]) > 1 or labels.get("pandas_type") not in ("unicode", "string", "empty"):
            raise Fallback("column labels that are not text")


def _labels_of_metadata(meta: dict[str, Any], chosen: list[str]) -> Index:
    labels = meta.get("column_indexes") or [{}]
    index = Index(chosen, dtype="str")
    index.name = labels[0].get("name")
    return index


def _rows_of_metadata(
    rel: Any, meta: dict[str, Any], physical: list[str], ranges: list[Any], where: Any, n_files: int
) -> Any:
    if physical:
        exprs = [_engine.col(rel, where[name]) for name in physical]
        names = []
        for field in physical:
            stored = [c for c in meta["columns"] if c.get("field_name") == field]
            name = stored[0]["name"] if stored else field
            names.append(None if name is None or (field.startswith("__index_level_") and name == field) else name)
        return Keys(exprs, [_dtype_of(rel, e) for e in exprs], names)
    if ranges and n_files == 1:
        one = ranges[0]
        if len(range(one["start"], one["stop"], one["step"])) == rel.n_rows:
            return Range(one["start"], one["step"], one.get("name"))
    return Range(name=ranges[0].get("name") if ranges and n_files == 1 else None)


# ---- writing


def with_range(table: Table) -> Table:
    """Give the table with range labels where its labels, once computed, are a RangeIndex."""
    rows = table.current_rows()
    if not isinstance(rows, Keys) or not (rows.ranged or rows.sequence):
        return table
    labels = table.index()
    if type(labels) is not RangeIndex:
        return table
    return Table(table.rel, table.exprs, table.dtypes, table.columns, Range(labels.start, labels.step, labels.name))


def columns_to_write(table: Table, index: bool | None) -> tuple[Table, list[str]]:
    """Give the table with the row labels to store as last columns, and the names of all columns."""
    if isinstance(table.columns, pd.MultiIndex) or not table.columns.is_unique:
        raise Fallback("column labels that are not plain and unique")
    if not all(isinstance(label, str) for label in table.columns):
        raise Fallback("column labels that are not text")
    names = list(table.columns)
    rows = table.current_rows()
    if index is False or (index is None and isinstance(rows, Range)):
        return table.frame(table.exprs, table.dtypes, table.columns), names
    table = table.numbered()
    keys, dtypes = list(table.rows.exprs), list(table.rows.dtypes)
    fields = [name if isinstance(name, str) else f"__index_level_{i}__" for i, name in enumerate(table.index_names)]
    if any(name is not None and not isinstance(name, str) for name in table.index_names):
        raise Fallback("index names that are not text")
    if set(fields) & set(names):
        raise Fallback("an index named like a column")
    all_names = [*names, *fields]
    return table.frame([*table.exprs, *keys], [*table.dtypes, *dtypes], Index(all_names)), all_names


def arrow_schema(table: Table, index: bool | None) -> Any:
    """Give the Arrow schema of a table with the metadata pandas stores, asked of pyarrow on a frame of no rows."""
    import pyarrow as pa

    schema = pa.Schema.from_pandas(table.skeleton(), preserve_index=index)
    meta = json.loads(schema.metadata[b"pandas"])
    rows = table.current_rows()
    if index is None and isinstance(rows, Range):
        stop = rows.start + table.nrows() * rows.step
        name = table.index_names[0]
        meta["index_columns"] = [{"kind": "range", "name": name, "start": rows.start, "stop": stop, "step": rows.step}]
    return schema.with_metadata({b"pandas": json.dumps(meta).encode()})


@native("DataFrame.to_parquet")
def to_parquet(
    self: DataFrame,
    path: Any = None,
    *,
    engine: str = "auto",
    compression: Any = "snappy",
    index: bool | None = None,
    partition_cols: Any = None,
    storage_options: Any = None,
    filesystem: Any = None,
    **kwargs: Any,
) -> None:
    """Serve writing one Parquet file, local or in a store."""
    try:
        _write_parquet(self, path, engine, compression, index, partition_cols, storage_options, filesystem, kwargs)
    except Fallback:
        _detach(path)
        raise


def _write_parquet(self: DataFrame, path: Any, engine: Any, compression: Any, index: Any, partition_cols: Any,
                   storage_options: Any, filesystem: Any, kwargs: dict[str, Any]) -> None:  # fmt: skip
    refuse(engine=(engine, "auto", "pyarrow"), partition_cols=(partition_cols, None), filesystem=(filesystem, None),
           compression=(compression, "snappy", "gzip", "zstd", None), index=(index, None, True, False))  # fmt: skip
    if kwargs:
        raise Fallback("engine arguments")
    place = _target(path, storage_options)
    table = table_of(self)
    if not table.exprs:
        raise Fallback("no columns")
    if index is None:
        table = with_range(table)
    whole, names = columns_to_write(table, index)
    _check_local(place, "Failed to open local file '{}'. Detail: [errno 21] Is a directory")
    frame, at = whole.fetch(whole.exprs)
    frame = _engine.frame(frame.n_rows, tuple(frame.col(i) for i in at))
    meta = arrow_schema(table, index).metadata[b"pandas"].decode()
    _engine.write_parquet(place.path, frame, names, compression or "none", meta, store=place.store)


@native("DataFrame.to_csv")
def to_csv(self: DataFrame, path_or_buf: Any = None, *, sep: str = ",", na_rep: str = "", header: Any = True,
           index: bool = True, mode: str = "w", quoting: Any = None, quotechar: str = '"', lineterminator: Any = None,
           storage_options: Any = None, **kwargs: Any) -> None:  # fmt: skip
    """Serve writing a CSV file, local or in a store."""
    if kwargs:
        raise Fallback("further arguments")
    place = _target(path_or_buf, storage_options)
    refuse(header=(header, True, False), index=(index, True, False), mode=(mode, "w", "a"),
           quoting=(quoting, None, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))  # fmt: skip
    if place.store and mode != "w":
        raise Fallback("appending in a store")
    if place.path.endswith((".gz", ".bz2", ".zip", ".xz", ".zst", ".tar")) or len(sep) != 1 or len(quotechar) != 1:
        raise Fallback("compression, or separators of several characters")
    table = table_of(self)
    whole, names = _csv_columns(table, index)
    _check_local(place)
    frame, at = whole.fetch(whole.exprs)
    frame = _engine.frame(frame.n_rows, tuple(frame.col(i) for i in at))
    _engine.write_csv(
        place.path, frame, names, sep, quotechar, quoting or 0, na_rep, lineterminator or os.linesep, header,
        mode == "a", len(whole.exprs) - len(table.exprs), _quotes_newlines(), place.store,
    )  # fmt: skip


@cache
def _quotes_newlines() -> bool:
    """Tell whether this Python's csv module quotes a lone carriage return: its releases differ."""
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerow(["a\rb"])
    return out.getvalue().startswith('"')


def _csv_columns(table: Table, index: bool) -> tuple[Table, list[str]]:
    if isinstance(table.columns, pd.MultiIndex) or not all(isinstance(label, str) for label in table.columns):
        raise Fallback("column labels that are not text")
    if not index:
        return table, list(table.columns)
    table = table.numbered()
    keys, dtypes = list(table.rows.exprs), list(table.rows.dtypes)
    several = isinstance(table.rows, Keys) and table.rows.multi
    names = ["" if name is None or (several and not name) else str(name) for name in table.index_names]
    whole = table.frame([*keys, *table.exprs], [*dtypes, *table.dtypes], Index(range(len(keys) + len(table.exprs))))
    return whole, [*names, *table.columns]


# ---- CSV

_NO = pd.api.extensions.no_default


@native("pandas.read_csv")
def read_csv(filepath_or_buffer: Any, **kwargs: Any) -> DataFrame:
    """Serve CSV files with pandas' common arguments, local or in a store; they are read at the call.

    Beyond pandas: a folder of CSV files, a glob or a list of paths is their rows one after another.
    """
    places = _places(filepath_or_buffer, (".csv",), kwargs.get("storage_options"))
    if len(places) == 1:
        return _read_csv(places[0], kwargs)
    if kwargs.get("nrows") is not None:
        raise Fallback("nrows of several files")
    frames = [_read_csv(place, kwargs) for place in places]
    ignore_index = kwargs.get("index_col") is None
    try:
        return concat(frames, ignore_index=ignore_index)
    except Fallback:
        return pd.concat(frames, ignore_index=ignore_index)


def _read_csv(place: Place, kwargs: dict[str, Any]) -> DataFrame:
    if place.path.endswith((".gz", ".bz2", ".zip", ".xz", ".zst", ".tar")):
        raise Fallback("compression")
    if kwargs.get("names") is not None and kwargs.get("header", "infer") not in ("infer", None):
        raise Fallback("names in place of a header")
    options, after = _csv_options(dict(kwargs))
    frame, names = _engine.read_csv(place.path, options, place.store)
    arrays = [frame.col(i) for i in range(frame.n_cols)]
    dtypes = [dtype_after(array, None) for array in arrays]
    columns = Index(names, dtype="str") if options.get("header", 0) is not None and not after.get("numbered") else None
    if columns is None:
        columns = RangeIndex(len(names)) if after.get("numbered") else Index(names, dtype="str")
    labels = after.get("index_col") or []
    labels = [labels] if isinstance(labels, str) else labels
    if not set(labels) <= set(names) or len(labels) == len(names):
        raise Fallback("an index_col that is not there, or nothing else")
    table = table_of_arrays(arrays, dtypes, columns, Range(), frame.n_rows, source=str(place))
    out = wrap_frame(table)
    if after.get("index_col") is not None:
        from .selecting import set_index

        return set_index(out, after["index_col"])
    return out


_CHARS = {"sep": "sep", "delimiter": "sep", "quotechar": "quote", "decimal": "decimal", "thousands": "thousands",
          "comment": "comment", "escapechar": "escape"}  # fmt: skip
_FLAGS = {"doublequote": "double_quote", "skip_blank_lines": "skip_blank_lines",
          "skipinitialspace": "skip_initial_space", "low_memory": "low_memory", "keep_default_na": "keep_default_na",
          "na_filter": "na_filter"}  # fmt: skip
_SERVED_DEFAULTS = {"engine": ("c", None), "encoding": (None, "utf-8", "utf8"),
                    "memory_map": (True, False), "on_bad_lines": ("error",), "index_col": (None,), "dialect": (None,),
                    "date_format": (None,), "cache_dates": (True, False), "compression": ("infer", None),
                    "chunksize": (None,), "iterator": (False,), "quoting": (0,),
                    "float_precision": (None,), "skipfooter": (0,), "converters": (None,), "dayfirst": (False,),
                    "lineterminator": (None,), "encoding_errors": ("strict",)}  # fmt: skip


def _csv_options(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Translate pandas' arguments to the engine's; Fallback names the one it does not take."""
    options: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name, value in kwargs.items():
        if value is _NO:
            continue
        if name in _CHARS:
            _char(options, _CHARS[name], name, value)
        elif name in _FLAGS:
            refuse(**{name: (value, True, False)})
            options[_FLAGS[name]] = value
        elif (
            name == "index_col" and isinstance(value, (str, list)) and value and all(isinstance(v, str) for v in value)
        ):
            after["index_col"] = value
        elif name == "storage_options":
            continue
        elif name in _SERVED_DEFAULTS:
            refuse(**{name: (value, *_SERVED_DEFAULTS[name])})
        else:
            _csv_option(options, after, name, value)
    if options.get("use_columns") is not None and options.get("names") is not None:
        raise Fallback("usecols with names")
    return options, after


def _char(options: dict[str, Any], option: str, name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str) or len(value) != 1 or ord(value) > 127 or value in "\n\r":
        raise Fallback(f"{name}={value!r}")
    options[option] = value


def _texts(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
        raise Fallback(f"{name} of type {type(value).__name__}")
    return list(value)


def _csv_option(options: dict[str, Any], after: dict[str, Any], name: str, value: Any) -> None:
    columns = options.setdefault("columns", {})
    if name == "header":
        refuse(header=(value, "infer", 0, None))
        if value is None:
            options["header"] = -1
            after["numbered"] = "names" not in options
    elif name == "names":
        if value is not None:
            options["names"] = _texts(name, value)
            options.setdefault("header", -1)
            after["numbered"] = False
    elif name == "usecols":
        if value is not None:
            options["use_columns"] = _texts(name, value)
    elif name == "dtype":
        _csv_dtypes(columns, value)
    elif name == "parse_dates":
        if value not in (None, False):
            columns.update(dict.fromkeys(_texts(name, value), "parse_date"))
    elif name in ("nrows", "skiprows") and (value is None or (type(value) is int and value >= 0)):
        if value is not None:
            options["n_rows" if name == "nrows" else "skip_rows"] = value
    elif name in ("na_values", "true_values", "false_values"):
        if value is not None:
            options[name] = _texts(name, value)
    else:
        raise Fallback(f"{name}={value!r}")


def _csv_dtypes(columns: dict[str, Any], value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise Fallback("dtype that is no dict by column name")
    for label, dtype in value.items():
        target = pd.api.types.pandas_dtype(dtype)
        name = engine_name(target)
        if isinstance(target, pd.CategoricalDtype) and (target.categories is not None or target.ordered):
            raise Fallback("given categories")
        columns[label] = name
