"""One analysed run, from one report or several: its ranks, operations, steps and collectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

from nsysan import progress
from nsysan._errors import ExitCode, NsysanError
from nsysan.model.attach import attach
from nsysan.model.classes import COMMUNICATION, load_catalogue
from nsysan.model.clock import Clock, check_one_run, refine, shifted, utc_offsets
from nsysan.model.found import Found
from nsysan.model.health import says_events_lost
from nsysan.model.host_clock import HostClock, host_clocks
from nsysan.model.matching import AMBIGUOUS, match_collectives
from nsysan.model.narrow import WHOLE, Narrow
from nsysan.model.operations import in_words, load_operations
from nsysan.model.payloads import communicator_ranks, with_payloads
from nsysan.model.ranks import Rank, identify_ranks, merge_ranks
from nsysan.model.steps import Steps, combine_steps
from nsysan.model.windows import find_windows
from nsysan.trace.export import Trace

_KEY = ["process", "device"]
#: Columns of the work that say nothing of a collective across ranks.
_NOT_OF_CALLS = (
    "start",
    "device",
    "graph",
    "bytes",
    "demangled",
    "type",
    "lookalike",
    "launch",
    "launch_end",
    "trimmed",
)


@dataclass(frozen=True)
class Model:
    """The model of one run.

    traces: its reports. ranks: in rank order. bystanders: (process, device) with GPU work but without a step.
    size: ranks of the largest communicator, None where no report tells. clock: how several reports came onto
    one clock, None for one report.
    work: all GPU operations of the ranks: the columns of operations.load_operations, and report, rank, step
      (null outside steps), message_bytes, communicator, last (last arrival at a matched collective).
    windows: step, rank, begin, finish, label, excluded (see steps.Steps).
    collectives: calls inside steps with the columns of match_collectives.
    """

    traces: list[Trace]
    ranks: list[Rank]
    bystanders: list[tuple[int, int]]
    size: int | None
    clock: Clock | None
    steps: Steps
    work: pl.DataFrame
    windows: pl.DataFrame
    collectives: pl.DataFrame

    @property
    def graph_mode(self) -> str:
        """How CUDA graphs were traced: "graph" if so in any report, else "node" or "none"."""
        modes = {trace.graph_mode for trace in self.traces}
        return next(mode for mode in ("graph", "node", "none") if mode in modes)

    @property
    def kernels(self) -> pl.DataFrame:
        """Every kernel of the ranks, one row each (see `work`, of which this is a copy)."""
        return self.work.filter(pl.col("type") == "kernel")

    @cached_property
    def synchronise_calls(self) -> pl.DataFrame:
        """The hosts' synchronise calls on the run's clock: thread, start, end."""
        offsets = self.clock.offsets if self.clock else [0]
        calls = [shifted(trace.synchronise_calls, offset) for trace, offset in zip(self.traces, offsets, strict=True)]
        return pl.concat(calls).select("thread", "start", "end")

    @cached_property
    def host_clocks(self) -> dict[int, HostClock]:
        """Whether launch calls and GPU work of each rank are on one clock."""
        return host_clocks(self.work)

    @property
    def clocked_work(self) -> pl.DataFrame:
        """`work`, without the launch calls of ranks whose GPU's clock does not agree with their CPU's."""
        off = [rank for rank, clock in self.host_clocks.items() if not clock.agrees]
        if not off:
            return self.work
        times = ("launch_start", "launch_end")
        return self.work.with_columns(pl.when(~pl.col("rank").is_in(off)).then(pl.col(t)).alias(t) for t in times)

    @property
    def steady_steps(self) -> list[int]:
        """Numbers of the steps that the headline figures describe, ascending."""
        return self.windows.filter(pl.col("excluded").is_null())["step"].unique().sort().to_list()

    @property
    def lost_events(self) -> list[str]:
        """What the profiler says of events lost on the ranks, each text once; a helper's losses are none."""
        processes = {rank.process for rank in self.ranks}
        said = (m for trace in self.traces for m in trace.diagnostics if m.severity >= 2 and m.process in processes)
        return sorted({m.text.strip() for m in said if says_events_lost(m.text)})

    @property
    def missing_ranks(self) -> list[int]:
        """Ranks of the largest communicator that no report shows."""
        return sorted(set(range(self.size or 0)) - {rank.rank for rank in self.ranks})


