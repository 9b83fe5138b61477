"""What a step would take with something taken away, and the floor of a call that one of these needs.

DEFINITIONS.md, section 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from nsysan.columns.codes import coded
from nsysan.metrics.scenarios import Scenario
from nsysan.model.classes import WorkClass
from nsysan.model.matches import Match

#: What calls have in common that share a floor; place: number in the step, where sizes are not known, or no measure.
KEY = ["name", "message_bytes", "group", "place"]
#: Why savings are upper bounds where hosts would pace what is left (see WhatIf.scheduled).
SCHEDULER = "what tells hosts what to launch is not in the trace"
#: The floor is this quantile of the wire of such calls.
FLOOR_QUANTILE = 0.05


@dataclass(frozen=True)
class WhatIf:
    """Periods in ns: as measured, of each scenario, and with one rank alone put right. None where it cannot be told.

    traced: as measured, where the step time without nsys is given, which the period then is; None elsewhere.
    bounds: the least and the most that a scenario may take where the trace cannot tell better; `without` has the most.
    replayed: the period of the steps that were replayed; error: replay_error (section 7), None without a replay. why:
    what keeps savings from being told, "" where they are; why_host: the same of those on the host's side alone.
    scheduled: whether hosts would pace the step without skew, and are told what to do by a process of which no trace
    tells what it needs itself: such savings are upper bounds.
    """

    period: int
    without: Mapping[Scenario, int | None]
    ranks: Mapping[int, int] = field(default_factory=dict)
    bounds: Mapping[Scenario, tuple[int, int]] = field(default_factory=dict)
    traced: int | None = None
    replayed: int | None = None
    error: float | None = None
    why: str = ""
    why_host: str = ""
    scheduled: bool = False

    def __getitem__(self, scenario: Scenario) -> int | None:
        return self.without.get(scenario)

    @property
    def told(self) -> list[Scenario]:
        """The scenarios whose period is known; not the one that all of them are held against."""
        return [scenario for scenario, ns in self.without.items() if ns is not None and scenario != Scenario.UNTRACED]

    @property
    def listed(self) -> list[Scenario]:
        """The scenarios of a table: those that are told of any run, and what else is told of this one."""
        always = (Scenario.NO_SKEW, Scenario.FLOOR_WIRE, Scenario.NO_HOST_LATE, Scenario.ALL)
        return [scenario for scenario in self.without if scenario in always or scenario in self.told]

    @property
    def no_bubble(self) -> int | None:
        """Of a pipeline whose stages are busy all the time, a bound that takes more batches in flight."""
        return self[Scenario.NO_BUBBLE]

    def saves(self, scenario: Scenario) -> int | None:
        """What a step would save, ns; None where it cannot be told."""
        ns = self[scenario]
        return None if ns is None else self.period - ns


def place() -> pl.Expr:
    """`place` of KEY: the number of a call in its step where its size is no measure of what it takes, else null."""
    # What a fused kernel computes is no matter of the size.
    by_place = pl.col("message_bytes").is_null() | (pl.col("cls") == WorkClass.FUSED)
    return pl.when(by_place).then("call").alias("place")


def call_wires(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """KEY, family, step, call, wire: ns from the last arrival at a matched call until it has ended everywhere.

    Of a message the longer of what its send and its receive take once they need not wait.
    """
    # A call has many columns more.
    wanted = dict.fromkeys((*KEY[:-1], "message_bytes", "family", "step", "call", "cls", "wire", "end", "last"))
    own = collectives.select(*wanted, "verdict")
    matched = own.filter((pl.col("verdict") == Match.MATCHED) & pl.col("step").is_in(steps))
    call, calls = numbered_calls(matched, matched.select(*KEY[:-1], place()))
    message = pl.first("cls") == WorkClass.P2P
    wire = pl.when(message).then(pl.max("wire")).otherwise(pl.max("end") - pl.max("last"))
    found = matched.select(call, "cls", "wire", "end", "last").group_by("code").agg(wire=wire)
    return calls[found["code"]].hstack(found.select("wire"))


def numbered_calls(calls: pl.DataFrame, kind: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """Of each row of calls the number of its call ("code"), and the calls: the columns of `kind`, family, step, call.

    kind: of each row, what a kind of calls is told by: texts of which there are few.
    """
    of_kind, kinds = coded(kind)
    call, told = coded(pl.DataFrame([of_kind, *calls.select("family", "step", "call")]))
    return call, kinds[told["code"]].hstack(told.drop("code"))


def floors(wires: pl.DataFrame) -> pl.DataFrame:
    """KEY, floor: the least that such a call takes in this trace (ns). wires: as call_wires gives them."""
    return wires.group_by(KEY).agg(floor=pl.col("wire").quantile(FLOOR_QUANTILE, "higher").cast(pl.Int64))


def least(wires: pl.Series) -> int:
    """The floor of these calls, whatever their place."""
    return int(wires.quantile(FLOOR_QUANTILE, "higher") or 0)


def middle(wires: pl.Series) -> int:
    """The p50 of these calls, as tables of collectives have it; 0 of none."""
    return int(wires.quantile(0.5, "higher") or 0)


def over_floors(wires: pl.DataFrame) -> pl.DataFrame:
    """The calls with `floor` and `over`: ns beyond it, 0 for one that beats it."""
    return wires.join(floors(wires), on=KEY, nulls_equal=True).with_columns(
        over=(pl.col("wire") - pl.col("floor")).clip(lower_bound=0)
    )
