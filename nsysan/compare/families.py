"""Collectives of several runs side by side: the same communication, whatever kernel does it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.compare.bandwidth_rows import Bandwidth, bandwidth
from nsysan.compare.compared_run import ComparedRun, Measured, over_ranks
from nsysan.text import counted, plain, size


@dataclass(frozen=True)
class FamilyOnSide:
    """One side's share of a family. sizes: bytes, None for unknown; kernels: names; calls: a step and rank.

    per_call, per_step: ns after the last arrival. speed: GB/s of a call.
    """

    sizes: list[int | None]
    ranks: list[int]
    kernels: list[str]
    calls: float
    per_call: Measured
    per_step: Measured
    speed: Bandwidth


@dataclass(frozen=True)
class Family:
    """Communication of one kind. parts: one a side, None where it has none. same: whether sizes are known to agree."""

    kind: str
    scope: str
    parts: list[FamilyOnSide | None]
    same: bool

    @property
    def title(self) -> str:
        """Kind, sizes, and what of all ranks takes part."""
        parts = [part for part in self.parts if part is not None]
        sizes = sorted({n for part in parts for n in part.sizes if n is not None})
        told = ", ".join(size(n) for n in sizes[:4]) + (" ..." if len(sizes) > 4 else "")
        if any(None in part.sizes for part in parts):
            told = f"{told} or unknown size" if told else "unknown size"
        within = f" within {self.scope}" if self.scope else ""
        return f"{plain(self.kind, 40)} of {told}{within}"


def match_families(sides: list[ComparedRun]) -> list[Family]:
    """By kind, share of the ranks, and size: a size that all have is a row, what is left of a kind is another.

    So a kernel that does not tell its size meets the calls of that kind whose size has no other counterpart.
    Kernel names do not count: a library that is exchanged does the same communication.
    """
    calls = [_scoped(side.calls) for side in sides]
    keys = sorted({key for frame in calls for key in frame.select("kind", "scope").unique().iter_rows()})
    families: list[Family] = []
    for kind, scope in keys:
        own = [frame.filter((pl.col("kind") == kind) & (pl.col("scope") == scope)) for frame in calls]
        sizes = [set(frame["message_bytes"].drop_nulls()) for frame in own if not frame.is_empty()]
        common = sorted(set.intersection(*sizes))
        for bytes_ in common:
            parts = [
                _part(side, kind, frame.filter(pl.col("message_bytes") == bytes_))
                for side, frame in zip(sides, own, strict=True)
            ]
            families.append(Family(kind, scope, parts, same=True))
        left = [frame.filter(~pl.col("message_bytes").is_in(common).fill_null(False)) for frame in own]
        if any(not frame.is_empty() for frame in left):
            parts = [_part(side, kind, frame) for side, frame in zip(sides, left, strict=True)]
            families.append(Family(kind, scope, parts, same=False))
    return families


def _scoped(calls: pl.DataFrame) -> pl.DataFrame:
    """With scope: empty for calls of the widest group, else the number of their ranks."""
    widest = calls["members"].max()
    scopes = {n: "" if n == widest else counted(n, "rank") for n in calls["members"].unique().drop_nulls()}
    unknown = "" if widest is None else "an unknown number of ranks"
    scope = pl.col("members").replace_strict(scopes, default=unknown, return_dtype=pl.String)
    return calls.with_columns(scope=scope)


def _part(side: ComparedRun, kind: str, calls: pl.DataFrame) -> FamilyOnSide | None:
    if calls.is_empty():
        return None
    matched = calls.filter(pl.col("wire").is_not_null())
    p50 = matched["wire"].quantile(0.5, interpolation="higher")
    each = matched.group_by("step").agg(pl.median("wire")).sort("step")["wire"].to_numpy()
    per_call = Measured(None if p50 is None else float(p50), each)
    counts = calls.group_by("step", "rank").len()
    sizes = sorted(calls["message_bytes"].unique().to_list(), key=lambda n: (n is None, n or 0))
    ranks = calls["members"].drop_nulls().unique().sort().to_list()
    kernels = calls["name"].unique().sort().to_list()
    return FamilyOnSide(
        sizes=sizes,
        ranks=ranks,
        kernels=kernels,
        calls=float(counts["len"].median() or 0),  # type: ignore[arg-type]
        per_call=per_call,
        per_step=over_ranks(matched.group_by("step", "rank").agg(pl.sum("wire")), "wire"),
        speed=bandwidth(side.report, kind, sizes, ranks, kernels, per_call),
    )


def part_sentence(part: FamilyOnSide | None) -> str:
    """A family on one side: calls a step, size, ranks, speed, kernels."""
    if part is None:
        return "none"
    sizes = ", ".join(size(n) for n in part.sizes[:4]) + (" ..." if len(part.sizes) > 4 else "")
    over = ", ".join(counted(n, "rank") for n in part.ranks) or "an unknown number of ranks"
    names = ", ".join(plain(name, 60) for name in part.kernels[:3]) + (" ..." if len(part.kernels) > 3 else "")
    return f"{part.calls:g} a step, {sizes}, over {over}{_speed_words(part.speed)} [{names}]"


def _speed_words(found: Bandwidth) -> str:
    if found.algbw.value is None or found.busbw.value is None:
        return ""
    share = "" if found.peak.value is None else f" ({found.peak.value:.0f}% of peak)"
    return f", algbw {found.algbw.value:.3g} busbw {found.busbw.value:.3g} GB/s{share}"
