"""The summary for a ticket, as Markdown that GitHub, GitLab and Jira render: no HTML, no nested tables."""

from __future__ import annotations

from nsysan.diagnosis.collectives import POPULATION, CollectiveFamily, several_populations
from nsysan.metrics.scenarios import SCENARIOS
from nsysan.report.basis_text import basis_of, untraced_rows
from nsysan.report.kernel_text import HEAD, cells, groups_sentence, layers, layers_sentence
from nsysan.report.key_numbers import key_numbers
from nsysan.report.light_text import PRODUCT_HEADS, light_sentence, product_rows, sentences
from nsysan.report.markup import code, escaped, rows
from nsysan.report.nccl_text import nccl_sentence
from nsysan.report.replica import coverage_words, layout_sentence
from nsysan.report.report import Report, visible_lines
from nsysan.report.sentences import expectation_sentence
from nsysan.report.tail_sentences import tail_sentence
from nsysan.report.verdict_text import sure_sentence, tested_words, untested_sentences, verdict_sentence
from nsysan.text import counted, duration, pct, plain, rough, rough_us, shortened, us
from nsysan.timings import stage

_COLLECTIVES = 8
_KERNELS = 8
_NAMED = 8


@stage("Markdown")
def to_markdown(report: Report) -> str:
    """The answer first, then the figures it rests on, the findings, and how far to trust it all."""
    parts = (
        _lead(report),
        _ledger(report),
        _what_if(report),
        _findings(report),
        _kernels(report),
        _collectives(report),
        _light(report),
        _quality(report),
        _method(report),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _lead(report: Report) -> list[str]:
    verdict = report.diagnosis.verdict
    expected, tail = expectation_sentence(report), tail_sentence(report)
    checked = f"Checked: {escaped(tested)}. " if (tested := tested_words(report)) else ""
    return [
        f"### nsysan: {_names(report)}",
        "",
        f"**{escaped(verdict.kind)}**: {escaped(verdict_sentence(verdict))}",
        "",
        f"**do next**: {escaped(report.next_step.told)}",
        "",
        *(f"- {name}: {escaped(sentence)}" for name, sentence in basis_of(report)),
        *(f"- **{escaped(number.value)}** {escaped(number.of)}" for number in key_numbers(report)),
        f"- how sure: {escaped(sure_sentence(report))}. {checked}{escaped(untested_sentences(report))}",
        f"- late: {escaped(report.late_sentence())}",
        f"- savings: {escaped(report.savings_sentence())}",
        *([f"- tail: {escaped(tail)}"] if tail else []),
        *([f"- {escaped(' '.join(expected.split()))}"] if expected else []),
    ]


def _ledger(report: Report) -> list[str]:
    if report.per_rank.is_empty():
        return []
    columns = ["period", *visible_lines(report)]
    body = [
        [str(row["rank"]), *(us(row[f"{column}_ns"]) for column in columns)]
        for row in report.per_rank.iter_rows(named=True)
    ]
    return [
        "#### Ledger, µs a step",
        "",
        *rows(["rank", *map(escaped, columns)], body, left=0),
        "",
        "Medians over the steady steps. In every step of every rank the lines sum to the period; wait is a collective "
        "before its last rank has arrived, wire after it.",
        *_untraced(report, columns),
    ]


def _untraced(report: Report, columns: list[str]) -> list[str]:
    body = untraced_rows(report, columns)
    header = ["rank", *map(escaped, columns)]
    return ["", "The same without nsys, by replay:", "", *rows(header, body, left=0)] if body else []


def _what_if(report: Report) -> list[str]:
    what = report.diagnosis.what_if
    if what is None or not what.told:
        return []
    body = [
        [SCENARIOS[scenario].name, rough(ns), rough_us(what.period - ns), pct((what.period - ns) / what.period)]
        for scenario in what.told
        if (ns := what[scenario]) is not None
    ]
    now = "without nsys" if what.traced is not None else "now"
    return ["#### What if", "", *rows([f"{duration(what.period)} a step {now}", "a step", "saves, µs", "saves"], body)]


def _findings(report: Report) -> list[str]:
    if not report.findings:
        return []
    lines = ["#### Findings", ""]
    for number, finding in enumerate(report.findings, 1):
        saves = f" ({finding.saves})" if finding.saves else ""
        lines += [
            f"{number}. **{escaped(finding.severity)}**: {escaped(finding.title)}{saves}",
            f"    - evidence: {escaped(finding.evidence)}",
            f"    - fix: {escaped(finding.fixes)}",
        ]
    return lines


def _kernels(report: Report) -> list[str]:
    compute = report.compute
    if compute is None:
        return []
    body = [[code(shortened(row.name), 60, cell=True), row.group, *cells(row)] for row in compute.kernels[:_KERNELS]]
    more = compute.names - len(body)
    told = f"{us(compute.compute.median)} µs compute: {groups_sentence(compute)}."
    lines = [told, *(f"L{layers_sentence(one)[1:]}." for one in layers(report))]
    return [
        "#### Kernels",
        "",
        *rows(["kernel", "group", *HEAD], body, left=2),
        "",
        escaped(f"{f'{more} more on the page and in the JSON. ' if more > 0 else ''}{' '.join(lines)}"),
    ]


def _collectives(report: Report) -> list[str]:
    if not report.collectives:
        return []
    header = ["kernel", "kind", "bytes", "ranks", "a step", "wire p50 µs", "p99", "wait p50 µs", "p99", "busbw GB/s"]
    shown = report.collectives[:_COLLECTIVES]
    more = len(report.collectives) - len(shown)
    several = several_populations(report.collectives)
    body = [[*_family(family), *([escaped(family.steps)] if several else [])] for family in shown]
    return [
        "#### Collectives",
        "",
        *rows([*header, *([POPULATION] if several else [])], body, left=2),
        "",
        escaped(f"{f'{more} more on the page and in the JSON. ' if more else ''}Link: {report.link.sentence}"),
        *(["", escaped(nccl)] if (nccl := nccl_sentence(report)) else []),
    ]


def _light(report: Report) -> list[str]:
    light = report.light.found
    if light is None:
        return []
    return [
        "#### Speed of light",
        "",
        *(f"- {escaped(sentence)}" for sentence in (light_sentence(light), *sentences(light))),
        "",
        *rows([escaped(head) for head in PRODUCT_HEADS], [[escaped(c) for c in r] for r in product_rows(light)]),
    ]


def _family(family: CollectiveFamily) -> list[str]:
    wire, wait = family.wire or {}, family.wait or {}
    return [
        code(family.name, 60, cell=True),
        escaped(family.kind or family.op_class),
        family.size_words,
        str(family.ranks),
        "-" if family.a_step is None else str(family.a_step),
        *(us(spread.get(name)) for spread in (wire, wait) for name in ("p50", "p99")),
        "-" if family.busbw is None else f"{family.busbw:.3g}",
    ]


def _quality(report: Report) -> list[str]:
    bad = report.doubts
    if not bad:
        return ["#### Read with care", "", "Nothing: every figure above was measured."]
    told = (f"- {escaped(row.id)} ({row.status.words}): {escaped(row.reason)}" for row in bad)
    return ["#### Read with care", "", *told]


def _method(report: Report) -> list[str]:
    source, steps = report.inputs[0], report.steps
    models = ", ".join(sorted({plain(rank.model or "unknown GPU", 40) for rank in report.ranks}))
    version = f"nsys {source.nsys_version or 'of unknown version'}, schema {source.schema_version or 'unknown'}"
    excluded: dict[str, int] = {}
    for reason in steps.excluded.values():
        excluded[reason] = excluded.get(reason, 0) + 1
    left_out = "".join(f"; left out: {counted(n, 'step')} ({reason})" for reason, n in excluded.items())
    found = counted(steps.count, "step")
    covered = coverage_words(report.replicas[report.replica])
    return [
        "#### Inputs and method",
        "",
        f"- {_names(report)}, exported by {escaped(version)}; CUDA graphs: {escaped(source.graph_trace)}",
        f"- {escaped(f'{report.seen_words} on {models}, numbered by {report.ranks[0].source}')}",
        *_replicas(report),
        f"- {escaped(f'{found} by {steps.source}, {len(steps.steady)} steady{covered}{left_out}')}",
        f"- read by nsysan {escaped(report.version)}; `nsysan report` writes the page with everything behind it",
    ]


def _replicas(report: Report) -> list[str]:
    """The replicas and kinds of steps, where there are several."""
    told = [one.sentence for one in report.replicas] if len(report.replicas) > 1 else []
    told = [layout_sentence(report.replicas), *told] if told else []
    head = report.replicas[report.replica]
    bubble, populations = head.diagnosis.bubble, head.populations
    if bubble is not None:
        told = [*(told or [layout_sentence(report.replicas)]), bubble.sentence]
        told += [stage.sentence for stage in bubble.stages]
    told += [one.sentence for one in populations] if len(populations) > 1 else []
    return [f"- {escaped(line)}" for line in told]


def _names(report: Report) -> str:
    shown = ", ".join(code(source.name) for source in report.inputs[:_NAMED])
    more = len(report.inputs) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
