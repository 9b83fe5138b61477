"""Kernels of the runs of a history: rows of what a report tells of them, and figures of those that a rule names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nsysan.budgets import HISTORY_ROWS
from nsysan.check.kernel_rules import KernelAddress, kernel_address, kernel_figure
from nsysan.history.cells import Row, measured, usable
from nsysan.history.writing import insert
from nsysan.report.kernel_read_back import KernelFigures
from nsysan.report.read_back import ReportDocument

if TYPE_CHECKING:
    from sqlite_utils import Database

TABLE = "kernels"
#: Kernels of a run that are kept, those that take longest first; groups are all.
MOST = 200
#: Rows that are read at the most.
MOST_ROWS = 10 * HISTORY_ROWS
_TYPES = {"run": int, "name": str, "group": str, "per_step_ns": int, "calls": float, "share": float, "call_ns": int}


@dataclass
class KeptKernels:
    """Those of one run."""

    kernels: list[KernelFigures] = field(default_factory=list)
    kernel_groups: list[KernelFigures] = field(default_factory=list)


@dataclass(frozen=True)
class KernelFigure:
    """A figure that a user asks for, as `check` takes it: kernel[~attn].ns. text: as written; figure: such as ns."""

    text: str
    address: KernelAddress
    figure: str

    @property
    def is_time(self) -> bool:
        """Whether it is in ns."""
        return self.figure in ("ns", "call_ns")


def figure_of(text: str) -> KernelFigure:
    """The figure that a text names; ValueError where it names none."""
    found = kernel_address(text, text.strip())
    if found is None:
        raise ValueError(f"{text[:80]!r} is no figure of kernels, as kernel[attention].ns or kernel[~attn].share")
    return KernelFigure(text.strip(), *found)


def keep(database: Database, run: int, document: ReportDocument) -> None:
    """Add the rows of a run; a history of an older version gets the table."""
    table = database.table(TABLE)
    if not table.exists():
        database.create_table(TABLE, _TYPES, foreign_keys=[("run", "runs", "id")])
        table.create_index(["run"])
    longest = sorted(document.kernels, key=lambda row: -row.ns)[:MOST]
    insert(
        database,
        TABLE,
        [{"run": run, "name": None, **_figures(row)} for row in document.kernel_groups]
        + [{"run": run, "name": row.name, **_figures(row)} for row in longest],
    )


def _figures(row: KernelFigures) -> Row:
    return {"group": row.group, "per_step_ns": row.ns, "calls": row.calls, "share": row.share, "call_ns": row.call_ns}


def with_figures(database: Database, runs: list[Row], figures: Sequence[KernelFigure]) -> list[Row]:
    """The runs with a column for each figure, by its text: null of a run that has no such kernel."""
    kept = kept_kernels(database) if figures else {}
    nothing = KeptKernels()
    return [
        run
        | {one.text: kernel_figure(kept.get(int(run["id"] or 0), nothing), one.address, one.figure) for one in figures}
        for run in runs
    ]


def kept_kernels(database: Database) -> dict[int, KeptKernels]:
    """The kernels of each run, by its number; none of those that an older version added."""
    if not database.table(TABLE).exists():
        return {}
    found: dict[int, KeptKernels] = {}
    for row in map(usable, database.query(f"select * from {TABLE} order by rowid limit ?", [MOST_ROWS])):
        run, ns = measured(row, "run"), measured(row, "per_step_ns")
        if run is None or ns is None:
            continue
        own = found.setdefault(int(run), KeptKernels())
        name, group = row.get("name"), str(row.get("group"))
        one = KernelFigures(
            name=group if name is None else str(name),
            group=group,
            ns=int(ns),
            calls=measured(row, "calls") or 0.0,
            share=measured(row, "share") or 0.0,
            call_ns=int(measured(row, "call_ns") or 0),
        )
        (own.kernel_groups if name is None else own.kernels).append(one)
    return found


def groups_in(database: Database) -> list[KernelFigure]:
    """The time of each group that a run has, the longest first."""
    longest: dict[str, int] = {}
    for own in kept_kernels(database).values():
        for row in own.kernel_groups:
            longest[row.name] = max(longest.get(row.name, 0), row.ns)
    names = sorted(longest, key=lambda name: (-longest[name], name))
    return [KernelFigure(f"kernel[{name}].ns", KernelAddress(name, None), "ns") for name in names if name]
