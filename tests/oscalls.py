"""Calls into the operating system in a loop whose steps are known on paper."""

from __future__ import annotations

from pathlib import Path

from tests.tracebuilder import TraceBuilder, decode_loop

PERIOD = 38_000


def os_calls_trace(path: Path, *, steps: int = 8) -> Path:
    """Two ranks, of which nsys looked at the first; ns of a step from the begin of its GPU work.

    CUDA calls take 2,000 from 8,000, 18,000, and again from 28,000 (the next step's first) and 38,000 on: 8,000 in all.
    Outside of them the host of rank 0 waits in pthread_cond_wait from 2,500 to 6,500 (a futex in it), yields over and
    over from 10,500 to 14,500, and sleeps from 20,500 to 23,500. What it polls in a CUDA call is of that call, and to
    look after a file is work: it works for 38,000 - 8,000 - 8,000 - 3,000 = 19,000.
    """
    builder = TraceBuilder()
    first, *_ = decode_loop(builder, ranks=2, steps=steps, ahead=False)
    for step in range(steps):
        begin = 1_000_000 + PERIOD * step
        for name, start, end in (
            ("poll", 500, 1_500),
            ("pthread_cond_wait", 2_500, 6_500),
            ("futex", 3_000, 4_000),
            ("stat64", 6_600, 6_900),
            ("sched_yield", 10_500, 11_500),
            ("sched_yield", 12_000, 13_000),
            ("sched_yield", 13_500, 14_500),
            ("clock_nanosleep", 20_500, 23_500),
        ):
            first.os_call(name, begin + start, begin + end)
        # Of another thread.
        first.os_call("poll", begin, begin + PERIOD, tid=77)
    return builder.write(path)
