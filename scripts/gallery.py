"""Make the pages of the fixtures and their pictures, for the README or a look at all of them.

usage: python scripts/gallery.py FOLDER [FIXTURE ...]

Writes NAME.html and NAME.png (its first screen of 1280 x 800, in a headless Chromium) of each fixture, and index.html.
"""

from __future__ import annotations

import lzma
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

import nsysan
from nsysan.page.html import to_html
from nsysan.page.png import find_browser
from nsysan.report.build import build_report

FIXTURES = Path(__file__).parent.parent / "fixtures"
SIZE = {"width": 1280, "height": 800}
#: Ranks of one run, a file each.
TOGETHER = "rank_"


def sources() -> dict[str, list[Path]]:
    """The fixtures that are traces, by name; those of one run's ranks are one."""
    found: dict[str, list[Path]] = {}
    for path in sorted(FIXTURES.glob("*.sqlite*")):
        name = path.name.split(".")[0]
        found.setdefault("ranks" if name.startswith(TOGETHER) else name, []).append(path)
    return found


def page_of(traces: Sequence[Path], page: Path) -> str:
    """Write the page of these traces; the verdict in words."""
    with TemporaryDirectory() as scratch:
        opened = [nsysan.open_trace(_unpacked(trace, Path(scratch))) for trace in traces]
        report = build_report(nsysan.analyze(opened), nsysan.__version__)
        page.write_text(to_html(report), "utf-8")
    return f"{report.diagnosis.verdict.kind}: {report.diagnosis.verdict.reason}"


def picture_of(browser: Browser, page: Path, picture: Path, size: dict[str, int]) -> None:
    """Take the page's first screen of this size."""
    shown = browser.new_page(viewport=size, color_scheme="light")  # type: ignore[arg-type]
    shown.goto(page.absolute().as_uri())
    shown.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    shown.screenshot(path=picture)
    shown.close()


def _unpacked(trace: Path, folder: Path) -> Path:
    if trace.suffix != ".xz":
        return trace
    target = folder / trace.stem
    target.write_bytes(lzma.decompress(trace.read_bytes()))
    return target


def main() -> None:
    """Make them, and a page that shows all."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    known = sources()
    if unknown := set(wanted) - known.keys():
        sys.exit(f"gallery: no fixture {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    browser = find_browser()
    if browser is None:
        sys.exit("gallery: no browser on PATH, and NSYSAN_BROWSER names none")
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name in wanted or known:
            page, picture = folder / f"{name}.html", folder / f"{name}.png"
            verdict = page_of(known[name], page)
            picture_of(chromium, page, picture, SIZE)
            print(f"{name}: {page.stat().st_size / 1e6:.2f} MB; {verdict}")
            told = f"<figcaption>{escape(name)}: {escape(verdict)}</figcaption>"
            shown = f'<img src="{name}.png" alt="first screen of {escape(name)}" width="640">'
            entries.append(f'<figure><a href="{name}.html">{shown}</a>{told}</figure>')
        chromium.close()
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>nsysan: fixtures</title>'
    (folder / "index.html").write_text(f"{head}<h1>Reports of the fixtures</h1>{''.join(entries)}</html>", "utf-8")


if __name__ == "__main__":
    main()
