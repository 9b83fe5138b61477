"""What the page makes of recorded operations is what Python makes of them: slices, calls, ranges, hosts' waits."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser

import nsysan
from nsysan.page.hosts_section import hosts_section
from nsysan.page.html import to_html
from nsysan.page.lanes import timeline_data
from nsysan.page.planes import Planes
from nsysan.replay.engine import Edges
from nsysan.replay.hosts_meet import MEETS
from nsysan.replay.links import Link
from nsysan.replay.seen_waits import TELLS
from nsysan.replay.shape import Graph
from nsysan.replay.told_waits import NO_WAITS, Until, told_waits
from nsysan.report.build import build_report
from nsysan.report.of_ranks import of_ranks
from nsysan.report.report import Report
from tests.browser import launched, opened
from tests.oscalls import PERIOD, os_calls_trace
from tests.page.test_html import Page
from tests.tracebuilder import TraceBuilder

#: What the page's scripts make of each step: with names and lines in words, as Slices.frame has them.
_MADE = """([script, report, packed]) => {
  const open = new Function(`${script}; return openSteps;`)();
  open(report, Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0)));
  return report.steps.map((step) => step.lane.map((lane, i) => [
    ...step.lanes[lane], report.lines[step.line[i]].id, step.begin[i], step.begin[i] + step.length[i],
    report.names[step.name[i]], step.launch[i] < 0 ? null : step.launch[i], step.call[i] < 0 ? null : step.call[i],
    step.fact[i] < 0 ? null : report.facts[step.fact[i]][1], step.whom[i] < 0 ? null : report.whom[step.whom[i]],
  ]));
}"""
_COLUMNS = ["rank", "lane", "line", "begin", "end", "name", "launch", "call", "stream"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


def waits_for(*ends: int) -> Callable[..., pl.DataFrame]:
    """In place of told_waits: rank 0 waits for what rank 1 does until these times."""

    def told(graph: Graph, early: object) -> pl.DataFrame:
        del early
        thread = graph.calls.filter(rank=0)["thread"][0]
        rows = [(0, thread, end, 1, Until.BEGINS.value, "cudaLaunchKernel") for end in ends]
        return pl.DataFrame(rows, schema=NO_WAITS.schema, orient="row")

    return told


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The loop of os_calls_trace, in which it is known for whom pthread_cond_wait waits in step 4."""
    trace = os_calls_trace(tmp_path_factory.mktemp("os") / "t.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nsysan.replay.pace.told_waits", waits_for(1_000_000 + 4 * PERIOD + 6_500))
        return build_report(nsysan.analyze(trace), "0")


def made(browser: Browser, report: Report) -> list[list[tuple[Any, ...]]]:
    """The slices of each step by the page's scripts."""
    found = bytearray()
    data = timeline_data(report, Planes(found.extend))
    assets = files("nsysan.page").joinpath("assets")
    script = "".join(assets.joinpath(name).read_text("utf-8") for name in ("recorded.js", "steps.js"))
    page = browser.new_page()
    steps = page.evaluate(
        f"([script, data, packed]) => ({_MADE})([script, JSON.parse(data), packed])",
        [script, data, base64.b64encode(found).decode()],
    )
    page.close()
    return [[tuple(row) for row in step] for step in steps]


@pytest.mark.parametrize("name", ["tp4_late1", "tp4_overlap"])
def test_slices_by_the_page_are_those_by_python(
    browser: Browser, analyzed: Callable[[str], nsysan.Run], name: str
) -> None:
    report = build_report(analyzed(name), "0")
    few = replace(report, timelines=[*report.timelines[:2], report.timelines[-1]])
    for shown in (few, of_ranks(few, [1, 3])):
        for rows, timeline in zip(made(browser, shown), shown.timelines, strict=True):
            expected = timeline.slices.select(_COLUMNS)
            own = pl.DataFrame([row[:-1] for row in rows], schema=expected.schema, orient="row")
            numbers = own["launch"].drop_nulls().unique().len()
            assert own.drop("launch").equals(expected.drop("launch"))
            assert numbers == expected["launch"].drop_nulls().unique().len()


def test_ranges_that_are_open_in_several_steps(browser: Browser, tmp_path: Path) -> None:
    """One for all of them, ranges that begin and end at once, more than have room, and none of no time."""
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(4):
        at = 1_000_000 + 50_000 * step
        process.kernel("work", at, at + 40_000)
        process.nvtx(f"step {step}", at - 12_000, at - 7_000)
        for number in range(6):
            process.nvtx(f"deep {number}", at - 11_000, at + 20_000 + number)
        process.nvtx("no time", at, at)
    process.nvtx("all", 900_000, 1_400_000)
    report = build_report(nsysan.analyze(builder.write(tmp_path / "t.sqlite")), "0")
    steps = made(browser, report)
    for rows, timeline in zip(steps, report.timelines, strict=True):
        assert [row[:-1] for row in rows] == timeline.slices.select(_COLUMNS).rows()
        ranges = {row[5]: row[1] for row in rows if row[2] == "nvtx"}
        assert ranges["all"] == "NVTX 1"
        assert {row[1] for row in rows if row[2] == "nvtx"} == {f"NVTX {depth}" for depth in (1, 2, 3, 4)}


