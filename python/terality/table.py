"""The engine's frames and columns: what a lazy pandas object stands for.

A :class:`Table` is a view over one plan node (``rel``): an expression per column, labels, and a description of the
row labels. Two tables over the same node have the same rows, so their columns combine without alignment. Tables
are immutable; every operation makes another.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas import CategoricalDtype, Index, MultiIndex, RangeIndex
from pandas.core.indexes.api import ensure_index_from_sequences
from pandas.core.internals.managers import (
    BlockManager,
    SingleBlockManager,
    create_block_manager_from_column_arrays,
)

from . import _engine, settings
from .blocks import frame_blocks, series_block
from .dtypes import array_from_pandas, array_to_pandas, category_dtype, engine_name, pandas_dtype
from .native import Native, set_ingest
from .registry import Fallback, NotNativeError

__all__ = ["Keys", "Range", "Recipe", "Table", "aligned", "table_of_arrays"]


class Range:
    """Row labels start, start + step, … that are never computed.

    Attributes
    ----------
    start, step : int
    name : Hashable
    """

    __slots__ = ("name", "start", "step")
    exprs: tuple[Any, ...] = ()
    dtypes: tuple[Any, ...] = ()

    def __init__(self, start: int = 0, step: int = 1, name: Hashable = None) -> None:
        self.start = start
        self.step = step
        self.name = name

    @property
    def names(self) -> list[Hashable]:
        """Names of the levels."""
        return [self.name]

    def labels(self, n: int) -> RangeIndex:
        """Give the pandas index of `n` rows."""
        return RangeIndex(self.start, self.start + n * self.step, self.step, name=self.name)


class Keys:
    """Row labels that are columns of the node: one level each.

    Attributes
    ----------
    exprs : tuple of Expr
    dtypes : tuple of pandas dtypes
    names : list of Hashable
    ranged : bool
        The labels were picked from a range, so that pandas gives a RangeIndex where they are equally spaced.
    multi : bool
        A MultiIndex, even of one level.
    sequence : bool
        The labels are a column that was put there, of which pandas makes a RangeIndex if it can.
    missing_levels : bool
        Missing labels are values among the levels, as a group-by with dropna=False leaves them, not code -1.
    """

    __slots__ = ("dtypes", "exprs", "missing_levels", "multi", "names", "ranged", "sequence")

    def __init__(
        self,
        exprs: Sequence[Any],
        dtypes: Sequence[Any],
        names: Sequence[Hashable],
        *,
        ranged: bool = False,
        multi: bool | None = None,
        missing_levels: bool = False,
        sequence: bool = False,
    ) -> None:
        self.sequence = sequence
        self.missing_levels = missing_levels
        self.exprs = tuple(exprs)
        self.dtypes = tuple(dtypes)
        self.names = list(names)
        self.ranged = ranged
        self.multi = len(self.exprs) > 1 if multi is None else multi

    def over(
        self, exprs: Sequence[Any], dtypes: Sequence[Any] | None = None, names: Sequence[Hashable] | None = None
    ) -> Keys:
        """Give row labels of the same kind in other columns; dtypes and names as they are unless given."""
        return Keys(
            exprs,
            self.dtypes if dtypes is None else dtypes,
            self.names if names is None else names,
            ranged=self.ranged,
            multi=self.multi,
            missing_levels=self.missing_levels,
        )

    def labels_of(self, arrays: Sequence[Any]) -> Index:
        """Give the pandas index over computed levels."""
        if self.multi:
            levels = MultiIndex.from_arrays(list(arrays), names=self.names)
            return _among_levels(levels) if self.missing_levels else levels
        whole = isinstance(arrays[0], np.ndarray) and arrays[0].dtype == np.int64
        if self.sequence and whole:
            return ensure_index_from_sequences(arrays, self.names)
        if self.ranged and whole:
            return RangeIndex(0)._shallow_copy(arrays[0], name=self.names[0])
        return Index(arrays[0], name=self.names[0], copy=False)


def _among_levels(labels: MultiIndex) -> MultiIndex:
    """Put missing labels among the levels, last."""
    levels, codes = list(labels.levels), list(labels.codes)
    for i, code in enumerate(codes):
        absent = code == -1
        if absent.any():
            codes[i] = np.where(absent, len(levels[i]), code)
            levels[i] = levels[i].insert(len(levels[i]), levels[i]._na_value)
    return MultiIndex(levels, codes, names=labels.names, verify_integrity=False)


Labels = Range | Keys


class Recipe:
    """How the node of a table extends another by columns computed over the same rows (windows, transforms).

    Attributes
    ----------
    base : Rel
        The node that was extended; its columns keep their positions.
    bases : tuple of Rel
        All nodes below it of which the same is true.
    apply : callable(Rel) -> Rel
        Extends any node that begins with the base's columns.
    """

    __slots__ = ("apply", "base", "bases")

    def __init__(self, base: _engine.Rel, bases: tuple[Any, ...], apply: Any) -> None:
        self.base = base
        self.bases = (base, *bases)
        self.apply = apply


class Table(Native):
    """Columns over a plan node.

    Parameters
    ----------
    rel : Rel
        The node whose rows these are.
    exprs : sequence of Expr
        One per column.
    dtypes : sequence of pandas dtypes
        One per column; a category's holds its categories.
    columns : Index
        Labels (a frame).
    rows : Range or Keys
        Row labels.
    """

    def __init__(
        self,
        rel: _engine.Rel,
        exprs: Sequence[Any],
        dtypes: Sequence[Any],
        columns: Index | None,
        rows: Labels,
        name: Hashable = None,
        recipe: Recipe | None = None,
    ) -> None:
        self.rel = rel
        self.recipe = recipe
        self.exprs = list(exprs)
        self.dtypes = list(dtypes)
        self.columns = columns
        self.rows = rows
        self.name = name
        self.is_frame = columns is not None
        self._index: Index | None = None
        self._skeleton: Any = None
        self._owner: tuple[weakref.ref[Table], int] | None = None
        self.taken: dict[int, SingleBlockManager] = {}
        self.shares = True  # False: pandas gets memory of its own, as from a deep copy

    # ---- what is known from the schema

    @property
    def index_names(self) -> list[Hashable]:
        return list(self._index.names) if self._index is not None else list(self.rows.names)

    def index(self) -> Index:
        if self._index is None:
            if isinstance(self.rows, Range):
                self._index = self.rows.labels(self.nrows())
            else:
                self._set_labels(self.rows, self.arrays(self.rows.exprs, self.rows.dtypes))
        return self._index

    def _set_labels(self, rows: Keys, arrays: Sequence[Any]) -> None:
        """Keep computed labels, and their class: what is picked from an Index stays one."""
        self._index = rows.labels_of(arrays)
        ranged = type(self._index) is RangeIndex
        if ranged != rows.ranged:  # of this table only: one whose rows were filtered has the same Keys
            self.rows = rows.over(rows.exprs)
            self.rows.ranged = ranged

    def nrows(self) -> int:
        if self.rel.n_rows < 0:
            return self.rel.run(()).n_rows
        return self.rel.n_rows

    def at(self, label: Hashable) -> int:
        """Give the position of the one column of a label; pandas' KeyError without one, Fallback with several."""
        where = self.columns.get_loc(label)
        if not isinstance(where, int):
            raise Fallback(f"several columns for {label!r}")
        return where

    # ---- making others

    def series(self, expr: Any, dtype: Any, name: Hashable) -> Table:
        """Give a column over the same rows."""
        return self._labelled(Table(self.rel, [expr], [dtype], None, self.current_rows(), name, self.recipe))

    def frame(self, exprs: Sequence[Any], dtypes: Sequence[Any], columns: Index) -> Table:
        """Give a frame over the same rows."""
        return self._labelled(Table(self.rel, exprs, dtypes, columns, self.current_rows(), None, self.recipe))

    def column(self, position: int) -> Table:
        """Give one column as a Series that shares its array with the frame once pandas has it (facade finding P4)."""
        out = self.series(self.exprs[position], self.dtypes[position], self.columns[position])
        out._owner = (weakref.ref(self), position)
        return out

    def with_name(self, name: Hashable) -> Table:
        return self._labelled(Table(self.rel, self.exprs, self.dtypes, None, self.current_rows(), name, self.recipe))

    def _labelled(self, out: Table) -> Table:
        """Let a table of the same rows have the row labels that are known, with their levels as they are."""
        if out.rows is self.rows:
            out._index = self._index
        return out

    def current_rows(self) -> Labels:
        """Give the row labels with the names they have now (users rename an Index in place)."""
        if self._index is None or list(self._index.names) == list(self.rows.names):
            return self.rows
        if isinstance(self.rows, Range):
            return Range(self.rows.start, self.rows.step, self._index.name)
        return self.rows.over(self.rows.exprs, names=list(self._index.names))

    def over(self, rel: _engine.Rel, at: int = 0) -> Table:
        """Give this table over another node whose columns from `at` on are :meth:`flat`'s: columns, then row labels."""
        n = len(self.exprs)
        exprs = [_engine.col(rel, at + i) for i in range(n)]
        rows = self.rows
        if isinstance(rows, Keys):
            keys = [_engine.col(rel, at + n + i) for i in range(len(rows.exprs))]
            rows = rows.over(keys, names=self.index_names)
        return Table(rel, exprs, self.dtypes, self.columns if self.is_frame else None, rows, self.name)

    def flat(self, *, labelled: bool = False) -> Table:
        """Give the same table over a node whose columns are exactly its columns, then its row labels.

        Parameters
        ----------
        labelled : bool
            Range labels become a column too: rows are about to be dropped or reordered.
        """
        if labelled and isinstance(self.rows, Range):
            return self.numbered().flat()
        rows = self.current_rows()
        whole = Table(self.rel, self.exprs, self.dtypes, self.columns if self.is_frame else None, rows, self.name)
        wanted = [*self.exprs, *rows.exprs]
        if len(wanted) == self.rel.n_cols and all(e.column == i for i, e in enumerate(wanted)):
            return whole
        rel = _engine.node("PROJECT", (self.rel,), tuple(wanted))
        return whole.over(rel)

    def numbered(self) -> Table:
        """Give this table with range labels as a column of the node (:class:`Keys`); others stay as they are."""
        rows = self.current_rows()
        if isinstance(rows, Keys):
            return self
        params = (rows.start, rows.step)

        def apply(rel: _engine.Rel) -> _engine.Rel:
            cols = [_engine.col(rel, i) for i in range(rel.n_cols)]
            return _engine.node("PROJECT", (rel,), (*cols, _engine.op("ROW_NUMBER", (), params)))

        if self.rel.kind == "PARQUET" and params == (0, 1):
            out, label = self.on(self.rel, self.recipe), _engine.col(self.rel, self.rel.n_cols - 1)
        else:
            out = self.extended(apply)
            label = _engine.col(out.rel, out.rel.n_cols - 1)
        out.rows = Keys([label], [np.dtype("int64")], [rows.name], ranged=True)
        return out

    def unshared(self) -> Table:
        """Give itself, just made, as one whose columns will be memory of its own, as from a deep copy."""
        self.shares = False
        return self

    def settled(self) -> Table:
        """Give this table with every dtype and success certain: computed now where the data decides."""
        return self if all(self._is_sure(e) for e in (*self.exprs, *self.rows.exprs)) else self.fixed()

    def fixed(self) -> Table:
        """Give this table with its columns computed now, still over (an extension of) its node.

        Row labels stay as they are, so that its rows are known to be those of other tables; only labels whose dtype
        the data decides are computed too.
        """
        rows = self.current_rows()
        labels = [] if all(self._is_sure(e) for e in rows.exprs) else list(rows.exprs)
        frame, at = self.fetch([*self.exprs, *labels])
        arrays = [frame.col(i) for i in at]
        source = _engine.source(_engine.frame(frame.n_rows, tuple(arrays)), "kept")
        start = self.rel.n_cols
        out = self.extended(lambda rel: _engine.node("ZIP", (rel, source)))
        n = len(self.exprs)
        cols = [_engine.col(out.rel, start + i) for i in range(len(arrays))]
        out.exprs = cols[:n]
        out.dtypes = [dtype_after(array, old) for array, old in zip(arrays, self.dtypes, strict=False)]
        if labels and isinstance(rows, Keys):
            dtypes = [dtype_after(array, old) for array, old in zip(arrays[n:], rows.dtypes, strict=True)]
            out.rows = rows.over(cols[n:], dtypes)
        return out

    def _is_sure(self, expr: Any) -> bool:
        """Tell whether an expression's dtype is certain before it is computed, and that it can be computed.

        In strict mode that includes values that pandas would be asked about in the middle of a run: the call that made
        the expression is to be blamed.
        """
        if expr.dtype_depends_on_data or expr.may_raise or (expr.column >= 0 and self.rel.schema(expr.column)[2]):
            return False
        return not (expr.may_refuse and settings.current.mode == "strict")

    def computed(self, name: str = "kept") -> Table:
        """Give this table over a node in memory that holds exactly its columns and row labels, computed now."""
        table = self.flat()
        rows = table.rows
        needed = tuple(range(len(table.exprs) + len(rows.exprs)))
        frame = table.rel.run(needed)
        if table.rel.n_cols > len(needed):
            frame = _engine.frame(frame.n_rows, tuple(frame.col(i) for i in needed))
        rel = _engine.source(frame, name)
        out = table.over(rel)
        n = len(out.exprs)
        out.dtypes = [dtype_after(frame.col(i), old) for i, old in enumerate(table.dtypes)]
        if isinstance(rows, Keys):
            dtypes = [dtype_after(frame.col(n + i), old) for i, old in enumerate(rows.dtypes)]
            out.rows = rows.over(out.rows.exprs, dtypes)
        return out

    def extended(self, apply: Any) -> Table:
        """Give this table over a node that has further columns after the present node's, for the same rows."""
        bases = self.recipe.bases if self.recipe is not None else ()
        recipe = Recipe(self.rel, bases, apply)
        columns = self.columns if self.is_frame else None
        return Table(apply(self.rel), self.exprs, self.dtypes, columns, self.current_rows(), self.name, recipe)

    def on(self, rel: _engine.Rel, recipe: Recipe | None) -> Table:
        """Give this table over a node that extends its own."""
        columns = self.columns if self.is_frame else None
        return Table(rel, self.exprs, self.dtypes, columns, self.current_rows(), self.name, recipe)

    def skeleton(self) -> Any:
        """Give a pandas object of no rows with the same labels and dtypes: what pandas would say of a call."""
        if self._skeleton is None:
            n = len(self.dtypes)
            arrays = [empty_array(d) for d in self.dtypes]
            index = self.empty_index()
            if self.is_frame:
                mgr = create_block_manager_from_column_arrays(arrays, [self.columns, index], False, [None] * n)
                self._skeleton = pd.DataFrame._from_mgr(mgr, axes=mgr.axes)
            else:
                single = SingleBlockManager.from_array(arrays[0], index)
                self._skeleton = pd.Series._from_mgr(single, axes=single.axes)
                self._skeleton._name = self.name
        return self._skeleton

    def empty_index(self) -> Index:
        """Give row labels of no rows, of the right kind and names."""
        if isinstance(self.rows, Range):
            return RangeIndex(0, name=self.index_names[0])
        levels = [empty_array(d) for d in self.rows.dtypes]
        if self.rows.multi:
            return MultiIndex.from_arrays(levels, names=self.index_names)
        return Index(levels[0], name=self.index_names[0])

    # ---- computing

    def arrays(self, exprs: Sequence[Any], dtypes: Sequence[Any]) -> list[Any]:
        """Compute expressions over the rows as pandas arrays."""
        frame, at = self.fetch(exprs)
        return [array_to_pandas(frame.col(i), dtype) for i, dtype in zip(at, dtypes, strict=True)]

    def fetch(self, exprs: Sequence[Any]) -> tuple[_engine.Frame, list[int]]:
        """Compute expressions; give the frame and their positions in it."""
        at = [e.column for e in exprs]
        if all(i >= 0 for i in at):
            return self.rel.run(tuple(at)), at
        rel = _engine.node("PROJECT", (self.rel,), tuple(exprs))
        return rel.run(), list(range(len(exprs)))

    def materialize(self) -> BlockManager | SingleBlockManager:
        try:
            return self._materialize()
        except Fallback as refusal:
            raise NotNativeError(f"a lazy result would be served by pandas: {refusal}") from None

    def _materialize(self) -> BlockManager | SingleBlockManager:
        if self.is_frame:
            return self._materialize_frame()
        reference, position = self._owner if self._owner is not None else (None, 0)
        owner = reference() if reference is not None else None
        if owner is not None and owner.pin is not None:
            return owner.pin.iget(position)
        (array,) = self._computed([0])
        out = SingleBlockManager(series_block(array, self.dtypes[0], share=self.shares), self.index())
        if owner is not None:
            owner.taken[position] = out
        return out

    def _materialize_frame(self) -> BlockManager:
        """Columns that were given out before keep their arrays: pandas tells by that whose column a Series is."""
        missing = [i for i in range(len(self.exprs)) if i not in self.taken]
        arrays = dict(zip(missing, self._computed(missing), strict=True))
        taken = {i: manager._block for i, manager in self.taken.items()}
        blocks = frame_blocks(arrays, self.dtypes, taken, share=self.shares)
        return BlockManager(tuple(blocks), [self.columns, self.index()], verify_integrity=False)

    def _computed(self, positions: list[int]) -> list[_engine.Array]:
        """Compute columns; row labels that are columns come along in the same run."""
        rows = self.rows
        with_rows = self._index is None and isinstance(rows, Keys)
        exprs = [self.exprs[i] for i in positions]
        if with_rows:
            exprs += rows.exprs
        if not exprs:
            return []
        frame, at = self.fetch(exprs)
        n = len(positions)
        if with_rows:
            levels = [array_to_pandas(frame.col(i), d) for i, d in zip(at[n:], rows.dtypes, strict=True)]
            self._set_labels(rows, levels)  # type: ignore[arg-type]
        return [frame.col(i) for i in at[:n]]

    def execute(self) -> None:
        """Compute and keep everything in the engine."""
        try:
            table = self.computed()
        except Fallback as refusal:
            raise NotNativeError(f"a lazy result would be served by pandas: {refusal}") from None
        self.rel, self.exprs, self.dtypes, self.rows = table.rel, table.exprs, table.dtypes, table.rows

    def explain(self) -> str:
        return self.flat().rel.explain(optimised=True)


