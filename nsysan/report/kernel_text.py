"""What the compute is in words, for the summary, the Markdown and the page (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from nsysan.report.kernel_table import ComputeRow, KernelRow, OverRanks, differs
from nsysan.report.layer_table import LayerTable
from nsysan.report.report import Report
from nsysan.styled import heading
from nsysan.text import WIDE, counted, number, pct, plain, prose, shortened, table, us, wrapped

#: Kernels that a summary shows, and letters of a name.
_SHOWN, _NAME = 6, 60
#: Groups with less of compute than this are told together in a sentence.
_LEAST = 0.005
HEAD = ("µs a step", "share", "calls", "µs a call")


def kernels_line(compute: ComputeRow, width: int | None = None) -> str:
    """What the compute is, by group."""
    told = f"{heading('kernels')} of {us(compute.compute.median)} µs compute: {groups_sentence(compute)}"
    return wrapped(told, " " * 8, prose(width))


def kernel_text(report: Report, width: int | None = None) -> str:
    """The groups in a line, the kernels that take most, and the layers; nothing where no kernel is seen."""
    compute = report.compute
    if compute is None:
        return ""
    shown = compute.kernels[:_SHOWN]
    rows = [
        [f"  {plain(shortened(row.name), _NAME)}", row.group, *cells(row), ranks_words(row.ns, compute.period)]
        for row in shown
    ]
    lines = [kernels_line(compute, width)]
    header = ["  kernel", "group", *HEAD, "ranks"]
    apart = width is not None and width < WIDE
    columns = len(header) if not apart and any(row[-1] for row in rows) else len(header) - 1
    lines += table(header[:columns], [row[:columns] for row in rows], left=2, width=width)
    lines += [f"{row[0]}: {row[-1]}" for row in rows if apart and row[-1]]
    if compute.names > len(shown):
        lines.append(f"  and {compute.names - len(shown)} more in the JSON and on the page")
    return "\n".join([*lines, *(f"  {layers_sentence(one)}" for one in layers(report))])


def cells(row: KernelRow) -> list[str]:
    """The figures under HEAD."""
    return [us(row.ns.median), pct(row.share), number(_whole(row.calls)), us(row.call)]


def groups_sentence(compute: ComputeRow) -> str:
    """Groups by what they take, each with its share of compute; what kernels share is stated."""
    told = [row for row in compute.groups if row.of_compute >= _LEAST]
    rest = sum(row.ns.median for row in compute.groups if row.of_compute < _LEAST)
    parts = [f"{row.group} {us(row.ns.median)} ({pct(row.of_compute)})" for row in told]
    parts += [f"others {us(rest)}"] if rest else []
    return ", ".join(parts) + overlap_words(compute)


def overlap_words(compute: ComputeRow) -> str:
    """What keeps kernels from summing to the line, as the end of a sentence; "" where it is nothing."""
    told = []
    if compute.overlap.max:
        told.append(f"{us(compute.overlap.median)} run beside other kernels")
    if compute.beyond.median:
        told.append(f"{us(compute.beyond.median)} reach over the step's end")
    return f"; of the kernels' {us(compute.summed.median)} {' and '.join(told)}" if told else ""


def ranks_words(ns: OverRanks, period: int) -> str:
    """The ranks that take least and most, where that is more than noise."""
    if not differs(ns, period):
        return ""
    low, high = (min(ns.ranks, key=lambda rank: sign * ns.ranks[rank]) for sign in (1, -1))
    return f"{us(ns.min)} on rank {low} to {us(ns.max)} on rank {high}"


def layers(report: Report) -> list[LayerTable]:
    """Those of the replica that the report is of."""
    return report.replicas[report.replica].layers if report.compute is not None else []


def layers_sentence(one: LayerTable) -> str:
    """How many layers, of how many kernels, and whether the first and the last are others."""
    odd = [
        which
        for which, others in (("first", [k.first for k in one.kernels]), ("last", [k.last for k in one.kernels]))
        if any(others)
    ]
    but = f"; the {' and the '.join(odd)} with other kernels" if odd else ""
    size = f"{one.count} x {counted(len(one.kernels), 'kernel')}"
    return f"layers: {size}, {us(one.compute)} µs of compute each (rank {one.rank}{but})"


def _whole(calls: float) -> float | int:
    return int(calls) if calls.is_integer() else calls
