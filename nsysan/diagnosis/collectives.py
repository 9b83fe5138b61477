"""Collectives by kernel family, size and rank count: how often, how long, how fast; and the link they ran over.

DEFINITIONS.md, sections 6, 9 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from nsysan.metrics.bandwidth import Speed, peak_share, speed, total_bytes
from nsysan.metrics.link import Link, Message, judge_link
from nsysan.metrics.percentiles import percentiles
from nsysan.metrics.whatif import call_wires, least, numbered_calls, over_floors
from nsysan.model.classes import WorkClass
from nsysan.model.gpu_links import GpuLink, load_links
from nsysan.model.matches import Match
from nsysan.run.node_numbers import nodes_of
from nsysan.run.run import Run
from nsysan.text import counted, size
from nsysan.timings import stage

_CALL = ["name", "kind", "library", "cls", "message_bytes", "group", "members"]
_KEY = ["population", *_CALL]
#: What is looked at of a call, of which a frame has many columns.
_TIMES = ("end", "last", "wait", "wire", "skew_free_wait")
_OF_CALLS = (*_CALL, "rank", "family", "step", "call", "communicator", "verdict", *_TIMES)
#: What the column of their steps is called.
POPULATION = "population"
_NOT_DECODE = ("start-up", "prefill", "mixed")


@dataclass(frozen=True)
class CollectiveFamily:
    """The calls of one kernel family, size and rank count within the steps of one population.

    population: its id; None of calls of steps at the start or in none, of which there are none elsewhere.
    ranks: those of the trace that make the call; communicator_size: those of its communicator, None where the
    trace does not tell. nodes: machines that these ranks are on, None where that is not told of all. count, matched,
    unmatched, rejected: calls, one call being one on every rank. a_step: calls in each steady step, None where steps
    differ.
    group: id of its ranks, None where they are not told. wire: ns of each matched call, from its last arrival until it
    has ended everywhere; wait: ns per rank of these; both by p50, p95, p99 and max, None where none matched.
    wait_clock_free: waiting by the estimate that needs no common clock; wait_error: how far the two estimates differ,
    over the steady steps alone, None where no such call matched in them. floor: least wire of the calls of the row;
    excess: p50 of what they take beyond it, or that of their place where sizes are not known or the kernel is fused.
    bytes_source: who tells the size, as in quality_sizes.SizeSource, None where nobody does.
    algbw, busbw: GB/s from wire p50; None where size or kind is not known, ranks are missing, or compute is in
    the kernel. peak_share: busbw over the link's peak, for large messages.
    """

    population: str | None
    name: str
    kind: str | None
    group: str | None
    library: str | None
    op_class: WorkClass
    message_bytes: int | None
    ranks: int
    count: int
    matched: int
    unmatched: int
    rejected: int
    wire: dict[str, int] | None
    wait: dict[str, int] | None
    a_step: int | None = None
    floor: int | None = None
    excess: int | None = None
    algbw: float | None = None
    busbw: float | None = None
    peak_share: float | None = None
    communicator_size: int | None = None
    nodes: int | None = None
    wait_clock_free: dict[str, int] | None = None
    wait_error: dict[str, int] | None = None
    bytes_source: str | None = None

    @property
    def size_words(self) -> str:
        """Its size, and that it is estimated where no payload tells it."""
        estimated = self.bytes_source in ("model", "grids")
        return f"{size(self.message_bytes)}{' (estimated)' if estimated else ''}"

    @property
    def over(self) -> str:
        """The ranks in words: "4 ranks", "1 of 4 ranks" where the trace lacks some, "8 ranks on 2 nodes"."""
        size = self.communicator_size
        ranks = f"{self.ranks} of {size} ranks" if size and size > self.ranks else counted(self.ranks, "rank")
        return f"{ranks} on {self.nodes} nodes" if self.crosses_nodes else ranks

    @property
    def steps(self) -> str:
        """The steps that have it, in a table of several populations."""
        return self.population or "start-up"

    @property
    def crosses_nodes(self) -> bool:
        """Whether data has to go from one machine to another."""
        return self.nodes is not None and self.nodes > 1


def several_populations(families: Sequence[CollectiveFamily]) -> bool:
    """Whether a table of them has to say of which steps each is."""
    return len({family.population for family in families}) > 1


@stage("collectives")
def find_families(run: Run) -> list[CollectiveFamily]:
    """One row a population, kernel family, size and rank count; without peak_share.

    Of all populations but prefill and mixed ones, the headline first, then most frequent first.
    """
    of_step = dict(run.windows.select("step", "population").unique("step").iter_rows())
    population = pl.col("step").replace_strict(of_step, default=None, return_dtype=pl.String)
    calls = _counted_calls(run).with_columns(population=population)  # a join would copy all other columns
    order = {one.id: place for place, one in enumerate(run.steps.populations)}
    call, known = numbered_calls(calls, calls.select(_KEY))
    verdicts = calls.select(call, "verdict").group_by("code").agg(pl.first("verdict"))
    per_call = known[verdicts["code"]].hstack(verdicts.select("verdict"))
    place = pl.col("population").replace_strict(order, default=len(order), return_dtype=pl.Int64)
    counts = per_call.group_by(_KEY).agg(
        count=pl.len(), **{v: (pl.col("verdict") == v).sum() for v in (Match.MATCHED, Match.UNMATCHED, Match.REJECTED)}
    )
    wires = call_wires(calls, calls["step"].unique().to_list())
    by = [place, pl.col("count").neg(), "name", "message_bytes", "group"]
    rows = counts.with_columns(pl.col("count").cast(pl.Int64)).sort(by)
    partial, sizes = _partial_communicators(run), _communicator_sizes(run)
    steady = pl.col("step").is_in(run.steady_steps)
    families = []
    for row in rows.iter_rows(named=True):
        same = pl.all_horizontal(pl.col(k).eq_missing(row[k]) for k in _KEY)
        own = calls.filter(same)
        matched = own.filter(pl.col("verdict") == Match.MATCHED)
        of_row = own.select("family", "step", "call")
        lengths = over_floors(wires.join(of_row, on=["family", "step", "call"], how="semi"))
        wire, over = percentiles(lengths["wire"]), percentiles(lengths["over"])
        members = row["members"]
        size = _size_of(own, sizes, members)
        error = (pl.col("wait") - pl.col("skew_free_wait")).abs()
        # A fused kernel computes after the last arrival; a missing rank may arrive later still.
        complete = not set(own["communicator"].unique()) & partial and (size is None or members >= size)
        whole = row["cls"] != WorkClass.FUSED and complete
        found = speed(row["kind"], row["message_bytes"], size or members, wire["p50"]) if wire and whole else None
        families.append(
            CollectiveFamily(
                population=row["population"],
                name=row["name"],
                kind=row["kind"],
                group=row["group"],
                library=row["library"],
                op_class=WorkClass(row["cls"]),
                message_bytes=row["message_bytes"],
                ranks=members,
                count=row["count"],
                matched=row[Match.MATCHED],
                unmatched=row[Match.UNMATCHED],
                rejected=row[Match.REJECTED],
                wire=wire,
                wait=percentiles(matched["wait"]),
                a_step=_a_step(per_call.filter(same), run.steady_steps),
                floor=None if wire is None else least(lengths["wire"]),
                excess=over["p50"] if over else None,
                algbw=found.algbw if found else None,
                busbw=found.busbw if found else None,
                communicator_size=size,
                nodes=nodes_of(own["rank"].unique(), run.host_of) if complete else None,
                wait_clock_free=percentiles(matched["skew_free_wait"]),
                wait_error=percentiles(matched.filter(steady).select(error).to_series()),
            )
        )
    return families


def find_link(run: Run, families: list[CollectiveFamily], link_gbps: float | None = None) -> Link:
    """The link between the GPUs of the run and what its collectives say of it; link_gbps: its peak, if given."""
    messages = [
        Message(f.kind, f.library, f.op_class, f.message_bytes, f.ranks, f.matched, f.floor, f.busbw, f.nodes or 1)
        for f in families
        if f.message_bytes is not None and f.busbw is not None
    ]
    topology = next((trace.topology for trace in run.metadata if trace.topology), None)
    return judge_link(_gpu_link(run), messages, load_links(), topology, link_gbps)


def with_peaks(families: list[CollectiveFamily], peak_gbps: float | None) -> list[CollectiveFamily]:
    """The families with busbw held against the link's peak, but those that cross nodes."""
    return [
        f
        if f.algbw is None or f.busbw is None or f.crosses_nodes
        else replace(f, peak_share=peak_share(Speed(f.algbw, f.busbw), f.message_bytes, peak_gbps))
        for f in families
    ]


