"""The page's timeline as a tool: search, ranges and their ledger, who is waited for, facts, ranks, keys, the link."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import polars as pl
import pytest
from playwright.sync_api import Browser

import nsysan
from nsysan.metrics.lines import CLAIMED, Line
from nsysan.metrics.partition import partition
from nsysan.page.html import to_html
from nsysan.page.palette import NAMES
from nsysan.report.build import build_report
from nsysan.report.range_cells import cell_width
from nsysan.report.report import Report
from nsysan.report.timeline import Timeline
from tests.browser import Opened, launched, opened
from tests.page.events import EARLY, fire
from tests.tracebuilder import TraceBuilder, decode_loop

#: Steps of the run whose ranges are held against what Python makes of them.
_RANGES = 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def run(analyzed: Callable[[str], nsysan.Run]) -> nsysan.Run:
    """A real run whose rank 1 has a late host."""
    return analyzed("tp4_late1")


@pytest.fixture(scope="module")
def report(run: nsysan.Run) -> Report:
    return build_report(run, nsysan.__version__)


@pytest.fixture(scope="module")
def file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with no place for charts."""
    file = tmp_path_factory.mktemp("tool") / "late.html"
    file.write_text(to_html(report).replace('<div class="plot"', '<div class="no-plot"'), "utf-8")
    return file


@pytest.fixture(scope="module")
def shared(browser: Browser, file: Path) -> Iterator[Opened]:
    with opened(browser, file) as page:
        yield page


@pytest.fixture
def page(shared: Opened, report: Report) -> Iterator[Opened]:
    """The page as it is when it is opened, at the median step."""
    shared.page.keyboard.press("Escape")
    shared.page.fill("#find", "")
    order = ".".join(map(str, [1, 0, 2, 3]))
    step = report.timelines[0].step
    # The address lags behind what is shown: one that is there already would change nothing.
    shared.go(f"#step={step}")
    shared.go(f"#step={step}&hide=&fold=&top=&order={order}")
    shared.page.focus("#canvas")
    yield shared
    assert not [said for said in shared.said if "error" in said]


def press(page: Opened, *keys: str) -> str:
    """What is told of the operation that one is at, after these keys on the timeline."""
    page.page.focus("#canvas")
    for key in keys:
        page.page.keyboard.press(key)
    page.settle()
    return str(page.page.inner_text("#op-status"))


def rows(page: Opened, table: str) -> list[dict[str, str]]:
    """A table's rows by its heads."""
    found = page.page.eval_on_selector_all(
        f"{table} tr", "all => all.map(row => [...row.cells].map(c => c.textContent))"
    )
    return [dict(zip(found[0], cells, strict=True)) for cells in found[1:]]


def ns(text: str) -> int:
    return round(float(text.replace(",", "")) * 1_000)


def operations(timeline: Timeline) -> pl.DataFrame:
    """Its slices, calls and ranges included, a call that waits as one: with its begin, but with the end of its wait."""
    own = timeline.slices.sort("rank", "lane", "begin", "end")
    after = (pl.col("line").shift(1) == Line.WAIT) & (pl.col("name") == pl.col("name").shift(1))
    meets = pl.col("begin") == pl.col("end").shift(1)
    goes_on = (after & meets & pl.col("line").is_in([Line.WIRE, Line.FUSED])).over("rank", "lane").fill_null(False)
    return own.filter(~goes_on)


# ---- search


