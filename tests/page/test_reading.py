"""The page for every reader: its first screen, by keyboard and by ear, without scripts, on paper and in grey."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import nsysan
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.causes import GAPS, GapCause
from nsysan.page.elements import table
from nsysan.page.html import to_html
from nsysan.page.palette import COLOURS, INKS, SERIES, colour_of
from nsysan.report.build import build_report
from nsysan.report.report import Report
from tests.browser import launched, opened
from tests.tracebuilder import TraceBuilder, decode_loop

FIRST_SCREEN = {"width": 1280, "height": 800}
#: Of text that is read, by the guidelines for accessibility of the web.
LEAST_CONTRAST = 4.5


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def slow(reported: Callable[[str], Report], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a real run: four ranks, rank 2 computes longer."""
    page = tmp_path_factory.mktemp("slow") / "report.html"
    page.write_text(to_html(reported("tp4_slow")), "utf-8")
    return page


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of eight ranks whose hosts are late."""
    folder = tmp_path_factory.mktemp("eight")
    builder = TraceBuilder()
    decode_loop(builder, ranks=8, steps=20, ahead=False)
    page = folder / "report.html"
    trace = nsysan.open_trace(builder.write(folder / "eight.sqlite"))
    page.write_text(to_html(build_report(nsysan.analyze(trace), nsysan.__version__)), "utf-8")
    return page


def luminance(colour: str) -> float:
    """Of #rgb or #rrggbb, from 0 to 1."""
    digits = colour.lstrip("#")
    whole = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(whole[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("line", list(COLOURS))
def test_text_on_a_colour_can_be_read(line: str) -> None:
    assert contrast(COLOURS[line], INKS[line]) >= LEAST_CONTRAST


def test_one_thing_has_one_colour() -> None:
    # What a host holds up has one, on the card, in the path's bar and among the causes of idle time.
    host = COLOURS[colour_of(VerdictKind.HOST)]
    assert host == COLOURS["nvtx"] == GAPS[GapCause.HOST_LATE].colour
    assert [COLOURS[colour_of(kind)] for kind in ("compute", "wire", "copy")] == [
        COLOURS[line] for line in ("compute", "wire", "copy")
    ]
    assert not set(SERIES) & set(COLOURS.values())


def test_a_column_without_a_name_has_no_header() -> None:
    made = table(["", "kernel", ""], [["1", "gemm", "-"]])
    assert re.findall(r"<th [^>]*>(.*?)</th>", made) == ["kernel"]
    assert made.count("<td") == 5


def test_the_first_screen_says_what_matters(browser: Browser, slow: Path) -> None:
    with opened(browser, slow, viewport=FIRST_SCREEN) as page:
        ends = page.page.evaluate(
            """() => Object.fromEntries(['.lead', '.cards', '.strip', '.verdict'].map((name) =>
              [name, Math.round(document.querySelector(name).getBoundingClientRect().bottom)]))"""
        )
        bars = page.page.eval_on_selector_all(".strip", "all => all.map(one => one.getBoundingClientRect().bottom)")
        named = page.page.eval_on_selector_all(".first .of", "all => all.map(one => one.textContent)")
        assert max(ends.values()) < FIRST_SCREEN["height"], ends
        assert named[:2] == [
            "what GPUs do (ledger), medians over ranks 0, 1 and 3, not late",
            "what the step's length depends on (critical path)",
        ]
        assert bars[1] < FIRST_SCREEN["height"]
        told = page.page.inner_text(".verdict")
        for word in (
            "skew: ",
            "rank 2",
            "how sure",
            "collectives match",
            "replay of the steps misses",
            "Left out",
            "do next",
        ):
            assert word in told, word
        page.page.set_viewport_size({"width": 1920, "height": 1080})
        page.settle()
        wide = page.page.evaluate("document.querySelector('#canvas').getBoundingClientRect().width")
        assert wide > 0.95 * 1920


def test_the_keyboard_comes_to_the_timeline_past_the_navigation(browser: Browser, slow: Path) -> None:
    with opened(browser, slow, viewport=FIRST_SCREEN) as page:
        page.page.keyboard.press("Tab")
        assert page.page.evaluate("document.activeElement.textContent") == "skip to the content"
        assert page.page.evaluate("document.activeElement.getBoundingClientRect().left") > 0
        page.page.keyboard.press("Tab")
        assert page.page.evaluate("document.activeElement.textContent") == "skip to the timeline"
        page.page.keyboard.press("Enter")
        assert page.page.evaluate("document.activeElement.id") == "canvas"
        # What is read out as one picture holds nothing that can be pressed; no header is empty.
        page.draw()
        inside = "[role=img] :is(a, button, [tabindex]), th:empty"
        assert page.page.eval_on_selector_all(inside, "all => all.length") == 0


def test_without_scripts_the_median_step_is_a_picture(browser: Browser, slow: Path) -> None:
    context = browser.new_context(viewport=FIRST_SCREEN, java_script_enabled=False)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(slow.as_uri())
    picture = page.locator("svg.still")
    frame = picture.bounding_box()
    assert frame is not None
    assert frame["width"] > 1_000
    assert 100 < picture.locator("rect").count() <= 700
    assert page.locator("svg.still text").all_text_contents() == [f"rank {rank} stream 7" for rank in range(4)]
    assert not page.locator("#stage").is_visible()
    context.close()


def test_eight_ranks_are_few_screens_and_sheets(browser: Browser, eight: Path) -> None:
    with opened(browser, eight, viewport=FIRST_SCREEN) as page:
        assert page.page.evaluate("document.documentElement.scrollHeight") < 7 * FIRST_SCREEN["height"]
        sheets = page.page.pdf(prefer_css_page_size=True, print_background=True)
        assert len(re.findall(rb"/Type ?/Page\b", sheets)) <= 8


def test_neighbours_are_told_apart_on_grey_paper(browser: Browser, slow: Path) -> None:
    with opened(browser, slow, viewport=FIRST_SCREEN) as page:
        page.page.emulate_media(media="print")
        bars = page.page.eval_on_selector_all(
            ".strip", "all => all.map(bar => [...bar.children].map(part => getComputedStyle(part).backgroundImage))"
        )
        assert len(bars[0]) >= 3
        for looks in bars:
            assert all(one != other for one, other in pairwise(looks))
