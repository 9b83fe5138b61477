"""What NCCL's log says, of a report's JSON, read back."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.report.json_values import Fields, UnusableJson


@dataclass(frozen=True)
class NcclTransport:
    """How data goes between two ranks: p2p, shm or net, and in NCCL's words."""

    ranks: tuple[int, int]
    kind: str
    via: str


@dataclass(frozen=True)
class NcclAlgorithm:
    """What calls of a kind and size use; source: printed for the calls, or the table's fastest."""

    kind: str | None
    bytes: int
    algorithm: str
    protocol: str
    source: str


@dataclass(frozen=True)
class NcclSays:
    """What the log said; version None where it did not tell."""

    version: str | None
    transports: list[NcclTransport]
    algorithms: list[NcclAlgorithm]


def nccl_from(fields: Fields) -> NcclSays | None:
    """Of a document; None without a log, and in documents before `nccl`."""
    row = fields.below_or_none("nccl") if "nccl" in fields.values else None
    if row is None:
        return None
    return NcclSays(
        row.text_or_none("version"),
        [NcclTransport(_pair(one), one.text("kind"), one.text("via")) for one in row.rows("transports")],
        [
            NcclAlgorithm(
                one.text_or_none("kind"),
                one.whole("bytes"),
                one.text("algorithm"),
                one.text("protocol"),
                one.text("source"),
            )
            for one in row.rows("algorithms")
        ],
    )


def _pair(row: Fields) -> tuple[int, int]:
    ranks = row.values.get("ranks")
    if not isinstance(ranks, list) or len(ranks) != 2 or not all(type(rank) is int and rank >= 0 for rank in ranks):
        raise UnusableJson(f"{row.place}.ranks is no pair of ranks")
    return ranks[0], ranks[1]
