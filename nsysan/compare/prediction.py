"""What a run would take at another number of ranks: plain data that every output shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from nsysan.metrics.lines import Line


@dataclass(frozen=True)
class Ends:
    """A period and the least and the most that it may be, ns."""

    ns: float
    low: float
    high: float

    def scaled(self, by: float) -> Ends:
        """All of it, times this."""
        return Ends(by * self.ns, by * self.low, by * self.high)


@dataclass(frozen=True)
class Prediction:
    """One degree that was asked for. Where reason is set nothing could be predicted, and every figure is None.

    period, low, high: ns a step, and where it lies; mean: ns a step on average, which tokens/s are from. ledger: ns
    that sum to the period. base: label of the side whose hosts, gaps and copies it keeps. hosts: whether these pace
    it. alone: what the GPUs take if no launch is late, as_now: ns with hosts as in the base; both are there too
    where the reason is that hosts leave nothing to tell. fixed: ns of compute that no number of ranks shares out.
    basis: where each part is from, in sentences. model: by which one side's compute was divided, None where sides
    show that. measured: ns of a side of that degree, which took no part in it. missed: by what share a prediction
    of a side that was left out misses it, by its ranks.
    """

    ranks: int
    batch: int
    period: int | None = None
    low: int | None = None
    high: int | None = None
    mean: float | None = None
    ledger: dict[Line, int] = field(default_factory=dict)
    base: str | None = None
    hosts: bool = False
    alone: Ends | None = None
    as_now: float | None = None
    fixed: float | None = None
    basis: tuple[str, ...] = ()
    model: str | None = None
    measured: float | None = None
    missed: dict[int, float] = field(default_factory=dict)
    reason: str | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Over all sequences of the batch."""
        return self.batch * 1e9 / self.mean if self.mean else None
