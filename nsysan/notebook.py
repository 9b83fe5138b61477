"""What a notebook shows of an object: one line as text, a few lines and a table as HTML, all of it escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nsysan.text import plain, us

if TYPE_CHECKING:
    import polars as pl

_TEXT = 120
_LINE = 400
_ROWS = 16


def names(found: Iterable[str]) -> str:
    """Names of traces, as far as there is room."""
    return plain(", ".join(found), _TEXT)


def summary(title: str, lines: Sequence[tuple[str, str]], medians: pl.DataFrame) -> str:
    """HTML: a title, named lines, and a row a rank; needs no style sheet and no script.

    medians: as metrics.ledger.rank_medians gives them; columns that are nothing but 0 are left out.
    """
    told = "".join(f"<br>{_safe(name)}: {_safe(text)}" for name, text in lines)
    return f"<div><b>{_safe(title)}</b>{told}{_table(medians)}</div>"


def _table(medians: pl.DataFrame) -> str:
    if medians.is_empty():
        return ""
    shown = [name for name in medians.columns if name.endswith("_ns") and medians[name].sum()]
    header = _row("th", ["rank", *(name.removesuffix("_ns") for name in shown)])
    body = "".join(
        _row("td", [str(row["rank"]), *(us(row[name]) for name in shown)])
        for row in medians.head(_ROWS).iter_rows(named=True)
    )
    more = f"; the first {_ROWS} of {len(medians)} ranks" if len(medians) > _ROWS else ""
    caption = f"<caption>µs a step, median over the steady steps{more}</caption>"
    return f"<table>{caption}<thead>{header}</thead><tbody>{body}</tbody></table>"


def _row(kind: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{_safe(cell)}</{kind}>' for cell in cells)}</tr>"


def _safe(text: str) -> str:
    from html import escape

    return escape(plain(text, _LINE))
