"""A reference tensor-parallel decode loop: random weights, real kernels, real collectives, faults on request.

usage: python scripts/decode.py --tp 2 [--graph | --eager] [--steps 24] [--slow-rank 1 --slow-us 100] ...

Starts its own ranks, one GPU each (or takes its place in a torchrun), decodes one token a step with a
Llama-shaped stack, and marks every step with the NVTX range decode_step_<i>. The sampled token is read back
each step, as a server must, so a late host is late on the GPU too. Rank 0 prints one JSON line at the end:
the step time, and what was planted.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

HEAD = 128
VOCAB = 32_000
WARM_UP = 3


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tp", type=int, default=2, help="ranks, one GPU each (default 2)")
    parser.add_argument("--layers", type=int, default=16, help="transformer layers, two all-reduces each (default 16)")
    parser.add_argument("--hidden", type=int, default=4096, help="model width (default 4096)")
    parser.add_argument("--batch", type=int, default=1, help="sequences decoded together (default 1)")
    parser.add_argument("--context", type=int, default=512, help="tokens in the KV cache (default 512)")
    parser.add_argument("--steps", type=int, default=24, help="decode steps that are marked (default 24)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--graph", action="store_true", default=True, help="one CUDA graph replay a step (default)")
    mode.add_argument("--eager", dest="graph", action="store_false", help="launch every kernel by itself")
    parser.add_argument("--all-reduce", choices=("nccl", "symm"), default="nccl", help="symm: one-shot, PyTorch's own")
    parser.add_argument("--overlap", action="store_true", help="run an independent matmul beside every all-reduce")
    parser.add_argument(
        "--slow-rank", type=int, default=-1, help="this rank computes longer before each all-reduce pair"
    )
    parser.add_argument("--slow-us", type=float, default=100.0, help="by so much a layer (default 100)")
    parser.add_argument("--late-rank", type=int, default=-1, help="this rank's host launches every step later")
    parser.add_argument("--late-us", type=float, default=500.0, help="by so much a step (default 500)")
    parser.add_argument("--sleepy-rank", type=int, default=-1, help="this rank's host sleeps until its GPU is done")
    parser.add_argument("--profiler-api", action="store_true", help="cudaProfilerStart/Stop round the marked steps")
    parser.add_argument("--hang", action="store_true", help="never end after the last step, as stuck servers do")
    return parser.parse_args()


@dataclass
class Layer:
    """This rank's shard of one layer's weights, and its KV cache."""

    qkv: torch.Tensor
    out: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor


class Decoder:
    """A Llama-shaped decoder, sharded by heads and by the feed-forward's columns."""

    def __init__(self, args: argparse.Namespace, rank: int) -> None:
        self.args, self.rank = args, rank
        heads = args.hidden // HEAD
        if heads % args.tp:
            sys.exit(f"decode: {heads} heads do not divide over --tp {args.tp}")
        self.heads = heads // args.tp
        generator = torch.Generator(device="cuda").manual_seed(7 + rank)

        def weight(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, device="cuda", dtype=torch.bfloat16, generator=generator) * 0.02

        width, shard, inner = args.hidden, self.heads * HEAD, args.hidden * 7 // 2 // args.tp
        cache = (args.batch, self.heads, args.context, HEAD)
        self.layers = [
            Layer(
                weight(3 * shard, width),
                weight(width, shard),
                weight(2 * inner, width),
                weight(width, inner),
                weight(*cache),
                weight(*cache),
            )
            for _ in range(args.layers)
        ]
        torch.cuda.manual_seed(1)  # what is not sharded is the same on every rank
        self.embedding = torch.randn(VOCAB, width, device="cuda", dtype=torch.bfloat16) * 0.02
        self.norm = torch.ones(width, device="cuda", dtype=torch.bfloat16)
        self.token = torch.zeros(args.batch, device="cuda", dtype=torch.long)
        self.side = torch.cuda.Stream()
        self.all_reduce = self._symmetric() if args.all_reduce == "symm" else self._nccl
        self.spin = spin_cycles(args.slow_us) if args.slow_rank == rank else 0

    def step(self) -> None:
        """One token for every sequence, from self.token to self.token."""
        x = self.embedding[self.token]
        for layer in self.layers:
            x = x + self._reduced(self._attention(layer, F.rms_norm(x, (x.shape[-1],), self.norm)))
            if self.spin:
                torch.cuda._sleep(self.spin)
            x = x + self._reduced(self._feed_forward(layer, F.rms_norm(x, (x.shape[-1],), self.norm)))
        logits = F.rms_norm(x, (x.shape[-1],), self.norm) @ self.embedding.T
        self.token.copy_(logits.argmax(-1))

    def _attention(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (x @ layer.qkv.T).view(x.shape[0], 3, self.heads, 1, HEAD).unbind(1)
        layer.keys[:, :, -1:], layer.values[:, :, -1:] = k, v
        attended = F.scaled_dot_product_attention(q, layer.keys, layer.values)
        return attended.reshape(x.shape[0], -1) @ layer.out.T

    def _feed_forward(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        gate, up = (x @ layer.gate_up.T).chunk(2, dim=-1)
        return (F.silu(gate) * up) @ layer.down.T

    def _reduced(self, part: torch.Tensor) -> torch.Tensor:
        if not self.args.overlap:
            return self.all_reduce(part)
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            torch.matmul(self.layers[0].qkv, self.layers[0].qkv.T[:, :256])
        reduced = self.all_reduce(part)
        torch.cuda.current_stream().wait_stream(self.side)
        return reduced

    def _nccl(self, part: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(part)
        return part

    def _symmetric(self) -> Callable[[torch.Tensor], torch.Tensor]:
        import torch.distributed._symmetric_memory as symm_mem

        group = dist.group.WORLD.group_name
        buffer = symm_mem.empty(self.args.batch * self.args.hidden, device="cuda", dtype=torch.bfloat16)
        symm_mem.rendezvous(buffer, group)

        def reduce(part: torch.Tensor) -> torch.Tensor:
            buffer.copy_(part.flatten())
            return torch.ops.symm_mem.one_shot_all_reduce(buffer, "sum", group).view_as(part)

        return reduce


def spin_cycles(us: float) -> int:
    """Clock cycles of a kernel that spins for that long, calibrated on this GPU at its present clock."""
    cycles = 2_000_000
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(20):  # the clock ramps up while it spins
        torch.cuda._sleep(cycles)
    begin.record()
    torch.cuda._sleep(cycles)
    end.record()
    torch.cuda.synchronize()
    return round(us * cycles / (1e3 * begin.elapsed_time(end)))


def busy_wait(us: float) -> None:
    """Hold the host up without giving its core away: a sleep is not precise enough."""
    until = time.perf_counter_ns() + round(us * 1e3)
    while time.perf_counter_ns() < until:
        pass


def sleep_while_waiting(device: int) -> None:
    """Let this host sleep until its GPU is done, where it else asks without a pause."""
    loaded = (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libcudart" in line)
    runtime, blocking_sync = ctypes.CDLL(next(loaded)), 4
    if runtime.cudaSetDevice(device) or runtime.cudaSetDeviceFlags(blocking_sync):
        sys.exit(f"decode: GPU {device} takes no flags any more")


@contextlib.contextmanager
def profiler_range(wanted: bool) -> Iterator[None]:
    """Open the capture range of `--capture-range=cudaProfilerApi` where asked for."""
    if wanted:
        torch.cuda.cudart().cudaProfilerStart()
    yield
    if wanted:
        torch.cuda.cudart().cudaProfilerStop()


def run(rank: int, args: argparse.Namespace) -> None:
    """One rank from start to end."""
    device = int(os.environ.get("LOCAL_RANK", rank))
    if args.sleepy_rank == rank:
        sleep_while_waiting(device)
    torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl", rank=rank, world_size=args.tp, device_id=torch.device("cuda", torch.cuda.current_device())
    )
    decoder = Decoder(args, rank)
    graph = None
    side = torch.cuda.Stream()
    with torch.no_grad():
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                decoder.step()
        torch.cuda.synchronize()
        if args.graph:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                decoder.step()
        advance = graph.replay if graph is not None else decoder.step
        advance()
        torch.cuda.synchronize()
        dist.barrier()
        torch.cuda.synchronize()
        times = []
        with profiler_range(args.profiler_api):
            for i in range(args.steps):
                begun = time.perf_counter_ns()
                torch.cuda.nvtx.range_push(f"decode_step_{i}")
                if args.late_rank == rank:
                    busy_wait(args.late_us)
                advance()
                decoder.token.tolist()  # the server sends it; the next step needs it
                torch.cuda.nvtx.range_pop()
                times.append(time.perf_counter_ns() - begun)
    if rank == 0:
        planted = (
            {"slow_rank": args.slow_rank, "us_a_step": args.slow_us * args.layers}
            if args.slow_rank >= 0
            else ({"late_rank": args.late_rank, "us_a_step": args.late_us} if args.late_rank >= 0 else None)
        )
        median = sorted(times)[len(times) // 2] / 1e3
        print(
            json.dumps({"tp": args.tp, "steps": args.steps, "host_us_a_step": round(median, 1), "planted": planted}),
            flush=True,
        )
    if args.hang:
        time.sleep(86_400)
    if graph is not None:
        # destroy_process_group waits for ever while a graph that captured NCCL work is alive.
        torch.cuda.synchronize()
        graph.reset()
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    """Start the ranks, or be one of them under torchrun."""
    args = arguments()
    if "RANK" in os.environ:
        args.tp = int(os.environ["WORLD_SIZE"])
        run(int(os.environ["RANK"]), args)
        return
    if torch.cuda.device_count() < args.tp:
        sys.exit(f"decode: --tp {args.tp} needs as many GPUs; there are {torch.cuda.device_count()}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]))
    torch.multiprocessing.spawn(run, args=(args,), nprocs=args.tp)


if __name__ == "__main__":
    main()
