"""The same collective on every rank, and when the last rank arrived at it (DEFINITIONS.md, section 6).

A collective kernel is resident from its own rank's arrival until the data has moved, so its residency before
the last arrival is waiting and only the rest is transfer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import coded
from nsysan.columns.rows import taken
from nsysan.metrics.cut import cut_at_arrival
from nsysan.model.classes import WorkClass
from nsysan.model.matches import RECEIVES, SENDS, Match
from nsysan.run.messages import halves, in_sequence
from nsysan.timings import stage

_I64 = npt.NDArray[np.int64]
#: Rejections up to this share of a family's calls are mispairings, to be resynchronised; more are a clock's fault.
_LOCAL = 0.2
#: A call overlaps at most the tail of the one before, its own, and the head of the next on another rank.
_NEIGHBOURS = 3
#: Number of a node within its graph; graphs are numbered process by process.
_NODE = pl.col("graph_node") % (1 << 32)


@stage("match collectives")
def match_collectives(collectives: pl.DataFrame, ranks: int) -> pl.DataFrame:
    """Put together the calls of a step over the ranks of a group, and find the last arrival of each.

    collectives: row, rank, step, name, kind, cls, library, group, communicator, barrier, partial, half, stream,
    correlation, graph_node, begin, end. group: id of the group of ranks that the call is of (see groups.find_groups),
    null where it is not known; barrier: whether no rank can leave before all have come; partial: whether the group has
    ranks that no trace shows; half: which of a message, send or receive, null where not told. ranks: of the run.
    Added columns:

    family: number of the calls that are of one kind, library, group and stream.
    call: number of the call within its step and family, the same on every rank.
    verdict: matched; unmatched (some rank of the group lacks the call, or it is a send or receive among more
      than two ranks, or its group is not known); rejected (fails the gate); single (its group has one rank in the
      trace); partial (its group has ranks in no trace, so that the last arrival is not seen).
    last: when the last rank arrived that this one waits for; wait, wire: residency before and after it (ns);
      skew_free_wait: duration beyond the group's shortest, an estimate of wait free of clocks. All null unless matched.

    The k-th call of a family and step on one rank is the k-th on the others, in the order of graph nodes
    inside a replay and of begin elsewhere. Where the numbers of calls differ, or a few pairs fail the gate,
    calls of one replay are paired by node if the ranks number nodes alike, and others by their overlap in time:
    no rank can be one call ahead while another is in it. What is no barrier has no gate: who leaves before the last
    has come sent, and waited for nobody.
    """
    if collectives.is_empty():
        return _judged(_numbered(collectives), ranks)
    calls = in_sequence(_numbered(collectives))
    calls = _resynchronised(calls, _uneven(calls))
    judged = _judged(calls, ranks)
    local = (
        judged.group_by("family")
        .agg(share=(pl.col("verdict") == Match.REJECTED).mean())
        .filter((pl.col("share") > 0) & (pl.col("share") <= _LOCAL))
    )
    failed = judged.filter(pl.col("verdict") == Match.REJECTED).join(local, on="family", how="semi")
    if failed.is_empty():
        return judged
    return _judged(_resynchronised(calls, failed.select("family", "step").unique()), ranks)


def _numbered(collectives: pl.DataFrame) -> pl.DataFrame:
    """Add family, members (ranks that have it anywhere) and call (by order)."""
    of_kind = ["kind", "library", "cls", "group"]
    kind, kinds = coded(collectives.select(*of_kind, "communicator"))
    told = pl.col("communicator").is_not_null().all().over(of_kind)
    # Two communicators of the same ranks count their calls apart, where every call tells of which it is.
    kinds = kinds.with_columns(communicator=pl.when(told).then("communicator"))
    lane, lanes = coded(pl.DataFrame([kind, _lanes(collectives.with_columns(kind))]))
    families = kinds[lanes["code"]].select(pl.struct(pl.all(), lanes["lane"]).rank("dense").cast(pl.Int64)).to_series()
    calls = collectives.with_columns(taken(families, lane).alias("family"), _replay="begin")
    if calls["graph_node"].null_count() < len(calls):
        replay = pl.col("begin").min().over("rank", "correlation")
        calls = calls.with_columns(_replay=pl.when(pl.col("graph_node").is_null()).then("begin").otherwise(replay))
    order = ["_replay", "graph_node", "begin", "end"]
    seen = calls.select("family", "rank").unique().group_by("family").agg(members=pl.len())
    return (
        calls.with_columns(call=pl.int_range(pl.len(), dtype=pl.Int64).over("rank", "step", "family", order_by=order))
        .join(seen, on="family", how="left", maintain_order="left")
        .drop("_replay")
    )


def _lanes(collectives: pl.DataFrame) -> pl.Series:
    """Number of each eager call's stream among those of its kind (`code`) and rank, by what begins first on them.

    0 where the ranks do not use as many streams for as many calls: streams are then no help in telling calls apart.
    """
    columns = ["code", "rank", "context", "stream"]
    eager = collectives.select(*columns, "begin", "graph_node").filter(pl.col("graph_node").is_null())
    streams = eager.group_by(columns).agg(first=pl.min("begin"), n=pl.len())
    streams = streams.with_columns(lane=pl.col("first").rank("ordinal").over("code", "rank").cast(pl.Int64) - 1)
    per_lane = streams.group_by("code", "lane").agg(seen=pl.len(), alike=pl.n_unique("n") == 1)
    ranks = streams.group_by("code").agg(ranks=pl.n_unique("rank"))
    even = (
        per_lane.join(ranks, on="code")
        .group_by("code")
        .agg(even=(pl.col("alike") & (pl.col("seen") == pl.col("ranks"))).all())
    )
    lanes = streams.join(even.filter("even"), on="code", how="semi").filter(pl.col("lane") > 0)
    if lanes.is_empty():
        return pl.zeros(len(collectives), dtype=pl.Int64, eager=True).alias("lane")
    told = collectives.select(*columns, "graph_node").join(
        lanes.select(*columns, "lane"), on=columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return told.select(lane=pl.when(pl.col("graph_node").is_null()).then("lane").fill_null(0)).to_series()


def _uneven(calls: pl.DataFrame) -> pl.DataFrame:
    """The (family, step) whose ranks differ in their number of calls."""
    per_rank = calls.group_by("family", "step", "rank").agg(n=pl.len(), members=pl.first("members"))
    per_step = per_rank.group_by("family", "step").agg(
        even=(pl.n_unique("n") == 1) & (pl.len() == pl.first("members")), present=pl.len()
    )
    return per_step.filter(~pl.col("even") & (pl.col("present") > 1)).select("family", "step")


def _resynchronised(calls: pl.DataFrame, where: pl.DataFrame) -> pl.DataFrame:
    """Number the calls of those (family, step) anew: by node, or by overlap with the rank that has most of them."""
    if where.is_empty():
        return calls
    by_node = _told_by_node(calls, where)
    slots = [calls.join(by_node, on=["family", "step"], how="semi").select("row", slot=_NODE)]
    rest = where.join(by_node, on=["family", "step"], how="anti")
    if not rest.is_empty():
        slots.append(_by_overlap(calls, rest))
    return (
        calls.join(pl.concat(slots), on="row", how="left", maintain_order="left")
        .with_columns(call=pl.coalesce("slot", "call"))
        .drop("slot")
    )


def _told_by_node(calls: pl.DataFrame, where: pl.DataFrame) -> pl.DataFrame:
    """Those (family, step) in which each rank has one replay, of a family whose ranks all have the same nodes."""
    families = calls.join(where, on="family", how="semi")
    nodes = families.group_by("family").agg(nodes=_NODE.n_unique(), all_known=pl.col("graph_node").is_not_null().all())
    alike = (
        families.group_by("family", "rank")
        .agg(own=_NODE.n_unique())
        .join(nodes, on="family")
        .group_by("family")
        .agg(alike=(pl.col("own") == pl.col("nodes")).all() & pl.col("all_known").all())
        .filter("alike")
    )
    replays = calls.join(where, on=["family", "step"], how="semi").group_by("family", "step", "rank")
    one = replays.agg(n=pl.n_unique("correlation")).group_by("family", "step").agg(most=pl.max("n"))
    return one.filter(pl.col("most") == 1).join(alike, on="family", how="semi").select("family", "step")


def _by_overlap(calls: pl.DataFrame, where: pl.DataFrame) -> pl.DataFrame:
    """row, slot: number of each call of those (family, step) by overlap with the rank that has most of them."""
    key = ["family", "step"]
    affected = calls.join(where, on=key, how="semi").sort(*key, "begin")
    counts = (
        affected.group_by(*key, "rank").agg(n=pl.len()).sort(*key, "n", "rank", descending=[False, False, True, False])
    )
    reference = counts.unique(key, keep="first", maintain_order=True).select(*key, "rank")
    theirs = affected.join(reference, on=[*key, "rank"], how="semi", maintain_order="left")
    slots = theirs.with_columns(slot=pl.int_range(pl.len(), dtype=pl.Int64).over(key))
    parts = [slots.select("row", "slot")]
    rest = affected.join(reference, on=[*key, "rank"], how="anti", maintain_order="left")
    # One family at a time, since its calls follow each other; steps follow each other too.
    for (family,), own in rest.partition_by("family", as_dict=True, maintain_order=True).items():
        target = slots.filter(pl.col("family") == family).sort("begin")
        parts += [_paired(part, target) for part in own.partition_by("rank", maintain_order=True)]
    return _with_leftovers(affected.join(pl.concat(parts), on="row"), key).select("row", "slot")


def _paired(own: pl.DataFrame, target: pl.DataFrame) -> pl.DataFrame:
    """row and slot of one rank's calls: the target call that each overlaps longest, null if none.

    Of two calls that claim one slot the longer overlap wins.
    """
    begins, ends = own["begin"].to_numpy(), own["end"].to_numpy()
    target_begins, target_ends = target["begin"].to_numpy(), target["end"].to_numpy()
    best = np.full(len(own), -1, dtype=np.int64)
    best_overlap = np.zeros(len(own), dtype=np.int64)
    first = np.searchsorted(target_ends, begins, side="right")
    for neighbour in range(_NEIGHBOURS):
        index = first + neighbour
        inside = index < len(target)
        candidate = np.minimum(index, len(target) - 1)
        overlap = np.minimum(ends, target_ends[candidate]) - np.maximum(begins, target_begins[candidate])
        better = inside & (overlap > best_overlap)
        best[better], best_overlap[better] = candidate[better], overlap[better]
    found = (
        own.select("row", "step")
        .with_columns(index=pl.Series(best), overlap=pl.Series(best_overlap))
        .with_columns(index=pl.when(pl.col("index") >= 0).then("index"))
    )
    places = target.select("slot", target_step="step").with_row_index("index").cast({"index": pl.Int64})
    found = found.join(places, on="index", how="left", maintain_order="left")
    wins = (pl.col("overlap") == pl.col("overlap").max().over("index")) & (pl.col("step") == pl.col("target_step"))
    first_winner = wins & (pl.col("row") == pl.col("row").filter(wins).min().over("index"))
    return found.select("row", slot=pl.when(first_winner).then("slot"))


def _with_leftovers(calls: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Number what overlaps no call of the reference rank: calls that overlap each other are one."""
    left = calls.filter(pl.col("slot").is_null()).sort(*key, "begin")
    if left.is_empty():
        return calls
    running_end = pl.col("end").cum_max().shift(1).over(key)
    cluster = ((pl.col("begin") >= running_end).fill_null(True)).cum_sum().cast(pl.Int64).over(key)
    # A rank that holds two calls of a cluster was not in one call twice.
    nth = pl.int_range(pl.len(), dtype=pl.Int64).over(*key, "rank", "_cluster")
    left = left.with_columns(_cluster=cluster).with_columns(_nth=nth)
    taken = calls.group_by(key).agg(taken=pl.max("slot").fill_null(-1))
    numbered = left.join(taken, on=key, how="left", maintain_order="left").with_columns(
        slot=pl.col("taken") + pl.struct("_cluster", "_nth").rank("dense").over(key).cast(pl.Int64)
    )
    return pl.concat([calls.filter(pl.col("slot").is_not_null()), numbered.select(calls.columns)])


