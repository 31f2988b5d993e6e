"""Writing a frame as a folder of files: ``DataFrame.to_parquet_folder`` and ``DataFrame.to_csv_folder``."""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from pandas import DataFrame

from .native import execute, wrap_frame
from .registry import Fallback, handler_of
from .stores import Stores, is_remote

__all__ = ["to_csv_folder", "to_parquet_folder"]


def to_parquet_folder(
    self: DataFrame,
    path: str,
    num_files: int | None = None,
    num_rows_per_file: int | None = None,
    in_memory_file_size: int | None = None,
    with_leading_zeros: bool = True,
    storage_options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Write the rows, in order, to several Parquet files.

    Parameters
    ----------
    path : str
        Local, or the URL of a store. A ``*`` in its last part stands for the number of the file, from 1; without one it
        is the folder, and files are called ``part-*.parquet``.
    num_files, num_rows_per_file, in_memory_file_size : int
        Exactly one of them: how many files, how many rows each, or how many bytes in memory each.
    with_leading_zeros : bool
        Numbers of one width, so that the order of the names is that of the rows.
    storage_options : dict, optional
        As for ``to_parquet``.
    **kwargs
        Of ``DataFrame.to_parquet``.

    Raises
    ------
    FileExistsError
        When the folder already holds files of that pattern: they would mix with the new ones.
    ValueError
        When not exactly one size is given, or it is not positive.

    Notes
    -----
    A local folder that does not exist yet appears at once, complete. Elsewhere each file appears whole, and a failure
    removes those already written; a reader that looks meanwhile may see some of them.
    """
    sizes = (num_files, num_rows_per_file, in_memory_file_size)
    _write(self, "to_parquet", ".parquet", path, sizes, with_leading_zeros, storage_options, kwargs)


def to_csv_folder(
    self: DataFrame,
    path: str,
    num_files: int | None = None,
    num_rows_per_file: int | None = None,
    in_memory_file_size: int | None = None,
    with_leading_zeros: bool = True,
    storage_options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Write the rows, in order, to several CSV files: as ``to_parquet_folder``; ``kwargs`` of ``DataFrame.to_csv``."""
    sizes = (num_files, num_rows_per_file, in_memory_file_size)
    _write(self, "to_csv", ".csv", path, sizes, with_leading_zeros, storage_options, kwargs)


def _rows_per_file(obj: DataFrame, sizes: tuple[int | None, int | None, int | None]) -> list[tuple[int, int]]:
    """Give the first and last-plus-one row of each file."""
    given = [(i, size) for i, size in enumerate(sizes) if size is not None]
    if len(given) != 1:
        raise ValueError("give exactly one of num_files, num_rows_per_file and in_memory_file_size")
    which, size = given[0]
    if size < 1:
        raise ValueError("the size of a folder's files must be positive")
    n = len(obj)
    if which == 0:
        bounds = [n * i // size for i in range(size + 1)]
        return list(itertools.pairwise(bounds))
    if which == 2:
        total = _bytes_in_memory(obj)
        size = max(1, n * size // max(1, total))
    return [(begin, min(begin + size, n)) for begin in range(0, max(n, 1), size)]


def _bytes_in_memory(obj: DataFrame) -> int:
    from .ops.arguments import table_of
    from .ops.showing import memory_usage_of

    try:
        return int(memory_usage_of(table_of(obj), True).sum())
    except Fallback:
        return int(obj.memory_usage(deep=True).sum())


def _pattern(path: str, suffix: str) -> tuple[str, str]:
    """Give the folder and the pattern of names."""
    folder, _, name = path.rpartition("/")
    if "*" not in name:
        folder, name = path.rstrip("/"), f"part-*{suffix}"
    if name.count("*") != 1 or "*" in folder:
        raise ValueError("the path of a folder of files may hold one *, in its last part")
    return folder, name


def _write(obj: DataFrame, method: str, suffix: str, path: Any, sizes: Any, zeros: bool, storage_options: Any,
           kwargs: dict[str, Any]) -> None:  # fmt: skip
    folder, pattern = _pattern(os.fspath(path), suffix)
    execute(obj)
    cuts = _rows_per_file(obj, sizes)
    width = len(str(len(cuts))) if zeros else 1
    names = [pattern.replace("*", f"{i:0{width}d}") for i in range(1, len(cuts) + 1)]
    remote = is_remote(folder + "/")
    if not remote:
        folder = os.path.abspath(os.path.expanduser(folder or "."))
    options = {**kwargs, **({"storage_options": storage_options} if storage_options is not None else {})}
    with (_remote_target if remote else _local_target)(folder, pattern, storage_options) as where:
        for (begin, end), name in zip(cuts, names, strict=True):
            _write_part(obj, begin, end, method, where(name), options)


def _write_part(obj: DataFrame, begin: int, end: int, method: str, path: str, options: dict[str, Any]) -> None:
    from .ops.arguments import table_of
    from .ops.selecting import sliced

    handler = handler_of(f"DataFrame.{method}")
    try:
        assert handler is not None
        handler(wrap_frame(sliced(table_of(obj), begin, end)), path, **options)
    except Fallback:
        getattr(obj.iloc[begin:end], method)(path, **options)


@contextlib.contextmanager
def _local_target(folder: str, pattern: str, storage_options: Any) -> Iterator[Callable[[str], str]]:
    exists = os.path.isdir(folder)
    if exists and fnmatch.filter(os.listdir(folder), pattern):
        raise FileExistsError(f"{folder} already holds files named {pattern}")
    os.makedirs(folder if exists else os.path.dirname(folder), exist_ok=True)
    made = tempfile.mkdtemp(prefix=".terality-", dir=folder if exists else os.path.dirname(folder))
    try:
        yield lambda name: os.path.join(made, name)
        if not exists:
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(made, 0o777 & ~mask)
            os.rename(made, folder)
            return
        for name in sorted(os.listdir(made)):
            os.replace(os.path.join(made, name), os.path.join(folder, name))
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _remote_target(folder: str, pattern: str, storage_options: Any) -> Iterator[Callable[[str], str]]:
    place = Stores(storage_options).place(f"{folder}/")
    there = [os.path.basename(key) for key, is_prefix in place.store.list_folder(place.path) if not is_prefix]
    if fnmatch.filter(there, pattern):
        raise FileExistsError(f"{folder} already holds objects named {pattern}")
    written: list[str] = []

    def where(name: str) -> str:
        written.append(name)
        return f"{folder}/{name}"

    try:
        yield where
    except BaseException:
        for name in written:
            with contextlib.suppress(OSError):
                place.store.delete(f"{place.path}{name}")
        raise
