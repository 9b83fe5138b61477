"""What the sampled GPU counters show over the steps, inside collectives and outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan.metrics.intervals import atoms

_STEADY, _COLLECTIVE, _TRANSFER = range(3)
#: A sample belongs to what fills this share of the time it stands for; one that straddles proves nothing.
PURE = 0.98
#: Fewer samples than this are an anecdote.
MIN_SAMPLES = 5
_FULL = 100


@dataclass(frozen=True)
class Part:
    """Samples of one kind of time; mean and peak are None where they are fewer than MIN_SAMPLES."""

    samples: int
    mean: float | None
    peak: int | None


@dataclass(frozen=True)
class Counter:
    """One counter of one rank's GPU over the steady steps.

    interval: ns a sample stands for (median). steps: all samples, weighted by their time in steady steps.
    in_collectives, in_transfer (after the last arrival), outside: the samples that lie there (see PURE).
    reason: why something is None, else None.
    """

    rank: int
    metric: str
    unit: str | None
    interval: int
    steps: Part
    in_collectives: Part
    in_transfer: Part
    outside: Part
    reason: str | None


def summarise(samples: pl.DataFrame, windows: pl.DataFrame, collectives: pl.DataFrame) -> list[Counter]:
    """A Counter for each rank and metric of `samples` (see model.samples.load_samples).

    windows: rank, begin, finish of the steady steps; collectives: rank, begin, end, last (null: not matched).
    """
    counters = []
    for (rank,), own in samples.partition_by("rank", as_dict=True, maintain_order=True).items():
        calls = collectives.filter(pl.col("rank") == rank)
        steady = windows.filter(pl.col("rank") == rank)
        times = own.select("begin", "end").unique().sort("begin")
        placed = own.join(times.with_columns(_shares(times, steady, calls)), on=["begin", "end"], maintain_order="left")
        call = (calls["end"] - calls["begin"]).median()
        for (metric, unit), values in placed.partition_by("metric", "unit", as_dict=True, maintain_order=True).items():
            counters.append(
                _counter(
                    int(str(rank)),
                    str(metric),
                    None if unit is None else str(unit),
                    values.sort("begin"),
                    call if isinstance(call, int | float) else None,
                )
            )
    return counters


def _shares(times: pl.DataFrame, steady: pl.DataFrame, calls: pl.DataFrame) -> list[pl.Series]:
    """ns of each sample in steady steps, and of that in collectives and in their transfer."""
    transfers = calls.drop_nulls("last")
    starts = (steady["begin"], calls["begin"], transfers["last"])
    ends = (steady["finish"], calls["end"], transfers["end"])
    classes = np.repeat(np.arange(3), [len(part) for part in starts])
    table = atoms(
        np.concatenate([part.to_numpy() for part in starts]),
        np.concatenate([part.to_numpy() for part in ends]),
        classes,
        (times["begin"].to_numpy(), times["end"].to_numpy()),
        3,
    )
    masks = np.arange(8)
    steadily = masks >> _STEADY & 1 == 1
    return [
        pl.Series("steady", table[:, steadily].sum(axis=1)),
        pl.Series("collective", table[:, steadily & (masks >> _COLLECTIVE & 1 == 1)].sum(axis=1)),
        pl.Series("transfer", table[:, steadily & (masks >> _TRANSFER & 1 == 1)].sum(axis=1)),
    ]


def _counter(rank: int, metric: str, unit: str | None, values: pl.DataFrame, call: float | None) -> Counter:
    """values: begin, end, value, steady, collective, transfer of one counter."""
    inside = values.filter(pl.col("steady") > 0)
    length = pl.col("end") - pl.col("begin")
    apart = values.select(length.median()).item()
    interval = round(apart) if apart is not None else 0
    whole = pl.col("steady") >= PURE * length
    parts = (
        _part(inside),
        _part(inside.filter(pl.col("collective") >= PURE * length)),
        _part(inside.filter(pl.col("transfer") >= PURE * length)),
        _part(inside.filter(whole & (pl.col("collective") <= (1 - PURE) * length))),
    )
    if unit == "%" and metric.startswith("NVLink") and len(inside) and (values["value"] >= _FULL).all():
        steps, calls, transfers, outside = (Part(part.samples, None, None) for part in parts)
        reason = "reads 100 % throughout, as a link that is not there does"
        return Counter(rank, metric, unit, interval, steps, calls, transfers, outside, reason)
    return Counter(rank, metric, unit, interval, *parts, _reason(*parts, interval=interval, call=call))


def _part(values: pl.DataFrame) -> Part:
    if len(values) < MIN_SAMPLES:
        return Part(len(values), None, None)
    mean = np.average(values["value"].to_numpy(), weights=values["steady"].to_numpy())
    return Part(len(values), round(float(mean), 3), int(values["value"].max()))  # type: ignore[arg-type]


def _reason(
    steps: Part, in_collectives: Part, in_transfer: Part, outside: Part, *, interval: int, call: float | None
) -> str | None:
    if steps.mean is None:
        return f"{steps.samples} samples in the steady steps, fewer than {MIN_SAMPLES}"
    if call is None:
        return "no collective kernel is visible in the steady steps"
    named = (("in collectives", in_collectives), ("in their transfer", in_transfer), ("outside", outside))
    few = [f"{part.samples} {name}" for name, part in named if part.mean is None]
    if not few:
        return None
    return (
        f"a sample stands for {interval / 1e3:,.0f} us and a collective lasts {call / 1e3:,.1f} us: of {steps.samples} "
        f"samples {', '.join(few)}, fewer than {MIN_SAMPLES}"
    )
