"""Figures as plain data are those that plotly's Python makes of the same words."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from nsysan.page.figure import Figure


def rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: rounded(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(own) for own in value]
    return round(value, 12) if isinstance(value, float) else value


def laid_out(figure: go.Figure | Figure) -> dict[str, Any]:
    found: dict[str, Any] = figure.to_dict()
    found["layout"].pop("template", None)
    return {name: rounded(value) for name, value in found.items()}


@pytest.mark.parametrize(("rows", "columns", "titled"), [(2, 1, False), (3, 1, True), (1, 1, True), (1, 2, False)])
def test_panels_lie_where_plotly_puts_them(rows: int, columns: int, titled: bool) -> None:
    titles = [f"panel {number}" for number in range(rows * columns)] if titled else []
    ours = Figure(rows, columns, spacing=0.1, titles=titles)
    theirs = make_subplots(
        rows,
        columns,
        shared_xaxes=columns == 1,
        vertical_spacing=0.1,
        horizontal_spacing=0.1,
        subplot_titles=titles or None,
    )
    for figure in (ours, theirs):
        figure.add_scatter(x=[1], y=[2], row=rows, col=columns, marker={"size": 3})
        figure.update_layout(height=300, title="what", legend={"x": 0})
        figure.update_layout(legend={"y": 1}, title={"x": 0})
        figure.update_xaxes(title="everywhere")
        figure.update_yaxes(title="here", row=rows, col=columns)
    wanted = laid_out(theirs)
    if rows * columns == 1:
        # One panel has no other to be told from.
        for name in ("xaxis", "yaxis"):
            wanted["data"][0].pop(name)
    assert laid_out(ours) == wanted
    assert ours.whole().to_dict()["data"] == ours.data
    assert (ours.title, ours.height) == ("what", 300)
