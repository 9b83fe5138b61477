"""One clock for several traces of one run: by UTC, then by the ends of the collectives they share.

DEFINITIONS.md, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.metadata import TraceMetadata
from nsysan.run.matching import match_collectives

#: The clocks of one run differ by NTP's error at most; a larger correction would paper over a wrong match.
MAX_CORRECTION_NS = 20_000_000
#: Traces whose GPU work lies further apart than this are not of one run.
_MAX_APART_NS = 2_000_000_000
_INTEGERS = {"trace": pl.Int64(), "correction": pl.Int64()}


@dataclass(frozen=True)
class Clock:
    """How several traces came onto one clock.

    offsets: ns added to each trace's times, by UTC and then by collectives. residual_p50, residual_p95:
    distance of a collective's end from the median end of its group, after that (ns); None if nothing matched.
    refined: whether the ends could be used; if not, `reason` says why.
    """

    offsets: list[int]
    residual_p50: int | None
    residual_p95: int | None
    refined: bool
    reason: str


def utc_offsets(traces: Sequence[TraceMetadata]) -> list[int]:
    """ns to add to each trace's times for all to count from the first trace's start, by UTC."""
    starts = [trace.session_start_utc_ns for trace in traces]
    missing = [trace.name for trace, start in zip(traces, starts, strict=True) if start is None]
    if missing:
        raise NsysanError(
            f"{missing[0]}: has no UTC start time, so it cannot be put on one clock with the other traces; "
            f"analyse it alone",
            ExitCode.NOT_ONE_RUN,
        )
    known = [start for start in starts if start is not None]
    return [start - known[0] for start in known]


def check_one_run(names: list[str], spans: list[tuple[int, int]]) -> None:
    """NsysanError if the traces' GPU work does not lie together in time.

    spans: start of the first and end of the last operation, already on one clock by UTC.
    """
    latest_begin, at = max((begin, i) for i, (begin, _) in enumerate(spans))
    earliest_end, before = min((end, i) for i, (_, end) in enumerate(spans))
    if latest_begin - earliest_end > _MAX_APART_NS:
        raise NsysanError(
            f"{names[at]}: its GPU work begins {(latest_begin - earliest_end) / 1e9:.1f} s after that of "
            f"{names[before]} ends; these are not traces of one run",
            ExitCode.NOT_ONE_RUN,
        )


def refine(collectives: pl.DataFrame, ranks: int, traces: int) -> Clock:
    """Corrections of the traces' clocks from matched ends (column `trace`), relative to the first trace.

    Ranks leave a collective together, to within its last hop, whatever their clocks say.
    """
    none = [0] * traces
    group = ["family", "step", "call"]
    calls = match_collectives(collectives, ranks)
    whole = (pl.len().over(group) == pl.col("members")) & (pl.n_unique("rank").over(group) == pl.col("members"))
    ends = calls.filter(whole & (pl.col("members") > 1)).sort(*group, "rank")
    if ends.is_empty():
        return Clock(none, None, None, False, "no collective is in all traces")
    # One after the other first: the median end of a group moves with a clock that is off, if it is off by much.
    corrections = _one_by_one(ends, traces)
    apart = _with(ends, corrections).with_columns(apart=pl.col("end") - pl.col("end").median().over(group))
    by_trace = dict(apart.group_by("trace").agg(pl.median("apart")).iter_rows())
    corrections = [c - _rounded(by_trace.get(trace, 0.0)) for trace, c in enumerate(corrections)]
    base = corrections[0]
    corrections = [c - base for c in corrections]
    largest = max(map(abs, corrections))
    if largest > MAX_CORRECTION_NS:
        reason = f"the collectives' ends differ by {largest / 1e6:.1f} ms between traces, more than clocks can"
        return Clock(none, None, None, False, reason)
    fixed = _with(ends, corrections)
    residual = fixed.select((pl.col("end") - pl.col("end").median().over(group)).abs()).to_series()
    p50, p95 = (round(residual.quantile(q) or 0) for q in (0.5, 0.95))
    return Clock(corrections, p50, p95, True, "")


def _one_by_one(ends: pl.DataFrame, traces: int) -> list[int]:
    """Corrections that put each trace on the clock of one before it with which it shares collectives.

    The trace with the lowest rank comes first, whatever the order in which traces were named.
    """
    group = ["family", "step", "call"]
    by_trace = ends.group_by(*group, "trace").agg(pl.min("end"), pl.min("rank"))
    lowest = by_trace.group_by("trace").agg(pl.min("rank")).sort("rank")
    waiting = lowest["trace"].to_list()
    corrections = [0] * traces
    while waiting:
        # What shares nothing with the traces before it starts a clock of its own.
        known = by_trace.filter(pl.col("trace") == waiting.pop(0))
        found = True
        while found:
            found = False
            for trace in list(waiting):
                own = by_trace.filter(pl.col("trace") == trace)
                apart = own.join(known, on=group, suffix="_known").select(pl.col("end_known") - pl.col("end"))
                median = apart.to_series().median()
                if not isinstance(median, int | float):
                    continue
                corrections[trace] = _rounded(median)
                own = own.with_columns(pl.col("end") + corrections[trace])
                known = pl.concat([known, own.join(known, on=group, how="anti")])
                waiting.remove(trace)
                found = True
    return corrections


def _with(ends: pl.DataFrame, corrections: list[int]) -> pl.DataFrame:
    table = pl.DataFrame({"trace": range(len(corrections)), "correction": corrections}, schema_overrides=_INTEGERS)
    return ends.join(table, on="trace", maintain_order="left").with_columns(pl.col("end") + pl.col("correction"))


def _rounded(ns: float) -> int:
    """Halves upwards, so that a clock that is off by a whole number of ns is corrected by exactly that."""
    return math.floor(ns + 0.5)
