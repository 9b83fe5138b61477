"""What NCCL's log says, in sentences."""

from __future__ import annotations

from nsysan.diagnosis.algorithms import Algorithm, AlgorithmSource
from nsysan.report.report import Report
from nsysan.run.nccl_choices import Nccl, SetUp
from nsysan.text import counted, size

_SIZES = 4


def nccl_sentence(report: Report) -> str:
    """Version, transports, channels, multicast, settings and algorithms in one line; "" without a log of this run."""
    nccl = report.nccl
    if nccl is None or not nccl.told:
        return ""
    parts = [transport_words(nccl), set_up_words(nccl.set_up), multicast_words(nccl), setting_words(nccl)]
    parts.append(algorithm_words(report.algorithms))
    return f"NCCL {nccl.version or 'of unknown version'} says: {'; '.join(part for part in parts if part)}"


def transport_words(nccl: Nccl) -> str:
    """How many pairs of ranks go over what."""
    pairs = {one.ranks for one in nccl.transports}
    by_via: dict[str, set[tuple[int, int]]] = {}
    for one in nccl.transports:
        by_via.setdefault(one.via, set()).add(one.ranks)
    if len(by_via) == 1:
        many = f"all {len(pairs)} connected pairs" if len(pairs) > 1 else "the connected pair"
        return f"{next(iter(by_via))} between {many} of ranks"
    shown = sorted(by_via.items(), key=lambda item: (-len(item[1]), item[0]))
    return ", ".join(f"{via} between {counted(len(own), 'pair')}" for via, own in shown)


def set_up_words(found: SetUp | None) -> str:
    """Channels, rings and trees of the largest communicator."""
    if found is None:
        return ""
    told = [
        (found.channels, "channel"),
        (found.rings, "ring"),
        (found.trees, "tree"),
        (found.nvls_channels, "NVLS channel"),
    ]
    words = [counted(n, thing) for n, thing in told if n]
    return f"{', '.join(words)} over {counted(found.ranks, 'rank')}" if words else ""


def multicast_words(nccl: Nccl) -> str:
    """Whether there is NVLink multicast."""
    return "" if nccl.multicast is None else f"{'' if nccl.multicast else 'no '}NVLink multicast (NVLS)"


def setting_words(nccl: Nccl) -> str:
    """The variables that the environment sets."""
    set_ = [f"{name}={value}" if value else name for name, value in nccl.settings.items()]
    return f"set by the environment: {', '.join(set_)}" if set_ else ""


def algorithm_words(rows: list[Algorithm]) -> str:
    """Algorithm and protocol of the first sizes: those that were printed, else the table's."""
    shown = [
        f"{row.kind or 'calls'} of {size(row.bytes)} {row.algorithm} {row.protocol}"
        f"{' by its tuning table' if row.source is AlgorithmSource.TABLE else ''}"
        for row in rows[:_SIZES]
    ]
    more = f" and {len(rows) - _SIZES} more" if len(rows) > _SIZES else ""
    return f"{', '.join(shown)}{more}" if shown else ""


def algorithm_by_size(rows: list[Algorithm]) -> dict[tuple[str | None, int | None], str]:
    """Algorithm and protocol by kind and size, the most frequent where there are several."""
    found: dict[tuple[str | None, int | None], str] = {}
    for row in sorted(rows, key=lambda row: -(row.calls or 0)):
        found.setdefault((row.kind, row.bytes), f"{row.algorithm} {row.protocol}")
    return found