@dataclass(frozen=True)
class _Part:
    """One report's share of a run, on its own clock."""

    trace: Trace
    work: pl.DataFrame
    found: Found
    ranks: list[tuple[int, Rank]]
    bystanders: list[tuple[int, int]]


def build_model(
    traces: Trace | Sequence[Trace], steps: str | None = None, *, use_nvtx: bool = True, narrow: Narrow = WHOLE
) -> Model:
    """Build the model of a run from its report, or from its reports (one a rank, or one a host).

    steps: regular expression for the NVTX ranges that mark steps. use_nvtx=False: find steps without ranges.
    narrow: which part of the run.
    NsysanError where a report holds no GPU work, `steps` matches nothing, or the reports are not of one run.
    """
    reports = [traces] if isinstance(traces, Trace) else list(traces)
    parts: list[_Part] = []
    for number, trace in enumerate(reports):
        first_key = sum(len(part.ranks) + len(part.bystanders) for part in parts)
        first_row = sum(len(part.work) for part in parts)
        narrow.apply_to(trace)
        parts.append(_read(trace, number, first_key, first_row, steps, use_nvtx=use_nvtx))
    progress.stage("finding steps")
    ranks = merge_ranks([part.ranks for part in parts])
    _check_communicators(reports)
    offsets = utc_offsets(reports) if len(reports) > 1 else [0]
    found = [_on_clock(part.found, offset) for part, offset in zip(parts, offsets, strict=True)]
    bystanders = [key for part in parts for key in part.bystanders]
    works: list[pl.DataFrame] = []
    while parts:
        works.append(shifted(parts.pop(0).work, offsets[len(works)]))
    if len(reports) > 1:
        check_one_run([trace.name for trace in reports], works)
    rank_of = pl.DataFrame(
        {"rank_key": [key for key, _ in ranks], "rank": [rank.rank for _, rank in ranks]},
        schema={"rank_key": pl.Int64, "rank": pl.Int64},
    )
    # A column of which a report has nothing is of no type in it.
    work = attach(pl.concat(works, how="vertical_relaxed"), rank_of, on="rank_key")
    del works
    if work["rank"].null_count():
        work = work.filter(pl.col("rank").is_not_null())
    combined = narrow.of_steps(combine_steps(found, work))
    work = narrow.of_work(attach(work, combined.membership), combined.windows)
    windows = combined.windows.join(rank_of, on="rank_key")
    groups = _groups(reports, [rank for _, rank in ranks])
    clock = None
    if len(reports) > 1:
        clock = refine(_communication(work), len(ranks), len(reports), groups)
        work, windows = _corrected(work, windows, clock.offsets)
        clock = replace(clock, offsets=[a + b for a, b in zip(offsets, clock.offsets, strict=True)])
    windows = windows.drop("rank_key").sort("step", "rank")
    work = work.drop("rank_key")
    progress.stage("matching collectives")
    collectives = match_collectives(_communication(work), len(ranks), groups).sort("rank", "begin")
    work = attach(work, collectives.select("row", "last"))
    return Model(
        traces=reports,
        ranks=[rank for _, rank in ranks],
        bystanders=bystanders,
        size=max((init.size for trace in reports for init in communicator_ranks(trace)), default=None),
        clock=clock,
        steps=combined,
        work=work,
        windows=windows,
        collectives=collectives,
    )


