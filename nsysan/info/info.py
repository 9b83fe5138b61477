"""What is in an export: the first thing one looks at in a stranger's trace."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from nsysan.diagnosis.lookalikes import Lookalike, ranked
from nsysan.metrics.tally import lookalike_sums
from nsysan.model.classes import WorkClass, load_catalogue
from nsysan.model.load import load_operations
from nsysan.model.operations import is_communication
from nsysan.model.payloads import communicator_ranks
from nsysan.model.ranks import identify_ranks
from nsysan.model.steps.engines import load_engines
from nsysan.model.steps.search import range_templates
from nsysan.run.samples import METRICS, known_metrics
from nsysan.trace.globals import pid_of
from nsysan.trace.graph_mode import GraphMode
from nsysan.trace.provenance import Diagnostic
from nsysan.trace.trace import Trace

_SHOWN_OPTIONS = (
    "CAPTURE_EVENT_TYPE",
    "TRIGGER",
    "CUDA_GRAPH_TRACE",
    "COMMAND",
    "ARGUMENT",
    "GPU_METRICS",
    "DURATION",
    "NVTX",
)
SCHEMA = "nsysan.info/1"


_OPERATION = (
    "process",
    "device",
    "type",
    "graph_node",
    "correlation",
    "start",
    "end",
    "name",
    "cls",
    "kind",
    "library",
    "lookalike",
)


@dataclass(frozen=True)
class RankInfo:
    """GPU work of one (process, device): counts and busy ns by class of work."""

    rank: int
    rank_source: str
    pid: int
    program: str
    device: int
    gpu: int | None
    gpu_model: str | None
    operations: int
    kernels: int
    collectives: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True)
class CollectiveInfo:
    """One kernel that communicates: calls over all ranks, and the total of its residency (waiting included)."""

    name: str
    kind: str | None
    library: str | None
    op_class: WorkClass
    kernels: int
    resident_ns: int


@dataclass(frozen=True)
class RangeInfo:
    """NVTX ranges of one name, numbers taken out; engine is the step marker it is known as, if any."""

    template: str
    count: int
    threads: int
    engine: str | None


@dataclass(frozen=True)
class MetricsInfo:
    """GPU metrics of a capture: all names, the counters that a report reads, nsys' GPU numbers, and Hz as asked for."""

    names: list[str]
    counters: list[str]
    gpus: list[int]
    rate_hz: int | None


@dataclass(frozen=True)
class Info:
    """Contents of one export, as far as they can be told without analysing it."""

    name: str
    nsys_version: str | None
    schema_version: str | None
    graph_trace: GraphMode
    graph_replays: int
    ranks: list[RankInfo]
    gpus: list[str]
    communicators: list[tuple[str, int]]
    collectives: list[CollectiveInfo]
    lookalikes: list[Lookalike]
    ranges: list[RangeInfo]
    open_ranges: int
    capture: list[tuple[str, str]]
    warnings: list[tuple[str, str]]
    tables: list[tuple[str, int]]
    gpu_metrics: MetricsInfo | None


def build_info(trace: Trace) -> Info:
    """Look through an export; nothing in it is required to be there."""
    work = load_operations(trace, load_catalogue()).frame(_OPERATION)
    keys = list(work.select("process", "device").unique().sort("process", "device").drop_nulls().iter_rows())
    replays = trace.graph_replays.height or _node_replays(work)
    kernels = work.filter(pl.col("type") == "kernel")
    inits = communicator_ranks(trace.ranges, trace.payload_entries)
    return Info(
        name=trace.name,
        nsys_version=trace.nsys_version,
        schema_version=trace.schema_version,
        graph_trace=trace.graph_mode,
        graph_replays=replays,
        ranks=_ranks(trace, work, keys),
        gpus=[f"{gpu}: {model}" for gpu, model in trace.gpus.sort("gpu").select("gpu", "model").iter_rows()],
        communicators=sorted({(init.communicator, init.size) for init in inits}),
        collectives=_collectives(kernels),
        lookalikes=ranked(lookalike_sums(kernels), int((kernels["end"] - kernels["start"]).sum())),
        ranges=_ranges(trace),
        open_ranges=trace.open_range_count,
        capture=[(n, v) for n, v in trace.capture_options if any(word in n for word in _SHOWN_OPTIONS)],
        warnings=_warnings(trace, {process for process, _ in keys}),
        tables=sorted((name, trace.row_count(name)) for name in trace.tables if not name.startswith("ENUM_")),
        gpu_metrics=_gpu_metrics(trace),
    )