def empty_array(dtype: Any) -> Any:
    """Give an array of no values."""
    if isinstance(dtype, np.dtype):
        values = np.empty(0, dtype)
        return pd.array(values, dtype=dtype) if dtype.kind in "mM" else values
    return pd.array([], dtype=dtype)


def same_range(a: Table, b: Table) -> bool:
    """Tell whether two tables have equal range labels, so that rows correspond by position."""
    if not isinstance(a.rows, Range) or not isinstance(b.rows, Range):
        return False
    return a.rows.start == b.rows.start and a.rows.step == b.rows.step and a.nrows() == b.nrows()


def same_rows(a: Labels, b: Labels) -> bool:
    """Tell whether row labels over one node are the same; ``reset_index`` and ``set_index`` keep the node."""
    if isinstance(a, Range) and isinstance(b, Range):
        return a.start == b.start and a.step == b.step
    if isinstance(a, Keys) and isinstance(b, Keys):
        return len(a.exprs) == len(b.exprs) and all(x.equals(y) for x, y in zip(a.exprs, b.exprs, strict=True))
    return False


def aligned(a: Table, b: Table) -> tuple[Table, Table]:
    """Give both tables over one node, row by row.

    Raises
    ------
    Fallback
        The rows may differ: pandas aligns by labels.
    """
    if not same_rows(a.current_rows(), b.current_rows()):
        raise Fallback("operands of different row labels")
    if a.rel is b.rel:
        return a, b
    a_bases = a.recipe.bases if a.recipe is not None else ()
    b_bases = b.recipe.bases if b.recipe is not None else ()
    if any(base is b.rel for base in a_bases):
        return a, b.on(a.rel, a.recipe)
    if any(base is a.rel for base in b_bases):
        return a.on(b.rel, b.recipe), b
    if b.recipe is not None and any(base is b.recipe.base for base in (a.rel, *a_bases)):
        return _reapplied(a, b)
    if same_range(a, b):
        return _zipped(a, b)
    raise Fallback("operands whose row labels may differ")


def _reapplied(a: Table, b: Table) -> tuple[Table, Table]:
    """Both extend one node in their own way: extend a's node by what extended b's."""
    recipe = b.recipe
    assert recipe is not None
    whole = a.extended(recipe.apply)
    shift = a.rel.n_cols - recipe.base.n_cols
    kept = [_engine.col(b.rel, i) for i in range(recipe.base.n_cols)]
    moved = [_engine.col(whole.rel, i + shift) for i in range(recipe.base.n_cols, b.rel.n_cols)]
    exprs = [e.substitute([*kept, *moved]) for e in b.exprs]
    columns = b.columns if b.is_frame else None
    return whole, Table(whole.rel, exprs, b.dtypes, columns, whole.rows, b.name, whole.recipe)


def _zipped(a: Table, b: Table) -> tuple[Table, Table]:
    """Equal row labels over different nodes: the nodes side by side, nothing computed yet."""
    whole = a.extended(lambda rel: _engine.node("ZIP", (rel, b.rel)))
    moved = [_engine.col(whole.rel, a.rel.n_cols + i) for i in range(b.rel.n_cols)]
    exprs = [e.substitute(moved) for e in b.exprs]
    columns = b.columns if b.is_frame else None
    return whole, Table(whole.rel, exprs, b.dtypes, columns, whole.rows, b.name, whole.recipe)


def dtype_after(array: _engine.Array, expected: Any) -> Any:
    """Give the pandas dtype of a computed column; `expected` is kept where it still holds."""
    if array.dtype.startswith("category"):
        known = isinstance(expected, CategoricalDtype) and expected.categories is not None
        return expected if known else category_dtype(array)
    return pandas_dtype(array.dtype)


def table_of_arrays(
    arrays: Sequence[_engine.Array],
    dtypes: Sequence[Any],
    columns: Index | None,
    rows: Any,
    n_rows: int,
    name: Hashable = None,
    source: str = "frame",
) -> Table:
    """Give a table over columns in memory.

    Parameters
    ----------
    rows : Range, or pandas Index
        An Index becomes columns of its own (a RangeIndex stays symbolic).
    """
    kept_index = None
    if isinstance(rows, Index):
        kept_index = rows
        rows, level_arrays, level_dtypes = _rows_of_index(rows)
    else:
        level_arrays, level_dtypes = [], []
    if any(len(array) != n_rows for array in (*arrays, *level_arrays)):
        raise Fallback("an index of another length")
    rel = _engine.source(_engine.frame(n_rows, (*arrays, *level_arrays)), source)
    exprs = [_engine.col(rel, i) for i in range(len(arrays))]
    if level_arrays:
        keys = [_engine.col(rel, len(arrays) + i) for i in range(len(level_arrays))]
        rows = rows.over(keys, level_dtypes)
    table = Table(rel, exprs, dtypes, columns, rows, name)
    table._index = kept_index
    return table


