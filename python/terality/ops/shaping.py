"""Pivoting: the grouping runs in the engine, its small result is laid out by pandas."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from pandas import DataFrame

from ..grouping import group_lazily
from ..native import to_pandas
from ..registry import Fallback, native
from .arguments import refuse, table_of
from .grouping import AGGREGATES, simple_aggregate
from .selecting import frame_getitem


def _label_list(value: Any, name: str) -> list[Hashable]:
    labels = value if isinstance(value, list) else [value]
    if not labels or not all(isinstance(label, str) for label in labels):
        raise Fallback(f"{name} that is not a label or a list of labels")
    return labels


@native("DataFrame.pivot_table", "pandas.pivot_table")
def pivot_table(
    data: DataFrame,
    values: Any = None,
    index: Any = None,
    columns: Any = None,
    aggfunc: Any = "mean",
    fill_value: Any = None,
    margins: bool = False,
    dropna: bool = True,
    margins_name: Any = "All",
    observed: Any = True,
    sort: bool = True,
    **kwargs: Any,
) -> DataFrame:
    """Serve pivot_table of one named aggregate by column labels."""
    refuse(margins=(margins, False), dropna=(dropna, True), observed=(observed, True), sort=(sort, True))
    if kwargs or not isinstance(aggfunc, str) or aggfunc not in AGGREGATES or aggfunc == "size":
        raise Fallback(f"aggfunc={aggfunc!r}")
    if type(data) is not DataFrame:
        raise Fallback("data that is no DataFrame")
    table = table_of(data)
    if not table.columns.is_unique or values is None or index is None or columns is None:
        raise Fallback("values, index or columns not given")
    keys = [*_label_list(index, "index"), *_label_list(columns, "columns")]
    wanted = _label_list(values, "values")
    if len(set(keys)) != len(keys) or set(keys) & set(wanted):
        raise Fallback("a label used twice")
    if any(label not in table.columns for label in (*keys, *wanted)):
        raise Fallback("labels that are not there")
    chosen = frame_getitem(data, [*keys, *wanted])
    grouped = group_lazily(chosen, keys, as_index=False, sort=True, observed=True)
    small = to_pandas(simple_aggregate(grouped, aggfunc))
    return small.pivot_table(
        values=values,
        index=index,
        columns=columns,
        aggfunc="first",
        fill_value=fill_value,
        dropna=dropna,
        observed=True,
        sort=sort,
    )
