"""What a replay finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

import polars as pl

#: A larger share of the period in communication that cannot be split may hide who is late.
MAX_UNSPLIT = 0.03
#: With a larger replay_error no saving is told.
MAX_ERROR = 0.05
#: Of a host's time no less is left as long as shorter gaps explain a step, either. Measured on H200: eager steps took
#: 0.34 of their traced time without nsys (TP=8, 8 layers), 0.44 (TP=4, 16 layers).
LEAST_HOST = 0.25
#: By what a rank may be late.
CAUSES = ("compute", "host", "copy", "communication")


class Timed(NamedTuple):
    """Period of a scenario: median and mean, ns."""

    median: int
    mean: int

    def times(self, ratio: Fraction) -> Timed:
        """So much of both."""
        return Timed(round(self.median * ratio), round(self.mean * ratio))


@dataclass(frozen=True)
class LateRanks:
    """One late rank, or several that are late together. ns of a step, by median or, of the tail, by mean.

    costs: of the step as it is when the other late ranks are right. saves: where these alone are put right; both also
    by mean, with the steps that are in the tail. parts: of what it costs, by cause; kernels: what these take longer;
    apart: what of that is work that no other rank has there; between: whether most of what its GPU takes longer lies
    between its operations. most: what these alone may save where hosts that wait are
    told of results at once, None where that is not asked (see replay.replies.unheard).
    """

    ranks: tuple[int, ...]
    cause: str
    costs: int
    saves: int
    mean_costs: int
    mean_saves: int
    parts: Mapping[str, int] = field(default_factory=dict)
    kernels: Sequence[tuple[str, int]] = ()
    apart: int = 0
    between: bool = False
    most: int | None = None

    def times(self, ratio: Fraction) -> LateRanks:
        """So much of all that is of a step."""
        saved = Timed(self.saves, self.mean_saves).times(ratio)
        costs = Timed(self.costs, self.mean_costs).times(ratio)
        return replace(
            self,
            costs=costs.median,
            saves=saved.median,
            mean_costs=costs.mean,
            mean_saves=saved.mean,
            parts={cause: round(ns * ratio) for cause, ns in self.parts.items()},
            kernels=[(name, round(ns * ratio)) for name, ns in self.kernels],
            apart=round(self.apart * ratio),
            most=None if self.most is None else round(self.most * ratio),
        )


@dataclass(frozen=True)
class HostTime:
    """What the thread that launches most of a rank's steps does, as its calls into the operating system tell: ns of a
    step, means over the steps that are replayed; the first four sum to such a step.

    cuda: in CUDA's calls. waits, sleeps: between them, in calls that wait for others, or sleep. works: the rest.
    untold: of waits, those of which nothing tells what for. call: in which it waits or sleeps most, "" where in none.
    """

    rank: int
    cuda: int
    works: int
    waits: int
    sleeps: int
    untold: int
    call: str


@dataclass(frozen=True)
class Pace:
    """What paces a replica's step. Periods are ns of a step.

    period: as it is, which the untouched graph gives to the ns (exact), or what that stands for (see of). replayed: of
    the steps that were replayed. scenarios: of each what-if; ranks: with one
    rank put right; bounds: least and most of a what-if that the trace cannot tell better, the period itself being the
    most. error: replay_error. path: ns of a step by (class, rank), summing to the period; pieces: of the path in each
    step that was counted, as pieces.pieces gives them; inferred: whether it goes from stream to stream where no table
    tells of an order. late: see find_late; late_as_one: all of them put right together, None where nobody is late;
    rotation: ns that another rank costs in each step, where it is not the same. unsplit: share of the period
    in communication that cannot be split; where it is large, what rests on waiting is left out.
    per_step: stretch, step, rank and a column a scenario, and `late`: with all late ranks right. nodes: of the graph;
    whole: whether it is of all steady steps. closed: whether it is known what the first stage of a pipeline waits for
    before its next step; inferred: whether no call of the trace says so. answered: whether hosts wait for results by
    way of another thread, as is inferred (see replay.replies). met: whether hosts wait for each other in their steps,
    as is inferred (see replay.hosts_meet, replay.seen_waits). ahead: whether hosts launch a step before they have the
    results of the one before (see replay.ahead). hosts: of the ranks whose calls into the operating system are in the
    trace; waits: for what these wait, as told_waits.told_waits has it. unseen: share of the time of those steps that
    answers are of whose kind none of the replayed ones has. unlike: whether the error is that the replayed steps take
    longer, or less, than those they stand for.
    """

    period: Timed
    replayed: int
    scenarios: dict[str, Timed]
    ranks: dict[int, Timed]
    bounds: dict[str, tuple[int, int]]
    error: float
    path: dict[tuple[str, int], int]
    pieces: pl.DataFrame
    inferred: bool
    late: list[LateRanks]
    rotation: int
    unsplit: float
    per_step: pl.DataFrame
    exact: bool
    nodes: int
    whole: bool
    closed: bool = True
    turns_inferred: bool = False
    answered: bool = False
    ahead: bool = False
    met: bool = False
    late_as_one: LateRanks | None = None
    hosts: Sequence[HostTime] = ()
    waits: pl.DataFrame = field(default_factory=pl.DataFrame)
    unseen: float = 0.0
    unlike: bool = False

    def off(self, period: float) -> Pace:
        """Of steps that take `period`, of which the replayed ones are a sample: with what these miss that by."""
        missed = abs(self.period.median / period - 1) if period else 0.0
        return replace(self, error=missed, unlike=True) if missed > self.error else self

    def of(self, period: int) -> Pace:
        """Of steps that take `period`, of which the replayed ones are a sample: figures of a step by that ratio.

        A difference would be off where some kinds of steps are not in the sample: it can be more than a step takes.
        """
        if not self.period.median or self.period.median == period:
            return self
        ratio = Fraction(period, self.period.median)
        return replace(
            self,
            period=self.period.times(ratio),
            scenarios={name: one.times(ratio) for name, one in self.scenarios.items()},
            ranks={rank: one.times(ratio) for rank, one in self.ranks.items()},
            bounds={name: (round(low * ratio), round(high * ratio)) for name, (low, high) in self.bounds.items()},
            late=[one.times(ratio) for one in self.late],
            late_as_one=None if self.late_as_one is None else self.late_as_one.times(ratio),
            rotation=round(self.rotation * ratio),
        )