def test_waits_and_sleeps_of_a_host_are_drawn_and_say_for_whom(
    browser: Browser, waiting: Report, tmp_path: Path
) -> None:
    steps = made(browser, waiting)
    whom = "rank 1: until its call cudaLaunchKernel begins"
    for rows, timeline in zip(steps, waiting.timelines, strict=True):
        assert [row[:-1] for row in rows] == timeline.slices.select(_COLUMNS).rows()
        at = 1_000_000 + timeline.step * PERIOD - timeline.origin
        hosts = [row for row in rows if row[1] == "host waits"]
        assert {row[0] for row in hosts} == {0}
        assert [(row[2], row[5], row[3] - at, row[4] - at, row[-1]) for row in hosts] == [
            ("host_wait", "poll", 500, 1_500, None),
            ("host_wait", "pthread_cond_wait", 2_500, 6_500, whom if timeline.step == 4 else None),
            ("host_wait", "sched_yield", 10_500, 14_500, None),
            ("host_sleep", "clock_nanosleep", 20_500, 23_500, None),
        ]
        lanes = list(dict.fromkeys(row[1] for row in rows if row[0] == 0))
        assert lanes == ["NVTX 1", "NVTX 2", "launches", "host waits", "stream 7"]
    file = tmp_path / "t.html"
    file.write_text(to_html(waiting).replace('<div class="plot"', '<div class="no-plot"'), "utf-8")
    with opened(browser, file, "#step=4") as shown:
        shown.page.fill("#find", "pthread")
        shown.page.press("#find", "Enter")
        shown.settle()
        assert shown.page.inner_text("#hits") == "1 of 1 hit on 1 rank"
        assert shown.page.inner_text("#op-status").endswith(f"on rank 0, host waits; waits for {whom}")
        shown.page.fill("#find", "sched")
        shown.page.press("#find", "Enter")
        shown.settle()
        assert shown.page.inner_text("#op-status").endswith("what it waits for is not told")
        legend = shown.page.inner_text("#legend")
        assert ("waits (host)" in legend, "sleeps (host)" in legend) == (True, True)
        assert not [said for said in shown.said if "error" in said]


def test_what_a_host_does_in_a_step_is_a_bar_and_a_row(waiting: Report) -> None:
    page = Page(to_html(waiting))
    bars = {bar["name"]: bar["x"] for bar in page.figures["figure-host-times"]["data"]}
    assert bars == {"works": [19.0], "CUDA calls": [8.0], "waits": [8.0], "sleeps": [3.0]}
    plots: dict[str, str] = {}
    assert "<td>19.0</td><td>8.0</td><td>8.0</td><td>3.0</td><td>21.1 %</td><td>8.0</td>" in hosts_section(
        plots, waiting
    )
    assert (hosts_section(plots, of_ranks(waiting, [1])), list(plots)) == ("", ["host-times"])
    # Of a rank that is not shown nothing is in the page.
    data = Page(to_html(of_ranks(waiting, [1]))).data["report"]
    assert not {"whom", "waits"} & {*data, *data["tables"]}
    assert [line["id"] for line in data["lines"]][-2:] == ["nvtx", "last"]


def test_what_a_wait_is_for_is_the_last_that_ends_it() -> None:
    """Calls of two hosts: waits end with a call's begin or end, a moment in a pause, a meeting, and with results."""
    calls = pl.DataFrame(
        [
            *((rank, 10 + rank, at, at + 5, "cudaLaunchKernel", False) for rank in (0, 1) for at in (0, 100)),
            (0, 10, 200, 300, "host waits", True),
            (0, 10, 400, 500, "host waits", True),
            (0, 10, 600, 700, "host waits", True),
            (1, 11, 600, 650, TELLS, True),
            (1, 11, 800, 900, MEETS, True),
            (0, 10, 800, 910, MEETS, True),
        ],
        schema=["rank", "thread", "start", "end", "launch", "reply"],
        orient="row",
    )
    operations = pl.DataFrame({"rank": [1], "name": ["gemm"]})
    times = [*(time for start, end in calls.select("start", "end").iter_rows() for time in (start, end)), 300, 905]
    # Into the end of each wait: a launch and the work that ends later; a launch's end; what is told; a meeting.
    edges = [
        (2 * 2, 2 * 4 + 1),
        (2 * 10 + 1, 2 * 4 + 1),
        (2 * 3 + 1, 2 * 5 + 1),
        (2 * 7 + 1, 2 * 6 + 1),
        (2 * 8, 2 * 9 + 1),
    ]
    source, target = (np.array(column) for column in zip(*edges, strict=True))
    link = np.full(len(edges), Link.HOST)
    graph = Graph(
        calls, operations, np.array(times), np.zeros(22, np.bool_), Edges(source, target), link, link, [0, 1], [(0, 1)]
    )
    rows = told_waits(graph, {0: 1_000}).rows()
    assert sorted(rows) == [
        (0, 10, 1_300, 1, Until.RESULTS, "gemm"),
        (0, 10, 1_500, 1, Until.ENDS, "cudaLaunchKernel"),
        (0, 10, 1_700, 1, Until.TELLS, TELLS),
        (0, 10, 1_910, 1, Until.BEGINS, MEETS),
    ]
