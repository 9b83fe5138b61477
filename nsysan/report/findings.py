"""What to change: ranked findings, each with its evidence, the thresholds that drew it, the saving and the fix."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from statistics import median

import polars as pl

from nsysan.metrics import gaps
from nsysan.metrics.gaps import BETWEEN_STEPS, HOST_LATE, SYNC
from nsysan.metrics.whatif import WhatIf, floors
from nsysan.metrics.wire import THRESHOLDS as LINK_THRESHOLDS
from nsysan.metrics.wire import Link
from nsysan.model import classes
from nsysan.model.expectation import ALL_REDUCE, EMBEDDING, Compared
from nsysan.model.links import HOST_MEMORY, NETWORK, NVLINK, PCIE
from nsysan.model.matching import MATCHED
from nsysan.model.run import Run
from nsysan.report.diagnosis import Diagnosis
from nsysan.report.quality import EAGER_SHARE, is_eager
from nsysan.report.text import counted, ms, size, us

HIGH, MEDIUM, LOW = "high", "medium", "low"
SEVERITIES = (HIGH, MEDIUM, LOW)

#: A loss of this share of the period is worth dropping other work for ...
HIGH_SHARE = 0.20
#: ... of this share a change of configuration; less is a note. Steps vary by 1 to 2 % in a quiet run.
MEDIUM_SHARE = 0.05
#: Idle time below this share of the period is what launching and ending a graph replay takes.
IDLE_SHARE = 0.05
#: Exposed wire below this share of the period would not pay for restructuring the layers.
EXPOSED_SHARE = 0.10
#: Less of the communication than this beside compute is chance, at the edges of kernels.
OVERLAP_SHARE = 0.05
#: Wire within this multiple of its floor is latency: more bytes would cost little, fewer ranks would save.
LATENCY_RATIO = 1.5
#: Above this size the transfer itself takes as long as the latency on NVLink (64 KiB at 10 GB/s are 7 us).
LATENCY_BYTES = 65_536
#: Wire above this share of the period: a replica of half the ranks is worth trying.
WIDE_SHARE = 0.20
#: GPUs of one model differ by 1 to 2 % in speed; an uneven split of heads gives more.
UNEVEN_RATIO = 1.03
#: The split is the same in every step; clocks and neighbours are not.
UNEVEN_SPREAD = 0.02
#: Above this share of steps with prefill or other work the medians describe a part of the run only.
MIXED_SHARE = 0.10
#: Unknown kernels with less of the kernel time than this cannot change the verdict.
UNKNOWN_SHARE = 0.01


@dataclass(frozen=True)
class Finding:
    """One thing to change. saving: ns a step, from the what-if; None where it cannot be told.

    figures: what was measured, by name; thresholds: the constants of this module it was held against.
    """

    id: str
    severity: str
    title: str
    evidence: str
    fix: str
    saving: int | None = None
    ranks: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    figures: dict[str, float | int | str | None] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What findings are drawn from; period and idle (by rank and cause) in ns, medians over the steady steps."""

    run: Run
    diagnosis: Diagnosis
    compared: Compared | None
    link: Link | None
    period: int
    idle: dict[tuple[int, str], int]

    @property
    def what(self) -> WhatIf | None:
        return self.diagnosis.what_if

    @property
    def steady(self) -> pl.DataFrame:
        return self.run.ledger.filter(pl.col("steady"))

    def saving(self, without: int | None) -> int | None:
        """What a period without a loss saves, None where it cannot be told or is nothing."""
        return None if without is None or without >= self.period else self.period - without

    def line(self, name: str) -> int:
        """Median of a ledger line over the steps of each rank, then over the ranks."""
        per_rank = self.steady.group_by("rank").agg(pl.median(f"{name}_ns"))[f"{name}_ns"].median()
        return round(per_rank) if isinstance(per_rank, int | float) else 0

    def worst_idle(self, *causes: str) -> tuple[int, int]:
        """The rank with most idle time of these causes, and how much."""
        ranks = [rank.rank for rank in self.run.ranks]
        totals = {rank: sum(self.idle.get((rank, cause), 0) for cause in causes) for rank in ranks}
        worst = max(totals, key=lambda rank: totals[rank])
        return worst, totals[worst]


