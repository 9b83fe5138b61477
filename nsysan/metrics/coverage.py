"""What the steady steps cover of a capture, and what the rest of it is (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import numbered
from nsysan.columns.intervals import atoms, line_of_mask
from nsysan.model.classes import COMMUNICATION, WorkClass

_I64 = npt.NDArray[np.int64]
#: Below this coverage a report says what its verdict is of, and what the rest is.
HALF = 0.5


class Rest(StrEnum):
    """What the time is that steady steps do not cover."""

    LEFT_OUT = "left_out"
    DECODE = "decode"
    MIXED = "mixed"
    PREFILL = "prefill"
    COMPUTE = "compute"
    COMMUNICATION = "communication"
    COPY = "copy"
    GRAPH = "graph"
    OTHER_PROCESSES = "other_processes"
    IDLE = "idle"


WORDS = {
    Rest.LEFT_OUT: "steps of this kind that are not steady",
    Rest.DECODE: "other decode steps",
    Rest.MIXED: "steps with prefill and decode",
    Rest.PREFILL: "prefill",
    Rest.COMPUTE: "kernels outside of steps",
    Rest.COMMUNICATION: "communication outside of steps",
    Rest.COPY: "copies outside of steps",
    Rest.GRAPH: "graph replays outside of steps",
    Rest.OTHER_PROCESSES: "other processes' work on these GPUs",
    Rest.IDLE: "idle outside of steps",
}
_OF_CLASS = {
    WorkClass.COMPUTE: Rest.COMPUTE,
    **dict.fromkeys(COMMUNICATION, Rest.COMMUNICATION),
    WorkClass.COPY: Rest.COPY,
    WorkClass.OPAQUE: Rest.GRAPH,
}
#: Outside of steps, in order of precedence; idle is what none has.
_OUTSIDE = (Rest.COMPUTE, Rest.COMMUNICATION, Rest.COPY, Rest.GRAPH, Rest.OTHER_PROCESSES)
_NUMBER_OF: dict[str, int] = {cls: _OUTSIDE.index(rest) for cls, rest in _OF_CLASS.items()}


@dataclass(frozen=True)
class Coverage:
    """Shares that the steady steps cover: span of the ranks' time, busy of the time in which their GPUs work.

    Medians over the ranks. rest: where span or busy is below a half, what the rest of the time is, shares of the time
    of all ranks together, largest first; None elsewhere.
    """

    span: float
    busy: float
    rest: dict[Rest, float] | None = None

    @property
    def is_half(self) -> bool:
        """Whether the steady steps are at least half of the capture, by both measures."""
        return min(self.span, self.busy) >= HALF


def outside(work: pl.DataFrame, others: pl.DataFrame, windows: pl.DataFrame) -> dict[Rest, int]:
    """ns of a rank's time outside of its steps, by what its GPU does.

    work: begin, end, cls of all its operations. others: start, end of other processes' kernels and copies on its GPU.
    windows: begin, finish of its steps, which do not overlap.
    """
    first, last = work.select(pl.min("begin"), pl.max("end")).row(0)
    ordered = windows.sort("begin")
    begins = np.concatenate(([first], np.minimum(ordered["finish"].to_numpy(), last)))
    finishes = np.concatenate((np.maximum(ordered["begin"].to_numpy(), first), [last]))
    open_ = finishes > begins
    holes: tuple[_I64, _I64] = (begins[open_], finishes[open_])
    own = numbered(work["cls"], _NUMBER_OF)
    table = atoms(
        np.concatenate((work["begin"].to_numpy(), others["start"].to_numpy())),
        np.concatenate((work["end"].to_numpy(), others["end"].to_numpy())),
        np.concatenate((own, np.full(len(others), _OUTSIDE.index(Rest.OTHER_PROCESSES), dtype=own.dtype))),
        holes,
        len(_OUTSIDE),
    )
    owner = line_of_mask(len(_OUTSIDE))
    return {rest: int(table[:, owner == i].sum()) for i, rest in enumerate((*_OUTSIDE, Rest.IDLE))}


def coverage(ledger: pl.DataFrame, extents: pl.DataFrame) -> Coverage | None:
    """What the steady steps cover, without the rest; None where there are none. extents: rank, span, busy, ns."""
    within = ledger.filter("steady").group_by("rank")
    steady = within.agg(span=pl.sum("period_ns"), busy=(pl.col("period_ns") - pl.col("idle_ns")).sum())
    told = extents.join(steady, on="rank", suffix="_steady").filter((pl.col("span") > 0) & (pl.col("busy") > 0))
    if told.is_empty():
        return None
    span, busy = told.select(
        (pl.col("span_steady") / pl.col("span")).median(), (pl.col("busy_steady") / pl.col("busy")).median()
    ).row(0)
    return Coverage(float(span), float(busy))


def rest_of(windows: pl.DataFrame, kinds: dict[str, Rest], outside_ns: dict[Rest, int]) -> dict[Rest, float]:
    """Shares of the time of all ranks: the steps that are not steady, and what is outside of all steps.

    windows: begin, finish, population, excluded. kinds: what the steps of a population are that are not steady ones of
    the headline. outside_ns: summed over the ranks.
    """
    lengths = windows.select("population", "excluded", ns=pl.col("finish") - pl.col("begin"))
    whole = int(lengths["ns"].sum()) + sum(outside_ns.values())
    found = dict(outside_ns)
    others = lengths.filter(pl.col("excluded").is_not_null()).group_by("population").agg(pl.sum("ns"))
    for population, ns in others.iter_rows():
        kind = kinds.get(population, Rest.LEFT_OUT)
        found[kind] = found.get(kind, 0) + ns
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return {kind: ns / whole for kind, ns in ordered if ns > 0}