def test_search_counts_and_goes_from_hit_to_hit_on_collapsed_ranks_too(page: Opened, report: Report) -> None:
    timeline = report.timelines[0]
    hits = operations(timeline).filter(
        pl.col("name").str.contains("(?i)allreduce") & pl.col("name").str.contains("bf16")
    )
    hits = hits.sort("begin", "rank")
    page.page.keyboard.press("/")
    assert page.page.evaluate("document.activeElement.id") == "find"
    page.page.keyboard.type("BF16 allreduce")
    page.settle()
    assert page.page.inner_text("#hits") == f"{len(hits)} hits on 4 ranks"
    page.page.keyboard.press("Enter")
    assert page.page.inner_text("#hits") == f"1 of {len(hits)} hits on 4 ranks"
    told = press(page, "Shift+E", "n", "n")
    assert page.page.inner_text("#hits").startswith("3 of ")
    third = hits.row(2, named=True)
    assert third["name"] in told
    assert f"at {third['begin'] / 1e3:,.3f} µs on rank {third['rank']}, {third['lane']}" in told
    # All ranks are collapsed, and stay so, as the hit is seen on the lane that they share.
    assert page.page.locator("#heads [aria-expanded=false]").count() == 4
    assert press(page, "Shift+N", "Shift+N") == press(page)
    assert page.page.inner_text("#hits").startswith("1 of ")
    press(page, "Shift+N")
    assert page.page.inner_text("#hits").startswith(f"{len(hits)} of ")
    # What is hidden is told apart.
    press(page, "h")
    last = hits["rank"][-1]
    elsewhere = len(hits.filter(pl.col("rank") != last))
    assert page.page.inner_text("#hits") == f"{elsewhere} hits on 3 ranks, {len(hits) - elsewhere} on hidden ranks"
    page.page.fill("#find", "no such kernel")
    assert page.page.inner_text("#hits").startswith("0 hits")
    page.page.press("#find", "Escape")
    assert page.page.inner_text("#hits") == ""
    assert page.page.evaluate("document.activeElement.id") == "canvas"


def test_what_is_found_stands_out_and_the_rest_steps_back(page: Opened) -> None:
    compute = "#0072b2"
    before = page.colours()[compute]
    wait = page.colours()["#e69f00"]
    page.page.fill("#find", "allreduce")
    page.settle()
    found = page.colours()
    assert found.get(compute, 0) == 0 < before
    assert found["#e69f00"] > 0.9 * wait
    # The full name is searched too, where the short one does not say it.
    page.page.fill("#find", "at::native")
    page.settle()
    assert not page.page.inner_text("#hits").startswith("0 ")


# ---- ranges


def test_the_ledger_of_a_range_is_the_partitions_to_the_ns(page: Opened, run: nsysan.Run, report: Report) -> None:
    chance = Random(3)
    titles = {line: NAMES[line] for line in (*CLAIMED, Line.IDLE)}
    for timeline in report.timelines[:_RANGES]:
        windows = run.windows.filter(pl.col("step") == timeline.step)
        tiles = partition(run.work, windows).with_columns(pl.col("begin", "end") - timeline.origin)
        whole = (0, timeline.finish - timeline.origin)
        cuts = [sorted((chance.randrange(-200_000, whole[1] + 100_000), chance.randrange(whole[1]))) for _ in range(3)]
        for begin, end in [whole, *cuts]:
            page.go(f"#step={timeline.step}&range={begin / 1e3:.3f}_{end / 1e3:.3f}")
            shown = rows(page, "#range-ledger")
            assert [row["rank"] for row in shown] == ["rank 1", "rank 0", "rank 2", "rank 3"]
            for row in shown:
                rank = int(row["rank"].split()[1])
                own = tiles.filter(pl.col("rank") == rank)
                clipped = own.with_columns(pl.col("begin").clip(begin, end), pl.col("end").clip(begin, end))
                sums = {line: (part["end"] - part["begin"]).sum() for (line,), part in clipped.group_by("line")}
                found = {line: ns(row[title]) for line, title in titles.items() if title in row}
                assert {line: value for line, value in found.items() if value} == {k: v for k, v in sums.items() if v}
                beyond = ns(row.get("not of this rank's step", "0"))
                assert ns(row["range"]) == end - begin == sum(found.values()) + beyond
    # Of the whole step the lines are the ledger's.
    page.go(f"#step={timeline.step}&range=0.000_{whole[1] / 1e3:.3f}")
    ledger = report.per_step.filter(pl.col("step") == timeline.step, pl.col("rank") == 2).row(0, named=True)
    row = rows(page, "#range-ledger")[2]
    assert [ns(row[NAMES[line]]) for line in ("compute", "wait", "wire")] == [
        ledger[f"{line}_ns"] for line in ("compute", "wait", "wire")
    ]


