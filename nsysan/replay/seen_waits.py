"""What a host that is seen to wait, in a call into the operating system, waits for: another host (inferred).

That it waits is in the trace, for whom is not. What a wait is for shows as the end of the wait keeps its distance from
it in every step, while the wait is as long as it has to be (METRICS section 7).
"""

from __future__ import annotations

import polars as pl

from nsysan.replay.alongside import spread
from nsysan.replay.links import Link, Part, part
from nsysan.replay.os_waits import OsWaits
from nsysan.replay.unseen import launching

#: The names of the calls that stand for such a wait, and for what the other host does until then.
_WAIT, TELLS = "host waits", "host tells"
#: Waits of less, ns and of a step, are left as they are; so many of a rank are looked into, and of all.
_LEAST, _SHARE, _PLACES, _IN_ALL = 20_000, 0.03, 4, 64
#: A place is one that most steps have, in most of which the wait ends after what it is for.
_OFTEN, _MOST = 0.8, 0.9
#: A wait's end varies so much less against what it is for than its length does, and that more than this, ns.
_CLOSER, _VARIES = 0.25, 100
#: The other waits for less of it.
_HALF = 0.5
#: So many calls of a name into the operating system are told apart in a pause.
_OF_A_NAME = 8
_LANE, _STEP = ("stretch", "thread"), ("stretch", "step")
#: Of what a wait is for: the thread that does it; when its call to CUDA begins, or the pause before it; which it is:
#: that begin, the call's end, or in the pause a call into the operating system; and when.
_TO = {"by": pl.Int64(), "at": pl.Int64(), "sort": pl.Int64(), "told": pl.Int64()}
_BEGINS, _ENDS, _TOLD = range(3)