def find(run: Run, diagnosis: Diagnosis, compared: Compared | None, link: Link | None = None) -> list[Finding]:
    """All findings of a run, most severe first, then by what they save."""
    what = diagnosis.what_if
    rows = diagnosis.gaps.select("rank", "cause", "ns").iter_rows()
    case = Case(run, diagnosis, compared, link, what.period if what else 0, {(r, c): ns for r, c, ns in rows})
    found = [*_of_the_capture(case), *_differing_from_model(case), *wrong_wire(link)]
    if case.period:
        found += [*_host(case), *_graphs(case), *_late_rank(case), *_uneven(case), *_wire(case)]
    return sorted(found, key=lambda f: (SEVERITIES.index(f.severity), -(f.saving or 0), f.id))


def by_share(ns: int, period: int) -> str:
    """Severity of a loss by its share of the period."""
    share = ns / period
    return HIGH if share >= HIGH_SHARE else MEDIUM if share >= MEDIUM_SHARE else LOW


def _severity_limits() -> dict[str, float]:
    return {"high_share": HIGH_SHARE, "medium_share": MEDIUM_SHARE}


# ---- the host and its launches


def _host(case: Case) -> Iterator[Finding]:
    rank, late = case.worst_idle(gaps.HOST_LATE)
    eager = is_eager(case.run)
    if late < IDLE_SHARE * case.period:
        return
    what = case.what
    saving = case.saving(what.no_host_late if what else None)
    figures: dict[str, float | int | str | None] = {"host_late_ns": late, "share": late / case.period}
    limits = {"idle_share": IDLE_SHARE, "eager_share": EAGER_SHARE, **_severity_limits()}
    told = f"rank {rank} is idle for {us(late)} us of a step of {ms(case.period)} because launch calls came late"
    if eager:
        yield Finding(
            "graphs_off",
            by_share(saving or late, case.period),
            "kernels are launched one by one, and the GPU waits for the host",
            f"{told}; no CUDA graph replays the steady steps (the profiler inflates launch time, so the saving is an "
            f"upper bound)",
            "replay decode steps as CUDA graphs: vLLM without --enforce-eager, SGLang without --disable-cuda-graph, "
            "TensorRT-LLM with cuda_graph_config; otherwise fuse kernels (torch.compile)",
            saving,
            [rank],
            figures=figures,
            thresholds=limits,
        )
    elif _late_by_host(case) is None:
        yield Finding(
            "late_host",
            by_share(saving or late, case.period),
            "the host launches too late",
            told,
            _HOST_FIX,
            saving,
            [rank],
            figures=figures,
            thresholds=limits,
        )


_HOST_FIX = (
    "keep the host ahead: overlap scheduling with the GPU (vLLM --async-scheduling, SGLang's overlap scheduler), pin "
    "each rank to cores of its GPU's NUMA node, and take logging, tokenizing and garbage collection off that thread"
)


def _graphs(case: Case) -> Iterator[Finding]:
    replays = _replays_a_step(case.run)
    rank, between = case.worst_idle(gaps.HOST_LATE, gaps.LAUNCH, gaps.SYNC, gaps.DEPENDENCY, gaps.UNKNOWN)
    if replays > 1 and between >= IDLE_SHARE * case.period:
        what = case.what
        yield Finding(
            "piecewise_graphs",
            by_share(between, case.period),
            "the step is cut into several graph replays with idle time between them",
            f"{replays} replays a step; outside of them rank {rank} is idle for {us(between)} us of {ms(case.period)}",
            "capture the whole decode step as one graph: vLLM cudagraph_mode FULL_DECODE_ONLY or FULL_AND_PIECEWISE, "
            "or an attention backend that allows it",
            case.saving(what.no_host_late if what else None),
            [rank],
            figures={"replays": replays, "idle_ns": between, "share": between / case.period},
            thresholds={"idle_share": IDLE_SHARE, **_severity_limits()},
        )
    inside = round(median(case.idle.get((rank.rank, gaps.GRAPH), 0) for rank in case.run.ranks))
    if inside >= IDLE_SHARE * case.period:
        kernels = _kernels_a_step(case.run)
        yield Finding(
            "graph_gaps",
            # Gaps between nodes are the hardware's: they shrink with fewer kernels and do not go.
            MEDIUM if inside >= 2 * IDLE_SHARE * case.period else LOW,
            "many small kernels: the GPU idles between the nodes of the graph",
            f"{us(inside)} us of {ms(case.period)} ({inside / case.period:.0%}, median over the ranks) are idle "
            f"between the {kernels} kernels of a step, {us(inside / max(kernels, 1), 2)} us a kernel",
            "fewer kernels (fuse norm, rotary embedding, activation and quantisation; torch.compile) or programmatic "
            "dependent launch, which prepares the next kernel while one ends",
            None,
            figures={"graph_idle_ns": inside, "share": inside / case.period, "kernels": kernels},
            thresholds={"idle_share": IDLE_SHARE, "medium_share": 2 * IDLE_SHARE},
        )


