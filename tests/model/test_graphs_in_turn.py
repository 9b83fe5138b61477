"""Two graphs of the same work that take turns are a step each, where the host waits for each."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder

STEPS, PERIOD = 40, 100_000
#: Kernels of a graph: name, begin, end.
KERNELS = ((COMPUTE_KERNEL, 5_000, 60_000), (ALLREDUCE_KERNEL, 61_000, 70_000), ("sample_kernel", 71_000, 75_000))


def captured(process: Process, graph: int) -> list[int]:
    """The nodes of a graph."""
    nodes = []
    for number in range(len(KERNELS)):
        made, node = (2 * graph + 1 << 32) + number, (2 * graph + 2 << 32) + number
        process.graph_node(made, created=100_000 + 1_000 * graph + 10 * number)
        process.graph_node(node, original=made, created=100_005 + 1_000 * graph + 10 * number)
        nodes.append(node)
    return nodes


@pytest.mark.parametrize(("waits", "steps"), [(1, STEPS), (2, STEPS // 2)])
def test_two_graphs_in_turn(tmp_path: Path, waits: int, steps: int) -> None:
    """Tokens are in mapped memory: nothing is copied back, and an event is waited for after so many replays."""
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=5, nranks=2, rank=rank, device=rank)
        graphs = [captured(process, graph) for graph in range(2)]
        for step in range(STEPS):
            at = 1_000_000 + step * PERIOD
            correlation = process.graph_launch(at, at + 4_000)
            for node, (name, begin, end) in zip(graphs[step % 2], KERNELS, strict=True):
                process.kernel(name, at + begin, at + end, launch=None, correlation=correlation, graph_node=node)
            if step % waits == waits - 1:
                process.api("cudaEventSynchronize_v3020", at + 5_000, at + 78_000)
    run = nsysan.analyze(builder.write(tmp_path / "t.sqlite"))
    assert run.steps.method == "graph"
    assert run.windows["step"].n_unique() == steps
