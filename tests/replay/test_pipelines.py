"""Pipelines on paper in the graph: who waits for whom, and that nothing else changes when that is known, in us."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.replay.links import Link
from nsysan.replay.meetings import from_last_to_first, with_meetings
from nsysan.replay.pace import pace_of
from nsysan.replay.prepared import Prepared, prepare
from nsysan.replay.results import Pace
from nsysan.replay.turns import turns
from tests.pipelines import pipeline
from tests.tracebuilder import TraceBuilder


def replayed(builder: TraceBuilder, folder: Path) -> tuple[Prepared, Pace]:
    ready = prepare(nsysan.analyze(builder.write(folder / "t.sqlite")))
    assert ready is not None
    pace = pace_of(ready)
    # As measured to the ns.
    assert pace.exact
    assert pace.error == 0
    return ready, pace


def periods(pace: Pace) -> dict[str, float]:
    return {name: one.median / 1_000 for name, one in pace.scenarios.items()}


@pytest.mark.parametrize("eager", [False, True])
def test_stages_that_differ_are_not_put_right_by_each_other(tmp_path: Path, eager: bool) -> None:
    # 60 + 8 + 4 and 140 + 8 + 6, and 10 of the first one's host in between.
    ready, pace = replayed(pipeline([60_000, 140_000], eager=eager), tmp_path)
    assert pace.period.median == 236_000
    assert (periods(pace)["no_skew"], pace.late) == (236, [])
    assert pace.bounds["host_free"] == (226_000, 236_000)
    # The busiest: 140 + 8 + 6, and the 4 in which it receives.
    assert periods(pace)["no_bubble"] == 158
    links = ready.basis.graph.link
    # A send that waits for nobody is not held by its receive.
    assert (links == Link.TURN).sum() > 0
    assert pace.turns_inferred


def test_batches_in_flight_turn_two_steps_later(tmp_path: Path) -> None:
    """Two batches: a step begins when the one before the last was sampled, and its stage is free."""
    _, pace = replayed(pipeline([60_000, 140_000], batches=2, steps=24), tmp_path)
    assert pace.period.median == 158_000
    assert periods(pace)["no_bubble"] == 158
    # The first stage is not what paces: with it twice as fast nothing changes.
    assert {rank for _, rank in pace.path} <= {2, 3}


def message(step: int, sender: int, *, told: bool, early: bool) -> list[dict[str, object]]:
    """A message of two ranks: its receive waits since 100 us before; early: so does its send, which ends at once."""
    at = 1_000_000 * (step + 1)
    own = {"stretch": 0, "family": sender, "of": step, "step": step, "call": 0, "barrier": False}
    sent, received = (at - 200_000, at - 195_000) if early else (at, at + 5_000), (at - 100_000, at + 6_000)
    halves = ("send", "receive") if told else (None, None)
    return [
        {**own, "rank": rank, "half": half, "begin": begin, "end": end}
        for rank, half, (begin, end) in ((sender, halves[0], sent), (1 - sender, halves[1], received))
    ]


@pytest.mark.parametrize(
    ("told", "early", "held"),
    [(True, False, [False, True]), (False, False, [False, True]), (True, True, [False, True])],
)
def test_who_is_held_at_a_message(told: bool, early: bool, held: list[bool]) -> None:
    """A receive, where a payload tells it; else who comes first and leaves last. A send that ends before is not."""
    work = with_meetings(pl.DataFrame([row for step in range(4) for row in message(step, 0, told=told, early=early)]))
    assert work["meets"].all()
    assert work["held"].to_list() == held * 4
    assert not from_last_to_first(work, [(0,), (1,)])


def test_tokens_that_the_last_stage_sends_back_close_the_loop() -> None:
    """As vLLM broadcasts them: no half is told, and the first stage waits for them."""
    rows = [row for step in range(4) for row in message(step, 1, told=False, early=False)]
    work = with_meetings(pl.DataFrame(rows))
    assert from_last_to_first(work, [(0,), (1,)])
    assert turns(work, pl.DataFrame(), np.arange(len(work)), [(0,), (1,)]) == []


def test_messages_neither_begin_a_step_nor_end_one() -> None:
    """Without ranges a receive lies in the step before the one that it is for, where the host hands it in early."""
    rows: list[dict[str, object]] = []
    calls: list[dict[str, object]] = []
    for step in range(6):
        at = 1_000 * step
        own: dict[str, object] = {"stretch": 0, "step": step, "of": step, "barrier": False, "launch_start": at - 5}
        alone = {"family": None, "call": None, "half": None}
        rows += [
            {**own, **alone, "rank": 0, "begin": at, "end": at + 300},
            {**own, "family": 0, "call": 0, "half": "send", "rank": 0, "begin": at + 310, "end": at + 330},
            {**own, **alone, "rank": 1, "begin": at + 340, "end": at + 640},
            {**own, "family": 0, "call": 0, "half": "receive", "rank": 1, "begin": at - 350, "end": at + 335},
        ]
        rows[-1]["step"] = step - 1 if step else None
        # So does the send in the step after its own, and its launch call.
        rows[-3] |= {"step": step + 1, "launch_start": at}
        calls.append({"stretch": 0, "rank": 0, "step": step, "start": at - 5, "waits": False, "number": 2 * step})
        calls.append({"stretch": 0, "rank": 0, "step": step + 1, "start": at, "waits": False, "number": 2 * step + 1})
    work = with_meetings(pl.DataFrame(rows))
    (to_host, _) = turns(work, pl.DataFrame(calls), np.arange(0, 2 * len(work), 2), [(0,), (1,)])
    # From the end of the last stage's work, the third of the four of a step, to the next step's first call.
    assert to_host[0].tolist() == [2 * (4 * step + 2) + 1 for step in range(5)]
    assert to_host[1].tolist() == [4 * step for step in range(1, 6)]
