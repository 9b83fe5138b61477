"""The critical path through single steps, for their timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.path_told import why_no_path
from nsysan.report.timeline import LAUNCHES, StepPath, Timeline
from nsysan.text import counted

#: What the paths of a page hold together: about 3 bytes a piece.
MAX_PIECES = 150_000


def paths_in_steps(diagnosis: Diagnosis, origins: Mapping[int, int], lanes: pl.DataFrame) -> dict[int, StepPath]:
    """The path's pieces in each step, or why there are none; origins: of each step; lanes: step, rank, context, stream,
    lane.
    """
    why = why_no_path(diagnosis)
    if why or diagnosis.pace is None:
        return dict.fromkeys(origins, StepPath(why=why))
    found = diagnosis.pace.pieces
    own = found.filter(pl.col("step").is_in(list(origins)))
    placed = own.join(
        lanes, on=["step", "rank", "context", "stream"], how="left", nulls_equal=True, maintain_order="left"
    )
    lane = (
        pl.when("host")
        .then(pl.lit(LAUNCHES))
        .otherwise(pl.coalesce("lane", pl.format("stream {}", "stream"), pl.lit("stream")))
    )
    origin = pl.col("step").replace_strict(origins, return_dtype=pl.Int64) if len(own) else pl.lit(0)
    pieces = placed.select(
        "step",
        "home",
        "rank",
        "class",
        "name",
        "why",
        lane=lane,
        begin=pl.col("begin") - origin,
        end=pl.col("end") - origin,
    )
    parts = {
        int(str(step)): StepPath(rows.drop("step", "home"), int(rows["home"][0]))
        for (step,), rows in pieces.partition_by("step", as_dict=True, maintain_order=True).items()
    }
    count = found["step"].n_unique()
    untold = StepPath(why=f"the replay tells that of {counted(count, 'steady step')}, and this is none of them")
    return {step: parts.get(step, untold) for step in origins}


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
