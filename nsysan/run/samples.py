"""Sampled GPU counters of the ranks, under the names that people know, on the run's clock.

DEFINITIONS.md, section 9.
"""

from __future__ import annotations

import re

import polars as pl

from nsysan.columns.times import shifted
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.trace.trace import Trace

#: Counter and the names nsys gave it: A100 and H200 exports; "bytes received" of H100 includes the protocol.
_KNOWN = (
    ("NVLink RX", re.compile(r"NVLink RX (Requests|Responses) User Data")),
    ("NVLink TX", re.compile(r"NVLink TX (Requests|Responses) User Data")),
    ("NVLink RX with protocol", re.compile(r"NVLink bytes received", re.IGNORECASE)),
    ("NVLink TX with protocol", re.compile(r"NVLink bytes transmitted", re.IGNORECASE)),
    ("PCIe RX", re.compile(r"PCIe RX Throughput")),
    ("PCIe TX", re.compile(r"PCIe TX Throughput")),
    ("DRAM read", re.compile(r"DRAM Read (Bandwidth|Throughput)")),
    ("DRAM write", re.compile(r"DRAM Write (Bandwidth|Throughput)")),
    ("SMs active", re.compile(r"SMs? Active")),
)
METRICS = tuple(name for name, _ in _KNOWN)
_UNIT = re.compile(r"\[(?:Throughput )?(.+)\]$")
_SLOWEST_NS = 100_000_000  # nsys samples at 10 Hz or faster
_GAP = 1.5
SAMPLES = {
    "rank": pl.Int64(),
    "metric": pl.String(),
    "unit": pl.String(),
    "begin": pl.Int64(),
    "end": pl.Int64(),
    "value": pl.Int64(),
}


def load_samples(run: Run) -> pl.DataFrame | None:
    """Counters of the ranks' GPUs over the steps: rank, metric, unit, begin, end, value; None where none were captured.

    A sample holds from its time to the next sample's: on the H200 of fixtures/tp2_metrics (nsys 2025.3.2) the
    samples follow the kernels with a correlation of 0.997 so, and of 0.96 from the sample before.
    Requests and responses on NVLink are shares of one peak, and summed.
    """
    found = [own for own in run.ask(samples_of) if own is not None]
    return in_order(pl.concat(found)) if found else None


def samples_of(placed: PlacedTrace) -> pl.DataFrame | None:
    """load_samples of one trace."""
    trace, shift = placed.trace, placed.placement.shift
    known = known_metrics(trace)
    if known.is_empty():
        return None
    gpu_of = pl.DataFrame(
        [(rank.rank, rank.gpu) for rank in placed.placement.ranks if rank.gpu is not None],
        schema={"rank": pl.Int64, "gpu": pl.Int64},
        orient="row",
    )
    windows = placed.windows.filter(pl.col("rank").is_in(gpu_of["rank"].to_list()))
    wanted = known.filter(pl.col("gpu").is_in(gpu_of["gpu"].to_list()))
    if wanted.is_empty() or windows.is_empty():
        return pl.DataFrame(schema=SAMPLES)
    rate = trace.gpu_metrics_rate
    margin = 2_000_000_000 // rate if rate else 2 * _SLOWEST_NS
    begin, finish = map(shift.back, windows.select(pl.min("begin"), pl.max("finish")).row(0))
    begin, finish = begin - margin, finish + margin
    read = trace.gpu_metric_samples(wanted.select("type_id", "metric_id", "gpu", "metric"), begin, finish)
    named = read.join(wanted.select("gpu", "metric", "counter", "unit"), on=["gpu", "metric"])
    summed = named.group_by("gpu", "counter", "unit", "time").agg(pl.sum("value"))
    lasting = _lasting(summed).rename({"counter": "metric"})
    own = shifted(gpu_of.join(lasting, on="gpu"), shift).select(list(SAMPLES))
    inside = own.join(
        windows.group_by("rank").agg(first=pl.min("begin"), last=pl.max("finish")), on="rank", how="inner"
    ).filter((pl.col("end") > pl.col("first")) & (pl.col("begin") < pl.col("last")))
    return in_order(inside.select(list(SAMPLES)))


def in_order(samples: pl.DataFrame) -> pl.DataFrame:
    """The samples by rank, then counter, then time."""
    return samples.sort("rank", pl.col("metric").cast(pl.Enum(METRICS)), "begin")


def known_metrics(trace: Trace) -> pl.DataFrame:
    """Rows of Trace.gpu_metrics that are one of METRICS: with counter and unit (null where the name has none).

    Of a counter in several units, per cent is taken.
    """
    schema = {
        "type_id": pl.Int64,
        "metric_id": pl.Int64,
        "metric": pl.String,
        "gpu": pl.Int64,
        "counter": pl.String,
        "unit": pl.String,
    }
    rows: list[tuple[int, int, str, int, str, str | None]] = []
    for type_id, metric_id, metric, gpu in trace.gpu_metrics.iter_rows():
        counter = next((name for name, pattern in _KNOWN if pattern.match(metric)), None)
        if counter is not None:
            unit = _UNIT.search(metric)
            rows.append((type_id, metric_id, metric, gpu, counter, unit[1] if unit else None))
    units: dict[tuple[int, str], str | None] = {}
    for *_, gpu, counter, name in sorted(rows, key=lambda row: (row[-1] != "%", row[-1] or "")):
        units.setdefault((gpu, counter), name)
    return pl.DataFrame([row for row in rows if units[row[3], row[4]] == row[5]], schema=schema, orient="row")


def _lasting(samples: pl.DataFrame) -> pl.DataFrame:
    """The samples with begin and end; one before a gap lasts as long as the others."""
    times = samples.select("gpu", begin="time").unique().sort("gpu", "begin")
    apart = (pl.col("begin").shift(-1) - pl.col("begin")).over("gpu")
    usual = apart.median().over("gpu").round().cast(pl.Int64)
    lasts = pl.when(apart <= _GAP * usual).then(apart).otherwise(usual)
    times = times.with_columns(end=pl.col("begin") + lasts).drop_nulls("end")
    return samples.rename({"time": "begin"}).join(times, on=["gpu", "begin"])
