"""One clock for several traces of one run: by UTC, then by the ends of the collectives they share.

DEFINITIONS.md, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.rows import parted
from nsysan.columns.times import SAME, Shift, shifted
from nsysan.model.metadata import TraceMetadata
from nsysan.run.matching import match_collectives
from nsysan.text import duration
from nsysan.timings import stage

#: The clocks of one run differ by NTP's error at most; a larger correction would paper over a wrong match.
MAX_CORRECTION_NS = 20_000_000
#: Traces whose GPU work lies further apart than this are not of one run.
_MAX_APART_NS = 2_000_000_000
#: Of fewer calls a line is a guess.
_LEAST_CALLS = 32
#: Parts of a capture whose medians the line goes through.
_PARTS = 8
#: A drift that comes to less than this over the calls is no matter.
_LEAST_DRIFT_NS = 1_000
#: Crystals are off by up to 50 ppm each, what a machine makes of its own by a few times that.
_MOST_DRIFT = 2e-4
#: Medians further from the line than this share of what it rises are those of a jump.
_BENT = 0.2


@dataclass(frozen=True)
class Clock:
    """How several traces came onto one clock.

    offsets: ns added to each trace's times, by UTC and then by collectives; where a clock drifts, in the middle of its
    calls. drifts: ns a ns by which that grows, 0 where none shows. origins: the middle of the calls of each.
    residual_p50, residual_p95: distance of a collective's end from those of the other traces, after that (ns), of calls
    beyond those that the fit needs; None where there are none.
    refined: whether the ends could be used; if not, `reason` says why.
    """

    offsets: list[int]
    residual_p50: int | None
    residual_p95: int | None
    refined: bool
    reason: str
    drifts: list[float]
    origins: list[int]

    def after(self, by_utc: Sequence[int]) -> list[Shift]:
        """What leads from each trace's clock to the run's, which UTC has already brought together as far as it can."""
        lines = zip(by_utc, self.offsets, self.drifts, self.origins, strict=True)
        return [Shift(utc + by, drift, origin - utc) for utc, by, drift, origin in lines]


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
            f"{names[before]} ends; these are not traces of one run: report each alone, or hold one against the other "
            f"(nsysan compare {names[before]} {names[at]})",
            ExitCode.NOT_ONE_RUN,
        )


@stage("one clock")
def refine(collectives: pl.DataFrame, ranks: int, traces: int) -> Clock:
    """Corrections of the traces' clocks from matched ends (column `trace`), relative to the first trace.

    Ranks leave a collective together, to within its last hop, whatever their clocks say.
    """
    none = [0] * traces
    still = [0.0] * traces
    group = ["family", "step", "call"]
    calls = match_collectives(collectives, ranks).select("trace", "rank", *group, "members", "end")
    whole = (pl.len().over(group) == pl.col("members")) & (pl.n_unique("rank").over(group) == pl.col("members"))
    ends = calls.filter(whole & (pl.col("members") > 1)).drop("members").sort(*group, "rank")
    if ends.is_empty():
        return Clock(none, None, None, False, "no collective is in all traces", still, none)
    # One after the other first: the median end of a group moves with a clock that is off, if it is off by much.
    lines = _one_by_one(ends, traces)
    apart = _with(ends, lines).with_columns(apart=pl.col("end") - pl.col("end").median().over(group))
    by_trace = dict(apart.group_by("trace").agg(pl.median("apart")).iter_rows())
    lines = [replace(line, by=line.by - _rounded(by_trace.get(trace, 0.0))) for trace, line in enumerate(lines)]
    lines = [replace(line, by=line.by - lines[0].by) for line in lines]
    largest = max(abs(line.by) for line in lines)
    if largest > MAX_CORRECTION_NS:
        reason = f"the collectives' ends differ by {duration(largest)} between traces, more than clocks can"
        return Clock(none, None, None, False, reason, still, none)
    residual = _beyond_the_fit(_with(ends, lines), lines)
    p50, p95 = (None if residual.is_empty() else round(residual.quantile(q) or 0) for q in (0.5, 0.95))
    offsets, drifts, origins = ([getattr(line, name) for line in lines] for name in ("by", "drift", "origin"))
    return Clock(offsets, p50, p95, True, "", drifts, origins)


def _beyond_the_fit(ends: pl.DataFrame, lines: Sequence[Shift]) -> pl.Series:
    """How far the ends of a call are from those of the other traces, without the calls that each fit needs.

    A line through as many points as it has numbers would pass through all of them and prove nothing.
    """
    group = ["family", "step", "call"]
    others = pl.n_unique("trace").over(group)
    distance = (pl.col("end") - pl.col("end").median().over(group)).abs() * others / (others - 1)
    apart = ends.filter(others > 1).with_columns(distance=distance)
    needed = pl.DataFrame(
        {"trace": range(len(lines)), "needed": [0, *(2 if line.drift else 1 for line in lines[1:])]},
        schema_overrides={"trace": pl.Int64, "needed": pl.Int64},
    )
    nearest = apart.group_by(*group, "trace").agg(pl.max("distance")).sort("trace", "distance", *group)
    place = pl.int_range(pl.len(), dtype=pl.Int64).over("trace")
    used = nearest.join(needed, on="trace", maintain_order="left").filter(place < pl.col("needed"))
    return apart.join(used, on=group, how="anti")["distance"]


def _one_by_one(ends: pl.DataFrame, traces: int) -> list[Shift]:
    """Corrections that put each trace on the clock of one before it with which it shares collectives.

    The trace with the lowest rank comes first, whatever the order in which traces were named.
    """
    group = ["family", "step", "call"]
    by_trace = ends.group_by(*group, "trace").agg(pl.min("end"), pl.min("rank"))
    lowest = by_trace.group_by("trace").agg(pl.min("rank")).sort("rank")
    waiting = lowest["trace"].to_list()
    lines = [SAME] * traces
    ends_of = parted(by_trace, "trace")
    while waiting:
        # What shares nothing with the traces before it starts a clock of its own.
        known = ends_of[waiting.pop(0)]
        found = True
        while found:
            found = False
            for trace in list(waiting):
                own = ends_of[trace]
                both = own.join(known, on=group, suffix="_known").sort("end")
                if both.is_empty():
                    continue
                lines[trace] = line_through(both["end"].to_numpy(), (both["end_known"] - both["end"]).to_numpy())
                own = _with(own, lines)
                known = pl.concat([known, own.join(known, on=group, how="anti")])
                waiting.remove(trace)
                found = True
    return lines


def line_through(times: npt.NDArray[np.int64], apart: npt.NDArray[np.int64]) -> Shift:
    """How far a clock is behind, from how far it is at these times, ascending; it drifts only if a line shows.

    What jumps is no line, and what drifts faster than clocks do is none.
    """
    origin = int(times[len(times) // 2])
    still = Shift(_rounded(float(np.median(apart))), 0.0, origin)
    if len(times) < _LEAST_CALLS:
        return still
    places = np.array_split(np.arange(len(times)), _PARTS)
    at, middle = (np.array([np.median(values[part]) for part in places]) for values in (times - origin, apart))
    one, other = np.triu_indices(_PARTS, 1)
    drift = float(np.median((middle[other] - middle[one]) / (at[other] - at[one])))
    level = float(np.median(apart - drift * (times - origin)))
    grown = abs(drift) * float(times[-1] - times[0])
    bent = float(np.abs(middle - level - drift * at).max())
    if grown < _LEAST_DRIFT_NS or abs(drift) > _MOST_DRIFT or bent > _BENT * grown:
        return still
    return Shift(_rounded(level), drift, origin)


def _with(ends: pl.DataFrame, lines: Sequence[Shift]) -> pl.DataFrame:
    corrected = [shifted(own, line) for own, line in _parted(ends, lines)]
    return pl.concat(corrected)


def _parted(ends: pl.DataFrame, lines: Sequence[Shift]) -> Iterator[tuple[pl.DataFrame, Shift]]:
    for trace, own in sorted(parted(ends, "trace").items()):
        yield own, lines[trace]


def _rounded(ns: float) -> int:
    """Halves upwards, so that a clock that is off by a whole number of ns is corrected by exactly that."""
    return math.floor(ns + 0.5)
