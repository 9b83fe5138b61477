"""The critical path in the page's timeline: its pieces sum to the step, and a key and a button go along it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import nsysan
from nsysan.page.html import to_html
from nsysan.page.lanes import timeline_data
from nsysan.page.planes import Planes
from nsysan.replay.path import CLASSES
from nsysan.replay.pieces import Why, by_class
from nsysan.report.build import build_report
from nsysan.report.path_in_step import paths_in_steps, within
from nsysan.report.report import Report
from nsysan.report.timeline import StepPath
from tests.browser import launched, opened
from tests.tracebuilder import TraceBuilder, decode_loop

INK = {"light": "#b0005c", "dark": "#ff8ac6"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def late(analyzed: Callable[[str], nsysan.Run]) -> Report:
    """A real run whose rank 1 has a late host, so that the path is on hosts and on all GPUs."""
    return build_report(analyzed("tp4_late1"), nsysan.__version__)


@pytest.fixture(scope="module")
def page(late: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with no place for charts."""
    file = tmp_path_factory.mktemp("path") / "late.html"
    file.write_text(to_html(late).replace('<div class="plot"', '<div class="no-plot"'), "utf-8")
    return file


def test_the_pieces_on_paper(tmp_path: Path) -> None:
    # Rank 1 computes 13 us, then data moves for 8, twice a step; 2 us later the next one begins.
    builder = TraceBuilder()
    decode_loop(builder, steps=8, late={1: 3_000})
    report = build_report(nsysan.analyze(builder.write(tmp_path / "t.sqlite")), nsysan.__version__)
    shown = next(timeline for timeline in report.timelines if timeline.step == 4)
    rows = shown.path.pieces.select("class", "begin", "end", "why").rows()
    layer = [("compute", 13_000, Why.WORK), ("wire", 8_000, Why.MET)]
    told = [(CLASSES[name], end - begin, Why(why)) for name, begin, end, why in rows]
    assert told == [*layer, *layer, ("launch", 2_000, Why.NEXT_WORK)]
    assert set(shown.path.pieces.filter(shown.path.pieces["class"] == CLASSES.index("compute"))["rank"]) == {1}
    # The steps in which a replay comes to its pace have none, and say so.
    first = next(timeline for timeline in report.timelines if timeline.step == 0)
    assert first.path.why == "the replay tells that of 5 steady steps, and this is none of them"


def test_the_pieces_of_a_step_sum_to_its_period_and_all_to_the_path(late: Report) -> None:
    periods = {(step, rank): ns for step, rank, ns in late.per_step.select("step", "rank", "period_ns").iter_rows()}
    drawn = [timeline for timeline in late.timelines if not timeline.path.why]
    assert len(drawn) > 5
    assert "median" in drawn[0].role
    for timeline in drawn:
        pieces = timeline.path.pieces
        assert pieces["end"][:-1].to_list() == pieces["begin"][1:].to_list()
        assert (pieces["end"] - pieces["begin"]).sum() == periods[timeline.step, timeline.path.home]
    pace = late.diagnosis.pace
    assert pace is not None
    whole = by_class(pace.pieces)
    table: dict[str, int] = {}
    for (name, _), ns in pace.path.items():
        table[name] = table.get(name, 0) + ns
    # The table is of the usual half of the counted steps, of which the late rank takes as much as of all.
    scale = pace.period.median / sum(whole.values())
    assert {name: ns * scale for name, ns in whole.items()} == pytest.approx(table, abs=0.001 * pace.period.median)


def test_the_path_weighs_little_and_is_bounded(late: Report) -> None:
    bare = replace(late, timelines=[replace(one, path=StepPath(why="none")) for one in late.timelines])
    assert len(to_html(late)) <= 1.05 * len(to_html(bare))
    few = within(late.timelines, 1_000)
    assert [bool(one.path.why) for one in few][:2] == [False, True]
    assert "this file holds 1,000" in few[1].path.why
    assert timeline_data(replace(late, timelines=few), Planes(len)).count('"untold"') >= len(few) - 1


