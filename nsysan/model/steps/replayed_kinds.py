"""Kinds of steps most of which replay CUDA graphs, where no range tells them (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.model.steps.step_kind import StepKind

#: What windows tell of the graphs that are replayed in them; the number of a graph is of one rank alone.
GRAPHS = {"graphs": pl.UInt32(), "graph": pl.UInt64(), "eager_ns": pl.Int64()}


class ReplayedKinds(NamedTuple):
    """What the graphs tell of steps most of which replay some.

    kinds: of each step; graphs: a number for the graphs that a step replays on all ranks, by step, None for none;
    whole: whether most steps are replays of one graph; compute: ns of each step on all ranks together.
    """

    kinds: dict[int, StepKind]
    graphs: dict[int, int | None]
    whole: bool
    compute: dict[int, int]


def replayed_kinds(windows: pl.DataFrame, counts: pl.DataFrame, longer: float) -> ReplayedKinds | None:
    """What the graphs tell; None where not most steps replay some.

    Pieces of a graph may be replayed in prefill too, so what decides there is what runs beside them. windows, counts:
    as in find_populations. longer: steps whose compute takes so many times the usual do not decode alone.
    """
    if any(name not in windows.columns for name in GRAPHS):
        return None
    compute = counts.filter(pl.col("collectives") == 0).group_by("rank_key", "step").agg(pl.sum("ns"))
    told = windows.select("step", "rank_key", *GRAPHS).join(compute, on=["step", "rank_key"], how="left")
    told = told.with_columns(pl.col("ns", "eager_ns").fill_null(0), replays=pl.max("graphs").over("step").is_not_null())
    of_steps = told.group_by("step").agg(pl.first("replays"), pl.max("graphs"))
    if 2 * of_steps["replays"].sum() <= len(of_steps):
        return None
    usual, outside = (pl.col(name).filter("replays").median().over("rank_key") for name in ("ns", "eager_ns"))
    more = pl.when("replays").then(pl.col("eager_ns") - outside).otherwise(pl.col("ns") - usual)
    # A rank that computes nothing, as one of graphs traced as blocks might, has no usual.
    other = told.filter(usual > 0).select("step", "replays", other=more >= (longer - 1) * usual)
    other = other.group_by("step").agg(pl.all("other"), pl.first("replays")).filter("other")
    kinds = dict.fromkeys(of_steps["step"].to_list(), StepKind.DECODE)
    kinds |= {
        step: StepKind.MIXED if replays else StepKind.PREFILL
        for step, replays in other.select("step", "replays").iter_rows()
    }
    graphs = told.filter("replays").group_by("step").agg(pl.struct("rank_key", "graph").hash().sum())
    numbers = dict.fromkeys(kinds) | dict(graphs.iter_rows())
    single = of_steps.filter(pl.col("graphs") == 1)
    sums = dict(told.group_by("step").agg(pl.sum("ns")).iter_rows())
    return ReplayedKinds(kinds, numbers, 2 * len(single) > len(of_steps), sums)


def of_one_graph(told: ReplayedKinds, steps: list[int], similar: float) -> list[list[int]]:
    """Steps of like work by the graph that they replay, that with most steps first.

    Graphs whose steps' compute differs by no more than the share `similar` are one: a graph may be instantiated again,
    or for a batch that takes no longer. So are all where most are replayed once: that is one made anew for each step.
    """
    by_graph: dict[int | None, list[int]] = {}
    for step in steps:
        by_graph.setdefault(told.graphs[step], []).append(step)
    if 2 * len(by_graph) > len(steps):
        return [steps]
    parts: list[tuple[float, list[int]]] = []
    for own in sorted(by_graph.values(), key=lambda own: (-len(own), own[0])):
        takes = float(np.median([told.compute[step] for step in own]))
        apart, nearest = min(
            ((abs(takes - usual), place) for place, (usual, _) in enumerate(parts)), default=(np.inf, -1)
        )
        if nearest >= 0 and apart <= similar * parts[nearest][0]:
            parts[nearest][1].extend(own)
        else:
            parts.append((takes, own))
    return [sorted(own) for _, own in sorted(parts, key=lambda part: (-len(part[1]), part[1][0]))]
