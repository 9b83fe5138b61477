"""CUDA API calls, of which a trace has millions, in few bytes each; and where the nodes of graphs were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from nsysan.columns.chunks import fitted
from nsysan.columns.codes import codes
from nsysan.trace.globals import process_of
from nsysan.trace.tables import I64, SMALL, Tables
from nsysan.trace.vocabulary import NAME
from nsysan.trace.where import Where

RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
_CUDA_API_CLASSES = (0, 1)  # runtime and driver; other rows of the table share their correlation ids
#: Calls that give work to a GPU, wait for it, or ask whether it is done. The rest, nine of ten in eager PyTorch, makes
#: events and asks for devices.
_OF_INTEREST = (
    r"^cu(da)?\w*(Launch|Memcpy|Memset|Memory2D|Synchronize|Prefetch|BatchMemOp|Value32|Value64|EventQuery|StreamQuery)"
)
#: Whether a call waits, or asks: an expression of its `name`.
SYNCHRONISES = pl.col("name").cast(pl.String).str.contains("Synchronize")
_QUERY = "Query"
QUERIES = pl.col("name").cast(pl.String).str.contains(_QUERY)
#: What the name of a query ends with that was told that the work is not done (cudaErrorNotReady).
NOT_READY = " (not ready)"
_NOT_READY = 600
_RECORDS = "CUPTI_ACTIVITY_KIND_CUDA_EVENT"
_SYNCHRONIZATIONS = "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION"
#: What nsys writes for a stream or an event that a row is not about.
_NOTHING = (1 << 32) - 1


class Calls(NamedTuple):
    """table: start, duration (ns), correlation, caller (a row of `callers`), in file order. callers: thread, process,
    name (a category), of a query that found its work not done with NOT_READY.
    """

    table: pl.DataFrame
    callers: pl.DataFrame

    def of(self, chosen: pl.Expr) -> Calls:
        """Those of the callers that the expression chooses."""
        own = self.callers.with_row_index("caller").filter(chosen)["caller"].to_list()
        return Calls(self.table.filter(pl.col("caller").is_in(own)), self.callers)

    def frame(self) -> pl.DataFrame:
        """start, end, process, thread, correlation, name of each call."""
        table = self.table
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
    """The calls of a frame with start, end, thread, correlation, name and told, what the call returned."""
    unready = frame.select(unready=(pl.col("told") == _NOT_READY).fill_null(value=False)).to_series()
    caller, callers = codes([frame["thread"], frame["name"], unready])
    name = pl.when(QUERIES & pl.col("unready")).then(pl.col("name").cast(pl.String) + NOT_READY).otherwise("name")
    return Calls(
        frame.select("start", "correlation").with_columns(
            fitted(frame["end"] - frame["start"]).alias("duration"), pl.Series("caller", caller)
        ),
        callers.select("thread", process_of("thread").fill_null(0).alias("process"), name.cast(NAME).alias("name")),
    )


def read_calls(tables: Tables, end: int | None) -> Calls:
    """The calls that give work to a GPU or wait for it; end: of those that begin before it (ns)."""
    columns = {
        "start": I64,
        "end": I64,
        "globalTid": I64,
        "correlationId": SMALL,
        "nameId": SMALL,
    }
    interesting = tables.strings.filter(pl.col("value").str.contains(_OF_INTEREST))
    names = interesting["id"].sort().to_list()
    # Of what returns there are as many as calls, and it is asked of queries alone.
    told = not len(tables.strings) or interesting["value"].str.contains(_QUERY).any()
    columns |= {"returnValue": SMALL} if told else {}
    # Without names a call is still known by the work that it gave. First what drops most rows.
    wanted = [Where("nameId", one_of=names)] if len(tables.strings) else []
    wanted += [Where("eventClass", one_of=_CUDA_API_CLASSES)]
    # Work may have been launched long before it starts, but not after.
    wanted += [Where("start", below=end)] if end is not None else []
    frame = tables.read(RUNTIME, columns, wanted)
    named = tables.named(frame["nameId"], pl.col("value").str.replace(r"_v\d+$", ""))
    ours = {"globalTid": "thread", "correlationId": "correlation", "returnValue": "told"}
    blank = {} if told else {"told": pl.lit(None, SMALL)}
    frame = frame.rename(ours, strict=False).with_columns(name=named, **blank)
    return calls_of(tables.timed(frame, "launch calls"))


def graph_nodes(tables: Tables) -> pl.DataFrame:
    """Creation of CUDA graph nodes: created, process, thread, node, original (the node it was cloned from)."""
    names = {"start": "created", "globalTid": "thread", "graphNodeId": "node", "originalGraphNodeId": "original"}
    source = "CUDA_GRAPH_NODE_EVENTS"
    if source not in tables and "graphNodeId" in tables.columns("CUDA_GRAPH_EVENTS"):
        source = "CUDA_GRAPH_EVENTS"  # schema 2 kept node events under this name
    frame = tables.read(source, dict.fromkeys(names, I64)).rename(names)
    frame = frame.with_columns(process=process_of("thread"))
    return tables.timed(frame, "graph nodes", begin="created", end="created")


_MARKS = {
    "globalPid": "process",
    "contextId": "context",
    "streamId": "stream",
    "correlationId": "correlation",
    "eventId": "event",
    "eventSyncId": "record",
}


def event_records(tables: Tables, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """Records of CUDA events: process, context, stream, correlation, event, record (which of the event's; null in old
    exports). spans: the first and last correlation id of those that are wanted.
    """
    return _marks(tables, _RECORDS, spans)


def synchronizations(tables: Tables, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """What calls wait for: the columns of event_records, event and record null where it is no event, stream null where
    it is the device or an event wherever it was recorded.
    """
    return _marks(tables, _SYNCHRONIZATIONS, spans)


def _marks(tables: Tables, table: str, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
    frame = tables.read(table, dict.fromkeys(_MARKS, I64), [Where("correlationId", spans=spans)]).rename(_MARKS)
    told = pl.col("stream", "event", "record")
    return frame.with_columns(pl.when(told != _NOTHING).then(told)).drop_nulls(["process", "correlation"])
