"""What a host waits for before it begins a step: work of which another thread is told (inferred, METRICS section 7).

Engines hand the results of a step to a thread that does nothing but wait for the GPU; a scheduler, often in a process
of its own, takes them from there and then tells the hosts of all ranks what to launch next. Or the host of one rank
waits for the GPU and hands out the steps. That others wait for the GPU by such a detour no table tells: between their
calls they seem to work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl

from nsysan.replay.alongside import spread
from nsysan.replay.edits import Basis, Edit, put_right
from nsysan.replay.engine import I64
from nsysan.replay.known_results import never_wait, told_to_host, told_to_thread, when_done
from nsysan.replay.links import Link, Part, part
from nsysan.replay.os_waits import NOT_TRACED, OsWaits
from nsysan.replay.shape import Graph
from nsysan.replay.unseen import launching

#: The edit of some ranks.
OfRanks = Callable[[Iterable[int]], Edit]
#: The names of the calls that stand for such a wait, and for the end of the pause, whatever call comes then.
_REPLY, _TOLD = "reply", "told"
#: That of the host that hands out the steps, which waits for nobody then.
_ANSWER = "answer"
#: A pause is there, results are told, and come before the pause ends, in so many of the steps.
_MOST = 0.8
#: A host that waits does so in so many of its steps, for so long (ns).
_SHOWN, _FELT = 0.5, 10_000
#: The end of a wait varies so much less against what is waited for than its length does.
_CLOSER = 0.5
#: A host that takes so much less at its level does not keep to it.
_LATE = 0.1
_LANE = ("stretch", "thread")


def with_replies(
    work: pl.DataFrame,
    hosts: pl.DataFrame,
    beside: pl.DataFrame,
    orders: pl.DataFrame,
    waits: list[Part],
    os_waits: OsWaits = NOT_TRACED,
    *,
    meet: bool,
    piped: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The calls of hosts with a wait in the longest pause of each one's step, for the results of so many steps before
    as have been told by then on all ranks; with `reply`, whether it is one. And node (of the work, from 0), thread,
    start, link: which work each of them is for.

    work, hosts: as with_places has them, hosts with `traced`, their number (null of what is added). beside: calls that
    wait of threads that launch nothing, as Activity has them. waits: edges to the ends of those of hosts, as
    waits.host_waits has them. os_waits: what hosts wait in calls into the operating system. meet: whether the hosts do;
    piped: whether they are of a pipeline, whose stages wait for each other (see turns).
    """
    hosts = hosts.sort(*_LANE, "start", "end", maintain_order=True).with_columns(reply=pl.lit(value=False))
    nothing = pl.DataFrame(schema=dict.fromkeys(("stretch", "thread", "start", "node", "link"), pl.Int64))
    told, telling = told_to_thread(work, beside, orders), -1
    # Hosts that wait for each other are told by no one of them.
    if by_host := told.is_empty() and not meet:
        told, telling = told_to_host(work, hosts, waits)
    # Hosts of which no call waits must learn of results somehow: from memory, as a rule.
    if silent := by_host and not piped and os_waits.threads.is_empty() and never_wait(work, hosts):
        told = when_done(work)
    pauses = _pauses(hosts) if len(told) else hosts.clear()
    if pauses.is_empty():
        return hosts, nothing
    before = pauses.sort("start").join_asof(
        told.sort("end").select("stretch", start="end", then=pl.col("step").cum_max().over("stretch")),
        on="start",
        by="stretch",
        strategy="backward",
        check_sortedness=False,
    )
    lags = (
        before.drop_nulls("then").group_by("rank").agg(lag=(pl.col("next") - pl.col("then")).quantile(_MOST, "higher"))
    )
    lag = int(lags["lag"].max() or 0)  # type: ignore[arg-type]
    waited = pauses.with_columns(step=pl.col("next") - lag).join(
        told.rename({"end": "told"}), on=["stretch", "step"], how="inner", suffix="_of"
    )
    waited = waited.filter(pl.col("told") <= pl.col("start"))
    if lag < 1 or waited.is_empty():
        return hosts, nothing
    felt = waited.group_by("rank").agg(
        felt=(pl.col("told") - pl.col("paused") > _FELT).mean() > _SHOWN,
        varies=spread(pl.col("start") - pl.col("paused")),
        near=spread(pl.col("start") - pl.col("told")),
        ns=(pl.col("start") - pl.max_horizontal("told", "paused")).median(),
    )
    # What waits keeps its distance from what it waits for, or from what waits for the same, and no pause its length.
    if not silent:
        felt = felt.join(_beside(waited), on="rank", how="left").with_columns(pl.min_horizontal("near", "beside"))
    # A host that never starves its GPU, and does not run away from it, waits for it.
    felt = felt.join(_ahead(work), on="rank", how="left").join(_seen(waited, os_waits), on="rank", how="left")
    felt = felt.with_columns(
        waits=pl.col("felt")
        & (pl.col("rank") != telling)
        & (
            (pl.col("near") < _CLOSER * pl.col("varies"))
            | (pl.lit(not silent) & pl.col("ahead").fill_null(value=False))
            | pl.col("seen").fill_null(value=False)
        )
    )
    open_ = felt["felt"].any() if silent else not by_host
    if not felt["waits"].any() and (not open_ or felt["seen"].null_count() == 0):
        return hosts, nothing  # see told: both ends are told, unless they are seen to work
    # Whether results that are always there in time are waited for no trace tells.
    link = Link.SYNC if felt["waits"].any() else Link.ASKED
    # What takes longer after the results than hosts do that need not wait is on the way to them.
    ahead = felt.filter(~pl.col("waits"))["ns"].min()
    behind = felt.filter("waits")["ns"].min()
    way = 0 if ahead is None or behind is None else max(0, round(behind - ahead))  # type: ignore[operator, arg-type]
    place = int(hosts["place"].max() or 0) + 1  # type: ignore[arg-type]
    added = waited.with_columns(
        start="paused",
        end=pl.max_horizontal(
            "paused", pl.min_horizontal(pl.col("told") + pl.when(rank=telling).then(0).otherwise(way), pl.col("start"))
        ),
        step=pl.col("next"),
        launch=pl.when(rank=telling).then(pl.lit(_ANSWER)).otherwise(pl.lit(_REPLY)),
        waits=pl.lit(value=True),
        reply=pl.lit(value=True),
        of=pl.lit(None, dtype=pl.Int64),
        correlation=pl.lit(None, dtype=hosts.schema["correlation"]),
        traced=pl.lit(None, dtype=hosts.schema["traced"]),
        place=pl.lit(place, dtype=pl.Int64),
    )
    edges = added.with_columns(link=pl.lit(int(link), dtype=pl.Int64)).select(nothing.columns)
    ended = added.with_columns(pl.col("place") + 1, start=waited["start"], end=waited["start"], launch=pl.lit(_TOLD))
    pieces = (own.select(hosts.columns) for own in (added, ended, hosts))
    whole = pl.concat(pieces).sort(*_LANE, "start", "end", maintain_order=True)
    return whole, edges


