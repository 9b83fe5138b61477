"""Hosts that meet once a step, and queries that wait for nothing: frames whose answer is known on paper."""

from __future__ import annotations

import polars as pl
import pytest

from nsysan.replay.activity import _earlier, _early
from nsysan.replay.hosts_meet import hosts_meet, meetings, with_hosts_met
from nsysan.replay.os_waits import NOT_TRACED, OsWaits
from nsysan.replay.places import _asked_once
from nsysan.trace.calls import NOT_READY

STEPS = 10
SCHEMA = {
    "stretch": pl.Int64,
    "rank": pl.Int64,
    "thread": pl.Int64,
    "step": pl.Int64,
    "start": pl.Int64,
    "end": pl.Int64,
    "launch": pl.String,
    "waits": pl.Boolean,
    "asked": pl.UInt32,
    "correlation": pl.Int64,
    "in_graph": pl.Boolean,
    "place": pl.Int64,
    "of": pl.Int64,
    "reply": pl.Boolean,
    "population": pl.String,
}


def hosts(late: int, leaves: int) -> pl.DataFrame:
    """Two hosts that launch twice a step of 2 ms: rank 1 the second time ``late`` ns later than rank 0, and the first
    time of the next step ``leaves`` ns later.
    """
    rows = []
    for rank in (0, 1):
        for step in range(STEPS):
            first = 2_000_000 * step + (leaves if rank else 0)
            second = 2_000_000 * step + 100_000 + (late if rank else 0)
            for place, at in ((1, first), (2, second)):
                call = (
                    0,
                    rank,
                    rank,
                    step,
                    at,
                    at + 5_000,
                    "cudaLaunchKernel",
                    False,
                    1,
                    place,
                    False,
                    place,
                    step,
                    False,
                    None,
                )
                rows.append(call)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def met_of(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls with their meetings."""
    return with_hosts_met(calls, meetings(calls))


def test_who_comes_first_waits_for_the_last() -> None:
    found = met_of(hosts(late=1_500_000, leaves=20_000))
    met = found.drop_nulls("meeting").sort("rank", "start")
    # Each step but the first begins with one: from the end of its second launch to the first of the next.
    assert len(met) == 2 * (STEPS - 1)
    assert met.filter(rank=0)["start"].to_list() == [2_000_000 * step + 105_000 for step in range(STEPS - 1)]
    assert met.filter(rank=1)["end"].to_list() == [2_000_000 * step + 20_000 for step in range(1, STEPS)]
    (edges,) = hosts_meet(found.with_row_index("number"))
    assert len(edges[0]) == len(met)


@pytest.mark.parametrize(
    ("late", "leaves"),
    # They come together; leave apart; or the first leaves before the last has come.
    [(20_000, 20_000), (1_500_000, 900_000), (1_950_000, 60_000)],
)
def test_what_is_no_meeting(late: int, leaves: int) -> None:
    found = met_of(hosts(late, leaves))
    assert found["meeting"].null_count() == len(found) == 4 * STEPS
    assert hosts_meet(found.with_row_index("number")) == []


def test_hosts_that_are_seen_to_wait_come_when_the_wait_begins() -> None:
    # Both pause from the same moment on, and rank 1 works in that until the other has waited for 1,500 us.
    calls = hosts(late=0, leaves=20_000)
    assert meetings(calls).is_empty()
    spans = []
    for step in range(STEPS - 1):
        at = 2_000_000 * step
        spans += [(0, 0, at + 200_000, at + 1_980_000), (0, 1, at + 1_700_000, at + 1_990_000)]
    waits = OsWaits(
        pl.DataFrame(spans, schema=["stretch", "thread", "start", "end"], orient="row"),
        pl.DataFrame([(0, 0), (0, 1)], schema=["stretch", "thread"], orient="row"),
        NOT_TRACED.calls,
    )
    met = meetings(calls, waits)
    assert sorted(met.select("stretch", "thread", "paused", "left").rows()) == sorted(spans)


def queries(*runs: list[bool]) -> pl.DataFrame:
    """A launch before each run of queries, which tell whether work was done."""
    rows: list[tuple[object, ...]] = []
    for run in runs:
        at = 10 * len(rows)
        rows.append((0, 0, 0, 0, at, at + 5, "cudaLaunchKernel", False))
        for done in run:
            at = 10 * len(rows)
            rows.append((0, 0, 0, 0, at, at + 5, "cudaEventQuery" + ("" if done else NOT_READY), True))
    frame = pl.DataFrame(rows, schema=dict(list(SCHEMA.items())[:8]), orient="row")
    return frame.with_columns(asked=pl.lit(1, dtype=pl.UInt32), correlation=pl.int_range(pl.len()))


def test_a_query_that_finds_work_undone_and_goes_on_is_no_wait() -> None:
    asked = _asked_once(queries([False], [True], [False] * 20 + [True]))
    # One polls: what it found done it has not waited for; a long loop it has.
    assert asked.filter("waits").select("launch", "asked").rows() == [("cudaEventQuery", 21)]
    assert len(asked.filter(~pl.col("waits"))) == 3


def test_a_query_that_is_always_done_is_kept() -> None:
    asked = _asked_once(queries(*[[True]] * 5, [False, True]))
    assert asked.filter("waits")["asked"].to_list() == [1, 1, 1, 1, 1, 2]


def test_hosts_are_taken_on_the_clock_of_a_gpu_that_is_early() -> None:
    work = pl.DataFrame({"rank": [0, 0, 1], "begin": [100, 300, 500], "launch_start": [107, 250, 450]})
    early = _early(work)
    assert early == {0: 7}
    moved = _earlier(work, early, "launch_start")
    assert moved["launch_start"].to_list() == [100, 243, 450]
