"""Every idle interval has one cause, and together they are the ledger's idle line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nsysan
from nsysan.metrics import gaps as finding
from nsysan.metrics.causes import GapCause
from nsysan.metrics.gaps import find_gaps, gap_medians
from nsysan.metrics.ledger import build_ledger
from nsysan.run.run import Run
from tests.conftest import REAL_TRACES
from tests.tracebuilder import COMPUTE_KERNEL, Process, TraceBuilder

Analyze = Callable[[str], Run]
STEP_NS = 300_000


def gaps_of(run: Run) -> pl.DataFrame:
    return find_gaps(run.work, run.windows, run.synchronise_calls)


def planted(path: Path, step: Callable[[Process, int], None]) -> Run:
    """One rank, four steps of what `step` puts into them; launches from 100 us before to 60 us after its begin."""
    builder = TraceBuilder()
    process = builder.process(100)
    for number in range(4):
        at = 1_000_000 + STEP_NS * number
        process.nvtx(f"decode_step_{number}", at - 110_000, at + 60_000)
        process.kernel(COMPUTE_KERNEL, at, at + 10_000, launch=at - 100_000)
        step(process, at)
    return nsysan.analyze(nsysan.open_trace(builder.write(path)))


def every_cause(process: Process, at: int) -> None:
    """us after the step's begin: busy 0-10, 12-20, 30-40, 43-50, 60-70, 74-80, 80-85, 87-90."""
    process.kernel(COMPUTE_KERNEL, at + 12_000, at + 20_000, launch=at - 90_000)
    process.kernel(COMPUTE_KERNEL, at + 30_000, at + 40_000, launch=at + 25_000)
    process.kernel(COMPUTE_KERNEL, at + 43_000, at + 50_000, launch=at - 80_000, stream=13)
    process.api("cudaStreamSynchronize_v3020", at + 45_000, at + 55_000)
    process.kernel(COMPUTE_KERNEL, at + 60_000, at + 70_000, launch=at + 56_000)
    process.kernel(COMPUTE_KERNEL, at + 74_000, at + 80_000, launch=None)
    replay = process.graph_launch(at - 70_000)
    for node, (begin, end) in enumerate(((80_000, 85_000), (87_000, 90_000))):
        process.kernel(COMPUTE_KERNEL, at + begin, at + end, launch=None, correlation=replay, graph_node=2 << 32 | node)


def test_every_cause_on_paper(tmp_path: Path) -> None:
    run = planted(tmp_path / "causes.sqlite", every_cause)
    gaps = gaps_of(run)
    expected = {
        "launch": (10_000, 2_000),
        "host_late": (20_000, 10_000),
        "dependency": (40_000, 3_000),
        "sync": (50_000, 10_000),
        "unknown": (70_000, 4_000),
        "graph": (85_000, 2_000),
        "between_steps": (90_000, STEP_NS - 90_000),
    }
    assert set(expected) == set(GapCause) - {GapCause.STAGE}
    for step in range(3):
        at = 1_000_000 + STEP_NS * step
        own = gaps.filter(pl.col("step") == step)
        found = {cause: (begin - at, ns) for cause, begin, ns in own.select("cause", "begin", "ns").iter_rows()}
        assert found == expected
        idle = run.ledger.filter(pl.col("step") == step)["idle_ns"].item()
        assert sum(ns for _, ns in found.values()) == idle
    # Nothing comes after the last step.
    assert set(gaps.filter(pl.col("step") == 3)["cause"]) == set(expected) - {"between_steps"}
    medians = gap_medians(gaps, run.ledger)
    assert dict(medians.select("cause", "ns").iter_rows()) == {
        cause: ns if cause != "between_steps" else STEP_NS - 90_000 for cause, (_, ns) in expected.items()
    }
    assert medians["ns"].to_list() == sorted(medians["ns"], reverse=True)


@pytest.mark.parametrize(("called", "cause"), [(9_999, "launch"), (10_000, "host_late"), (10_001, "host_late")])
def test_a_launch_is_late_if_it_begins_after_the_gpu_ran_dry(tmp_path: Path, called: int, cause: str) -> None:
    def step(process: Process, at: int) -> None:
        process.kernel(COMPUTE_KERNEL, at + 14_000, at + 20_000, launch=at + called)

    gaps = gaps_of(planted(tmp_path / "trace.sqlite", step)).filter(pl.col("step") == 1)
    assert gaps.select("cause", "ns").rows() == [(cause, 4_000), ("between_steps", STEP_NS - 20_000)]


@pytest.mark.parametrize(
    ("tid", "sync", "cause"),
    [
        pytest.param(None, (8_000, 11_000), "sync", id="waits as it runs dry"),
        pytest.param(None, (8_000, 10_000), "host_late", id="returns as it runs dry"),
        pytest.param(None, (2_000, 9_000), "host_late", id="returned before"),
        pytest.param(None, (10_500, 11_000), "host_late", id="called after"),
        pytest.param(77, (8_000, 11_000), "host_late", id="on another thread"),
    ],
)
def test_only_a_wait_of_the_launching_thread_is_sync(
    tmp_path: Path, tid: int | None, sync: tuple[int, int], cause: str
) -> None:
    def step(process: Process, at: int) -> None:
        process.api("cudaStreamSynchronize_v3020", at + sync[0], at + sync[1], tid=tid)
        process.kernel(COMPUTE_KERNEL, at + 14_000, at + 20_000, launch=at + 12_000)

    gaps = gaps_of(planted(tmp_path / "trace.sqlite", step)).filter(pl.col("step") == 1)
    assert gaps["cause"][0] == cause


