"""Figures of plotly.js as plain data: plotly's Python takes longer to import and to check them than a page to write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TITLE_SIZE = 16


class Figure:
    """Traces and a layout, by plotly's own names of attributes; a title may be text alone.

    rows, columns: of panels; spacing: between them, a share of the figure; titles: of the panels, by row. Panels of a
    column share their x axis where there is one column.
    """

    def __init__(self, rows: int = 1, columns: int = 1, *, spacing: float = 0.0, titles: Sequence[str] = ()) -> None:
        self.data: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = {}
        self._columns = columns
        self._panels = rows * columns
        if self._panels > 1 or titles:
            self._set_out(rows, spacing, titles)

    @property
    def title(self) -> str:
        """Text of the title, with plotly's markup; "" for none."""
        return str(self.layout.get("title", {}).get("text", ""))

    @property
    def height(self) -> int:
        """In pixels of CSS, 0 where it is not set."""
        return int(self.layout.get("height", 0))

    def add_bar(self, *, row: int = 1, col: int = 1, **attributes: object) -> None:
        """Bars."""
        self._add("bar", row, col, attributes)

    def add_scatter(self, *, row: int = 1, col: int = 1, **attributes: object) -> None:
        """Lines, points or text."""
        self._add("scatter", row, col, attributes)

    def add_box(self, *, row: int = 1, col: int = 1, **attributes: object) -> None:
        """A box, and its points."""
        self._add("box", row, col, attributes)

    def add_heatmap(self, *, row: int = 1, col: int = 1, **attributes: object) -> None:
        """A map of colours."""
        self._add("heatmap", row, col, attributes)

    def update_layout(self, **attributes: object) -> Figure:
        """Set these attributes and leave the others, also within another."""
        _merge(self.layout, _titled(attributes))
        return self

    def update_xaxes(self, *, row: int | None = None, col: int | None = None, **attributes: object) -> Figure:
        """The same of the x axis of a panel, or of all."""
        return self._update("x", row, col, attributes)

    def update_yaxes(self, *, row: int | None = None, col: int | None = None, **attributes: object) -> Figure:
        """The same of the y axis."""
        return self._update("y", row, col, attributes)

    def to_dict(self) -> dict[str, Any]:
        """data and layout as plotly.js takes them."""
        return {"data": self.data, "layout": self.layout}

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)

    def whole(self) -> go.Figure:
        """The same as a figure of plotly's, which checks every attribute."""
        import plotly.graph_objects as go

        return go.Figure(self.to_dict())

    def _add(self, kind: str, row: int, col: int, attributes: Mapping[str, Any]) -> None:
        on = {f"{letter}axis": letter + _number(self._panel(row, col)) for letter in "xy"} if self._panels > 1 else {}
        self.data.append({"type": kind, **attributes, **on})

    def _update(self, letter: str, row: int | None, col: int | None, attributes: Mapping[str, Any]) -> Figure:
        for panel in range(1, self._panels + 1):
            if row is None or col is None or panel == self._panel(row, col):
                _merge(self.layout.setdefault(f"{letter}axis{_number(panel)}", {}), _titled(attributes))
        return self

    def _panel(self, row: int, col: int) -> int:
        return (row - 1) * self._columns + col

    def _set_out(self, rows: int, spacing: float, titles: Sequence[str]) -> None:
        """Set the panels' places as plotly's make_subplots does."""
        across, down = list(_domains(self._columns, spacing)), list(_domains(rows, spacing))[::-1]
        for panel in range(1, self._panels + 1):
            row, col = divmod(panel - 1, self._columns)
            number = _number(panel)
            self.layout[f"xaxis{number}"] = {"anchor": f"y{number}", "domain": across[col]}
            self.layout[f"yaxis{number}"] = {"anchor": f"x{number}", "domain": down[row]}
            if self._columns == 1 and panel < self._panels:
                self.layout[f"xaxis{number}"] |= {"matches": f"x{_number(self._panels)}", "showticklabels": False}
        if titles:
            places = [(sum(across[n % self._columns]) / 2, down[n // self._columns][1]) for n in range(self._panels)]
            self.layout["annotations"] = [
                {
                    "text": title,
                    "font": {"size": _TITLE_SIZE},
                    "showarrow": False,
                    "x": x,
                    "y": y,
                    "xanchor": "center",
                    "yanchor": "bottom",
                    "xref": "paper",
                    "yref": "paper",
                }
                for title, (x, y) in zip(titles, places, strict=True)
            ]


def _number(panel: int) -> str:
    """What follows the name of an axis of a panel."""
    return "" if panel == 1 else str(panel)


def _domains(count: int, spacing: float) -> Iterator[list[float]]:
    """From where to where each of so many panels lies."""
    width = (1 - spacing * (count - 1)) / count
    for place in range(count):
        begin = place * (width + spacing)
        yield [begin, begin + width]


def _titled(attributes: Mapping[str, Any]) -> dict[str, Any]:
    title = attributes.get("title")
    return {**attributes, "title": {"text": title}} if isinstance(title, str) else dict(attributes)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value
