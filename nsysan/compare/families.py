"""Collectives of several runs side by side: the same communication, whatever kernel does it."""

from __future__ import annotations

import polars as pl

from nsysan.compare.bandwidth_rows import bandwidth
from nsysan.compare.comparison import ComparedRun, Family, FamilyOnSide, Measured
from nsysan.text import counted


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
        calls=float(counts["len"].median() or 0) / side.units,  # type: ignore[arg-type]
        per_call=per_call,
        per_step=Measured.over_ranks(matched.group_by("step", "rank").agg(pl.sum("wire") / side.units), "wire"),
        speed=bandwidth(side.report, kind, sizes, ranks, kernels, per_call),
    )
