"""The speed of light of a step beside what it takes: floors, losses, and what each product reaches.

DEFINITIONS.md, section 11a.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from nsysan.light.gpu_speed import GpuSpeed, load_speeds, speed_of
from nsysan.light.matched import medians, product_times_of
from nsysan.light.model_shape import ModelShape
from nsysan.light.products import Product, Setting, Work, floor_of, work_of
from nsysan.light.stated import Model, batch_of, tokens_by_step
from nsysan.light.waterfall import Loss, middle_steps, spent
from nsysan.metrics.counters import Counter
from nsysan.model.health import NODE_FLAG
from nsysan.run.run import Run
from nsysan.text import duration

#: Steps whose kernels are looked at.
_MOST_STEPS = 12
#: With more of the period in communication that is not split, wire and waiting cannot be told apart.
MAX_UNSPLIT = 0.03
_DRAM = "DRAM read"


class ProductSpeed(NamedTuple):
    """One group of products: what it reads and computes in a step and its floor (ns); ns: measured, None where the
    kernels of a step cannot be told apart."""

    product: Product
    work: Work
    floor: int
    ns: int | None

    @property
    def gbps(self) -> float | None:
        """GB/s that it reads at; None where it is not measured, or reads nothing that is known."""
        return self.work.read / self.ns if self.ns and self.work.read else None

    @property
    def tflops(self) -> float | None:
        """1e12 operations a second."""
        return self.work.operations / self.ns / 1e3 if self.ns and self.work.operations else None

    @property
    def share(self) -> float | None:
        """Its floor over what it takes."""
        return self.floor / self.ns if self.ns and self.floor else None


class Dram(NamedTuple):
    """Bytes that a rank reads in a step, by the sampled counters of its memory and by the model."""

    measured: int
    computed: int

    @property
    def ratio(self) -> float:
        """Computed over measured."""
        return self.computed / self.measured


class LightSpeed(NamedTuple):
    """The floor of a step (ns) and what the measured period has above it; compute + comm + the losses are the period.

    setting: batch, context and ranks; batch_source: who states the batch. products: in the order of a layer; together:
    ns of all products of matrices, where they cannot be told apart. dram: None without such counters. doubts: what is
    estimated, as clauses.
    """

    shape: ModelShape
    setting: Setting
    batch_source: str
    speed: GpuSpeed
    products: list[ProductSpeed]
    together: int | None
    compute_floor: int
    comm_floor: int
    period: int
    lost: dict[Loss, int]
    dram: Dram | None
    doubts: tuple[str, ...]

    @property
    def floor(self) -> int:
        """The least that the step can take."""
        return self.compute_floor + self.comm_floor

    @property
    def share(self) -> float:
        """The floor over the period."""
        return self.floor / self.period

    @property
    def read(self) -> int:
        """Bytes that a rank reads."""
        return sum(one.work.read for one in self.products)

    @property
    def achievable(self) -> float:
        """The share of the memory's peak that decode kernels were seen to reach."""
        return load_speeds().achievable.share


class Light(NamedTuple):
    """The speed of light, or why it cannot be told; stated: whether one was asked for."""

    found: LightSpeed | None
    why: str = ""
    stated: bool = True


NOT_STATED = "no model is stated: give --model config.json (or its numbers), with --batch and --context"


def speed_of_light(run: Run, model: Model | None, period: int | None, counters: Iterable[Counter]) -> Light:
    """The speed of light of the headline steps of a replica; period: their median (ns)."""
    if model is None:
        return Light(None, NOT_STATED, stated=False)
    if model.shape is None:
        why = f"--model lacks {', '.join(model.lacking)}; name them, or a config.json"
        return Light(None, why, stated=model.is_of_light)
    if not period or not run.steady_steps:
        return Light(None, "no steady decode step to hold it against")
    head = next(iter(run.steps.populations), None)
    batch = batch_of(head, model)
    # Steps whose ranges tell the batch are called by it.
    told = head is not None and head.batch is not None and head.id.partition(".")[0].endswith(f"_{head.batch}")
    source = "by the steps" if told else "as stated"
    if batch is None:
        return Light(None, "nothing tells how many sequences a step decodes; give --batch")
    speed = slowest_gpu(run, model.shape)
    if speed is None:
        return Light(None, "neither the trace nor the table of GPUs tells how fast the memory is")
    layout = run.layout
    tokens = drafted(run, batch)
    setting = Setting(batch, model.context or 0, layout.tensor, layout.experts, len(layout.stages), tokens)
    return _found(run, model.shape, setting, source, speed, period, list(counters))


def drafted(run: Run, batch: int) -> int:
    """Tokens of the median step where they are more than its sequences, else 0."""
    told = tokens_by_step(labels_of(run))
    tokens = pl.Series([told[step] for step in middle_steps(run) if step in told], dtype=pl.Int64).median()
    return round(tokens) if isinstance(tokens, int | float) and tokens > batch else 0


def _may_draft(run: Run, setting: Setting) -> bool:
    """Whether a draft model may run in a step, too: not where the steps tell that each sequence has one token."""
    return bool(setting.drafted) or not tokens_by_step(labels_of(run))