@dataclass(frozen=True)
class SizeSeries:
    """One kind of call over one number of ranks, by ascending size (bytes as the calls pass them); us and GB/s."""

    name: str
    sizes: list[int]
    latency: list[float]
    floor: list[float | None]
    model: list[float | None]
    busbw: list[float | None]


def size_series(families: list[CollectiveFamily], link: Link) -> list[SizeSeries]:
    """Speed against size, for the families whose size is known and that matched; of one size, the most frequent."""
    chosen: dict[tuple[str, str, str], dict[int, CollectiveFamily]] = {}
    for family in sorted(families, key=lambda family: -family.matched):
        if family.kind and family.message_bytes and family.wire and family.op_class != WorkClass.FUSED:
            key = (family.kind, family.library or "unknown library", family.over)
            chosen.setdefault(key, {}).setdefault(family.message_bytes, family)
    series = []
    for (kind, library, over), by_size in chosen.items():
        own = [by_size[n] for n in sorted(by_size)]
        series.append(
            SizeSeries(
                name=f"{kind} over {over} ({library})",
                sizes=sorted(by_size),
                latency=[f.wire["p50"] / 1e3 for f in own if f.wire],
                floor=[None if f.floor is None else f.floor / 1e3 for f in own],
                model=[_model(f, link) for f in own],
                busbw=[f.busbw for f in own],
            )
        )
    return series