def _replays_a_step(run: Run) -> int:
    """Graph replays a step on the rank that has most, median over its steady steps."""
    replayed = run.work.filter(
        pl.col("step").is_in(run.steady_steps) & ((pl.col("type") == "graph") | pl.col("graph_node").is_not_null())
    )
    per_step = replayed.group_by("rank", "step").agg(n=pl.n_unique("correlation"))
    most = per_step.group_by("rank").agg(pl.median("n"))["n"].max()
    return round(most) if isinstance(most, int | float) else 0


def _kernels_a_step(run: Run) -> int:
    kernels = run.kernels.filter(pl.col("step").is_in(run.steady_steps))
    per_step = kernels.group_by("rank", "step").len()["len"].median()
    return round(per_step) if isinstance(per_step, int | float) else 0


# ---- ranks that differ


def _late_by_host(case: Case) -> int | None:
    late = case.diagnosis.straggler
    return late.rank if late is not None and late.cause == "host" else None


def _late_rank(case: Case) -> Iterator[Finding]:
    late, what = case.diagnosis.straggler, case.what
    if late is None:
        return
    saving = case.saving(what.no_skew if what else None)
    parts = ", ".join(f"{name} {ns / 1e3:+,.0f} us" for name, ns in late.parts.items() if abs(ns) >= 1_000)
    figures: dict[str, float | int | str | None] = {"caused_ns": late.caused, "share": late.share, "cause": late.cause}
    idles = next(iter(late.idle), "") if late.cause == "host" else ""
    by_host = late.cause == "host" and idles in ("", HOST_LATE, SYNC, BETWEEN_STEPS)
    why = _CAUSE[late.cause] if by_host or not idles else f"it idles longer ({idles.replace('_', ' ')})"
    yield Finding(
        "late_host" if by_host else "straggler",
        by_share(saving or late.caused, case.period),
        f"rank {late.rank} arrives last: {why}",
        f"it costs the others {ms(late.caused)} a step of {ms(case.period)} ({late.share:.0%}); against the median "
        f"rank {parts or 'no part stands out'}",
        _HOST_FIX if by_host else _STRAGGLER_FIX[late.cause],
        saving,
        [late.rank],
        figures=figures,
        thresholds=_severity_limits(),
    )


_CAUSE = {
    "compute": "it computes longer",
    "host": "its host launches late",
    "copy": "it copies longer",
    "previous": "it leaves the collective before late",
    "communication": "other communication holds it up",
    "graph": "its graph replays take longer",
}
_COMPUTE_FIX = (
    "compare that GPU with its peers: clocks and throttling (nvidia-smi -q -d CLOCK,PERFORMANCE,POWER), other "
    "processes on it, and kernels that only this rank runs (sampling, logits, experts, a LoRA); spread or move them"
)
_LINK_FIX = "look at that GPU's links (nvidia-smi nvlink -s and -e, nvidia-smi topo -m) and at what else uses them"
_STRAGGLER_FIX = {
    "compute": _COMPUTE_FIX,
    "graph": _COMPUTE_FIX,
    "copy": "take the copies off the step: pinned memory, a stream of their own, or once for several steps",
    "previous": _LINK_FIX,
    "communication": _LINK_FIX,
    "host": "look at what that rank waits for between its kernels: its clocks, other work on its streams, its graph",
}


