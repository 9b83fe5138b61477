"""One style of figures over all that people read: page, terminal, Markdown, comparison (nsysan/text.py)."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import nsysan
from nsysan.page.html import to_html
from nsysan.report.build import build_report
from nsysan.report.markdown import to_markdown
from nsysan.report.terminal import to_text
from nsysan.report.what_if_text import what_if_text
from nsysan.text import duration, listed, pct, pct_limit, signed, size
from tests.fixtures import FIXTURES

#: One of four reports that are alike.
ALIKE = ("rank_1", "rank_2", "rank_3")
NAMES = sorted({path.name.split(".")[0] for path in FIXTURES.glob("*.sqlite*")} - {*ALIKE})
#: What is wrong wherever it stands, and what is right.
WRONG = {
    r"\d ?(us|ms|usec|msec)\b": "durations are in µs",
    r"\bus\b(?! and)": "the unit is µs",
    r"\d%": "a space stands before %",
    r"(?<![\d.,])\d+\.\d{2,} %": "a share has one decimal",
    r"(?<![\d.,])\d{4,}(\.\d+)? µs": "thousands are told apart by commas",
    r"\d[\d,]{3,} B\b": "sizes are in the largest unit that they reach",
    r"\d [KMG]B\b(?!/)": "sizes are in binary units",
    r"\b(untold|saves us)\b": "plain words",
    r"(?<![\w,])(\d+), \d+, \d+, \d+, \d+ and \d+": "what is in a row is told by first and last",
}
#: Quoted from elsewhere, or a ratio of sizes that the maker of a link uses.
QUOTED = re.compile(r"at \d+\.\d MB, |\d+(\.\d+)? MB up|datasheet[^)]*\)|LL128 [^)]*")


class _Visible(HTMLParser):
    """The text of a page, a line an element, with what its titles and captions say; not the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.told: list[str] = []
        self._hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("script", "style")
        self.told += [value for name, value in attrs if name in ("title", "aria-label") and value]

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.told.append(data)


def wrong(text: str) -> list[str]:
    """What breaks the style, with the place."""
    told = QUOTED.sub("", text)
    return [
        f"{why}: {told[max(0, found.start() - 40) : found.end() + 20]!r}"
        for pattern, why in WRONG.items()
        for found in re.finditer(pattern, told)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_output_of_every_fixture(analyzed: Callable[[str], nsysan.Run], name: str) -> None:
    # No page is looked at that has timelines: what these say is of the page's script.
    report = build_report(analyzed(name), "0", timelines=False)
    page = "\n".join(_Visible(to_html(report)).told)
    for text in (to_text(report), to_markdown(report), what_if_text(report), page):
        assert wrong(text) == []


def test_the_pages_script_has_the_same_unit() -> None:
    assets = Path(nsysan.__file__).parent / "page" / "assets"
    for path in assets.glob("*.js"):
        strings = re.findall(r"`[^`]*`|\"[^\"\n]*\"", path.read_text("utf-8"))
        assert [
            text for text in strings if re.search(r"[ }](us|ms)\b(?! *\()", re.sub(r"\$\{[^}]*\}", "}", text))
        ] == []


def test_the_style_on_paper() -> None:
    assert [duration(2_498_123), duration(500), signed(-1_000_500)] == ["2,498.1 µs", "0.5 µs", "-1,000.5 µs"]
    assert [pct(0.855), pct(1), pct_limit(0.05), pct_limit(0.005)] == ["85.5 %", "100.0 %", "5 %", "0.5 %"]
    assert [listed([]), listed("a"), listed("ab"), listed("abc")] == ["", "a", "a and b", "a, b and c"]
    assert [size(8192), size(1536), size(1 << 20), size(16)] == ["8 KiB", "1.5 KiB", "1 MiB", "16 B"]
    assert wrong("85.5 % of 2,498.1 µs, steps 1 to 8, 8 KiB") == []
    assert len(wrong("85% of 2498.1 us (2 ms), steps 1, 2, 3, 4, 5 and 6 of 8192 B")) == 6
