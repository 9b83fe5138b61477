"""How every output writes a figure: durations in µs, shares in per cent, sizes, lists; and aligned tables.

One style, so that one figure reads alike wherever it stands: a decimal each, thousands by commas, a space before the
unit. A threshold, which was chosen and not measured, has the digits that it was chosen with; what is divided by a
rate in GB/s is in GB.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from nsysan.styled import MARKS, bare, rebroken, seen

_BREAK = re.compile(r"[\t-\r\x85\u2028\u2029]+")
#: Control characters, what turns the direction of writing, what nobody sees, and what stands for undecodable bytes of
#: a file name.
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff" + MARKS + "]"
)

#: Halves of characters: undecodable bytes.
_HALVES = re.compile(r"[\ud800-\udfff]")
#: Between a number and its unit.
UNIT = re.compile(r"(?<=[\d-]) (?=(?:µs|%|GB/s|KiB|MiB|GiB)(?![\w/]))")
#: Between columns of a table; a name in it keeps so many letters.
_BETWEEN = "  "
_LEAST_NAME = 16
#: So many numbers in a row are told by the first and the last.
_RUN = 2


def plain(text: str, width: int = 120) -> str:
    """Text from a trace as one safe line: line breaks made spaces, control characters replaced, cut at `width`."""
    cleaned = _CONTROL.sub("?", _BREAK.sub(" ", text))
    return cleaned if len(cleaned) <= width else cleaned[: width - 3] + "..."


def encodable(text: str) -> str:
    """What the system gave (the name of a file, an argument) as text of UTF-8: undecodable bytes become U+FFFD."""
    return _HALVES.sub("\ufffd", text)


def whole(text: str | None, digits: int = 18) -> int | None:
    """The whole number that a stranger's text is, by default one of 64 bits; None where it is none, or a longer one."""
    return int(text) if text is not None and len(text) <= digits and text.isascii() and text.isdigit() else None


def counted(count: int, thing: str, things: str = "") -> str:
    """A number of things: "1 rank", "4 ranks"; `things` is the plural where it is not made with an s."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def listed(items: Iterable[object]) -> str:
    """Things in a row: "a", "a and b", "a, b and c"; "" for none."""
    told = list(map(str, items))
    return " and ".join(part for part in (", ".join(told[:-1]), *told[-1:]) if part)


def numbered(thing: str, numbers: Sequence[int], most: int = 8) -> str:
    """Things by their numbers: "rank 3", "steps 0 and 2", "steps 1 to 8 and 12"; beyond `most`, how many more."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    # Two are no run.
    told = [part for run in runs for part in ([run] if len(run) > _RUN else [[n] for n in run])]
    shown = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in told[:most]]
    more = sum(map(len, told[most:]))
    return f"{thing}{'s' if len(numbers) != 1 else ''} {listed([*shown, *([f'{more} more'] if more else [])])}"


def us(ns: float | None, digits: int = 1) -> str:
    """Nanoseconds as a number of microseconds; a dash where there is no value."""
    return "-" if ns is None else f"{ns / 1e3:,.{digits}f}"


def duration(ns: float) -> str:
    """Nanoseconds with their unit: "2,498.1 µs"."""
    return f"{us(ns)} µs"


def sentence(text: str) -> str:
    """A clause as a sentence: with a capital, and a full stop where none stands."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}"


#: What a replay tells is known to so many digits.
_KNOWN = 3


def rough(ns: float) -> str:
    """What a replay tells, with its unit, to as many digits as it is known by: "16,400 µs", "929 µs", "22.7 µs"."""
    return f"{rough_us(ns)} µs"


def rough_us(ns: float) -> str:
    """The same as a number of microseconds."""
    if abs(ns) < 10 ** (_KNOWN - 1) * 1e3:
        return us(ns)
    return f"{float(f'{ns / 1e3:.{_KNOWN}g}'):,.0f}"


def signed(ns: float) -> str:
    """A difference with its sign: "+12.0 µs"."""
    return f"{ns / 1e3:+,.1f} µs"


def pct(part: float) -> str:
    """A part of one, as it was measured: "61.9 %"."""
    return f"{100 * part:.1f} %"


def signed_pct(part: float) -> str:
    """A difference of one, with its sign: "+1.5 %"."""
    return f"{100 * part:+.1f} %"


def pct_limit(part: float) -> str:
    """A part of one that something is held against: "5 %", "0.5 %"."""
    return f"{100 * part:.6g} %"


def number(value: float | None) -> str:
    """A figure with one decimal at most; a dash where there is no value."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def percent(part: float | None, whole: float | None) -> str:
    """Share of a whole, as a per cent; a dash where it is unknown."""
    return pct(part / whole) if part is not None and whole else "-"


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


