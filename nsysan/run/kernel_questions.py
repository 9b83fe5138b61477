"""What is asked of a placed trace about its kernels: only small tables travel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.kernel_times import MOST_NAMES, KernelTimes, Names, in_windows, kernel_sums, kernel_times, per_step
from nsysan.metrics.layers import Layers, find_layers
from nsysan.model.classes import WorkClass
from nsysan.model.kernel_groups import KernelGroup
from nsysan.run.placed import PlacedTrace

#: Steps that the times of a layer's kernels are of, spread over all.
_STEPS_OF_LAYERS = 64
_COLUMNS = ("description", "begin", "end")
#: Kernels that a comparison asks about by themselves, those that take most.
_MOST_BY_STEP = 40


class LayersOfRank(NamedTuple):
    """Layers of one rank. kernels: of the usual step in order: name, group (null for what does not only compute), cls,
    ns (median over steps of the same kernels)."""

    rank: int
    layers: Layers
    kernels: pl.DataFrame


def kernels_of(placed: PlacedTrace) -> KernelTimes | None:
    """The kernels of the steady steps of each of its ranks; None where there are none."""
    names = _names(placed)
    known = {rank: windows for rank in placed.ranks if len(windows := _steady(placed, rank))}
    if not known:
        return None
    parts = placed.each(lambda rank: kernel_sums(rank, _work(placed, names, rank), known[rank]), list(known))
    return kernel_times(parts, names)


def kernels_by_step_of(placed: PlacedTrace, steps: list[int]) -> pl.DataFrame:
    """rank, step, name, group, ns: of these steps; of the kernels that take least there is one row, without a name."""
    names = _names(placed)
    table = names.table.select("name", "group").with_row_index("kernel").with_columns(pl.col("kernel").cast(pl.Int64))

    def of_rank(rank: int) -> pl.DataFrame:
        sums = per_step(in_windows(_work(placed, names, rank), _windows(placed, rank, steps)))
        most = sums.group_by("kernel").agg(pl.sum("ns")).sort("ns", "kernel", descending=True)["kernel"]
        named = pl.col("kernel").is_in(most.head(_MOST_BY_STEP).implode())
        told = sums.join(table, on="kernel").with_columns(name=pl.when(named).then("name"))
        summed = told.group_by("step", "name", "group").agg(pl.sum("ns"))
        return summed.select(pl.lit(rank, dtype=pl.Int64).alias("rank"), "step", "name", "group", "ns")

    return pl.concat(placed.each(of_rank))


def layers_of(placed: PlacedTrace, ranks: Sequence[int], steps: list[int]) -> list[LayersOfRank]:
    """The layers of those of these ranks that it has."""
    found = [_layers(placed, rank, steps) for rank in ranks if rank in placed.ranks]
    return [one for one in found if one is not None]


def _windows(placed: PlacedTrace, rank: int, steps: list[int]) -> pl.DataFrame:
    """step, begin, finish of these steps of a rank."""
    own = placed.windows.filter((pl.col("rank") == rank) & pl.col("step").is_in(steps))
    return own.select("step", "begin", "finish").sort("begin")


def _steady(placed: PlacedTrace, rank: int) -> pl.DataFrame:
    """step, population, begin, finish of a rank's steady steps whose kernels are all there."""
    own = (pl.col("rank") == rank) & pl.col("left_out").is_null() & pl.col("population").is_not_null()
    windows = placed.windows.filter(own).select("step", "population", "begin", "finish").sort("begin")
    hidden = placed.frame(("begin", "end"), rank, where=(WorkClass.OPAQUE,))
    if hidden.is_empty() or windows.is_empty():
        return windows
    begun = np.searchsorted(np.sort(hidden["begin"].to_numpy()), windows["finish"].to_numpy())
    ended = np.searchsorted(np.sort(hidden["end"].to_numpy()), windows["begin"].to_numpy(), side="right")
    return windows.filter(pl.Series(begun == ended))


def _names(placed: PlacedTrace) -> Names:
    work = placed.operations
    computes = (work.descriptions["cls"].cast(pl.String) == WorkClass.COMPUTE).to_numpy()
    ns = np.ones(len(work.descriptions), dtype=np.int64)
    if computes.sum() > MOST_NAMES:
        # What takes most is told by name.
        took = (work.stored["end"] - work.stored["start"]).clip(lower_bound=1).to_numpy()
        ns = np.bincount(work.stored["description"].to_numpy(), took, len(ns)).astype(np.int64)
    return Names.of_descriptions(work.descriptions, np.where(computes, ns, 0))


def _work(placed: PlacedTrace, names: Names, rank: int) -> pl.DataFrame:
    """kernel, begin, end of a rank's compute kernels."""
    work = placed.frame(_COLUMNS, rank, where=(WorkClass.COMPUTE,))
    kernel = pl.Series("kernel", names.of[work["description"].to_numpy()])
    return work.select(kernel, "begin", "end")


def _layers(placed: PlacedTrace, rank: int, steps: list[int]) -> LayersOfRank | None:
    """Of the sequence that most of these steps have."""
    windows = _windows(placed, rank, steps)
    windows = windows.gather_every(-(-max(len(windows), 1) // _STEPS_OF_LAYERS))
    kernels = [cls for cls in WorkClass if cls not in (WorkClass.COPY, WorkClass.OPAQUE)]
    work = in_windows(placed.frame(_COLUMNS, rank, where=kernels), windows)
    if work.is_empty():
        return None
    names, descriptions = _names(placed), placed.operations.descriptions
    communicates = (descriptions["cls"].cast(pl.String) != WorkClass.COMPUTE).to_numpy()
    # A kernel that communicates is told by its short name, behind all that compute.
    short, place = np.unique(descriptions["name"].cast(pl.String).fill_null("").to_numpy(), return_inverse=True)
    code = np.where(communicates, len(names.table) + place, names.of)
    work = work.with_columns(code=pl.Series(code[work["description"].to_numpy()]))
    sequences: dict[bytes, list[pl.DataFrame]] = {}
    for step in work.partition_by("step", maintain_order=True):
        sequences.setdefault(step["code"].to_numpy().tobytes(), []).append(step)
    same = max(sequences.values(), key=len)
    codes = same[0]["code"].to_numpy()
    groups = [*names.table["group"], *[None] * len(short)]
    found = find_layers(codes, [groups[at] == KernelGroup.NORM for at in codes])
    if found is None:
        return None
    told = pl.DataFrame(
        {
            "name": [*names.table["name"], *short.tolist()],
            "group": pl.Series(groups, dtype=pl.String),
        }
    )[codes]
    classes = descriptions["cls"].cast(pl.String).gather(same[0]["description"])
    return LayersOfRank(rank, found, told.with_columns(cls=classes, ns=pl.Series(_usual(same))))


def _usual(steps: list[pl.DataFrame]) -> npt.NDArray[np.int64]:
    """Median duration at each place of steps of the same kernels, ns."""
    took = np.stack([(step["end"] - step["begin"]).to_numpy() for step in steps])
    return np.asarray(np.rint(np.median(took, axis=0)), dtype=np.int64)