def with_seen_waits(hosts: pl.DataFrame, os_waits: OsWaits) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The calls of hosts with a wait in each pause that ends with what another host does, and one for what that does
    in a pause until then; and stretch, thread, start of the waits, with the columns _TO.

    hosts: as with_hosts_met has them; with `worked`, what a host works before it waits there (ns), null of other calls.
    """
    hosts = hosts.with_columns(worked=pl.lit(None, pl.Int64))
    nothing = pl.DataFrame(schema={**dict.fromkeys((*_LANE, "start"), pl.Int64()), **_TO})
    if os_waits.threads.is_empty() or hosts["rank"].n_unique() < 2:
        return hosts, nothing
    calls = launching(hosts)
    pauses = os_waits.within(calls.select(*_LANE, "rank", "step", "population", "place", "paused", "start"))
    events = _events(calls, pauses, os_waits)
    edges = [nothing]
    for rank, place in _long(pauses).select("rank", "place").iter_rows():
        own = pauses.filter(pl.col("rank") == rank, pl.col("place") == place).drop_nulls(["step", "until"])
        whom = _for_whom(own, events.filter(pl.col("rank") != rank))
        edges.append(
            (whom if _works(whom, os_waits) else whom.clear()).select(nothing.columns).cast(pl.Schema(nothing.schema))
        )
    waits = pl.concat(edges)
    # Whoever waits in a pause tells nobody in it; nor does it tell twice.
    waiting = waits.select("stretch", by="thread", at="start")
    of_pause = waits.filter(pl.col("sort") == _TOLD).join(waiting, on=["stretch", "by", "at"], how="anti")
    of_pause = of_pause.filter(pl.col("told") == pl.col("told").min().over("stretch", "by", "at"))
    waits = pl.concat([waits.filter(pl.col("sort") != _TOLD), of_pause])
    if waits.is_empty():
        return hosts, nothing
    return _with(hosts, pauses, waits), waits


def seen_waits(hosts: pl.DataFrame, waits: pl.DataFrame) -> list[Part]:
    """Edges from what the other hosts do to the ends of these waits; hosts: numbered; waits: as with_seen_waits has."""
    if waits.is_empty():
        return []
    one = ["stretch", "by", "at"]
    named = hosts.select(*_LANE, "start", "launch", "reply", number=pl.col("number").cast(pl.Int64))
    target = named.filter(pl.col("launch") == _WAIT, "reply").drop("launch", "reply")
    joined = waits.join(target, on=[*_LANE, "start"])
    parts = []
    for sorts, source in (
        ((_BEGINS, _ENDS), named.filter(~pl.col("reply"))),
        ((_TOLD,), named.filter(pl.col("launch") == TELLS, "reply")),
    ):
        told = source.select("stretch", by="thread", at="start", source="number").unique(one)
        found = joined.filter(pl.col("sort").is_in(sorts)).join(told, on=one)
        begun = 2 * found["source"].to_numpy() + (found["sort"] != _BEGINS).to_numpy()
        parts.append(part(begun, 2 * found["number"].to_numpy() + 1, Link.HOST))
    return parts


def _with(hosts: pl.DataFrame, pauses: pl.DataFrame, waits: pl.DataFrame) -> pl.DataFrame:
    """The calls with the waits, and with what is done in pauses until they are over."""
    pause, kept = [*_LANE, "paused"], [*_LANE, "rank", "step", "place", "paused"]
    waiting = pauses.join(waits.select(*_LANE, paused="start").unique(), on=pause, how="semi")
    worked = (pl.col("since") - pl.col("paused")).alias("worked")
    told = waits.filter(pl.col("sort") == _TOLD).select("stretch", "told", thread="by", paused="at").unique(pause)
    telling = pauses.join(told, on=pause)
    added = pl.concat(
        [
            waiting.select(*kept, worked, end="until", launch=pl.lit(_WAIT)),
            telling.select(*kept, pl.lit(None, pl.Int64).alias("worked"), end="told", launch=pl.lit(TELLS)),
        ]
    )
    # What is before such a moment is alike on the ranks that have it in the same pause, and on few of them none's.
    ranks = hosts["rank"].n_unique()
    alike = pl.col("rank").n_unique().over("place") >= max(2, ranks / 2)
    last = int(hosts["place"].max() or 0) + 1  # type: ignore[arg-type]
    added = added.with_columns(
        start="paused",
        waits=pl.lit(value=True),
        reply=pl.lit(value=True),
        asked=pl.lit(1, dtype=pl.UInt32),
        in_graph=pl.lit(value=False),
        place=pl.when(alike).then(pl.col("place") + last),
    )
    added = added.select(
        pl.col(name).cast(kind) if name in added.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in hosts.schema.items()
    )
    return pl.concat([added, hosts]).sort(*_LANE, "start", "end", maintain_order=True)


def _events(calls: pl.DataFrame, pauses: pl.DataFrame, os_waits: OsWaits) -> pl.DataFrame:
    """What hosts do that may be waited for: stretch, step, rank, place, name, nth, and the columns _TO."""
    own = calls.filter(~pl.col("reply")).drop_nulls(["step", "place"])
    own = own.select(*_STEP, "rank", "place", "end", by="thread", at="start", name=pl.lit(""), nth=pl.lit(0))
    begins = own.with_columns(told="at", sort=pl.lit(_BEGINS))
    ends = own.with_columns(told="end", sort=pl.lit(_ENDS))
    gaps = pauses.drop_nulls(["step", "place", "paused"]).sort("start")
    made = os_waits.calls.rename({"start": "told"}).sort("told")
    made = made.join_asof(
        gaps.select(*_LANE, "rank", "step", "place", at="paused", told="start"),
        on="told",
        by=list(_LANE),
        strategy="forward",
        check_sortedness=False,
    )
    made = made.filter(pl.col("told") >= pl.col("at")).rename({"thread": "by"})
    made = made.with_columns(sort=pl.lit(_TOLD), nth=pl.int_range(pl.len()).over("stretch", "by", "at", "name"))
    columns = [*_STEP, "rank", "place", "name", "nth", *_TO]
    parts = (begins, ends, made.filter(pl.col("nth") < _OF_A_NAME))
    return pl.concat([one.select(columns) for one in parts], how="vertical_relaxed")


def all_told(calls: pl.DataFrame, os_waits: OsWaits) -> bool:
    """Whether the hosts of all ranks are traced, and none waits long for what is not told; calls: with all waits."""
    own = launching(calls)
    pauses = os_waits.within(own.select(*_LANE, "rank", "paused", "start"))
    lasted = own.group_by("rank", "stretch").agg(ns=pl.max("end") - pl.min("start"))
    shares = pauses.group_by("rank").agg(pl.sum("os_wait"), traced=pl.col("os_wait").is_not_null().all())
    shares = shares.join(lasted.group_by("rank").agg(pl.sum("ns")), on="rank")
    return bool(shares.select((pl.col("traced") & (pl.col("os_wait") < _SHARE * pl.col("ns"))).all()).item())


def _long(pauses: pl.DataFrame) -> pl.DataFrame:
    """rank, place, usual: the longest of those that take a share of the rank's steps, in most of them of its kind."""
    told = pauses.drop_nulls(["step", "place", "os_wait"])
    lasted = told.group_by("rank", "stretch").agg(ns=pl.max("start") - pl.min("start"), n=pl.n_unique("step"))
    each = lasted.group_by("rank").agg(each=pl.sum("ns") / pl.sum("n"))
    of = ["rank", "population"]
    steps = told.group_by(of).agg(steps=pl.struct("stretch", "step").n_unique())
    places = told.group_by(*of, "place").agg(usual=pl.median("os_wait"), times=pl.len())
    kept = (
        places.join(each, on="rank")
        .join(steps, on=of, nulls_equal=True)
        .filter(
            pl.col("times") >= _OFTEN * pl.col("steps"),
            pl.col("usual") >= pl.max_horizontal(pl.lit(_LEAST), _SHARE * pl.col("each")),
        )
    )
    kept = kept.sort("usual", "rank", "place", descending=[True, False, False])
    return kept.group_by("rank", maintain_order=True).head(_PLACES).head(_IN_ALL)


