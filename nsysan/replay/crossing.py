"""Order between streams of which no table tells, from what is kept in every step (inferred, METRICS section 7)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import polars as pl

from nsysan.replay.engine import I64
from nsysan.replay.links import Link, Part, part

#: Work that starts within this many ns of the end of other work may have waited for it.
_PROMPT = 6_000
#: An order is one where it explains so much of what nothing else does.
_EXPLAINED = 0.8


def crossings(work: pl.DataFrame, starts: I64, *, eager: bool) -> list[Part]:
    """Edges from the end of an operation to the start of one on another stream of the rank.

    Of an operation that always starts after a certain one of another stream has ended, and right after it wherever
    neither its own stream nor its launch explains when it starts.
    """
    pairs = []
    keys = ("stretch", "rank")
    numbered = work.select(*keys, "context", "stream", "step", "place", "begin", "end", "launch_start", "correlation", "graph_node")
    numbered = numbered.with_columns(
        node=pl.Series(starts),
        ahead=(pl.col("begin") - pl.col("end").shift(1)).over(*keys, "context", "stream"),
        # Of a graph's nodes only the first are launched.
        launched=pl.when(pl.col("correlation") != pl.col("correlation").shift(1).over(*keys, "context", "stream"))
        .then(pl.col("begin") - pl.col("launch_start")),
        nth=pl.int_range(pl.len()).over(*keys, "context", "stream", "step"),
    )
    for _, rank in numbered.partition_by(keys, as_dict=True, maintain_order=True).items():
        lanes = rank.partition_by("context", "stream", maintain_order=True)
        for own, other in permutations(lanes, 2):
            begun, ended = own["begin"].to_numpy(), other["end"].to_numpy()
            at = np.searchsorted(ended, begun, side="right") - 1
            known = at >= 0
            before = other.select("step", "place", "nth", "node", "end")[np.maximum(at, 0)]
            pair = own.select("rank", "context", "stream", "step", "place", "begin", "ahead", "launched", "graph_node", target="node")
            pair = pair.with_columns(
                before["step"].alias("other_step"),
                before["nth"].alias("other_nth"),
                lane=pl.lit(f"{other['context'][0]} {other['stream'][0]}"),
                known=pl.Series(known),
                stretch=pl.lit(rank["stretch"][0]),
            )
            pairs.append(pair)
    if not pairs:
        return []
    found = pl.concat(pairs).filter(pl.col("place").is_not_null())
    if not eager:
        found = found.filter(pl.col("graph_node").is_not_null())
    same = pl.col("known") & (pl.col("other_step") == pl.col("step"))
    key = ["rank", "context", "stream", "place", "lane"]
    found = found.with_columns(reach=pl.when(same).then("other_nth").otherwise(-1).min().over(key))
    found = found.filter(pl.col("reach") >= 0)
    others = numbered.with_columns(lane=pl.format("{} {}", "context", "stream")).select(
        "stretch", "rank", "step", "lane", reach="nth", source="node", ended="end", other="place"
    )
    joined = found.join(others, on=["stretch", "rank", "step", "lane", "reach"], how="inner")
    joined = joined.with_columns(delay=pl.col("begin") - pl.col("ended"))
    alone = (pl.col("ahead").fill_null(_PROMPT + 1) > pl.col("delay")) & (
        pl.col("launched").fill_null(_PROMPT * 4) > pl.max_horizontal("delay", pl.lit(_PROMPT))
    )
    prompt = pl.col("delay") <= _PROMPT
    needed = alone & (pl.col("ahead").fill_null(_PROMPT + 1) > _PROMPT / 2)
    share = (prompt & needed).sum() / pl.max_horizontal(needed.sum(), pl.lit(1))
    kept = joined.filter((share >= _EXPLAINED).over("place", "other"))
    source, target = kept["source"].to_numpy() + 1, kept["target"].to_numpy()
    return [part(source, target, Link.ORDER)]
