"""Late ranks: those whose excess costs a share of the step once all other late ranks are put right (section 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from nsysan.metrics.scenarios import LATE_SHARE
from nsysan.model.classes import WorkClass
from nsysan.replay.edits import Basis, Edit, no_skew, put_right
from nsysan.replay.engine import I64
from nsysan.replay.results import CAUSES, LateRanks, Timed
from nsysan.replay.subjects import Mask, by_class
from nsysan.timings import stage

#: Of two ranks both may be late, one by one thing and one by another.
_PAIR = 2
_OF_WORK = {WorkClass.COMPUTE.value: "compute", WorkClass.COPY.value: "copy"}
_COMMUNICATION = CAUSES.index("communication")
#: What is late in the usual step costs at least this share of what costs most of the mean one, or that is the cause.
_FAR_MORE = 0.25

#: The periods of edits of a graph, in their order.
Replay = Callable[[list[Edit]], list[Timed]]


class Replays(Protocol):
    """Replays as they come, by which late ranks are found; and no shorter than hosts need, by which they cost.

    counted: stretch, step, rank, population of the steps whose periods these are; weight_of: of a step of a population
    beside one of any other.
    """

    @property
    def counted(self) -> pl.DataFrame: ...

    def weight_of(self, population: object) -> int: ...

    def as_replayed(self, asked: list[Edit]) -> list[Timed]: ...

    def timed(self, asked: list[Edit]) -> list[Timed]: ...


@stage("replay: late ranks")
def find_late(
    basis: Basis,
    replays: Replays,
    measured: Timed,
    right: Timed,
    without: Mapping[int, Timed],
    alone: Mapping[int, Timed],
    lost: int,
) -> tuple[list[LateRanks], bool]:
    """The late ranks, each alone, and together where several are late by one cause; or that they take turns.

    right: all ranks at their levels; without: all but that one; alone: that one. lost: what all ranks at their levels
    save of a median step, as hosts allow.
    """
    least = LATE_SHARE * measured.median

    def costly(timed: Timed, rest: Timed) -> bool:
        return max(timed.median - rest.median, timed.mean - rest.mean) >= least

    late = [rank for rank in without if costly(without[rank], right)]
    base, others = right, {rank: without[rank] for rank in late}
    # With the others as they are some of these cost nothing any more.
    while late and len(late) < len(without):
        if len(late) == 1:
            (base,), others = replays.as_replayed([put_right(late)]), {late[0]: measured}
        else:
            base, *rest = replays.as_replayed(_all_but_each(late))
            others = dict(zip(late, rest, strict=True))
        kept = [rank for rank in late if costly(others[rank], base)]
        if len(kept) == len(late):
            break
        late = kept
    if lost >= least and not any(timed.median - base.median >= least for timed in others.values()):
        # Together they cost what none of them does in most steps: another one does in each.
        return [], True
    if not late:
        return [], False
    if len(late) == 1:
        base, rest = alone[late[0]], [measured]
    else:
        base, *rest = replays.timed(_all_but_each(late))
    found = _told(basis, replays, measured, base, dict(zip(late, rest, strict=True)), alone)
    # Levels that no host keeps are of none: what the hosts do is shared out, or they wait for each other.
    if len(late) == len(without) > _PAIR and all(one.cause == "host" for one in found):
        return [], False
    return found, False


def as_one(replays: Replays, measured: Timed, late: Sequence[LateRanks]) -> LateRanks:
    """All the late ranks, by whatever they are late, put right together; late: as find_late gives them."""
    ranks = tuple(sorted({rank for one in late for rank in one.ranks}))
    known = next((one for one in late if one.ranks == ranks), None)
    if known is not None:
        return known
    (right,) = replays.timed([put_right(ranks)])
    median, mean = measured.median - right.median, measured.mean - right.mean
    return LateRanks(ranks, late[0].cause, costs=median, saves=median, mean_costs=mean, mean_saves=mean)


def _all_but_each(late: Sequence[int]) -> list[Edit]:
    """All of these put right, and all but each."""
    return [put_right(late), *(put_right([r for r in late if r != rank]) for rank in late)]


def _but(basis: Basis, ranks: Sequence[int], but: Mask) -> Edit:
    """These ranks put right, but for these nodes."""
    return no_skew(basis.of_ranks(ranks) & ~but)


def _told(
    basis: Basis,
    replays: Replays,
    measured: Timed,
    base: Timed,
    others: Mapping[int, Timed],
    alone: Mapping[int, Timed],
) -> list[LateRanks]:
    late = list(others)
    causes = causes_of(basis)
    longer = basis.levels.longer(basis.delays)
    by_cause = {
        (rank, cause): (basis.node_rank == rank) & (causes == number)
        for rank in late
        for number, cause in enumerate(CAUSES)
    }
    asked = [key for key, nodes in by_cause.items() if longer[nodes].any()]
    parts = replays.timed([_but(basis, late, by_cause[key]) for key in asked])
    found = []
    for rank in late:
        by_median, by_mean = (
            {
                cause: getattr(timed, of) - getattr(base, of)
                for (r, cause), timed in zip(asked, parts, strict=True)
                if r == rank
            }
            for of in ("median", "mean")
        )
        own = {cause: max(0, ns, by_mean[cause]) for cause, ns in by_median.items()}
        costs = others[rank].median - base.median
        # What is late in the usual step is not told by what pauses in a few, unless that is far more.
        usual = costs >= LATE_SHARE * measured.median
        most = max(own.values(), default=0)
        told = by_median if usual and max(by_median.values(), default=0) >= _FAR_MORE * most else own
        work = _work(basis, replays, rank)
        found.append(
            LateRanks(
                ranks=(rank,),
                cause=max(told, key=lambda cause: told[cause], default="host"),
                costs=costs,
                saves=measured.median - alone[rank].median,
                mean_costs=others[rank].mean - base.mean,
                mean_saves=measured.mean - alone[rank].mean,
                parts=own,
                kernels=_kernels(work),
                apart=_apart(work),
                between=_between(basis, rank),
            )
        )
    found.sort(key=lambda one: (-max(one.costs, one.mean_costs), one.ranks))
    return [*_together(replays.timed, measured, base, found), *found]


def _together(replay: Replay, measured: Timed, base: Timed, found: list[LateRanks]) -> list[LateRanks]:
    """Those that are late by one cause, as one."""
    by_cause: dict[str, list[int]] = {}
    for one in found:
        by_cause.setdefault(one.cause, []).append(one.ranks[0])
    sets = {cause: tuple(sorted(ranks)) for cause, ranks in by_cause.items() if len(ranks) > 1}
    late = [one.ranks[0] for one in found]
    edits = []
    for ranks in sets.values():
        edits += [put_right(ranks), put_right([rank for rank in late if rank not in ranks])]
    timed = iter(replay(edits) if edits else [])
    return [
        LateRanks(
            ranks,
            cause,
            costs=rest.median - base.median,
            saves=measured.median - own.median,
            mean_costs=rest.mean - base.mean,
            mean_saves=measured.mean - own.mean,
        )
        for (cause, ranks), own, rest in zip(sets.items(), timed, timed, strict=True)
    ]


def causes_of(basis: Basis) -> I64:
    """Of each node by what a rank is late that takes long there."""
    graph = basis.graph
    causes = np.full(len(graph.time), CAUSES.index("host"), dtype=np.int64)
    of_work = by_class(graph, {name: CAUSES.index(cause) for name, cause in _OF_WORK.items()}, _COMMUNICATION)
    ends = slice(graph.first_operation + 1, graph.first_arrival, 2)
    begins = slice(graph.first_operation, graph.first_arrival, 2)
    # A gap before communication is the GPU's own.
    causes[begins] = np.where(of_work == _COMMUNICATION, CAUSES.index("compute"), of_work)
    causes[ends] = of_work
    return causes


def _kernels(work: pl.DataFrame) -> list[tuple[str, int]]:
    """The work that takes longer than its level, ns a step, most first."""
    sums = work.group_by("name").agg(ns=(pl.col("more") * pl.col("part")).sum().round().cast(pl.Int64))
    return list(sums.filter(pl.col("ns") > 0).sort("ns", "name", descending=[True, False]).iter_rows())


def _apart(work: pl.DataFrame) -> int:
    """Of that what no other rank has there: it is right without, ns a step."""
    own = work.filter(level=0)
    return round(float((own["more"] * own["part"]).sum()))


def _between(basis: Basis, rank: int) -> bool:
    """Whether the GPU of a rank loses more between its operations than in them."""
    graph, own = basis.graph, basis.node_rank == rank
    longer = np.where(own, basis.delays.lane - basis.levels.lane, 0)[graph.first_operation : graph.first_arrival]
    return bool(longer[0::2].sum() > longer[1::2].sum())


def _work(basis: Basis, replays: Replays, rank: int) -> pl.DataFrame:
    """name, level, more (than that, ns) of the operations of a rank in its counted steps; part: of a step, in the mean
    over these, each as often as its kind has steps.
    """
    graph, key = basis.graph, ("stretch", "step")
    ends = slice(graph.first_operation + 1, graph.first_arrival, 2)
    ns, level = (pl.Series(lane[ends]) for lane in (basis.delays.lane, basis.levels.lane))
    work = graph.operations.select("name", "rank", *key, ns=ns, level=level).filter(rank=rank)
    steps = replays.counted.filter(rank=rank).select(*key, "population")
    weights = {one: replays.weight_of(one) for one in steps["population"].unique()}
    weight = pl.col("population").replace_strict(weights, return_dtype=pl.Float64)
    work = work.join(steps.select(*key, part=weight / weight.sum()), on=key)
    return work.select("name", "level", "part", more=pl.col("ns") - pl.col("level"))
