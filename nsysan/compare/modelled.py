"""A side's step by a model: which place of it is which product, so that one capture tells how its compute divides.

DEFINITIONS.md, section 11a.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from nsysan.compare.step_work import StepWork
from nsysan.light.gpu_speed import GpuSpeed
from nsysan.light.grids import launched_in, told_by
from nsysan.light.matched import products_of_step
from nsysan.light.model_shape import ModelShape
from nsysan.light.products import Product, Setting, floor_of, work_of
from nsysan.light.speed_of_light import drafted, labels_of, slowest_gpu
from nsysan.light.stated import Model
from nsysan.light.told_by_grids import processors_of
from nsysan.model.steps.engines import load_engines
from nsysan.run.run import Run
from nsysan.text import duration, plain, size

#: Engines that bring an all-reduce of their own, by the name that data/engines.toml has for their ranges.
_OWN_CALLS = ("vLLM", "vLLM model runner", "SGLang")
#: What a product reads in a second over the memory's peak: more is another model, but for clocks and what is cached.
MOST_OF_PEAK = 1.1
#: By the grid of a product its width is known to the tile.
WIDEST_TILE = 256


@dataclass(frozen=True)
class ModelledStep:
    """Of each place of a step the product that it is of, None of what is none; called: whether communication follows
    it before the next product. own_calls: whether its engine brings its own all-reduce."""

    shape: ModelShape
    setting: Setting
    speed: GpuSpeed
    products: tuple[Product | None, ...]
    called: tuple[bool, ...]
    own_calls: bool

    def floors(self, ranks: int) -> dict[Product, int]:
        """ns that each product takes at the least of a rank of so many."""
        one = self.setting
        at = Setting(one.sequences, one.context, ranks, one.experts, one.stages, one.drafted)
        return {product: floor_of(work, self.speed) for product, work in work_of(self.shape, at).items()}

    def last_of(self, *products: Product) -> list[int]:
        """The places that end a run of one of these products."""
        found: list[int] = []
        later: Product | None = None
        for at in range(len(self.products) - 1, -1, -1):
            product = self.products[at]
            if product in products and later != product:
                found.append(at)
            later = product or later
        return found[::-1]


def modelled(
    run: Run, work: StepWork, calls: pl.DataFrame, model: Model, batch: int, *, assumed: bool
) -> ModelledStep | str:
    """The step of a replica, of `batch` sequences, by a model; else why it cannot be told.

    calls: as ComparedRun has them. assumed: whether nobody told the batch.
    """
    shape, layout = model.shape, run.layout
    if shape is None:
        return f"--model lacks {', '.join(model.lacking)}"
    if assumed:
        return "nothing tells how many sequences a step decodes; give --batch"
    if layout.experts > 1:
        return "its ranks share out whole experts: how more of them would is not told"
    speed = slowest_gpu(run, shape)
    if speed is None:
        return "neither the trace nor the table of GPUs tells how fast the memory is"
    setting = Setting(batch, model.context or 0, layout.tensor, drafted=drafted(run, batch))
    found = _found(run, work, shape, setting, speed)
    if isinstance(found, str):
        return found
    return _another_hidden(calls, found) or _another_width(run, work, shape) or _too_fast(work, found) or found


def _found(run: Run, work: StepWork, shape: ModelShape, setting: Setting, speed: GpuSpeed) -> ModelledStep | str:
    rank, step = work.example
    told = next((one for one in run.ask(products_of_step, rank, step) if one is not None), None)
    layers = 0 if told is None else int(told["layers"].max() or 0)  # type: ignore[arg-type]
    if told is None or tuple(told["name"]) != work.sequence or not layers:
        return "which kernel is which product of the model could not be told"
    if layers != shape.layers:
        return f"the step runs {layers} layers of attention, the model as stated {shape.layers}: another model ran"
    engines = [one.name for one in load_engines() for label in labels_of(run).values() if one.range.search(label or "")]
    return ModelledStep(shape, setting, speed, *_by_place(told, work), bool(set(engines) & set(_OWN_CALLS)))


def _by_place(told: pl.DataFrame, work: StepWork) -> tuple[tuple[Product | None, ...], tuple[bool, ...]]:
    products: list[Product | None] = [None] * len(work.kinds)
    called = [False] * len(work.kinds)
    for place, product, after in zip(work.place_of, told["product"], told["after"], strict=True):
        products[place] = products[place] or (Product(product) if product else None)
        called[place] = bool(after)
    return tuple(products), tuple(called)


def _another_hidden(calls: pl.DataFrame, found: ModelledStep) -> str | None:
    """All-reduces that are no hidden states of the model, where any size is told; a graph may pad the batch."""
    sizes = calls.filter(kind="all_reduce")["message_bytes"].drop_nulls().unique().sort().to_list()
    least, each = found.shape.message_bytes(found.setting.tokens), found.shape.message_bytes(1)
    if not sizes or any(own == least or (least < own < 2 * least and own % each == 0) for own in sizes):
        return None
    listed = ", ".join(size(own) for own in sizes[:4])
    return (
        f"its all-reduces are of {listed}, and hidden states of {found.setting.tokens} tokens of the model as stated "
        f"are {size(least)}: another model or batch"
    )


def _another_width(run: Run, work: StepWork, shape: ModelShape) -> str | None:
    """Hidden states that are wider or narrower by the grids of the products that make them, but for a tile."""
    rank, step = work.example
    kernels = next((one for one in run.ask(launched_in, rank, [step]) if one is not None), {})
    width = told_by(kernels.get(step, []), processors_of(run)).width
    if width is None or shape.hidden <= width < shape.hidden + WIDEST_TILE:
        return None
    return (
        f"by the grids of its kernels hidden states are {width} wide, of the model as stated {shape.hidden}: another "
        f"model ran"
    )


def _too_fast(work: StepWork, found: ModelledStep) -> str | None:
    floors = found.floors(found.setting.tensor)
    times = times_of(work, found.products)
    fast = [p for p, ns in times.items() if ns and floors[p] > MOST_OF_PEAK * ns]
    if not fast:
        return None
    product = max(fast, key=lambda one: floors[one])
    return (
        f"{plain(product.value, 40)} of the model as stated takes {duration(floors[product])} at the least, and took "
        f"{duration(times[product])}: another model, batch, context or width of weights ran"
    )


def times_of(work: StepWork, products: Sequence[Product | None]) -> dict[Product, float]:
    """ns a step of each product."""
    found: dict[Product, float] = {}
    for product, ns in zip(products, work.ns.tolist(), strict=True):
        if product is not None:
            found[product] = found.get(product, 0.0) + ns
    return found
