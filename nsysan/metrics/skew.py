"""Who arrives last at the collectives, how much that costs, and what held that rank up (DEFINITIONS.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes, numbered
from nsysan.columns.intervals import atoms, line_of_mask
from nsysan.columns.rows import kept, ordered
from nsysan.columns.threads import each_of
from nsysan.metrics.causes import GapCause, LateCause
from nsysan.metrics.lines import LATE
from nsysan.model.matches import Match

#: Columns of the parts of a lateness.
PARTS = tuple(LateCause)

#: Of fewer steps than this nothing is said of what is always so.
TELLING_STEPS = 3

_CALL = ["family", "step", "call"]
#: Causes that operations tell, in the order in which time that several claim is given away.
OF_OPERATIONS = tuple(cause for cause in LateCause if cause in LATE.values())
#: Number of the cause that takes an operation's time, by its class.
_CAUSE_OF: dict[str, int] = {cls: OF_OPERATIONS.index(cause) for cls, cause in LATE.items()}


@dataclass(frozen=True)
class Straggler:
    """The late rank that saves most. caused: ns a step that putting it alone right saves; share: of the period.

    parts: of what it costs, ns a step by cause. cause: the largest, None where it is the host's and nothing tells
    whether the host is to blame; idle: how much more than the median rank it idles, ns a step by cause of the gap.
    """

    rank: int
    cause: LateCause | None
    caused: int
    share: float
    parts: dict[LateCause, int]
    idle: dict[GapCause, int] = field(default_factory=dict)


def arrivals(collectives: pl.DataFrame) -> pl.DataFrame:
    """Matched calls, a row a rank: with lateness (ns after the first), position (1 = first) and ranks.

    number: of the call in its step, over all families, from 0, in the order in which first ranks come.
    caused: on the last rank, the ns by which it came after the second last; 0 on the others.
    """
    matched = kept(collectives, pl.col("verdict") == Match.MATCHED)
    call, _ = codes([matched[name] for name in _CALL])
    begin = matched["begin"].to_numpy()
    order = np.lexsort((matched["rank"].to_numpy(), begin, call))
    begun = begin[order]
    first = np.flatnonzero(np.diff(call[order], prepend=-1))
    count = np.diff(first, append=len(order))
    nth = np.arange(len(order)) - np.repeat(first, count)
    last = first + count - 1
    caused = np.zeros(len(order), dtype=np.int64)
    caused[last] = begun[last] - begun[np.maximum(last - 1, first)]
    columns = {
        "number": np.repeat(_in_step(matched["step"].to_numpy()[order][first], begun[first]), count),
        "position": nth + 1,
        "ranks": np.repeat(count, count),
        "lateness": begun - np.repeat(begun[first], count),
        "caused": caused,
    }
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return matched.with_columns(pl.Series(name, values[place], dtype=pl.Int64) for name, values in columns.items())


def _in_step(step: npt.NDArray[np.int64], begin: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place of each call among those of its step, in order of begin."""
    order = np.lexsort((begin, step))
    opens = np.flatnonzero(np.diff(step[order], prepend=step[order][:1] - 1))
    nth = np.arange(len(order)) - np.repeat(opens, np.diff(opens, append=len(order)))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = nth
    return place


def caused_by_step(calls: pl.DataFrame) -> pl.DataFrame:
    """step, rank, caused: ns for which the others waited for this rank alone, of calls with caused and begin.

    A rank that keeps two collectives waiting at one time costs that time once.
    """
    since = pl.col("begin") - pl.col("caused")
    lasting = calls.filter(pl.col("caused") > 0).sort("step", "rank", since)
    before = pl.col("begin").cum_max().shift(1).over("step", "rank")
    fresh = (pl.col("begin") - pl.max_horizontal(since, before)).clip(lower_bound=0)
    costs = lasting.with_columns(fresh=fresh).group_by("step", "rank").agg(caused=pl.sum("fresh"))
    everybody = calls.select("step", "rank").unique()
    return everybody.join(costs, on=["step", "rank"], how="left").sort("step", "rank").fill_null(0)


