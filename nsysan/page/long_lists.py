"""Figures with a value a step: what is long goes past plotly, which looks at each value several times and copies it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly


@dataclass(frozen=True)
class LongFigure:
    """A figure with empty lists, and those that belong there: of each trace by name, "marker.symbol" within another."""

    figure: go.Figure
    lists: list[Mapping[str, Sequence[Any]]] = field(default_factory=list)

    def add_scatter(self, lists: Mapping[str, Sequence[Any]], **rest: object) -> None:
        """A trace with these lists."""
        self.figure.add_scatter(**{name.replace(".", "_"): [] for name in lists}, **rest)
        self.lists.append(lists)

    def filled(self) -> dict[str, Any]:
        """The figure with its lists."""
        found: dict[str, Any] = self.figure.to_dict()
        for trace, lists in zip(found["data"], self.lists, strict=True):
            for name, values in lists.items():
                *outer, last = name.split(".")
                place = trace
                for within in outer:
                    place = place[within]
                place[last] = values
        return found

    def to_json(self) -> str:
        """The same as plotly writes it."""
        return str(to_json_plotly(self.filled()))

    def whole(self) -> go.Figure:
        """The same as a figure of plotly's."""
        return go.Figure(self.filled())
