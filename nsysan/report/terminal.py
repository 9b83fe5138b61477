"""The summary that a person pastes into a ticket."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily, several_populations
from nsysan.diagnosis.evidence import Aspect
from nsysan.diagnosis.findings.kinds import Severity
from nsysan.metrics.causes import GapCause
from nsysan.metrics.lines import AFTER, BESIDE, Line
from nsysan.metrics.scenarios import NOTABLE
from nsysan.report.basis_text import basis_lines, untraced_table
from nsysan.report.counter_text import counter_lines
from nsysan.report.kernel_text import kernel_text
from nsysan.report.light_text import PRODUCT_HEADS, light_sentence, product_rows, sentences
from nsysan.report.nccl_text import nccl_sentence
from nsysan.report.replica import coverage_words, layout_sentence
from nsysan.report.report import GRAPHS, Report, visible_lines
from nsysan.report.sentences import expectation_sentence, headline_sentence, outlier_sentence
from nsysan.report.tail_sentences import tail_sentence
from nsysan.report.verdict_text import sure_sentence, tested_words, untested_sentences, verdict_sentence
from nsysan.styled import Style, heading, label, styled
from nsysan.text import counted, numbered, pct, plain, prose, table, us, wrapped
from nsysan.timings import stage

_FINDINGS = 5
_GRADES = {Severity.HIGH: Style.BAD, Severity.MEDIUM: Style.DOUBTFUL, Severity.LOW: Style.FAINT}
_MEDIAN = "µs per step (median over the steady steps"
_NO_SUM = "medians need not add up"
_BETWEEN = "{} more ranks lie between these"


@stage("summary")
def to_text(report: Report, width: int | None = None) -> str:
    """The summary as plain text: the verdict, the late rank and the savings first; tables no wider than `width`."""
    parts = [
        f"{answers(report)}\n{label('checked')}{_checked(report)}",
        findings(report, width),
        capture(report),
        ledger(report, width),
        kernel_text(report, width),
        _collectives(report, width),
        light(report, width),
        expectation_sentence(report),
        _gaps(report, width),
        _slowest(report),
    ]
    return "\n\n".join(part for part in (*parts, _lookalikes(report), _quality(report, width)) if part) + "\n"


def answers(report: Report) -> str:
    """What bounds the step, which rank and why, what fixing it would save, and what the long steps are of."""
    tail, verdict = tail_sentence(report), report.diagnosis.verdict
    return "\n".join(
        (
            *basis_lines(report),
            f"{label('verdict')}{styled(verdict.kind, verdict.kind)}: {verdict_sentence(verdict)}",
            f"{label('do next')}{plain(report.next_step.told, 1_000)}",
            f"{label('how sure')}{sure_sentence(report)}",
            f"{label('late')}{report.late_sentence()}",
            f"{label('savings')}{report.savings_sentence()}",
            *([f"{label('tail')}{tail}"] if tail else []),
        )
    )


def findings(report: Report, width: int | None = None, most: int = _FINDINGS, fixes: int = _FINDINGS) -> str:
    """The findings that matter most: what, how much, and of the first what to do."""
    if not report.findings:
        return ""
    shown = report.findings[:most]
    more = f"; {len(report.findings) - len(shown)} more in the JSON and on the page" if report.findings[most:] else ""
    what = report.diagnosis.what_if
    how = "savings by replay; those" if what is not None and what.told else "savings"
    lines = [f"{heading('findings')} ({how} of several need not add up{more})"]
    for number, finding in enumerate(shown):
        saves = f"  [{finding.saves}]" if finding.saves else ""
        grade = styled(_GRADES[finding.severity], finding.severity) + " " * (6 - len(finding.severity))
        lines.append(f"  {grade}  {plain(finding.title, 200)}{saves}")
        if number < fixes:
            lines.append(f"          {wrapped(finding.fixes, ' ' * 10, prose(width) - 10)}")
    return "\n".join(lines)


def captured(report: Report) -> str:
    """How many ranks on what, and how graphs were traced."""
    graphs = GRAPHS[report.inputs[0].graph_trace]
    return f"{label('captured')}{report.seen_words} on {plain(report.gpu_words, 200)}; {graphs}"


def capture(report: Report) -> str:
    """What was read, which steps of it count, and what they are made of."""
    source = report.inputs[0]
    names = ", ".join(plain(i.name) for i in report.inputs[:8]) + (" ..." if len(report.inputs) > 8 else "")
    version = f"nsys {source.nsys_version or 'of unknown version'} (schema {source.schema_version or 'unknown'})"
    lines = [
        f"{label('trace')}{names}, exported by {plain(version)}, read by nsysan {report.version}",
        captured(report),
        *layout(report),
        *(f"{label('clock')}{q.reason}" for q in report.quality if q.id == Aspect.CLOCK),
        _steps(report),
        f"{label('period')}{headline_sentence(report)}",
        *counter_lines(report.counters),
    ]
    return "\n".join(lines)


def layout(report: Report) -> list[str]:
    """How the ranks are laid out, where there is something to say; the replica that the rest is of comes first."""
    head, others = report.replicas[report.replica], [r for r in report.replicas if r.id != report.replica]
    if not others and head.layout.is_plain:
        return []
    lines = [f"{label('layout')}{layout_sentence(report.replicas)}"]
    bubble = head.diagnosis.bubble
    if bubble is not None:
        lines += [f"{label('pipeline')}{bubble.sentence}", *(f"          {stage.sentence}" for stage in bubble.stages)]
    if others:
        lines.append(f"          shown: {head.sentence}")
        lines += [f"          {other.sentence}" for other in others]
    return lines


def steady_steps(report: Report) -> str:
    """How many steps, found how, and which part of the capture the figures are of."""
    steps = report.steps
    steady = len(steps.steady)
    over = f"medians over the {steady} steady ones" if steady > 1 else "of the only steady one"
    figures = f"figures are {over}" if steady else "none of them is steady"
    covered = coverage_words(report.replicas[report.replica])
    return f"{label('steps')}{steps.count} by {plain(steps.source)}; {figures}{covered}"


def _checked(report: Report) -> str:
    tested = tested_words(report)
    return f"{tested}{'. ' if tested else ''}{untested_sentences(report)}"


def _steps(report: Report) -> str:
    steps = report.steps
    lines = [steady_steps(report), *(f"          {plain(note, 200)}" for note in steps.notes)]
    populations = report.replicas[report.replica].populations
    if len(populations) > 1:
        lines += [f"          {one.sentence}{', shown' if one.headline else ''}" for one in populations]
    by_reason: dict[str, list[int]] = {}
    for step, reason in steps.excluded.items():
        by_reason.setdefault(reason, []).append(step)
    for reason, numbers in by_reason.items():
        lines.append(f"          left out: {numbered('step', numbers)} ({plain(reason)})")
    return "\n".join(lines)


def ledger(report: Report, width: int | None = None, ranks: Collection[int] | None = None) -> str:
    """The median step of each rank, or of these alone."""
    if report.per_rank.is_empty():
        return ""
    lines = visible_lines(report)
    columns = ["period", *lines, *BESIDE]
    header = ["rank", *(styled(name, name) for name in columns)]
    shown = [row for row in report.per_rank.iter_rows(named=True) if ranks is None or row["rank"] in ranks]
    rows = [[str(row["rank"]), *(us(row[f"{c}_ns"]) for c in columns)] for row in shown]
    closed = f"every step of every rank sums to its period to 0 ns ({counted(len(report.per_step), 'ledger')} checked)"
    between = len(report.per_rank) - len(rows)
    return "\n".join(
        [
            f"{heading('ledger')}, {_MEDIAN}; {_BETWEEN.format(between) if between else _NO_SUM})",
            *table(header, rows, width=width),
            *([] if between else [closed]),
            *untraced_table(report, columns, width),
        ]
    )


def _collectives(report: Report, width: int | None) -> str:
    if not report.collectives:
        return ""
    several = several_populations(report.collectives)
    lines = [f"{heading('collectives')} in all steps but prefill and the first"]
    lines += [_family(family, several=several) for family in report.collectives]
    told = [f"link: {report.link.sentence}", nccl_sentence(report)]
    return "\n".join([*lines, *(wrapped(f"  {one}", " " * 8, prose(width)) for one in told if one)])


def light(report: Report, width: int | None = None, *, products: bool = True) -> str:
    """The floor of the step, what it has above that, and the speed of each product."""
    found = report.light.found
    if found is None:
        return f"{label('light')}cannot be told: {plain(report.light.why, 300)}" if report.light.stated else ""
    told = [f"{label('light')}{light_sentence(found)}", *(f"          {sentence}" for sentence in sentences(found))]
    told = [wrapped(line, " " * 10, prose(width)) for line in told]
    rows = table(PRODUCT_HEADS, product_rows(found), width=width and width - 2) if products else []
    return "\n".join([*told, *(f"  {line}" for line in rows)])


def speed_words(family: CollectiveFamily) -> list[str]:
    """Floor, bandwidths and their share of the link's peak, as far as they are known."""
    words = [] if family.floor is None else [f"floor {us(family.floor)} µs ({floor_words(family)})"]
    if family.algbw is not None and family.busbw is not None:
        share = "" if family.peak_share is None else f" ({pct(family.peak_share)} of peak)"
        words.append(f"algbw {family.algbw:.3g}  busbw {family.busbw:.3g} GB/s{share}")
    return words