def _read(trace: Trace, number: int, first_key: int, first_row: int, steps: str | None, *, use_nvtx: bool) -> _Part:
    work = load_operations(trace, load_catalogue())
    if not (work["type"].is_in(["kernel", "graph"])).any():
        raise NsysanError(_nothing(trace), ExitCode.NOTHING_TO_ANALYSE)
    keys = work.select(_KEY).unique().sort(_KEY).with_row_index("rank_key", first_key).cast({"rank_key": pl.Int64})
    key = work.select(_KEY).join(keys, on=_KEY, how="left", maintain_order="left")["rank_key"]
    work = work.with_columns(pl.col("row") + first_row, key, report=pl.lit(number, dtype=pl.Int64))
    told = with_payloads(in_words(work.filter(_is_communication())), trace)
    work = attach(work, told.select("row", "message_bytes", pl.col("communicator").cast(pl.Categorical())))
    found = find_windows(trace, work, steps, use_nvtx=use_nvtx)
    trace.release()
    stepped = keys.join(found.windows.select("rank_key").unique(), on="rank_key", how="semi").sort("rank_key")
    identified = identify_ranks(trace, list(stepped.select(_KEY).iter_rows()))
    key_of = {(process, device): key for key, process, device in stepped.select("rank_key", *_KEY).iter_rows()}
    ranks = [(key_of[rank.process, rank.device], rank) for rank in identified]
    bystanders = list(keys.join(stepped, on="rank_key", how="anti").select(_KEY).iter_rows())
    return _Part(trace, work, found, ranks, bystanders)


def _on_clock(found: Found, offset: int) -> Found:
    return replace(found, windows=shifted(found.windows, offset), membership=shifted(found.membership, offset))


def _is_communication() -> pl.Expr:
    return pl.col("cls").is_in(list(COMMUNICATION))


def _communication(work: pl.DataFrame) -> pl.DataFrame:
    """The communication of the steps, with texts in place of categories."""
    wanted = _is_communication() & pl.col("step").is_not_null()
    return in_words(work.select(pl.exclude(_NOT_OF_CALLS)).filter(wanted))


def _corrected(work: pl.DataFrame, windows: pl.DataFrame, corrections: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Work and windows with each report's correction added."""
    report_of = work.select("rank", "report").unique()
    works, parts = [], []
    for report, correction in enumerate(corrections):
        own = report_of.filter(pl.col("report") == report)
        works.append(shifted(work.filter(pl.col("report") == report), correction))
        parts.append(shifted(windows.join(own, on="rank", how="semi"), correction))
    return pl.concat(works), pl.concat(parts)


def _groups(traces: list[Trace], ranks: list[Rank]) -> dict[int, str]:
    """For each rank the group of ranks that its communicators are of, or AMBIGUOUS where they are of several."""
    members: dict[str, set[int]] = {}
    own: dict[int, set[str]] = {}
    for trace in traces:
        for init in communicator_ranks(trace):
            if init.size < 2:
                continue
            of_process = [r for r in ranks if r.report == trace.name and r.process == init.process]
            for rank in of_process:
                if len(of_process) == 1 or init.device in (None, rank.device):
                    members.setdefault(init.communicator, set()).add(rank.rank)
                    own.setdefault(rank.rank, set()).add(init.communicator)
    groups: dict[int, str] = {}
    for number, communicators in own.items():
        names = {",".join(map(str, sorted(members[communicator]))) for communicator in communicators}
        groups[number] = names.pop() if len(names) == 1 else AMBIGUOUS
    # A rank whose initialisation is not in the trace is in the one group that there is, if it is one.
    elsewhere = set(groups.values())
    rest = elsewhere.pop() if len(elsewhere) == 1 else AMBIGUOUS
    return {r.rank: groups.get(r.rank, rest) for r in ranks} if groups else {}


def _check_communicators(traces: list[Trace]) -> None:
    """NsysanError if the reports fall into parts that share no communicator."""
    known = [(trace.name, {i.communicator for i in communicator_ranks(trace)}) for trace in traces]
    rest = [(name, ids) for name, ids in known if ids]
    numbers = {(t.environment.get("WORLD_SIZE"), t.environment.get("RANK")) for t in traces}
    launched_together = len({world for world, _ in numbers}) == 1 and len(numbers) == len(traces)
    if not rest or (launched_together and None not in {rank for _, rank in numbers}):
        return
    first, reached = rest.pop(0)
    while linked := [entry for entry in rest if entry[1] & reached]:
        reached |= set().union(*(ids for _, ids in linked))
        rest = [entry for entry in rest if entry not in linked]
    if rest:
        raise NsysanError(
            f"{rest[0][0]}: shares no NCCL communicator with {first}; these are not reports of one run",
            ExitCode.NOT_ONE_RUN,
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
