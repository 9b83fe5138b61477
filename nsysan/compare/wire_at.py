"""What a call of communication takes at another number of ranks: its floor there (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan.compare.replay_told import Key
from nsysan.compare.sample import Sample, key_of
from nsysan.metrics.link import SAME_RATIO, SMALL_BYTES, Link
from nsysan.metrics.whatif import FLOOR_QUANTILE
from nsysan.model.gpu_links import MEASURED_BYTES, GpuLink, LinkKind, LinkTable, carried, load_links
from nsysan.text import duration, plain

#: Floors of two captures of one workload differ by so much.
MARGIN = 0.1
#: ns after the last arrival by the number of ranks.
Floors = Mapping[int, float]


@dataclass(frozen=True)
class FloorAt:
    """The floor of a call at a number of ranks: ns, the least and the most that it may be, and where it is from."""

    ns: float
    low: float
    high: float
    source: str


def floors_of(side: Sample) -> dict[Key, float]:
    """The floor of each kind and size of calls of a side, ns."""
    known = side.calls.drop_nulls(("kind", "wire"))
    rows = known.group_by("kind", "message_bytes").agg(
        pl.col("wire").quantile(FLOOR_QUANTILE, interpolation="higher").cast(pl.Float64)
    )
    return {key_of(str(kind), size, side.ranks): float(ns) for kind, size, ns in rows.sort("kind").iter_rows()}


def measured(sides: Sequence[Sample], key: Key) -> tuple[int | None, dict[int, float]]:
    """Bytes of a call as far as any side tells, and its floors by the ranks of the sides.

    Of a side that tells no size, or where none is known here, that of its only calls of this kind.
    """
    found: dict[int, float] = {}
    total = key[1]
    for side in sides:
        floors = floors_of(side)
        alike = [key] if key in floors else [one for one in floors if one[0] == key[0]]
        if side.ranks > 1 and len(alike) == 1 and (None in (alike[0][1], key[1]) or alike[0] == key):
            found[side.ranks] = floors[alike[0]]
            total = alike[0][1] if total is None else total
    return total, found


def floor_at(key: Key, floors: Floors, ranks: int, base: int, link: Link, *, nccl: bool) -> FloorAt:
    """The floor of a call at `ranks`. floors: as measured, of base among others. link, nccl: what carries it, and who.

    In this order: as measured there; a table's measurement for this link, by the ratio that the base bears to it; a
    line through what was measured, as the steps of a ring and the peers of a one-shot kernel grow by the rank; NCCL's
    model of a ring, by the same ratio; as at the base.
    """
    here = floors[base]
    if ranks == 1:
        return FloorAt(0.0, 0.0, 0.0, "one rank alone does not communicate")
    if ranks in floors:
        ns = floors[ranks]
        return FloorAt(ns, (1 - MARGIN) * ns, (1 + MARGIN) * ns, f"measured at TP={ranks}")
    told: list[tuple[float, str]] = []
    line = _line(floors, ranks)
    table = _by_table(key, here, ranks, base, link) if nccl else None
    if table is not None:
        ratio, measured_, source = table
        row = (here * ratio, f"{source}, by the {duration(here)} of TP={base}")
        told = [row, line] if measured_ and line else [line, row] if line else [row]
    elif line:
        told = [line]
    if not told:
        ratio = _ring_ratio(ranks, base)
        ends = sorted((here, here * ratio))
        why = f"as at TP={base}, up to what a ring takes longer: no table has this call, and one side shows it"
        return FloorAt(here, (1 - MARGIN) * ends[0], (1 + MARGIN) * ends[1], why)
    values = [ns for ns, _ in told]
    return FloorAt(told[0][0], (1 - MARGIN) * min(values), (1 + MARGIN) * max(values), told[0][1])


def _line(floors: Floors, ranks: int) -> tuple[float, str] | None:
    """A line over the ranks through the floors; not below the least of them where that is of fewer ranks."""
    if len(floors) < 2:
        return None
    x, y = np.array(sorted(floors), dtype=np.float64), np.array([floors[n] for n in sorted(floors)])
    slope = max(0.0, float(np.polyfit(x, y, 1)[0]))
    ns = float(y.mean() + slope * (ranks - x.mean()))
    listed = ", ".join(f"{duration(floors[n])} at TP={n}" for n in sorted(floors))
    return max(ns, 0.5 * float(y.min())), f"a line through {listed}"


def _by_table(key: Key, here: float, ranks: int, base: int, link: Link) -> tuple[float, bool, str] | None:
    """The floor over that at the base, by the table of links; whether both are measured there; and what tells it."""
    kind, total = key
    table = load_links()
    row = next((row for row in table.gpus if row.name == link.model), None)
    over = link.looks_like or link.kind
    if row is None or over is None:
        return None
    gbps = _gbps(row, over, link)
    if kind == "all_reduce" and total is None:
        # One that takes no longer than a small one is of a size at which latency counts.
        small = table.small_latency(over, row.generation, base, MEASURED_BYTES, gbps)
        total = MEASURED_BYTES if here <= SAME_RATIO * small.ns else None
    if total is None:
        return None
    if kind == "all_reduce" and total <= SMALL_BYTES[1]:
        at, there = (table.small_latency(over, row.generation, n, total, gbps) for n in (ranks, base))
        if at.measured == there.measured:
            return at.ns / there.ns, at.measured, f"the table of links ({plain(at.source, 80)})"
    return _by_model(table, kind, total, (ranks, base), over, gbps)


def _by_model(
    table: LinkTable, kind: str, total: int, at: tuple[int, int], over: LinkKind, gbps: float
) -> tuple[float, bool, str] | None:
    times = [table.ring(kind, over, n, total, gbps) for n in at]
    if times[0] is None or not times[1]:
        return None
    return times[0] / times[1], False, f"NCCL's model of a ring ({plain(table.nccl.source, 80)})"


def _gbps(row: GpuLink, over: LinkKind, link: Link) -> float:
    return link.peak_gbps if over == link.kind and link.peak_gbps else carried(row, over)


def _ring_ratio(ranks: int, base: int) -> float:
    nccl = load_links().nccl
    start, step = nccl.base_us["LL"], nccl.step_us[LinkKind.NVLINK]["LL"]
    return (start + 2 * (ranks - 1) * step) / (start + 2 * (base - 1) * step)
