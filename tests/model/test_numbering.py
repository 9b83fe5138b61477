"""The same step on every rank, where ranks have different numbers of steps and no names."""

from __future__ import annotations

import polars as pl

from nsysan.model.steps.numbering import combine_steps
from nsysan.model.steps.step_kind import StepMethod
from nsysan.model.steps.step_windows import StepWindows

STEPS = 20
PERIOD = 100


def windows(*begins: list[int]) -> StepWindows:
    """Windows of ranks that begin so; each ends where the next begins."""
    rows = [
        (rank, at, after, str(number))
        for rank, own in enumerate(begins)
        for number, (at, after) in enumerate(zip(own, [*own[1:], own[-1] + PERIOD], strict=True))
    ]
    frame = pl.DataFrame(rows, schema=["rank_key", "begin", "finish", "label"], orient="row")
    labels = pl.concat_str("rank_key", pl.lit("_"), "label")
    return StepWindows(StepMethod.GRAPH, "replays", frame.with_columns(label=labels), frame.to_numpy()[:0, 0])


def numbers(*begins: list[int]) -> list[list[int]]:
    calls = pl.DataFrame(
        schema={"row": int, "rank_key": int, "member": int, "begin": int, "name": str, "cls": str, "message_bytes": int}
    )
    counts = pl.DataFrame(
        schema={"rank_key": int, "begin": int, "name": str, "n": int, "collectives": int, "ns": int},
    )
    found = combine_steps([windows(*begins)], calls, counts).windows.sort("rank_key", "begin")
    return [found.filter(rank_key=rank)["step"].to_list() for rank in range(len(begins))]


def test_a_rank_that_pauses_stays_in_its_step() -> None:
    # Both pause for two periods in step 8, and step 9 begins then; rank 1 begins step 8 after its pause, and has no
    # first step.
    first = [PERIOD * step + 200 * (step > 8) for step in range(STEPS)]
    second = [PERIOD * step + 200 * (step > 7) for step in range(1, STEPS)]
    assert numbers(first, second) == [list(range(STEPS)), list(range(1, STEPS))]


def test_a_rank_that_lacks_a_step_goes_on_with_the_next() -> None:
    first = [PERIOD * step for step in range(STEPS)]
    second = [PERIOD * step + 5 for step in range(STEPS) if step != 8]
    assert numbers(first, second)[1] == [step for step in range(STEPS) if step != 8]
