"""What a timeline tells of single operations: their full name, stream, size, shape, and the collective they begin."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.metrics.lines import AFTER, BEFORE
from nsysan.model.selection import Selection
from nsysan.page.fact_columns import Facts
from nsysan.page.shown_names import Names
from nsysan.page.slice_columns import Looks, SliceColumns
from nsysan.report.build import build_report
from nsysan.report.range_cells import COUNT, cell_width, range_cells
from nsysan.report.step_slices import FACTS
from nsysan.report.timeline import Timeline
from tests.tracebuilder import TraceBuilder, decode_loop


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The loop on paper, with a copy and a kernel of a known shape in step 2 of rank 1."""
    builder = TraceBuilder()
    process = decode_loop(builder, steps=4)[1]
    begin = 1_000_000 + 2 * 38_000 + 1_000
    process.kernel(
        "shaped", begin, begin + 400, stream=9, grid=(4, 5, 6), block=(32, 2, 1), demangled="shaped<int>(int)"
    )
    process.memcpy(begin + 500, begin + 600, bytes=256)
    return builder.write(tmp_path_factory.mktemp("facts") / "t.sqlite")


def timeline_of(trace: Path, *, shapes: bool = False) -> Timeline:
    report = build_report(nsysan.analyze(trace, selection=Selection(shapes=shapes)), "0")
    return next(timeline for timeline in report.timelines if "shaped" in timeline.slices["name"].to_list())


def test_an_operation_has_its_full_name_its_stream_and_its_shape(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = timeline_of(trace)
    shaped = timeline.slices.filter(name="shaped").row(0, named=True)
    assert {name: shaped[name] for name in FACTS} == {
        "stream": 9, "demangled": "shaped<int>(int)", "bytes": None, "grid": "4 x 5 x 6", "block": "32 x 2 x 1",
    }  # fmt: skip
    calls = timeline.slices.filter(pl.col("line") == "launch")
    assert calls.select(pl.col(*FACTS).is_null().all()).row(0) == (True,) * len(FACTS)
    # One row of facts a kind of operation, and none for calls and ranges.
    facts = Facts()
    looks = Looks(Names(), facts)
    (part,) = SliceColumns([timeline.drawn], looks).parts()
    numbers = [looks.table[look][2] for look in part["look"]]
    assert ["shaped<int>(int)", 9, None, "4 x 5 x 6", "32 x 2 x 1"] in facts.table
    told = [number >= 0 for number in numbers]
    assert told == [line not in ("launch", "nvtx") for line in timeline.slices["line"]]
    assert len(facts.table) < 6
    # A large trace is not read again; read along with the kernels, shapes are the same.
    monkeypatch.setattr("nsysan.report.kernel_shapes._MOST", 10)
    assert timeline_of(trace, shapes=True).slices.equals(timeline.slices)
    bare = timeline_of(trace).slices.filter(name="shaped").row(0, named=True)
    assert (bare["grid"], bare["block"], bare["stream"]) == (None, None, 9)


def test_the_collective_that_begins_with_a_slice_is_that_of_the_arrivals(trace: Path) -> None:
    timeline = timeline_of(trace)
    begun = timeline.slices.filter(pl.col("call").is_not_null()).select("rank", "lane", "name", "call", time="begin")
    arrived = timeline.arrivals.select("rank", "lane", "name", "time", call="collective")
    assert len(arrived) > 4
    assert sorted(begun.select(arrived.columns).rows()) == sorted(arrived.rows())
    # As the page has it: of the sides of calls, from call to call on a lane.
    columns = SliceColumns([timeline.drawn], Looks(Names(), Facts()))
    list(columns.parts())
    sides = timeline.slices.filter(pl.col("line").is_in([*BEFORE.values(), *AFTER.values()]))
    assert columns.sides == [len(sides)]
    last: dict[tuple[int, str], int] = {}
    found = []
    for row, step in zip(sides.iter_rows(named=True), columns.calls, strict=True):
        if step:
            lane = row["rank"], row["lane"]
            last[lane] = last.get(lane, -1) + int(step)
            found.append((row["rank"], row["begin"], last[lane]))
    assert sorted(found) == sorted(begun.select("rank", "time", "call").rows())


def test_cells_of_a_step_sum_to_its_slices(trace: Path) -> None:
    timeline = timeline_of(trace)
    cells = range_cells(timeline.slices, timeline.windows)
    assert set(cells["ns"].list.len()) == {COUNT}
    sums = {(rank, line): sum(ns) for rank, line, ns in cells.iter_rows()}
    own = timeline.slices.filter(~pl.col("line").is_in(["launch", "nvtx"]), pl.col("rank") == 0)
    expected = own.group_by("line").agg(ns=(pl.col("end") - pl.col("begin")).sum()).rows()
    assert {line: ns for (rank, line), ns in sums.items() if rank == 0} == {line: ns for line, ns in expected if ns}
    assert (cell_width(256), cell_width(257), cell_width(0)) == (1, 2, 1)
