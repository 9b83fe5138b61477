"""Kernels that a rule is about, and their figures in the document of a report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nsysan.report.kernel_read_back import KernelFigures
from nsysan.text import plain

#: Figures of kernels, with the unit that a limit on them has: "" for a number.
UNITS = {"ns": "ns", "call_ns": "ns", "calls": "", "share": "%"}
_METRIC = re.compile(r"kernel\[(?P<which>.{1,200})\]\.(?P<figure>[a-z_]+)")
_NAMED = 4


class Kernels(Protocol):
    """What has kernels and groups of them: the document of a report, a run of a history."""

    @property
    def kernels(self) -> Sequence[KernelFigures]: ...

    @property
    def kernel_groups(self) -> Sequence[KernelFigures]: ...


@dataclass(frozen=True)
class KernelAddress:
    """Kernels by a pattern that is searched in their names (case does not count), or of a group or of that name."""

    which: str
    pattern: re.Pattern[str] | None

    @property
    def words(self) -> str:
        """Such as "kernels like attn"."""
        return f"kernels like {plain(self.which[1:], 60)}" if self.pattern else plain(self.which, 60)


def kernel_address(text: str, subject: str) -> tuple[KernelAddress, str] | None:
    """The kernels, and the name of the figure; None where it is no kernel's, ValueError where it is no rule."""
    found = _METRIC.fullmatch(subject)
    if found is None:
        return None
    which, figure = found["which"].strip(), found["figure"]
    if figure not in UNITS:
        raise ValueError(f"{text!r}: kernels have no {figure!r}; they have {', '.join(UNITS)}")
    if not which.startswith("~"):
        return KernelAddress(which, None), figure
    try:
        return KernelAddress(which, re.compile(which[1:], re.IGNORECASE)), figure
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{text[:80]!r}: {which[1:40]!r} is no regular expression: {error}") from error


def kernel_figure(document: Kernels, address: KernelAddress, figure: str) -> float | None:
    """Summed over the kernels, but for call_ns, which is the longest's; share in per cent; None without any."""
    if figure == "call_ns":
        calls = [row.call_ns for row in document.kernels if address.pattern is None and row.group == address.which]
        return float(max(calls or [row.call_ns for row in _rows(document, address)], default=0)) or None
    rows = _rows(document, address)
    if not rows:
        return None
    if figure == "share":
        return 100 * sum(row.share for row in rows)
    return float(sum(row.ns if figure == "ns" else row.calls for row in rows))


def named_kernels(document: Kernels) -> str:
    """What there is, for who asks for something else."""
    groups = ", ".join(row.name for row in document.kernel_groups)
    names = ", ".join(plain(row.name, 60) for row in document.kernels[:_NAMED])
    return f"there is {groups}; {names}" if groups else ""


def _rows(document: Kernels, address: KernelAddress) -> list[KernelFigures]:
    if address.pattern is not None:
        return [row for row in document.kernels if address.pattern.search(row.name)]
    of_group = [row for row in document.kernel_groups if row.name == address.which]
    return of_group or [row for row in document.kernels if row.name == address.which]
