"""A pipeline's bubble: what its ranks lose for want of another stage (DEFINITIONS.md, section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from nsysan.metrics.lines import Line
from nsysan.metrics.stages import bubbles
from nsysan.run.groups import Members
from nsysan.run.run import Run
from nsysan.text import duration, numbered, pct

#: What a bubble is, in words.
WAITING = "waiting for another stage"
#: With more of the ranks' time than this in communication that is not split, nobody knows what waits for a stage.
MAX_UNSPLIT = 0.05
#: So many stages are named in a sentence.
_NAMED = 4
#: A stage that wants for others less than this share of its time works all the time.
_ALWAYS = 0.03


@dataclass(frozen=True)
class Stage:
    """A stage. work: ns a step in which its busiest rank neither idles nor waits for another to come to a call.

    It is the median over the steady steps. bubble: share of its ranks' time for want of another stage, likewise; None
    where it cannot be told.
    """

    number: int
    ranks: Members
    work: int
    bubble: float | None

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        wants = "" if self.bubble is None else f", and {pct(self.bubble)} of its time is spent {WAITING}"
        ranks = numbered("rank", list(self.ranks), most=16)
        return f"stage {self.number} ({ranks}): works {duration(self.work)} a step{wants}"


@dataclass(frozen=True)
class Bubble:
    """What a pipeline loses for want of stages. share: of its ranks' time, median over the steady steps.

    share is None where it cannot be told. at_once: stages at work at one time, 1 where one batch is in flight.
    waits, idles: ns a step that each rank waits for another stage at calls, and idles for want of one, likewise; empty
    where share is None.
    """

    share: float | None
    at_once: int
    stages: list[Stage]
    waits: Mapping[int, int] = field(default_factory=dict)
    idles: Mapping[int, int] = field(default_factory=dict)

    @property
    def pacing(self) -> Stage | None:
        """The stage that works all the time, so that more batches in flight change nothing; None: none does."""
        told = [stage for stage in self.stages if stage.bubble is not None]
        least = min(told, key=lambda stage: stage.bubble or 0.0, default=None)
        return least if least is not None and (least.bubble or 0.0) < _ALWAYS else None

    @property
    def in_flight(self) -> str:
        """How many batches are in flight, or what stands in for them, in words."""
        if self.pacing is not None:
            return f"stage {self.pacing.number} works all of the step, and paces it"
        if self.at_once == 1:
            return "only one batch is in flight, so stages take turns"
        return f"several batches are in flight: {self.at_once} of {len(self.stages)} stages work at once"

    @property
    def by_stage(self) -> str:
        """Which ranks are which stage, in brackets; "" where they are many, and listed elsewhere."""
        if len(self.stages) > _NAMED:
            return ""
        each = (f"stage {stage.number}: {numbered('rank', list(stage.ranks), most=4)}" for stage in self.stages)
        return f" ({'; '.join(each)})"

    @property
    def sentence(self) -> str:
        """What the stages lose, in words."""
        lost = "what stages lose by waiting for one another cannot be told" if self.share is None else self.lost
        return f"{lost}; {self.in_flight}"

    @property
    def lost(self) -> str:
        """The share in words."""
        return f"{pct(self.share or 0)} of the ranks' time is spent {WAITING}"


def find_bubble(run: Run) -> Bubble | None:
    """The bubble of a replica over its steady steps; None where it has one stage, or no steady step."""
    steady = run.ledger.filter(pl.col("steady"))
    if run.stage_work is None or steady.is_empty():
        return None
    stage = pl.col("rank").replace_strict(dict(run.stage_work.stage_of), return_dtype=pl.Int64).alias("stage")
    rows = bubbles(run.ledger, run.stage_work, run.gaps).with_columns(stage)
    unsplit = steady.select(pl.col(Line.COMM_UNSPLIT.column).fill_null(0).sum() / pl.col("period_ns").sum()).item()
    told = unsplit <= MAX_UNSPLIT and not steady[Line.GRAPH.column].sum()
    share = pl.sum("bubble") / pl.sum("period")
    whole = rows.group_by("step").agg(share=share)["share"].median()
    per_step = rows.group_by("stage", "step").agg(pl.max("work"), share=share)
    per_stage = per_step.group_by("stage").agg(pl.median("work", "share")).sort("stage")
    found = [
        Stage(number, run.layout.stages[number], round(ns), own if told else None)
        for number, own, ns in per_stage.select("stage", "share", "work").iter_rows()
    ]
    at_once = run.stage_work.at_once(run.ledger)
    if not told:
        return Bubble(None, at_once, found)
    parts = rows.group_by("rank").agg(pl.median("waits", "idles").round().cast(pl.Int64)).sort("rank")
    waits, idles = (dict(parts.select("rank", name).iter_rows()) for name in ("waits", "idles"))
    return Bubble(float(whole), at_once, found, waits, idles)  # type: ignore[arg-type]
