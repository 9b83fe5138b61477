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
INSIDE_NS = 100
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
        self.records = [n for n, call in enumerate(self.program.calls) if call.api is Api.RECORD]

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
            self._call(step, number, calls[number], self.call_end[step][number])

    def _call(self, step: int, number: int, begin: int, end: int) -> None:
        call = self.program.calls[number]
        if call.api is Api.QUERY:
            self._queries(step, number, begin, end)
            return
        name, event_class = self._api(call)
        correlation = self.process.api(name, begin, end, event_class=event_class)
        self._synchronize(step, number, begin, end, correlation)
        graph = call.api is Api.GRAPH
        for op in call.ops:
            if self.there[op]:
                self._op(op, correlation, self.op_start[step][op], self.op_end[step][op], graph=graph)
        only = self.program.ops[call.ops[0]] if len(call.ops) == 1 else None
        if only is not None and only.kind is Kind.COLLECTIVE and not graph:
            self._nccl(only, begin - RANGE_LEAD_NS, end + RANGE_LEAD_NS)

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

    def _synchronize(self, step: int, number: int, begin: int, end: int, correlation: int) -> None:
        """The rows that say what a call records or waits for, where the export has them."""
        call = self.program.calls[number]
        if not self.scenario.sync_tables:
            return
        within = (begin + INSIDE_NS, max(end - INSIDE_NS, begin + INSIDE_NS))
        record = max((n for n in self.records if n <= number), default=None)
        event = None if record is None else self.records.index(record) + 1
        if call.api is Api.RECORD:
            self.process.event_record(
                correlation=correlation,
                event=event or 0,
                record=self._record(step, number),
                stream=self._stream(number),
            )
        elif call.api is Api.STREAM_SYNC:
            self.process.synchronization(*within, 3, correlation=correlation, stream=STREAMS[0])
        elif call.api is Api.STREAM_WAIT and record is not None:
            (op,) = self.program.calls[number + 1].ops
            stream = STREAMS[self.program.ops[op].stream]
            told = self._record(step, record)
            self.process.synchronization(*within, 2, correlation=correlation, stream=stream, event=event, record=told)
        elif _event_wait(call) and record is not None and call.awaits is not None and step >= call.awaits[1]:
            told = self._record(step - call.awaits[1], record)
            self.process.synchronization(*within, 1, correlation=correlation, event=event, record=told)

    def _record(self, step: int, number: int) -> int:
        """The number of what a call records in a step."""
        return 1 + step * len(self.records) + self.records.index(number)

    def _stream(self, number: int) -> int:
        """On which stream a call records: before a wait, that of the operation that is waited for."""
        calls = self.program.calls
        if number + 2 < len(calls) and calls[number + 1].api is Api.STREAM_WAIT:
            (op,) = calls[number + 2].ops
            return STREAMS[self.program.ops[self.program.ops[op].after[0]].stream]
        return STREAMS[0]

    def _queries(self, step: int, number: int, begin: int, end: int) -> None:
        """As many as fit, of the program's cost and pause, in which noise is left to the last."""
        cost = self.program.calls[number].cost_ns
        while begin < end:
            last = begin + 2 * (cost + QUERY_PAUSE_NS) > end
            done = end if last else begin + cost
            correlation = self.process.api(APIS[Api.QUERY], begin, done)
            self._synchronize(step, number, begin, done, correlation)
            begin = end if last else done + QUERY_PAUSE_NS

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


def _event_wait(call: Call) -> bool:
    return call.api in (Api.EVENT_SYNC, Api.QUERY)


def communicators(program: Program) -> dict[tuple[int, tuple[int, ...]], int]:
    """{(size, group): communicator id}, the largest first."""
    groups = {(len(group), group) for op in program.ops for group in op.groups}
    return {key: 1001 + number for number, key in enumerate(sorted(groups))}
