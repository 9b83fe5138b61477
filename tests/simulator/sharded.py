"""One model at any number of ranks: each kernel of a layer takes a + b/n, so what no capture shows is known too."""

from __future__ import annotations

from tests.simulator.cases import BETWEEN_NS, ending, graph_program
from tests.simulator.inputs import CLOCKWORK, Noise
from tests.simulator.program import DEFAULT_WIRE, Api, Call, Kind, Op, Program, eager_calls
from tests.simulator.truth import Scenario

#: us of an all-reduce of 8 KB over so many ranks: those of the table of links.
WIRE_NS = {2: 6_200, 4: 8_900, 8: 14_400}
#: Of each kernel of a layer: ns whatever the number of ranks, and ns that ranks share out.
LAYER = {
    "attn_fwd": (8_000, 12_000),
    "gemm_o": (2_000, 16_000),
    "gemm_up": (3_000, 60_000),
    "gemm_down": (2_500, 30_000),
}
STEPS = 12


def sharded(
    ranks: int,
    *,
    layer: dict[str, tuple[int, int]] | None = None,
    layers: int = 4,
    launch_ns: int | None = None,
    size: int = 8_192,
    noise: Noise = CLOCKWORK,
    seed: int = 0,
) -> Scenario:
    """The model over so many ranks, as a graph; eager where launch_ns, what a launch call takes, is given.

    Two all-reduces a layer, before its last two kernels and after them; none of one rank.
    """
    kernels = [Op(name, ns=round(a + b / ranks)) for name, (a, b) in (layer or LAYER).items()]
    call = Op(DEFAULT_WIRE, Kind.COLLECTIVE, wire_ns=WIRE_NS.get(ranks, 0), groups=(tuple(range(ranks)),), bytes=size)
    calls = [call] if ranks > 1 else []
    ops = [op for _ in range(layers) for op in (*kernels[:-2], *calls, *kernels[-2:], *calls)] + ending()
    if launch_ns is None:
        program = graph_program(ops, ranks=ranks)
    else:
        launches = eager_calls(ops, cost_ns=launch_ns, segment_ns=0, first_segment_ns=BETWEEN_NS)
        wait = Call(Api.STREAM_SYNC, 0, 3_000, awaits=(len(ops) - 1, 0))
        program = Program(ranks, tuple(ops), (*launches, wait))
    return Scenario(f"TP={ranks}", program, STEPS, noise=noise, seed=seed, lead=2)
