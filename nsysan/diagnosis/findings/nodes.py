"""Ranks that reduce across machines: no link between GPUs leads there (DEFINITIONS.md, section 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import polars as pl

from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId
from nsysan.metrics.whatif import call_wires, middle
from nsysan.run.node_numbers import nodes_of
from nsysan.text import numbered, pct, us

#: Less of the period than this would not pay for another layout.
ACROSS_SHARE = 0.10


class NodesFinding(FindingId):
    """Of groups wider than a machine."""

    TP_ACROSS_NODES = "tp_across_nodes"


def across_nodes(case: Case) -> Iterator[Finding]:
    """Groups that all-reduce over several machines in every step; nothing where a link of the GPUs carries it."""
    run = case.run
    if case.link is None or case.link.across == 1:
        return
    for group in run.groups:
        calls = case.all_reduces.filter(pl.col("group") == group.id)
        nodes = nodes_of(group.ranks, run.host_of)
        if nodes is None or nodes == 1 or calls.is_empty():
            continue
        wires = call_wires(calls, run.steady_steps)
        per_step = wires.group_by("step").agg(pl.sum("wire"))["wire"].median()
        wire = round(per_step) if isinstance(per_step, int | float) else 0
        if wire < ACROSS_SHARE * case.period:
            continue
        p50 = middle(wires["wire"])
        hosts = Counter(run.host_of[rank] for rank in group.ranks)
        where = "; ".join(f"{numbered('rank', _on(group.ranks, run.host_of, host))} on node {host}" for host in hosts)
        yield Finding(
            NodesFinding.TP_ACROSS_NODES,
            by_share(wire, case.period),
            f"TP={group.size} is wider than a node: every all-reduce crosses the network between {nodes} nodes",
            f"{where}; an all-reduce takes {us(p50)} µs (p50) once the last rank has come, {us(wire)} µs a step "
            f"({pct(wire / case.period)})",
            f"keep tensor parallelism inside a node (TP={min(hosts.values())}) and put a pipeline or replicas across "
            f"nodes (vLLM --pipeline-parallel-size, --data-parallel-size)",
            None,
            figures={"wire_ns": wire, "wire_p50_ns": p50, "nodes": nodes, "ranks": group.size},
            thresholds={"across_share": ACROSS_SHARE, **severity_limits()},
            also="if it has to cross, see that NCCL uses RDMA (NCCL_DEBUG=INFO says NET/IB, not NET/Socket)",
        )


def _on(ranks: tuple[int, ...], host_of: dict[int, int | None], host: int | None) -> list[int]:
    return [rank for rank in ranks if host_of[rank] == host]


FINDERS = (Finder(across_nodes, tuple(NodesFinding)),)
