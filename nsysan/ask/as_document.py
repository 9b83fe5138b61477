"""An answer as JSON: keys stable within a schema number (nsysan/data/whatif.schema.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nsysan.ask.answered import Answer, Asked

SCHEMA = "nsysan.whatif/1"


def to_json(answer: Answer, version: str, inputs: Sequence[str]) -> str:
    """The document; inputs: names of the traces."""
    return json.dumps(to_document(answer, version, inputs), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_document(answer: Answer, version: str, inputs: Sequence[str]) -> dict[str, Any]:
    """The answer as JSON-ready data; ns of a step, null for what cannot be told, with the reason in `unknown`."""
    untraced = {"period_ns": answer.period, "hosts": answer.hosts, "gaps": answer.gaps}
    return {
        "schema": SCHEMA,
        "nsysan_version": version,
        "inputs": [{"name": name} for name in inputs],
        "replica": answer.replica,
        "ranks": list(answer.ranks),
        "steps": {"steady": answer.steady, "replayed": answer.replayed, "whole": answer.whole, "kinds": answer.kinds},
        "measured_ns": answer.traced,
        "untraced": None if answer.hosts is None else untraced,
        "period_ns": answer.period,
        "replay_error": answer.error,
        "unknown": answer.unknown,
        "unknown_hosts": answer.unknown_hosts,
        "edits": [_asked(answer, one) for one in answer.asked],
        "together": answer.together and _told(answer, answer.together.period, answer.together.bounds),
        "standard": [
            {"what_if": name, **_told(answer, ns, answer.bounds.get(name))} for name, ns in answer.standard.items()
        ],
        "ranks_right": [{"rank": rank, **_told(answer, ns, None)} for rank, ns in answer.ranks_right.items()],
    }


def _asked(answer: Answer, one: Asked) -> dict[str, Any]:
    changes = {"names": list(one.names), "per_step": one.per_step}
    return {"set": one.text, **_told(answer, one.period, one.bounds), **changes}


def _told(answer: Answer, period: int | None, bounds: tuple[int, int] | None) -> dict[str, Any]:
    return {
        "period_ns": period,
        "saves_ns": None if period is None else answer.period - period,
        "bounds_ns": bounds and {"low": bounds[0], "high": bounds[1]},
    }
