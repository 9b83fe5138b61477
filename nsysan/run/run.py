"""One analysed run, from one trace or several: its ranks, steps, collectives, and the figures all others rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import add
from pathlib import Path
from typing import Self, TypeVar, TypeVarTuple

import polars as pl

from nsysan import notebook
from nsysan.columns.rows import parted
from nsysan.metrics.ledger import rank_medians
from nsysan.metrics.periods import over_ranks
from nsysan.metrics.skew import against_reference, boundaries, no_time
from nsysan.metrics.stages import StageWork, between_stages, number_stages
from nsysan.metrics.tally import Tally, launched_one_by_one
from nsysan.model.health import says_events_lost
from nsysan.model.host_clock import HostClock
from nsysan.model.metadata import TraceMetadata
from nsysan.model.ranks import Rank
from nsysan.model.steps.numbering import Steps
from nsysan.run import questions
from nsysan.run.clock import Clock
from nsysan.run.failure import Failure
from nsysan.run.groups import Group, Members
from nsysan.run.layout import Layout, kinds_of, layout_of
from nsysan.run.placed import PlacedTrace
from nsysan.run.questions import together
from nsysan.run.rank_clocks import RankClocks
from nsysan.run.trace_set import LocalTraces, OfRanks, TraceSet
from nsysan.text import counted, plain
from nsysan.trace.graph_mode import GraphMode
from nsysan.trace.trace import Trace

_A = TypeVarTuple("_A")
_B = TypeVar("_B")
_T = TypeVar("_T")
#: Figures of all steps, whichever of them head.
OF_ALL_STEPS = ("gaps", "extents", "tally")


@dataclass(frozen=True, repr=False)
class Run:
    """A run: what its traces tell together, and the figures made of their operations. Times are int64 ns.

    ranks: in rank order. bystanders: (process, device) with GPU work but without a step. size: ranks of the world (the
    largest communicator, or all that the launcher started), None where no trace tells. clock: how several traces came
    onto one clock, None for one trace. rank_clocks: ranks whose times differ from those beside them in their trace.
    groups: who communicates with whom. steps_of: the steps of each replica, by its ranks. windows: step, rank, begin,
    finish, label, excluded (see model.steps.numbering.Steps); steps are numbered within each replica. collectives:
    calls inside steps with the columns of run.matching.match_collectives.
    trace_set: its traces, wherever they are held. metadata: what is known of each; failures: those that are left out.
    trace_of: number of the trace that shows a rank. missing_ranks: those of the world that no trace shows.
    stated_bytes: size of all-reduces of which no trace tells one, where the user states it, or sizes by step.
    names: name, n, collectives of the operations in steps, memory sets aside; n of them, and how many communicate.
    summed: the populations whose steady steps these are, where they are of several (see run.all_decode).
    """

    ranks: list[Rank]
    bystanders: list[tuple[int, int]]
    size: int | None
    clock: Clock | None
    rank_clocks: RankClocks
    groups: list[Group]
    steps_of: dict[Members, Steps]
    windows: pl.DataFrame
    collectives: pl.DataFrame
    trace_set: TraceSet
    metadata: list[TraceMetadata]
    trace_of: dict[int, int]
    missing_ranks: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stated_bytes: int | dict[int, int] | None = None
    names: pl.DataFrame = field(default_factory=questions.no_names)
    summed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<nsysan.Run of {notebook.names(trace.name for trace in self.metadata)}: {self._found}>"

    def _repr_html_(self) -> str:
        title = f"Run of {notebook.names(trace.name for trace in self.metadata)}"
        return notebook.summary(title, [("found", self._found)], self.per_rank)

    @property
    def _found(self) -> str:
        steps = counted(self.windows["step"].n_unique(), "step")
        left_out = f"; {counted(len(self.failures), 'trace')} left out" if self.failures else ""
        source = plain(self.steps.source, 80)
        return f"{counted(len(self.ranks), 'rank')}, {steps} by {source}, {len(self.steady_steps)} steady{left_out}"

    @property
    def steps(self) -> Steps:
        """The steps of the first replica, which is all of the run where there is one."""
        return next(iter(self.steps_of.values()))

    @cached_property
    def replicas(self) -> list[Run]:
        """Each replica as a run of its own: its ranks, windows and calls, and figures of these alone."""
        if len(self.steps_of) == 1:
            return [self]
        return [self._of_ranks(ranks, steps) for ranks, steps in self.steps_of.items()]

    def _of_ranks(self, ranks: Members, steps: Steps) -> Run:
        own = pl.col("rank").is_in(list(ranks))
        groups = [group for group in self.groups if set(group.ranks) & set(ranks)]
        return replace(
            self,
            ranks=[rank for rank in self.ranks if rank.rank in ranks],
            groups=groups,
            steps_of={ranks: steps},
            windows=self.windows.filter(own),
            collectives=self.collectives.filter(own),
            trace_set=OfRanks(self.trace_set, frozenset(ranks)),
            trace_of={rank: trace for rank, trace in self.trace_of.items() if rank in ranks},
        )

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """A row a step and rank: where its time went.

        step, rank; steady (whether the medians are of it); start_ns, period_ns, a column a line of the ledger
        (compute_ns, wait_ns, ..., idle_ns), which sum to period_ns, comm_ns, overlap_ns and pdl_trimmed_ns (int64 ns,
        null where it cannot be told); collectives (calls of the step). See metrics.ledger.build_ledger.
        """
        return together(self.ask(questions.ledger_of)).sort("step", "rank")

    @cached_property
    def per_rank(self) -> pl.DataFrame:
        """A row a rank: rank, and the median of each figure of the ledger over its steady steps."""
        return rank_medians(self.ledger)

    @cached_property
    def gaps(self) -> pl.DataFrame:
        """Idle time inside the steps: rank, step, cause, host, ns (see metrics.gaps.find_gaps), summed."""
        return together(self.ask(questions.gaps_of, self.stage_work))

    @cached_property
    def layout(self) -> Layout:
        """How the ranks are laid out, of a replica."""
        ranks = tuple(rank.rank for rank in self.ranks)
        kinds = kinds_of(self.groups, self.collectives, len(ranks))
        return layout_of(ranks, self.groups, kinds, self.collectives, self.host_of)

    @cached_property
    def stage_work(self) -> StageWork | None:
        """When the stages of a pipeline work, and what waits for them; None where there is one stage."""
        if len(self.steps_of) > 1 or not self.layout.is_pipeline:
            return None
        stage_of = number_stages(self.layout.stages)
        between = between_stages(self.collectives, stage_of)
        spans = self.ask_each(questions.spans_of, self.by_trace(between.select("row", "rank")))
        return StageWork.of(stage_of, together(spans), between)

    @cached_property
    def extents(self) -> pl.DataFrame:
        """rank, span, busy: of all GPU work of each rank, in steps or not, ns."""
        return together(self.ask(questions.extent_of))

    @cached_property
    def tally(self) -> Tally:
        """What is counted of all operations."""
        return reduce(add, self.ask(questions.tally_of))

    def late(self, arrived: pl.DataFrame) -> pl.DataFrame:
        """metrics.skew.late_calls of these calls."""
        bounds = boundaries(arrived)
        found = self.ask_each(questions.spent_of, self.by_trace(bounds.select("row", "rank", "family", "wanted")))
        return against_reference(arrived, together([no_time(bounds), *found]))

    def usual_compute(self, steps: list[int]) -> pl.DataFrame:
        """rank, name, ns, calls: what compute kernels of that name take in a step, median over these steps."""
        return pl.concat(self.ask(questions.usual_compute_of, steps))

    def ask(self, question: Callable[[PlacedTrace, *_A], _T], *args: *_A) -> list[_T]:
        """The answer of each trace, given where it is held; question: a function at the top of a module."""
        return self.trace_set.ask(question, [args] * len(self.metadata))

    def ask_each(self, question: Callable[[PlacedTrace, _B], _T], values: Sequence[_B]) -> list[_T]:
        """The same, with a value of its own for each trace."""
        return self.trace_set.ask(question, [(value,) for value in values])

    def by_trace(self, frame: pl.DataFrame) -> list[pl.DataFrame]:
        """The rows of a frame with a column `rank`, by the trace that shows the rank."""
        number = pl.col("rank").replace_strict(self.trace_of, default=None, return_dtype=pl.Int64)
        of_trace = parted(frame.with_columns(_trace=number).drop_nulls("_trace"), "_trace")
        return [of_trace[n].drop("_trace") if n in of_trace else frame[:0] for n in range(len(self.metadata))]

    @property
    def host_of(self) -> dict[int, int | None]:
        """Number of the machine of each rank, None where it is not told."""
        return {rank.rank: rank.host for rank in self.ranks}

    @property
    def graph_mode(self) -> GraphMode:
        """How CUDA graphs were traced; as blocks if so in any trace."""
        modes = {trace.graph_mode for trace in self.metadata}
        return next(mode for mode in GraphMode if mode in modes)

    @property
    def traces(self) -> list[Trace]:
        """The traces themselves; of a run that is held elsewhere they are opened anew."""
        if isinstance(self.trace_set, LocalTraces):
            return [placed.trace for placed in self.ask(questions.itself)]
        return [Trace(Path(trace.path)) for trace in self.metadata]

    @cached_property
    def work(self) -> pl.DataFrame:
        """All GPU operations of the ranks, for reading in notebooks; figures are made trace by trace (`ask`).

        The columns of operations.load_operations, and trace, rank, step (null outside steps), message_bytes,
        communicator, last (last arrival at a matched collective).
        """
        return self.with_stated_bytes(pl.concat(self.ask(questions.work_of), how="vertical_relaxed"))

    def stating(self, message_bytes: int | None, by_step: Mapping[int, int] | None = None) -> Self:
        """The run with stated bytes (by_step: of a step's) for all-reduces of which no trace tells any; or itself."""
        if message_bytes is None and not by_step:
            return self
        sizes = dict(by_step or {}) if message_bytes is None else message_bytes
        other = replace(self, stated_bytes=sizes, collectives=self.collectives.with_columns(stated(sizes)))
        # What any size leaves as it is may be of other steps than the traces take for steady (headed_by).
        same = {"ledger", *OF_ALL_STEPS} & vars(self).keys()
        vars(other).update({name: vars(self)[name] for name in same})
        return other

    def with_stated_bytes(self, work: pl.DataFrame) -> pl.DataFrame:
        """Operations with the stated size where the user states one, and no trace tells it."""
        return work if self.stated_bytes is None else work.with_columns(stated(self.stated_bytes))

    @property
    def kernels(self) -> pl.DataFrame:
        """Every kernel of the ranks, one row each (see `work`, of which this is a copy)."""
        return self.work.filter(pl.col("type") == "kernel")

    @cached_property
    def synchronise_calls(self) -> pl.DataFrame:
        """The hosts' synchronise calls on the run's clock: thread, start, end."""
        return pl.concat(self.ask(questions.synchronise_calls_of))

    @cached_property
    def host_clocks(self) -> dict[int, HostClock]:
        """Whether launch calls and GPU work of each rank are on one clock, by rank."""
        found = {rank: clock for own in self.ask(questions.host_clocks_of) for rank, clock in own.items()}
        return dict(sorted(found.items()))

    @cached_property
    def steady_steps(self) -> list[int]:
        """Numbers of the steps that the headline figures describe, ascending."""
        return self.windows.filter(pl.col("excluded").is_null())["step"].unique().sort().to_list()

    @property
    def missing_peers(self) -> list[int]:
        """Missing ranks for which those of the trace may wait: none where every communicator that is used is whole."""
        seen = self.graph_mode != GraphMode.GRAPH and not self.collectives["group"].null_count()
        called = set(self.collectives["group"].unique())
        whole = not any(group.is_partial for group in self.groups if group.id in called)
        return [] if seen and whole else self.missing_ranks

    @cached_property
    def open_steps(self) -> set[int]:
        """Steps that nothing follows on some rank: they end with their work, and lack the time until the next."""
        following = pl.col("begin").shift(-1).over("rank", order_by="begin")
        ends = self.windows.filter((following != pl.col("finish")).fill_null(value=True))
        return set(ends["step"])

    def whole(self, steps: pl.DataFrame) -> pl.DataFrame:
        """The rows of these steps, but of those that nothing follows, where there are others. steps: with `step`."""
        rows = steps.filter(~pl.col("step").is_in(self.open_steps))
        return steps if rows.is_empty() else rows

    def periods(self) -> pl.DataFrame:
        """step, period_ns: of the whole steady steps (see over_ranks); what mean and tail are of."""
        return self.whole(over_ranks(self.ledger.filter("steady"))).sort("step")

    @cached_property
    def is_eager(self) -> bool:
        """Whether kernels are launched one by one, so that tracing each launch weighs on the host."""
        return self.graph_mode != GraphMode.GRAPH and launched_one_by_one(self.tally.by_step, self.steady_steps)

    @property
    def lost_events(self) -> list[str]:
        """What the profiler says of events lost on the ranks, each text once; a helper's losses are none."""
        processes = {rank.process for rank in self.ranks}
        said = (m for trace in self.metadata for m in trace.diagnostics if m.severity >= 2 and m.process in processes)
        return sorted({m.text.strip() for m in said if says_events_lost(m.text)})


def stated(message_bytes: int | Mapping[int, int]) -> pl.Expr:
    """message_bytes, with the stated size, or that of the step, for all-reduces of which the trace tells none."""
    untold = (pl.col("kind") == "all_reduce") & pl.col("message_bytes").is_null()
    size = (
        pl.lit(message_bytes, dtype=pl.Int64)
        if isinstance(message_bytes, int)
        else pl.col("step").replace_strict(dict(message_bytes), default=None, return_dtype=pl.Int64)
    )
    return pl.when(untold).then(size).otherwise("message_bytes").alias("message_bytes")