def test_a_range_by_keys_and_by_a_drag_has_its_kernels_and_is_let_go(page: Opened, report: Report) -> None:
    timeline = report.timelines[0]
    first = operations(timeline).filter(pl.col("rank") == 1, pl.col("lane") == "stream 7").row(0, named=True)
    press(page, "ArrowDown", "ArrowDown", ".", "0")
    page.go(f"#step={timeline.step}&range={first['begin'] / 1e3:.3f}_{first['end'] / 1e3:.3f}")
    kernels = rows(page, "#range-kernels")
    inside = timeline.slices.filter(~pl.col("line").is_in(["launch", "nvtx"])).select(
        "name", ns=pl.min_horizontal(pl.col("end"), first["end"]) - pl.max_horizontal(pl.col("begin"), first["begin"])
    )
    sums = inside.filter(pl.col("ns") > 0).group_by("name").agg(pl.sum("ns"))
    assert {row["name"]: ns(row["sum in the range"]) for row in kernels} == dict(sums.iter_rows())
    press(page, "Escape")
    assert not page.page.is_visible("#range")
    # By keys: from one collective to the next but one; in whichever order.
    told = press(page, "c", "i")
    assert told.startswith("Range begins at ")
    assert press(page, "c", "c", "o").startswith("Range of ")
    assert page.page.inner_text("#range b").startswith("Range of ")
    # A browser takes so many new addresses a second.
    page.page.wait_for_url(re.compile("range="))
    press(page, "Escape", "0")
    page.page.wait_for_url(re.compile("^(?!.*range=)"))
    frame = page.page.locator("#canvas canvas").bounding_box()
    assert frame is not None
    at = [frame["x"] + 132 + share * (frame["width"] - 136) for share in (0.25, 0.5)]
    page.page.keyboard.down("Shift")
    page.page.mouse.move(at[0], frame["y"] + 40)
    page.page.mouse.down()
    page.page.mouse.move(at[1], frame["y"] + 60, steps=3)
    page.page.mouse.up()
    page.page.keyboard.up("Shift")
    page.settle()
    span = timeline.finish - timeline.origin
    assert ns(rows(page, "#range-ledger")[0]["range"]) == pytest.approx(span / 4, rel=0.01)
    assert page.dataset()["end"] == str(span)


