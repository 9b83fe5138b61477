"""One report read on its own clock, and the little of it that its run is put together from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.attach import attach
from nsysan.model.classes import load_catalogue
from nsysan.model.facts import ReportFacts, facts_of
from nsysan.model.found import Found
from nsysan.model.narrow import WHOLE, Narrow
from nsysan.model.operations import in_words, is_communication, load_operations
from nsysan.model.payloads import with_payloads
from nsysan.model.ranks import Rank, identify_ranks
from nsysan.model.windows import find_windows
from nsysan.trace.export import Trace

_KEY = ["process", "device"]
_OF_CALLS = ("row", "process", "thread", "launch_start", "graph_node", "kind", "cls")
#: What of a call is needed to number steps, to match it over the ranks and to tell its speed.
CALL = (
    "row",
    "rank_key",
    "begin",
    "end",
    "context",
    "stream",
    "correlation",
    "graph_node",
    "name",
    "cls",
    "kind",
    "library",
    "message_bytes",
    "communicator",
)


@dataclass(frozen=True)
class Recipe:
    """How to read a report. steps: regular expression for ranges that mark steps; use_nvtx: whether ranges may.

    narrow: which part of it is wanted.
    """

    source: Path | Trace
    steps: str | None = None
    use_nvtx: bool = True
    narrow: Narrow = WHOLE


@dataclass(frozen=True)
class Reading:
    """One report as it was read: its operations, with row and rank_key (number of the process and device) from 0 up.

    found: its steps. ranks: by rank_key. bystanders: (process, device) without a step.
    """

    recipe: Recipe
    trace: Trace
    work: pl.DataFrame
    found: Found
    ranks: list[tuple[int, Rank]]
    bystanders: list[tuple[int, int]]


@dataclass(frozen=True)
class Summary:
    """What the run needs of a reading, on the report's own clock.

    rows: of its operations. span: earliest start and latest end of them. found: without membership.
    calls: its communication, columns CALL, and member: begin of the window that the call is of, null where none.
    counts: rank_key, begin (of a window), name, n, collectives: operations of that name in the window but memory
      sets, and how many of them communicate.
    """

    facts: ReportFacts
    ranks: list[tuple[int, Rank]]
    bystanders: list[tuple[int, int]]
    rows: int
    span: tuple[int, int]
    found: Found
    calls: pl.DataFrame
    counts: pl.DataFrame

    @property
    def keys(self) -> int:
        """Number of (process, device) with GPU work."""
        return len(self.ranks) + len(self.bystanders)


def read(recipe: Recipe) -> Reading:
    """Read a report; NsysanError where it cannot be, or holds no GPU work, or `steps` matches nothing."""
    trace = recipe.source if isinstance(recipe.source, Trace) else Trace(recipe.source)
    recipe.narrow.apply_to(trace)
    work = load_operations(trace, load_catalogue())
    if not (work["type"].is_in(["kernel", "graph"])).any():
        raise NsysanError(_nothing(trace), ExitCode.NOTHING_TO_ANALYSE)
    keys = work.select(_KEY).unique().sort(_KEY).with_row_index("rank_key").cast({"rank_key": pl.Int64})
    key = work.select(_KEY).join(keys, on=_KEY, how="left", maintain_order="left")["rank_key"]
    work = work.with_columns(key)
    told = with_payloads(in_words(work.select(_OF_CALLS).filter(is_communication())), trace)
    work = attach(work, told.select("row", "message_bytes", pl.col("communicator").cast(pl.Categorical())))
    found = find_windows(trace, work, recipe.steps, use_nvtx=recipe.use_nvtx)
    trace.release()
    stepped = keys.join(found.windows.select("rank_key").unique(), on="rank_key", how="semi").sort("rank_key")
    identified = identify_ranks(trace, list(stepped.select(_KEY).iter_rows()))
    key_of = {(process, device): key for key, process, device in stepped.select("rank_key", *_KEY).iter_rows()}
    ranks = [(key_of[rank.process, rank.device], rank) for rank in identified]
    bystanders = list(keys.join(stepped, on="rank_key", how="anti").select(_KEY).iter_rows())
    return Reading(recipe, trace, work, found, ranks, bystanders)


def summarise(reading: Reading) -> Summary:
    """The summary of a reading."""
    work, found = reading.work, reading.found
    members = found.membership.select("row", member="begin")
    columns = attach(work.select("row", "rank_key", "type", "name", "cls"), members)
    counts = (
        columns.filter(pl.col("member").is_not_null() & (pl.col("type") != "memset"))
        .group_by("rank_key", "name", begin="member")
        .agg(n=pl.len().cast(pl.Int64), collectives=is_communication().sum().cast(pl.Int64))
        .select("rank_key", "begin", pl.col("name").cast(pl.String), "n", "collectives")
        .sort("rank_key", "name", "begin")
    )
    stepped = [key for key, _ in reading.ranks]
    calls = in_words(work.select(CALL).filter(is_communication() & pl.col("rank_key").is_in(stepped)))
    return Summary(
        facts=facts_of(reading.trace),
        ranks=reading.ranks,
        bystanders=reading.bystanders,
        rows=len(work),
        span=work.select(pl.min("start"), pl.max("end")).row(0),
        found=Found(found.method, found.source, found.windows, found.membership.clear(), found.notes),
        calls=attach(calls, members.join(calls.select("row"), on="row", how="semi")),
        counts=counts,
    )


def _nothing(trace: Trace) -> str:
    why = "; ".join(
        sorted({d.text for d in trace.diagnostics if d.severity >= 2 and ("CUDA" in d.text or "Protected" in d.text)})
    )
    said = f" (the profiler said: {why})" if why else ""
    return (
        f"{trace.path}: no CUDA kernel and no graph replay in it{said}; capture with "
        f"`nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true --cuda-graph-trace=node`"
    )
