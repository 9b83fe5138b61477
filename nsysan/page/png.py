"""The key charts as PNG files, drawn by a browser of the user's or by kaleido; both are optional."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nsysan._errors import ExitCode, NsysanError
from nsysan.report.verdict_text import verdict_words
from nsysan.text import broken, plain
from nsysan.timings import stage

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from nsysan.report.report import Report

#: Files of a report, by what they show; a chart without data is left out.
CHARTS = ("ledger", "caused", "timeline")
BROWSER = "NSYSAN_BROWSER"
_ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_WIDTH = 1_200
_SCALE = 2
_TIMEOUT_S = 120
#: Letters of a line under a chart's title, and its height; that of the legend; the outline of a bar, in pixels.
_LETTERS, _LINE, _LEGEND, _OUTLINE = 150, 16, 20, 0.8
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: What the page says when the chart is there.
_DRAWN = "chart drawn"
_PAGE = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0; background: #fff }}</style>
<div id="chart" style="width:{width}px;height:{height}px"></div><script>{plotly}</script>
<script>const figure = {figure};
Plotly.newPlot("chart", figure.data, figure.layout, {{staticPlot: true}})
  .then(() => console.log("{drawn}"));</script>"""


@dataclass(frozen=True)
class Painter:
    """Something that draws; draw(figure, width, height in CSS pixels) gives the bytes of a PNG."""

    name: str
    draw: Callable[[go.Figure, int, int], bytes]


def paths(prefix: Path) -> dict[str, Path]:
    """The file of each of CHARTS: in the folder that `prefix` is, else beside it under names that begin so.

    NsysanError for a device or pipe: who names /dev/null wants no files in /dev.
    """
    if os.path.isdir(prefix):
        return {chart: prefix / f"{chart}.png" for chart in CHARTS}
    if os.path.exists(prefix) and not os.path.isfile(prefix):
        raise _impossible(f"{prefix} is a device or pipe; name what the files' names begin with")
    return {chart: prefix.with_name(f"{prefix.name}-{chart}.png") for chart in CHARTS}


def find_browser() -> str | None:
    """Path of the browser that NSYSAN_BROWSER names, or of one on PATH; NsysanError if what it names is no program."""
    if named := os.environ.get(BROWSER):
        browser = shutil.which(named)
        if browser is None:
            raise _impossible(f"{BROWSER} names {named}, which is no program")
        return browser
    return next((found for name in _ON_PATH if (found := shutil.which(name))), None)


def find_painter() -> Painter:
    """A browser (see find_browser), or kaleido; NsysanError where there is neither."""
    if (browser := find_browser()) is not None:
        return Painter(browser, lambda figure, width, height: _by_browser(browser, figure, width, height))
    if find_spec("kaleido") is not None:
        return Painter("kaleido", _by_kaleido)
    raise _impossible(
        f"needs a browser: install Chromium or Chrome, name one in {BROWSER}, or `pip install kaleido` and run "
        f"kaleido_get_chrome"
    )


@stage("charts")
def to_png(report: Report, painter: Painter) -> dict[str, bytes]:
    """The PNG of each of CHARTS that has data; NsysanError where the painter fails."""
    return {
        name: painter.draw(figure, _WIDTH, int(figure.layout.height or 400))
        for name, figure in figures_of(report).items()
    }


def figures_of(report: Report) -> dict[str, go.Figure]:
    """The figures behind CHARTS, without those that have no data."""
    from nsysan.page import charts

    caused = charts.caused_by_step(report)
    found = {
        "ledger": None if report.per_rank.is_empty() else charts.ledger_bars(report).whole(),
        "caused": None if caused is None else caused.whole(),
        "timeline": charts.timeline(report.timelines[0]).whole() if report.timelines else None,
    }
    drawn = {name: figure for name, figure in found.items() if figure is not None}
    lines = broken(plain(verdict_words(report), 400), _LETTERS)
    told = "<br>".join(f"<sup>{escape(line)}</sup>" for line in lines)
    for figure in drawn.values():
        more = _LINE * len(lines) + _LEGEND
        title = {"text": f"{figure.layout.title.text}<br>{told}", "x": 0.01, "y": 1, "yanchor": "top", "pad": {"t": 16}}
        figure.update_layout(
            template="plotly_white",
            margin={"l": 130, "r": 20, "t": 60 + more, "b": 50},
            height=int(figure.layout.height or 400) + more,
            title=title,
            legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        )
        # A bar that is thinner than a pixel is drawn pale; with a line of its own colour it is drawn as one.
        figure.for_each_trace(_in_full_colour, selector={"type": "bar"})
    return drawn


def _in_full_colour(bars: go.Bar) -> None:
    if isinstance(bars.marker.color, str) and bars.base is not None:
        bars.marker.line = {"width": _OUTLINE, "color": bars.marker.color}


def _by_browser(browser: str, figure: go.Figure, width: int, height: int) -> bytes:
    from plotly.offline import get_plotlyjs

    # "<" could end the script element that holds the figure.
    data = str(figure.to_json()).replace("<", "\\u003c")
    page = _PAGE.format(width=width, height=height, plotly=get_plotlyjs(), figure=data, drawn=_DRAWN)
    with TemporaryDirectory(prefix="nsysan-png-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder, "chart.html"), Path(folder, "chart.png")
        source.write_text(page, "utf-8")
        arguments = [
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            f"--force-device-scale-factor={_SCALE}",
            f"--window-size={width},{height}",
            f"--user-data-dir={folder}/profile",
            f"--screenshot={target}",
            # Chromium's sandbox refuses to run as root; the page is ours and loads nothing.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        said = _run([browser, *arguments, source.as_uri()])
        # A browser that cannot open the page draws a picture of its error, or, from Chromium 156 on, nothing.
        if _DRAWN.encode() not in said or not target.exists():
            raise _impossible(
                f"{browser} could not show the chart; if it may not read {folder}, set TMPDIR, or name another browser "
                f"in {BROWSER}"
            )
        return _checked(target.read_bytes(), browser)


def _run(command: list[str]) -> bytes:
    """What the browser wrote to standard error; NsysanError where it does not start, fails or does not end."""
    try:
        return subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=True).stderr
    except OSError as error:
        why = f"does not start ({error.strerror})"
    except subprocess.CalledProcessError as error:
        why = f"ended with exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        why = f"did not end within {_TIMEOUT_S} s"
    raise _impossible(f"{command[0]} {why}; name another browser in {BROWSER}")


def _by_kaleido(figure: go.Figure, width: int, height: int) -> bytes:
    # Kaleido and the plotly that drives it raise what they like where Chrome is missing or broken.
    try:
        content = figure.to_image("png", width=width, height=height, scale=_SCALE)
    except Exception as error:
        raise _impossible(f"kaleido drew nothing ({type(error).__name__}); run kaleido_get_chrome") from error
    return _checked(bytes(content), "kaleido")


def _checked(content: bytes, painter: str) -> bytes:
    if not content.startswith(_SIGNATURE):
        raise _impossible(f"{painter} gave something else than a PNG")
    return content


def _impossible(why: str) -> NsysanError:
    return NsysanError(f"--png: {why}", ExitCode.OUTPUT_UNWRITABLE)
