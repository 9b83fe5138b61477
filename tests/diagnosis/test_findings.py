"""Findings: each drawn by what it is about, on paper or on a real trace, and by nothing else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import nsysan
from nsysan.diagnosis.diagnose import diagnose
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.findings import (
    Finding,
    Severity,
    custom_all_reduce_limit,
    custom_speeds,
    find,
    ordered,
    wrong_wire,
)
from nsysan.diagnosis.findings.all_hosts import hosts_pace
from nsysan.diagnosis.findings.case import Case
from nsysan.diagnosis.findings.custom_speeds import custom_speed, load_speeds
from nsysan.diagnosis.findings.fixes import Fix, fixes_of, load_fixes
from nsysan.diagnosis.findings.kinds import SavingIs
from nsysan.diagnosis.findings.launching import LaunchingFinding
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.causes import LateCause
from nsysan.metrics.link import Link, Reference
from nsysan.metrics.scenarios import Scenario
from nsysan.model.gpu_links import LinkKind
from nsysan.page.sections import findings as findings_of
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.run.run import Run
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop

Real = Callable[[str], dict[str, Finding]]
HIGH, MEDIUM, LOW = Severity


@pytest.fixture(scope="session")
def real(analyzed: Callable[[str], Run], reported: Callable[[str], Report]) -> Real:
    """What is found in a real trace by its name."""
    return cache(lambda name: found_in(analyzed(name), diagnosis=reported(name).diagnosis))


def found_in(run: Run, link: Link | None = None, diagnosis: Diagnosis | None = None) -> dict[str, Finding]:
    findings = find(run, diagnosis or diagnose(run), None, link)
    by_id: dict[str, Finding] = {finding.id: finding for finding in findings}
    assert len(by_id) == len(findings), "a finding twice"
    return by_id


def built(builder: TraceBuilder, path: Path) -> Run:
    return nsysan.analyze(nsysan.open_trace(builder.write(path)))


# ---- real traces


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tp4_graph_node",
            {"graph_gaps": MEDIUM, "nccl_for_small": LOW, "no_overlap": LOW, "idle_outside": LOW},
        ),
        ("tp4_eager", {"graphs_off": HIGH, "nccl_for_small": LOW, "lost_events": LOW}),
        ("tp4_slow", {"straggler": HIGH, "lost_events": LOW}),
        (
            "tp4_late1",
            {"late_host": HIGH, "graph_gaps": LOW, "nccl_for_small": LOW, "no_overlap": LOW, "idle_outside": LOW},
        ),
        ("tp4_overlap", {"graph_gaps": MEDIUM, "nccl_for_small": LOW, "idle_outside": LOW}),
        ("tp4_symm", {"graph_gaps": LOW, "no_overlap": LOW, "lost_events": LOW}),
        ("tp4_fused", {"idle_outside": LOW}),
        ("tp2_graph", {"graph_gaps": LOW, "lost_events": LOW}),
        ("tp4_graph_graph", {"graph_level_trace": HIGH, "idle_outside": LOW}),
        ("rank_2", {"missing_ranks": HIGH, "graph_gaps": LOW, "idle_outside": LOW}),
        (
            "rank_0 rank_1 rank_2",
            {"missing_ranks": HIGH, "graph_gaps": MEDIUM, "idle_outside": LOW},
        ),
    ],
)
def test_findings_of_real_traces(real: Real, name: str, expected: dict[str, str]) -> None:
    assert {finding.id: finding.severity for finding in real(name).values()} == expected


def test_savings_are_those_of_the_what_if(real: Real, reported: Callable[[str], Report]) -> None:
    for name, finding in (("tp4_slow", "straggler"), ("tp4_late1", "late_host")):
        (late,) = reported(name).diagnosis.late
        assert real(name)[finding].saving == late.saves > 0
    assert real("tp4_slow")["straggler"].ranks == [2]
    assert real("tp4_late1")["late_host"].ranks == [1]


def test_what_would_keep_events_is_said_with_the_verdict(real: Real, reported: Callable[[str], Report]) -> None:
    verdict = reported("tp4_slow").diagnosis.verdict
    assert verdict.because[0] == "nsys warns that events may be missing"
    assert verdict.surer == real("tp4_slow")["lost_events"].fix
    # Where something else is the first doubt, that is what to settle.
    assert reported("tp4_eager").diagnosis.verdict.surer.startswith("time a step without nsys")


def test_most_severe_first_then_what_saves_most(real: Real) -> None:
    for name, within in (("tp4_eager", 18_210), ("tp4_graph_node", 1_799), ("tp4_late1", 2_495)):
        found = list(real(name).values())
        assert [f.severity.place for f in found] == sorted(f.severity.place for f in found)
        # Savings that differ by less than a twentieth of the step are alike.
        for one, other in pairwise(found):
            if one.severity == other.severity and other.saving is not None and other.is_reachable:
                assert one.saving is not None
                assert one.saving >= other.saving - 50 * within


def test_what_is_saved_for_sure_comes_before_what_nobody_knows() -> None:
    def made(name: LaunchingFinding, saving: int | None) -> Finding:
        return Finding(name, MEDIUM, "", "", "", saving)

    unknown, less = made(LaunchingFinding.GRAPH_GAPS, None), made(LaunchingFinding.HOST_STALL, 60_000)
    more, alike = made(LaunchingFinding.GRAPHS_OFF, 190_000), made(LaunchingFinding.PIECEWISE_GRAPHS, 160_000)
    # Of a step of 1,000 us: 19 and 16 % are alike, and stay as they are drawn.
    assert ordered([unknown, less, alike, more], 1_000_000) == [alike, more, less, unknown]


# ---- on paper


@pytest.mark.parametrize(
    ("message_bytes", "wire_ns", "wide"),
    [
        (8_192, 8_000, True),
        (65_536, 8_000, True),
        (65_537, 8_000, False),
        (None, 8_000, False),
        # 2 x 4 us of a step of 58 us.
        (8_192, 4_000, False),
    ],
)
def test_wide_is_small_messages_at_their_floor(
    tmp_path: Path, message_bytes: int | None, wire_ns: int, wide: bool
) -> None:
    builder = TraceBuilder()
    compute_ns = 10_000 if wire_ns == 8_000 else 24_000
    decode_loop(builder, steps=6, message_bytes=message_bytes, wire_ns=wire_ns, compute_ns=compute_ns)
    finding = found_in(built(builder, tmp_path / "t.sqlite")).get("tp_too_wide")
    assert (finding is not None) == wide
    if finding is not None:
        assert finding.figures["wire_ns"] == 16_000
        assert finding.figures["wire_p50_ns"] == finding.figures["floor_ns"] == 8_000
        assert "TP=2" in finding.fix


@pytest.mark.parametrize(("reduce_ns", "wide"), [(8_000, False), (12_000, True)])
def test_what_experts_exchange_makes_no_tensor_group_wide(tmp_path: Path, reduce_ns: int, wide: bool) -> None:
    """TP=2 x DP=2, experts over 4: of 100 us a step two all-reduces of so long, and 30 us of exchange."""
    builder = TraceBuilder()
    for rank in range(4):
        process = builder.process(100 + rank, device=rank)
        for step in range(8):
            at, launch = 1_000_000 + 100_000 * step, 1_000_000 + 100_000 * step - 115_000
            process.nvtx(f"decode_step_{step}", at - 120_000, at - 102_000)
            for call in range(2):
                end, issued = at + (10_000 + reduce_ns) * (call + 1), launch + 3_000 * call
                process.kernel(COMPUTE_KERNEL, end - reduce_ns - 10_000, end - reduce_ns, launch=issued)
                process.nccl("ncclAllReduce", issued + 590, issued + 900, bytes=8_192, comm=5 + rank // 2)
                process.kernel(ALLREDUCE_KERNEL, end - reduce_ns, end, launch=(issued + 600, issued + 800))
            process.nccl("ncclAlltoAll", launch + 8_990, launch + 9_300, bytes=8_192, comm=9)
            process.kernel("ncclDevKernel_SendRecv", end, end + 30_000, launch=(launch + 9_000, launch + 9_200))
            process.kernel(COMPUTE_KERNEL, end + 30_000, at + 100_000, launch=launch + 10_000)
    finding = found_in(built(builder, tmp_path / "t.sqlite")).get("tp_too_wide")
    assert (finding is not None) == wide
    if finding is not None:
        assert (finding.figures["wire_ns"], finding.figures["ranks"]) == (2 * reduce_ns, 2)


@pytest.mark.parametrize(("more", "uneven"), [(0, False), (400, False), (550, True), (3_000, True)])
def test_the_same_kernels_longer_by_the_same_ratio(tmp_path: Path, more: int, uneven: bool) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=6, late={1: more})
    found = found_in(built(builder, tmp_path / "t.sqlite"))
    if more >= 3_000:
        # One root cause is one finding: of a late rank.
        assert "uneven_split" not in found
        assert "all ranks run equally many compute kernels" in found["straggler"].evidence
        return
    assert ("uneven_split" in found) == uneven
    if uneven:
        assert found["uneven_split"].ranks == [1]
        assert found["uneven_split"].figures == {"ratio": 1 + more / 10_000, "more_ns": 2 * more}


def test_a_rank_with_kernels_of_its_own_is_no_uneven_split(tmp_path: Path) -> None:
    builder = TraceBuilder()
    late = decode_loop(builder, steps=6, gap_ns=20_000)[1]
    for step in range(6):
        # In the gap after each step of 36 us.
        late.kernel(COMPUTE_KERNEL, 1_036_000 + 56_000 * step, 1_046_000 + 56_000 * step)
    assert "uneven_split" not in found_in(built(builder, tmp_path / "t.sqlite"))


def test_a_fix_names_a_strangers_kernel_without_its_control_characters(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=6, late={1: 20_000})
    path = builder.write(tmp_path / "t.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE StringIds SET value = value || char(155) || '31m' WHERE value = ?", (COMPUTE_KERNEL,))
    fix = found_in(nsysan.analyze(path))["straggler"].fix
    assert f"mostly the kernel {COMPUTE_KERNEL}?31m" in fix


def in_pieces(path: Path, *, pieces: int, late: bool) -> Run:
    """Steps of 60 us on two ranks: replays of 15 us each, 5 us apart, the last a layer with an all-reduce.

    late: each is launched when the GPU has run dry, else all are well ahead.
    """
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(100 + rank, device=rank)
        for step in range(8):
            at = 1_000_000 + 60_000 * step
            process.nvtx(f"decode_step_{step}", at - 20_500, at + 18_000)
            for piece in range(pieces):
                begin = at + 20_000 * piece
                replay = process.graph_launch(begin - (3_000 if late and piece else 20_000 - 3_000 * piece))
                node = (2 << 32) + 10 * piece
                process.kernel(COMPUTE_KERNEL, begin, begin + 10_000, launch=None, correlation=replay, graph_node=node)
                process.kernel(
                    ALLREDUCE_KERNEL, begin + 10_000, begin + 15_000, launch=None, correlation=replay,
                    graph_node=node + 1,
                )  # fmt: skip
    return built(builder, path)


def test_a_step_in_pieces_with_idle_time_between(tmp_path: Path) -> None:
    found = found_in(in_pieces(tmp_path / "t.sqlite", pieces=3, late=True))
    finding = found["piecewise_graphs"]
    assert finding.figures == {"replays": 3, "idle_ns": 10_000, "share": 10_000 / 60_000}
    assert finding.severity == MEDIUM
    # The same time is no second finding.
    assert not {"graphs_off", "late_host", "late_between_steps"} & set(found)


def test_one_replay_a_step_is_whole(tmp_path: Path) -> None:
    found = found_in(in_pieces(tmp_path / "t.sqlite", pieces=1, late=True))
    assert not {"piecewise_graphs", "late_host", "graphs_off"} & set(found)


@pytest.mark.parametrize(("before", "drawn"), [(20_000, False), (400_000, True)])
def test_idle_before_the_first_step(tmp_path: Path, before: int, drawn: bool) -> None:
    # 10 steps of 36 us, 20 us apart, from 1 ms on; the first work is a copy of 1 us so long before.
    builder = TraceBuilder()
    for process in decode_loop(builder, steps=10, gap_ns=20_000):
        process.memcpy(1_000_000 - before, 1_001_000 - before, kind=1)
    finding = found_in(built(builder, tmp_path / "t.sqlite")).get("idle_outside")
    assert (finding is not None) == drawn
    if finding is not None:
        whole, idle = before + 9 * 56_000 + 36_000, before - 1_000
        assert (finding.severity, finding.saving) == (LOW, None)
        assert finding.figures["share"] == pytest.approx(idle / whole, abs=0.001)


@pytest.mark.parametrize(
    ("more", "drawn"),
    [
        ({}, True),
        # Late ranks are most of what hosts cost; the verdict is another; another finding tells of the same time.
        ({"skew": 280_000}, False),
        ({"kind": VerdictKind.SKEW}, False),
        ({"wants_graphs": True}, False),
        ({"in_pieces": True}, False),
        ({"late": []}, False),
    ],
)
def test_all_hosts_pace_beside_late_ones(more: dict[str, object], drawn: bool) -> None:
    told = {"skew": 100_000, "kind": VerdictKind.HOST, "wants_graphs": False, "in_pieces": False} | more
    saves = {Scenario.NO_HOST_LATE: 300_000, Scenario.NO_SKEW: told["skew"]}
    late = SimpleNamespace(cause=LateCause.HOST, idle={})
    case = SimpleNamespace(
        wants_graphs=told["wants_graphs"],
        in_pieces=told["in_pieces"],
        diagnosis=SimpleNamespace(late=told.get("late", [late]), verdict=SimpleNamespace(kind=told["kind"])),
        saving=saves.get,
        period=1_000_000,
        host_fix=lambda: Fix("work ahead", "more cores"),
        host_saving_is=SavingIs.AT_MOST,
    )
    found = list(hosts_pace(cast("Case", case)))
    assert bool(found) == drawn
    for one in found:
        assert (one.severity, one.saving, one.fixes) == (HIGH, 300_000, "work ahead; else more cores")
        assert one.basis == "if host time fell to zero (the GPUs then need 700 µs)"


def test_other_work_between_decode_steps(tmp_path: Path) -> None:
    for mixed in (1, 3):
        builder = TraceBuilder()
        processes = decode_loop(builder, steps=20, gap_ns=20_000, ahead=False)
        for step in range(5, 5 + mixed):
            for process in processes:
                begin = 1_036_000 + 56_000 * step
                process.kernel("prefill_attention", begin, begin + 10_000, launch=begin - 26_000)
        finding = found_in(built(builder, tmp_path / f"{mixed}.sqlite")).get("prefill_mixed_in")
        # More than one step in ten.
        assert (finding is not None) == (mixed > 2)
        if finding is not None:
            assert finding.steps == [5, 6, 7]


def test_a_sweep_of_collectives_has_no_prefill_in_it(tmp_path: Path) -> None:
    builder = TraceBuilder()
    gather = "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
    for rank in range(2):
        process = builder.process(100 + rank, device=rank)
        for step in range(10):
            at = 1_000_000 + 100_000 * step
            process.nvtx(f"step_{step}", at - 20_000, at - 1_000)
            for call in range(3):
                name = gather if step in (5, 6) else ALLREDUCE_KERNEL
                process.kernel(name, at + 20_000 * call, at + 20_000 * call + 8_000, launch=at - 10_000 + call)
    found = found_in(built(builder, tmp_path / "sweep.sqlite"))
    assert "prefill_mixed_in" not in found
    finding = found["other_steps"]
    assert (finding.severity, finding.steps, finding.title) == (LOW, [5, 6], "2 steps of 10 unlike the usual one")
    assert "3 of ncclDevKernel_AllGather_RING_LL (usually 0)" in finding.evidence


def test_lookalikes_by_their_share(tmp_path: Path) -> None:
    for length, severity in ((100, LOW), (10_000, MEDIUM)):
        builder = TraceBuilder()
        for process in decode_loop(builder, ranks=2):
            process.kernel("my_custom_allreduce_kernel", 2_000_000, 2_000_000 + length)
        finding = found_in(built(builder, tmp_path / f"{length}.sqlite"))["unknown_collectives"]
        assert (finding.severity, finding.figures["calls"]) == (severity, 2)
        assert "my_custom_allreduce_kernel" in finding.evidence


def test_graph_blocks_are_one_finding(tmp_path: Path) -> None:
    run = nsysan.analyze(nsysan.open_trace(graph_level_trace(tmp_path / "g.sqlite")))
    assert list(found_in(run)) == ["graph_level_trace"]


# ---- what engines would use


@pytest.mark.parametrize(
    ("models", "ranks", "limit"),
    [
        ({"NVIDIA H200"}, 4, 32 << 20),
        ({"NVIDIA H100 80GB HBM3"}, 8, 256 << 10),
        ({"NVIDIA B200"}, 2, 2 << 20),
        ({"NVIDIA H200", "NVIDIA B200"}, 8, 256 << 10),
        ({"NVIDIA H200"}, 3, None),
        ({"NVIDIA A100-SXM4-80GB"}, 4, None),
        ({"NVIDIA H200", "NVIDIA L40S"}, 4, None),
        ({""}, 4, None),
        (set(), 4, None),
    ],
)
def test_limits_of_custom_all_reduces(models: set[str], ranks: int, limit: int | None) -> None:
    assert custom_all_reduce_limit(models, ranks) == limit


@pytest.mark.parametrize(("message_bytes", "drawn"), [(8_192, True), (32 << 20, True), (33 << 20, False)])
def test_nccl_up_to_the_limit(tmp_path: Path, message_bytes: int, drawn: bool) -> None:
    builder = TraceBuilder()
    decode_loop(builder, message_bytes=message_bytes)
    assert ("nccl_for_small" in found_in(built(builder, tmp_path / "t.sqlite"))) == drawn


def link(kind: str, looks_like: str | None) -> Link:
    seen = LinkKind(looks_like) if looks_like else None
    return Link("NVIDIA H200", LinkKind(kind), 450.0, "a table", seen, ("8 KiB take 40 µs",))


def test_wrong_wire(tmp_path: Path) -> None:
    run = nsysan.analyze(nsysan.open_trace(paper_trace(tmp_path / "t.sqlite")))
    (finding,) = wrong_wire(link("nvlink", "pcie"))
    assert (finding.severity, finding.title) == (HIGH, "collectives run over PCIe, not over NVLink")
    assert "8 KiB take 40 µs" in finding.evidence
    assert "wrong_wire" in found_in(run, link("nvlink", "pcie"))
    # A custom all-reduce needs the right wire first.
    assert "nccl_for_small" not in found_in(run, link("nvlink", "pcie"))
    for right in (None, link("nvlink", "nvlink"), link("nvlink", None)):
        found = found_in(run, right)
        assert "wrong_wire" not in found
        assert "nccl_for_small" in found


def test_the_wrong_wire_costs_what_the_calls_take_beyond_the_right_one(tmp_path: Path) -> None:
    # Two all-reduces of 8 KiB a step, 8 us each on the wire.
    run = nsysan.analyze(nsysan.open_trace(paper_trace(tmp_path / "t.sqlite")))
    slow = replace(link("nvlink", "host_memory"), reference=Reference(8_192, 4, 5_000.0))
    finding = found_in(run, slow)["wrong_wire"]
    assert (finding.saving, finding.saving_is) == (2 * 3_000, "estimate")
    assert finding.saves == "saves about 6.0 µs a step, an estimate"
    assert "2 calls a step, each 8.0 µs at p50 instead of 5.0 µs over NVLink" in finding.evidence
    # Of other sizes, or where the right link would not be faster, nothing is known.
    for reference in (Reference(4_096, 4, 5_000.0), Reference(8_192, 2, 5_000.0), Reference(8_192, 4, 9_000.0)):
        finding = found_in(run, replace(slow, reference=reference))["wrong_wire"]
        assert (finding.saving, finding.saves) == (None, "")


def test_a_late_rank_has_its_collective_and_its_kernel(real: Real) -> None:
    late = real("tp4_late1")["late_host"]
    assert (late.figures["call"], late.figures["kernel"]) == (0, None)
    assert late.figures["call_share"] == pytest.approx(0.99, abs=0.01)
    assert "99.5 % of it at the step's first collective" in late.evidence
    slow = real("tp4_slow")["straggler"]
    assert (slow.figures["calls"], slow.figures["kernel_more_calls"]) == (32, 16)
    assert (
        "spread over 32 collectives of the step, no more than 6.2 % of it at any one; most in one kernel: "
        in slow.evidence
    )


def test_what_no_fix_takes_away_whole_is_told_as_that(real: Real) -> None:
    found = real("tp4_graph_node")
    gaps, beside = found["graph_gaps"], found["no_overlap"]
    assert (gaps.saving, gaps.saving_is) == (gaps.figures["graph_idle_ns"], "part of")
    assert gaps.saves == "saves less than 184 µs a step"
    # Two findings of one wire say so.
    assert (
        beside.saves == "saves less than 285 µs a step, the same wire as of NCCL's small all-reduces: not to be added"
    )


def test_what_a_custom_all_reduce_was_measured_to_take(real: Real) -> None:
    # The same loop with that kernel takes 1,743 us instead of 1,799.
    found = real("tp4_graph_node")["nccl_for_small"]
    assert (found.saving_is, found.figures["custom_wire_ns"]) == ("estimate", 7_400)
    assert 45_000 < (found.saving or 0) < 60_000


@pytest.mark.parametrize(
    ("engine", "models", "ranks", "message", "us"),
    [
        ("PyTorch", {"NVIDIA H200"}, 4, 8_192, 7.4),
        ("PyTorch", {"NVIDIA H200"}, 4, 8_193, None),
        ("PyTorch", {"NVIDIA H200"}, 2, 8_192, None),
        ("vLLM", {"NVIDIA H100 80GB HBM3"}, 2, 65_536, 4.1),
        ("vLLM", {"NVIDIA H200", "NVIDIA B200"}, 2, 65_536, None),
        ("SGLang", {"NVIDIA H200"}, 2, 1_024, 2.7),
        ("", {"NVIDIA H200"}, 4, 8_192, None),
        ("vLLM", set(), 2, 8_192, None),
    ],
)
def test_only_what_was_measured_is_known(
    engine: str, models: set[str], ranks: int, message: int, us: float | None
) -> None:
    row = custom_speed(engine, models, ranks, message)
    assert (row and row.wire_us) == us
    engines = {one.name for one in load_fixes()}
    assert all(one.engine in engines and one.source and one.ns == 1_000 * one.wire_us for one in load_speeds())


@pytest.mark.parametrize(("measured", "saving", "how"), [(True, 2 * 600, "estimate"), (False, 2 * 8_000, "part of")])
def test_nccl_costs_what_a_custom_kernel_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, measured: bool, saving: int, how: str
) -> None:
    # Two all-reduces of 8 KiB a step, 8 us each on the wire.
    run = nsysan.analyze(nsysan.open_trace(paper_trace(tmp_path / "t.sqlite")))
    row = replace(load_speeds()[0], engine=fixes_of("", []).name)
    monkeypatch.setattr(custom_speeds, "load_speeds", lambda: (row,) if measured else ())
    finding = found_in(run)["nccl_for_small"]
    assert (finding.saving, finding.saving_is) == (saving, how)
    assert ("no kernel brings that to 0" in finding.evidence) == (not measured)


# ---- where they are shown


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_eager"])
def test_document_summary_and_page_show_them(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    real_trace: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli(capsys, "report", real_trace(name), "--json", "r.json", "-o", "r.html")
    findings = json.loads(Path("r.json").read_text("utf-8"))["findings"]
    page = Path("r.html").read_text("utf-8")
    for finding in findings:
        assert set(finding) >= {"id", "severity", "title", "evidence", "fix", "saves_ns", "figures", "thresholds"}
        assert f"  {finding['severity']:<6}  {finding['title']}" in result.out
        assert escape(finding["title"]) in page
    assert result.out.index("savings   ") < result.out.index("findings (") < result.out.index("\ntrace ")
    assert "<h2>Findings</h2>" in page


def test_nothing_to_find_is_said_on_the_page_alone(reported: Callable[[str], Report]) -> None:
    report = replace(reported("tp4_fused"), findings=[])
    assert "findings (" not in to_text(report)
    assert "None: nothing in this trace crosses a threshold" in findings_of(report)