def test_between_two_replays_is_not_inside_one(tmp_path: Path) -> None:
    def step(process: Process, at: int) -> None:
        for number in range(2):
            replay = process.graph_launch(at - 70_000 + 5_000 * number)
            begin = at + 12_000 + 10_000 * number
            process.kernel(
                COMPUTE_KERNEL, begin, begin + 8_000, launch=None, correlation=replay, graph_node=2 << 32 | number
            )

    gaps = gaps_of(planted(tmp_path / "trace.sqlite", step)).filter(pl.col("step") == 1)
    assert gaps.select("cause", "ns").rows() == [("launch", 2_000)] * 2 + [("between_steps", STEP_NS - 30_000)]


@pytest.mark.parametrize("names", [*REAL_TRACES, "tp4_graph_graph", "rank_0 rank_1 rank_2 rank_3"])
def test_causes_sum_to_the_idle_line(analyzed: Analyze, names: str) -> None:
    run = analyzed(names)
    gaps = gaps_of(run)
    summed = gaps.group_by("step", "rank").agg(pl.sum("ns"))
    both = run.ledger.join(summed, on=["step", "rank"], how="left").with_columns(pl.col("ns").fill_null(0))
    assert both["ns"].to_list() == both["idle_ns"].to_list()
    assert both["idle_ns"].sum() > 0
    assert set(gaps["cause"]) <= set(GapCause)
    assert gaps["ns"].min() > 0  # type: ignore[operator]


def test_a_late_host_of_a_real_run_is_seen_on_its_rank_alone(analyzed: Analyze) -> None:
    run = analyzed("tp4_eager")
    late = gap_medians(gaps_of(run), run.ledger).filter((pl.col("cause") == "host_late") & (pl.col("ns") > 1_000_000))
    assert late["rank"].to_list() == [0]
    assert late["ns"][0] > 15_000_000


@st.composite
def tiled(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Any work of one or two ranks, and steps that begin where some of it does, to the next or shorter."""
    operation = st.tuples(st.integers(0, 100), st.integers(0, 15), st.integers(7, 9), st.none() | st.integers(-20, 100))
    work: list[tuple[int | None, ...]] = []
    windows = []
    for rank in range(draw(st.integers(1, 2))):
        own = draw(st.lists(operation, min_size=1, max_size=15))
        for begin, length, stream, launch in own:
            work.append((len(work), rank, begin, begin + length, stream, launch))
        begins = sorted({begin for begin, *_ in own})
        chosen = sorted(draw(st.sets(st.sampled_from(begins), min_size=1, max_size=4)))
        end = max(begin + length for begin, length, *_ in own)
        for step, (begin, finish) in enumerate(zip(chosen, [*chosen[1:], end], strict=True)):
            # Steps that were found by period need not tile.
            windows.append((step, rank, begin, draw(st.sampled_from((finish, (begin + finish) // 2)))))
    schema = ["row", "rank", "begin", "end", "stream", "launch_start"]
    none = pl.lit(None, dtype=pl.Int64)
    frame = pl.DataFrame(work, schema=dict.fromkeys(schema, pl.Int64), orient="row").with_columns(
        pl.col("row").cast(pl.UInt32),
        cls=pl.lit("compute"),
        step=none,
        last=none,
        trimmed=pl.lit(0),
        context=pl.lit(1),
        correlation=pl.col("row").cast(pl.Int64),
        graph_node=none,
        thread=pl.col("rank"),
    )
    steps = pl.DataFrame(windows, schema=["step", "rank", "begin", "finish"], orient="row")
    return frame, steps.with_columns(excluded=pl.lit(None, dtype=pl.String))


@given(tiled())
def test_causes_of_any_work_sum_to_the_idle_line(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    work, windows = frames
    syncs = pl.DataFrame(schema={"thread": pl.Int64, "start": pl.Int64, "end": pl.Int64})
    gaps = find_gaps(work, windows, syncs)
    ledger = build_ledger(work, windows)
    summed = {(step, rank): ns for step, rank, ns in gaps.group_by("step", "rank").agg(pl.sum("ns")).iter_rows()}
    idle = {(step, rank): ns for step, rank, ns in ledger.select("step", "rank", "idle_ns").iter_rows() if ns}
    assert summed == idle


@pytest.mark.parametrize(("name", "some"), [("tp4_eager", 7), ("tp4_overlap", 41)])
def test_gaps_found_some_at_a_time_are_the_same(
    analyzed: Analyze, name: str, some: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = analyzed(name)
    whole = gaps_of(run)
    monkeypatch.setattr(finding, "_AT_ONCE", some)
    assert gaps_of(run).equals(whole)
    assert len(whole) > 100
