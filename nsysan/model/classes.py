"""The class of a kernel, from the catalogue in data/kernels.toml (DEFINITIONS.md, section 3)."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class WorkClass(StrEnum):
    """What an operation of a GPU is; each has one."""

    COLLECTIVE = "collective"
    P2P = "p2p"
    #: Communication and compute in one kernel.
    FUSED = "fused"
    COMPUTE = "compute"
    COPY = "copy"
    #: A whole CUDA graph replay of graph-level tracing: busy, with nothing known of what is inside.
    OPAQUE = "opaque"


COMMUNICATION = (WorkClass.COLLECTIVE, WorkClass.P2P, WorkClass.FUSED)
#: Kinds in which some rank may leave before all have come: an eager send, a root that has given its data away, and
#: what nothing tells of.
ONE_SIDED = ("send_recv", "broadcast", "reduce", "unknown")
#: More ranks than any kernel's template names.
_MOST_RANKS = 1 << 16


class CatalogueRow(NamedTuple):
    """One row of the catalogue; `pattern` is searched in the short or in the demangled name.

    barrier: whether no rank can leave before all have come. ranks: finds the number of ranks in the demangled name.
    """

    pattern: re.Pattern[str]
    on: str
    op_class: WorkClass
    kind: str | None
    library: str
    source: str
    note: str
    examples: tuple[str, ...]
    barrier: bool = False
    ranks: re.Pattern[str] | None = None

    def matches(self, short: str, demangled: str) -> bool:
        """Whether the row describes the kernel of these names."""
        return self.pattern.search(demangled if self.on == "demangled" else short) is not None

    def group_size(self, demangled: str) -> int | None:
        """Number of ranks that take part, as the name tells it; None where it does not."""
        found = self.ranks.search(demangled) if self.ranks else None
        size = int(found[1]) if found and len(found[1]) < 6 else 0
        return size if 1 <= size < _MOST_RANKS else None


class KernelClass(NamedTuple):
    """What the catalogue says of one kernel; a lookalike is unknown but named like a collective.

    group_size: ranks that take part, None where the name does not tell. barrier: see CatalogueRow.
    """

    op_class: WorkClass
    kind: str | None = None
    library: str | None = None
    known: bool = False
    lookalike: bool = False
    group_size: int | None = None
    barrier: bool = False


class Catalogue(NamedTuple):
    """The rows in order; the first that matches wins."""

    rows: tuple[CatalogueRow, ...]
    lookalike: re.Pattern[str]

    def classify(self, short: str, demangled: str) -> KernelClass:
        """Class of one kernel; unknown kernels are compute, those that look like collectives are marked."""
        for row in self.rows:
            if row.matches(short, demangled):
                return KernelClass(
                    row.op_class,
                    row.kind,
                    row.library,
                    known=True,
                    group_size=row.group_size(demangled),
                    barrier=row.barrier,
                )
        return KernelClass(WorkClass.COMPUTE, lookalike=self.lookalike.search(short) is not None)


@cache
def load_catalogue() -> Catalogue:
    """The catalogue that comes with the package."""
    document = tomllib.loads(files("nsysan.data").joinpath("kernels.toml").read_text("utf-8"))
    rows = tuple(
        CatalogueRow(
            pattern=re.compile(row["pattern"]),
            on=row.get("on", "short"),
            op_class=WorkClass(row["class"]),
            kind=row.get("kind"),
            library=row["library"],
            source=row["source"],
            note=row.get("note", ""),
            examples=tuple(row["examples"]),
            barrier=row.get("barrier", row["class"] in COMMUNICATION and row.get("kind") not in ONE_SIDED),
            ranks=re.compile(row["ranks"]) if "ranks" in row else None,
        )
        for row in document["kernel"]
    )
    return Catalogue(rows, re.compile(document["lookalike"]["pattern"]))
