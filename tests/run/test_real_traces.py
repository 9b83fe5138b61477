"""Real runs on H200: the ledger closes, and the figures are those of a program that shares nothing with this one."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import polars as pl
import pytest

from nsysan.metrics.causes import LateCause
from nsysan.metrics.scenarios import Scenario
from nsysan.model.classes import WorkClass
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.run.run import Run
from nsysan.text import duration
from tests.conftest import REAL_TRACES
from tests.documents import document_of

Analyze = Callable[[str], Run]
LINES = ("compute", "wait", "fused", "wire", "comm_unsplit", "copy", "graph", "idle")
#: Decode steps, of which the first is start-up.
STEPS = dict.fromkeys(REAL_TRACES, 12) | dict.fromkeys(REAL_TRACES[6:11], 24) | {"tp4_fused": 16}
SEVERAL_RANKS = [name for name in REAL_TRACES if not name.startswith("rank_")]


def by_rank(run: Run, figure: str) -> list[float]:
    """Median over the steady steps in ms, rank by rank."""
    steady = run.ledger.filter("steady").group_by("rank").agg(pl.median(f"{figure}_ns") / 1e6).sort("rank")
    return steady[f"{figure}_ns"].to_list()


def over_ranks(run: Run, figure: str, digits: int) -> float:
    return round(median(by_rank(run, figure)), digits)


@pytest.mark.parametrize("name", REAL_TRACES)
def test_every_nanosecond_of_every_step_is_in_one_line(analyzed: Analyze, name: str) -> None:
    ledger = analyzed(name).ledger
    total = sum(ledger[f"{line}_ns"].fill_null(0) for line in LINES)
    assert (ledger["period_ns"] - total).abs().sum() == 0
    assert min(ns for line in LINES for ns in ledger[f"{line}_ns"].drop_nulls().to_list()) == 0
    assert len(ledger) == len(analyzed(name).ranks) * STEPS[name]


@pytest.mark.parametrize("name", REAL_TRACES)
def test_steps_tile_time(analyzed: Analyze, name: str) -> None:
    for _, windows in analyzed(name).windows.sort("begin").group_by("rank"):
        assert windows["finish"][:-1].to_list() == windows["begin"][1:].to_list()
        assert windows["step"].to_list() == list(range(len(windows)))


@pytest.mark.parametrize("name", REAL_TRACES)
def test_the_first_step_alone_is_left_out(analyzed: Analyze, name: str) -> None:
    excluded = analyzed(name).windows.filter(pl.col("excluded").is_not_null())
    assert excluded["step"].unique().to_list() == [0]
    assert excluded["excluded"].unique().to_list() == ["start-up: first of the capture"]


@pytest.mark.parametrize("name", REAL_TRACES)
def test_a_stream_never_overlaps_itself(analyzed: Analyze, name: str) -> None:
    for _, stream in analyzed(name).work.sort("begin", "end").group_by("process", "device", "context", "stream"):
        assert ((stream["begin"][1:] - stream["end"][:-1]) >= 0).all()


@pytest.mark.parametrize("name", SEVERAL_RANKS)
def test_wait_and_wire_of_a_matched_collective_are_its_residency(analyzed: Analyze, name: str) -> None:
    calls = analyzed(name).collectives
    assert calls["verdict"].unique().to_list() == ["matched"]
    assert (calls["wait"] + calls["wire"]).to_list() == (calls["end"] - calls["begin"]).to_list()
    assert calls["wait"].min() == 0
    assert min(calls["wire"]) >= 0


@pytest.mark.parametrize("name", SEVERAL_RANKS)
def test_no_matched_collective_ends_before_it_has_begun_everywhere(analyzed: Analyze, name: str) -> None:
    run = analyzed(name)
    calls = run.collectives.group_by("step", "name", "call").agg(
        pl.n_unique("rank"), pl.len(), pl.max("begin"), pl.min("end"), pl.min("last"), latest=pl.max("last")
    )
    assert calls["rank"].unique().to_list() == calls["len"].unique().to_list() == [len(run.ranks)]
    assert (calls["end"] >= calls["begin"]).all()
    assert calls["last"].to_list() == calls["latest"].to_list() == calls["begin"].to_list()


def test_tp4_graph_node(analyzed: Analyze) -> None:
    run = analyzed("tp4_graph_node")
    assert [(r.rank, r.source) for r in run.ranks] == [(rank, "NCCL CommInit") for rank in range(4)]
    assert over_ranks(run, "period", 2) == 1.80
    assert over_ranks(run, "compute", 2) == 1.30
    assert over_ranks(run, "comm", 2) == 0.31
    assert over_ranks(run, "wire", 3) == 0.285
    assert over_ranks(run, "wait", 2) == 0.02
    assert over_ranks(run, "idle", 2) == 0.19


def test_tp4_graph_node_bytes_of_replayed_calls(analyzed: Analyze) -> None:
    run = analyzed("tp4_graph_node")
    assert run.collectives["graph_node"].null_count() == 0
    assert run.collectives["message_bytes"].to_list() == [8192] * (4 * 12 * 32)
    # The warm-up outside the steps ran the same layers, eagerly and in one replay.
    outside = run.work.filter((pl.col("cls") == WorkClass.COLLECTIVE) & pl.col("step").is_null())
    calls = outside.filter(pl.col("message_bytes") == 8192)
    assert calls["graph_node"].is_null().any()
    assert calls["graph_node"].is_not_null().any()


def test_tp4_eager(analyzed: Analyze) -> None:
    run = analyzed("tp4_eager")
    assert round(by_rank(run, "idle")[0], 1) == 16.6
    assert by_rank(run, "wait")[0] == 0
    assert [round(ms, 1) for ms in by_rank(run, "period")[1:]] == [18.2] * 3
    assert [round(ms, 1) for ms in by_rank(run, "wait")[1:]] == [16.3] * 3
    assert [round(ms, 2) for ms in by_rank(run, "wire")] == [0.28] * 4
    assert [round(ms, 2) for ms in by_rank(run, "compute")[1:]] == [1.28] * 3
    assert run.collectives["message_bytes"].unique().to_list() == [8192]


def test_tp4_slow(analyzed: Analyze) -> None:
    run = analyzed("tp4_slow")
    waits = by_rank(run, "wait")
    assert [round(waits[rank], 2) for rank in (0, 1, 3)] == [2.95] * 3
    assert round(waits[2], 2) == 0
    assert [round(ms, 2) for ms in by_rank(run, "period")] == [4.74] * 4
    assert [round(ms, 2) for ms in by_rank(run, "wire")] == [0.30] * 4


def test_tp2_graph(analyzed: Analyze) -> None:
    run = analyzed("tp2_graph")
    assert len(run.ranks) == 2
    assert over_ranks(run, "period", 2) == 2.25
    assert [round(ms, 3) for ms in by_rank(run, "wire")] == [0.197] * 2


def test_tp4_symm(analyzed: Analyze) -> None:
    run = analyzed("tp4_symm")
    assert run.collectives["name"].unique().to_list() == ["one_shot_all_reduce_kernel"]
    assert run.ledger["collectives"].unique().to_list() == [32]
    assert over_ranks(run, "wire", 2) == 0.23
    assert min(by_rank(run, "copy")) > 0


def test_tp4_fused(analyzed: Analyze) -> None:
    run = analyzed("tp4_fused")
    assert run.collectives["cls"].unique().to_list() == ["fused"]
    assert run.ledger["collectives"].unique().to_list() == [16]
    assert over_ranks(run, "period", 3) == 0.545
    assert over_ranks(run, "compute", 2) == 0.44
    assert over_ranks(run, "wait", 2) == 0.01
    assert over_ranks(run, "fused", 2) == 0.08
    assert over_ranks(run, "idle", 3) == 0.015
    assert run.ledger["overlap_ns"].unique().to_list() == [0]
    assert run.ledger["wire_ns"].unique().to_list() == [0]
    trimmed = run.ledger["pdl_trimmed_ns"].to_list()
    assert min(trimmed) >= 16 * 60
    assert max(trimmed) <= 16 * 640


def test_tp4_graph_graph_says_nothing_of_what_is_inside_a_replay(analyzed: Analyze) -> None:
    run = analyzed("tp4_graph_graph")
    hidden = [f"{line}_ns" for line in (*LINES, "comm", "overlap") if line not in ("graph", "idle")]
    assert run.ledger.select(pl.col(hidden).is_null().all()).row(0) == (True,) * 8
    assert run.traces[0].graph_mode == "graph"
    ledger = run.ledger.filter("steady")
    assert (ledger["graph_ns"] + ledger["idle_ns"]).to_list() == ledger["period_ns"].to_list()
    assert (ledger["idle_ns"] < 0.01 * ledger["period_ns"]).all()
    assert run.collectives.is_empty()


@pytest.mark.parametrize("rank", range(4))
def test_one_rank_alone_cannot_tell_waiting_from_transfer(analyzed: Analyze, rank: int) -> None:
    run = analyzed(f"rank_{rank}")
    assert [(r.rank, r.source) for r in run.ranks] == [(rank, "NCCL CommInit")]
    assert run.ledger.select(pl.col("wait_ns", "wire_ns").is_null().all()).row(0) == (True, True)
    assert run.ledger["comm_unsplit_ns"].to_list() == run.ledger["comm_ns"].to_list()
    assert over_ranks(run, "comm_unsplit", 2) in (0.30, 0.31)
    assert over_ranks(run, "period", 2) == 1.80
    assert over_ranks(run, "compute", 2) in (1.30, 1.31)
    assert run.collectives["verdict"].unique().to_list() == ["single"]
    assert run.collectives["message_bytes"].unique().to_list() == [8192]


def test_first_step_of_four_sessions_agrees_by_utc(analyzed: Analyze) -> None:
    begins = []
    for rank in range(4):
        run = analyzed(f"rank_{rank}")
        utc = run.traces[0].session_start_utc_ns
        assert utc is not None
        begins.append(utc + run.windows["begin"][0])
    assert max(begins) - min(begins) <= 25_000


# ---- who is late

MERGED = "rank_0 rank_1 rank_2 rank_3"
#: Rank, cause, and what it costs the others a step in us; planted, or measured by the program that shares nothing.
LATE = {
    "tp4_slow": (2, "compute", 2_950, 0.02),
    "tp4_slow3": (3, "compute", 960, 0.05),
    "tp4_late1": (1, "host", 700, 0.05),
    "tp2_slow0": (0, "compute", 640, 0.05),
    "tp2_late1": (1, "host", 400, 0.05),
}
BALANCED = ("tp4_graph_node", "tp2_graph", "tp4_symm", "tp4_fused", "tp4_overlap", MERGED)


def status(report: Report, aspect: str) -> str:
    (row,) = [row for row in report.quality if row.id == aspect]
    return row.status


def test_that_nobody_can_be_told_late_is_not_that_nobody_is(reported: Callable[[str], Report]) -> None:
    for name, late, told in (("tp4_graph_graph", None, "not_measurable"), ("tp4_graph_node", [], "ok")):
        assert document_of(reported(name))["late"] == late
        assert status(reported(name), "straggler") == told


@pytest.mark.parametrize("name", LATE)
def test_the_late_rank_its_cause_and_its_cost(reported: Callable[[str], Report], name: str) -> None:
    rank, cause, cost, tolerance = LATE[name]
    late = reported(name).diagnosis.straggler
    assert late is not None
    assert (late.rank, late.cause) == (rank, cause)
    assert late.caused == pytest.approx(1_000 * cost, rel=tolerance)
    # The cause explains nearly all of it, and the parts have no room for another.
    assert late.parts[LateCause(cause)] == pytest.approx(late.caused, rel=0.05)
    assert status(reported(name), "straggler") == "ok"


def test_the_hosts_of_tp4_eager_pace_it_one_after_the_other(reported: Callable[[str], Report]) -> None:
    # By itself rank 0's host needs 18.1 ms a step, rank 2's 10.5, rank 1's 8 to 15, rank 3's 8.3; these run ahead until
    # 1021 launches wait, which is no work of theirs.
    diagnosis = reported("tp4_eager").diagnosis
    assert diagnosis.pace is not None
    assert diagnosis.what_if is not None
    late, what = diagnosis.straggler, diagnosis.what_if
    assert late is not None
    assert (late.rank, late.cause) == (0, "host")
    assert late.caused == pytest.approx(7_706_000, rel=0.02)
    assert what.saves(Scenario.NO_SKEW) == pytest.approx(8_927_000, rel=0.02)
    assert [(one.ranks, one.cause) for one in diagnosis.pace.late] == [
        ((0, 1, 2), "host"),
        ((0,), "host"),
        ((2,), "host"),
        ((1,), "host"),
    ]
    assert status(reported("tp4_eager"), "straggler") == "estimated"


@pytest.mark.parametrize("name", LATE)
def test_without_the_late_rank_a_step_saves_what_it_costs(reported: Callable[[str], Report], name: str) -> None:
    what = reported(name).diagnosis.what_if
    assert what is not None
    assert what.saves(Scenario.NO_SKEW) == pytest.approx(1_000 * LATE[name][2], rel=LATE[name][3])


@pytest.mark.parametrize("name", BALANCED)
def test_balanced_runs_name_nobody(reported: Callable[[str], Report], name: str) -> None:
    report = reported(name)
    assert report.diagnosis.straggler is None
    assert report.diagnosis.verdict.kind == "compute"
    assert status(report, "straggler") == "ok"
    assert status(report, "wait_wire") == "ok"


def test_tp4_overlap_hides_its_communication(analyzed: Analyze) -> None:
    ledger = analyzed("tp4_overlap").ledger.filter("steady")
    assert (ledger["overlap_ns"] > 0.8 * ledger["comm_ns"]).all()


def test_the_graph_of_tp4_overlap_is_ordered_by_when_its_nodes_start(reported: Callable[[str], Report]) -> None:
    # Its 33 streams take turns; without that order all but 11 us of a step could be at once.
    diagnosis = reported("tp4_overlap").diagnosis
    assert diagnosis.what_if is not None
    assert diagnosis.pace is not None
    saved = diagnosis.what_if.saves(Scenario.NO_HOST_LATE)
    assert saved is not None
    assert 0 <= saved < 0.03 * diagnosis.pace.period.median
    assert diagnosis.pace.inferred
    assert any("inferred" in why for why in diagnosis.verdict.because)


@pytest.mark.parametrize("name", [*LATE, *BALANCED])
def test_the_summary_begins_with_verdict_late_rank_and_savings(reported: Callable[[str], Report], name: str) -> None:
    report = reported(name)
    verdict, do, sure, late, savings = to_text(report).splitlines()[:5]
    assert verdict.startswith(f"verdict   {report.diagnosis.verdict.kind}: ")
    assert do == f"do next   {report.next_step.told}"
    assert sure.startswith(f"how sure  {report.diagnosis.verdict.sure}, because ")
    if name in LATE:
        rank, cause, _, _ = LATE[name]
        assert late.startswith(f"late      rank {rank} put right saves ")
        assert f"; cause {cause} (" in late
    else:
        assert late.startswith("late      nobody: ")
    what = report.diagnosis.what_if
    assert what is not None
    assert savings.startswith(f"savings   {duration(what.period)} a step now; ")
    saved = what.saves(Scenario.NO_SKEW)
    assert saved is not None
    # A balanced run loses a few per cent at most to ranks that are late in turn.
    lost = saved / what.period
    assert lost > 0.1 if name in LATE else lost < 0.025
    assert ("without skew " in savings) == (lost >= 0.01)


@pytest.mark.parametrize(("name", "late_us"), [("tp4_late1", 700), ("tp2_late1", 400)])
def test_a_host_that_is_late_between_steps_is_what_could_be_saved(
    reported: Callable[[str], Report], name: str, late_us: int
) -> None:
    what = reported(name).diagnosis.what_if
    assert what is not None
    saved = what.saves(Scenario.NO_HOST_LATE)
    assert saved is not None
    # What is planted, and the few us that every host takes between two tokens.
    assert 0.95 * late_us <= saved / 1e3 <= 1.1 * late_us
