"""What hosts do between their CUDA calls, by what they call of the operating system."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.os_told import held_by, host_of, os_traced, pacing_host, said_of_host, waits_untold
from nsysan.replay.os_waits import NOT_TRACED, OsWaits, waiting
from nsysan.replay.pace import replay
from nsysan.replay.results import HostTime, Pace
from nsysan.trace.os_calls import were_asked_for
from tests.oscalls import PERIOD, os_calls_trace

SPANS = ["stretch", "thread", "start", "end"]


def pace_of(path: Path) -> Pace:
    pace = replay(nsysan.analyze(nsysan.open_trace(path)))
    assert pace is not None
    return pace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return os_calls_trace(tmp_path_factory.mktemp("os") / "t.sqlite")


def test_a_step_of_a_host_is_told_to_the_ns(trace: Path) -> None:
    pace = pace_of(trace)
    assert pace.period.median == PERIOD
    # Of rank 1 no call is there, and nothing is told.
    assert pace.hosts == [HostTime(0, 8_000, 19_000, 8_000, 3_000, 8_000, "pthread_cond_wait")]
    assert said_of_host(pace, 0) == [
        "of a step its host works for 19.0 µs, is in CUDA calls for 8.0 µs, waits for 8.0 µs, sleeps for 3.0 µs "
        "(mostly in pthread_cond_wait), by its calls into the operating system"
    ]
    assert (host_of(pace, 1), said_of_host(pace, 1), host_of(None, 0)) == (None, [], None)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM OSRT_API WHERE globalTid & 0xFFFFFF <> 77",
        *(f"ALTER TABLE OSRT_API DROP COLUMN {column}" for column in ("start", "end", "globalTid", "nameId")),
        # Names that are not in the export, and times that cannot be.
        "UPDATE OSRT_API SET nameId = 1234567",
        "UPDATE OSRT_API SET end = start - 1",
        f"UPDATE OSRT_API SET start = {-(1 << 63)}, end = {(1 << 63) - 1}",
        "DELETE FROM OSRT_API",
        "DROP TABLE OSRT_API",
    ],
)
def test_what_cannot_be_told_is_not(trace: Path, tmp_path: Path, statement: str) -> None:
    path = tmp_path / "t.sqlite"
    path.write_bytes(trace.read_bytes())
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(statement)
    pace = pace_of(path)
    assert (pace.hosts, pace.period.median) == ([], PERIOD)


def spans(*calls: tuple[int, int, str], cuda: Sequence[int] = ()) -> Sequence[tuple[int, int]]:
    frame = pl.DataFrame(calls, schema={"start": pl.Int64, "end": pl.Int64, "waits": pl.String}, orient="row")
    return waiting(frame.with_columns(name="waits"), np.array(cuda, dtype=np.int64)).rows()


def test_who_yields_again_and_again_waits() -> None:
    on_end = [(1_000 * n, 1_000 * n + 500, "yields") for n in range(3)]
    assert spans(*on_end) == [(0, 2_500)]
    # Twice is chance, and so are times that are far apart, or with a call of CUDA between them.
    assert spans(*on_end[:2]) == []
    assert spans(*((2_000_000 * n, 2_000_000 * n + 500, "yields") for n in range(3))) == []
    assert spans(*on_end, cuda=[700]) == []
    assert spans((0, 10, "for_others"), (20, 30, "sleeps")) == [(0, 10)]


def test_what_a_host_waits_for_is_asked_where_it_waits_long() -> None:
    host = HostTime(1, 100_000, 800_000, 100_000, 0, 100_000, "recv")
    assert waits_untold(host) == (
        "the host of rank 1 waits for 100.0 µs of a step between its CUDA calls (mostly in recv), and nothing tells "
        "for what"
    )
    assert waits_untold(HostTime(1, 100_000, 800_000, 100_000, 0, 99_999, "recv")) == ""


def test_what_holds_a_late_host_is_what_to_take_out() -> None:
    usual = HostTime(0, 100_000, 400_000, 20_000, 30_000, 20_000, "poll")
    late = replace(usual, rank=1, sleeps=130_000, call="clock_nanosleep")
    assert held_by([usual, late], 1, 200_000).startswith(
        "take the sleep out of the thread that launches on rank 1: it sleeps for 130.0 µs of a step (mostly in "
    )
    # The others sleep as well; and a rank of which nothing is traced.
    assert held_by([usual, late], 1, 200_001) == held_by([usual, late], 2, 1) == held_by([usual, late], 0, 1) == ""
    waits = replace(usual, rank=1, waits=400_000, untold=400_000, call="read")
    assert held_by([usual, waits], 1, 300_000).startswith("find out what the thread that launches on rank 1 waits for")


def test_the_host_that_paces_is_the_one_that_most_of_the_path_is_on(trace: Path) -> None:
    pace = pace_of(trace)
    assert pacing_host(pace, {("host", 0): 60, ("host", 1): 40, ("compute", 1): 900}) is pace.hosts[0]
    assert pacing_host(pace, {("host", 0): 40, ("host", 1): 60}) is None
    assert pacing_host(pace, {("compute", 0): 100}) is None


def test_to_capture_again_is_advised_where_it_tells_more(trace: Path) -> None:
    run = nsysan.analyze(nsysan.open_trace(trace))
    assert os_traced(run, pace_of(trace))
    assert not os_traced(run, None)
    assert were_asked_for([("CAPTURE_EVENT_TYPE", "Cuda"), ("CAPTURE_EVENT_TYPE", "OSRuntime")])
    assert not were_asked_for([("CAPTURE_EVENT_TYPE", "Cuda"), ("OS_RUNTIME_OPTIONS:DURATION_THRESHOLD_NS", "1000")])


def test_waits_within_gaps() -> None:
    spans = [(60, 70), (100, 300), (150, 200), (700, 950)]
    waits = OsWaits(
        pl.DataFrame([(0, 1, *span) for span in spans], schema=SPANS, orient="row"),
        pl.DataFrame([(0, 1)], schema=SPANS[:2], orient="row"),
        NOT_TRACED.calls,
    )
    rows = [(0, 1, None, 40), (0, 1, 50, 400), (0, 1, 400, 500), (0, 1, 750, 900), (0, 2, 50, 400)]
    gaps = pl.DataFrame(rows, schema=[*SPANS[:2], "paused", "start"], orient="row")
    found = waits.within(gaps).select("os_wait", "since", "until").rows()
    # Nothing is before the first call; and of the last thread nothing is traced.
    assert found == [(0, None, None), (210, 100, 300), (0, None, None), (150, 750, 900), (None, None, None)]
    # In one gap of three it waits for little.
    ranks = gaps.with_columns(rank="thread")
    assert (waits.works(ranks), waits.works(ranks[2:3])) == ([], [1])
    assert NOT_TRACED.within(gaps).select("os_wait", "since", "until").null_count().row(0) == (5, 5, 5)
