"""How long every piece of a program takes, in each step on each rank: what faults and what-ifs change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.simulator.program import Kind, Program

Ns = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """Relative standard deviations; 0 is a machine of clockwork."""

    kernel: float = 0.0
    host: float = 0.0
    wire: float = 0.0
    """The mean of what a call takes longer than the least, exponentially distributed."""
    rank: float = 0.0
    """How far the GPUs of two ranks differ."""
    end_ns: float = 0.0
    """Ranks leave a collective up to so much apart."""


CLOCKWORK = Noise()


@dataclass(frozen=True)
class Inputs:
    """Durations in ns, by (step, operation or call, rank)."""

    work: Ns
    """Of operations, without waiting; of collectives 0."""
    wire: Ns
    """Of collectives, from the last arrival; the same on every rank of a group."""
    spread: Ns
    """How much later than that a rank leaves."""
    segment: Ns
    """Host work before each call."""
    cost: Ns
    """Of calls, without waiting."""
    op_there: npt.NDArray[np.bool_]
    """Whether a rank runs an operation, by (operation, rank)."""


def draw(program: Program, steps: int, noise: Noise = CLOCKWORK, seed: int = 0) -> Inputs:
    """The inputs of a run without faults. The same seed gives the same noise, whatever fault is added later."""
    rng = np.random.default_rng(seed)
    ranks = program.ranks
    shape = (steps, len(program.ops), ranks)
    calls = (steps, len(program.calls), ranks)
    own = np.array([op.ns for op in program.ops], dtype=np.float64)[None, :, None]
    own = own * rng.normal(1.0, noise.rank, (1, 1, ranks)) * rng.normal(1.0, noise.kernel, shape)
    wire = np.zeros(shape)
    for number, op in enumerate(program.ops):
        if op.kind is Kind.COLLECTIVE:
            for group in op.groups:
                stretch = 1.0 + noise.wire * rng.standard_exponential(steps)
                wire[:, number, list(group)] = (op.wire_ns * stretch)[:, None]
    collective = np.array([op.kind is Kind.COLLECTIVE for op in program.ops])[None, :, None]
    spread = rng.uniform(0.0, 1.0, shape) * noise.end_ns * collective
    there = ~np.array([op.extra for op in program.ops])
    segment = np.array([call.segment_ns for call in program.calls], dtype=np.float64)[None, :, None]
    cost = np.array([call.cost_ns for call in program.calls], dtype=np.float64)[None, :, None]
    here = ~np.array([call.extra for call in program.calls])[None, :, None]
    return Inputs(
        work=_ns(own * there[None, :, None]),
        wire=_ns(wire),
        spread=_ns(spread),
        segment=_ns(_begin(segment * _uneven(rng, noise.host, calls)) * here),
        cost=_ns(cost * _uneven(rng, noise.host, calls) * here),
        op_there=np.repeat(there[:, None], ranks, axis=1),
    )


def _begin(segment: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """All ranks begin at once: nothing precedes the first call of the first step."""
    segment[0, 0] = 0.0
    return segment


def _uneven(rng: np.random.Generator, relative: float, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Factors of mean 1 that lean to the long side, as host work does."""
    if relative == 0:
        return np.ones(shape)
    return rng.gamma(1.0 / relative**2, relative**2, shape)


def _ns(values: npt.NDArray[np.float64]) -> Ns:
    return np.rint(np.maximum(values, 0.0)).astype(np.int64)
