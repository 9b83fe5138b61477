"""Small pieces of plain text that the terminal outputs share: aligned tables, durations, sizes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

_BREAK = re.compile(r"[\t-\r\x85\u2028\u2029]+")
#: Control characters, direction overrides, and what stands for undecodable bytes of a file name.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str, width: int = 120) -> str:
    """Text from a trace as one safe line: line breaks made spaces, control characters replaced, cut at `width`."""
    cleaned = _CONTROL.sub("?", _BREAK.sub(" ", text))
    return cleaned if len(cleaned) <= width else cleaned[: width - 3] + "..."


def whole(text: str | None, digits: int = 18) -> int | None:
    """The whole number that a stranger's text is, by default one of 64 bits; None where it is none, or a longer one."""
    return int(text) if text is not None and len(text) <= digits and text.isascii() and text.isdigit() else None


def counted(count: int, thing: str, things: str = "") -> str:
    """A number of things: "1 rank", "4 ranks"; `things` is the plural where it is not made with an s."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def numbered(thing: str, numbers: Sequence[int], most: int = 8) -> str:
    """Things by their numbers: "rank 3", "steps 0, 1 and 2"; beyond `most`, how many more there are."""
    shown = [str(n) for n in numbers[:most]]
    more = f"{len(numbers) - most} more" if len(numbers) > most else shown.pop() if len(shown) > 1 else ""
    return f"{thing}{'s' if len(numbers) != 1 else ''} {', '.join(shown)}{f' and {more}' if more else ''}"


def us(value: float | None, digits: int = 1) -> str:
    """Nanoseconds as microseconds; a dash where there is no value."""
    return "-" if value is None else f"{value / 1e3:,.{digits}f}"


def ms(value: float) -> str:
    """Nanoseconds as milliseconds."""
    return f"{value / 1e6:.3f} ms"


def number(value: float | None) -> str:
    """A figure with one decimal at most; a dash where there is no value."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def percent(part: float | None, whole: float | None) -> str:
    """Share of a whole, as a per cent; a dash where it is unknown."""
    return f"{100 * part / whole:.1f} %" if part is not None and whole else "-"


def size(count: int | None) -> str:
    """Bytes in binary units."""
    if count is None:
        return "size unknown"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"


def wrapped(text: str, indent: str, width: int = 110) -> str:
    """Text in lines of at most `width` columns; those after the first begin with the indent."""
    return textwrap.fill(
        plain(text, 2_000), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Lines of an aligned table; the first `left` columns are left-aligned, the rest right-aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return [line(header), *map(line, rows)]
