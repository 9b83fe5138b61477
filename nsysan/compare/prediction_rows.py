"""The table of measured and predicted TP degrees: period and bar, speed-up, tokens/s, ledger."""

from __future__ import annotations

from nsysan.compare.comparison import Comparison
from nsysan.compare.prediction import Prediction
from nsysan.compare.widths import of_prediction
from nsysan.metrics.lines import Line
from nsysan.text import pct, us

#: What a step that can be predicted is made of.
_LINES = (Line.COMPUTE, Line.WAIT, Line.FUSED, Line.WIRE, Line.COPY, Line.IDLE)
COLUMNS = (
    *("TP", "", "period, µs", "from", "to", "speed-up", "efficiency", "tokens/s", "a GPU"),
    *(f"{line}, µs" for line in _LINES),
)


def rows(comparison: Comparison) -> list[list[str]]:
    """All widths, measured and predicted, narrowest first: figures, and the ledger in µs a step."""
    if comparison.scaling is None or not (
        comparison.scaling.steps or any(one.period for one in comparison.predictions)
    ):
        return []
    widths = [*comparison.scaling.widths]
    bars: dict[int, Prediction] = {}
    for one in comparison.predictions:
        if one.period is not None:
            bars[one.ranks] = one
            widths.append(of_prediction(one, comparison.scaling))
    found = []
    for width in sorted(widths, key=lambda width: (width.ranks, width.label is None)):
        bar = bars.get(width.ranks) if width.label is None else None
        found.append(
            [
                f"{width.ranks}",
                f"measured, {width.label}" if width.label else "predicted",
                us(width.period),
                "-" if bar is None or bar.low is None else us(bar.low),
                "-" if bar is None or bar.high is None else us(bar.high),
                f"{width.speed_up:.2f}x",
                pct(width.efficiency),
                f"{width.tokens_per_second:,.0f}",
                f"{width.tokens_per_second_per_gpu:,.0f}",
                *(us(width.ledger.get(line)) for line in _LINES),
            ]
        )
    return found