def _judged(calls: pl.DataFrame, ranks: int) -> pl.DataFrame:
    """Add verdict, last, wait, wire and skew_free_wait to numbered calls."""
    group = ["family", "step", "call"]
    duration = pl.col("end") - pl.col("begin")
    calls = halves(calls).with_columns(
        _present=pl.n_unique("rank").over(group),
        _calls=pl.len().over(group),
        _last=pl.max("begin").over(group),
        _first_end=pl.min("end").over(group),
        _shortest=duration.min().over(group),
    )
    grouped = pl.col("group").is_not_null()
    alone = pl.lit(ranks == 1) | ((pl.col("members") == 1) & grouped)
    pairwise = (pl.col("cls") != WorkClass.P2P) | (pl.col("members") == 2)
    complete = (pl.col("_present") == pl.col("members")) & (pl.col("_calls") == pl.col("_present")) & pairwise
    verdict = (
        pl.when(alone)
        .then(pl.lit(Match.SINGLE))
        .when(~complete | ~grouped)
        .then(pl.lit(Match.UNMATCHED))
        # An all-reduce cannot end anywhere before it has begun everywhere.
        .when(pl.col("barrier") & (pl.col("_first_end") < pl.col("_last")))
        .then(pl.lit(Match.REJECTED))
        .when("partial")
        .then(pl.lit(Match.PARTIAL))
        .otherwise(pl.lit(Match.MATCHED))
    )
    # A send that has ended before its receiver came, a root that has given its data away: they waited for nobody.
    left_before = pl.col("end") < pl.col("_last")
    # Of an exchange's halves the first only sends; a message's send may wait for who takes it.
    only_sends = (pl.col("half") == SENDS) & (pl.col("cls") != WorkClass.P2P)
    last = pl.when(left_before | only_sends).then("begin").otherwise("_last")
    last = pl.coalesce(pl.when(pl.col("half") == RECEIVES).then(pl.max_horizontal("_sent", "begin")), last)
    last = pl.min_horizontal(last, pl.max_horizontal("end", "begin"))
    is_matched = pl.col("verdict") == Match.MATCHED
    calls = calls.with_columns(verdict=verdict).with_columns(last=pl.when(is_matched).then(last))
    waited, moved = cut_at_arrival(calls).lengths()
    free_of_clocks = pl.when(is_matched).then(duration - pl.col("_shortest"))
    return calls.with_columns(wait=waited, wire=moved, skew_free_wait=free_of_clocks).drop(
        "_present", "_calls", "_last", "_first_end", "_shortest", "_sent"
    )