def floor_words(family: CollectiveFamily) -> str:
    """How far the median call is above its floor; of calls of unknown size, the floor of its place in the step."""
    return f"median call {us(family.excess)} over {'it' if family.message_bytes is not None else 'that of its place'}"


def _family(family: CollectiveFamily, *, several: bool) -> str:
    what = f"{family.kind or family.op_class} of {family.size_words} over {family.over}"
    what += f" in {family.steps}" if several else ""
    verdicts = [f"{family.matched} of {counted(family.count, 'call')} matched"]
    verdicts += [f"{n} {word}" for word, n in (("unmatched", family.unmatched), ("rejected", family.rejected)) if n]
    often = counted(family.count, "call") if family.a_step is None else f"{family.a_step} a step"
    text = f"  {often}  {what}: {', '.join(verdicts)}  [{plain(family.name, 60)}]"
    if family.wire is None or family.wait is None:
        return text
    after = AFTER[family.op_class]
    spread = [
        f"{name} µs p50 {us(v['p50'])}  p99 {us(v['p99'])}  max {us(v['max'])}"
        for name, v in ((after, family.wire), (Line.WAIT, family.wait))
    ]
    return text + "\n    " + "    ".join([*spread, *speed_words(family)])


def _gaps(report: Report, width: int | None = None) -> str:
    """Idle time by cause, a column a cause."""
    gaps = report.diagnosis.gaps
    causes = [cause for cause in GapCause if (gaps.filter(pl.col("cause") == cause)["ns"] > 0).any()]
    if not causes:
        return ""
    ns = {(rank, cause): value for rank, cause, value in gaps.select("rank", "cause", "ns").iter_rows()}
    rows = [[str(rank.rank), *(us(ns.get((rank.rank, cause), 0)) for cause in causes)] for rank in report.ranks]
    return "\n".join(
        [
            f"{heading('idle by cause')}, {_MEDIAN})",
            *table(["rank", *causes], rows, width=width),
        ]
    )


def _slowest(report: Report) -> str:
    """The slowest steps, and what was different in them."""
    outliers = [o for o in report.diagnosis.outliers if o.excess >= NOTABLE * (o.period - o.excess)][:5]
    if not outliers:
        return ""
    return "\n".join([heading("slowest steps"), *(f"  {outlier_sentence(report, o)}" for o in outliers)])


def _lookalikes(report: Report) -> str:
    if not report.lookalikes:
        return ""
    lines = ["not in the catalogue, but named like collectives (counted as compute)"]
    lines += [
        f"  {plain(k.name, 80)}: {counted(k.calls, 'call')}, {100 * k.share:.1f} % of kernel time"
        for k in report.lookalikes[:10]
    ]
    return "\n".join(lines)


def _quality(report: Report, width: int | None) -> str:
    told = [f"  {q.id} ({q.status.words}): {q.reason}" for q in report.doubts]
    return (
        "\n".join([heading("read with care"), *(wrapped(one, " " * 6, prose(width)) for one in told)]) if told else ""
    )