def test_a_step_that_is_not_whole_in_the_file_has_an_exact_ledger_in_cells(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nsysan.report.slices.MAX_SLICES", 60)
    builder = TraceBuilder()
    decode_loop(builder, steps=4)
    run = nsysan.analyze(builder.write(tmp_path / "t.sqlite"))
    few = build_report(run, "0")
    timeline = few.timelines[0]
    windows = run.windows.filter(pl.col("step") == timeline.step)
    tiles = partition(run.work, windows).with_columns(pl.col("begin", "end") - timeline.origin)
    width = cell_width(timeline.finish - timeline.origin)
    begin, end = 40 * width, 110 * width
    page = tmp_path / "t.html"
    page.write_text(to_html(few).replace('<div class="plot"', '<div class="no-plot"'), "utf-8")
    # Its edges are near those of cells.
    fragment = f"#step={timeline.step}&range={(begin + 20) / 1e3:.3f}_{(end - 10) / 1e3:.3f}"
    with opened(browser, page, fragment, script=EARLY) as shown:
        assert "slices are in this file" in shown.page.inner_text("#range .note")
        assert shown.page.query_selector("#range-kernels") is None
        found = rows(shown, "#range-ledger")
        assert len(found) == len(windows) > 1
        for row in found:
            own = tiles.filter(pl.col("rank") == int(row["rank"].split()[1]))
            clipped = own.with_columns(pl.col("begin").clip(begin, end), pl.col("end").clip(begin, end))
            sums = {NAMES[line]: (part["end"] - part["begin"]).sum() for (line,), part in clipped.group_by("line")}
            told = {name: ns(text) for name, text in row.items() if name not in ("rank", "range")}
            assert {name: value for name, value in told.items() if value} == {k: v for k, v in sums.items() if v}
            assert ns(row["range"]) == end - begin == sum(told.values())
        # Events that came before anything could be drawn did nothing, and neither do those to come.
        fire(shown, 1_500, 11, "#stage, #stage *")
        assert not [said for said in shown.said if "error" in said]


# ---- who is waited for, and what is known


def test_from_who_waits_to_the_rank_waited_for_and_back(page: Opened, report: Report) -> None:
    timeline = report.timelines[0]
    arrivals = timeline.arrivals.filter(pl.col("rank") == 2).sort("time")
    page.page.select_option("#rank", "2")
    told = press(page, "c", "c")
    number = arrivals["collective"][1]
    call = timeline.arrivals.filter(pl.col("collective") == number)
    last = call.filter("last").row(0, named=True)
    waited = last["time"] - arrivals["time"][1]
    assert f"waits {waited / 1e3:,.3f} µs, then moves data for " in told
    late = f"arrived last, {last['lateness'] / 1e3:,.3f} µs after the first"
    assert told.endswith(f"collective {number}: rank {last['rank']} {late}")
    there = press(page, "j")
    assert f"on rank {last['rank']}, " in there
    assert there.endswith(f"this rank {late}")
    assert press(page, "j").endswith("the others waited for this rank")
    assert press(page, "b") == told
    assert press(page, "Shift+C") != told == press(page, "c")
    page.page.select_option("#rank", "")
    first = f"collective {timeline.arrivals.filter(pl.col('rank') == 2).sort('time')['collective'][0]}"
    assert first in press(page, "Shift+C")
    assert press(page, "Shift+C").startswith("No collective before this one on rank 2")


def test_what_is_known_of_an_operation_is_kept_and_can_be_copied(
    page: Opened, report: Report, real_trace: Callable[[str], Path]
) -> None:
    press(page, "c", "Enter")
    assert page.page.is_visible("#pinned")
    facts = dict(
        page.page.eval_on_selector_all("#pinned dt", "all => all.map(e => [e.textContent, e.nextSibling.textContent])")
    )
    timeline = report.timelines[0]
    mine = timeline.slices.filter(pl.col("rank") == 1, pl.col("call").is_not_null()).sort("begin").row(0, named=True)
    launch = timeline.slices.filter(pl.col("line") == "launch", launch=mine["launch"]).row(0, named=True)
    with closing(sqlite3.connect(real_trace("tp4_late1"))) as connection:
        query = (
            "SELECT DISTINCT d.value, gridX || ' x ' || gridY || ' x ' || gridZ, blockX || ' x ' || blockY || ' x ' || "
            "blockZ FROM CUPTI_ACTIVITY_KIND_KERNEL JOIN StringIds d ON d.id = demangledName JOIN StringIds s "
            "ON s.id = shortName WHERE s.value = ?"
        )
        known = connection.execute(query, (mine["name"],)).fetchall()
    sides = [facts[name].replace("\u00d7", "x") for name in ("grid", "block")]
    assert (page.page.inner_text("#pinned b"), *sides) in known
    assert facts["where"] == "rank 1, stream 7"
    assert facts["from, to"].startswith(f"{mine['begin'] / 1e3:,.3f} to ")
    assert facts["launch call"].endswith(f" at {launch['begin'] / 1e3:,.3f} µs")
    delay, queue = mine["begin"] - launch["begin"], mine["begin"] - launch["end"]
    assert facts["launch delay"].startswith(f"{delay / 1e3:,.3f} µs from the call's begin, {queue / 1e3:,.3f} µs")
    assert facts["collective"].startswith(f"{mine['call']} of this step; ")
    assert page.page.eval_on_selector("#pinned", "e => getComputedStyle(e).userSelect") in ("auto", "text")
    # Its lane is not covered, and a click elsewhere lets go of it.
    press(page, "Enter")
    assert not page.page.is_visible("#pinned")
    press(page, "Enter", "Escape")
    assert not page.page.is_visible("#pinned")
    frame = page.page.locator("#canvas canvas").bounding_box()
    assert frame is not None
    stream = frame["y"] + 4 + 15 + 15 + 10
    page.page.mouse.click(frame["x"] + 132 + 0.5 * (frame["width"] - 136), stream)
    page.settle()
    assert page.page.is_visible("#pinned")
    assert "on rank 1, stream 7" in page.page.inner_text("#op-status")
    page.page.click("#pinned [data-do=close]")
    assert not page.page.is_visible("#pinned")


# ---- looking


def test_zoom_is_undone_and_the_strip_moves_what_is_shown(page: Opened, report: Report) -> None:
    span = report.timelines[0].finish - report.timelines[0].origin
    views = [(0, span)]
    for key in ("+", "+", "ArrowRight"):
        press(page, key)
        at = page.dataset()
        views.append((int(at["begin"]), int(at["end"])))
    for before, key in zip(reversed(views[:-1]), ("u", "Backspace", "u"), strict=True):
        press(page, key)
        at = page.dataset()
        assert (int(at["begin"]), int(at["end"])) == before
    press(page, "+", "+")
    begin = int(page.dataset()["begin"])
    frame = page.page.locator("#overview canvas").bounding_box()
    assert frame is not None
    scale = (frame["width"] - 136) / span
    x, y = frame["x"] + 132 + scale * (begin + span / 8), frame["y"] + 20
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 0.1 * scale * span, y, steps=4)
    page.page.mouse.up()
    page.settle()
    assert int(page.dataset()["begin"]) == pytest.approx(begin + 0.1 * span, abs=2 / scale)
    press(page, "u")
    assert int(page.dataset()["begin"]) == begin


