"""The layers of a replica's usual step: one, which stands for all, and what is before and behind them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.run.kernel_questions import LayersOfRank, layers_of
from nsysan.run.run import Run
from nsysan.timings import stage

#: Kernels beside the layers that are told, those that take most.
_MOST_BESIDE = 32


@dataclass(frozen=True)
class LayerKernel:
    """A kernel at its place in a layer. group: None where it communicates. ns: median over the layers.

    first, last: name and ns in the first and in the last layer, None where these are as the others.
    """

    name: str
    group: str | None
    cls: str
    ns: int
    first: tuple[str, int] | None = None
    last: tuple[str, int] | None = None


@dataclass(frozen=True)
class Beside:
    """Kernels of one name before or behind the layers. ns: all its calls, waiting included where it communicates."""

    name: str
    group: str | None
    cls: str
    calls: int
    ns: int


@dataclass(frozen=True)
class LayerTable:
    """Layers of one rank's usual step of the headline population, for its stage. kernels: of a layer, in order."""

    rank: int
    count: int
    kernels: list[LayerKernel]
    before: list[Beside]
    after: list[Beside]

    @property
    def compute(self) -> int:
        """Of a layer: ns of its kernels that compute. What communicates waits there for other ranks."""
        return sum(kernel.ns for kernel in self.kernels if kernel.group is not None)


@stage("layers")
def find_layer_tables(own: Run) -> list[LayerTable]:
    """One a pipeline stage, of its first rank; none where no block repeats, or no decode step is found in which."""
    steps = own.steady_steps
    # The whole capture as one window is of no population.
    if not steps or not own.steps.populations:
        return []
    ranks = [min(stage) for stage in own.layout.stages] or [min(rank.rank for rank in own.ranks)]
    return [_table(one) for found in own.ask(layers_of, ranks, steps) for one in found]


def _table(found: LayersOfRank) -> LayerTable:
    layers, kernels = found.layers, found.kernels
    begin, end = layers.alike
    alike = kernels[begin:end].with_columns(place=pl.int_range(pl.len()) % layers.size)
    ns = alike.group_by("place").agg(pl.median("ns").round().cast(pl.Int64)).sort("place")["ns"].to_list()
    model = kernels[begin : begin + layers.size].to_dicts()
    first = kernels[layers.begin : layers.begin + layers.size].to_dicts() if layers.first else None
    last = kernels[layers.end - layers.size : layers.end].to_dicts() if layers.last else None

    def other(rows: list[dict[str, object]] | None, place: int) -> tuple[str, int] | None:
        if rows is None or rows[place]["name"] == model[place]["name"]:
            return None
        return str(rows[place]["name"]), int(str(rows[place]["ns"]))

    return LayerTable(
        rank=found.rank,
        count=layers.count,
        kernels=[
            LayerKernel(row["name"], row["group"], row["cls"], ns[place], other(first, place), other(last, place))
            for place, row in enumerate(model)
        ],
        before=_beside(kernels[: layers.begin]),
        after=_beside(kernels[layers.end :]),
    )


def _beside(kernels: pl.DataFrame) -> list[Beside]:
    summed = kernels.group_by("name", "group", "cls").agg(calls=pl.len(), ns=pl.sum("ns"))
    return [Beside(*row) for row in summed.sort("ns", "name", descending=[True, False]).head(_MOST_BESIDE).iter_rows()]
