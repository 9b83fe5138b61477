"""The summary that a person pastes into a ticket."""

from __future__ import annotations

from collections import Counter

from nsysan.report.build import CollectiveFamily, Report, visible_lines
from nsysan.report.quality import OK
from nsysan.report.text import counted, ms, percent, plain, size, table, us

_LABEL = {"comm_unsplit": "unsplit"}


def to_text(report: Report) -> str:
    """The summary as plain text, at most about 110 columns wide."""
    parts = [_capture(report), _steps(report), _headline(report), _ledger(report), _collectives(report)]
    return "\n\n".join(part for part in (*parts, _lookalikes(report), _quality(report)) if part) + "\n"


def headline_sentence(report: Report) -> str:
    """What the step is made of, in one sentence; what an NCCL sum would have said beside it."""
    head = report.headline
    period = head["period_ns"]
    if not period:
        return "No steady decode step: nothing to summarise."
    shares = [
        f"{_LABEL.get(line, line)} {percent(head[f'{line}_ns'], period)}"
        for line in visible_lines(report)
        if head[f"{line}_ns"] is not None
    ]
    return f"{ms(period)} a step: {', '.join(shares)} (median over ranks)"


def _capture(report: Report) -> str:
    models = Counter(rank.model or "unknown GPU" for rank in report.ranks)
    gpus = ", ".join(f"{n} x {plain(model)}" for model, n in models.items())
    graphs = {"node": "CUDA graphs by node", "graph": "CUDA graphs as blocks", "none": "no CUDA graph replays"}
    lines = [f"nsysan {report.version}: {plain(source.name)}" for source in report.inputs]
    source = report.inputs[0]
    version = f"nsys {source.nsys_version or 'of unknown version'} (schema {source.schema_version or 'unknown'})"
    ranks = counted(len(report.ranks), "rank")
    lines.append(f"captured  {plain(version)}, {graphs[source.graph_trace]}; {ranks} on {gpus}")
    return "\n".join(lines)


def _steps(report: Report) -> str:
    steps = report.steps
    over = f"figures are medians over the {len(steps.steady)} steady ones"
    lines = [f"steps     {steps.count} by {plain(steps.source)}; {over}"]
    by_reason: dict[str, list[int]] = {}
    for step, reason in steps.excluded.items():
        by_reason.setdefault(reason, []).append(step)
    for reason, numbers in by_reason.items():
        shown = ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
        lines.append(f"          left out: step {shown} ({plain(reason)})")
    return "\n".join(lines)


def _headline(report: Report) -> str:
    return f"period    {headline_sentence(report)}"


def _ledger(report: Report) -> str:
    if report.per_rank.is_empty():
        return ""
    lines = visible_lines(report)
    columns = ["period", *lines, "comm", "overlap"]
    header = ["rank", *(_LABEL.get(c, c) for c in columns)]
    rows = [[str(row["rank"]), *(us(row[f"{c}_ns"]) for c in columns)] for row in report.per_rank.iter_rows(named=True)]
    closed = f"every step of every rank sums to its period to 0 ns ({len(report.per_step)} ledgers checked)"
    return "\n".join(
        ["ledger, us per step (median over the steady steps; medians need not add up)", *table(header, rows), closed]
    )


def _collectives(report: Report) -> str:
    if not report.collectives:
        return ""
    steady = max(len(report.steps.steady), 1)
    lines = ["collectives in the steady steps"]
    lines += [_family(family, steady) for family in report.collectives]
    return "\n".join(lines)


def _family(family: CollectiveFamily, steps: int) -> str:
    what = f"{family.kind or family.op_class} of {size(family.message_bytes)} over {counted(family.ranks, 'rank')}"
    verdicts = [f"{family.matched} of {family.count} calls matched"]
    verdicts += [f"{n} {word}" for word, n in (("unmatched", family.unmatched), ("rejected", family.rejected)) if n]
    text = f"  {family.count / steps:g} a step  {what}: {', '.join(verdicts)}  [{plain(family.name, 60)}]"
    if family.wire is None or family.wait is None:
        return text
    after = "fused" if family.op_class == "fused" else "wire"
    spread = [
        f"{name} us p50 {us(v['p50'])}  p99 {us(v['p99'])}  max {us(v['max'])}"
        for name, v in ((after, family.wire), ("wait", family.wait))
    ]
    return text + "\n    " + "    ".join(spread)


def _lookalikes(report: Report) -> str:
    if not report.lookalikes:
        return ""
    lines = ["not in the catalogue, but named like collectives (counted as compute)"]
    lines += [
        f"  {plain(k.name, 80)}: {k.calls} calls, {100 * k.share:.1f} % of kernel time" for k in report.lookalikes[:10]
    ]
    return "\n".join(lines)


def _quality(report: Report) -> str:
    rows = [q for q in report.quality if q.status != OK]
    if not rows:
        return ""
    return "\n".join(
        ["read with care", *(f"  {q.id} ({q.status.replace('_', ' ')}): {plain(q.reason, 400)}" for q in rows)]
    )
