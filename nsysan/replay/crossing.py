"""Order between streams of which no table tells, from what is kept in every step (inferred, METRICS section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes
from nsysan.replay.engine import I64
from nsysan.replay.links import Link, Part, part

#: Work that starts within this many ns of the end of other work may have waited for it.
_PROMPT = 6_000
#: A gap so much longer than the least is one that something explains.
_NOISE = 1_000
#: A node of a graph that starts later than this after other work has not waited for that alone.
_SLOW = 20_000
_TIMES = 2
#: An order is one where it explains so much of the time that nothing else explains.
_EXPLAINED = 0.8
_STEP = 1 << 32
#: Lanes of a rank that are held against each other, those with most work; and pairs of an operation and a lane.
#: Programs have dozens; a stream for each kernel would be as many pairs as their number squared.
_MOST_LANES = 128
_MOST_PAIRS = 4_000_000
_LANE = ("context", "stream")

Stages = Sequence[Sequence[int]]


def crossings(work: pl.DataFrame, starts: I64, stages: Stages, *, eager: bool) -> list[Part]:
    """Edges from the end of an operation to the start of one on another stream of the rank; stages: of a pipeline, each
    of ranks that do the same.

    Of an operation that always starts after a certain one of another stream, launched before it, has ended: ORDER if it
    starts right after that wherever neither its own stream nor its launch explains when it starts, MAYBE if it never
    shows. eager: also of what no graph replays.
    """
    keys = ("stretch", "rank")
    numbered = _numbered(work, starts)
    wanted = (
        pl.col("place").is_not_null() if eager else pl.col("place").is_not_null() & pl.col("graph_node").is_not_null()
    )
    found = _before(numbered, numbered.select(wanted).to_series().to_numpy())
    if found.is_empty():
        return []
    # Of all that it starts after, the last that is so on every rank and in every step: a slower rank shows more.
    stage = pl.col("rank").replace_strict({rank: number for number, own in enumerate(stages) for rank in own})
    found = found.with_columns(reach=pl.col("reach").min().over(stage, *_LANE, "place", "lane"))
    found = found.with_columns(
        other_step=pl.col("step") + pl.col("reach").floordiv(_STEP), nth=pl.col("reach").mod(_STEP)
    ).filter(pl.col("reach") > -2 * _STEP)
    others = numbered.select(
        *keys, "lane", "nth", other_step="step", source="node", ended="end", other="name", given="order"
    )
    joined = found.join(others, on=[*keys, "other_step", "lane", "nth"], how="inner")
    joined = joined.filter(pl.col("given") < pl.col("order")).with_columns(delay=pl.col("begin") - pl.col("ended"))
    unexplained = pl.min_horizontal(pl.col("ahead") - pl.col("least") - _NOISE, pl.col("launched") - _PROMPT)
    excess = unexplained.clip(0).fill_null(0)
    # Of what ended on several streams the last shows an order.
    target = ("rank", *_LANE, "place")
    usual = pl.col("delay").median().over(*target, "lane")
    joined = joined.with_columns(excess=excess, last=usual == usual.min().over(target))
    # What a graph's node waits for is another node: some take longer to start after it, at one place as at another.
    steady = pl.when(pl.col("graph_node").is_not_null()).then(_TIMES * pl.col("delay").median()).otherwise(_PROMPT)
    limit = steady.clip(_PROMPT, _SLOW).over("name", "other", "last")
    prompt = pl.col("excess").filter(pl.col("delay") <= pl.col("limit")).sum()
    joined = joined.with_columns(limit=limit).with_columns(
        share=(prompt / pl.col("excess").sum()).over("name", "other", "last")
    )
    kept = joined.filter(pl.col("last") & pl.col("share").is_not_nan() & (pl.col("share") >= _EXPLAINED))
    open_ = joined.filter(pl.col("share").is_nan()).join(kept.select("target"), on="target", how="anti")
    return [
        part(rows["source"].to_numpy() + 1, rows["target"].to_numpy(), link)
        for rows, link in ((kept, Link.ORDER), (open_, Link.MAYBE))
    ]


def _numbered(work: pl.DataFrame, starts: I64) -> pl.DataFrame:
    """The operations with what may explain when they start: ahead (ns since the one before on the stream ended; a great
    many for the first), least (of such gaps), launched (ns since their launch; as many where they are not launched).
    """
    keys = ("stretch", "rank")
    lane = (*keys, *_LANE)
    never = pl.lit(1 << 40)
    number, _ = codes(work.select(_LANE).get_columns())
    columns = work.select(
        *lane,
        "step",
        "place",
        "name",
        "begin",
        "end",
        "launch_start",
        "correlation",
        "graph_node",
        node=pl.Series(starts),
        # Null where a stream is not told: it is no other one's.
        lane=pl.when(pl.all_horizontal(pl.col(_LANE).is_not_null())).then(pl.Series(number.astype(np.int64))),
    )
    # Of a graph's nodes only the first is launched.
    follows = (pl.col("correlation") == pl.col("correlation").shift(1).over(lane)).fill_null(value=False)
    columns = columns.with_columns(
        follows=follows,
        ahead=(pl.col("begin") - pl.col("end").shift(1)).over(lane).fill_null(never),
        launched=pl.when(~follows).then(pl.col("begin") - pl.col("launch_start")).fill_null(never),
        nth=pl.int_range(pl.len()).over(*lane, "step"),
        order=pl.struct("launch_start", "correlation", "graph_node", "begin").rank("ordinal").over(keys),
    )
    return columns.with_columns(least=pl.col("ahead").min().over("rank", "follows"))


def _before(numbered: pl.DataFrame, wanted: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """The wanted operations, once for each other lane of their rank: the last of that lane that had ended by then and
    had been launched before: reach, by step (from its own) and number in it. Those that come after none are left out.
    """
    begin, end, order = (numbered[name].to_numpy() for name in ("begin", "end", "order"))
    lanes: dict[tuple[object, ...], list[I64]] = {}
    rows = numbered.select("stretch", "rank", *_LANE).with_row_index("row")
    for name, lane in rows.partition_by("stretch", "rank", *_LANE, as_dict=True, maintain_order=True).items():
        lanes.setdefault(name[:2], []).append(lane["row"].to_numpy().astype(np.int64))
    # A rank may have dozens of lanes, so a thousand pairs of them: in numpy, one by one.
    pairs: list[tuple[I64, I64]] = []
    most = min(_MOST_LANES, max(2, _MOST_PAIRS // max(1, int(wanted.sum()))))
    for all_lanes in lanes.values():
        of_rank = sorted(all_lanes, key=len, reverse=True)[:most] if len(all_lanes) > most else all_lanes
        own_rows = [lane_rows[wanted[lane_rows]] for lane_rows in of_rank]
        ends = [end[lane_rows] for lane_rows in of_rank]
        orders = [np.maximum.accumulate(order[lane_rows]) for lane_rows in of_rank]
        for one, other in permutations(range(len(of_rank)), 2):
            own = own_rows[one]
            ended = np.searchsorted(ends[other], begin[own], side="right")
            at = np.minimum(ended, np.searchsorted(orders[other], order[own])) - 1
            known = at >= 0
            pairs.append((own[known], of_rank[other][at[known]]))
    own, before = (np.concatenate([pair[i] for pair in pairs] or [np.zeros(0, dtype=np.int64)]) for i in range(2))
    last = numbered.select("lane", "step", "nth")[before]
    found = numbered[own]
    reach = (last["step"] - found["step"]).clip(-2, 0) * _STEP + last["nth"]
    return (
        found.with_columns(last["lane"], reach.cast(pl.Int64).alias("reach"), target="node")
        .filter(pl.col("reach").is_not_null())
        .drop("nth", "node")
    )
