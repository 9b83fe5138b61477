"""The critical path through single steps, for their timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.path_told import why_no_path
from nsysan.report.timeline import LAUNCHES, StepPath, Timeline
from nsysan.text import counted

#: What the paths of a page hold together: about 5 bytes a piece.
MAX_PIECES = 16_000


def path_in_step(diagnosis: Diagnosis, step: int, origin: int, lanes: pl.DataFrame) -> StepPath:
    """The path's pieces in a step, or why there are none; lanes: rank, context, stream, lane."""
    why = why_no_path(diagnosis)
    if why or diagnosis.pace is None:
        return StepPath(why=why)
    own = diagnosis.pace.pieces.filter(pl.col("step") == step)
    if own.is_empty():
        count = diagnosis.pace.pieces["step"].n_unique()
        return StepPath(why=f"the replay tells that of {counted(count, 'steady step')}, and this is none of them")
    placed = own.join(lanes, on=["rank", "context", "stream"], how="left", nulls_equal=True, maintain_order="left")
    lane = (
        pl.when("host")
        .then(pl.lit(LAUNCHES))
        .otherwise(pl.coalesce("lane", pl.format("stream {}", "stream"), pl.lit("stream")))
    )
    pieces = placed.select(
        "rank", "class", "name", "why", lane=lane, begin=pl.col("begin") - origin, end=pl.col("end") - origin
    )
    return StepPath(pieces, int(own["home"][0]))


def within(timelines: Sequence[Timeline], most: int = MAX_PIECES) -> list[Timeline]:
    """The timelines with no more pieces together: those of the first, as long as there is room for a step's."""
    found, room = [], most
    for timeline in timelines:
        count = len(timeline.path.pieces)
        if count <= room:
            room -= count
            found.append(timeline)
        else:
            why = f"it is of {count:,} pieces, and this file holds {most:,} of all steps; --steps shows fewer steps"
            found.append(replace(timeline, path=StepPath(why=why)))
    return found
