"""One analysed run, from one report or several: its ranks, operations, steps and collectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import polars as pl

from nsysan import progress
from nsysan._errors import NsysanError
from nsysan.model.health import says_events_lost
from nsysan.model.host_clock import HostClock
from nsysan.model.loaded import Recipe, Summary
from nsysan.model.selection import WHOLE, Narrow
from nsysan.model.trace_facts import ReportFacts
from nsysan.run.merge import Merged, merge
from nsysan.run.placed import Here, Part, Parts
from nsysan.trace.export import Trace

_A = TypeVarTuple("_A")
_B = TypeVar("_B")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Failure:
    """A report that could not be read, and why."""

    name: str
    path: str
    error: NsysanError

    @property
    def why(self) -> str:
        """The error without the file and its folder, which may say more than a report should."""
        return str(self.error).removeprefix(f"{self.path}: ").replace(self.path, self.name)


@dataclass(frozen=True)
class Model(Merged):
    """The model of one run (see Merged for its tables).

    parts: its reports, wherever they are held. reports: what is known of each; failures: those that could not be
    read. report_of: number of the report that shows a rank. stated_bytes: size of all-reduces of which no report tells
    one, where the user states it.
    """

    parts: Parts
    reports: list[ReportFacts]
    failures: list[Failure]
    report_of: dict[int, int]
    stated_bytes: int | None = None

    def ask(self, question: Callable[[Part, *_A], _T], *args: *_A) -> list[_T]:
        """The answer of each report, given where it is held; question: a function at the top of a module."""
        return self.parts.ask(question, [args] * len(self.reports))

    def ask_each(self, question: Callable[[Part, _B], _T], values: Sequence[_B]) -> list[_T]:
        """The same, with a value of its own for each report."""
        return self.parts.ask(question, [(value,) for value in values])

    def by_report(self, frame: pl.DataFrame) -> list[pl.DataFrame]:
        """The rows of a frame with a column `rank`, by the report that shows the rank."""
        ranks = [[rank for rank, report in self.report_of.items() if report == n] for n in range(len(self.reports))]
        return [frame.filter(pl.col("rank").is_in(own)) for own in ranks]

    @property
    def graph_mode(self) -> str:
        """How CUDA graphs were traced: "graph" if so in any report, else "node" or "none"."""
        modes = {report.graph_mode for report in self.reports}
        return next(mode for mode in ("graph", "node", "none") if mode in modes)

    @property
    def traces(self) -> list[Trace]:
        """The reports themselves; of a run that is held elsewhere they are opened anew."""
        if isinstance(self.parts, Here):
            return [part.trace for part in self.ask(_itself)]
        return [Trace(Path(report.path)) for report in self.reports]

    @cached_property
    def work(self) -> pl.DataFrame:
        """All GPU operations of the ranks, for reading in notebooks; figures are made report by report (`ask`).

        The columns of operations.load_operations, and report, rank, step (null outside steps), message_bytes,
        communicator, last (last arrival at a matched collective).
        """
        work = pl.concat(self.ask(_work), how="vertical_relaxed")
        return work if self.stated_bytes is None else work.with_columns(stated(self.stated_bytes))

    @property
    def kernels(self) -> pl.DataFrame:
        """Every kernel of the ranks, one row each (see `work`, of which this is a copy)."""
        return self.work.filter(pl.col("type") == "kernel")

    @cached_property
    def synchronise_calls(self) -> pl.DataFrame:
        """The hosts' synchronise calls on the run's clock: thread, start, end."""
        return pl.concat(self.ask(_synchronise_calls))

    @cached_property
    def host_clocks(self) -> dict[int, HostClock]:
        """Whether launch calls and GPU work of each rank are on one clock, by rank."""
        found = {rank: clock for own in self.ask(_host_clocks) for rank, clock in own.items()}
        return dict(sorted(found.items()))

    @property
    def steady_steps(self) -> list[int]:
        """Numbers of the steps that the headline figures describe, ascending."""
        return self.windows.filter(pl.col("excluded").is_null())["step"].unique().sort().to_list()

    @property
    def lost_events(self) -> list[str]:
        """What the profiler says of events lost on the ranks, each text once; a helper's losses are none."""
        processes = {rank.process for rank in self.ranks}
        said = (m for report in self.reports for m in report.diagnostics if m.severity >= 2 and m.process in processes)
        return sorted({m.text.strip() for m in said if says_events_lost(m.text)})

    @property
    def missing_ranks(self) -> list[int]:
        """Ranks of the largest communicator that no report shows."""
        return sorted(set(range(self.size or 0)) - {rank.rank for rank in self.ranks})


def build_model(
    traces: Trace | Path | Sequence[Trace | Path],
    steps: str | None = None,
    *,
    use_nvtx: bool = True,
    narrow: Narrow = WHOLE,
    parts: Parts | None = None,
) -> Model:
    """Build the model of a run from its report, or from its reports (one a rank, or one a host).

    steps: regular expression for the NVTX ranges that mark steps. use_nvtx=False: find steps without ranges.
    narrow: which part of the run. parts: where reports are read and held, by default in this process; anywhere else
    they are given as paths.
    A report that cannot be read, holds no GPU work or no range that `steps` matches is left out (`failures`);
    NsysanError if that leaves none, or the reports are not of one run.
    """
    sources = [traces] if isinstance(traces, Trace | Path) else list(traces)
    parts = Here() if parts is None else parts
    if narrow.in_time and len(sources) > 1:
        known = (start for source in sources if (start := parts.started(source)) is not None)
        narrow = replace(narrow, origin=next(known, None))
    found = parts.read([Recipe(source, steps, use_nvtx, narrow) for source in sources])
    summaries = {number: summary for number, summary in enumerate(found) if isinstance(summary, Summary)}
    failures = [
        Failure(source.name, str(source.path if isinstance(source, Trace) else source), summary)
        for source, summary in zip(sources, found, strict=True)
        if isinstance(summary, NsysanError)
    ]
    if not summaries:
        raise failures[0].error
    progress.stage("finding steps")
    merged, placements = merge(list(summaries.values()), narrow)
    parts.place(dict(zip(summaries, placements, strict=True)))
    return Model(
        **{field.name: getattr(merged, field.name) for field in fields(merged)},
        parts=parts,
        reports=[summary.facts for summary in summaries.values()],
        failures=failures,
        report_of={rank.rank: placement.number for placement in placements for rank in placement.ranks},
    )


def stated(message_bytes: int) -> pl.Expr:
    """message_bytes, with the stated size for all-reduces of which the trace tells none."""
    untold = (pl.col("kind") == "all_reduce") & pl.col("message_bytes").is_null()
    return pl.when(untold).then(pl.lit(message_bytes, dtype=pl.Int64)).otherwise("message_bytes").alias("message_bytes")


def _itself(part: Part) -> Part:
    return part


def _work(part: Part) -> pl.DataFrame:
    return part.work


def _synchronise_calls(part: Part) -> pl.DataFrame:
    return part.synchronise_calls


def _host_clocks(part: Part) -> dict[int, HostClock]:
    return part.host_clocks
