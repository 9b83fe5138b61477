"""Where the hosts of all ranks meet in a step, as none of them is seen to wait there (inferred, METRICS section 7).

Schedulers of an engine hand requests on over the network's library of the CPUs (gloo), each step, and none goes on
before all have come. To what is traced of CUDA each works all the time.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.replay.links import Link, Part, part
from nsysan.replay.os_waits import NOT_TRACED, OsWaits
from nsysan.replay.unseen import launching

#: The name of the call that stands for such a wait.
MEETS = "hosts meet"
#: What a host pauses for no longer than this is no meeting, ns; nor where all come within so much of each other.
_PAUSE, _APART = 20_000, 50_000
#: So many of the pauses at a place no host leaves before all have come.
_MOST = 0.9
#: They leave so much closer together than they come. A place is one that most steps of a kind have, and no fewer.
_CLOSER, _OFTEN, _LEAST = 0.25, 0.8, 3
_LANE = ("stretch", "thread")
_MEETING = ("stretch", "step", "meeting")
_OF_PAUSE = ("stretch", "step", "population", "rank", "thread", "place")


def with_hosts_met(hosts: pl.DataFrame, met: pl.DataFrame) -> pl.DataFrame:
    """The calls of hosts with a wait in each pause in which they meet; meeting: a number for its place, null of others.

    hosts: as with_replies has them. met: their meetings.
    """
    hosts = hosts.with_columns(meeting=pl.lit(None, dtype=pl.Int64))
    if met.is_empty():
        return hosts
    last = int(hosts["place"].max() or 0)  # type: ignore[arg-type]
    added = met.with_columns(
        start="paused",
        end="left",
        launch=pl.lit(MEETS),
        waits=pl.lit(value=True),
        reply=pl.lit(value=True),
        asked=pl.lit(1, dtype=pl.UInt32),
        in_graph=pl.lit(value=False),
        place=pl.col("meeting") + last + 1,
    )
    added = added.select(
        pl.col(name).cast(kind) if name in added.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in hosts.schema.items()
    )
    return pl.concat([added, hosts]).sort(*_LANE, "start", "end", maintain_order=True)


def hosts_meet(hosts: pl.DataFrame) -> list[Part]:
    """Edges from where each host comes to a meeting to where each other one leaves it; hosts: numbered."""
    met = hosts.select(*_MEETING, "rank", "number").drop_nulls("meeting")
    pairs = met.join(met, on=list(_MEETING), suffix="_other").filter(pl.col("rank") != pl.col("rank_other"))
    source, target = (2 * pairs[name].to_numpy().astype(np.int64) for name in ("number", "number_other"))
    return [part(source, target + 1, Link.HOST)] if len(pairs) else []


def _pauses(hosts: pl.DataFrame, os_waits: OsWaits) -> pl.DataFrame:
    """stretch, step, population, rank, thread, place (of the call after it), after (that of the call before it),
    paused, left: when it began and ended. Of the thread of each rank that launches most.

    Where the hosts of all ranks are seen to wait in it, in most steps, it is their longest wait.
    """
    told = hosts.select(*_OF_PAUSE, "start", "end", "waits")
    calls = launching(told).with_columns(left="start", after=pl.col("place").shift(1).over(_LANE))
    calls = calls.drop_nulls(["step", "place"])
    pauses = calls.filter(pl.col("left") - pl.col("paused") >= _PAUSE)
    pauses = os_waits.within(pauses.select(*_OF_PAUSE, "after", "paused", start="left"))
    waits = pl.col("since").is_not_null()
    seen = pauses.group_by("place", "rank").agg(seen=waits.mean() >= _OFTEN)
    seen = seen.group_by("place").agg(pl.all("seen"), ranks=pl.len())
    seen = seen.select("place", pl.col("seen") & (pl.col("ranks") == pauses["rank"].n_unique()))
    pauses = pauses.join(seen, on="place", how="left", maintain_order="left").filter(~pl.col("seen") | waits)
    return pauses.select(
        *_OF_PAUSE,
        "after",
        paused=pl.when("seen").then("since").otherwise("paused"),
        left=pl.when("seen").then("until").otherwise("start"),
    )


def meetings(hosts: pl.DataFrame, os_waits: OsWaits = NOT_TRACED) -> pl.DataFrame:
    """The pauses of all ranks in which they meet, with meeting: a number for its place in their steps; hosts: as
    with_places has them.
    """
    pauses = _pauses(hosts, os_waits)
    ranks = pauses["rank"].n_unique()
    key = ("stretch", "step", "place")
    # Hosts that come from another call each are not known to come to one thing.
    beside = pauses.filter(pl.len().over(*key, "after") == ranks) if ranks > 1 else pauses.clear()
    steps = pauses.group_by("population").agg(steps=pl.struct("stretch", "step").n_unique())
    together = beside.group_by(key).agg(
        pl.first("population"),
        met=pl.max("paused") <= pl.min("left"),
        came=pl.max("paused") - pl.min("paused"),
        went=pl.max("left") - pl.min("left"),
    )
    # Steps of another kind have places of their own.
    places = together.group_by("place").agg(
        pl.first("population"), pl.mean("met"), pl.median("came", "went"), n=pl.len()
    )
    shown = places.join(steps, on="population", nulls_equal=True).filter(
        pl.col("n") >= pl.max_horizontal(pl.lit(_LEAST), _OFTEN * pl.col("steps")),
        pl.col("met") >= _MOST,
        pl.col("came") >= _APART,
        pl.col("went") <= _CLOSER * pl.col("came"),
    )
    # What some kinds of steps show is no habit of the hosts.
    of_kinds = steps.join(shown, on="population", how="semi", nulls_equal=True)
    if float(of_kinds["steps"].sum()) < _OFTEN * float(steps["steps"].sum()):
        shown = shown.clear()
    kept = together.filter("met").join(shown, on="place", how="semi")
    found = beside.join(kept, on=key, how="semi")
    return found.with_columns(meeting=pl.col("place").rank("dense").cast(pl.Int64))
