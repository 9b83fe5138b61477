"""The wire: the wrong one, nothing beside it, the wrong kernel, and too many ranks for the messages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files

import polars as pl

from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.custom_speeds import custom_speed
from nsysan.diagnosis.findings.finding import HIGH_SHARE, MEDIUM_SHARE, Finding, by_share
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs, Severity
from nsysan.metrics.link import THRESHOLDS as LINK_THRESHOLDS
from nsysan.metrics.link import Link
from nsysan.metrics.whatif import call_wires, least, middle
from nsysan.model.gpu_links import LinkKind
from nsysan.replay.other_wire import period_with_wire
from nsysan.run.node_numbers import nodes_of
from nsysan.text import counted, pct, size, us

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


class CommunicationFinding(FindingId):
    """What the wire may cost."""

    WRONG_WIRE = "wrong_wire"
    P2P_DISABLED = "p2p_disabled"
    NO_OVERLAP = "no_overlap"
    NCCL_FOR_SMALL = "nccl_for_small"
    TP_TOO_WIDE = "tp_too_wide"


def slow_wire(case: Case) -> Iterator[Finding]:
    """What the exposed transfer could do without; nothing where it is not told from waiting."""
    if case.steady["wire_ns"].null_count() == len(case.steady):
        return
    comm, overlap = case.line("comm"), case.line("overlap")
    # What no chain of the step goes through costs it nothing.
    wire = case.on_the_path(case.line("wire"), "wire")
    # Kernels that reach into their peers' memory, and a better link, end at the machine.
    inside = [group.id for group in case.run.groups if (nodes_of(group.ranks, case.run.host_of) or 1) == 1]
    calls = case.all_reduces.filter(pl.col("message_bytes").is_not_null() & pl.col("group").is_in(inside))
    own = list(_not_custom(case, calls))
    if wire >= EXPOSED_SHARE * case.period and overlap < OVERLAP_SHARE * max(comm, 1):
        yield Finding(
            CommunicationFinding.NO_OVERLAP,
            Severity.MEDIUM if wire >= HIGH_SHARE * case.period else Severity.LOW,
            "no communication runs beside compute",
            f"{us(wire)} µs of transfer a step ({pct(wire / case.period)}) are exposed, {us(overlap)} µs overlap",
            "fuse each all-reduce with the norm after it (vLLM's compilation passes, FlashInfer, TensorRT-LLM)",
            wire,
            figures={"exposed_ns": wire, "overlap_ns": overlap, "share": wire / case.period},
            thresholds={"exposed_share": EXPOSED_SHARE, "overlap_share": OVERLAP_SHARE},
            saving_is=SavingIs.PART_OF,
            also="fuse products with communication, or run two half batches alternately where the batch is large",
            basis="the same wire as of NCCL's small all-reduces: not to be added" if own else "",
        )
    yield from own
    yield from _too_wide(case, calls, wire)


def _not_custom(case: Case, calls: pl.DataFrame) -> Iterator[Finding]:
    """NCCL's own kernels for all-reduces that an engine would give to a custom kernel."""
    if calls.is_empty():
        return
    members = int(calls["members"].max())  # type: ignore[arg-type]
    models = {rank.model or "" for rank in case.run.ranks}
    limit = custom_all_reduce_limit(models, members)
    plain = calls.filter((pl.col("library") == "NCCL") & ~pl.col("name").str.contains("^ncclSym"))
    small = plain.filter(pl.col("message_bytes") <= (limit or 0))
    # Custom kernels reach into their peers' memory: not over a host or a network, and over PCIe for two GPUs only.
    reachable = case.link is None or case.link.looks_like in (None, LinkKind.NVLINK)
    if limit is None or small.is_empty() or not reachable:
        return
    largest = int(small["message_bytes"].max())  # type: ignore[arg-type]
    faster = custom_speed(case.fixes.name, models, members, largest)
    beyond = pl.col("wire") if faster is None else (pl.col("wire") - faster.ns).clip(lower_bound=0)
    summed = small.group_by("rank", "step").agg(pl.sum("wire"), beyond=beyond.sum(), calls=pl.len()).median()
    wire, lost, often = (round(summed[name][0] or 0) for name in ("wire", "beyond", "calls"))
    p50 = middle(call_wires(small, case.run.steady_steps)["wire"])
    # What runs beside compute costs nothing, and less than nothing no kernel takes.
    exposed = case.on_the_path(min(wire, case.line("wire")), "wire")
    saving = min(lost, exposed)
    weight = min(lost, case.line("wire"))
    less = (
        "no kernel brings that to 0, and what an engine's own takes there was not measured"
        if faster is None
        else f"{faster.kernel} was measured to take {faster.wire_us:g} µs ({faster.source})"
    )
    yield Finding(
        CommunicationFinding.NCCL_FOR_SMALL,
        Severity.MEDIUM if weight >= MEDIUM_SHARE * case.period else Severity.LOW,
        "all-reduces use NCCL's kernels where engines use a custom one",
        f"all-reduces of up to {size(largest)} over {members} ranks take {us(p50)} µs each "
        f"(p50) and {us(wire)} µs a step in NCCL kernels; engines use a custom kernel up to {size(limit)}; {less}",
        case.fixes.all_reduce.format(size=size(largest)),
        saving or None,
        figures={
            "largest_bytes": largest,
            "limit_bytes": limit,
            "wire_ns": wire,
            "wire_p50_ns": p50,
            "custom_wire_ns": None if faster is None else faster.ns,
        },
        thresholds={"limit_bytes": limit, "medium_share": MEDIUM_SHARE},
        saving_is=SavingIs.PART_OF if faster is None else SavingIs.ESTIMATE,
        also="see why a custom one is refused: no peer access between all GPUs, containers without shared IPC, sizes "
        "that are not multiples of 16 bytes",
        basis=""
        if faster is None
        else f"of {often} calls of {us(wire / often)} µs, where that kernel takes {faster.wire_us:g} on such GPUs",
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
    """All-reduces at their latency that take much of the step; wire: of all communication, exposed."""
    if calls.is_empty():
        return
    # Experts and stages exchange over other groups, which a narrower replica has too.
    own = calls.group_by("rank", "step").agg(pl.sum("wire"))["wire"].median()
    wire = min(wire, round(own or 0))  # type: ignore[arg-type]
    if wire < WIDE_SHARE * case.period:
        return
    key = ["name", "message_bytes", "members"]
    usual = calls.group_by(key).len().sort("len", "message_bytes", descending=[True, False]).head(1)
    wires = call_wires(calls.join(usual, on=key, how="semi"), case.run.steady_steps)["wire"]
    floor, p50 = least(wires), middle(wires)
    message, members = int(usual["message_bytes"][0]), int(usual["members"][0])
    if message > LATENCY_BYTES or p50 > LATENCY_RATIO * floor or members < 2:
        return
    yield Finding(
        CommunicationFinding.TP_TOO_WIDE,
        by_share(wire, case.period),
        f"TP={members} is wide for messages of {size(message)}: the wire is latency, and much of the step",
        f"all-reduces take {pct(wire / case.period)} of the step; one takes {us(p50)} µs (p50), its floor is "
        f"{us(floor)} µs, and neither would shrink with a faster link",
        f"capture a replica of TP={max(members // 2, 1)} and hold it against this one (nsysan compare)",
        None,
        figures={"wire_ns": wire, "wire_p50_ns": p50, "floor_ns": floor, "bytes": message, "ranks": members},
        thresholds={"ratio": LATENCY_RATIO, "max_bytes": LATENCY_BYTES, "share": WIDE_SHARE},
        also="larger batches, or a kernel with less latency (custom or fused all-reduce)",
    )


def wrong_wire(link: Link | None, case: Case | None = None) -> Iterator[Finding]:
    """The link is not the one that the GPUs have; nothing where no link was assessed."""
    if link is None or link.kind is None or link.looks_like is None or not link.wrong:
        return
    detour = None if case is None else _detour(link, case)
    told = f"; {detour.sentence(link.kind)}" if detour else ""
    saving = _exposed(detour, link, case) if detour and case else None
    over = f"collectives run over {link.looks_like.words}, not over {link.kind.words}"
    told += _apart(link, case)
    # Reports that name no host, as redacted ones, may be of several machines.
    unplaced = case is not None and len(case.run.metadata) > 1 and None in case.run.host_of.values()
    if unplaced:
        over += ", or between machines: no report names its host"
        saving = None
    off = case.nccl.p2p_off if case is not None and case.nccl is not None and link.told else None
    yield Finding(
        CommunicationFinding.P2P_DISABLED if off else CommunicationFinding.WRONG_WIRE,
        Severity.MEDIUM if unplaced else Severity.HIGH,
        f"{off} turns peer-to-peer off: {over}" if off else over,
        f"{link.sentence}{told}",
        f"unset {off and off.partition('=')[0]}: NCCL's log says that the environment sets it"
        if off
        else "run with NCCL_DEBUG=INFO and see why NCCL does not choose that link (nvidia-smi topo -m and nvidia-smi "
        "nvlink --status show whether it is there)",
        saving,
        figures={"looks_like": link.looks_like, "expected": link.kind, **(asdict(detour) if detour else {})},
        thresholds={name: value for name, value in LINK_THRESHOLDS.items() if isinstance(value, int | float)},
        saving_is=SavingIs.ESTIMATE,
        also=""
        if off
        else "check NCCL_P2P_DISABLE and NCCL_P2P_LEVEL, IOMMU and ACS, and whether the container shares /dev/shm and "
        "the devices of its peers",
    )


def _apart(link: Link, case: Case | None) -> str:
    """That NCCL takes ranks of one machine for those of several, where its log says so."""
    nodes = case.nccl.set_up.nodes if case and case.nccl and case.nccl.set_up else None
    if not link.told or link.looks_like is not LinkKind.NETWORK or (nodes or 1) < 2:
        return ""
    return f"; NCCL takes the ranks to be on {nodes} machines, by NCCL_HOSTID or as their containers tell it"


@dataclass(frozen=True)
class _Detour:
    """Calls a step of the size that was held against the link, their wire p50 and what the link should take, ns."""

    calls: int
    wire_p50_ns: int
    expected_wire_ns: int

    @property
    def saving(self) -> int:
        return self.calls * (self.wire_p50_ns - self.expected_wire_ns)

    def sentence(self, link: LinkKind) -> str:
        each = f"{us(self.wire_p50_ns)} µs at p50 instead of {us(self.expected_wire_ns)} µs over"
        return f"estimated saving: {counted(self.calls, 'call')} a step, each {each} {link.words}"


def _detour(link: Link, case: Case) -> _Detour | None:
    """None where the link was not told by latency, or the calls would not be shorter over it."""
    if link.reference is None:
        return None
    calls = case.all_reduces.filter(
        (pl.col("message_bytes") == link.reference.bytes) & (pl.col("members") == link.reference.ranks)
    )
    per_step = calls.group_by("rank", "step").len()["len"].median()
    p50 = middle(call_wires(calls, case.run.steady_steps)["wire"])
    if not isinstance(per_step, int | float) or p50 <= link.reference.ns:
        return None
    return _Detour(round(per_step), p50, round(link.reference.ns))


def _exposed(detour: _Detour, link: Link, case: Case) -> int:
    """What of it is not behind compute or hosts: by replay, where that can be believed, else no more than is waited."""
    pace, least = case.diagnosis.pace, case.on_the_path(detour.saving, "wire")
    told = case.what is not None and bool(case.what.told) and not case.run.summed
    if link.reference is None or pace is None or not told:
        return least
    then = period_with_wire(case.run, link.reference.bytes, detour.expected_wire_ns / detour.wire_p50_ns)
    if then is None or not pace.replayed:
        return least
    return min(detour.saving, max(0, round((pace.replayed - then) * case.period / pace.replayed)))


FINDERS = (
    Finder(
        lambda case: wrong_wire(case.link, case),
        (CommunicationFinding.WRONG_WIRE, CommunicationFinding.P2P_DISABLED),
        of_steps=False,
        of_decode=False,
    ),
    Finder(
        slow_wire,
        (CommunicationFinding.NO_OVERLAP, CommunicationFinding.NCCL_FOR_SMALL, CommunicationFinding.TP_TOO_WIDE),
    ),
)
