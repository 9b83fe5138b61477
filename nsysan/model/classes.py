"""The class of a kernel, from the catalogue in data/kernels.toml (DEFINITIONS.md, section 3)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

COLLECTIVE = "collective"
P2P = "p2p"
FUSED = "fused"
COMPUTE = "compute"
COPY = "copy"
#: A whole CUDA graph replay of graph-level tracing: busy, with nothing known of what is inside.
OPAQUE = "opaque"
COMMUNICATION = (COLLECTIVE, P2P, FUSED)


@dataclass(frozen=True)
class CatalogueRow:
    """One row of the catalogue; `pattern` is searched in the short or in the demangled name."""

    pattern: re.Pattern[str]
    on: str
    op_class: str
    kind: str | None
    library: str
    source: str
    note: str
    examples: tuple[str, ...]

    def matches(self, short: str, demangled: str) -> bool:
        """Whether the row describes the kernel of these names."""
        return self.pattern.search(demangled if self.on == "demangled" else short) is not None


@dataclass(frozen=True)
class KernelClass:
    """What the catalogue says of one kernel; a lookalike is unknown but named like a collective."""

    op_class: str
    kind: str | None = None
    library: str | None = None
    known: bool = False
    lookalike: bool = False


@dataclass(frozen=True)
class Catalogue:
    """The rows in order; the first that matches wins."""

    rows: tuple[CatalogueRow, ...]
    lookalike: re.Pattern[str]

    def classify(self, short: str, demangled: str) -> KernelClass:
        """Class of one kernel; unknown kernels are compute, those that look like collectives are marked."""
        for row in self.rows:
            if row.matches(short, demangled):
                return KernelClass(row.op_class, row.kind, row.library, known=True)
        return KernelClass(COMPUTE, lookalike=self.lookalike.search(short) is not None)


@cache
def load_catalogue() -> Catalogue:
    """The catalogue that comes with the package."""
    document = tomllib.loads(files("nsysan.data").joinpath("kernels.toml").read_text("utf-8"))
    rows = tuple(
        CatalogueRow(
            pattern=re.compile(row["pattern"]),
            on=row.get("on", "short"),
            op_class=row["class"],
            kind=row.get("kind"),
            library=row["library"],
            source=row["source"],
            note=row.get("note", ""),
            examples=tuple(row["examples"]),
        )
        for row in document["kernel"]
    )
    return Catalogue(rows, re.compile(document["lookalike"]["pattern"]))