def _uneven(case: Case) -> Iterator[Finding]:
    """Ranks that run the same kernels and need longer by the same ratio in every step."""
    steady = case.steady.drop_nulls("compute_ns")
    counts = (
        case.run.kernels.filter(pl.col("step").is_in(case.run.steady_steps) & (pl.col("cls") == classes.COMPUTE))
        .group_by("step", "rank")
        .len()
    )
    same = counts.group_by("step").agg(pl.n_unique("len"))["len"]
    if steady["rank"].n_unique() < 2 or steady["step"].n_unique() < 2 or same.is_empty() or (same != 1).any():
        return
    ratios = steady.with_columns(ratio=pl.col("compute_ns") / pl.min("compute_ns").over("step"))
    per_rank = ratios.group_by("rank").agg(
        least=pl.min("ratio"), most=pl.max("ratio"), ratio=pl.median("ratio"), ns=pl.median("compute_ns")
    )
    heavy = per_rank.filter(
        (pl.col("least") >= UNEVEN_RATIO) & (pl.col("most") - pl.col("least") <= UNEVEN_SPREAD * pl.col("ratio"))
    ).sort("rank")
    if heavy.is_empty():
        return
    ratio, ranks = float(heavy["ratio"].max()), heavy["rank"].to_list()  # type: ignore[arg-type]
    lost = round(float(heavy["ns"].max()) - float(per_rank["ns"].median()))  # type: ignore[arg-type]
    what = case.what
    yield Finding(
        "uneven_split",
        by_share(lost, case.period),
        f"compute is uneven: {'rank' if len(ranks) == 1 else 'ranks'} {', '.join(map(str, ranks))} need "
        f"{ratio - 1:.1%} more for the same kernels in every step",
        f"all ranks run equally many compute kernels, and the ratio to the fastest rank stays within "
        f"{UNEVEN_SPREAD:.0%} over {counted(steady['step'].n_unique(), 'step')}",
        "choose a TP size that divides attention heads, KV heads and MLP columns, or pad them; if all kernels of the "
        "rank are slower alike, it is that GPU's clock",
        case.saving(what.no_skew if what else None),
        ranks,
        figures={"ratio": ratio, "more_ns": lost},
        thresholds={"ratio": UNEVEN_RATIO, "spread": UNEVEN_SPREAD, **_severity_limits()},
    )


# ---- the wire


def _wire(case: Case) -> Iterator[Finding]:
    if case.steady["wire_ns"].null_count() == len(case.steady):
        return
    wire, comm, overlap = case.line("wire"), case.line("comm"), case.line("overlap")
    if wire >= EXPOSED_SHARE * case.period and overlap < OVERLAP_SHARE * max(comm, 1):
        yield Finding(
            "no_overlap",
            MEDIUM if wire >= HIGH_SHARE * case.period else LOW,
            "no communication runs beside compute",
            f"{us(wire)} us of transfer a step ({wire / case.period:.0%}) are exposed, {us(overlap)} us overlap; "
            f"hiding all of it would save that much at most",
            "fuse all-reduce with the norm after it, or GEMM with communication (vLLM's compilation passes, "
            "FlashInfer, TensorRT-LLM), or run two half batches alternately where the batch is large enough",
            None,
            figures={"exposed_ns": wire, "overlap_ns": overlap, "share": wire / case.period},
            thresholds={"exposed_share": EXPOSED_SHARE, "overlap_share": OVERLAP_SHARE},
        )
    calls = case.run.collectives.filter(
        (pl.col("verdict") == MATCHED)
        & pl.col("step").is_in(case.run.steady_steps)
        & (pl.col("kind") == ALL_REDUCE)
        & pl.col("message_bytes").is_not_null()
    )
    yield from _not_custom(case, calls)
    yield from _too_wide(case, calls, wire)


def _not_custom(case: Case, calls: pl.DataFrame) -> Iterator[Finding]:
    """NCCL's own kernels for all-reduces that an engine would give to a custom kernel."""
    if calls.is_empty():
        return
    members = case.run.size if case.run.missing_ranks and case.run.size else int(calls["members"].max())  # type: ignore[arg-type]
    limit = custom_all_reduce_limit({rank.model or "" for rank in case.run.ranks}, members)
    plain = calls.filter((pl.col("library") == "NCCL") & ~pl.col("name").str.contains("^ncclSym"))
    small = plain.filter(pl.col("message_bytes") <= (limit or 0))
    # Custom kernels reach into their peers' memory: not over a host or a network, and over PCIe for two GPUs only.
    reachable = case.link is None or case.link.looks_like in (None, NVLINK)
    if limit is None or small.is_empty() or not reachable:
        return
    per_step = small.group_by("rank", "step").agg(pl.sum("wire"))["wire"].median()
    wire = round(per_step) if isinstance(per_step, int | float) else 0
    p50 = small["wire"].quantile(0.5, "higher")
    largest = int(small["message_bytes"].max())  # type: ignore[arg-type]
    yield Finding(
        "nccl_for_small",
        # What runs beside compute costs nothing.
        MEDIUM if min(wire, case.line("wire")) >= MEDIUM_SHARE * case.period else LOW,
        "all-reduces use NCCL's kernels where engines use a custom one",
        f"all-reduces of up to {size(largest)} over {members} ranks take {us(float(p50 or 0))} us each "
        f"(p50) and {us(wire)} us a step in NCCL kernels; engines use a custom kernel up to {size(limit)}",
        "let the engine use its custom all-reduce (vLLM without --disable-custom-all-reduce, SGLang likewise), "
        "FlashInfer's or symmetric memory; it is refused without peer access between all GPUs, inside containers "
        "without shared IPC, and for sizes that are not multiples of 16 bytes",
        None,
        figures={"largest_bytes": largest, "limit_bytes": limit, "wire_ns": wire, "wire_p50_ns": p50},
        thresholds={"limit_bytes": limit, "medium_share": MEDIUM_SHARE},
    )