def _counted_calls(run: Run) -> pl.DataFrame:
    """Calls of the counted steps, and those of a start-up step of which there are none elsewhere: a sweep's first."""
    calls = run.collectives.select(_OF_CALLS)
    counted = calls.filter(pl.col("step").is_in(counted_steps(run)))
    starting = run.windows.filter(pl.col("excluded").fill_null("").str.starts_with("start-up"))["step"].unique()
    first = calls.filter(pl.col("step").is_in(starting.to_list()))
    return pl.concat([counted, first.join(counted.select(_CALL).unique(), on=_CALL, how="anti", nulls_equal=True)])


def counted_steps(run: Run) -> list[int]:
    """All steps but prefill and those of the start: steps of other work hold collectives of other sizes."""
    reason = pl.col("excluded").fill_null("")
    wanted = [~reason.str.starts_with(word) for word in _NOT_DECODE]
    return run.windows.filter(pl.all_horizontal(wanted))["step"].unique().sort().to_list()


def _model(family: CollectiveFamily, link: Link) -> float | None:
    """NCCL's model in us, for NCCL over the link that the GPUs have."""
    if family.library != "NCCL" or not family.kind or not family.message_bytes or not link.kind or not link.peak_gbps:
        return None
    ranks = family.communicator_size or family.ranks
    total = total_bytes(family.kind, family.message_bytes, ranks)
    ns = load_links().ring(family.kind, link.kind, ranks, total, link.peak_gbps)
    return None if ns is None else ns / 1e3


def _a_step(calls: pl.DataFrame, steady: list[int]) -> int | None:
    per_step = calls.filter(pl.col("step").is_in(steady)).group_by("step").len()["len"]
    alike = len(per_step) == len(steady) and per_step.n_unique() == 1
    return int(per_step[0]) if alike else None


def _partial_communicators(run: Run) -> set[str]:
    """Communicators that have ranks which the trace does not show."""
    inits = [init for trace in run.metadata for init in trace.inits]
    seen: dict[str, set[int]] = {}
    for init in inits:
        seen.setdefault(init.communicator, set()).add(init.rank)
    return {init.communicator for init in inits if len(seen[init.communicator]) < init.size}


def _communicator_sizes(run: Run) -> dict[str | None, int]:
    """Ranks of each communicator; under None those of the only size there is, where ranks are missing."""
    inits = [init for trace in run.metadata for init in trace.inits]
    sizes: dict[str | None, int] = {init.communicator: init.size for init in inits}
    several = {size for size in sizes.values() if size > 1}
    return sizes | ({None: several.pop()} if run.missing_ranks and len(several) == 1 else {})


def _size_of(calls: pl.DataFrame, sizes: dict[str | None, int], members: int) -> int | None:
    """Ranks of the communicators of calls, where they are told and alike."""
    told = {sizes.get(communicator) for communicator in calls["communicator"].unique()}
    size = told.pop() if len(told) == 1 else None
    return size if size is not None and size >= members else None


def _gpu_link(run: Run) -> GpuLink | None:
    """The row of the ranks' GPUs; of the slowest, where they differ; None if one of them is not in the table."""
    table = load_links()
    rows = []
    for rank in run.ranks:
        gpus = run.metadata[run.trace_of[rank.rank]].gpus.filter(pl.col("gpu").eq_missing(rank.gpu))
        row = None
        if not gpus.is_empty():
            row = table.find(*gpus.select("model", "chip", "memory_bandwidth", "sms").row(0))
        if row is None:
            return None
        rows.append(row)
    return min(rows, key=lambda row: row.gbps, default=None)
