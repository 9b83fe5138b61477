"""What the sampled GPU counters show over the steps, inside collectives and outside (DEFINITIONS.md, section 9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.columns.intervals import atoms
from nsysan.metrics.cut import cut_at_arrival
from nsysan.text import duration

#: Columns of the calls that samples are held against.
OF_CALLS = ("step", "rank", "cls", "begin", "end", "last")
_COLLECTIVE, _TRANSFER = range(2)
#: A sample belongs to what fills this share of the time it stands for; one that straddles proves nothing.
PURE = 0.98
#: Fewer samples than this are an anecdote.
MIN_SAMPLES = 5
_FULL = 100
_SAMPLE = ["begin", "end"]
#: Columns of Counter.per_step after step, rank, metric and steady.
STEP_FIGURES = tuple(
    f"{where}{what}" for where in ("", "in_collectives_", "outside_") for what in ("mean", "peak", "samples")
)


class SampleStats(NamedTuple):
    """Samples of one kind of time; mean and peak are None where they are fewer than MIN_SAMPLES."""

    samples: int
    mean: float | None
    peak: int | None


@dataclass(frozen=True)
class Counter:
    """One counter of one rank's GPU over the steady steps.

    interval: ns a sample stands for (median). steps: all samples, weighted by their time in steady steps.
    in_collectives, in_transfer (after the last arrival), outside: the samples that lie there (see PURE).
    per_step: step, rank, metric, steady and STEP_FIGURES, a row for each step of the rank. A step's samples are those
      with more than half of their time in it, weighted by that time; mean and peak are null where there is none.
    reason: why something is None, else None.
    """

    rank: int
    metric: str
    unit: str | None
    interval: int
    steps: SampleStats
    in_collectives: SampleStats
    in_transfer: SampleStats
    outside: SampleStats
    reason: str | None
    per_step: pl.DataFrame = field(compare=False, repr=False)


def summarise(samples: pl.DataFrame, windows: pl.DataFrame, collectives: pl.DataFrame) -> list[Counter]:
    """A Counter for each rank and metric of `samples` (see run.samples.load_samples).

    windows: step, rank, begin, finish, steady of all steps; collectives: OF_CALLS of the calls in them.
    """
    counters = []
    for (rank,), own in samples.partition_by("rank", as_dict=True, maintain_order=True).items():
        steps = windows.filter(pl.col("rank") == rank).sort("begin")
        calls = collectives.filter(pl.col("rank") == rank)
        pieces = _pieces(own.select(_SAMPLE).unique().sort("begin"), steps, calls)
        placed = own.join(_in_steady_steps(pieces), on=_SAMPLE, how="left", maintain_order="left").with_columns(
            pl.col("steady", "collective", "transfer").fill_null(0)
        )
        by_step = _per_step(own, pieces, steps)
        usual = calls.join(steps.filter("steady"), on="step", how="semi").select(pl.col("end") - pl.col("begin"))
        call = usual.to_series().median()
        for (metric, unit), values in placed.partition_by("metric", "unit", as_dict=True, maintain_order=True).items():
            counters.append(
                _counter(
                    (int(str(rank)), str(metric), None if unit is None else str(unit)),
                    values.sort("begin"),
                    by_step.filter(pl.col("metric") == metric, pl.col("unit").eq_missing(unit)).drop("unit"),
                    call if isinstance(call, int | float) else None,
                )
            )
    return counters


def _pieces(times: pl.DataFrame, steps: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """What of each sample lies in each step that it touches.

    begin, end (of the sample), step, steady, and the ns inside the step, and there in collectives and their transfer.
    """
    steps = steps.filter(pl.col("finish") > pl.col("begin"))
    begins, ends = times["begin"].to_numpy(), times["end"].to_numpy()
    opened, closed = steps["begin"].to_numpy(), steps["finish"].to_numpy()
    first = np.searchsorted(closed, begins, side="right")
    touched = np.maximum(np.searchsorted(opened, ends, side="left") - first, 0)
    sample = np.repeat(np.arange(len(times)), touched)
    step = np.arange(len(sample)) - np.repeat(np.cumsum(touched) - touched, touched) + first[sample]
    cut = cut_at_arrival(calls)
    table = atoms(
        np.concatenate((cut.begin, cut.end[cut.at])),
        np.concatenate((calls["end"].to_numpy(), cut.finish)),
        np.repeat((_COLLECTIVE, _TRANSFER), (len(calls), len(cut.at))),
        (np.maximum(begins[sample], opened[step]), np.minimum(ends[sample], closed[step])),
        2,
    )
    masks = np.arange(4)
    named: pl.DataFrame = pl.concat([times[sample], steps.select("step", "steady")[step]], how="horizontal")
    return named.with_columns(
        pl.Series("inside", table.sum(axis=1)),
        pl.Series("collective", table[:, masks >> _COLLECTIVE & 1 == 1].sum(axis=1)),
        pl.Series("transfer", table[:, masks >> _TRANSFER & 1 == 1].sum(axis=1)),
    )


def _in_steady_steps(pieces: pl.DataFrame) -> pl.DataFrame:
    """begin, end of each sample, and its ns in steady steps, and there in collectives and their transfer."""
    steady = pieces.filter("steady").group_by(_SAMPLE)
    return steady.agg(steady=pl.sum("inside"), collective=pl.sum("collective"), transfer=pl.sum("transfer"))


def _per_step(own: pl.DataFrame, pieces: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """Counter.per_step of all counters of a rank (samples `own`), and their unit."""
    length = pl.col("end") - pl.col("begin")
    whole = {"covered": pl.sum("inside").over(_SAMPLE), "calls": pl.sum("collective").over(_SAMPLE)}
    mostly = pieces.with_columns(**whole).filter(2 * pl.col("inside") > length)
    in_calls = pl.col("calls") >= PURE * length
    outside = (pl.col("covered") >= PURE * length) & (pl.col("calls") <= (1 - PURE) * length)
    key = ["metric", "unit", "step"]
    figures = (
        own.join(mostly.drop("steady"), on=_SAMPLE)
        .group_by(key)
        .agg(*_figures("", pl.lit(True)), *_figures("in_collectives_", in_calls), *_figures("outside_", outside))
    )
    every = own.select("metric", "unit").unique(maintain_order=True).join(steps, how="cross")
    found = every.join(figures, on=key, how="left", nulls_equal=True, maintain_order="left")
    counts = [name for name in STEP_FIGURES if name.endswith("samples")]
    columns = ("unit", "step", "rank", "metric", "steady", *STEP_FIGURES)
    return found.with_columns(pl.col(counts).fill_null(0)).select(columns)


def _figures(prefix: str, which: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Mean, peak and number of a step's samples that are of one kind."""
    weight = pl.col("inside").filter(which)
    mean = (pl.col("value").filter(which) * weight).sum() / weight.sum()
    return (
        pl.when(weight.len() > 0).then(mean.round(3)).alias(f"{prefix}mean"),
        pl.col("value").filter(which).max().alias(f"{prefix}peak"),
        weight.len().cast(pl.Int64).alias(f"{prefix}samples"),
    )


