"""Workloads that print what a step takes, which a report can use: the step time without nsys (METRICS section 10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

#: Words of a command, in this order, by their ends; what it prints; how that becomes the time of a step; and whether it
#: ends by itself. Sources: vllm/v1/metrics/loggers.py and vllm/benchmarks/serve.py of vLLM, sglang/bench_one_batch.py
#: and the decode log of SGLang's scheduler, tensorrt_llm/bench of TensorRT-LLM, scripts/decode.py of nsysan.
_PRINTED = (
    (("decode.py",), '"host_us_a_step"', "it with the unit us", True),
    (("sglang.bench_one_batch",), "Decode. median latency", "it with the unit s", True),
    (("vllm", "bench", "latency"), "Avg latency", "its seconds by --output-len, prefill among them", True),
    (("vllm", "bench", "serve"), "Median TPOT (ms)", "it with the unit ms", True),
    (("sglang.bench_serving",), "Median TPOT (ms)", "it with the unit ms", True),
    (("trtllm-bench",), "Average time-per-output-token [TPOT] (ms)", "it with the unit ms", True),
    (("vllm", "serve"), "Avg generation throughput and Running", "requests running / tokens a second", False),
    (("sglang.launch_server",), "gen throughput and #running-req", "requests running / tokens a second", False),
)


def hint(command: Sequence[str], exports: str) -> str:
    """How to pass on the step time that this command is known to print; "" where none is known."""
    words = [PurePath(word).name for word in command]
    for wanted, printed, becomes, ends in _PRINTED:
        if _in_order(wanted, words):
            both = "; --untraced-first does both" if ends else ""
            return (
                f"this workload prints what a step takes ({printed}). Run without nsys, at the same batch and one "
                f"token a step, that is the step without the profiler's weight: `nsysan report {exports} --untraced "
                f"TIME`, TIME being {becomes}{both}. What it prints while it is traced is not"
            )
    return ""


def _in_order(wanted: Sequence[str], words: Sequence[str]) -> bool:
    rest = iter(words)
    return all(any(word == one for word in rest) for one in wanted)
