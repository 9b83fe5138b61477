"""The same operation, and the same call of a host, of a step on every rank: its place (METRICS section 7)."""

from __future__ import annotations

import polars as pl

from nsysan.columns.codes import codes, occurrences
from nsysan.columns.rows import filled, taken
from nsysan.trace.calls import NOT_READY

_HOME = ("stretch", "rank", "home")
#: Hosts that go on in so many of their runs of queries though the work is not done look after it by the way.
_POLLS = 0.1
#: So many of their queries on end ask after one thing until it is done.
_LOOP = 8


def with_places(work: pl.DataFrame, waits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The operations with `place` and `home`, the step they are of or come after; and the calls of the hosts: stretch,
    rank, thread, step, start, end, launch (name), waits, asked (how many queries it is), correlation, place; of, the
    step of what it launches, null of waits and of what is of no step.

    A place is how many matched collectives of the step the host had launched, the name, and how many of that name it
    had launched since; of a call, the same of the first that it launched. The order is that of launching, which is one
    on all ranks whatever the streams do. What is launched between two steps comes after the first. Steps share
    places by population, where there are several.
    """
    rank = ("stretch", "rank")
    given = (pl.coalesce("launch_start", "begin"), "correlation", "graph_node", "begin")
    ordered = work.sort(*rank, *given, maintain_order=True).with_columns(
        home=pl.col("step").forward_fill().over(rank), population=pl.col("population").forward_fill().over(rank)
    )
    ordered = _by_home(ordered)
    coded = {name: _number(ordered[name]) for name in ("population", "name")}
    ordered = ordered.with_columns(
        segment=pl.col("call").is_not_null().cast(pl.Int64).cum_sum().over(_HOME),
        name=pl.col("name").cast(pl.String),
        launch=pl.col("launch").cast(pl.String),
    )
    ordered = ordered.with_columns(_place(ordered.with_columns(**coded), ("population", "segment", "name")))
    launches = (
        ordered.drop_nulls("launch_start")
        .group_by("stretch", "thread", "launch_start", maintain_order=True)
        .agg(
            pl.first("rank", "home", "step", "population", "segment", "launch", "launch_end", "name", "correlation"),
            in_graph=pl.first("graph_node").is_not_null(),
        )
        .rename({"launch_start": "start", "launch_end": "end", "step": "of", "home": "step"})
        .with_columns(waits=pl.lit(value=False), asked=pl.lit(1, dtype=pl.UInt32))
    )
    asks = waits.rename({"name": "launch"}).with_columns(
        waits=pl.lit(value=True),
        step=pl.lit(None, dtype=pl.Int64),
        of=pl.lit(None, dtype=pl.Int64),
        population=pl.lit(None, dtype=pl.String),
        segment=pl.lit(None, dtype=pl.Int64),
        name=pl.lit(None, dtype=pl.String),
        in_graph=pl.lit(value=False),
        asked=pl.lit(1, dtype=pl.UInt32),
    )
    calls = pl.concat([launches, asks.select(launches.columns)]).sort("stretch", "thread", "start", "end")
    lane = ("stretch", "thread")
    # A driver's call inside a runtime's is part of it.
    nested = pl.col("waits") & (pl.col("end") <= pl.col("end").cum_max().shift(1).over(lane)).fill_null(value=False)
    calls = _asked_once(calls.filter(~nested)).with_columns(
        pl.col("step", "population", "segment").forward_fill().over(lane)
    )
    numbers = calls.with_columns(
        pl.col("waits").cast(pl.Int64),
        launch=_number(calls["launch"]),
        name=_number(calls["name"]),
        population=_number(calls["population"]),
    )
    numbers = numbers.with_columns(home="step")
    return ordered, calls.with_columns(_place(numbers, ("population", "segment", "launch", "name", "waits")))


def _by_home(ordered: pl.DataFrame) -> pl.DataFrame:
    """Work that is ordered by stretch, rank and launch by its home before that: mostly it is."""
    stretch, rank, home = (filled(ordered[name], -1).to_numpy() for name in _HOME)
    falls = (home[1:] < home[:-1]) & (rank[1:] == rank[:-1]) & (stretch[1:] == stretch[:-1])
    return ordered.sort(_HOME, maintain_order=True) if falls.any() else ordered


def _asked_once(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls with each run of queries as one: from the first to the end of the last, which tells what it asked.

    A host that goes on though it was told that the work is not done waits for nothing: such runs are left out, and
    where that is often so all but long ones that ended with work that was done.
    """
    lane = ("stretch", "thread")
    query = pl.col("waits") & pl.col("launch").str.contains("Query")
    if not calls.select(query.any()).item():
        return calls
    goes_on = (query & query.shift(1)).fill_null(value=False).over(lane)
    numbered = calls.with_columns(
        run=(~goes_on).cum_sum().over(lane),
        unready=pl.col("launch").str.ends_with(NOT_READY),
        launch=pl.col("launch").str.strip_suffix(NOT_READY),
    )
    once = (*lane, "end", "correlation", "asked")
    merged = numbered.group_by(*lane, "run", maintain_order=True).agg(
        *(pl.first(name) for name in calls.columns if name not in once),
        pl.last("end", "correlation"),
        pl.sum("asked"),
        goes_on=pl.last("unready"),
        loops=~pl.last("unready") & (pl.len() >= _LOOP),
    )
    # All ranks run one program: what one shows holds for all.
    polls = pl.col("goes_on").filter(query).mean().fill_null(0.0) >= _POLLS
    gone = query & (pl.col("goes_on") | polls & ~pl.col("loops"))
    return merged.filter(~gone.fill_null(value=False)).select(calls.columns)


def _number(texts: pl.Series) -> pl.Series:
    """Texts by number, in their order, 0 where there is none."""
    which, distinct = codes([texts if texts.dtype == pl.Categorical else texts.cast(pl.Categorical)])
    number = distinct.to_series().cast(pl.String).rank("dense").cast(pl.Int64).fill_null(0)
    return taken(number, pl.Series(which))


def _place(rows: pl.DataFrame, key: tuple[str, ...]) -> pl.Series:
    """A number for the key, all of numbers, and how many rows of its home have had it; null before all steps."""
    alike, _ = codes([rows[name] for name in (*_HOME, *key)])
    told = rows.select("home", *key, nth=pl.Series(occurrences(alike)))
    place = pl.lit(0, dtype=pl.Int64)
    for name in (*key, "nth"):
        place = place * (pl.col(name).max() + 1) + pl.col(name)
    return told.select(place=pl.when(pl.col("home").is_not_null()).then(place)).to_series()
