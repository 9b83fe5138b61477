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

#: The name of the calls that stand for such a wait.
_WAIT = "host waits"
#: Waits of less, ns and of a step, are left as they are; so many of a rank are looked into.
_LEAST, _SHARE, _PLACES = 20_000, 0.03, 4
#: A place is one that most steps have, in most of which the wait ends after what it is for.
_OFTEN, _MOST = 0.8, 0.9
#: A wait's end varies so much less against what it is for than its length does, and that more than this, ns.
_CLOSER, _VARIES = 0.5, 100
_LANE, _STEP = ("stretch", "thread"), ("stretch", "step")
_EDGE = {"stretch": pl.Int64(), "thread": pl.Int64(), "start": pl.Int64(), "by": pl.Int64(), "at": pl.Int64()}


def with_seen_waits(hosts: pl.DataFrame, os_waits: OsWaits) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The calls of hosts with a wait in each pause that ends with what another host does; and stretch, thread, start of
    these waits, with by, at, ended: the thread of that one, when its call begins, and whether it is for the call's end.

    hosts: as with_hosts_met has them.
    """
    nothing = pl.DataFrame(schema={**_EDGE, "ended": pl.Boolean()})
    if os_waits.threads.is_empty() or hosts["rank"].n_unique() < 2:
        return hosts, nothing
    calls = launching(hosts)
    pauses = os_waits.within(calls.select(*_LANE, "rank", "step", "place", "paused", "start"))
    long = _long(pauses)
    edges = [nothing]
    for rank, place in long.select("rank", "place").iter_rows():
        own = pauses.filter(pl.col("rank") == rank, pl.col("place") == place).drop_nulls(["step", "until"])
        edges.append(_for_whom(own, calls.filter(pl.col("rank") != rank)).select(nothing.columns))
    found = pl.concat(edges)
    if found.is_empty():
        return hosts, nothing
    last = int(hosts["place"].max() or 0) + 1  # type: ignore[arg-type]
    added = pauses.join(found.select(*_LANE, paused="start"), on=[*_LANE, "paused"], how="semi").with_columns(
        start="paused",
        end="until",
        launch=pl.lit(_WAIT),
        waits=pl.lit(value=True),
        reply=pl.lit(value=True),
        asked=pl.lit(1, dtype=pl.UInt32),
        in_graph=pl.lit(value=False),
        place=pl.col("place") + last,
    )
    added = added.select(
        pl.col(name).cast(kind) if name in added.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in hosts.schema.items()
    )
    return pl.concat([added, hosts]).sort(*_LANE, "start", "end", maintain_order=True), found


def seen_waits(hosts: pl.DataFrame, edges: pl.DataFrame) -> list[Part]:
    """Edges from what the other hosts do to the ends of these waits; hosts: numbered; edges: as with_seen_waits has."""
    if edges.is_empty():
        return []
    waits = hosts.filter(pl.col("launch") == _WAIT, "reply").select(*_LANE, "start", "number")
    calls = hosts.filter(~pl.col("reply")).select("stretch", by="thread", at="start", source="number")
    joined = edges.join(waits, on=[*_LANE, "start"]).join(
        calls.unique(["stretch", "by", "at"]), on=["stretch", "by", "at"]
    )
    source = 2 * joined["source"].to_numpy().astype("int64") + joined["ended"].to_numpy().astype("int64")
    return [part(source, 2 * joined["number"].to_numpy().astype("int64") + 1, Link.HOST)]


def all_told(calls: pl.DataFrame, os_waits: OsWaits) -> bool:
    """Whether the hosts of all ranks are traced, and none waits long for what is not told; calls: with all waits."""
    own = launching(calls)
    pauses = os_waits.within(own.select(*_LANE, "rank", "paused", "start"))
    lasted = own.group_by("rank", "stretch").agg(ns=pl.max("end") - pl.min("start"))
    shares = pauses.group_by("rank").agg(pl.sum("os_wait"), traced=pl.col("os_wait").is_not_null().all())
    shares = shares.join(lasted.group_by("rank").agg(pl.sum("ns")), on="rank")
    return bool(shares.select((pl.col("traced") & (pl.col("os_wait") < _SHARE * pl.col("ns"))).all()).item())


def _long(pauses: pl.DataFrame) -> pl.DataFrame:
    """rank, place, usual: the longest of those that take a share of the rank's steps, in most of them."""
    told = pauses.drop_nulls(["step", "place", "os_wait"])
    lasted = told.group_by("rank", "stretch").agg(ns=pl.max("start") - pl.min("start"), n=pl.n_unique("step"))
    steps = lasted.group_by("rank").agg(each=pl.sum("ns") / pl.sum("n"), steps=pl.sum("n"))
    places = told.group_by("rank", "place").agg(usual=pl.median("os_wait"), times=pl.len()).join(steps, on="rank")
    kept = places.filter(
        pl.col("times") >= _OFTEN * pl.col("steps"),
        pl.col("usual") >= pl.max_horizontal(pl.lit(_LEAST), _SHARE * pl.col("each")),
    )
    kept = kept.sort("rank", "usual", "place", descending=[False, True, False])
    return kept.group_by("rank", maintain_order=True).head(_PLACES)


def _for_whom(waits: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """What the waits of one place of a host are for: the columns that with_seen_waits tells; none where none shows.

    others: the calls of the other hosts.
    """
    events = others.filter(~pl.col("reply")).drop_nulls(["step", "place"])
    keys = events.select(*_STEP, "rank", "place", by="thread", at="start", ends="end")
    events = pl.concat(
        [
            keys.with_columns(told="at", ended=pl.lit(value=False)),
            keys.with_columns(told="ends", ended=pl.lit(value=True)),
        ]
    )
    varies = waits.select(spread(pl.col("os_wait"))).item()
    own = waits.select(*_LANE, "step", "until", start="paused")
    which = ["rank", "place", "ended", "before"]
    beside = pl.concat(
        own.join(events.with_columns(pl.col("step") + before, before=pl.lit(before)), on=list(_STEP))
        for before in (0, 1)
    ).with_columns(apart=pl.col("until") - pl.col("told"))
    shown = beside.group_by(which).agg(
        ns=spread(pl.col("apart")), after=(pl.col("apart") >= 0).mean(), times=pl.len(), usual=pl.median("apart")
    )
    shown = shown.filter(
        pl.col("times") >= _OFTEN * len(own), pl.col("after") >= _MOST, pl.col("ns") <= _CLOSER * (varies or 0)
    )
    best = shown.sort("ns", "usual", *which).head(1 if (varies or 0) > _VARIES else 0)
    return beside.join(best, on=which, how="semi").filter(pl.col("apart") >= 0)
