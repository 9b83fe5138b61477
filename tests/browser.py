"""A real Chromium that opens reports, for the tests that only a browser can make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, Route, sync_playwright

from nsysan.page.png import find_browser

#: A machine that runs many things at once takes its time; what is never drawn is drawn no later.
PATIENCE_MS = 120_000


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless Chromium; skips the test where there is none."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on PATH, and NSYSAN_BROWSER is not set")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A report in a browser, and all that it said, asked for or tried to run."""

    page: Page
    address: str
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def wait(self) -> None:
        """Until everything is drawn, or the page says that it cannot be."""
        self.page.wait_for_selector("html[data-ready]", state="attached", timeout=PATIENCE_MS)

    def go(self, fragment: str) -> None:
        """To another place of the page, as a click on a link goes there."""
        self.page.evaluate("fragment => { location.hash = fragment; }", fragment)
        self.settle()

    def settle(self) -> None:
        """Until what was asked for is on the screen: two frames."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def dataset(self) -> dict[str, str]:
        """What the timeline shows: step, begin and end in ns after the step's origin."""
        found: dict[str, str] = self.page.evaluate("() => ({...document.getElementById('canvas').dataset})")
        return found

    def colours(self) -> dict[str, int]:
        """Pixels of the timeline by colour, as #rrggbb."""
        found: dict[str, int] = self.page.evaluate(_COUNT_COLOURS)
        return found

    def draw(self) -> None:
        """Unfold everything and draw every chart, as if all had been scrolled to."""
        self.page.evaluate(_DRAW)
        self.settle()

    def plots(self) -> list[dict[str, Any]]:
        """What plotly drew, after all is drawn, a plot each: id, points, titles of its axes, its svg elements' count,
        its title."""
        self.draw()
        found: list[dict[str, Any]] = self.page.evaluate(_PLOTS)
        return found


@contextmanager
def opened(
    browser: Browser,
    file: Path,
    fragment: str = "",
    answers: Mapping[str, Mapping[str, Any]] | None = None,
    script: str = "",
    **options: object,
) -> Iterator[Opened]:
    """The file in a page of its own, drawn; options as those of playwright's new_context.

    answers: what requests get, by pattern of their address, as route.fulfill takes it. script: runs before the page's.
    """
    chosen: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
    context = browser.new_context(**chosen)
    page = context.new_page()
    here = Opened(page, file.absolute().as_uri())
    page.on("console", lambda message: here.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: here.said.append(f"error: {error}"))

    def ask(request: Request) -> None:
        # A blob is what the page holds already.
        if not request.url.startswith("blob:"):
            here.requests.append(request.url)

    page.on("request", ask)

    def dismiss(dialog: Dialog) -> None:
        here.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    for pattern, answer in (answers or {}).items():
        page.route(pattern, partial(_fulfil, answer))
    if script:
        page.add_init_script(script)
    page.goto(here.address + fragment, timeout=PATIENCE_MS)
    here.wait()
    here.settle()
    yield here
    context.close()


def _fulfil(answer: Mapping[str, Any], route: Route) -> None:
    route.fulfill(**answer)


_COUNT_COLOURS = """() => {
  const canvas = document.querySelector("#canvas canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const counts = {};
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] !== 255) continue;
    const name = "#" + [0, 1, 2].map((k) => data[i + k].toString(16).padStart(2, "0")).join("");
    counts[name] = (counts[name] || 0) + 1;
  }
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count >= 8));
}"""
_DRAW = """async () => {
  for (const folded of document.querySelectorAll("details:has(.plot)")) folded.open = true;
  for (const element of document.querySelectorAll(".plot")) await drawOnce(element);
}"""
_PLOTS = """() => [...document.querySelectorAll(".plot")].map((element) => {
  const axes = Object.keys(element.layout).filter((key) => /^xaxis\\d*$/.test(key));
  const layouts = axes.map((axis) => element.layout[axis]).filter((axis) => axis.showticklabels !== false);
  return {
    id: element.id,
    points: element.data.map((series) => (series.z ? series.z.flat() : series.x || series.y || []).length),
    titles: layouts.map((axis) => (axis.title || {}).text || ""),
    drawn: element.querySelectorAll(".main-svg .trace, .main-svg .point, .main-svg .hm").length,
    caption: element.closest("figure").querySelector("figcaption").textContent,
    ink: element.querySelector(".xtick text") ? getComputedStyle(element.querySelector(".xtick text")).fill : "",
    width: element.getBoundingClientRect().width,
  };
})"""
