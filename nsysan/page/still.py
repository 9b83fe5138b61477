"""The median step as a picture without scripts: for readers that run none."""

from __future__ import annotations

from dataclasses import replace

from nsysan.page.elements import safe
from nsysan.page.palette import NAMES, paint
from nsysan.report.report import Report
from nsysan.report.step_slices import LAUNCH, RANGE, SLEEP, WAIT
from nsysan.report.timeline import Timeline, decimated
from nsysan.text import us

#: As many pieces as such a picture shows.
_MOST = 600
_WIDTH, _LEFT, _ROW, _GAP = 1200, 110, 12, 4


def still(report: Report) -> str:
    """HTML that only readers without scripts see; nothing where no step is shown."""
    if not report.timelines:
        return ""
    return f"<noscript>{_figure(report.timelines[0])}</noscript>"


def _figure(timeline: Timeline) -> str:
    whole = timeline.drawn
    own = whole.where(~whole.are(LAUNCH, RANGE, WAIT, SLEEP) & (whole.rows["end"] > 0))
    work = own.frame()
    lanes = work.select("rank", "lane").unique().sort("rank", "lane").rows()
    if not lanes or timeline.finish <= timeline.origin:
        return ""
    places = {lane: number for number, lane in enumerate(lanes)}
    scale = (_WIDTH - _LEFT) / (timeline.finish - timeline.origin)
    shown = decimated(replace(timeline, held=own, total=len(own), windows=()), _MOST)
    drawn = "".join(
        f'<rect x="{_LEFT + scale * max(begin, 0):.1f}" y="{_y(places[rank, lane])}" '
        f'width="{max(scale * (end - max(begin, 0)), 0.5):.1f}" height="{_ROW}" style="fill:{paint(line)}"/>'
        for rank, lane, line, begin, end in shown.slices.select("rank", "lane", "line", "begin", "end").iter_rows()
    )
    heads = "".join(
        f'<text x="0" y="{_y(number) + _ROW - 2}">{safe(f"rank {rank} {lane}")}</text>'
        for (rank, lane), number in places.items()
    )
    lines = list(dict.fromkeys(work["line"]))
    key = "".join(f'<span><i style="background:{paint(line)}"></i>{safe(NAMES[line])}</span>' for line in lines)
    title = f"Step {timeline.step} ({timeline.role}): {us(timeline.period)} µs, all ranks on one clock"
    return (
        f'<figure><figcaption>{safe(title)}</figcaption><svg class="still" viewBox="0 0 {_WIDTH} {_y(len(places))}" '
        f'role="img" aria-label="{safe(title)}">{drawn}{heads}</svg><p class="key">{key}</p></figure>'
    )


def _y(place: int) -> int:
    return place * (_ROW + _GAP)