def _rows_of_index(index: Index) -> tuple[Labels, list[Any], list[Any]]:
    if type(index) is RangeIndex:
        return Range(index.start, index.step, index.name), [], []
    if isinstance(index, MultiIndex):
        levels = [index.get_level_values(i)._values for i in range(index.nlevels)]
        if any(a.dtype != b.dtype for a, b in zip(levels, index.levels, strict=True)):
            raise Fallback("row labels of whole numbers of which some are missing")
    else:
        if getattr(index, "freq", None) is not None:
            raise Fallback("an index with a freq")
        levels = [index._values]
    arrays = [array_from_pandas(level) for level in levels]
    dtypes = [level.dtype for level in levels]
    multi = isinstance(index, MultiIndex)
    among = multi and any(level.hasnans for level in index.levels)
    return Keys([None] * len(levels), dtypes, list(index.names), multi=multi, missing_levels=among), arrays, dtypes


def ingest(mgr: Any, name: Hashable) -> Table:
    """Take a pandas manager into the engine; the manager stays as it is."""
    if isinstance(mgr, SingleBlockManager):
        values = mgr.array
        array = array_from_pandas(values)
        return table_of_arrays([array], [values.dtype], None, mgr.index, len(values), name)
    n_cols = len(mgr.items)
    for block in mgr.blocks:
        engine_name(block.dtype)
    columns = [mgr.iget_values(i) for i in range(n_cols)]
    arrays = [array_from_pandas(c) for c in columns]
    n_rows = len(mgr.axes[1])
    return table_of_arrays(arrays, [c.dtype for c in columns], mgr.axes[0], mgr.axes[1], n_rows)


set_ingest(ingest)
