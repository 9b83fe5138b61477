"""The critical path through a step as the page's timeline draws it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def path_columns(path: StepPath, lanes: pl.DataFrame, number: Callable[[str], int]) -> dict[str, Any]:
    """Columns of the pieces; lanes: rank, lane, number of the step's lanes; number: the place of a name.

    start is that of the first piece, ns after the step's origin; each other begins where the one before it ends.
    """
    if path.why:
        return {"untold": path.why}
    pieces = path.pieces.join(lanes, on=["rank", "lane"], how="left", maintain_order="left")
    return {
        "home": path.home,
        "start": int(pieces["begin"][0]),
        "length": (pieces["end"] - pieces["begin"]).to_list(),
        "lane": pieces["number"].to_list(),
        "class": pieces["class"].to_list(),
        "why": pieces["why"].to_list(),
        "name": [-1 if name is None else number(name) for name in pieces["name"]],
    }