#: Lines of prose are no longer than this.
WIDE = 110


def prose(width: int | None) -> int:
    """The width of prose where there is room for so much."""
    return min(width or WIDE, WIDE)


def wrapped(text: str, indent: str, width: int = WIDE) -> str:
    """Text in lines of at most `width` columns; those after the first begin with the indent."""
    return "\n".join(rebroken(text, lambda words: broken(plain(words, 2_000), width, indent)))


def broken(text: str, width: int, indent: str = "", first: str = "") -> list[str]:
    """Its lines, those after the first with the indent; a number stays with its unit, a long word whole."""
    lines = textwrap.wrap(
        UNIT.sub("\xa0", text),
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\xa0", " ") for line in lines]


def shortened(name: str, width: int = 60) -> str:
    """A name cut in the middle: kernels of one family begin alike, and differ at the end."""
    behind = width // 3
    return name if len(name) <= width else f"{name[: width - behind - 3]}...{name[-behind:]}"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, width: int | None = None, together: int = 1
) -> list[str]:
    """Lines of an aligned table; the first `left` columns are left-aligned, the rest right-aligned.

    width: in no more columns of text than this: long names on the left are cut in the middle, then what is on the
    right goes on below, `together` columns of it not apart.
    """
    widths = [max(seen(row[i]) for row in (header, *rows)) for i in range(len(header))]
    if width is None or _across(widths) <= width:
        return _aligned([header, *rows], widths, left)
    spare = sum(max(width_ - _LEAST_NAME, 0) for width_ in widths[:left])
    over = _across(widths) - width
    if over > spare:
        # Names alone do not make room: the rest goes on below, and they keep what they can.
        over = _across(widths[: left + (len(widths) - left) % together + together]) - width
    for column in sorted(range(left), key=lambda column: -widths[column]):
        cut = max(min(over, widths[column] - _LEAST_NAME), 0)
        widths[column] -= cut
        over -= cut
    every = [[_fitting(c, widths[i]) if i < left else c for i, c in enumerate(row)] for row in (header, *rows)]
    lines: list[str] = []
    for columns in _blocks(widths, left, width, together):
        lines += _aligned([[row[i] for i in columns] for row in every], [widths[i] for i in columns], left)
    return lines


def _fitting(cell: str, width: int) -> str:
    return cell if seen(cell) <= width else shortened(bare(cell), width)


def _padded(cell: str, width: int, *, left: bool) -> str:
    space = " " * (width - seen(cell))
    return cell + space if left else space + cell


def _across(widths: Sequence[int]) -> int:
    return sum(widths) + len(_BETWEEN) * (len(widths) - 1)


def _blocks(widths: Sequence[int], left: int, width: int, together: int) -> list[list[int]]:
    """Columns in blocks that fit, the first `left` in each of them."""
    rest = list(range(left, len(widths)))
    alone = len(rest) % together
    units = [[i] for i in rest[:alone]] + [rest[i : i + together] for i in range(alone, len(rest), together)]
    blocks: list[list[int]] = []
    for unit in units:
        taken = [*(blocks[-1] if blocks else range(left)), *unit]
        if blocks and _across([widths[i] for i in taken]) <= width:
            blocks[-1] = taken
        else:
            blocks.append([*range(left), *unit])
    return blocks


def _aligned(rows: Sequence[Sequence[str]], widths: Sequence[int], left: int) -> list[str]:
    return [
        _BETWEEN.join(
            _padded(cell, w, left=i < left) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