def to_info_document(info: Info) -> dict[str, Any]:
    """The info as JSON-ready data (see nsysan/data/info.schema.json)."""
    return {"schema": SCHEMA, **asdict(info)}


def _gpu_metrics(trace: Trace) -> MetricsInfo | None:
    metrics = trace.gpu_metrics
    if metrics.is_empty():
        return None
    names = metrics["metric"].unique(maintain_order=True).to_list()
    known = set(known_metrics(trace)["counter"])
    counters = [name for name in METRICS if name in known]
    return MetricsInfo(names, counters, metrics["gpu"].unique().sort().to_list(), trace.gpu_metrics_rate)


def _node_replays(work: pl.DataFrame) -> int:
    return work.filter(pl.col("graph_node").is_not_null()).select("process", "correlation").n_unique()


def _ranks(trace: Trace, work: pl.DataFrame, keys: list[tuple[int, int]]) -> list[RankInfo]:
    communication = is_communication()
    counts = {
        (process, device): rest
        for process, device, *rest in work.group_by("process", "device")
        .agg(
            pl.len(),
            (pl.col("type") == "kernel").sum().alias("k"),
            communication.sum().alias("c"),
            pl.min("start"),
            pl.max("end"),
        )
        .iter_rows()
    }
    found = []
    for rank in identify_ranks(trace, keys):
        operations, kernels, collectives, first, last = counts[rank.process, rank.device]
        program = trace.process_names.get(rank.process, "unknown")
        found.append(
            RankInfo(
                rank.rank,
                rank.source,
                rank.pid,
                program,
                rank.device,
                rank.gpu,
                rank.model,
                operations,
                kernels,
                collectives,
                first,
                last,
            )
        )
    return found


def _collectives(kernels: pl.DataFrame) -> list[CollectiveInfo]:
    rows = (
        kernels.filter(is_communication())
        .group_by("name", "kind", "library", "cls")
        .agg(kernels=pl.len(), ns=(pl.col("end") - pl.col("start")).sum())
        .sort(["kernels", "name"], descending=[True, False])
    )
    return [CollectiveInfo(*row) for row in rows.iter_rows()]


def _ranges(trace: Trace) -> list[RangeInfo]:
    engines = load_engines()
    found = []
    for name, count, threads in range_templates(trace).iter_rows():
        example = name.replace("#", "0")
        engine = next((e.name for e in engines if e.range.search(example)), None)
        found.append(RangeInfo(name, count, threads, engine))
    return sorted(found, key=lambda r: (r.engine is None, -r.count, r.template))


def _warnings(trace: Trace, processes: set[int]) -> list[tuple[str, str]]:
    """Warnings about processes with GPU work, and about the session; each text once a process.

    A launcher or helper without CUDA always draws "no CUDA events collected", which is no warning.
    """
    named = set(trace.process_names) | processes
    relevant = [
        m for m in trace.diagnostics if m.severity >= 2 and (m.process in processes or not _is_helper(m, named))
    ]
    unique = dict.fromkeys((_who(m, processes), m.text.strip()) for m in relevant)
    return list(unique)


def _is_helper(message: Diagnostic, named: set[int]) -> bool:
    about_collection = "collected" in message.text or "CUDA profiling" in message.text
    return message.process in named or about_collection


def _who(message: Diagnostic, processes: set[int]) -> str:
    return f"pid {pid_of(message.process)}" if message.process in processes and message.process else "session"
