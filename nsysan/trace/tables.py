"""The tables of one export as its readers need them: with the strings that rows name, and times that can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import polars as pl

from nsysan._errors import NsysanError
from nsysan.budgets import NAME_BYTES, TIME_NS
from nsysan.columns.codes import looked_up
from nsysan.columns.rows import kept
from nsysan.timings import count, stage
from nsysan.trace.store import Store
from nsysan.trace.vocabulary import NAME
from nsysan.trace.where import Where

I64 = pl.Int64()
#: Of numbers that are mostly small; Int64 where one is not.
SMALL = pl.Int32()
TEXT = pl.String()
BYTES = pl.Binary()
#: Characters of a name: those of kernels in templates have thousands. Outputs hold each of them several times.


def cut(names: pl.Series) -> pl.Series:
    """Names, each no longer than any of nsys is."""
    if (names.str.len_bytes().max() or 0) <= NAME_BYTES:  # type: ignore[operator]
        return names
    return names.str.slice(0, NAME_BYTES)


class Tables:
    """The tables of an open export. unusable: rows that its readers left out, by what they would be."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.unusable: dict[str, int] = {}

    def __contains__(self, table: str) -> bool:
        return table in self.store.tables

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table, none where it is not there."""
        return self.store.tables.get(table, ())

    def read(self, table: str, columns: Mapping[str, pl.DataType], where: Sequence[Where] = ()) -> pl.DataFrame:
        """The named columns of a table (see store.Store.read)."""
        name = f"read {table}"
        with stage(name):
            found = self.store.read(table, columns, where)
        count(name, len(found))
        return found

    def damaged(self, what: str) -> NsysanError:
        """The error for content that cannot be what nsys wrote."""
        return self.store.damaged(what)

    @cached_property
    def strings(self) -> pl.DataFrame:
        """The strings that rows name by their ids: id, value."""
        found = self.read("StringIds", {"id": I64, "value": TEXT}).drop_nulls("id").unique("id", keep="first")
        return found.with_columns(cut(found["value"]))

    def named(self, ids: pl.Series, form: pl.Expr | None = None) -> pl.Series:
        """The strings (in that form of `value`) that have these ids, as categories."""
        used = self.strings.filter(pl.col("id").is_in(ids.unique().to_list()))
        values = used.select((form if form is not None else pl.col("value")).cast(NAME)).to_series()
        return looked_up(ids, used["id"], values)

    def timed(
        self, frame: pl.DataFrame, what: str, longest: int | None = None, begin: str = "start", end: str = "end"
    ) -> pl.DataFrame:
        """The rows that begin and end at times that a clock can show; the others are counted as `what`."""
        possible = pl.all_horizontal(pl.col(begin, end).is_between(-TIME_NS, TIME_NS))
        lasted = pl.col(end) - pl.col(begin)
        usable = kept(kept(frame, possible), lasted >= 0, lasted <= (2 * TIME_NS if longest is None else longest))
        self.unusable[what] = len(frame) - len(usable)
        return usable
