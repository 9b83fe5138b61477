"""The parts that every HTML page shares: sections, plots, tables, escaping, and a page that opens offline."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape, unescape
from importlib.resources import files
from string import Template

from nsysan.output import signed
from nsysan.page.figure import Figure
from nsysan.page.pack import INLINE, library, packed, source_hash, template
from nsysan.page.palette import PAPER, VARIABLES, style
from nsysan.text import UNIT, plain

#: More columns than this are many; a table of so few rows is not broken.
_WIDE, _FEW = 9, 20
#: Joined into one script, in which each may use what stands before it.
_SCRIPTS = (
    "page.js",
    "tables.js",
    "recorded.js",
    "steps.js",
    "timeline_view.js",
    "timeline_operations.js",
    "timeline_path.js",
    "timeline_slices.js",
    "timeline_head.js",
    "timeline_drawing.js",
    "timeline_navigation.js",
    "timeline_controls.js",
    "timeline_cursor.js",
    "timeline_range.js",
    "timeline_find.js",
    "timeline_drag.js",
    "timeline_ranks.js",
    "timeline_pointer.js",
    "timeline_keys.js",
    "timeline.js",
    "start.js",
)

#: Most cells of tables: nothing to escape, replace or cut.
_HARMLESS = re.compile(r"[\w .,:%+-]{0,100}", re.ASCII)
#: Indents and lines of comments, which no browser reads; no text goes over several lines.
_UNREAD = re.compile(r"^ *//.*\n|^ +", re.MULTILINE)


@cache
def own_script() -> str:
    """The script of every page, as it stands in them."""
    return "".join(_UNREAD.sub("", _asset(name)) for name in _SCRIPTS)


def own_style() -> str:
    """The style of every page behind its colours, as it stands in them."""
    return _asset("page.css")


def render(
    title: str,
    subtitle: str,
    body: str,
    plots: dict[str, str],
    version: str,
    *,
    of: str,
    links: Sequence[tuple[str, str]] = (),
    data: str = "null",
    columns: Callable[[], str] = str,
    plotlyjs: str = INLINE,
) -> str:
    """The page; only its own scripts may run.

    body: HTML of our own making; plots: as `plot` filled it; of: its subject (see output.subject); links: anchor and
    title of the navigation; data: JSON for the page's timeline; columns: gives the bytes that it describes, packed;
    plotlyjs: pack.INLINE or pack.CDN.
    """
    script = own_script()
    plotly = library(plotlyjs)
    figures = ",".join(f'"{name}":{text}' for name, text in plots.items())
    shared = f'"themed":{json.dumps(VARIABLES)},"template":{template() if plots else "{}"}'
    entries = "".join(f'<a href="#{safe(anchor)}">{safe(name)}</a>' for anchor, name in links)
    page = Template(_asset("page.html")).substitute(
        title=safe(title),
        subtitle=said(subtitle),
        policy=_policy(f"'{source_hash(script)}'", plotly.allowed),
        style=style() + own_style(),
        skips=_skips([anchor for anchor, _ in links]),
        navigation=f'<nav aria-label="sections">{entries}</nav>' if entries else "",
        body=body,
        data=packed(f'{{"figures":{{{figures}}},{shared},"report":{data}}}'.encode()),
        columns=f'<script type="text/plain" id="columns">{tables}</script>' if (tables := columns()) else "",
        plotly=plotly.element,
        script=script,
        version=safe(version),
    )
    return signed(page, of)


def _skips(anchors: Sequence[str]) -> str:
    """Links past the navigation, seen when they have the focus."""
    to = [("main", "skip to the content"), *([("canvas", "skip to the timeline")] if "timeline" in anchors else [])]
    return "".join(f'<a class="skip" href="#{anchor}">{name}</a>' for anchor, name in to)


def section(title: str, note: str, *parts: str, anchor: str = "", folded: str = "") -> str:
    """A headed section; parts: HTML of our own making. folded: what is in it, where it is shown when asked for."""
    name = f' id="{safe(anchor)}"' if anchor else ""
    body = f'<p class="note">{safe(note)}</p>{"".join(parts)}'
    if folded:
        body = f'<details class="fold"><summary>{safe(folded)}</summary>{body}</details>'
    return f"<section{name}><h2>{safe(title)}</h2>{body}</section>"


def plot(plots: dict[str, str], name: str, figure: Figure | None, *, steps: bool = False) -> str:
    """The place of a figure, whose data goes to `plots`; nothing where there is no figure.

    The figure's title stands above it as text, which a narrow screen can break. steps: its x axis is that of the
    steps, and a click on one opens it in the timeline.
    """
    if figure is None:
        return ""
    if figure.layout.get("barmode") == "stack":
        # What lies side by side is told apart in grey as well.
        for bars in (trace for trace in figure.data if trace["type"] == "bar"):
            bars["marker"] = {**bars.get("marker", {}), "line": {"width": 1, "color": PAPER}}
    plots[name] = figure.to_json()
    # A figure's title is escaped already, as plotly reads markup in it.
    title = safe(unescape(figure.title or name))
    over_steps = " data-steps" if steps else ""
    return (
        f'<figure class="chart"><figcaption>{title}</figcaption>'
        f'<div class="plot" id="plot-{name}" data-figure="{name}"{over_steps} style="height:{figure.height}px" '
        f'role="group" aria-label="{title}; the tables hold its figures"></div></figure>'
    )


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    text: tuple[int, ...] = (0,),
    wrap: int = -1,
    raw: tuple[int, ...] = (),
    *,
    caption: str = "",
    terms: Mapping[str, str] | None = None,
    marks: Sequence[str] = (),
) -> str:
    """A table that the reader can copy.

    text: columns aligned left; wrap: a column that may break; raw: columns that hold HTML of our own making; terms:
    HTML of headers by their text; marks: attributes of each row, of our own making.
    """

    def kind(column: int) -> str:
        return ' class="text wrap"' if column == wrap else ' class="text"' if column in text else ""

    named = terms or {}
    head = "".join(
        # A column that needs no name has no header: an empty one is read out as one.
        f'<th scope="col"{kind(i)}>{named.get(cell) or safe(cell)}</th>' if cell else f"<td{kind(i)}></td>"
        for i, cell in enumerate(header)
    )
    lines = (
        "".join(f"<td{kind(i)}>{cell if i in raw else safe(cell)}</td>" for i, cell in enumerate(row)) for row in rows
    )
    attributes = [f" {mark}" for mark in marks] or [""] * len(rows)
    body = "".join(f"<tr{mark}>{line}</tr>" for mark, line in zip(attributes, lines, strict=True))
    title = f"<caption>{safe(caption)}</caption>" if caption else ""
    # On paper a long table may go on overleaf, one of many columns is set small.
    kinds = [*(["wide"] if len(header) > _WIDE else []), *(["few"] if len(rows) <= _FEW else [])]
    return (
        f'<div class="{" ".join(["scroll", *kinds])}" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def safe(text: str) -> str:
    """Text as HTML that shows it."""
    if _HARMLESS.fullmatch(text):
        return text
    return escape(plain(text, 2_000))


def said(text: str) -> str:
    """A sentence as HTML: a number stays with its unit, an option whole."""
    return _OPTION.sub(r'<span class="nb">\g<0></span>', UNIT.sub("&nbsp;", safe(text)))


#: An option of a command, with its value.
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*(?:=[\w,:.+-]*\w)?")


def _asset(name: str) -> str:
    return files("nsysan.page").joinpath("assets", name).read_text("utf-8")


def _policy(*scripts: str) -> str:
    """A content security policy under which only these scripts run, and nothing else is fetched."""
    return (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )
