"""What NCCL's log says, in the JSON document (DEFINITIONS.md, section 12)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nsysan.diagnosis.algorithms import Algorithm
from nsysan.report.report import Report


def nccl_values(report: Report) -> dict[str, Any] | None:
    """The value of `nccl`; None where no log of NCCL was given or found."""
    nccl = report.nccl
    if nccl is None:
        return None
    return {
        "version": nccl.version,
        "ranks": nccl.told,
        "multicast": nccl.multicast,
        "set_up": nccl.set_up and asdict(nccl.set_up),
        "transports": [
            {"ranks": list(one.ranks), "kind": one.kind, "via": one.via, "channels": one.channels}
            for one in nccl.transports
        ],
        "settings": [{"name": name, "value": value or None} for name, value in nccl.settings.items()],
        "algorithms": [_algorithm(one) for one in report.algorithms],
    }


def _algorithm(one: Algorithm) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "bytes": one.bytes,
        "algorithm": one.algorithm,
        "protocol": one.protocol,
        "source": one.source,
        "calls": one.calls,
        "table_ns": _ns(one.us),
        "fastest": one.best and {"algorithm": one.best[0], "protocol": one.best[1], "table_ns": _ns(one.best[2])},
    }


def _ns(us: float | None) -> int | None:
    return None if us is None else round(us * 1e3)
