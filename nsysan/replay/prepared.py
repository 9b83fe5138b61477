"""The graph of a replica's steps with all that a replay of it needs, built once for any number of edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.whatif import call_wires, floors
from nsysan.replay import edits
from nsysan.replay.activity import MAX_OPERATIONS, Activity, activity
from nsysan.replay.busy_stages import Shares, wanting_of
from nsysan.replay.delays import delays_of
from nsysan.replay.engine import I64, NEVER, Engine, Times
from nsysan.replay.graph import build
from nsysan.replay.hosts_need import HostCalls, host_calls, needs
from nsysan.replay.levels import levels_of
from nsysan.replay.os_waits import os_waits
from nsysan.replay.results import Timed
from nsysan.replay.seen_waits import all_told
from nsysan.replay.shape import Levels
from nsysan.replay.unseen import in_place, waits_unseen
from nsysan.run.all_decode import weights_of
from nsysan.run.run import Run
from nsysan.timings import stage

#: Weights are whole numbers of such parts.
_PARTS = 1_000
#: Beyond so many lanes (streams of a rank in a stretch), each is to have so many operations.
_MANY_LANES, _OF_A_LANE = 512, 8
F64 = npt.NDArray[np.float64]


#: A replayed step that is shorter than its hosts need by so much is shorter by no noise.
_CLEARLY = 0.05


def _of_slowest(own: I64, ranks: I64, of: Callable[..., F64]) -> F64:
    """The mean or median over its steps of the rank that has the longest."""
    return np.asarray(np.max([of(own[ranks == rank], axis=0) for rank in np.unique(ranks)], axis=0))


@dataclass(frozen=True)
class Prepared:
    """found: what was recorded. basis: its graph, and what edits change. engine: the order of its nodes.

    unseen: levels where hosts that may be waiting for another are charged with that, None where none may. wanting: of a
    pipeline, as busy_stages.wanting_of gives it. weights: steps of each population, where
    periods are means over several.
    """

    found: Activity
    basis: edits.Basis
    engine: Engine
    unseen: Levels | None = None
    wanting: Shares | None = None
    weights: Mapping[str, int] = field(default_factory=dict)

    def times(self, asked: list[edits.Edit]) -> Times:
        """ns of each node with each of the edits."""
        return self.replayed(asked)[0]

    def replayed(self, asked: list[edits.Edit]) -> tuple[Times, I64, I64]:
        """The same; the period of each step that is counted on each rank (counted, scenarios); and what hosts need for
        it by themselves, as hosts_need.needs gives it.
        """
        graph = self.basis.graph
        released = graph.time.copy()
        released[graph.first_arrival :] = NEVER
        lane, cross = edits.applied(self.basis, asked)
        needed = needs(graph, len(self.counted), self._host_calls, lane, cross)
        times = self.engine.times(lane, cross, released)
        periods = self._periods(times)
        for edit, *columns in zip(asked, periods.T, needed.T, strict=True):
            if isinstance(edit, edits.PutRight):
                self._put_right[edit] = columns
        return times, periods, needed

    @cached_property
    def _put_right(self) -> dict[edits.Edit, list[I64]]:
        """period, needed of what was replayed with some ranks put right, which is asked again."""
        return {}

    def _told(self, asked: list[edits.Edit]) -> tuple[I64, I64]:
        """The periods of edits, and what hosts need for them; what is known is not replayed once more."""
        known = dict(self._put_right)
        unknown = [edit for edit in asked if edit not in known]
        if unknown:
            _, periods, needed = self.replayed(unknown)
            known |= dict(zip(unknown, map(list, zip(periods.T, needed.T, strict=True)), strict=True))
        periods, needed = (np.stack([known[edit][i] for edit in asked], axis=1) for i in range(2))
        return periods, needed

    @cached_property
    def _host_calls(self) -> HostCalls:
        return host_calls(self.basis.graph, self.counted)

    @cached_property
    def _firsts(self) -> tuple[pl.DataFrame, I64, I64]:
        """stretch, rank, step; the first node of each stream in these; and where among the nodes each one's begin."""
        key, lane = ("stretch", "rank", "step"), ("context", "stream")
        graph = self.basis.graph
        firsts = graph.operations.select(*key, *lane).with_row_index("at").drop_nulls("step")
        firsts = firsts.unique([*key, *lane], keep="first", maintain_order=True).sort(*key, "at")
        changed = firsts.select(pl.any_horizontal(pl.col(key).ne_missing(pl.col(key).shift(1)))).to_series().to_numpy()
        begins = np.flatnonzero(changed)
        nodes = graph.first_operation + 2 * firsts["at"].to_numpy().astype(np.int64)
        return firsts[begins].select(key), nodes, begins

    def starts(self, times: I64) -> I64:
        """When each step begins on each rank, by the time of each node."""
        _, nodes, begins = self._firsts
        return np.minimum.reduceat(times[nodes], begins)

    def _periods(self, times: Times) -> I64:
        _, nodes, begins = self._firsts
        starts = np.minimum.reduceat(times.at(nodes), begins, axis=0)
        found: I64 = starts[self.counted["next"].to_numpy()] - starts[self.counted["at"].to_numpy()]
        return found

    def timed(self, asked: list[edits.Edit]) -> list[Timed]:
        """The periods of edits, none shorter than hosts need."""
        periods, needed = self._told([edits.unchanged, *asked])
        return self.no_shorter(self.over_steps(periods), needed)[1:]

    def as_replayed(self, asked: list[edits.Edit]) -> list[Timed]:
        """The same, whatever hosts need."""
        return self.over_steps(self._told(asked)[0])

    def periods(self, edit: edits.Edit) -> I64:
        """The period of each step that is counted on each rank."""
        return self._told([edit])[0][:, 0]

    def medians(self, asked: list[edits.Edit]) -> list[float]:
        """The median periods of edits, not rounded."""
        return [float(period) for period in self._medians(self.replayed(asked)[1])]

    def over_steps(self, periods: I64) -> list[Timed]:
        """The period of each scenario; periods: of each step and rank, as above."""
        means = self._over_populations(periods, lambda own, _: own.mean(axis=0))
        told = zip(self._medians(periods).tolist(), means.tolist(), strict=True)
        return [Timed(round(median), round(mean)) for median, mean in told]

    def no_shorter(self, told: list[Timed], needed: I64) -> list[Timed]:
        """The scenarios, the first of which is as measured, where a step is no shorter than the slowest host needs.

        A replay can be: of hosts that had run ahead when it began. needed: of each step and rank, as replayed gives it.
        """
        means = self._over_populations(needed, lambda own, ranks: _of_slowest(own, ranks, np.mean)).tolist()
        medians = self._over_populations(needed, lambda own, ranks: _of_slowest(own, ranks, np.median)).tolist()
        now, found = told[0], []
        for one, mean, median in zip(told, means, medians, strict=True):
            # Of hosts whose steps differ much neither is what most steps take: the less of both.
            least = min(median, mean * now.median / now.mean, now.median)
            enough = one.median >= (1 - _CLEARLY) * least
            found.append(one if enough else Timed(round(least), max(one.mean, min(round(mean), now.mean))))
        return found

    def weight_of(self, population: object) -> int:
        """Of a counted step of a population beside one of any other; 1 where there are no several."""
        if not self.weights:
            return 1
        steps = self.counted.filter(pl.col("population") == population).select("stretch", "step").n_unique()
        return round(_PARTS * self.weights[str(population)] / max(steps, 1))

    def of_slowest(self, periods: I64) -> Timed:
        """The period of the rank that has the longest, by that of each step and rank in one scenario."""

        def of(own: I64, ranks: I64) -> F64:
            each = [own[ranks == rank] for rank in np.unique(ranks)]
            return np.array([max(np.median(one) for one in each), max(one.mean() for one in each)])

        median, mean = self._over_populations(periods, of).tolist()
        return Timed(round(median), round(mean))

    def _medians(self, periods: I64) -> F64:
        """Of each scenario: of each rank the median over its steps, and the median of these over the ranks."""

        def usual(own: I64, ranks: I64) -> F64:
            return np.asarray(np.median([np.median(own[ranks == rank], axis=0) for rank in np.unique(ranks)], axis=0))

        return self._over_populations(periods, usual)

    def _over_populations(self, periods: I64, of: Callable[[I64, I64], F64]) -> F64:
        """What is of the periods and their ranks; where these are of several populations, of each, as often as it has
        steps.
        """
        ranks = self.counted["rank"].to_numpy()
        if not self.weights:
            return of(periods, ranks)
        populations = self.counted["population"].to_numpy()
        told = {str(one): of(periods[populations == one], ranks[populations == one]) for one in np.unique(populations)}
        return np.asarray(sum(each * self.weights[one] for one, each in told.items())) / sum(
            self.weights[one] for one in told
        )

    @cached_property
    def counted(self) -> pl.DataFrame:
        """stretch, step, rank, population of the counted steps; at, next: rows of it and of the next in starts;
        start, finish: when these began, as measured.
        """
        start = pl.Series(self.starts(self.basis.graph.time))
        steps = self.found.steps.select("stretch", "rank", "step", "population", "counted")
        keys = self._firsts[0].with_row_index("at").with_columns(start=start)
        keys = keys.join(steps, on=["stretch", "rank", "step"], how="left", maintain_order="left")
        keys = keys.sort("stretch", "rank", "start").with_columns(
            next=pl.col("at").shift(-1).over("stretch", "rank"),
            finish=pl.col("start").shift(-1).over("stretch", "rank"),
        )
        kept = keys.filter(pl.col("counted").fill_null(value=False) & pl.col("next").is_not_null())
        return kept.select("stretch", "step", "rank", "population", "at", "next", "start", "finish")