def labels_of(run: Run) -> dict[int, str | None]:
    """The name of the range of each step."""
    return dict(run.windows.unique("step", keep="first").select("step", "label").iter_rows())


def slowest_gpu(run: Run, shape: ModelShape) -> GpuSpeed | None:
    """The slowest GPU of the run's; None where the speed of one is not known."""
    found: list[GpuSpeed] = []
    for rank in run.ranks:
        gpus = run.metadata[run.trace_of[rank.rank]].gpus.filter(pl.col("gpu").eq_missing(rank.gpu))
        told = gpus["memory_bandwidth"][0] if len(gpus) else None
        speed = speed_of(rank.model, told, shape.rate)
        if speed is None:
            return None
        found.append(speed)
    return min(found, key=lambda speed: speed.memory, default=None)


def _found(
    run: Run, shape: ModelShape, setting: Setting, source: str, speed: GpuSpeed, period: int, counters: list[Counter]
) -> Light:
    parts = spent(run, period)
    if parts is None:
        return Light(None, f"the lines of the ledger are not told in these steps; capture with {NODE_FLAG}")
    if parts.unsplit > MAX_UNSPLIT * period:
        return Light(None, "waiting and wire are not told apart; capture all ranks (see wait_wire)")
    work = work_of(shape, setting)
    floors = {product: floor_of(one, speed) for product, one in work.items()}
    compute = sum(floors.values())
    if compute > parts.work:
        return Light(
            None,
            f"the model as stated takes {duration(compute)} a step at the least, and its kernels took "
            f"{duration(parts.work)}: "
            f"another model, batch, context or width of weights ran, or they stay in the GPU's cache",
        )
    times = pl.concat(run.ask(product_times_of, _some(middle_steps(run))))
    measured, layers = medians(times, staged=setting.stages > 1)
    wanted = shape.layers / setting.stages
    fits = layers > 0 and abs(layers - wanted) < 1
    if layers and not fits and not (layers > wanted and _may_draft(run, setting)):
        return Light(
            None, f"the step runs {layers} layers of attention, the model as stated {wanted:g}: another model ran"
        )
    products = [
        ProductSpeed(product, one, floors[product], measured.get(product.value) if fits else None)
        for product, one in work.items()
    ]
    lost = {
        Loss.KERNELS: parts.work - compute,
        Loss.GAPS: parts.gaps,
        Loss.WIRE: parts.wire,
        Loss.WAIT: parts.wait,
        Loss.HOST: parts.host,
    }
    return Light(
        LightSpeed(
            shape=shape,
            setting=setting,
            batch_source=source,
            speed=speed,
            products=products,
            together=None if fits else _together(measured),
            compute_floor=compute,
            comm_floor=parts.floor_wire,
            period=period,
            lost=lost,
            dram=_dram(counters, speed, period, sum(one.read for one in work.values())),
            doubts=tuple(_doubts(shape, setting, speed, products, layers, parts.unsplit, eager=run.is_eager)),
        )
    )


def _together(measured: dict[str | None, int]) -> int | None:
    ns = sum(n for product, n in measured.items() if product != Product.ATTENTION)
    return ns or None


def _some(steps: list[int]) -> list[int]:
    """So many of the steps at most, evenly spread."""
    return steps if len(steps) <= _MOST_STEPS else [steps[n * len(steps) // _MOST_STEPS] for n in range(_MOST_STEPS)]


def _dram(counters: list[Counter], speed: GpuSpeed, period: int, computed: int) -> Dram | None:
    """What the ranks' counters of reads say (median over the ranks), which are in per cent of the peak."""
    shares = pl.Series(
        [c.steps.mean for c in counters if c.metric == _DRAM and c.unit == "%" and c.steps.mean], dtype=pl.Float64
    )
    share = shares.median()
    if not isinstance(share, float):
        return None
    measured = round(share / 100 * speed.memory * period / 1e9)
    return Dram(measured, computed) if measured else None


def _doubts(
    shape: ModelShape,
    setting: Setting,
    speed: GpuSpeed,
    products: list[ProductSpeed],
    layers: int,
    unsplit: int,
    *,
    eager: bool,
) -> Iterable[str]:
    if not setting.context:
        yield "without --context the KV cache is not in the floor"
    if shape.vocab is None:
        yield "without vocab no product with the vocabulary is in it"
    if speed.rate is None:
        yield f"operations are not in it ({speed.rate_source})"
    if shape.experts is not None:
        yield "experts that the batch touches are those expected if all are chosen alike"
    if setting.stages > 1:
        yield "of a pipeline it is the mean of the stages, all of them busy all the time"
    wanted = shape.layers / setting.stages
    if not layers:
        yield "which kernel is which product could not be told"
    elif abs(layers - wanted) >= 1:
        yield f"the step runs {layers} layers of attention, the model {wanted:g}, the rest of which may be drafts'"
    if fast := [one.product for one in products if one.gbps and one.gbps > speed.memory / 1e9]:
        yield f"{', '.join(fast)} would read faster than the memory: cached, or not these kernels"
    if eager:
        yield "kernels are launched one by one, and what is the host's is inflated by the profiler"
    if unsplit:
        yield "wire has communication that is not split from waiting"