def test_a_key_and_a_button_go_along_the_path(browser: Browser, page: Path, late: Report) -> None:
    timeline = late.timelines[0]
    pieces = timeline.path.pieces
    with opened(browser, page) as shown:

        def told() -> str:
            shown.settle()
            return shown.page.inner_text("#path-status")

        assert told() == ""
        assert shown.page.get_attribute("#path-status", "aria-live") == "polite"
        assert INK["light"] in shown.colours()
        shown.page.focus("#canvas")
        shown.page.keyboard.press("p")
        first = told()
        us = (pieces["end"][0] - pieces["begin"][0]) / 1e3
        assert first.startswith(f"Critical path, piece 1 of {len(pieces)}: compute, {us:.3f} µs on rank 1, stream 7: ")
        assert first.endswith(f"{Why.WORK.words}.")
        # The piece is in the middle of what is shown, and so large that it can be seen.
        at = shown.dataset()
        assert int(at["begin"]) + int(at["end"]) == pytest.approx(pieces["begin"][0] + pieces["end"][0], abs=4)
        shown.page.keyboard.press("p")
        assert "piece 2 of" in told()
        shown.page.keyboard.press("Shift+P")
        assert told() == first
        shown.page.keyboard.press("Shift+P")
        assert told() == f"{first} The path of this step ends here."
        shown.page.click("[data-key='p']")
        assert "piece 2 of" in told()
        shown.page.click("[data-key='P']")
        assert told() == first
        shown.page.focus("#canvas")
        # On to where the path comes to another rank: who came last is told.
        met = pieces["why"].to_list().index(Why.MET)
        for _ in range(met):
            shown.page.keyboard.press("p")
        assert f"piece {met + 1} of" in told()
        assert f"on rank {pieces['rank'][met]}, stream 7, after rank 1" in told()
        rows = shown.page.eval_on_selector_all("#step-path tbody tr", "all => all.map(row => row.cells[1].textContent)")
        assert round(sum(1_000 * float(text.replace(",", "")) for text in rows)) == sum(pieces["end"] - pieces["begin"])
        shown.page.click("#legend [data-line=path]")
        shown.settle()
        assert INK["light"] not in shown.colours()
        assert not [said for said in shown.said if "error" in said]
    with opened(browser, page, color_scheme="dark") as shown:
        assert INK["dark"] in shown.colours()
        shown.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert INK["light"] in shown.colours()
    with opened(browser, page, viewport={"width": 390, "height": 800}, has_touch=True) as shown:
        shown.page.tap("[data-key='p']")
        shown.settle()
        assert shown.page.inner_text("#path-status") == first


def test_where_no_path_can_be_told_the_key_and_the_page_say_why(browser: Browser, late: Report, tmp_path: Path) -> None:
    what = late.diagnosis.what_if
    assert what is not None
    why = "a replay of the steps misses their period by 20.0 %"
    missed = replace(late.diagnosis, what_if=replace(what, error=0.2, why=why))
    first = late.timelines[0]
    path = paths_in_steps(missed, {first.step: first.origin}, first.slices)[first.step]
    assert (len(path.pieces), path.why) == (0, why)
    report = replace(late, diagnosis=missed, timelines=[replace(first, path=path)])
    file = tmp_path / "t.html"
    file.write_text(to_html(report).replace('<div class="plot"', '<div class="no-plot"'), "utf-8")
    with opened(browser, file) as shown:
        shown.page.focus("#canvas")
        shown.page.keyboard.press("p")
        shown.settle()
        assert shown.page.inner_text("#path-status") == f"Step {first.step} has no critical path to follow: {why}."
        assert shown.page.query_selector("#legend [data-line=path]") is None
        assert f"No critical path can be told: {why}." in shown.page.inner_text("#verdict")
        assert shown.said == []
