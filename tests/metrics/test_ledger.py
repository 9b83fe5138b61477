"""The ledger against a nanosecond by nanosecond one, and on traces worked out on paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nsysan
from nsysan.metrics.ledger import build_ledger
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop

PRECEDENCE = ("compute", "wait", "fused", "wire", "comm_unsplit", "copy", "graph")
SPLIT = ("wait", "fused", "wire")
COMMUNICATION = ("collective", "p2p", "fused")
WORK = {
    "rank": pl.Int64,
    "begin": pl.Int64,
    "end": pl.Int64,
    "trimmed": pl.Int64,
    "cls": pl.String,
    "step": pl.Int64,
    "last": pl.Int64,
}
Row = dict[str, Any]


def operations(classes: tuple[str, ...]) -> st.SearchStrategy[list[Row]]:
    @st.composite
    def operation(draw: st.DrawFn) -> Row:
        begin = draw(st.integers(-30, 40))
        end = begin + draw(st.integers(0, 60))
        cls = draw(st.sampled_from(classes))
        last = draw(st.none() | st.integers(begin, end)) if cls in COMMUNICATION else None
        step = draw(st.none() | st.integers(0, 2))
        return {
            "rank": draw(st.integers(0, 1)),
            "begin": begin,
            "end": end,
            "trimmed": draw(st.integers(0, 3)),
            "cls": cls,
            "step": step,
            "last": last,
        }

    return st.lists(operation(), max_size=12)


@st.composite
def steps_of_two_ranks(draw: st.DrawFn) -> list[Row]:
    rows = []
    for rank in range(2):
        cuts = sorted(draw(st.lists(st.integers(-35, 60), min_size=4, max_size=4, unique=True)))
        for step in range(3):
            rows.append({"step": step, "rank": rank, "begin": cuts[step], "finish": cuts[step + 1], "excluded": None})
    return rows


def lines_active(now: int, work: list[Row]) -> set[str]:
    lines = set()
    for row in work:
        if not row["begin"] <= now < row["end"]:
            continue
        if row["cls"] in COMMUNICATION:
            if row["last"] is None:
                lines.add("comm_unsplit")
            elif now < row["last"]:
                lines.add("wait")
            else:
                lines.add("fused" if row["cls"] == "fused" else "wire")
        else:
            lines.add("graph" if row["cls"] == "opaque" else row["cls"])
    return lines


def counted(window: Row, work: list[Row]) -> dict[str, int]:
    """The definitions of the ledger, one nanosecond after the other."""
    own = [row for row in work if row["rank"] == window["rank"]]
    figures = dict.fromkeys((*PRECEDENCE, "idle", "comm", "overlap"), 0)
    for now in range(window["begin"], window["finish"]):
        active = lines_active(now, own)
        figures[next((line for line in PRECEDENCE if line in active), "idle")] += 1
        communicates = bool(active & {"wait", "fused", "wire", "comm_unsplit"})
        figures["comm"] += communicates
        figures["overlap"] += communicates and "compute" in active
    return figures


def ledger_of(work: list[Row], windows: list[Row]) -> list[Row]:
    schema = {"step": pl.Int64, "rank": pl.Int64, "begin": pl.Int64, "finish": pl.Int64, "excluded": pl.String}
    return build_ledger(pl.DataFrame(work, schema=WORK), pl.DataFrame(windows, schema=schema)).to_dicts()


@given(operations(("compute", "copy", *COMMUNICATION)), steps_of_two_ranks())
def test_each_line_is_what_a_count_gives(work: list[Row], windows: list[Row]) -> None:
    expected = {(window["step"], window["rank"]): window for window in windows}
    ledger = ledger_of(work, windows)
    assert len(ledger) == len(windows)
    for row in ledger:
        window = expected[row["step"], row["rank"]]
        figures = counted(window, work)
        calls = [
            w for w in work if w["cls"] in COMMUNICATION and (w["rank"], w["step"]) == (window["rank"], window["step"])
        ]
        nothing_split = all(call["last"] is None for call in calls) and not any(figures[line] for line in SPLIT)
        if nothing_split and (calls or figures["comm_unsplit"]):
            assert row["wait_ns"] is row["fused_ns"] is row["wire_ns"] is None
            figures = {line: ns for line, ns in figures.items() if line not in SPLIT}
        assert {line: row[f"{line}_ns"] for line in figures} == figures
        assert row["period_ns"] == window["finish"] - window["begin"]
        assert row["period_ns"] == sum(row[f"{line}_ns"] or 0 for line in (*PRECEDENCE, "idle"))
        assert row["collectives"] == len(calls)


@given(operations(("compute", "copy", "opaque", *COMMUNICATION)), steps_of_two_ranks())
def test_what_a_replay_block_may_hide_is_null(work: list[Row], windows: list[Row]) -> None:
    hidden = (*(f"{line}_ns" for line in PRECEDENCE if line != "graph"), "comm_ns", "overlap_ns", "collectives")
    by_step = {(window["step"], window["rank"]): counted(window, work) for window in windows}
    for row in ledger_of(work, windows):
        figures = by_step[row["step"], row["rank"]]
        assert row["idle_ns"] == figures["idle"]
        if figures["graph"]:
            assert row["graph_ns"] + row["idle_ns"] == row["period_ns"]
            assert {row[column] for column in hidden} == {None}
        else:
            assert row["compute_ns"] == figures["compute"]


@pytest.mark.parametrize("first", range(len(PRECEDENCE)))
def test_time_that_lines_share_belongs_to_the_earliest(first: int) -> None:
    # One operation of every line from `first` on, all over the same 10 ns.
    kinds = {
        "compute": ("compute", None),
        "wait": ("collective", 10),
        "fused": ("fused", 0),
        "wire": ("p2p", 0),
        "comm_unsplit": ("collective", None),
        "copy": ("copy", None),
        "graph": ("opaque", None),
    }
    work = [
        {"rank": 0, "begin": 0, "end": 10, "trimmed": 0, "cls": cls, "step": 0, "last": last}
        for cls, last in (kinds[line] for line in PRECEDENCE[first:])
    ]
    window = {"step": 0, "rank": 0, "begin": 0, "finish": 12, "excluded": None}
    (row,) = ledger_of(work, [window])
    # What is under a whole replay is withheld, so only the replay alone can show its own line.
    graph = 10 if PRECEDENCE[first] == "graph" else 0
    assert (row[f"{PRECEDENCE[first]}_ns"], row["graph_ns"], row["idle_ns"]) == (10, graph, 2)


def figures(run: Run, *names: str) -> dict[tuple[int, int], tuple[int, ...]]:
    """{(step, rank): the named figures}."""
    columns = ["step", "rank", *(f"{name}_ns" for name in names)]
    return {(step, rank): tuple(values) for step, rank, *values in run.ledger.select(columns).iter_rows()}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="eager"),
        pytest.param({"graph": True}, id="graph"),
        pytest.param({"late": {1: 3_000}}, id="one late rank"),
        pytest.param({"late": {0: 500, 2: 7_000}, "layers": 5, "steps": 7}, id="two late ranks"),
        pytest.param({"late": {3: 2_000}, "graph": True}, id="late in a graph"),
        pytest.param({"same_device": True, "late": {2: 1_000}}, id="every rank is device 0"),
        pytest.param({"ranks": 2, "start_ns": -50_000_000, "late": {0: 900}}, id="before time zero"),
        pytest.param({"message_bytes": None, "late": {1: 3_000}}, id="no NCCL ranges"),
        pytest.param({"nvtx": False, "graph": True, "late": {1: 3_000}}, id="steps from replays"),
    ],
)
def test_decode_loop_on_paper(tmp_path: Path, options: dict[str, Any]) -> None:
    builder = TraceBuilder()
    decode_loop(builder, **options)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "loop.sqlite")))

    ranks, steps = options.get("ranks", 4), options.get("steps", 4)
    layers, late = options.get("layers", 2), options.get("late", {})
    slack = max(late.values(), default=0)
    expected = {
        (step, rank): (
            layers * (10_000 + slack + 8_000) + gap,
            layers * (10_000 + late.get(rank, 0)),
            layers * (slack - late.get(rank, 0)),
            layers * 8_000,
            gap,
        )
        for rank in range(ranks)
        for step in range(steps)
        for gap in [2_000 if step < steps - 1 else 0]
    }
    assert figures(run, "period", "compute", "wait", "wire", "idle") == expected
    rest = run.ledger.select("fused_ns", "comm_unsplit_ns", "copy_ns", "graph_ns", "overlap_ns", "pdl_trimmed_ns")
    assert set(rest.row(0)) == {0}
    assert rest.n_unique() == 1
    assert run.ledger["comm_ns"].to_list() == (run.ledger["wait_ns"] + run.ledger["wire_ns"]).to_list()
    assert run.ledger["collectives"].unique().to_list() == [layers]


def test_replays_as_one_block(tmp_path: Path) -> None:
    builder = TraceBuilder(graph_mode="Graph")
    decode_loop(builder, graph=True, late={1: 3_000})
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "blocks.sqlite")))
    # Layers of 10 + 3 + 8 us, two a step, and 2 us between steps.
    assert figures(run, "period", "graph", "idle")[1, 0] == (44_000, 42_000, 2_000)
    assert run.ledger["compute_ns"].is_null().all()
    assert run.ledger["wait_ns"].is_null().all()


def traced(tmp_path: Path, builder: TraceBuilder) -> Run:
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))


def test_an_operation_across_a_step_boundary_is_clipped_and_counted_once(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    process.nvtx("decode_step_0", -20_000, -5_000)
    process.kernel(COMPUTE_KERNEL, 0, 10_000, launch=-18_000)
    process.kernel(COMPUTE_KERNEL, 15_000, 24_000, launch=-15_000, stream=13)
    process.nvtx("decode_step_1", -4_000, 1_000)
    process.kernel(COMPUTE_KERNEL, 20_000, 22_000, launch=-3_000)
    process.kernel(COMPUTE_KERNEL, 26_000, 30_000, launch=-500)
    run = traced(tmp_path, builder)
    # The straddler gives 5 us to step 0; of its 4 us in step 1 the first 2 are already compute.
    assert figures(run, "period", "compute", "idle") == {
        (0, 0): (20_000, 15_000, 5_000),
        (1, 0): (10_000, 8_000, 2_000),
    }


def two_ranks(tmp_path: Path, work: Mapping[int, list[tuple[str, int, int, int]]]) -> Run:
    """Two steps 100 us apart on every rank of name, start, end and stream of kernels."""
    builder = TraceBuilder()
    for rank, kernels in work.items():
        process = builder.process(100 + rank, device=rank)
        for step in range(2):
            at = 100_000 * step
            process.nvtx(f"decode_step_{step}", at - 50_000, at - 1_000)
            for number, (name, start, end, stream) in enumerate(kernels):
                process.kernel(name, at + start, at + end, stream=stream, launch=at - 40_000 + 3_000 * number)
    return traced(tmp_path, builder)


def test_compute_has_precedence_over_a_collective_on_another_stream(tmp_path: Path) -> None:
    run = two_ranks(
        tmp_path,
        {
            0: [(COMPUTE_KERNEL, 0, 10_000, 7), (ALLREDUCE_KERNEL, 4_000, 14_000, 20)],
            1: [(COMPUTE_KERNEL, 0, 6_000, 7), (ALLREDUCE_KERNEL, 8_000, 14_000, 20)],
        },
    )
    # The last rank arrives at 8. Rank 0 waits 4 to 8 and moves data 8 to 14, hidden by compute until 10.
    names = ("compute", "wait", "wire", "comm", "overlap", "idle")
    assert figures(run, *names)[1, 0] == (10_000, 0, 4_000, 10_000, 6_000, 0)
    assert figures(run, *names)[1, 1] == (6_000, 0, 6_000, 6_000, 0, 2_000)


def test_communication_has_precedence_over_a_copy(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(100 + rank, device=rank)
        for step in range(2):
            at = 100_000 * step
            process.nvtx(f"decode_step_{step}", at - 50_000, at - 1_000)
            process.kernel(ALLREDUCE_KERNEL, at + 5_000 * rank, at + 20_000, launch=at - 40_000)
            process.memcpy(at + 2_000, at + 26_000, stream=13, launch=at - 30_000)
            process.memset(at + 25_000, at + 30_000, stream=14, launch=at - 20_000)
    run = traced(tmp_path, builder)
    names = ("period", "wait", "wire", "copy")
    # Copies cover 2 to 30; on rank 0 the collective leaves them 20 to 30. Rank 1's step begins with the copy.
    assert figures(run, *names)[1, 0] == (30_000, 5_000, 15_000, 10_000)
    assert figures(run, *names)[1, 1] == (28_000, 0, 15_000, 13_000)


def test_an_operation_launched_outside_every_step_is_still_in_the_time_it_takes(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(2):
        at = 100_000 * step
        process.nvtx(f"decode_step_{step}", at - 20_000, at - 5_000)
        process.kernel(COMPUTE_KERNEL, at, at + 10_000)
    process.memcpy(30_000, 34_000, launch=20_000)
    run = traced(tmp_path, builder)
    assert figures(run, "period", "compute", "copy", "idle")[0, 0] == (100_000, 10_000, 4_000, 86_000)


def test_a_matched_call_that_reaches_into_a_step_without_one_keeps_its_lines(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(100 + rank, device=rank)
        for step in range(2):
            at = 20_000 * step
            process.nvtx(f"decode_step_{step}", at - 60_000, at - 45_000)
            process.kernel(COMPUTE_KERNEL, at, at + 4_000, launch=at - 59_000)
            if step == 0:
                process.kernel(ALLREDUCE_KERNEL, 10_000 + 2_000 * rank, 26_000, launch=-50_000, stream=20)
            elif rank == 0:
                process.kernel("ncclDevKernel_AllGather_RING_LL", 30_000, 33_000, launch=-30_000, stream=20)
    run = traced(tmp_path, builder)
    names = ("period", "compute", "wait", "wire", "comm_unsplit", "idle")
    assert figures(run, *names)[0, 0] == (20_000, 4_000, 2_000, 8_000, 0, 6_000)
    # Only the 2 us of the all-reduce after compute are known to be transfer; the all-gather has no partner.
    assert figures(run, *names)[1, 0] == (13_000, 4_000, 0, 2_000, 3_000, 4_000)
