"""Collectives of every size, timed by CUDA events: what a trace's wire and bus bandwidth can be held against.

usage: python scripts/sweep.py --tp 2 [--smallest 1024] [--largest 268435456] [--repeats 20]

Starts its own ranks. Each size of each collective is one NVTX range step_<i> of five rounds of `--repeats` calls,
enqueued while the GPU spins so that they follow each other at once; rank 0 prints a JSON line a size: the median and
mean time of a call by events, and algbw and busbw as nccl-tests has them.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist

ROUNDS = 5
SPIN_CYCLES = 8_000_000  # about 4 ms
KINDS = ("all_reduce", "all_gather", "reduce_scatter")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tp", type=int, default=2, help="ranks, one GPU each (default 2)")
    parser.add_argument("--smallest", type=int, default=1 << 10, help="bytes of the smallest message (default 1 KiB)")
    parser.add_argument("--largest", type=int, default=1 << 28, help="bytes of the largest message (default 256 MiB)")
    parser.add_argument("--repeats", type=int, default=20, help="calls of each size (default 20)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="which collectives (default all)")
    return parser.parse_args()


def sizes(smallest: int, largest: int) -> Iterator[int]:
    """Powers of four from smallest to largest: bytes as the call passes them, per rank where the call has it so."""
    size = smallest
    while size <= largest:
        yield size
        size *= 4


def calls(kind: str, size: int, ranks: int) -> Callable[[], object]:
    """The call of `kind` that passes `size` bytes."""
    count = size // 2
    small = torch.ones(count, device="cuda", dtype=torch.bfloat16)
    if kind == "all_reduce":
        return lambda: dist.all_reduce(small)
    large = torch.ones(count * ranks, device="cuda", dtype=torch.bfloat16)
    if kind == "all_gather":
        return lambda: dist.all_gather_into_tensor(large, small)
    return lambda: dist.reduce_scatter_tensor(small, large)


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    """us of one call in each of several rounds, by events.

    A spinning kernel holds the GPU while the host enqueues the round, or small calls would be timed by the host.
    """
    times = []
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(SPIN_CYCLES)
        begin.record()
        for _ in range(repeats):
            call()
        end.record()
        torch.cuda.synchronize()
        times.append(1e3 * begin.elapsed_time(end) / repeats)
    return times


def run(rank: int, args: argparse.Namespace) -> None:
    """One rank from start to end."""
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=args.tp, device_id=torch.device("cuda", rank))
    step = 0
    for kind in args.kinds:
        for size in sizes(args.smallest, args.largest):
            call = calls(kind, size, args.tp)
            for _ in range(5):
                call()
            dist.barrier()
            torch.cuda.synchronize()
            torch.cuda.nvtx.range_push(f"step_{step}")
            times = sorted(timed(call, args.repeats))
            torch.cuda.nvtx.range_pop()
            step += 1
            if rank == 0:
                median = times[len(times) // 2]
                total = size if kind == "all_reduce" else size * args.tp
                factor = (2 if kind == "all_reduce" else 1) * (args.tp - 1) / args.tp
                algbw = total / median / 1e3
                line = {"kind": kind, "bytes": size, "ranks": args.tp, "event_us_p50": round(median, 3)}
                line |= {"event_us_mean": round(sum(times) / len(times), 3)}
                print(
                    json.dumps({**line, "algbw_gbps": round(algbw, 3), "busbw_gbps": round(algbw * factor, 3)}),
                    flush=True,
                )
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    """Start the ranks."""
    args = arguments()
    if torch.cuda.device_count() < args.tp:
        sys.exit(f"sweep: --tp {args.tp} needs as many GPUs; there are {torch.cuda.device_count()}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]))
    torch.multiprocessing.spawn(run, args=(args,), nprocs=args.tp)


if __name__ == "__main__":
    main()
