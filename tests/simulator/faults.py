"""What can be wrong with a run. A fault changes inputs; the run without it is the same run, noise and all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tests.simulator.inputs import Inputs, Ns
from tests.simulator.program import Api, Kind, Program

Steps = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]]
"""In which steps a fault is there, of their numbers."""


class Cause(StrEnum):
    """What a late rank is late by, in nsysan's words."""

    COMPUTE = "compute"
    HOST = "host"
    COPY = "copy"


def always(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return steps >= 0


def between(first: int, end: int) -> Steps:
    return lambda steps: (steps >= first) & (steps < end)


def every(n: int, first: int) -> Steps:
    return lambda steps: (steps >= first) & ((steps - first) % n == 0)


class Fault(Protocol):
    """Something wrong on one rank, or (rank None) with the wire of all."""

    @property
    def rank(self) -> int | None: ...

    @property
    def causes(self) -> tuple[Cause, ...]: ...

    def apply(self, program: Program, inputs: Inputs) -> Inputs: ...


@dataclass(frozen=True)
class SlowRank:
    """A GPU that takes longer for the kernels of its layers, or for those named by number."""

    rank: int
    factor: float
    ops: tuple[int, ...] | None = None
    steps: Steps = always
    causes: tuple[Cause, ...] = (Cause.COMPUTE,)

    def apply(self, program: Program, inputs: Inputs) -> Inputs:
        ops = self.ops
        if ops is None:
            ops = tuple(n for n, op in enumerate(program.ops) if op.in_layer and op.kind is Kind.COMPUTE)
        work = inputs.work.copy()
        chosen = np.ix_(_chosen(self.steps, work), np.array(ops), np.array([self.rank]))
        work[chosen] = np.rint(work[chosen] * self.factor).astype(np.int64)
        return replace(inputs, work=work)


@dataclass(frozen=True)
class LongerKernel:
    """One operation that takes longer by extra_ns."""

    rank: int
    op: int
    extra_ns: int
    steps: Steps = always
    causes: tuple[Cause, ...] = (Cause.COMPUTE,)

    def apply(self, program: Program, inputs: Inputs) -> Inputs:  # noqa: ARG002
        work = inputs.work.copy()
        work[_chosen(self.steps, work), self.op, self.rank] += self.extra_ns
        return replace(inputs, work=work)


@dataclass(frozen=True)
class LateHost:
    """A host that sleeps before the first call of its steps, but for the first step."""

    rank: int
    sleep_ns: int
    steps: Steps = always
    call: int = 0
    causes: tuple[Cause, ...] = (Cause.HOST,)

    def apply(self, program: Program, inputs: Inputs) -> Inputs:  # noqa: ARG002
        segment = inputs.segment.copy()
        chosen = _chosen(self.steps, segment)
        segment[chosen[chosen > 0], self.call, self.rank] += self.sleep_ns
        return replace(inputs, segment=segment)


@dataclass(frozen=True)
class DearCalls:
    """A host whose launch calls take longer."""

    rank: int
    factor: float
    causes: tuple[Cause, ...] = (Cause.HOST,)

    def apply(self, program: Program, inputs: Inputs) -> Inputs:
        cost = inputs.cost.copy()
        calls = [n for n, call in enumerate(program.calls) if call.api in (Api.LAUNCH, Api.GRAPH)]
        cost[:, calls, self.rank] = np.rint(cost[:, calls, self.rank] * self.factor).astype(np.int64)
        return replace(inputs, cost=cost)


@dataclass(frozen=True)
class SlowHost:
    """A host whose own work between calls takes longer."""

    rank: int
    factor: float
    causes: tuple[Cause, ...] = (Cause.HOST,)

    def apply(self, program: Program, inputs: Inputs) -> Inputs:  # noqa: ARG002
        segment = inputs.segment.copy()
        segment[:, :, self.rank] = np.rint(segment[:, :, self.rank] * self.factor).astype(np.int64)
        return replace(inputs, segment=segment)


@dataclass(frozen=True)
class SlowWire:
    """Collectives whose transfer takes longer, on all their ranks."""

    factor: float
    ops: tuple[int, ...]
    steps: Steps = always
    rank: None = None
    causes: tuple[()] = ()

    def apply(self, program: Program, inputs: Inputs) -> Inputs:  # noqa: ARG002
        wire = inputs.wire.copy()
        chosen = np.ix_(_chosen(self.steps, wire), np.array(self.ops))
        wire[chosen] = np.rint(wire[chosen] * self.factor).astype(np.int64)
        return replace(inputs, wire=wire)


@dataclass(frozen=True)
class ExtraCalls:
    """The program's extra operations and their calls, on one rank."""

    rank: int
    ns: int
    cost_ns: int
    causes: tuple[Cause, ...] = (Cause.COMPUTE, Cause.HOST)

    def apply(self, program: Program, inputs: Inputs) -> Inputs:
        extra = [n for n, op in enumerate(program.ops) if op.extra]
        calls = [n for n, call in enumerate(program.calls) if call.extra]
        there, work, cost = inputs.op_there.copy(), inputs.work.copy(), inputs.cost.copy()
        there[extra, self.rank] = True
        work[:, extra, self.rank] = self.ns
        cost[:, calls, self.rank] = self.cost_ns
        return replace(inputs, work=work, cost=cost, op_there=there)


def _chosen(steps: Steps, values: Ns) -> npt.NDArray[np.intp]:
    return np.flatnonzero(steps(np.arange(len(values))))
