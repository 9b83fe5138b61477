"""Ranks of one report whose calls always end later than those beside them: a clock that is off, or a tree's order."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.report.build import build_report
from nsysan.run.run import Run
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

STEPS = 24
LATE = 3_000


def run_of(path: Path, *, ranks: int = 4, ahead: int = 0, leaves: int = 0, queued: int = 0) -> Run:
    """Ranks in one report, an all-reduce a step of 8 us, at which rank 1 comes 3 us late.

    ahead: ns by which the times of the last rank's GPU are late. leaves: ns by which it leaves each call later.
    queued: ns by which its launch calls come sooner.
    """
    builder = TraceBuilder()
    for rank in range(ranks):
        last = rank == ranks - 1
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=5, nranks=ranks, rank=rank, device=rank)
        for step in range(STEPS):
            at = 1_000_000 + 100_000 * step
            arrival = at + 20_000 + (LATE if rank == 1 else 0)
            gpu, call = (ahead if last else 0), at - (queued if last else 0)
            process.nvtx(f"decode_step_{step}", call - 30_000, call - 1_000)
            process.kernel(COMPUTE_KERNEL, at + gpu, arrival + gpu, launch=call - 10_000)
            end = at + 31_000 + (leaves if last else 0)
            process.kernel(ALLREDUCE_KERNEL, arrival + gpu, end + gpu, launch=call - 7_000)
    return nsysan.analyze(builder.write(path))


def waits(run: Run) -> list[int]:
    return run.collectives.filter(pl.col("step") == 3).sort("rank")["wait"].to_list()


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("ahead", [6_000, -5_000, 20_000])
def test_an_offset_that_launches_show_too_is_the_clocks(tmp_path: Path, ahead: int, ranks: int) -> None:
    plain = run_of(tmp_path / "plain.sqlite", ranks=ranks)
    run = run_of(tmp_path / "off.sqlite", ranks=ranks, ahead=ahead)
    assert plain.rank_clocks.taken_out == plain.rank_clocks.left == {}
    assert (run.rank_clocks.taken_out, run.rank_clocks.left) == ({ranks - 1: ahead}, {})
    assert run.ledger.equals(plain.ledger)
    assert waits(run) == waits(plain) == [0 if rank == 1 else LATE for rank in range(ranks)]
    report = build_report(run, "0", timelines=False)
    (row,) = (row for row in report.quality if row.id == "rank_clocks")
    assert row.status == "estimated"
    assert f"rank {ranks - 1} {ahead / 1e3:+.1f} µs" in row.reason
    document_of(report)


def test_an_offset_without_which_calls_are_impossible_is_the_clocks(tmp_path: Path) -> None:
    plain = run_of(tmp_path / "plain.sqlite")
    # Its launches come as much sooner, so that they do not show it; each call lasts 11 us.
    run = run_of(tmp_path / "off.sqlite", ahead=-15_000, queued=15_000)
    assert (run.rank_clocks.taken_out, run.rank_clocks.refuted) == ({3: -15_000}, frozenset({3}))
    assert run.ledger.equals(plain.ledger)
    assert waits(run) == waits(plain)
    (row,) = (row for row in build_report(run, "0", timelines=False).quality if row.id == "rank_clocks")
    assert row.status == "estimated"
    assert "end on one rank before they begin on another" in row.reason
    near = run_of(tmp_path / "near.sqlite", ahead=-6_000, queued=6_000)
    assert (near.rank_clocks.taken_out, near.rank_clocks.left) == ({}, {3: -6_000})


def test_a_rank_that_leaves_last_is_no_clock(tmp_path: Path) -> None:
    run = run_of(tmp_path / "tree.sqlite", leaves=2_000)
    assert (run.rank_clocks.taken_out, run.rank_clocks.left) == ({}, {3: 2_000})
    assert waits(run) == [LATE, 0, LATE, LATE]
    (row,) = (row for row in build_report(run, "0", timelines=False).quality if row.id == "rank_clocks")
    assert "left in" in row.reason
    assert "rank 3 +2.0 µs" in row.reason


def test_launches_that_come_sooner_are_no_clock(tmp_path: Path) -> None:
    run = run_of(tmp_path / "queued.sqlite", queued=6_000)
    assert run.rank_clocks.taken_out == run.rank_clocks.left == {}