@cache
def _limits() -> list[tuple[re.Pattern[str], dict[int, int]]]:
    document = tomllib.loads(files("nsysan.data").joinpath("allreduce_limits.toml").read_text("utf-8"))
    return [(re.compile(row["gpus"]), {int(n): size for n, size in row["ranks"].items()}) for row in document["limit"]]


def custom_all_reduce_limit(models: set[str], ranks: int) -> int | None:
    """Largest message for which engines prefer a custom all-reduce on these GPUs; None where no table says."""
    limits = [of.get(ranks) for model in models for pattern, of in _limits() if pattern.search(model)]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known and len(known) == len(models) else None


def _too_wide(case: Case, calls: pl.DataFrame, wire: int) -> Iterator[Finding]:
    """All-reduces at their latency that take much of the step."""
    if calls.is_empty() or wire < WIDE_SHARE * case.period:
        return
    key = ["name", "message_bytes", "members"]
    usual = calls.group_by(key).len().sort("len", "message_bytes", descending=[True, False]).head(1)
    floor = floors(calls.join(usual, on=key, how="semi"), case.run.steady_steps)["floor"][0]
    p50 = calls.join(usual, on=key, how="semi")["wire"].quantile(0.5, "higher") or 0
    message, members = int(usual["message_bytes"][0]), int(usual["members"][0])
    if message > LATENCY_BYTES or p50 > LATENCY_RATIO * floor or members < 2:
        return
    yield Finding(
        "tp_too_wide",
        by_share(wire, case.period),
        f"TP={members} is wide for messages of {size(message)}: the wire is latency, and much of the step",
        f"the wire takes {wire / case.period:.0%} of the step; an all-reduce takes {us(p50)} us (p50), its floor is "
        f"{us(floor)} us, and neither would shrink with a faster link",
        f"replicas of TP={max(members // 2, 1)} (compare one: nsysan capture, then the two reports), larger batches, "
        f"or a kernel with less latency (custom or fused all-reduce)",
        None,
        figures={"wire_ns": wire, "wire_p50_ns": p50, "floor_ns": floor, "bytes": message, "ranks": members},
        thresholds={"ratio": LATENCY_RATIO, "max_bytes": LATENCY_BYTES, "share": WIDE_SHARE},
    )


def wrong_wire(link: Link | None) -> Iterator[Finding]:
    """The link is not the one that the GPUs have; nothing where no link was assessed."""
    if link is None or not link.wrong:
        return
    yield Finding(
        "wrong_wire",
        HIGH,
        f"collectives run over {_WIRE[link.looks_like or '']}, not over {_WIRE[link.kind or '']}",
        link.sentence,
        "check the path between the GPUs (nvidia-smi topo -m, nvidia-smi nvlink --status; NCCL_DEBUG=INFO says what "
        "NCCL chose), NCCL_P2P_DISABLE and NCCL_P2P_LEVEL, IOMMU and ACS, and whether the container shares /dev/shm "
        "and the devices of its peers",
        figures={"looks_like": link.looks_like, "expected": link.kind},
        thresholds={name: value for name, value in LINK_THRESHOLDS.items() if isinstance(value, int | float)},
    )


_WIRE = {NVLINK: "NVLink", PCIE: "PCIe", HOST_MEMORY: "host memory", NETWORK: "a network", "": "another link"}


# ---- the model, and the capture itself


