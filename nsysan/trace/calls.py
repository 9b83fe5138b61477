"""CUDA API calls, of which a trace has millions, in few bytes each."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.columns.chunks import fitted
from nsysan.columns.codes import codes
from nsysan.trace.globals import process_of


@dataclass(frozen=True)
class Calls:
    """table: start, duration (ns), correlation, caller (a row of `callers`), in file order. callers: thread, process,
    name (a category).
    """

    table: pl.DataFrame
    callers: pl.DataFrame

    def frame(self, chosen: pl.Expr | None = None) -> pl.DataFrame:
        """start, end, process, thread, correlation, name of each call; chosen: of callers, whose calls."""
        table = self.table
        if chosen is not None:
            own = self.callers.with_row_index("caller").filter(chosen)["caller"].to_list()
            table = table.filter(pl.col("caller").is_in(own))
        told = self.callers.select(pl.all().gather(table["caller"]))
        return table.select(
            "start",
            (pl.col("start") + pl.col("duration")).alias("end"),
            told["process"],
            told["thread"],
            pl.col("correlation").cast(pl.Int64),
            told["name"],
        )


def calls_of(frame: pl.DataFrame) -> Calls:
    """The calls of a frame with start, end, thread, correlation and name."""
    caller, callers = codes([frame["thread"], frame["name"]])
    return Calls(
        frame.select("start", "correlation").with_columns(
            fitted(frame["end"] - frame["start"]).alias("duration"), pl.Series("caller", caller)
        ),
        callers.select("thread", process_of("thread").fill_null(0).alias("process"), "name"),
    )
