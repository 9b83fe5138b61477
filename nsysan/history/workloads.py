"""Which runs of a history are of one workload, and are held against each other."""

from __future__ import annotations

from collections.abc import Sequence

from nsysan.history.cells import Row
from nsysan.text import plain, size

_GRAPHS = {"node": "CUDA graphs", "graph": "CUDA graphs as blocks", "none": "no CUDA graphs"}


def workload_of(run: Row) -> str:
    """What ran, as the user or the report told it; runs of before are told apart by GPUs, ranks and graphs."""
    told = run.get("workload")
    return plain(str(told)) if told else default_workload(run, [])


def default_workload(
    run: Row, collectives: Sequence[tuple[str | None, int | None]], layout: str | None = None, replicas: int = 1
) -> str:
    """GPUs, ranks, graphs and what is communicated; collectives: kind and bytes, most frequent first. layout: of one of
    so many replicas; by default all ranks are taken to be one.
    """
    one = layout or f"TP={run.get('ranks')}"
    ranks = f"{one} x {replicas}" if replicas > 1 else one
    parts = [plain(ranks, 40), _GRAPHS.get(str(run.get("graph_trace")), "")]
    known = [(plain(kind, 40), count) for kind, count in collectives if kind]
    parts += [f"{kind} of {size(count)}" if count is not None else kind for kind, count in known[:1]]
    return ", ".join(part for part in (*parts, plain(str(run.get("gpu")))) if part)


def by_workload(runs: Sequence[Row]) -> dict[str, list[Row]]:
    """The runs of each workload, in the order in which they were added; that of the last run first."""
    found: dict[str, list[Row]] = {}
    for run in runs:
        found.setdefault(workload_of(run), []).append(run)
    return dict(sorted(found.items(), key=lambda item: -int(item[1][-1]["id"] or 0)))