def _differing_from_model(case: Case) -> Iterator[Finding]:
    compared = case.compared
    if compared is None:
        return
    if compared.calls_differ:
        yield Finding(
            "count_differs",
            MEDIUM,
            f"{compared.calls} all-reduces a step, {compared.expected.calls} expected",
            f"{compared.expected.source} means {compared.expected.calls} a step, or {EMBEDDING} more with a split "
            f"embedding; the steady steps have {compared.calls}",
            "check that a step is one token (--steps), that all communication is in the catalogue "
            "(unknown_collectives), and whether the model has shared experts, draft steps or a fused all-reduce",
            figures={"expected": compared.expected.calls, "measured": compared.calls},
            thresholds={"more_allowed": EMBEDDING},
        )
    if compared.bytes_differ:
        told = ", ".join(f"{size(s)} ({counted(n, 'call')})" for s, n in sorted(compared.sizes.items())[:5])
        yield Finding(
            "bytes_differ",
            MEDIUM,
            f"all-reduces of {size(compared.usual_size)}, {size(compared.expected.message_bytes)} expected",
            f"{compared.expected.source} means {compared.expected.message_bytes} bytes; the trace has {told}",
            "check the batch (sequences decoding at once, padded to a captured graph's size), hidden size, data type",
            figures={"expected": compared.expected.message_bytes, "measured": compared.usual_size},
        )


def _of_the_capture(case: Case) -> Iterator[Finding]:
    run = case.run
    if run.graph_mode == "graph":
        yield Finding(
            "graph_level_trace",
            HIGH,
            "CUDA graphs were traced as blocks: what happens inside is not visible",
            f"{sum(trace.graph_replays.height for trace in run.traces)} replays, each one row",
            "capture again with --cuda-graph-trace=node (nsysan capture does)",
        )
    if run.missing_ranks:
        alone = len(run.ranks) == 1
        yield Finding(
            "missing_ranks",
            HIGH if alone else MEDIUM,
            f"{counted(len(run.missing_ranks), 'rank')} of {run.size} not in the trace",
            f"missing: {', '.join(map(str, run.missing_ranks))}; "
            + ("waiting cannot be told from transfer" if alone else "waiting for them reads as wire"),
            "name all ranks' reports together, or capture all ranks in one session (nsysan capture -- LAUNCHER ...)",
            ranks=run.missing_ranks,
        )
    lost = {text.rstrip(".") for text in run.lost_events}
    if lost:
        yield Finding(
            "lost_events",
            LOW,
            "the profiler says that events may be missing",
            "; ".join(sorted(lost)),
            "capture a shorter window; let the workload end by itself, so that buffers are flushed",
        )
    unknown = run.kernels.filter(pl.col("lookalike"))
    if not unknown.is_empty():
        length = pl.col("end") - pl.col("start")
        share = unknown.select(length.sum()).item() / max(run.kernels.select(length.sum()).item(), 1)
        names = unknown["name"].unique().sort().to_list()
        yield Finding(
            "unknown_collectives",
            MEDIUM if share >= UNKNOWN_SHARE else LOW,
            "kernels that look like collectives are not in the catalogue",
            f"{counted(len(unknown), 'call')}, {share:.1%} of kernel time, counted as compute: {', '.join(names[:5])}",
            "add them to nsysan/data/kernels.toml",
            figures={"share": share, "calls": len(unknown)},
            thresholds={"medium_share": UNKNOWN_SHARE},
        )
    yield from _mixed(run)


def _mixed(run: Run) -> Iterator[Finding]:
    excluded = run.windows.filter(pl.col("excluded").is_not_null()).unique("step").sort("step")
    other = excluded.filter(pl.col("excluded").str.contains("^(?:prefill|different work)"))
    total = run.windows["step"].n_unique()
    if other.is_empty() or len(other) <= MIXED_SHARE * total:
        return
    prefill = int((other["excluded"] == "prefill").sum())
    yield Finding(
        "prefill_mixed_in",
        MEDIUM,
        f"{len(other)} of {total} steps do other work than decoding",
        f"{prefill} are prefill, {len(other) - prefill} have other kernels than the usual step; they are left out of "
        f"the medians, but tokens wait for them",
        "smaller prefill chunks (--max-num-batched-tokens, --chunked-prefill-size), prefill on other GPUs, or a "
        "capture of decoding alone; if these are decode steps of other batch sizes, analyse them apart (--steps)",
        steps=other["step"].to_list(),
        figures={"share": len(other) / total},
        thresholds={"share": MIXED_SHARE},
    )
