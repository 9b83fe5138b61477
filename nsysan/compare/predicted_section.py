"""The page's section of other TP degrees: measured and predicted ledgers, the range of each prediction, a table."""

from __future__ import annotations

from nsysan.compare.comparison import Comparison
from nsysan.compare.prediction_rows import COLUMNS, rows
from nsysan.compare.widths import Width, of_prediction
from nsysan.metrics.lines import LINES
from nsysan.page.elements import plot, safe, section, table
from nsysan.page.figure import Figure
from nsysan.page.palette import COLOURS, NAMES

_NOTE = (
    "Measured and predicted steps by TP degree. A prediction takes each kernel's time {divides}, hosts, gaps and "
    "copies as measured; its bar says where the period lies."
)
_DIVIDES = {
    False: "as a + b/n over the degrees that were measured, calls at their floor there",
    True: "by what its product of the model reads there, calls at their floor, or by the table of links",
}


def predicted_section(comparison: Comparison, plots: dict[str, str]) -> str:
    """Nothing where no prediction was asked for."""
    if not comparison.predictions:
        return ""
    why = "".join(
        f"<p>TP={one.ranks}: nothing is predicted: {safe(one.reason or '')}</p>"
        for one in comparison.predictions
        if one.period is None
    )
    shown = rows(comparison)
    told = any(one.period is not None for one in comparison.predictions)
    chart = plot(plots, "predicted", degrees(comparison)) if told else ""
    figures = table(list(COLUMNS), shown, text=(0, 1)) if shown else ""
    rest = [[f"TP={one.ranks}", each] for one in comparison.predictions for each in one.basis]
    basis = table(["", "what it rests on"], rest, text=(0, 1), wrap=1) if rest else ""
    note = _NOTE.format(divides=_DIVIDES[any(one.model for one in comparison.predictions)])
    return section("Other TP degrees", note, why, chart, figures, basis, anchor="degrees")


def degrees(comparison: Comparison) -> Figure | None:
    """A column a degree, its ledger stacked; on predicted ones the range of the period; µs. None without any."""
    if comparison.scaling is None:
        return None
    told = [one for one in comparison.predictions if one.period is not None]
    predicted = [(of_prediction(one, comparison.scaling), one) for one in told]
    widths = sorted(
        [*comparison.scaling.widths, *(width for width, _ in predicted)], key=lambda one: (one.ranks, one.label is None)
    )
    names = [_name(width) for width in widths]
    figure = Figure()
    opacity = [1.0 if width.label else 0.6 for width in widths]
    for line in (line for line in LINES if any(width.ledger.get(line) for width in widths)):
        figure.add_bar(
            x=names,
            y=[(width.ledger.get(line) or 0.0) / 1e3 for width in widths],
            name=NAMES[line],
            marker={"color": COLOURS[line], "opacity": opacity},
            hovertemplate="%{x}: %{y:,.1f} µs<extra>" + NAMES[line] + "</extra>",
        )
    middle = [(one.period or 0) / 1e3 for _, one in predicted]
    figure.add_scatter(
        x=[_name(width) for width, _ in predicted],
        y=middle,
        mode="markers",
        name="predicted, and its range",
        marker={"color": COLOURS["last"], "size": 7},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [(one.high or 0) / 1e3 - at for (_, one), at in zip(predicted, middle, strict=True)],
            "arrayminus": [at - (one.low or 0) / 1e3 for (_, one), at in zip(predicted, middle, strict=True)],
            "color": COLOURS["last"],
        },
        customdata=[[(one.low or 0) / 1e3, (one.high or 0) / 1e3] for _, one in predicted],
        hovertemplate="%{x}: %{y:,.1f} µs, %{customdata[0]:,.1f} to %{customdata[1]:,.1f}<extra></extra>",
    )
    figure.update_layout(barmode="stack", height=420, legend={"traceorder": "normal"})
    figure.update_layout(title="A step by TP degree, measured and predicted")
    figure.update_xaxes(title="TP degree", categoryorder="array", categoryarray=names)
    figure.update_yaxes(title="µs per step", rangemode="tozero")
    return figure


def _name(width: Width) -> str:
    return f"TP={width.ranks}, {safe(width.label)}" if width.label else f"TP={width.ranks}, predicted"
