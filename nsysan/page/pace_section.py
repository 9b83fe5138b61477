"""What paces the step, on the page: the ledger and the critical path as bars."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from nsysan.diagnosis.answers import how
from nsysan.diagnosis.late_words import outermost, ranks_of, ranks_words
from nsysan.diagnosis.path_told import in_graphs, why_no_path
from nsysan.diagnosis.pipelines import WAITING
from nsysan.diagnosis.quality_pace import hidden_share
from nsysan.diagnosis.verdict import BOUNDS, DOMINANT, LAUNCH, OF_PATH, VerdictKind, on_path
from nsysan.diagnosis.verdict_says import skew_share
from nsysan.metrics.lines import CLAIMED, Line
from nsysan.metrics.scenarios import Scenario
from nsysan.page.elements import safe, said
from nsysan.page.glossary import term
from nsysan.page.palette import NAMES, PATH_COLOURS, paint
from nsysan.report.report import Report, visible_lines
from nsysan.text import pct, percent, rough, us

_LEDGER = "what GPUs do (ledger)"
_PATH = "critical path"
#: Less than this share of a step is not seen to be missing in a bar.
_UNTOLD = 0.001
_FOR_EITHER = "wait (for the last rank, or another stage)"
#: Less waiting than this share of a step needs no word.
_MUCH = 0.05
#: Less than this share of it is nothing.
_NONE = 0.0005


def bars(report: Report) -> str:
    """HTML: the median step as a bar, that of a late rank, and the critical path; the figures are under each."""
    rows = _rows(report)
    shown = _lines(report, rows)
    ledger, *others = (
        bar(safe(row.name), period, _parts(report, shown, row)) if (period := row.lines["period_ns"]) else ""
        for row in rows
    )
    # The two that tell two things of the same step stand together.
    note = f'<p class="note">{said(why)}</p>' if (why := _why_both(report, rows[0].lines)) else ""
    return f"{ledger}{_path(report)}{note}{''.join(others)}"


class _Row(NamedTuple):
    """A ledger that is drawn: ns of each line by column, without what is for want of another stage, which is for_stage:
    waits at calls and idle time alike; None where nothing tells them apart.
    """

    name: str
    lines: Mapping[str, int | None]
    for_stage: int | None = None


def _rows(report: Report) -> list[_Row]:
    """The typical step first, as traced and without nsys; then that of a late rank."""
    without = report.diagnosis.untraced
    over = _kinds(report) or f", {'medians over the ranks' if len(report.per_rank) > 1 else 'median step'}"
    medians = f"{_LEDGER}{over}"
    rows: list[_Row] = []
    if without is None and report.diagnosis.verdict.kind == VerdictKind.SKEW:
        rows += _waiting(report)
    if not rows and without is None:
        rows += _of_all(report)
    if not rows:
        traced = "" if without is None else ", as traced"
        every = _of_kinds(report, report.per_rank["rank"].to_list()) if report.diagnosis.summed else report.headline
        rows.append(_Row(f"{medians}{traced}", every))
    if without is not None:
        median = {name: _whole(without.per_rank[name].median()) for name in report.headline}
        rows.append(_Row(f"{medians}, without nsys by replay", median))
    late = report.diagnosis.straggler
    if late is not None and late.rank in report.per_rank["rank"]:
        own = _typical(report, [late.rank])
        rows.append(_of_one(report, f"{_LEDGER}, rank {late.rank}, a late one", late.rank, own))
    return rows


def _of_one(report: Report, name: str, rank: int, lines: Mapping[str, int | None]) -> _Row:
    bubble = report.diagnosis.bubble
    if bubble is None or rank not in bubble.waits or report.diagnosis.summed:
        return _Row(name, lines)
    wants = {Line.WAIT.column: bubble.waits[rank], Line.IDLE.column: bubble.idles[rank]}
    return _Row(name, _less(lines, wants), sum(wants.values()))


def _of_all(report: Report) -> Iterator[_Row]:
    """Of a pipeline, whose ranks do not do the same: what all of them do, so that the parts add up to their time."""
    bubble = report.diagnosis.bubble
    if bubble is None or bubble.share is None or report.diagnosis.summed:
        return
    means = {name: _whole(report.per_rank[name].mean()) for name in report.headline if name in report.per_rank.columns}
    wants = {
        line.column: _whole(pl.Series(list(ns.values())).mean()) or 0
        for line, ns in ((Line.WAIT, bubble.waits), (Line.IDLE, bubble.idles))
    }
    share = round(bubble.share * (means["period_ns"] or 0))
    yield _Row(f"{_LEDGER}, means over the ranks", _less(means, wants), share)


def _of_kinds(report: Report, ranks: Collection[int]) -> Mapping[str, int | None]:
    """Of steps of several kinds the mean one, as the verdict is of: medians of each kind, by how many steps it has."""
    weights = {one.id: one.steps for one in report.diagnosis.summed}
    steps = report.replicas[report.replica].per_step
    judged = pl.col("steady_of_its_kind") & pl.col("population").is_in(list(weights)) & pl.col("rank").is_in(ranks)
    lines = [name for name in report.headline if name in steps.columns]
    of_rank = steps.filter(judged).group_by("population", "rank").agg(pl.col(lines).median())
    of_kind = of_rank.group_by("population").agg(pl.col(lines).median().fill_null(0))
    weight = pl.col("population").replace_strict(weights, return_dtype=pl.Int64)
    return of_kind.select(((pl.col(lines) * weight).sum() / weight.sum()).round().cast(pl.Int64)).row(0, named=True)


def _kinds(report: Report) -> str:
    """That figures are of several kinds of steps, in words; "" where they are of one."""
    return f", means over all {len(report.diagnosis.summed)} kinds of steps" if report.diagnosis.summed else ""


def _less(lines: Mapping[str, int | None], wants: Mapping[str, int]) -> Mapping[str, int | None]:
    return {name: ns if ns is None else max(ns - wants.get(name, 0), 0) for name, ns in lines.items()}


def _waiting(report: Report) -> Iterator[_Row]:
    """Of the ranks that wait for late ones, whose waiting the medians over all may have half of."""
    late = ranks_of(report.diagnosis.late)
    others = [rank for rank in report.per_rank["rank"].to_list() if rank not in late]
    if late and others:
        many = "medians over " if len(others) > 1 else ""
        yield _Row(f"{_LEDGER}, {many}{ranks_words(others)}, not late{_kinds(report)}", _typical(report, others))


def _typical(report: Report, ranks: Collection[int]) -> Mapping[str, int | None]:
    """The step of these ranks: medians over the steady steps, and over them."""
    if report.diagnosis.summed:
        return _of_kinds(report, ranks)
    own = report.per_rank.filter(pl.col("rank").is_in(ranks))
    return {name: _whole(own[name].median()) for name in report.headline if name in own.columns}


def _whole(ns: object) -> int | None:
    """What polars tells of a column of figures, in whole ns."""
    return round(ns) if isinstance(ns, int | float) else None


def _lines(report: Report, rows: Sequence[_Row]) -> list[Line]:
    """The lines that a rank has; of steps of several kinds, which need not have what those of the headline have, a
    row.
    """
    if not report.diagnosis.summed:
        return visible_lines(report)
    return [line for line in (*CLAIMED, Line.IDLE) if line == Line.IDLE or any(row.lines[line.column] for row in rows)]


def _parts(report: Report, lines: Iterable[Line], row: _Row) -> Iterator[tuple[str, str, str, int | None]]:
    """The lines as parts of a bar, and what is for want of another stage as one of its own."""
    untold = report.diagnosis.bubble is not None and row.for_stage is None
    for line in lines:
        if line == Line.WAIT and row.for_stage is not None:
            yield paint(line), WAITING, term(WAITING), row.for_stage
        name = _FOR_EITHER if line == Line.WAIT and untold else NAMES[line]
        yield paint(line), name, term(line, name), row.lines[line.column]


def _why_both(report: Report, shown: Mapping[str, int | None]) -> str:
    """Why the ledger that is shown has waiting that is not on the path, in the verdict's own figures; "" for little."""
    verdict, what = report.diagnosis.verdict, report.diagnosis.what_if
    waits, period = shown[Line.WAIT.column] or 0, shown["period_ns"] or 0
    if what is None or waits < _MUCH * period or why_no_path(report.diagnosis):
        return ""
    bubble = report.diagnosis.bubble
    skew = (what.saves(Scenario.NO_SKEW) or 0) / what.period
    if verdict.kind == VerdictKind.PIPELINE and bubble is not None:
        most = max(skew, hidden_share(what))
        at_most = "at most " if most > skew else ""
        turns = "The path goes through the stages in turn, so waiting for one is that stage's own time there. "
        right = f"Put the late ranks within stages right, and the step is {at_most}{pct(most)} shorter."
        return f"{turns if bubble.at_once == 1 else ''}{right}"
    late = outermost(report.diagnosis.late)
    costs = skew_share(late, what) if late else skew
    rest = waits / period - costs
    stays = f"the rest of the {percent(waits, period)} waited stays"
    hosts = (verdict.shares.get(VerdictKind.HOST) or 0.0) > DOMINANT
    if not late and Scenario.NO_SKEW in what.bounds:
        every = pct(hidden_share(what))
        return f"Were all ranks alike, the step would be {pct(skew)} to {every} shorter: the trace cannot tell better."
    if not late:
        why = ", as all hosts together set the pace" if hosts else ""
        more = f"; {stays}{why}" if rest >= _MUCH else ""
        return f"Were all ranks alike, the step would be {pct(costs)} shorter{more}."
    up_to = "at most " if any(how(one, what, report.quality) == "at most " for one in late) else ""
    who = f"the late rank{'s' if len(ranks_of(late)) > 1 else ''}"
    on_path = "At each moment the path is what the last rank does. "
    if rest < _MUCH:
        all_of = "nearly all" if rest > _NONE else "all"
        return f"{on_path}Put {who} right, and the step is {up_to}{pct(costs)} shorter, {all_of} of the waiting."
    left = rough(round(what.period * (1 - costs)))
    why = f"the other hosts need {left}, too" if hosts else "the others then wait for what is the next to come last"
    return f"{on_path}Put {who} right, and the step is {up_to or 'only '}{pct(costs)} shorter: {stays}, as {why}."