def replies(hosts: pl.DataFrame, edges: pl.DataFrame, starts: I64) -> list[Part]:
    """Edges from the ends of work to the ends of the waits for it; hosts: numbered; edges: as with_replies gives it."""
    waiting = hosts.filter("reply").select(*_LANE, "start", "number")
    joined = edges.join(waiting, on=[*_LANE, "start"], how="inner")
    ends = 2 * joined["number"].to_numpy().astype(np.int64) + 1
    source, target, _ = part(starts[joined["node"].to_numpy()] + 1, ends, Link.SYNC)
    return [(source, target, joined["link"].to_numpy())]


def waits_for_answers(graph: Graph) -> bool:
    """Whether some host waits so, as it shows."""
    waiting = np.zeros(len(graph.time), dtype=np.bool_)
    waiting[1 : graph.first_operation : 2] = graph.calls["reply"].to_numpy()
    return bool((waiting[graph.edges.target] & (graph.link == Link.SYNC)).any())


def told_at_once(basis: Basis) -> Edit | None:
    """Hosts that are told by another begin a step no later than that one does, but for what they do then; None where
    none is later. What they seem to take longer may be on the way to them, or be their own.
    """
    graph = basis.graph
    launch = graph.calls["launch"].to_numpy()
    to_reply = np.flatnonzero(graph.edges.target < graph.first_operation)
    named = launch[graph.edges.target[to_reply] // 2]
    told, telling = to_reply[named == _REPLY], to_reply[named == _ANSWER]
    at = pl.DataFrame({"node": graph.edges.source[telling], "ns": graph.delay[telling]}).unique("node")
    own = pl.DataFrame({"node": graph.edges.source[told], "ns": graph.delay[told]})
    sooner = own.join(at, on="node", how="left", maintain_order="left").select(pl.min_horizontal("ns", "ns_right"))
    if not len(telling) or own["ns"].equals(sooner["ns"]):
        return None

    def edit(_basis: Basis, _lane: I64, cross: I64) -> None:
        cross[told] = np.minimum(cross[told], sooner["ns"].to_numpy())

    return edit


def unheard(basis: Basis) -> OfRanks | None:
    """The edit of ranks that are put right, and may have held up what the hosts that wait are told: these are told of
    results at once, and such a rank has nothing to do meanwhile. None where no host that does not wait takes longer
    then than its level.

    What a host that waits takes after the results may be its own, or on the way to it; and what holds that up may be
    the work of a host that does not wait, as both are of one interpreter. No table tells.
    """
    calls = basis.graph.calls
    begun = 2 * np.flatnonzero((calls["launch"] == _TOLD).to_numpy())
    if not len(begun) or not waits_for_answers(basis.graph):
        return None
    felt = (pl.col("end") - pl.col("start") > _FELT).mean() > _SHOWN
    waits = calls.filter(launch=_REPLY).group_by("rank").agg(waits=felt)
    own, right = (pl.Series(lane[begun]) for lane in (basis.delays.lane, basis.levels.lane))
    took = calls[begun // 2].select("rank", own=own, over=own - right).group_by("rank").agg(pl.median("own", "over"))
    took = took.join(waits, on="rank")
    waiting = took.filter("waits")["rank"].to_list()
    if not waiting or took.filter(~pl.col("waits"), pl.col("over") > _LATE * pl.col("own")).is_empty():
        return None

    def of(ranks: Iterable[int]) -> Edit:
        right = put_right(ranks)
        nodes = begun[basis.of_ranks([*waiting, *ranks])[begun]]

        def edit(basis: Basis, lane: I64, cross: I64) -> None:
            right(basis, lane, cross)
            lane[nodes] = 0

        return edit

    return of


def _pauses(hosts: pl.DataFrame) -> pl.DataFrame:
    """The call after the longest pause between two steps of the thread of a rank that launches most; paused: when that
    began; next: the step that is launched then.
    """
    calls = launching(hosts).with_columns(
        next=pl.col("of").backward_fill().over(_LANE),
        last=pl.col("of").forward_fill().shift(1).over(_LANE),
        ns=pl.col("start") - pl.col("paused"),
    )
    of = ["rank", "population"]
    steps = calls.drop_nulls("of").group_by(of).agg(steps=pl.struct("stretch", "of").n_unique())
    calls = calls.filter(pl.col("next") != pl.col("last"))
    places = calls.drop_nulls(["place", "ns"]).group_by(*of, "place").agg(usual=pl.median("ns"), times=pl.len())
    usual = places.join(steps, on=of, nulls_equal=True).filter(pl.col("times") >= _MOST * pl.col("steps"))
    longest = usual.sort("usual", "place", descending=[True, False]).unique(of, keep="first", maintain_order=True)
    found = calls.join(longest.select("rank", "place"), on=["rank", "place"], how="semi").drop_nulls("next")
    return found.filter(pl.col("ns") > 0).sort(*_LANE, "start")


def _beside(waited: pl.DataFrame) -> pl.DataFrame:
    """rank, beside: how much the begin of its steps varies against that of the host that is nearest in that."""
    begun = waited.select("stretch", "rank", "next", "start")
    pairs = begun.join(begun, on=["stretch", "next"], suffix="_of").filter(pl.col("rank") != pl.col("rank_of"))
    apart = pairs.group_by("rank", "rank_of").agg(beside=spread(pl.col("start") - pl.col("start_of")))
    return apart.group_by("rank").agg(pl.min("beside"))


def _seen(waited: pl.DataFrame, os_waits: OsWaits) -> pl.DataFrame:
    """rank, seen: whether its host is seen to wait until results are told, null where that is not traced."""
    until = waited.filter(pl.col("told") - pl.col("paused") > _FELT).select(*_LANE, "rank", "paused", start="told")
    works = os_waits.works(until.sort(*_LANE, "start"))
    traced = os_waits.threads.join(waited.select(*_LANE, "rank"), on=list(_LANE)).select("rank").unique()
    return traced.with_columns(seen=~pl.col("rank").is_in(works))


def _ahead(work: pl.DataFrame) -> pl.DataFrame:
    """rank, ahead: whether its host has launched most steps before the work before them is done."""
    lane = ("stretch", "rank", "context", "stream")
    before = work.select(*lane, "step", "launch_start", "begin", done=pl.col("end").shift(1).over(lane))
    first = before.drop_nulls(["step", "launch_start", "done"]).sort("begin")
    first = first.unique(["stretch", "rank", "step"], keep="first", maintain_order=True)
    return first.group_by("rank").agg(ahead=(pl.col("launch_start") < pl.col("done")).mean() > _SHOWN)