def _counter(
    name: tuple[int, str, str | None], values: pl.DataFrame, per_step: pl.DataFrame, call: float | None
) -> Counter:
    """name: rank, metric, unit; values: begin, end, value, steady, collective, transfer of one counter."""
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
    reason = _reason(*parts, interval=interval, call=call)
    _, metric, unit = name
    if unit == "%" and metric.startswith("NVLink") and len(inside) and (values["value"] >= _FULL).all():
        nothing = [pl.lit(None).cast(per_step.schema[k]).alias(k) for k in STEP_FIGURES if not k.endswith("samples")]
        steps, calls, transfers, outside = (SampleStats(part.samples, None, None) for part in parts)
        parts, per_step = (steps, calls, transfers, outside), per_step.with_columns(nothing)
        reason = "reads 100 % throughout, as a link that is not there does"
    return Counter(*name, interval, *parts, reason, per_step)


def _part(values: pl.DataFrame) -> SampleStats:
    if len(values) < MIN_SAMPLES:
        return SampleStats(len(values), None, None)
    mean = np.average(values["value"].to_numpy(), weights=values["steady"].to_numpy())
    return SampleStats(len(values), round(float(mean), 3), int(values["value"].max()))  # type: ignore[arg-type]


def _reason(
    steps: SampleStats,
    in_collectives: SampleStats,
    in_transfer: SampleStats,
    outside: SampleStats,
    *,
    interval: int,
    call: float | None,
) -> str | None:
    if steps.mean is None:
        return (
            f"{steps.samples} sample{'' if steps.samples == 1 else 's'} in the steady steps, fewer than {MIN_SAMPLES}"
        )
    if call is None:
        return "no collective kernel is visible in the steady steps"
    named = (("in collectives", in_collectives), ("in their transfer", in_transfer), ("outside", outside))
    few = [f"{part.samples} {name}" for name, part in named if part.mean is None]
    if not few:
        return None
    return (
        f"a sample stands for {duration(interval)} and a collective lasts {duration(call)}: of {steps.samples} "
        f"samples {', '.join(few)}, fewer than {MIN_SAMPLES}"
    )
