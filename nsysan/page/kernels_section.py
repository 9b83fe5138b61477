"""What the compute is, on the page: groups by rank, kernels folded into their groups, and a layer for all layers."""

from __future__ import annotations

from nsysan.page.charts import entitled
from nsysan.page.elements import plot, safe, section, table
from nsysan.page.figure import Figure
from nsysan.page.finding_anchor import KERNELS
from nsysan.page.palette import GROUP_COLOURS
from nsysan.report.kernel_table import ComputeRow, GroupTotal
from nsysan.report.kernel_text import (
    HEAD,
    cells,
    groups_sentence,
    layers,
    layers_sentence,
    overlap_words,
    ranks_words,
)
from nsysan.report.layer_table import Beside, LayerTable
from nsysan.report.report import Report
from nsysan.text import counted, number, pct, shortened, us

_NOTE = (
    "Every kernel of class compute, by what its name says it is for; other is what no pattern knows. Figures are of a "
    "step: a rank's median over the steady steps, then the median over the ranks. In every step the kernels sum to the "
    "compute line, but for what runs beside other kernels or reaches over the step's end; medians need not add up."
)
_LAYER_NOTE = (
    "The block of kernels that repeats in a step: one layer, µs a kernel (median over the layers and steps; "
    "communication with its waiting)."
)
#: Kernels of a group that are listed.
_LISTED = 40


def kernels(plots: dict[str, str], report: Report) -> str:
    """The section; nothing where no kernel of the steps is seen."""
    compute = report.compute
    if compute is None:
        return ""
    folded = "".join(_group(compute, row) for row in compute.groups)
    told = overlap_words(compute).removeprefix("; ")
    note = f'<p class="note">{safe(told[:1].upper() + told[1:])} µs.</p>' if told else ""
    parts = (_groups(compute), note, folded, *(_layer(one) for one in layers(report)))
    chart = plot(plots, "kernel-groups", group_bars(report, compute))
    head = f"{us(compute.compute.median)} µs a step: {groups_sentence(compute)}"
    return section("Kernels", _NOTE, chart, *parts, anchor=KERNELS, folded=head)


def group_bars(report: Report, compute: ComputeRow) -> Figure:
    """The groups as stacked bars, one a rank, us."""
    ranks = [rank.rank for rank in report.ranks]
    figure = Figure()
    for row in compute.groups:
        figure.add_bar(
            y=[f"rank {rank}" for rank in ranks],
            x=[row.ns.ranks.get(rank, 0) / 1e3 for rank in ranks],
            orientation="h",
            name=row.group.value,
            marker={"color": GROUP_COLOURS[row.group]},
            hovertemplate="%{y}: %{x:,.1f} µs<extra>" + row.group.value + "</extra>",
        )
    figure.update_layout(barmode="stack", height=110 + 34 * len(ranks), legend={"traceorder": "normal"})
    entitled(figure, "What the compute of a step is, by rank (median step)")
    figure.update_xaxes(title="µs per step")
    figure.update_yaxes(autorange="reversed")
    return figure


def _groups(compute: ComputeRow) -> str:
    rows = [
        [
            f"{_chip(row.group)}{safe(row.group)}",
            us(row.ns.median),
            pct(row.share),
            pct(row.of_compute),
            number(int(row.calls) if row.calls.is_integer() else row.calls),
            str(row.kernels),
            ranks_words(row.ns, compute.period),
        ]
        for row in compute.groups
    ]
    header = ["group", "µs a step", "of the period", "of compute", "calls", "kernels", "where ranks differ"]
    caption = f"Compute by group: {us(compute.compute.median)} µs a step"
    return table(header, rows, text=(0, 6), raw=(0,), caption=caption)


def _chip(group: str) -> str:
    return f'<i class="swatch" style="background:{GROUP_COLOURS[group]}"></i> '


def _group(compute: ComputeRow, group: GroupTotal) -> str:
    """A group's kernels, folded."""
    own = compute.of_group(group.group)
    if not own:
        return ""
    rows = [[_name(row.name, row.full), *cells(row), ranks_words(row.ns, compute.period)] for row in own[:_LISTED]]
    more = group.kernels - len(rows)
    left = (
        f'<p class="note">{counted(more, "further kernel")} in the JSON, or too small for it.</p>' if more > 0 else ""
    )
    head = f"{group.group}: {us(group.ns.median)} µs, {counted(group.kernels, 'kernel')}"
    body = table(
        ["kernel", *HEAD, "where ranks differ"], rows, text=(0, 5), raw=(0,), caption=f"Kernels: {group.group}"
    )
    return f"<details><summary>{_chip(group.group)}{safe(head)}</summary>{body}{left}</details>"


def _name(name: str, full: str = "") -> str:
    """HTML: a name cut in the middle, where kernels of one family are alike; all of it on hover."""
    return f'<span title="{safe(full or name)}">{safe(shortened(name))}</span>'


def _layer(one: LayerTable) -> str:
    rows = [
        [
            str(place),
            _name(kernel.name),
            kernel.group or kernel.cls,
            us(kernel.ns),
            "; ".join(
                f"{which}: {shortened(other[0])}, {us(other[1])}"
                for which, other in (("first layer", kernel.first), ("last layer", kernel.last))
                if other is not None
            ),
        ]
        for place, kernel in enumerate(one.kernels, 1)
    ]
    header = ["", "kernel", "group", "µs", "elsewhere"]
    caption = f"A layer, x {one.count} (rank {one.rank}, {us(one.compute)} µs of compute each)"
    told = table(header, rows, text=(1, 2, 4), raw=(1,), wrap=4, caption=caption)
    beside = _beside("before the layers", one.before) + _beside("behind the layers", one.after)
    head = layers_sentence(one)
    return f'<details><summary>{safe(head)}</summary><p class="note">{safe(_LAYER_NOTE)}</p>{told}{beside}</details>'


def _beside(where: str, kernels_: list[Beside]) -> str:
    if not kernels_:
        return ""
    rows = [[_name(row.name), row.group or row.cls, str(row.calls), us(row.ns)] for row in kernels_]
    return table(["kernel", "group", "calls", "µs"], rows, text=(0, 1), raw=(0,), caption=f"Kernels {where}")