def _path(report: Report) -> str:
    why = why_no_path(report.diagnosis)
    if why:
        return f'<p class="note">No critical path can be told: {safe(why)}.</p>'
    spent: dict[str, int] = {}
    for (name, _), ns in report.diagnosis.path.items():
        spent[name] = spent.get(name, 0) + ns
    whole = sum(spent.values())
    turns = ", the stages' turns one after the other" if report.diagnosis.verdict.kind == VerdictKind.PIPELINE else ""
    name = f"what the step's length depends on ({term(_PATH)}){turns}{_kinds(report)}"
    return bar(name, whole, _path_parts(spent, between=in_graphs(report.diagnosis.gaps))) if whole else ""


def _path_parts(spent: Mapping[str, int], *, between: bool) -> Iterator[tuple[str, str, str, int]]:
    """Parts of the bar, ns by class of the path: those that are one kind to the verdict are one, by its name.

    between: whether launches are mostly gaps between a graph's kernels, which are no host's.
    """
    kind_of = {name: kind.value for kind in OF_PATH for name in BOUNDS[kind].path}
    parts: dict[str, list[str]] = {}
    for name in PATH_COLOURS:
        if name in spent and not (between and name == LAUNCH):
            parts.setdefault(kind_of.get(name, name), []).append(name)
    for kind, names in parts.items():
        # One colour a kind: a host's is that of its own work, whatever else of it is on the path.
        fused = kind == VerdictKind.WIRE and Line.WIRE not in names
        shown = kind if kind in PATH_COLOURS and not fused else max(names, key=lambda name: spent[name])
        of = ", ".join(f"{name} {us(spent[name])} µs" for name in names)
        yield (
            paint(PATH_COLOURS[shown]),
            f"{kind} ({of})",
            safe(NAMES[Line.FUSED] if fused else on_path(kind)),
            sum(spent[name] for name in names),
        )
    if between and spent.get(LAUNCH):
        name = NAMES["graph_gaps"]
        yield paint("graph_gaps"), name, safe(name), spent[LAUNCH]


