"""Sizes of all-reduces that no payload tells, step by step, from the grids of kernels (DEFINITIONS.md, section 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from nsysan.light.grids import StepGrids, launched_in, told_by
from nsysan.model.steps.populations import Population
from nsysan.model.steps.step_kind import StepKind
from nsysan.run.run import Run

#: Of each population so many steps are looked at, and no more in all.
_OF_EACH, _MOST_STEPS = 2, 16
_TELLING = ("all_reduce",)


@dataclass(frozen=True)
class ToldByGrids:
    """by_step: what the grids tell of a decode step, that of its population; none of those that differ. why: what is
    missing of the headline's, "" where nothing is or none was looked for."""

    by_step: Mapping[int, StepGrids] = field(default_factory=dict)
    why: str = ""

    @property
    def tokens(self) -> dict[int, int]:
        """Tokens that each step computes, padding included."""
        return {step: one.tokens for step, one in self.by_step.items() if one.tokens is not None}

    @property
    def sizes(self) -> dict[int, int]:
        """Bytes of an all-reduce in each step."""
        return {step: size for step, one in self.by_step.items() if (size := one.message_bytes) is not None}


def told_by_grids(run: Run) -> ToldByGrids:
    """Of a replica; nothing where payloads tell the size of every all-reduce of its decode steps."""
    decoding = [one for one in run.steps.populations if one.kind is StepKind.DECODE]
    untold = pl.col("kind").is_in(_TELLING) & pl.col("message_bytes").is_null()
    silent = set(run.collectives.select(pl.col("step").filter(untold).drop_nulls()).to_series().to_list())
    wanted = [one for one in decoding if silent & set(one.steps)][: _MOST_STEPS // _OF_EACH]
    if not wanted or not run.ranks:
        return ToldByGrids()
    samples = {one.id: _some(one.steps) for one in wanted}
    rank = run.ranks[0].rank
    steps = sorted({step for own in samples.values() for step in own})
    kernels = next((found for found in run.ask(launched_in, rank, steps) if found is not None), {})
    processors = processors_of(run)
    told = {step: told_by(own, processors) for step, own in kernels.items()}
    by_population = {one.id: _agreed([told[step] for step in samples[one.id] if step in told]) for one in wanted}
    return ToldByGrids(
        {step: by_population[one.id] for one in wanted for step in one.steps}, _why(wanted, by_population)
    )


def _some(steps: Sequence[int]) -> list[int]:
    return sorted({steps[0], steps[-1]})[:_OF_EACH]


def _agreed(told: Sequence[StepGrids]) -> StepGrids:
    if len(set(told)) == 1:
        return told[0]
    return StepGrids(None, None, None, "steps of one population have grids of several sizes")


def _why(wanted: Sequence[Population], told: Mapping[str, StepGrids]) -> str:
    return told[wanted[0].id].why


def processors_of(run: Run) -> int | None:
    """SMs of the GPU of the first rank."""
    first = run.ranks[0]
    gpus = run.metadata[run.trace_of[first.rank]].gpus.filter(pl.col("gpu").eq_missing(first.gpu))
    found = gpus["sms"][0] if len(gpus) else None
    return int(found) if found else None
