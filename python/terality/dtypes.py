"""pandas dtypes and the engine's dtype names, and columns of data across the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas import CategoricalDtype, StringDtype
from pandas.core.arrays import Categorical, DatetimeArray, TimedeltaArray
from pandas.core.arrays.string_arrow import ArrowStringArray

from . import _engine
from .registry import Fallback

__all__ = ["STR", "array_from_pandas", "array_to_pandas", "engine_name", "fixed_dtype", "numpy_dtype"]

STR = StringDtype(na_value=np.nan)
"""pandas' default text dtype."""

_PLAIN = {name: np.dtype(name) for name in
          ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32",
           "float64")}  # fmt: skip
_TIMES = {f"{kind}64[{unit}]": np.dtype(f"{kind}64[{unit}]") for kind in ("datetime", "timedelta")
          for unit in ("s", "ms", "us", "ns")}  # fmt: skip
_BY_NAME: dict[str, Any] = {**_PLAIN, **_TIMES, "str": STR}
_BY_DTYPE = {dtype: name for name, dtype in {**_PLAIN, **_TIMES}.items()}
DICTIONARY_SHARE = 4
"""A text column entering the engine is dictionary-encoded when at most one in this many values is distinct."""
DICTIONARY_MOST = 1_000_000


def engine_name(dtype: Any) -> str:
    """Give the engine's name of a pandas dtype; raises Fallback for one it does not have."""
    name = _BY_DTYPE.get(dtype) if isinstance(dtype, np.dtype) else None
    if name is not None:
        return name
    if isinstance(dtype, StringDtype) and dtype.na_value is not pd.NA and dtype.storage == "pyarrow":
        return "str"
    if isinstance(dtype, CategoricalDtype):
        return "category[ordered]" if dtype.ordered else "category"
    raise Fallback(f"dtype {dtype}")


def pandas_dtype(name: str) -> Any:
    """Give the pandas dtype of an engine name other than category."""
    return _BY_NAME[name]


def numpy_dtype(name: str) -> np.dtype:
    """Give the numpy dtype of a fixed-width engine name."""
    return _BY_NAME[name]


def fixed_dtype(array: _engine.Array) -> np.dtype | None:
    """Give the numpy dtype of a fixed-width column's values; None for text and categories."""
    found = _BY_NAME.get(array.dtype)
    return found if isinstance(found, np.dtype) else None


def text_to_arrow(array: _engine.Array) -> pa.Array:
    """Copy a text column into an Arrow large_string array."""
    return pa.Array._import_from_c_capsule(*array.to_arrow())


def _codes_dtype(n: int) -> np.dtype:
    return np.dtype("int8" if n <= 127 else "int16" if n <= 32767 else "int32" if n <= 2**31 - 1 else "int64")


def array_to_pandas(array: _engine.Array, dtype: Any) -> Any:
    """Give a column of the engine as the array that pandas holds for its dtype.

    Parameters
    ----------
    array : Array
    dtype : pandas dtype
        The expected dtype; a fixed-width array that turned out otherwise (integers with missing rows) wins.

    Returns
    -------
    numpy.ndarray or ExtensionArray
        Fixed-width values share the engine's memory and are read-only.
    """
    name = array.dtype
    if name == "str":
        return ArrowStringArray(pa.chunked_array([text_to_arrow(array)]), dtype=STR)
    if name.startswith("category"):
        codes = np.frombuffer(array, np.int32) if len(array) else np.empty(0, np.int32)
        if not isinstance(dtype, CategoricalDtype):
            dtype = category_dtype(array)
        codes = codes.astype(_codes_dtype(len(dtype.categories)))
        return Categorical._simple_new(codes, dtype)
    plain = numpy_dtype(name)
    values = np.frombuffer(array, plain) if len(array) else np.empty(0, plain)
    if plain.kind == "M":
        return DatetimeArray._simple_new(values, dtype=plain)
    if plain.kind == "m":
        return TimedeltaArray._simple_new(values, dtype=plain)
    return values


def category_dtype(array: _engine.Array) -> CategoricalDtype:
    """Give the dtype of a category column from its dictionary."""
    values = array_to_pandas(array.dict, None)
    return CategoricalDtype(pd.Index(values, dtype=values.dtype), ordered=array.dtype.endswith("[ordered]"))


def array_from_pandas(values: Any) -> _engine.Array:
    """Take a pandas column (ndarray or ExtensionArray) into the engine, without a copy where the layout allows.

    Raises
    ------
    Fallback
        The dtype has no native form.
    """
    name = engine_name(values.dtype)
    if name == "str":
        return _text_from_arrow(values._pa_array)
    if name.startswith("category"):
        categories = values.categories
        if engine_name(categories.dtype).startswith("category"):
            raise Fallback("categories of categories")
        codes = np.ascontiguousarray(values.codes, dtype=np.int32)
        return _engine.category(codes, array_from_pandas(categories._values), bool(values.ordered))
    plain = values._ndarray if isinstance(values, (DatetimeArray, TimedeltaArray)) else values
    if plain.dtype.kind in "mM":
        plain = plain.view("i8")
    plain = np.ascontiguousarray(plain)
    return _engine.array(plain, name)


def _text_from_arrow(chunked: pa.ChunkedArray) -> _engine.Array:
    combined = chunked.combine_chunks() if chunked.num_chunks != 1 else chunked.chunk(0)
    if isinstance(combined, pa.ChunkedArray):
        raise Fallback("text of more than one Arrow chunk")
    plain = _engine.text(*combined.__arrow_c_array__())
    n = len(plain)
    if n < 1000:
        return plain
    encoded = _engine.encode(plain, min(n // DICTIONARY_SHARE, DICTIONARY_MOST))
    return plain if encoded is None else encoded