def bar(name: str, period: int, shares: Iterable[tuple[str, str, str, int | None]], part: float = 1.0) -> str:
    """A bar with its shares under it. name: HTML; shares: colour, name, the name as HTML, ns; part: of the width.

    Medians need not add up: what they lack of the period, or have above it, is told.
    """
    told = [(colour, title, shown, ns) for colour, title, shown, ns in shares if ns is not None]
    parts = "".join(
        f'<span style="flex-grow:{ns / period:.4f};background:{colour}" title="{safe(title)}: '
        f'{safe(percent(ns, period))}"></span>'
        for colour, title, _, ns in told
        if ns
    )
    words = "".join(
        f'<span><i style="background:{colour}"></i>{shown} {safe(percent(ns, period))}</span>'
        for colour, _, shown, ns in told
    )
    if not parts:
        return ""
    rest = (period - sum(ns for *_, ns in told)) / period
    if abs(rest) >= _UNTOLD:
        name += f", which need not add up: {pct(abs(rest))} {'short of' if rest > 0 else 'over'} the step"
    wide = f' style="width:{100 * part:.1f}%"' if part < 1 else ""
    return (
        f'<p class="of">{name}</p><div class="strip"{wide} aria-hidden="true">{parts}</div><p class="key">{words}</p>'
    )
