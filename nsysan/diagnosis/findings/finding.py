"""One finding: what to change, its evidence, and what it saves."""

from __future__ import annotations

from dataclasses import dataclass, field

from nsysan.diagnosis.findings.kinds import FindingId, SavingIs, Severity
from nsysan.metrics.scenarios import NOTABLE
from nsysan.text import rough

#: A loss of this share of the period is worth dropping other work for ...
HIGH_SHARE = 0.20
#: ... of this share a change of configuration; less is a note. Steps vary by 1 to 2 % in a quiet run.
MEDIUM_SHARE = 0.05

_SAVES = {
    SavingIs.REPLAY: "{} a step",
    SavingIs.AT_LEAST: "at least {} a step",
    SavingIs.ESTIMATE: "about {} a step, an estimate",
    SavingIs.AT_MOST: "at most {} a step",
    SavingIs.PART_OF: "less than {} a step",
}

Figures = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Finding:
    """One thing to change. saving: ns a step; None where it cannot be told. of: the mean step, ns, where it is saved of
    that, as the tail is.

    figures: what was measured, by name; thresholds: the constants of this module it was held against. of_step: ns of
    the step, where what is saved is of its share of the time, with so many batches in_flight; 0 elsewhere. fix: what to
    do first, an imperative without a full stop; also: what else may help, "" for nothing. basis: what the saving rests
    on, or with what it is shared, a clause behind it, "" for nothing.
    """

    id: FindingId
    severity: Severity
    title: str
    evidence: str
    fix: str
    saving: int | None = None
    ranks: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    figures: Figures = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    saving_is: SavingIs = SavingIs.REPLAY
    of_step: int = 0
    in_flight: int = 0
    of: int | None = None
    also: str = ""
    basis: str = ""

    @property
    def fixes(self) -> str:
        """What to do first, and what else may help."""
        return f"{self.fix}; else {self.also}" if self.also else self.fix

    @property
    def saves(self) -> str:
        """What it saves, in words; "" where that cannot be told."""
        if self.saving is None:
            return ""
        if self.in_throughput:
            why = f"; {self.basis}" if self.basis else ""
            return f"gives up to {self.throughput} times the tokens a second, {self.later}{why}"
        basis = f", {self.basis}" if self.basis else ""
        return f"saves {_SAVES[self.saving_is].format(rough(self.saving))}{basis}"

    @property
    def is_reachable(self) -> bool:
        """Whether its saving is one that a fix can give; else it is what it is a part of."""
        return self.saving is not None and self.saving_is is not SavingIs.PART_OF

    @property
    def in_throughput(self) -> bool:
        """Whether what is saved is of a step's share of the time alone."""
        return self.of_step > 0

    @property
    def throughput(self) -> str:
        """Of what is saved with more batches in flight: how many times as many tokens come out of the same time."""
        return f"{self.of_step / (self.of_step - (self.saving or 0)):.2f}"

    @property
    def later(self) -> str:
        """Of what is saved with more batches in flight: what becomes of each token, which nothing shortens.

        By Little's law it takes no less than the batches in flight times what each of them takes a stage up.
        """
        least = self.in_flight * (self.of_step - (self.saving or 0))
        if least < (1 + NOTABLE) * self.of_step:
            return "though no token comes sooner"
        return f"though each token then takes {rough(least)} or more"


def by_share(ns: int, period: int) -> Severity:
    """Severity of a loss by its share of the period."""
    share = ns / period
    return Severity.HIGH if share >= HIGH_SHARE else Severity.MEDIUM if share >= MEDIUM_SHARE else Severity.LOW


def severity_limits() -> dict[str, float]:
    """The thresholds of by_share."""
    return {"high_share": HIGH_SHARE, "medium_share": MEDIUM_SHARE}