def test_the_axis_and_a_kept_rank_stay_in_sight(page: Opened) -> None:
    page.page.set_viewport_size({"width": 1280, "height": 260})
    page.page.select_option("#rank", "3")
    press(page, "t")
    assert page.page.get_attribute("#top-heads [data-deed=pin]", "aria-pressed") == "true"
    page.page.evaluate("document.getElementById('canvas').scrollIntoView({block: 'end'})")
    page.settle()
    tops = page.page.evaluate(
        "['axis', 'top-lanes', 'canvas'].map(id => document.getElementById(id).getBoundingClientRect().top)"
    )
    assert tops[2] < tops[0] < tops[1] < 260
    assert tops[0] >= page.page.evaluate("document.querySelector('nav').getBoundingClientRect().bottom") - 1
    page.page.select_option("#rank", "")
    page.page.set_viewport_size({"width": 1280, "height": 900})


# ---- ranks, keys, the link


def names(page: Opened) -> list[str]:
    texts: list[str] = page.page.eval_on_selector_all(".head", "all => all.map(e => e.getAttribute('aria-label'))")
    return [text.removeprefix("rank ") for text in texts]


def test_ranks_are_collapsed_moved_kept_and_hidden(page: Opened) -> None:
    # The one that the verdict names comes first.
    assert names(page) == ["1", "0", "2", "3"]
    assert "late" in page.page.inner_text("#heads [aria-label='rank 1']")
    tall = page.page.evaluate("document.querySelector('#canvas canvas').offsetHeight")
    press(page, "Shift+E")
    assert page.page.evaluate("document.querySelector('#canvas canvas').offsetHeight") < tall / 1.8
    press(page, "Shift+E", "Shift+ArrowDown")
    assert names(page) == ["0", "1", "2", "3"]
    # One of the buttons is in the order of Tab, arrows go to the others.
    assert page.page.locator(".heads [tabindex='0']").count() == 1
    page.page.focus(".heads [tabindex='0']")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        page.page.keyboard.press(key)
    page.settle()
    assert names(page) == ["0", "2", "3"]
    assert "1" in page.page.inner_text("#hidden-ranks")
    page.page.click("#hidden-ranks button >> text=show all")
    assert sorted(names(page)) == ["0", "1", "2", "3"]
    assert not page.page.is_visible("#hidden-ranks")


def test_a_rank_is_dragged_by_its_name_past_others(page: Opened) -> None:
    def middle(rank: int) -> tuple[float, float]:
        box = page.page.locator(f".head[data-rank='{rank}'] > span").first.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(rank: int, past: int, *, drop: bool) -> None:
        page.page.mouse.move(*middle(rank))
        page.page.mouse.down()
        _, y = middle(past)
        for part in (0.3, 0.6, 1.0):
            page.page.mouse.move(middle(rank)[0], middle(rank)[1] * (1 - part) + (y + 40) * part)
        if drop:
            page.page.mouse.up()
        else:
            page.page.keyboard.press("Escape")
            page.page.mouse.up()
        page.settle()

    press(page, "Shift+E")
    drag(1, 2, drop=False)
    assert names(page) == ["1", "0", "2", "3"]
    drag(1, 2, drop=True)
    moved = names(page)
    assert sorted(moved) == ["0", "1", "2", "3"]
    assert moved.index("1") > moved.index("2")
    # It is in the link, as what keys move is, and the lanes went along.
    # The address is written a moment later.
    page.page.wait_for_function(
        "order => location.hash.includes(order)", arg=f"order={'.'.join(moved)}", timeout=10_000
    )
    assert f"Rank 1 is number {moved.index('1') + 1} of those shown" in page.page.inner_text("#op-status")
    press(page, "Shift+E")


