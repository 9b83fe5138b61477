"""The collectives in the document of a report: the hottest, one that a rule names, the same one in another run."""

from __future__ import annotations

from nsysan.check.rules import Address
from nsysan.report.read_back import Collective, ReportDocument
from nsysan.text import counted, plain, size


def hot_collective(document: ReportDocument, address: Address | None = None) -> Collective | None:
    """The collective with most time after the last arrival, among those of the document's steps that matched across the
    ranks.

    address: only among those of this kind and size.
    """
    found = [row for row in of_steps(document) if _is_split(row) and (address is None or _is_at(row, address))]
    return max(found, key=_heat, default=None)


def of_steps(document: ReportDocument) -> list[Collective]:
    """The collectives of the document's replica and population, where it tells of which each is."""
    own = (document.replica, document.population)
    return [
        row
        for row in document.collectives
        if all(None in pair or pair[0] == pair[1] for pair in zip((row.replica, row.population), own, strict=True))
    ]


def same_collective(row: Collective, document: ReportDocument) -> Collective | None:
    """The document's row that is like for like with this one: of its kind, bytes, ranks and kernel family.

    That is its kernel, else one of its library; without known bytes only the kernel itself. None if there is none.
    """
    found = [other for other in of_steps(document) if _is_split(other) and is_alike(row, other)]
    return max(found, key=lambda other: (other.name == row.name, _heat(other)), default=None)


def collective_words(row: Collective) -> str:
    """A collective by kind, size, ranks and kernel."""
    kind = plain(row.kind or row.class_ or "collective", 40)
    name = f" [{plain(row.name, 60)}]" if row.name else ""
    of = "unknown size" if row.bytes is None else size(row.bytes)
    return f"{kind} of {of} over {counted(row.ranks, 'rank')}{name}"


def is_alike(row: Collective, other: Collective) -> bool:
    """Whether two rows are like for like; see same_collective."""
    if (row.kind, row.bytes, row.ranks) != (other.kind, other.bytes, other.ranks):
        return False
    if row.name == other.name:
        return True
    if row.class_ != other.class_:
        return False
    return row.bytes is not None and row.library is not None and row.library == other.library


def percentile(row: Collective, metric: str) -> float | None:
    """A figure of the calls of a row, such as wire_p50: ns; None where it is not split."""
    what, _, q = metric.rpartition("_")
    spread = {"wire": row.wire_ns, "wait": row.wait_ns}[what]
    return None if spread is None else float(spread.at(q))


def _is_split(row: Collective) -> bool:
    return row.wire_ns is not None and row.wait_ns is not None


def _is_at(row: Collective, address: Address) -> bool:
    return row.kind == address.kind and address.bytes in (None, row.bytes)


def _heat(row: Collective) -> int:
    """ns after the last arrival, over all calls."""
    return 0 if row.wire_ns is None else row.matched * row.wire_ns.p50
