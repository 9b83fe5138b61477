"""Which of several traces show one recording: a copy, another format, a redacted one (DEFINITIONS.md, section 2)."""

from __future__ import annotations

from collections.abc import Mapping

from nsysan.model.loaded import TraceSummary

#: The session's start, the processes and devices, the first start and the last end of their work.
_Recorded = tuple[int | None, frozenset[tuple[int, int]], tuple[int, int]]


def find_copies(summaries: Mapping[int, TraceSummary]) -> dict[int, str]:
    """The traces that show what one before them does, by number, with the name of that one.

    No two recordings begin and end their work at the same ns in the same processes.
    """
    first: dict[_Recorded, str] = {}
    found: dict[int, str] = {}
    for number, summary in summaries.items():
        recorded = _recorded(summary)
        if recorded in first:
            found[number] = first[recorded]
        else:
            first[recorded] = summary.metadata.name
    return found


def _recorded(summary: TraceSummary) -> _Recorded:
    owners = frozenset([*((rank.process, rank.device) for _, rank in summary.ranks), *summary.bystanders])
    return summary.metadata.session_start_utc_ns, owners, summary.span
