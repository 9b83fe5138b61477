"""The summary in about 40 lines: what decides, with the rest counted and named."""

from __future__ import annotations

from nsysan.diagnosis.evidence import Aspect
from nsysan.metrics.lines import Line
from nsysan.report.kernel_text import kernels_line
from nsysan.report.report import Report
from nsysan.report.sentences import expectation_sentence, headline_sentence
from nsysan.report.terminal import answers, captured, findings, layout, ledger, light, steady_steps
from nsysan.report.verdict_text import sure_in_short, verdict_words
from nsysan.styled import heading, label
from nsysan.text import counted, plain

#: Findings that are named, and those of which it is said what to do, beside the first; ranks of the ledger.
_FINDINGS, _FIXES, _RANKS = 3, 0, 2
_MORE = "-v tells of collectives, kernels, idle time and slow steps, and why each figure is as sure as it is"


def to_brief(report: Report, width: int | None = None) -> str:
    """The answers, the findings, what was captured, the ledger of the ranks that differ most, and what to doubt."""
    parts = [
        answers(report),
        findings(report, width, _FINDINGS, _FIXES),
        "\n".join(_capture(report)),
        ledger(report, width, telling_ranks(report)),
        light(report, width, products=False),
        expectation_sentence(report),
        "\n".join((*_kernels(report, width), *_doubts(report), _MORE)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def last_words(report: Report) -> str:
    """The verdict, what to do and how sure it is, in a line each: what a terminal shows when all has scrolled by."""
    lines = (("verdict", verdict_words), ("do next", lambda one: one.next_step.do), ("how sure", sure_in_short))
    return "\n".join(f"{label(name)}{told(report)}" for name, told in lines)


def telling_ranks(report: Report) -> set[int] | None:
    """Those that wait least and those that wait most, of many; None for all of a few."""
    rows = report.per_rank
    if len(rows) <= 2 * _RANKS or rows.is_empty():
        return None
    ordered = rows.sort(Line.WAIT.column, "rank", nulls_last=True)["rank"].to_list()
    late = report.diagnosis.straggler
    return {*ordered[:_RANKS], *ordered[-_RANKS:], *([late.rank] if late is not None else [])}


def _capture(report: Report) -> list[str]:
    left = len(report.steps.excluded)
    names = ", ".join(plain(source.name) for source in report.inputs[:_RANKS])
    more = f" and {len(report.inputs) - _RANKS} more" if len(report.inputs) > _RANKS else ""
    return [
        f"{label('trace')}{names}{more}, read by nsysan {report.version}",
        captured(report),
        *layout(report)[:1],
        f"{steady_steps(report)}{f'; {left} left out' if left else ''}",
        f"{label('period')}{headline_sentence(report)}",
    ]


def _kernels(report: Report, width: int | None) -> list[str]:
    return [kernels_line(report.compute, width)] if report.compute is not None else []


def _doubts(report: Report) -> list[str]:
    """What is not measured as it should be, by name."""
    rows = [row for row in report.doubts if row.id != Aspect.CLOCK]
    if not rows:
        return []
    names = ", ".join(dict.fromkeys(str(row.id.words) for row in rows))
    return [f"{heading('read with care')}, {counted(len(rows), 'aspect')}: {names}"]
