"""The verdict: each kind once, at its thresholds, and never where the evidence is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.answers import nearest_to_late
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.path_told import in_graphs
from nsysan.diagnosis.verdict import THRESHOLDS, Paced, Verdict, judge
from nsysan.metrics.causes import GapCause, LateCause
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf
from nsysan.report.build import build_report
from nsysan.text import pct
from tests.clitools import graph_level_trace
from tests.documents import document_of
from tests.frames import lockstep_run
from tests.tracebuilder import COMPUTE_KERNEL, TraceBuilder, decode_loop


def verdict_of(path: Path) -> Verdict:
    return build_report(nsysan.analyze(nsysan.open_trace(path)), "0", timelines=False).diagnosis.verdict


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("compute", {"compute_ns": 50_000}, id="compute"),
        pytest.param("wire", {"compute_ns": 4_000, "wire_ns": 30_000}, id="wire"),
        pytest.param("skew", {"late": {1: 30_000}}, id="skew"),
    ],
)
def test_each_kind_on_paper(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=8, **options)
    verdict = verdict_of(builder.write(tmp_path / "trace.sqlite"))
    assert verdict.kind == kind
    whole = sum(verdict.shares[name] or 0.0 for name in ("compute", "wire", "host", "copy"))
    assert whole == pytest.approx(1)
    told = {"compute": "compute", "wire": "wire", "host": "host"}.get(kind, "compute")
    assert f"{told} {pct(verdict.shares[told] or 0)}" in verdict.reason
    assert ("the others wait for rank 1, as it computes longer" in verdict.reason) == (kind == "skew")


def unsplit_trace(path: Path) -> Path:
    """Three ranks that send and receive among each other for half of each step."""
    builder = TraceBuilder()
    for rank in range(3):
        process = builder.process(100 + rank, device=rank)
        for step in range(6):
            at = 1_000_000 + 20_000 * step
            process.nvtx(f"decode_step_{step}", at - 10_000, at - 5_000)
            process.kernel(COMPUTE_KERNEL, at, at + 10_000, launch=at - 9_000)
            process.kernel("ncclDevKernel_SendRecv", at + 10_000, at + 20_000, launch=at - 7_500)
    return builder.write(path)


def single_rank(path: Path) -> Path:
    builder = TraceBuilder()
    decode_loop(builder, ranks=1, steps=8)
    return builder.write(path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        pytest.param(graph_level_trace, "--cuda-graph-trace=node", id="graph level"),
        pytest.param(unsplit_trace, "50.0 % of the step is communication whose waiting cannot be told", id="unsplit"),
        pytest.param(single_rank, "42.1 % of the step is communication whose waiting cannot be told", id="single rank"),
    ],
)
def test_inconclusive_says_what_is_missing(tmp_path: Path, write: Callable[[Path], Path], said: str) -> None:
    verdict = verdict_of(write(tmp_path / "trace.sqlite"))
    assert verdict.kind == "inconclusive"
    assert said in verdict.reason


def ledger(steps: int = 10, **lines: int) -> pl.DataFrame:
    """Two ranks alike, of 1000 ns a step."""
    names = ("compute", "wait", "fused", "wire", "comm_unsplit", "copy", "graph", "idle")
    row = {f"{name}_ns": lines.get(name, 0) for name in names}
    rows = [{"step": s, "rank": r, "steady": True, "period_ns": 1_000, **row} for s in range(steps) for r in range(2)]
    return pl.DataFrame(rows)


WHAT = WhatIf(1_000, dict.fromkeys(Scenario, 1_000))


PATH = Paced({("compute", 0): 1_000})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ({"compute": 401, "wire": 399, "copy": 200}, "compute"),
        ({"compute": 400, "wire": 400, "copy": 200}, "mixed"),
        ({"wire": 200, "fused": 250, "compute": 550}, "compute"),
        ({"wire": 200, "fused": 250, "compute": 400, "copy": 150}, "wire"),
        ({"host": 200, "launch": 150, "sync": 100, "compute": 400, "copy": 150}, "host"),
        ({"copy": 600, "compute": 400}, "copy"),
        ({}, "inconclusive"),
    ],
)
def test_what_most_of_the_critical_path_is_of(path: dict[str, int], kind: str) -> None:
    paced = Paced({(name, number % 2): ns for number, (name, ns) in enumerate(path.items())})
    assert judge(ledger(compute=1_000), WHAT, paced, []).kind == kind


def test_gaps_in_a_graph_are_no_hosts() -> None:
    path = {("compute", 0): 700, ("host", 0): 100, ("launch", 1): 200}
    for within, words in (
        (True, "compute 70.0 %, gaps between a graph's kernels 20.0 %, host (CPU) 10.0 %"),
        (False, "compute 70.0 %, host (CPU) 30.0 %"),
    ):
        verdict = judge(ledger(compute=1_000), WHAT, Paced(path, in_graphs=within), [])
        assert verdict.path == f"critical path: {words}"
        assert verdict.shares["host"] == 0.3


@pytest.mark.parametrize(("graph", "launch", "within"), [(2, 1, True), (1, 1, False), (0, 0, False)])
def test_what_launches_on_the_path_are(graph: int, launch: int, within: bool) -> None:
    causes = [GapCause.GRAPH, GapCause.LAUNCH, GapCause.HOST_LATE]
    gaps = pl.DataFrame({"rank": [0, 0, 0], "cause": causes, "ns": [graph, launch, 9]})
    assert in_graphs(gaps) == within


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ({"compute": 900, "comm_unsplit": 100}, "compute"),
        ({"compute": 899, "comm_unsplit": 101}, "inconclusive"),
        ({"graph": 900, "idle": 100}, "inconclusive"),
    ],
)
def test_what_is_not_told_apart(lines: dict[str, int], kind: str) -> None:
    assert judge(ledger(**lines), WHAT, PATH, []).kind == kind


def late(*ranks: int, costs: int) -> Late:
    return Late(ranks, LateCause.COMPUTE, costs, costs, costs, costs, {LateCause.COMPUTE: costs})


@pytest.mark.parametrize(("saved", "kind"), [(151, "skew"), (150, "compute")])
def test_late_ranks_together(saved: int, kind: str) -> None:
    what = WhatIf(1_000, dict.fromkeys(Scenario, 1_000) | {Scenario.NO_SKEW: 1_000 - saved}, error=0.0)
    path = PATH.path
    verdict = judge(ledger(compute=1_000), what, Paced(path, [late(1, costs=saved)]), [])
    assert verdict.kind == kind
    assert "rank 1" in verdict.reason
    turns = judge(ledger(compute=1_000), what, Paced(path, rotation=saved), [])
    assert turns.kind == kind
    # What is nobody's is no skew.
    assert judge(ledger(compute=1_000), what, Paced(path), []).kind == "compute"


@pytest.mark.parametrize(("error", "kind"), [(0.05, "compute"), (0.051, "inconclusive")])
def test_a_replay_that_misses_the_period_tells_nothing(error: float, kind: str) -> None:
    what = replace(WHAT, error=error)
    assert judge(ledger(compute=1_000), what, PATH, []).kind == kind


@pytest.mark.parametrize(("steps", "kind"), [(1, "compute"), (2, "inconclusive"), (10, "inconclusive")])
def test_unsplit_communication_in_some_steps(steps: int, kind: str) -> None:
    whole = ledger(compute=800, wire=200)
    partly = ledger(compute=800, comm_unsplit=200)
    both = pl.concat([whole.filter(pl.col("step") >= steps), partly.filter(pl.col("step") < steps)])
    assert judge(both, WHAT, PATH, []).kind == kind


def test_no_steady_step_is_inconclusive() -> None:
    none = ledger(compute=1_000).with_columns(steady=pl.lit(False))
    assert judge(none, None, Paced(), []).kind == "inconclusive"


def test_ranks_that_are_not_there_are_mentioned() -> None:
    reason = judge(ledger(compute=1_000), WHAT, PATH, [2, 5]).reason
    assert "ranks 2 and 5 are not in the trace" in reason


def test_thresholds_are_in_the_document(tmp_path: Path) -> None:
    run = lockstep_run(tmp_path / "trace.sqlite", np.full((2, 6, 2), 10_000))
    document = document_of(build_report(run, "0", timelines=False))
    assert document["verdict"]["thresholds"] == THRESHOLDS
    assert set(THRESHOLDS) >= {"dominant_share", "skew_share", "pipeline_share", "straggler_share", "max_replay_error"}
    assert set(document["verdict"]["shares"]) == {"compute", "wire", "skew", "host", "copy", "unsplit"}


def test_a_straggler_is_named_whatever_bounds_the_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=8, compute_ns=30_000, late={2: 10_000})
    # Two layers of 30 + 10 compute and 8 wire on rank 2, and a gap of 2: 98 us, of which its lateness is 20.
    verdict = verdict_of(builder.write(tmp_path / "trace.sqlite"))
    assert verdict.kind == "skew"
    assert verdict.reason.startswith(
        "the others wait for rank 2, as it computes longer, which costs 20.4 % of the step ("
    )


def test_copying_is_a_verdict(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, steps=6, gap_ns=80_000):
        for step in range(6):
            # decode_loop begins at 1 ms; a step is 2 * (10 + 8) us of work and the gap of 80, which a copy fills.
            begin = 1_000_000 + step * 116_000 + 36_000
            process.memcpy(begin, begin + 79_000, launch=begin - 30_000)
    verdict = verdict_of(builder.write(tmp_path / "trace.sqlite"))
    assert verdict.kind == "copy"
    assert (verdict.shares["copy"] or 0) > 0.6


@pytest.mark.parametrize(("saves", "nearest"), [(9, ""), (16, "; rank 1 comes nearest, with 16.0 µs a step (1.6 %)")])
def test_of_a_balanced_run_the_nearest_to_late_is_told(saves: int, nearest: str) -> None:
    period = 1_000_000
    what = WhatIf(period, dict.fromkeys(Scenario, period), ranks={0: period - 2_000, 1: period - 1_000 * saves})
    assert nearest_to_late(what) == nearest
