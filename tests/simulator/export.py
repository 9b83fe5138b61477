"""A run as nsys exports it."""

from __future__ import annotations

from pathlib import Path

from tests.simulator.machine import QUERY_PAUSE_NS, Times
from tests.simulator.program import Api, Call, Kind, Op, Program
from tests.simulator.truth import Scenario
from tests.tracebuilder import Process, TraceBuilder

STREAMS = (7, 20)
GRAPH = 2
FIRST_PID = 1000
APIS = {
    Api.LAUNCH: "cudaLaunchKernel_v7000",
    Api.GRAPH: "cudaGraphLaunch_v10000",
    Api.BLOCKING_COPY: "cudaMemcpy_v3020",
    Api.STREAM_SYNC: "cudaStreamSynchronize_v3020",
    Api.EVENT_SYNC: "cudaEventSynchronize_v3020",
    Api.QUERY: "cudaEventQuery_v3020",
    Api.RECORD: "cudaEventRecord_v3020",
    Api.STREAM_WAIT: "cudaStreamWaitEvent_v3020",
}
RANGE_LEAD_NS = 100
LAST_WORK_NS = 20_300
"""The last range ends so long after its last call."""
BEFORE_NS = 4_995_000
"""The communicators are made, and a graph is captured, so long before the first step."""


def export(scenario: Scenario, path: Path, times: Times | None = None) -> Path:
    """The first change of times (those of the scenario where none are given), all ranks in one trace."""
    builder = TraceBuilder()
    build(builder, scenario, times or scenario.times())
    return builder.write(path)


def build(builder: TraceBuilder, scenario: Scenario, times: Times) -> list[Process]:
    """The processes, rank by rank."""
    processes = [builder.process(FIRST_PID + rank, device=rank) for rank in range(scenario.program.ranks)]
    for rank, process in enumerate(processes):
        _Rank(scenario, times, rank, process).write()
    return processes


class _Rank:
    def __init__(self, scenario: Scenario, times: Times, rank: int, process: Process) -> None:
        self.scenario, self.program, self.rank, self.process = scenario, scenario.program, rank, process
        self.op_start = times.op_start[:, :, 0, rank].tolist()
        self.op_end = times.op_end[:, :, 0, rank].tolist()
        self.call_begin = times.call_begin[:, :, 0, rank].tolist()
        self.call_end = times.call_end[:, :, 0, rank].tolist()
        self.there = times.op_there[:, 0, rank].tolist()
        self.comms = communicators(self.program)
        self.pids = FIRST_PID + rank

    def write(self) -> None:
        first = self.call_begin[0][0]
        at = first - BEFORE_NS
        for (_, group), comm in self.comms.items():
            if self.rank in group:
                self.process.comm_init(
                    comm=comm, nranks=len(group), rank=group.index(self.rank), device=self.rank, start=at, end=at + 50
                )
                at += 100
        if self.program.graphed:
            self._capture(first - BEFORE_NS + 100_000)
        for step in range(len(self.call_begin)):
            self._step(step)

    def _step(self, step: int) -> None:
        calls = self.call_begin[step]
        if self.scenario.ranges:
            lead = self.program.timing.range_lead
            last = step + 1 == len(self.call_begin)
            end = self.call_end[step][-1] + LAST_WORK_NS if last else self.call_begin[step + 1][0] - lead
            self.process.nvtx(f"decode_step_{step}", calls[0] - lead, end)
        for number, call in enumerate(self.program.calls):
            if call.extra and not any(self.there[op] for op in call.ops):
                continue
            self._call(step, call, calls[number], self.call_end[step][number])

    def _call(self, step: int, call: Call, begin: int, end: int) -> None:
        if call.api is Api.QUERY:
            self._queries(call, begin, end)
            return
        name, event_class = self._api(call)
        correlation = self.process.api(name, begin, end, event_class=event_class)
        graph = call.api is Api.GRAPH
        for number in call.ops:
            if self.there[number]:
                self._op(number, correlation, self.op_start[step][number], self.op_end[step][number], graph=graph)
        op = self.program.ops[call.ops[0]] if len(call.ops) == 1 else None
        if op is not None and op.kind is Kind.COLLECTIVE and not graph:
            self._nccl(op, begin - RANGE_LEAD_NS, end + RANGE_LEAD_NS)

    def _op(self, number: int, correlation: int, start: int, end: int, *, graph: bool) -> None:
        op = self.program.ops[number]
        if op.kind is Kind.COPY:
            self.process.memcpy(start, end, launch=None, kind=2, correlation=correlation, stream=STREAMS[op.stream])
            return
        collective = op.kind is Kind.COLLECTIVE
        self.process.kernel(
            op.name,
            start,
            end,
            launch=None,
            correlation=correlation,
            stream=STREAMS[op.stream],
            graph_node=(GRAPH << 32) + number if graph else None,
            demangled=f"{op.name}(ncclDevKernelArgsStorage<(unsigned long)4096>)" if collective else None,
            grid=(1, 1, 1) if collective else (132, 1, 1),
        )

    def _nccl(self, op: Op, begin: int, end: int) -> None:
        if not self.scenario.sizes_known:
            return
        comm = next(comm for (_, group), comm in self.comms.items() if group in op.groups and self.rank in group)
        self.process.nccl(op.nccl, begin, end, bytes=op.bytes, comm=comm)

    def _api(self, call: Call) -> tuple[str, int]:
        if call.api is Api.LAUNCH:
            kind = self.program.ops[call.ops[0]].kind
            if kind is Kind.COLLECTIVE:
                return "cuLaunchKernelEx", 1
            if kind is Kind.COPY:
                return "cudaMemcpyAsync_v3020", 0
        return APIS[call.api], 0

    def _queries(self, call: Call, begin: int, end: int) -> None:
        """As many as fit, of the program's cost and pause, in which noise is left to the last."""
        each = call.cost_ns + QUERY_PAUSE_NS
        while begin + 2 * each <= end:
            self.process.api(APIS[Api.QUERY], begin, begin + call.cost_ns)
            begin += each
        self.process.api(APIS[Api.QUERY], begin, end)

    def _capture(self, start: int) -> None:
        """The capture of the graph: calls without kernels, 4 us apart, then the clones of its nodes."""
        nodes = [n for call in self.program.calls if call.api is Api.GRAPH for n in call.ops if self.there[n]]
        for index, number in enumerate(nodes):
            at = start + 4_000 * index
            op = self.program.ops[number]
            if op.kind is Kind.COLLECTIVE:
                self.process.api("cuLaunchKernelEx", at, at + 2_000, event_class=1)
                self._nccl(op, at - 500, at + 2_500)
            else:
                self.process.api(APIS[Api.LAUNCH], at, at + 2_000)
            self.process.graph_node((1 << 32) + number, created=at + 1_000)
            cloned = start + 4_000 * len(nodes) + 1_000 * index
            # A real export has every cloned node twice, and only one of the rows names its original.
            self.process.graph_node((GRAPH << 32) + number, created=cloned)
            self.process.graph_node((GRAPH << 32) + number, original=(1 << 32) + number, created=cloned + 500)


def communicators(program: Program) -> dict[tuple[int, tuple[int, ...]], int]:
    """{(size, group): communicator id}, the largest first."""
    groups = {(len(group), group) for op in program.ops for group in op.groups}
    return {key: 1001 + number for number, key in enumerate(sorted(groups))}
