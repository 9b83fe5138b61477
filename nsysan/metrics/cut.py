"""Operations cut at the last arrival, by which waiting is told from moving data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import numbered
from nsysan.columns.intervals import I64
from nsysan.columns.rows import repeated, taken
from nsysan.metrics.lines import AFTER, BEFORE, CLAIMED, WHOLE, Line
from nsysan.model.classes import WorkClass

#: Position in CLAIMED of each line that operations claim.
NUMBER = {line: number for number, line in enumerate(CLAIMED)}
_Numbers = npt.NDArray[np.int8]


class Cut(NamedTuple):
    """Operations as parts of one ledger line each.

    A matched call has two: until the last arrival its rank waits, from then on data moves, or the kernel that
    communicates also computes. Any other operation is whole; communication of which the last arrival is not known
    stays unsplit.

    begin, end, line: of the first part of each operation, in their order. at: rows of the matched calls; finish, after:
    end and line of the second part of each, which begins where the first ends. Times in ns; lines as in NUMBER, -1 for
    an operation of no line.
    """

    begin: I64
    end: I64
    line: _Numbers
    at: I64
    finish: I64
    after: _Numbers

    def parts(self, work: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        """These columns of the operations with begin, end and line of each part: first parts in order, then second."""
        own = work.select(names)
        first = own.with_columns(*_columns(self.begin, self.end, self.line))
        rest = own.select(pl.all().gather(pl.Series(self.at)))
        rest = rest.with_columns(*_columns(self.end[self.at], self.finish, self.after))
        return pl.concat([first.filter(pl.col("line") >= 0) if (self.line < 0).any() else first, rest])

    def lengths(self) -> tuple[pl.Series, pl.Series]:
        """ns before the last arrival and after it of each operation, null where it is not a matched call."""
        last, at = self.end[self.at], pl.Series(self.at)
        none = repeated(None, len(self.begin), pl.Int64())
        waited = none.clone().scatter(at, pl.Series(last - self.begin[self.at]))
        return waited, none.scatter(at, pl.Series(self.finish - last))


def cut_at_arrival(work: pl.DataFrame) -> Cut:
    """The parts of operations; work: begin, end, cls and last (last arrival at a matched call, null for any other)."""
    matched = work["last"].is_not_null().to_numpy().nonzero()[0]
    classes = taken(work["cls"], pl.Series(matched))
    before, after = numbered(classes, _of(BEFORE)), numbered(classes, _of(AFTER))
    return _cut(work, matched, numbered(work["cls"], _of(WHOLE)), before, after)


def cut_by_kind(work: pl.DataFrame, classes: pl.Series) -> Cut:
    """The same of operations of few kinds, each a row of `classes`; work: begin, end, kind and last."""
    matched = work["last"].is_not_null().to_numpy().nonzero()[0]
    whole, before, after = lines_of(classes)
    kind = work["kind"].to_numpy()
    return _cut(work, matched, whole[kind], before[kind[matched]], after[kind[matched]])


def _cut(work: pl.DataFrame, matched: I64, line: _Numbers, before: _Numbers, after: _Numbers) -> Cut:
    begin, end = work["begin"].to_numpy(), work["end"].to_numpy().copy()
    finish = end[matched]
    end[matched] = taken(work["last"], pl.Series(matched)).to_numpy()
    line[matched] = before
    return Cut(begin, end, line, matched, finish, after)


def lines_of(classes: pl.Series) -> tuple[_Numbers, _Numbers, _Numbers]:
    """The line of an operation of each class if it is whole, and those before and after its last arrival; classes: few,
    as numbers stand for them.
    """
    names = classes.to_list()
    whole, before, after = (
        np.array([own.get(name, -1) for name in names], dtype=np.int8) for own in map(_of, (WHOLE, BEFORE, AFTER))
    )
    return whole, before, after


def line_names(lines: pl.Series) -> pl.Series:
    """The lines that have these numbers, by name."""
    return taken(pl.Series(list(CLAIMED), dtype=pl.String), lines)


def _of(lines: Mapping[WorkClass, Line]) -> dict[str, int]:
    return {cls: NUMBER[line] for cls, line in lines.items()}


def _columns(begin: I64, end: I64, line: _Numbers) -> tuple[pl.Series, pl.Series, pl.Series]:
    return pl.Series("begin", begin), pl.Series("end", end), pl.Series("line", line)
