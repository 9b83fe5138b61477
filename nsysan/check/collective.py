"""The collectives in the document of a report: the hottest, one that a rule names, the same one in another run."""

from __future__ import annotations

from typing import Any

from nsysan.check.rules import Address
from nsysan.text import counted, plain, size


def hot_collective(document: dict[str, Any], address: Address | None = None) -> dict[str, Any] | None:
    """The collective with most time after the last arrival, among those that matched across the ranks.

    address: only among those of this kind and size.
    """
    found = [row for row in rows(document) if _is_split(row) and (address is None or _is_at(row, address))]
    return max(found, key=_heat, default=None)


def same_collective(row: dict[str, Any], document: dict[str, Any]) -> dict[str, Any] | None:
    """The document's row that is like for like with this one: of its kind, bytes, ranks and kernel family.

    That is its kernel, else one of its library; without known bytes only the kernel itself. None if there is none.
    """
    found = [other for other in rows(document) if _is_split(other) and is_alike(row, other)]
    return max(found, key=lambda other: (other.get("name") == row.get("name"), _heat(other)), default=None)


def collective_words(row: dict[str, Any]) -> str:
    """A collective by kind, size, ranks and kernel."""
    kind = plain(str(row.get("kind") or row.get("class") or "collective"), 40)
    ranks = row.get("ranks")
    over = f" over {counted(ranks, 'rank')}" if isinstance(ranks, int) else ""
    name = f" [{plain(str(row['name']), 60)}]" if row.get("name") else ""
    bytes_ = row.get("bytes")
    of = size(bytes_) if isinstance(bytes_, int) else "unknown size"
    return f"{kind} of {of}{over}{name}"


def rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a document, most frequent first."""
    return [row for row in document.get("collectives") or [] if isinstance(row, dict)]


def _is_split(row: dict[str, Any]) -> bool:
    return bool(row.get("wire_ns") and row.get("wait_ns"))


def _is_at(row: dict[str, Any], address: Address) -> bool:
    return row.get("kind") == address.kind and address.bytes in (None, row.get("bytes"))


def is_alike(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are like for like; see same_collective."""
    if any(row.get(key) != other.get(key) for key in ("kind", "bytes", "ranks")):
        return False
    if row.get("name") == other.get("name"):
        return True
    library = row.get("library")
    if row.get("class") != other.get("class"):
        return False
    return row.get("bytes") is not None and library is not None and library == other.get("library")


def _heat(row: dict[str, Any]) -> float:
    """ns after the last arrival, over all calls."""
    return float(row["matched"] * row["wire_ns"]["p50"])


def percentile(row: dict[str, Any], metric: str) -> float | None:
    """A figure of the calls of a row that is split, such as wire_p50: ns."""
    what, _, q = metric.rpartition("_")
    value = row[f"{what}_ns"].get(q)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