@stage("replay: graph")
def prepare(run: Run, most: int = MAX_OPERATIONS) -> Prepared | None:
    """What a replay of a replica needs, of so many operations at the most; None where it has no steady step, or a
    stream for every few operations, as no program has.
    """
    found = activity(run, most)
    if found is None or _scattered(found.operations):
        return None
    graph = build(run, found)
    delays = delays_of(graph)
    levels = levels_of(graph, delays, _usual_period(found))
    # What a host does may be waiting for another, and nobody is charged with that.
    unseen = waits_unseen(graph, delays, levels)
    if unseen and not found.os_calls.is_empty():
        unseen = not all_told(graph.calls, os_waits(found.os_calls, graph.calls.filter(~pl.col("reply"))))
    kept = in_place(levels, graph, delays) if unseen else levels
    basis = edits.basis(graph, delays, kept, floors_of(run))
    wanting = None if run.stage_work is None else wanting_of(graph, run.stage_work)
    engine = Engine(graph.opens, graph.edges, graph.time)
    ready = Prepared(found, basis, engine, levels if unseen else None, wanting, weights_of(run))
    # What damage has left of a step need not have a beginning in the graph.
    return None if ready.counted.is_empty() else ready


def _scattered(operations: pl.DataFrame) -> bool:
    lanes = operations.select("stretch", "rank", "context", "stream").n_unique()
    return lanes > _MANY_LANES and len(operations) < _OF_A_LANE * lanes


def floors_of(run: Run) -> pl.DataFrame:
    """The floors of calls (see metrics.whatif.floors), with population: each has its own where there are several."""
    if not run.summed:
        return floors(call_wires(run.collectives, run.steady_steps))
    steady = run.windows.filter(pl.col("excluded").is_null())
    found = [
        floors(call_wires(run.collectives, own["step"].unique().to_list())).with_columns(population=pl.lit(str(name)))
        for (name,), own in steady.partition_by("population", as_dict=True, maintain_order=True).items()
    ]
    return pl.concat(found)


def _usual_period(found: Activity) -> int:
    following = pl.col("begin").shift(-1).over("stretch", "rank") - pl.col("begin")
    return round(found.steps.select(following.filter("counted").median()).item() or 0)