def late_calls(arrived: pl.DataFrame, work: pl.DataFrame) -> pl.DataFrame:
    """One row a matched call: family, step, call, number, rank (the last), caused, lateness, PARTS.

    Lateness is against a reference, the median of the other ranks (the earlier of two). Since the collective before,
    each of the two ranks has spent its time in compute, copy, other communication, opaque graph replays, or
    idle; the differences, with that of the previous ends, sum to the lateness exactly. The parts of a family's
    first call are null: nothing is before it.
    """
    return against_reference(arrived, spent(boundaries(arrived), work))


def boundaries(arrived: pl.DataFrame) -> pl.DataFrame:
    """Those columns of the calls that `spent` takes; wanted: whether the call is its group's last or reference."""
    wanted = (pl.col("position") == pl.col("ranks")) | (pl.col("position") == pl.col("ranks") // 2)
    return arrived.select("row", "rank", "family", "begin", "end", wanted=wanted)


def spent(calls: pl.DataFrame, work: pl.DataFrame) -> pl.DataFrame:
    """row and PARTS of the wanted calls: ns since the call of the family before it on the rank; previous: its end.

    calls: as `boundaries` gives them, of ranks whose `work` (row, rank, begin, end, cls) is all there.
    """
    work = work.select("row", "rank", "begin", "end", "cls")
    parts = each_of(lambda own: _spent(own, work), calls.partition_by("rank", "family", maintain_order=True), len(work))
    return pl.concat(parts or [no_time(calls)])


def against_reference(arrived: pl.DataFrame, spent: pl.DataFrame) -> pl.DataFrame:
    """late_calls, of the time that the calls' ranks spent."""
    timed = arrived.join(spent, on="row", how="left")
    late = timed.filter(pl.col("position") == pl.col("ranks"))
    reference = timed.filter(pl.col("position") == pl.col("ranks") // 2)
    times = ["begin", *PARTS]
    pairs = late.join(reference.select(*_CALL, *times), on=_CALL, suffix="_reference")
    return pairs.select(
        *_CALL,
        "number",
        "rank",
        "caused",
        "begin",
        "row",
        lateness=pl.col("begin") - pl.col("begin_reference"),
        **{part: pl.col(part) - pl.col(f"{part}_reference") for part in PARTS},
    ).sort(*_CALL)


def _spent(own: pl.DataFrame, work: pl.DataFrame) -> pl.DataFrame:
    """row and PARTS of one rank's calls of one family: absolute times since the call before; `previous` is its end."""
    own = ordered(own, "begin", "row")
    begins = own["begin"].to_numpy()
    previous_end = np.minimum(np.append(0, own["end"].to_numpy()[:-1]), begins)
    rank = own["rank"][0]
    inside = work.filter((pl.col("rank") == rank) & (pl.col("end") > previous_end[1:].min(initial=begins[0])))
    other = ~np.isin(inside["row"].to_numpy(), own["row"].to_numpy())
    table = atoms(
        inside["begin"].to_numpy()[other],
        inside["end"].to_numpy()[other],
        numbered(inside["cls"], _CAUSE_OF)[other],
        (previous_end[1:], begins[1:]),
        len(OF_OPERATIONS),
    )
    owner = line_of_mask(len(OF_OPERATIONS))
    columns = {name: table[:, owner == i].sum(axis=1) for i, name in enumerate((*OF_OPERATIONS, LateCause.HOST))}
    columns[LateCause.PREVIOUS] = previous_end[1:]
    # Of the first nothing is known.
    told = own.select("row", wanted=pl.col("wanted") & (pl.int_range(pl.len()) > 0))
    told = told.with_columns(pl.Series(part, np.append(0, columns[part])) for part in PARTS)
    return told.filter(own["wanted"]).select("row", pl.when("wanted").then(pl.col(PARTS)))


def no_time(arrived: pl.DataFrame) -> pl.DataFrame:
    """What `spent` gives of no calls; arrived: any with a row."""
    return arrived.head(0).select("row").with_columns(pl.lit(None, dtype=pl.Int64).alias(part) for part in PARTS)
