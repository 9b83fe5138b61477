"""Measure pages in a headless Chromium: weight, tasks, screens, sheets, keys, contrast of what one has to read.

usage: python scripts/page_figures.py PAGE.html ...

Prints a line a page: its bytes; the longest task while it loads and when all is unfolded (ms of CPU);
screens of 1280 x 800 when opened and sheets of A4; how far down the first screen verdict, bars and advice end; presses
of Tab, and one of Enter, until the timeline has the focus; pixels by which it is wider than a phone or a wide screen.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from nsysan.page.png import find_browser

SIZE = {"width": 1280, "height": 800}
_SHEET = re.compile(rb"/Type ?/Page\b")
_TASK = "ThreadControllerImpl::RunTask"
_UNFOLD = """async () => {
  for (const fold of document.querySelectorAll("details.fold")) {
    fold.open = true;
    fold.scrollIntoView();
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}"""
_ENDS = """() => ["h1", ".lead", ".cards", ".verdict", ".first .strip:nth-of-type(2)"].map((name) => {
  const found = document.querySelector(name);
  return `${name} ${found ? Math.round(found.getBoundingClientRect().bottom) : "-"}`;
}).join(", ")"""


def load(page: Page, path: Path) -> None:
    page.goto(path.absolute().as_uri())
    page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    page.wait_for_timeout(500)


def tabs(page: Page) -> str:
    """Presses until the timeline has the focus."""
    for count in range(1, 100):
        page.keyboard.press("Tab")
        if "timeline" in str(page.evaluate("document.activeElement.textContent")).lower():
            page.keyboard.press("Enter")
            return f"{count} and Enter" if page.evaluate("document.activeElement.id") == "canvas" else "not reached"
    return "not reached"


@contextmanager
def longest(browser: Browser, page: Page, what: str, told: list[str]) -> Iterator[None]:
    """Tell the longest task of the page's main thread meanwhile, ms of CPU."""
    browser.start_tracing(page=page, categories=["toplevel"])
    yield
    events = json.loads(browser.stop_tracing())["traceEvents"]
    names = [event for event in events if event.get("name") == "thread_name"]
    main_ = {(event["pid"], event["tid"]) for event in names if event["args"]["name"] == "CrRendererMain"}
    tasks = [event for event in events if event.get("name") == _TASK and (event["pid"], event["tid"]) in main_]
    told.append(f"longest task {max((event.get('tdur', 0) for event in tasks), default=0) / 1e3:.0f} ms {what}")


def figures(browser: Browser, path: Path) -> str:
    told = [f"{path.name}: {path.stat().st_size / 1e6:.2f} MB"]
    page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
    with longest(browser, page, "loading", told):
        load(page, path)
    told.append(f"{page.evaluate('document.documentElement.scrollHeight') / SIZE['height']:.1f} screens")
    sheets = _SHEET.findall(page.pdf(prefer_css_page_size=True))
    told.append(f"{len(sheets)} sheets")
    told.append(f"ends at {page.evaluate(_ENDS)} px")
    told.append(f"timeline in {tabs(page)}")
    page.close()
    page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
    load(page, path)
    with longest(browser, page, "unfolding", told):
        page.evaluate(_UNFOLD)
    page.close()
    for width in (390, 1920):
        page = browser.new_page(viewport={"width": width, "height": SIZE["height"]})
        load(page, path)
        told.append(f"{page.evaluate('document.documentElement.scrollWidth - innerWidth')} px too wide at {width}")
        page.close()
    return "; ".join(told)


def main() -> None:
    """Measure the pages that are named."""
    browser = find_browser()
    if len(sys.argv) < 2 or browser is None:
        sys.exit(__doc__ if browser else "page_figures: no browser on PATH, and NSYSAN_BROWSER names none")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name in sys.argv[1:]:
            print(figures(chromium, Path(name)))
        chromium.close()


if __name__ == "__main__":
    main()
