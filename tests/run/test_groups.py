"""Calls of different groups of ranks are never paired, and calls that may be left early accuse nobody."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.metrics.skew import caused_by_step
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.run import wider_groups
from tests.tracebuilder import TraceBuilder, decode_loop

#: The second replica runs so much later than the first, in ns: pairing the two would make the first wait.
APART = 3_000
STEPS = 6


def replicas(path: Path, *, payloads: bool) -> Path:
    """Two tensor-parallel groups of two ranks, each in lockstep with itself: nobody waits."""
    builder = TraceBuilder()
    for number, comm in enumerate((111, 222)):
        processes = decode_loop(
            builder,
            ranks=2,
            steps=STEPS,
            message_bytes=8192 if payloads else None,
            comm=comm,
            start_ns=1_000_000 + number * APART,
            first_pid=1000 * (number + 1),
        )
        if not payloads:
            for rank, process in enumerate(processes):
                process.comm_init(comm=comm, nranks=2, rank=rank, device=rank)
    return builder.write(path)


def report_of(path: Path) -> Report:
    return build_report(nsysan.analyze(nsysan.open_trace(path)), nsysan.__version__, timelines=False)


@pytest.mark.parametrize("payloads", [True, False])
def test_replicas_do_not_wait_for_each_other(tmp_path: Path, payloads: bool) -> None:
    run = nsysan.analyze(nsysan.open_trace(replicas(tmp_path / "dp.sqlite", payloads=payloads)))
    assert set(run.collectives["verdict"]) == {"matched"}
    assert set(run.collectives["members"]) == {2}
    assert run.collectives["wait"].sum() == 0


def test_one_call_without_payload_merges_no_groups(tmp_path: Path) -> None:
    path = replicas(tmp_path / "dp.sqlite", payloads=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE NVTX_EVENTS SET jsonText = NULL WHERE rowid = "
            "(SELECT max(rowid) FROM NVTX_EVENTS WHERE jsonText LIKE '%Message size%')"
        )
    run = nsysan.analyze(nsysan.open_trace(path))
    assert run.collectives["message_bytes"].null_count() == 1
    assert run.collectives.filter(pl.col("verdict") == "matched")["wait"].sum() == 0
    assert set(run.collectives["members"]) <= {1, 2}


def test_a_broadcast_that_its_root_leaves_early_silences_nothing(tmp_path: Path) -> None:
    builder = TraceBuilder()
    processes = decode_loop(builder, ranks=2, steps=10, layers=1, late={1: 20_000}, gap_ns=20_000)
    for rank, process in enumerate(processes):
        for step in range(10):
            # A step: 30 us of compute, 8 of wire, 20 of gap; the root is gone before the other comes.
            begin = 1_000_000 + step * 58_000 + 40_000 + 8_000 * rank
            process.kernel("ncclDevKernel_Broadcast_RING_LL", begin, begin + 1_000)
    report = report_of(builder.write(tmp_path / "broadcast.sqlite"))
    late = report.diagnosis.straggler
    assert late is not None
    assert (late.rank, late.cause, late.caused) == (1, "compute", 20_000)
    families = {family.kind: (family.matched, family.unmatched, family.rejected) for family in report.collectives}
    assert families["broadcast"][1:] == (0, 0)
    assert families["all_reduce"][1:] == (0, 0)


def test_time_for_which_two_collectives_wait_counts_once() -> None:
    # Rank 1 comes at 100 to two collectives at a time, 30 and 20 after the others, and at 200 to a third, 5 after.
    calls = pl.DataFrame({"step": [0, 0, 0], "rank": [1, 1, 1], "begin": [100, 100, 200], "caused": [30, 20, 5]})
    assert caused_by_step(calls)["caused"].to_list() == [35]


def test_shares_that_cannot_be_told_are_not_nought(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=1, steps=6, compute_ns=100_000, wire_ns=5_000)
    verdict = report_of(builder.write(tmp_path / "one.sqlite")).diagnosis.verdict
    assert verdict.shares["wire"] is None
    assert verdict.shares["skew"] is None
    assert "wire" not in verdict.reason
    assert "comm_unsplit 4.7 %" in verdict.reason


# ---- ranks that leave their calls together


def test_distances_of_all_ranks_at_once_are_those_of_each_two() -> None:
    chance = random.Random(1)
    for number in range(30):
        # All of one duration: of two ends as near as each other, either will do.
        own = [
            [(at, at + 20) for at in sorted(chance.sample(range(3_000), chance.choice((1, 2, 40))))]
            for _ in range(chance.choice((1, 2, 5)))
        ]
        own = [
            [(begin + offset, end + offset) for begin, end in calls]
            for calls, offset in zip(own, (0, 7, 2_500, 9_000, 3), strict=False)
        ]
        frame = pl.DataFrame(
            [(rank, *call) for rank, calls in enumerate(own) for call in calls],
            schema={"rank": pl.Int32, "begin": pl.Int64, "end": pl.Int64},
            orient="row",
        )
        times = [(calls[:, 0], calls[:, 1]) for calls in map(np.array, own)]
        apart = wider_groups.apart
        expected = [[0.0 if a is b else max(apart(a, b), apart(b, a)) for b in times] for a in times]
        assert wider_groups.distances(frame, range(len(own))).tolist() == expected, number


def test_of_many_ranks_fewer_calls_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set[int]()
    sampled = wider_groups._sampled

    def noted(own: pl.DataFrame, most: int) -> tuple[Any, Any]:
        asked.add(most)
        return sampled(own, most)

    monkeypatch.setattr(wider_groups, "_sampled", noted)
    for ranks in (8, 256, 600):
        calls = [(rank, 0, 10) for rank in range(ranks)]
        frame = pl.DataFrame(calls, schema=["rank", "begin", "end"], orient="row")
        assert not wider_groups.distances(frame, range(ranks)).any()
    assert asked == {2_000, 976, 250}
