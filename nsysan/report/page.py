"""The parts that every HTML page shares: sections, plots, tables, escaping, and a page that opens offline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from nsysan.report.text import plain


def render(title: str, subtitle: str, body: str, plots: dict[str, str], version: str) -> str:
    """The page; only its own scripts may run. body: HTML of our own making; plots: as `plot` filled it."""
    plotly, script = get_plotlyjs(), _asset("page.js")
    return Template(_asset("page.html")).substitute(
        title=safe(title),
        subtitle=safe(subtitle),
        policy=_policy(plotly, script),
        style=_asset("page.css"),
        body=body,
        figures="\n".join(
            f'<script type="application/json" id="figure-{name}">{text}</script>' for name, text in plots.items()
        ),
        plotly=plotly,
        script=script,
        version=safe(version),
    )


def section(title: str, note: str, *parts: str, anchor: str = "") -> str:
    """A headed section; parts: HTML of our own making."""
    name = f' id="{safe(anchor)}"' if anchor else ""
    return f'<section{name}><h2>{safe(title)}</h2><p class="note">{safe(note)}</p>{"".join(parts)}</section>'


def plot(plots: dict[str, str], name: str, figure: go.Figure | None, zoom: str = "") -> str:
    """The place of a figure, whose data goes to `plots`; nothing where there is no figure."""
    if figure is None:
        return ""
    # "<" would end the script element that holds the figure.
    plots[name] = str(figure.to_json()).replace("<", "\\u003c")
    height = f"height:{figure.layout.height}px"
    return f'<div class="plot" id="{name}" data-figure="figure-{name}" data-zoom="{zoom}" style="{height}"></div>'


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    text: tuple[int, ...] = (0,),
    wrap: int = -1,
    raw: tuple[int, ...] = (),
) -> str:
    """text: columns aligned left; wrap: a column that may break; raw: columns that hold HTML of our own making."""

    def kind(column: int) -> str:
        return ' class="text wrap"' if column == wrap else ' class="text"' if column in text else ""

    head = "".join(f"<th{kind(i)}>{safe(cell)}</th>" for i, cell in enumerate(header))
    lines = (
        "".join(f"<td{kind(i)}>{cell if i in raw else safe(cell)}</td>" for i, cell in enumerate(row)) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def safe(text: str) -> str:
    """Text as HTML that shows it."""
    return escape(plain(text, 2_000))


def _asset(name: str) -> str:
    return files("nsysan.report").joinpath("assets", name).read_text("utf-8")


def _policy(*scripts: str) -> str:
    """A content security policy under which only these scripts run, and nothing is fetched."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )
