"""Who is late and why: planted causes are named, chance is not, and lateness splits exactly."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsysan
from nsysan.metrics.skew import PARTS, arrivals, caused_by_step, late_calls
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop


def analyzed_trace(builder: TraceBuilder, path: Path) -> Run:
    return nsysan.analyze(nsysan.open_trace(builder.write(path)))


def costs(run: Run) -> dict[int, set[int]]:
    """What each rank causes in the steady steps."""
    caused = caused_by_step(arrivals(run.collectives)).filter(pl.col("step").is_in(run.steady_steps))
    return {rank: set(ns) for rank, ns in caused.group_by("rank").agg("caused").sort("rank").iter_rows()}


# ---- on paper


def test_calls_are_numbered_over_all_families() -> None:
    # Two steps, two ranks: an all-gather (family 1) between two all-reduces, which begins another step.
    begins = [(0, 0, 0, 10), (1, 0, 0, 20), (0, 0, 1, 30), (1, 1, 0, 110), (0, 1, 0, 120)]
    rows = [
        (number * 2 + rank, rank, family, step, call, begin + rank, begin + 5)
        for number, (family, step, call, begin) in enumerate(begins)
        for rank in range(2)
    ]
    calls = pl.DataFrame(rows, schema=["row", "rank", "family", "step", "call", "begin", "end"], orient="row")
    arrived = arrivals(calls.with_columns(verdict=pl.lit("matched")).sample(fraction=1, shuffle=True, seed=3))
    told = arrived.sort("row").select("family", "step", "call", "number").unique(maintain_order=True).rows()
    assert told == [(0, 0, 0, 0), (1, 0, 0, 1), (0, 0, 1, 2), (1, 1, 0, 0), (0, 1, 0, 1)]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_rank_that_computes_longer(tmp_path: Path, ranks: int, graph: bool) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=ranks, steps=8, layers=3, late={1: 3_000}, graph=graph)
    run = analyzed_trace(builder, tmp_path / "trace.sqlite")
    arrived = arrivals(run.collectives)
    assert arrived.filter(pl.col("rank") == 1).select("lateness", "caused", "position").unique().rows() == [
        (3_000, 3_000, ranks)
    ]
    assert arrived.filter(pl.col("rank") != 1).select("lateness", "caused").unique().rows() == [(0, 0)]
    assert costs(run) == {rank: {9_000 if rank == 1 else 0} for rank in range(ranks)}
    # The first collective of all has none before it.
    parts = late_calls(arrived, run.work).drop_nulls("previous").select(PARTS).unique().to_dicts()
    assert parts == [dict.fromkeys(PARTS, 0) | {"compute": 3_000}]


def test_only_the_distance_to_the_second_last_is_caused(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=8, layers=2, late={1: 5_000, 3: 3_000})
    run = analyzed_trace(builder, tmp_path / "trace.sqlite")
    assert costs(run) == {0: {0}, 1: {2 * 2_000}, 2: {0}, 3: {0}}
    # Against the median of the other three, of which two are in time.
    late = late_calls(arrivals(run.collectives), run.work).drop_nulls("previous")
    assert late["compute"].unique().to_list() == [5_000]


def held_up(path: Path, cause: str) -> Run:
    """Three ranks compute to 10 us, reduce to 24 us, compute 8 us and reduce to 45 us; a step is 60 us.

    Rank 1 comes 6 us later to the first collective, by `cause`, or leaves it 6 us later (previous).
    """
    builder = TraceBuilder()
    for rank in range(3):
        process = builder.process(100 + rank, device=rank)
        late = rank == 1
        for step in range(8):
            at = 1_000_000 + 60_000 * step
            process.nvtx(f"decode_step_{step}", at - 60_000, at - 21_000)
            launch = at - 59_000
            longer = 6_000 if late and cause == "compute" else 0
            process.kernel(COMPUTE_KERNEL, at, at + 10_000 + longer, launch=launch)
            if late and cause == "copy":
                process.memcpy(at + 10_000, at + 16_000, launch=launch + 3_000)
            arrival = at + (16_000 if late and cause != "previous" else 10_000)
            # Left late by one rank, as if its part of the transfer took longer.
            left = at + (30_000 if late and cause == "previous" else 24_000)
            process.kernel(ALLREDUCE_KERNEL, arrival, left, launch=launch + 6_000)
            process.kernel(COMPUTE_KERNEL, left, left + 8_000, launch=launch + 9_000)
            process.kernel(ALLREDUCE_KERNEL, left + 8_000, at + 45_000, launch=launch + 12_000)
    return analyzed_trace(builder, path)


@pytest.mark.parametrize("cause", ["compute", "host", "copy", "previous"])
def test_every_cause_is_named(tmp_path: Path, cause: str) -> None:
    run = held_up(tmp_path / "trace.sqlite", cause)
    assert costs(run)[1] == {6_000}
    late = late_calls(arrivals(run.collectives), run.work).filter(
        (pl.col("caused") > 0) & pl.col("step").is_in(run.steady_steps)
    )
    assert late["rank"].unique().to_list() == [1]
    assert late.select(PARTS).unique().to_dicts() == [dict.fromkeys(PARTS, 0) | {cause: 6_000}]


def test_nobody_is_late_where_there_is_one_rank(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=1)
    run = analyzed_trace(builder, tmp_path / "trace.sqlite")
    assert arrivals(run.collectives).is_empty()
    assert late_calls(arrivals(run.collectives), run.work).is_empty()


def test_the_longest_communication_time_is_not_lateness(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=8, late={0: 4_000, 1: 4_000, 2: 4_000})
    run = analyzed_trace(builder, tmp_path / "trace.sqlite")
    most = run.ledger.group_by("rank").agg(pl.sum("comm_ns")).sort("comm_ns")["rank"][-1]
    assert most == 3
    # Three are late alike: none alone makes the others wait.
    assert arrivals(run.collectives)["caused"].unique().to_list() == [0]


# ---- lateness splits exactly

_CLASSES = ("compute", "copy", "collective", "fused", "opaque")


@st.composite
def calls_and_work(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Matched calls of one or two families, and any work between and around them, before time zero too."""
    ranks, families = draw(st.integers(2, 4)), draw(st.integers(1, 2))
    rows: list[tuple[int, ...]] = []
    work: list[tuple[int, int, str, int, int]] = []
    for family in range(families):
        done = draw(st.integers(-200, 0))
        for call in range(draw(st.integers(1, 5))):
            begins = [done + draw(st.integers(0, 60)) for _ in range(ranks)]
            done = max(begins) + draw(st.integers(0, 20))
            for rank, begin in enumerate(begins):
                end = done + draw(st.integers(0, 5))
                rows.append((len(rows), rank, family, 0, call, begin, end))
                work.append((len(work), rank, "collective", begin, end))
    operation = st.tuples(
        st.integers(0, ranks - 1), st.sampled_from(_CLASSES), st.integers(-250, 300), st.integers(0, 80)
    )
    for rank, cls, begin, length in draw(st.lists(operation, max_size=25)):
        work.append((len(work), rank, cls, begin, begin + length))
    calls = pl.DataFrame(rows, schema=["row", "rank", "family", "step", "call", "begin", "end"], orient="row")
    table = pl.DataFrame(work, schema=["row", "rank", "cls", "begin", "end"], orient="row")
    return calls.with_columns(verdict=pl.lit("matched")), table


def counted(now: range, own: list[tuple[str, int, int]]) -> dict[str, int]:
    """Time by cause, one nanosecond after the other."""
    of = {"collective": "communication", "fused": "communication", "opaque": "graph"}
    order = ("compute", "copy", "communication", "graph")
    spent = dict.fromkeys((*order, "host"), 0)
    for at in now:
        active = {of.get(cls, cls) for cls, begin, end in own if begin <= at < end}
        spent[next((cause for cause in order if cause in active), "host")] += 1
    return spent


@settings(deadline=None)
@given(calls_and_work())
def test_lateness_is_the_sum_of_its_parts(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    calls, work = frames
    late = late_calls(arrivals(calls), work)
    assert len(late) == calls.n_unique(["family", "call"])
    assert (late["lateness"] >= late["caused"]).all()
    assert (late["caused"] >= 0).all()
    rest = late.drop_nulls("previous")
    # The first call of a family has none before it on any rank.
    assert len(rest) == len(late) - calls["family"].n_unique()
    assert rest["lateness"].to_list() == rest.select(pl.sum_horizontal(PARTS)).to_series().to_list()


@settings(deadline=None, max_examples=50)
@given(calls_and_work())
def test_parts_are_what_a_count_gives(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    calls, work = frames
    arrived = arrivals(calls)
    for row in late_calls(arrived, work).drop_nulls("previous").iter_rows(named=True):
        here = arrived.filter((pl.col("family") == row["family"]) & (pl.col("call") == row["call"]))
        sorted_ranks = here.sort("position")["rank"].to_list()
        assert row["rank"] == sorted_ranks[-1]
        spent = []
        for rank in (row["rank"], sorted_ranks[len(sorted_ranks) // 2 - 1]):
            own = arrived.filter((pl.col("family") == row["family"]) & (pl.col("rank") == rank)).sort("begin", "row")
            at = own["row"].to_list().index(here.filter(pl.col("rank") == rank)["row"][0])
            begin = own["begin"][at]
            previous = min(own["end"][at - 1], begin)
            # A call's own family is not counted against it: its own kernels are what the time is measured between.
            names = own["begin", "end"].rows()
            others = [
                (cls, b, e)
                for cls, b, e in work.filter(pl.col("rank") == rank).select("cls", "begin", "end").iter_rows()
                if not (cls == "collective" and (b, e) in names)
            ]
            spent.append(counted(range(previous, begin), others) | {"previous": previous})
        assert {part: row[part] for part in PARTS} == {part: spent[0][part] - spent[1][part] for part in PARTS}
