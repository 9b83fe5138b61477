"""When everything begins and ends.

Whatever waits, waits for something that the program submitted before it, on its own rank or, at a collective, at the
same place on another. So all times can be settled in program order, one step after the other, and all ranks and all
changes of one run at once: arrays are (change, rank).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.simulator.inputs import Inputs, Ns
from tests.simulator.program import Api, Call, Kind, Op, Program

START_NS = 5_000_000
QUERY_PAUSE_NS = 400
LONG_AGO = -(1 << 60)


@dataclass(frozen=True)
class Times:
    """ns, by (step, operation or call, change, rank)."""

    op_start: Ns
    op_end: Ns
    call_begin: Ns
    call_end: Ns
    op_there: npt.NDArray[np.bool_]
    """By (operation, change, rank)."""

    def step_begins(self) -> Ns:
        """When the GPU work of each step begins, by (step, change, rank)."""
        there = self.op_there[None]
        begins: Ns = np.where(there, self.op_start, -LONG_AGO).min(axis=1)
        return begins


def run(program: Program, changes: Sequence[Inputs], *, host_free: Sequence[bool] = ()) -> Times:
    """host_free: in this change the host has always launched long before."""
    return _Machine(program, changes, host_free or [False] * len(changes)).times()


class _Machine:
    def __init__(self, program: Program, changes: Sequence[Inputs], host_free: Sequence[bool]) -> None:
        self.program = program
        self.timing = program.timing
        self.work, self.wire, self.spread, self.segment, self.cost = (
            np.stack([getattr(inputs, name) for inputs in changes], axis=2)
            for name in ("work", "wire", "spread", "segment", "cost")
        )
        self.there = np.stack([inputs.op_there for inputs in changes], axis=1)
        self.optional = [not bool(there.all()) for there in self.there]
        self.end = self.work + self.wire + self.spread  # of a collective to be added to the last arrival
        steps, ops = self.work.shape[:2]
        shape = self.work.shape[2:]
        self.op_start = np.zeros((steps, ops, *shape), np.int64)
        self.op_end = np.zeros_like(self.op_start)
        self.call_begin = np.zeros((steps, len(program.calls), *shape), np.int64)
        self.call_end = np.zeros_like(self.call_begin)
        self.host = np.full(shape, START_NS + self.timing.range_lead, np.int64)
        self.stream = [np.full(shape, START_NS, np.int64), np.full(shape, START_NS, np.int64)]
        self.free = np.array(host_free, dtype=bool)[:, None] if any(host_free) else None
        self.submitted: list[Ns] = []
        self.bounds = [np.array([group[0] for group in op.groups]) for op in program.ops]
        self.sizes = [[len(group) for group in op.groups] for op in program.ops]

    def times(self) -> Times:
        for step in range(len(self.work)):
            for number, call in enumerate(self.program.calls):
                begin = self.host + self.segment[step, number]
                end = begin + self.cost[step, number]
                if call.ops:
                    end = self._submit(step, call, begin, end)
                if call.awaits is not None:
                    end = self._await(step, call, begin, end, self.cost[step, number])
                self.call_begin[step, number], self.call_end[step, number] = begin, end
                self.host = end
        return Times(self.op_start, self.op_end, self.call_begin, self.call_end, self.there)

    def _submit(self, step: int, call: Call, begin: Ns, end: Ns) -> Ns:
        graph = call.api is Api.GRAPH
        if graph and self.timing.hold_graphs and step:
            end = np.maximum(end, self.op_end[step - 1, call.ops[-1]])
        launched = begin + (self.timing.graph_latency if graph else self.timing.launch_latency)
        if self.free is not None:
            launched = np.where(self.free, LONG_AGO, launched)
        begun: set[int] = set()
        for number in call.ops:
            op = self.program.ops[number]
            follows = graph and op.stream in begun
            begun.add(op.stream)
            self._execute(step, number, op, launched, self.timing.graph_gap if follows else self.timing.stream_gap)
        if self.timing.queue is not None:
            held = np.maximum(end, self._queue())
            # A rank that does not make the call is not held in it.
            made = np.logical_or.reduce([self.there[number] for number in call.ops])
            end = np.where(made, held, end)
        return end

    def _execute(self, step: int, number: int, op: Op, launched: Ns, gap: int) -> None:
        before = self.stream[op.stream]
        for other in op.after:
            before = np.maximum(before, self.op_end[step, other])
        start = np.maximum(before + gap, launched)
        last = self._last(number, start) if op.kind is Kind.COLLECTIVE else start
        end = last + self.end[step, number]
        self.op_start[step, number], self.op_end[step, number] = start, end
        if self.optional[number]:
            end = np.where(self.there[number], end, self.stream[op.stream])
        self.stream[op.stream] = end
        self.submitted.append(self.op_start[step, number])

    def _last(self, number: int, start: Ns) -> Ns:
        """The last arrival in a rank's group."""
        last: Ns = np.maximum.reduceat(start, self.bounds[number], axis=1)
        return np.repeat(last, self.sizes[number], axis=1) if len(self.sizes[number]) > 1 else last

    def _queue(self) -> Ns:
        """When the queue has room again for what a call submits."""
        oldest = len(self.submitted) - 1 - (self.timing.queue or 0)
        return self.submitted[oldest] if oldest >= 0 else np.full_like(self.host, LONG_AGO)

    def _await(self, step: int, call: Call, begin: Ns, end: Ns, cost: Ns) -> Ns:
        assert call.awaits is not None
        op, ago = call.awaits
        if step < ago:
            return end
        awaited = self.op_end[step - ago, op]
        if call.api is Api.QUERY:
            each = cost + QUERY_PAUSE_NS
            asked = -(-np.maximum(awaited - begin, 0) // np.maximum(each, 1))
            end = begin + asked * each + cost
        else:
            end = np.maximum(begin, awaited) + cost
        return end
