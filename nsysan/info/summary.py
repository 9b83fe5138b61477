"""What is in an export, for a terminal."""

from __future__ import annotations

from nsysan.info.info import Info, MetricsInfo
from nsysan.model.health import NODE_FLAG
from nsysan.text import percent, plain, table, us
from nsysan.trace.graph_mode import GraphMode

_MAX_RANGES = 12
_GRAPHS = {
    GraphMode.NODE: "traced by node ({} replays): kernels inside are visible",
    GraphMode.GRAPH: f"traced as blocks ({{}} replays): contents hidden; capture with {NODE_FLAG}",
    GraphMode.NONE: "no replay in the trace",
}


def to_info_text(info: Info) -> str:
    """The info for a terminal."""
    version = f"nsys {info.nsys_version or 'of unknown version'}, schema {info.schema_version or 'unknown'}"
    graphs = _GRAPHS[info.graph_trace].format(info.graph_replays)
    head = [plain(info.name), f"  {plain(version)}", f"  CUDA graphs: {graphs}"]
    sections = [
        head,
        _rank_lines(info),
        _collective_lines(info),
        _range_lines(info),
        _metric_lines(info.gpu_metrics),
        ["captured with", *(f"  {plain(name)} = {plain(value)}" for name, value in info.capture)]
        if info.capture
        else [],
        ["warnings of the profiler", *(f"  {who}: {plain(text, 200)}" for who, text in info.warnings)]
        if info.warnings
        else ["no warnings of the profiler about processes with GPU work"],
        ["tables", *_indent(table(["name", "rows"], [[plain(n), f"{rows:,}"] for n, rows in info.tables]))],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _rank_lines(info: Info) -> list[str]:
    if not info.ranks:
        return ["no GPU work in this trace"]
    rows = [
        [
            str(r.rank),
            str(r.pid),
            plain(r.program, 24),
            str(r.device),
            plain(r.gpu_model or "unknown", 32),
            f"{r.kernels:,}",
            f"{r.collectives:,}",
            f"{r.first_ns / 1e9:.3f} s",
            f"{r.last_ns / 1e9:.3f} s",
        ]
        for r in info.ranks
    ]
    header = ["rank", "pid", "program", "device", "GPU", "kernels", "collectives", "first", "last"]
    sizes = ", ".join(f"{size} ranks" for _, size in info.communicators)
    found = f"NCCL communicators initialised in the trace: {len(info.communicators)} ({sizes})" if sizes else ""
    lines = [f"ranks, numbered by {info.ranks[0].rank_source}", *_indent(table(header, rows))]
    return [*lines, f"  {found}"] if found else lines


def _collective_lines(info: Info) -> list[str]:
    if not info.collectives and not info.lookalikes:
        return ["no communication kernel of the catalogue"]
    rows = [
        [plain(c.name, 64), c.kind or c.op_class, plain(c.library or "", 32), f"{c.kernels:,}", us(c.resident_ns)]
        for c in info.collectives
    ]
    lines = ["communication kernels (resident time is waiting and transfer together)"]
    lines += _indent(table(["name", "kind", "library", "kernels", "resident µs"], rows))
    lines += [
        f"  not in the catalogue: {plain(k.name, 64)}, {k.calls} kernels, {percent(k.share, 1)} of kernel time"
        for k in info.lookalikes
    ]
    return lines


def _range_lines(info: Info) -> list[str]:
    if not info.ranges:
        how = ": steps will be found by graph replays or by the period of the kernels" if info.ranks else ""
        return [f"no NVTX range outside NCCL{how}"]
    rows = [[plain(r.template, 64), f"{r.count:,}", str(r.threads), r.engine or ""] for r in info.ranges[:_MAX_RANGES]]
    lines = ["NVTX ranges (# stands for a number)", *_indent(table(["name", "ranges", "threads", "known as"], rows))]
    if len(info.ranges) > _MAX_RANGES:
        lines.append(f"  and {len(info.ranges) - _MAX_RANGES} more names")
    if info.open_ranges:
        lines.append(f"  {info.open_ranges} ranges never end within the capture")
    return lines


def _metric_lines(metrics: MetricsInfo | None) -> list[str]:
    if metrics is None:
        return []
    rate = "an unknown rate" if metrics.rate_hz is None else f"{metrics.rate_hz:,} Hz"
    gpus = ", ".join(map(str, metrics.gpus))
    read = ", ".join(metrics.counters) or "none"
    return [f"GPU metrics of GPU {gpus} at {rate}: {len(metrics.names)} metrics, of which the report reads {read}"]