def _works(waits: pl.DataFrame, os_waits: OsWaits) -> bool:
    """Whether the other host works while it is waited for: both may wait for a third, and end alike."""
    meanwhile = waits.select("stretch", pl.col("os_wait").alias("own"), thread="by", paused="start", start="until")
    found = os_waits.within(meanwhile.sort(*_LANE, "start"))
    works = pl.col("os_wait") < _HALF * pl.col("own")
    return bool(found.select(works.fill_null(value=False).mean() >= _MOST).item()) if len(found) else False


def _for_whom(waits: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """What the waits of one place of a host are for: the columns that with_seen_waits tells; none where none shows.

    events: of the other hosts.
    """
    varies = waits.select(spread(pl.col("os_wait"))).item() or 0
    own = waits.select(*_LANE, "step", "os_wait", "until", start="paused")
    which = ["rank", "place", "sort", "name", "nth", "before"]
    steps = (events.with_columns(pl.col("step") + before, before=pl.lit(before)) for before in (0, 1))
    beside = pl.concat(own.join(one, on=list(_STEP)) for one in steps)
    beside = beside.with_columns(apart=pl.col("until") - pl.col("told"))
    shown = beside.group_by(which).agg(
        ns=spread(pl.col("apart")), after=(pl.col("apart") >= 0).mean(), times=pl.len(), usual=pl.median("apart")
    )
    shown = shown.filter(
        pl.col("times") >= _OFTEN * len(own), pl.col("after") >= _MOST, pl.col("ns") <= _CLOSER * varies
    )
    best = shown.sort("ns", "usual", *which).head(1 if varies > _VARIES else 0)
    return beside.join(best, on=which, how="semi").filter(pl.col("apart") >= 0)
