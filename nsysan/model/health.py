"""What a sound recording looks like, shared by the checks after a capture and those of a report.

DEFINITIONS.md, section 8.
"""

from __future__ import annotations

#: How nsys is told to trace what is inside CUDA graphs.
NODE_FLAG = "--cuda-graph-trace=node"
#: Parts of the profiler's messages that say that events are missing.
EVENT_LOSS = ("Not all CUDA events", "were lost", "size limit on recording", "Couldn't allocate CUPTI")
#: What the profiler says of a process that it was in and that gave no kernel: a helper, or a worker that it lost.
NO_CUDA = "No CUDA events collected"
#: What makes workers of a process visible, which is forked by default in vLLM.
SPAWN_AND_TRACE_FORKS = "VLLM_WORKER_MULTIPROC_METHOD=spawn (vLLM) and --trace-fork-before-exec=true"
#: The shortest time from launch call to kernel start lies in this range where CPU and GPU clocks agree. The
#: minimum over a trace was 4.8 to 24 us in 50 of 53 public recordings, and off by 100 ms and more in the rest; in 4 of
#: 19 windows of one vLLM server it was -1.0 to -1.3 us. What hosts are charged with is more than that is off by.
LAUNCH_LATENCY_NS = (-10_000, 1_000_000)


def says_events_lost(message: str) -> bool:
    """Whether a message of the profiler reports missing GPU events."""
    return any(part in message for part in EVENT_LOSS)


def clocks_agree(shortest_launch_ns: int) -> bool:
    """Whether the shortest launch latency of a recording is plausible."""
    low, high = LAUNCH_LATENCY_NS
    return low <= shortest_launch_ns <= high
