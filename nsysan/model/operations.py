"""All GPU work of a trace in few bytes, and the frames that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.rows import filled, repeated, taken
from nsysan.model.classes import COMMUNICATION
from nsysan.trace.vocabulary import WORK

_CATEGORY = pl.Categorical()
_I64 = npt.NDArray[np.int64]
#: The columns that Operations.frame makes.
OPERATION = {
    "row": pl.UInt32(),
    "rank_key": pl.Int64(),
    **WORK,
    "cls": _CATEGORY,
    "kind": _CATEGORY,
    "library": _CATEGORY,
    "lookalike": pl.Boolean(),
    "group_size": pl.Int64(),
    "barrier": pl.Boolean(),
    "begin": pl.Int64(),
    "trimmed": pl.Int64(),
    "thread": pl.Int64(),
    "launch_start": pl.Int64(),
    "launch_end": pl.Int64(),
    "launch": _CATEGORY,
}


@dataclass(frozen=True)
class Operations:
    """Kernels, copies and graph blocks of one trace, ordered by process, device, start and end, in few bytes each.

    A trace has millions of them: what a question needs is made as a frame (`frame`), best of one owner at a time.

    owners: process, device; an owner's number is its rank_key. first: row of each owner's first, and the number of all.
    stored: columns by name, none where it is null throughout (trimmed: 0); description, queue, caller: rows of the
    tables of these names. descriptions: name, demangled, type, cls, kind, library, lookalike, group_size,
    barrier. queues: context, stream. callers: thread, launch. shapes: grid, block, where they were read (then shape is
    among the columns), else None.
    """

    owners: pl.DataFrame
    first: _I64
    stored: dict[str, pl.Series]
    descriptions: pl.DataFrame
    queues: pl.DataFrame
    callers: pl.DataFrame
    shapes: pl.DataFrame | None = None

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def keys(self) -> range:
        """The rank_key of every owner."""
        return range(len(self.owners))

    @cached_property
    def coded(self) -> dict[str, tuple[pl.Series, str]]:
        """Columns that are stored as numbers: the values, and the column of the numbers, by name."""
        tables = ((self.callers, "caller"), (self.queues, "queue"), (self.descriptions, "description"))
        return {column.name: (column, code) for table, code in tables for column in table.get_columns()}

    @cached_property
    def _classes(self) -> npt.NDArray[np.str_]:
        """The class of each description."""
        return np.array(self.descriptions["cls"].to_list(), dtype=np.str_)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return sum(int(column.estimated_size()) for column in self.stored.values())

    def rows(self, key: int) -> tuple[int, int]:
        """First row of an owner, and that after its last."""
        return int(self.first[key]), int(self.first[key + 1])

    def frame(self, names: Iterable[str], key: int | None = None, at: _I64 | slice | None = None) -> pl.DataFrame:
        """These columns (see OPERATION) of all operations, of those of an owner, or of the rows `at`.

        row: number in the trace. Those of WORK are as exported. cls, kind, library, lookalike, group_size, barrier: see
        Catalogue. begin: the effective start (see load._trimmed); trimmed: begin - start, ns. thread, launch_start,
        launch_end, launch: of the API call, null where none is recorded.
        """
        bounds = (at.start, at.stop) if isinstance(at, slice) else (0, len(self)) if key is None else self.rows(key)
        chosen = _Rows(self, bounds, None if isinstance(at, slice) else at)
        return pl.DataFrame([chosen.column(name).alias(name) for name in names])

    def of_class(self, wanted: Sequence[str], key: int | None = None) -> _I64:
        """Rows of the operations of these classes."""
        is_wanted = np.isin(self._classes, list(map(str, wanted)))
        begin, end = (0, len(self)) if key is None else self.rows(key)
        return np.flatnonzero(is_wanted[self.stored["description"].slice(begin, end - begin).to_numpy()]) + begin


class _Rows:
    """Columns of some rows of Operations."""

    def __init__(self, work: Operations, bounds: tuple[int, int], at: _I64 | None) -> None:
        self._work, self._begin, self._count = work, bounds[0], bounds[1] - bounds[0]
        self._at = None if at is None else pl.Series(at).cast(pl.UInt32)
        self.count = self._count if at is None else len(at)

    def column(self, name: str) -> pl.Series:
        """The column, as OPERATION has it."""
        if name in _MADE:
            return _MADE[name](self).cast(OPERATION[name])
        if name in self._work.coded:
            table, code = self._work.coded[name]
            number = self._stored(code)
            return self._blank(name) if number is None else taken(table, number)
        if name in self._work.owners.columns:
            return taken(self._work.owners[name], self._owner())
        return self._number(name)

    def _stored(self, name: str) -> pl.Series | None:
        column = self._work.stored.get(name)
        if column is None:
            return None
        return column.slice(self._begin, self._count) if self._at is None else taken(column, self._at)

    def _number(self, name: str) -> pl.Series:
        column = self._stored(name)
        return self._blank(name) if column is None else column.cast(pl.Int64)

    def _blank(self, name: str) -> pl.Series:
        return repeated(None, self.count, OPERATION.get(name, pl.Int64()))

    def _row(self) -> pl.Series:
        if self._at is not None:
            return self._at
        return pl.int_range(self._begin, self._begin + self._count, dtype=pl.UInt32, eager=True)

    def _owner(self) -> pl.Series:
        first = self._work.first
        if self._at is None:
            inside = np.clip(first, self._begin, self._begin + self._count) - self._begin
            return pl.Series(np.repeat(np.arange(len(first) - 1), np.diff(inside)))
        return pl.Series(np.searchsorted(first, self._at.to_numpy(), side="right") - 1)

    def _effective(self) -> pl.Series:
        trimmed = self._stored("trimmed")
        start = self._number("start")
        return start if trimmed is None else start + trimmed


def is_communication() -> pl.Expr:
    """Whether an operation communicates, by its class."""
    return pl.col("cls").is_in(list(map(str, COMMUNICATION)))


def in_words(work: pl.DataFrame) -> pl.DataFrame:
    """The operations with texts in place of categories, which only a frame of millions of rows needs."""
    return work.with_columns(pl.col(pl.Categorical).cast(pl.String))


#: What is made of several stored columns, or of none.
_MADE: Final[Mapping[str, Callable[[_Rows], pl.Series]]] = {
    "row": _Rows._row,
    "rank_key": _Rows._owner,
    "begin": _Rows._effective,
    "launch_end": lambda rows: rows._number("launch_start") + rows._number("launch_ns"),
    "trimmed": lambda rows: filled(rows._number("trimmed"), 0),
}
