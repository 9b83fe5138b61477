"""The critical path through a step as the page's timeline draws it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.page.palette import COLOURS, PATH_COLOURS
from nsysan.replay.path import CLASSES
from nsysan.replay.pieces import Why
from nsysan.report.timeline import StepPath

#: What a class of the path is called and looks like, and why a piece of it follows, by their numbers in the pieces.
WORDS = {
    "classes": [{"name": name, "colour": COLOURS[PATH_COLOURS[name]]} for name in CLASSES],
    "whys": [[why.lead, why.words] for why in Why],
}


def path_head(path: StepPath) -> dict[str, Any]:
    """What is told of a step's path beside its pieces, or why there are none.

    start is that of the first piece, ns after the step's origin; each other begins where the one before it ends.
    """
    if path.why:
        return {"untold": path.why}
    return {"home": path.home, "start": int(path.pieces["begin"][0])}


def piece_columns(pieces: pl.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """Columns of the pieces of all steps; pieces: with the place of their lane and of their name, -1 for none."""
    told = pieces.select(pl.col("end") - pl.col("begin"), "place", "class", "why", pl.col("name") + 1).cast(pl.Int64)
    names = ("length", "lane", "class", "why", "named")
    return {name: column.to_numpy() for name, column in zip(names, told, strict=True)}
