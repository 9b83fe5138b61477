"""The nsys command for a capture of a decode workload, for whatever this nsys can do."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.nsys import Abilities, Nsys
from nsysan.capture.started import Workload, read_workload
from nsysan.trace.nccl_files import logs_named
from nsysan.trace.topology import topology_file

#: Marks every process of one capture, so that none outlives it unseen.
MARKER = "NSYSAN_CAPTURE"
_SUFFIX = re.compile(r"(?<=[^/])\.(?:nsys-rep|sqlite|qdrep)$")


@dataclass(frozen=True)
class Request:
    """What the user asked to capture; names and meanings are those of nsys where it has one.

    trace: what to trace, None for what a report needs. cuda_sw: CUDA by software, also where the hardware could.
    """

    command: tuple[str, ...]
    capture_range: str | None = None
    capture_range_end: str | None = None
    nvtx_capture: str | None = None
    delay: int | None = None
    duration: int | None = None
    gpu_metrics: str | None = None
    gpu_metrics_frequency: int | None = None
    cuda_graph_trace: str = "node"
    trace: str | None = None
    cuda_sw: bool = False
    extra: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The command to run, what to add to its environment, and what the user should know about it."""

    argv: list[str]
    environment: dict[str, str]
    notes: list[str]


def plan_capture(request: Request, nsys: Nsys, abilities: Abilities, output: Path) -> Plan:
    """The command that captures into `output` (a name without suffix)."""
    notes: list[str] = []
    environment = dict(request.environment)
    argv = [str(nsys.path), "profile"]

    def add(option: str, value: str, lost: str = "") -> None:
        if option in abilities.profile:
            argv.append(f"{option}={value}")
        elif lost:
            notes.append(f"{nsys.label} has no {option}: {lost}")

    add("--trace", ",".join(_trace(request, nsys, abilities, notes)))
    add("--cuda-graph-trace", request.cuda_graph_trace, "kernels inside CUDA graphs may stay invisible")
    add("--trace-fork-before-exec", "true", "ranks that are forked may stay invisible")
    add("--sample", "none")
    add("--cpuctxsw", "none")
    if request.capture_range is not None:
        add("--capture-range", request.capture_range)
        # By default nsys would end the workload with the range, and its exit code would be lost.
        add("--capture-range-end", request.capture_range_end or "stop")
    if request.nvtx_capture is not None:
        add("--nvtx-capture", request.nvtx_capture)
        # nsys looks at registered strings only, and PyTorch's ranges are not registered.
        environment.setdefault("NSYS_NVTX_PROFILER_REGISTER_ONLY", "0")
    if request.delay is not None:
        add("--delay", str(request.delay))
    if request.duration is not None:
        add("--duration", str(request.duration))
    if request.gpu_metrics is not None:
        devices = "--gpu-metrics-devices" if "--gpu-metrics-devices" in abilities.profile else "--gpu-metrics-device"
        add(devices, request.gpu_metrics, "no GPU metrics")
        if request.gpu_metrics_frequency is not None:
            add("--gpu-metrics-frequency", str(request.gpu_metrics_frequency))
    if request.cuda_graph_trace != "node":
        notes.append("graphs are traced as blocks: communication inside them will not be visible")
    workload = read_workload(request.command, {**os.environ, **environment})
    _spawn(workload, environment, notes)
    # The name is expanded already; nsys must not do it again.
    name = str(output).replace("%", "%%")
    argv += [*request.extra, f"--output={name}", *request.command]
    return Plan(argv, environment, notes)


def _spawn(workload: Workload, environment: dict[str, str], notes: list[str]) -> None:
    """Have the engine's workers start in the way that can be traced, unless the user says how they start."""
    fork = workload.engine.fork if workload.engine is not None else None
    if fork is None or fork[0] in {*os.environ, *environment, *workload.assigned}:
        return
    name, value = fork
    if workload.unguarded:
        notes.append(
            f"{name} is left as it is: the script has no `if __name__ == '__main__':`, which spawned workers need; if "
            f"ranks are missing from the trace, put its calls behind one, and set {name}={value}"
        )
        return
    environment[name] = value
    notes.append(f"set {name}={value}: forked vLLM workers would not be traced")


def _trace(request: Request, nsys: Nsys, abilities: Abilities, notes: list[str]) -> list[str]:
    if request.trace is not None:
        asked = request.trace.split(",")
        unknown = [word for word in asked if abilities.trace and word not in abilities.trace]
        if unknown:
            raise NsysanError(
                f"--trace {unknown[0]}: {nsys.label} cannot trace it, only {', '.join(sorted(abilities.trace))}; "
                "name a newer one with --nsys, or leave --trace out",
                ExitCode.NO_NSYS,
            )
        if not any(word.startswith("cuda") for word in asked):
            notes.append("without cuda in --trace no kernel is traced, and a report has nothing to say")
        return asked
    cuda = "cuda-sw" if request.cuda_sw and "cuda-sw" in abilities.trace else "cuda"
    if request.cuda_sw and cuda == "cuda":
        notes.append(f"{nsys.label} traces CUDA by software as it is, so --cuda-sw changes nothing")
    if "nccl" in abilities.trace:
        return [cuda, "nvtx", "nccl"]
    notes.append(
        f"{nsys.label} cannot trace NCCL by itself (2025.6 and later can); NCCL's own NVTX ranges give call and size"
    )
    return [cuda, "nvtx"]


def expand_output(pattern: str, environment: dict[str, str], ending: str = "") -> Path:
    """nsys' output patterns: %q{NAME} environment, %h host, %p this process, %n the first free number, %% itself.

    A suffix of a trace is taken off; ending: what to add to the name then.
    """

    def replace(match: re.Match[str]) -> str:
        token = match[0]
        if token == "%%":
            return "%"
        if token == "%h":
            return socket.gethostname()
        if token == "%p":
            return str(os.getpid())
        return environment.get(match[1], "") if match[1] else "\0"

    # A null byte, which no name can hold, keeps the place of %n: %%n and a value with %n in it are not numbers.
    expanded = _SUFFIX.sub("", re.sub(r"%q\{(\w+)\}|%h|%p|%%|%n", replace, pattern)) + ending
    if "\0" not in expanded:
        return Path(expanded)
    numbered = (Path(expanded.replace("\0", str(n))) for n in range(1, 100_000))
    return next(path for path in numbered if not files_of(path))


def outputs_of(name: Path) -> tuple[Path, Path]:
    """The recording and the export of a capture by that name."""
    return name.with_name(name.name + ".nsys-rep"), name.with_name(name.name + ".sqlite")


def files_of(name: Path, *, logs: bool = True) -> list[Path]:
    """What is there under the names of a capture: recording, export and topology, and NCCL's logs if asked for."""
    recording, export = outputs_of(name)
    found = [path for path in (recording, export, topology_file(recording)) if os.path.lexists(path)]
    return found + (logs_named(name.parent, name.name) if logs else [])