def test_the_sheet_names_every_key_and_buttons_do_what_keys_do(page: Opened) -> None:
    press(page, "?")
    assert page.page.evaluate("document.getElementById('keys').open")
    text = page.page.inner_text("#keys")
    for words in ("next hit", "next collective", "rank waited for", "critical path", "the range begins", "collapse"):
        assert words in text
    assert page.page.locator("#keys kbd").count() > 35
    page.page.keyboard.press("Escape")
    assert not page.page.evaluate("document.getElementById('keys').open")
    page.page.click("[data-key='c']")
    assert "collective" in page.page.inner_text("#op-status")
    assert page.page.get_attribute("#op-status", "aria-live") == "polite"
    # From the choice of the step to the lanes is not far by Tab: the buttons of a bar are one stop.
    page.page.focus("#step")
    stops = 0
    while page.page.evaluate("document.activeElement.id") != "canvas":
        page.page.keyboard.press("Tab")
        stops += 1
        assert stops < 12
    page.page.focus("#look button")
    page.page.keyboard.press("ArrowRight")
    assert page.page.evaluate("document.activeElement.dataset.key") == "-"
    unnamed = "all => all.filter(e => !(e.textContent.trim() || e.getAttribute('aria-label'))).length"
    assert page.page.eval_on_selector_all("#stage button", unnamed) == 0


def test_the_link_holds_it_all_and_a_hostile_one_nothing(browser: Browser, page: Opened, file: Path) -> None:
    step = page.dataset()["step"]
    page.go(f"#step={step}&from=100&to=900&range=150.001_800.007&hide=2&fold=3&top=0")
    page.page.fill("#find", "reduce <b>")
    press(page, "c", "Enter")
    page.page.click("#link")
    fragment = page.page.evaluate("location.hash")
    assert re.fullmatch(
        rf"#step={step}&from=[\d.]+&to=[\d.]+&op=\d+p&range=150.001_800.007&find=reduce%20%3Cb%3E&hide=2&fold=3&top=0",
        fragment,
    )
    seen, status, shown = page.dataset(), page.page.inner_text("#op-status"), names(page)
    # Rank 0 is kept in sight, above the others.
    assert shown == ["0", "1", "3"]
    with opened(browser, file, fragment) as again:
        assert again.dataset() == seen
        assert again.page.inner_text("#op-status") == status
        assert again.page.is_visible("#pinned")
        assert names(again) == shown
        assert again.page.input_value("#find") == "reduce <b>"
        assert "Range of 650.006 µs" in again.page.inner_text("#range b")
        for hostile in (
            "#op=99999999&range=1e9_2&hide=x.-1.9e9.77&fold=__proto__&top=&order=3.3",
            "#find=" + "a" * 5_000,
            "#range=-999999999999_999999999999&from=-1e300&to=1e300&step=1e999",
            "#op=%00p&range=%3Cimg%3E_1&hide=" + "1." * 1_500,
        ):
            again.go(hostile)
            assert again.page.is_visible("#canvas")
            assert len(again.page.input_value("#find")) <= 200
        assert again.said == []


def test_thousands_of_odd_events_raise_no_error(browser: Browser, file: Path) -> None:
    """Issue 20: a page said an error when a click had the document itself as its target, among others."""
    with opened(browser, file, script=EARLY) as page:
        fire(page, 3_000, 7, "#stage, #stage *")
        fire(page, 1_500, 8)
        assert not [said for said in page.said if "error" in said]
        assert page.page.evaluate("document.documentElement.dataset.ready") == "true"
        page.go("#step=4")
        assert page.dataset()["step"] == "4"
