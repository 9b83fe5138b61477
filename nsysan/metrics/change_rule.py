"""Whether a figure changed from one run to another, or only differs by chance or as two captures do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from nsysan.metrics.tail import NEAR

F64 = npt.NDArray[np.float64]


class ChangeVerdict(StrEnum):
    """What a difference between two sides is."""

    CHANGED = "changed"
    #: Beyond the chance of steps, but within what captures of one workload differ by.
    SMALL = "small"
    NOISE = "noise"
    FEW_STEPS = "few_steps"
    #: For the reason that stands beside it.
    NOT_COMPARABLE = "not_comparable"


#: A difference counts if chance gives it less often than this, by the spread over the steps ...
ALPHA = 0.01
#: ... and it is this share of the period, or this share of the figure and still so much of the period. Steps of
#: one capture are alike in ways that those of another are not (clocks, placement), which no test on steps can
#: see: two captures of one workload (4 x H200, 23 steps each) differ at p < 0.01 in waiting by 15 % of itself and
#: 0.27 % of the period, and in what late ranks cause by 29 % and 0.47 %; the least is 1.5 times that.
SHARE_OF_PERIOD = 0.01
SHARE_OF_FIGURE = 0.03
LEAST_OF_PERIOD = 0.0075
#: Of so many steps a mean that differs by SHARE_OF_FIGURE is told, where most of that is in the tail: no test on
#: so few steps tells whether it comes again, but the time was lost.
TAIL_STEPS = 3
#: With fewer steady steps on a side even steps that do not overlap at all may be chance.
FEWEST_STEPS = 8

THRESHOLDS = {
    "alpha": ALPHA,
    "share_of_period": SHARE_OF_PERIOD,
    "share_of_figure": SHARE_OF_FIGURE,
    "least_share_of_period": LEAST_OF_PERIOD,
    "fewest_steps": FEWEST_STEPS,
    "tail_steps": TAIL_STEPS,
}
#: As people read them.
WORDS = {
    ChangeVerdict.CHANGED: "changed",
    ChangeVerdict.SMALL: "small",
    ChangeVerdict.NOISE: "noise",
    ChangeVerdict.FEW_STEPS: "too few steps",
    ChangeVerdict.NOT_COMPARABLE: "not comparable",
}


@dataclass(frozen=True)
class Change:
    """One side against the first. verdict: changed, small (no chance of steps, but within what captures of one
    workload differ by), noise, few_steps or not_comparable (then with the reason).

    percent: of the first side's figure, None where that is 0. p: corrected for the figures tested together.
    """

    difference: float | None
    percent: float | None
    p: float | None
    verdict: ChangeVerdict
    reason: str | None = None


def judged(
    values: tuple[float, float],
    steps: tuple[F64, F64],
    p: float,
    *,
    period: float | None,
    least: float = SHARE_OF_FIGURE,
    of_mean: bool = False,
) -> Change:
    """The second against the first. steps: ns of each; p: by which chance they lie so far apart, corrected.

    period: that of the first, in the unit of the values, where a share of it tells whether a change is large; without
    it the share `least` of the figure does. of_mean: the values are means, in which few long steps count.
    """
    first, other = values
    difference = other - first
    percent = 100 * difference / first if first else None
    if min(map(len, steps)) < FEWEST_STEPS:
        return Change(difference, percent, p, ChangeVerdict.FEW_STEPS, f"fewer than {FEWEST_STEPS} steady steps")
    large = abs(difference) >= least * abs(first)
    if period is not None:
        size = abs(difference) / period
        large = size >= SHARE_OF_PERIOD or (large and size >= LEAST_OF_PERIOD)
    if of_mean and _in_the_tail(*steps) and abs(difference) >= SHARE_OF_FIGURE * abs(first):
        return Change(difference, percent, p, ChangeVerdict.CHANGED)
    return Change(
        difference,
        percent,
        p,
        ChangeVerdict.NOISE if p >= ALPHA else ChangeVerdict.CHANGED if large else ChangeVerdict.SMALL,
    )


def _in_the_tail(first: F64, other: F64) -> bool:
    """Whether most of what two means differ by lies in long steps of one side, of which there are some."""
    more, less = (first, other) if first.mean() > other.mean() else (other, first)
    tails = [float(steps.mean() - np.median(steps)) for steps in (more, less)]
    many = int((more > less.max() * (1 + NEAR)).sum()) >= TAIL_STEPS
    return many and tails[0] - tails[1] >= float(more.mean() - less.mean()) / 2
