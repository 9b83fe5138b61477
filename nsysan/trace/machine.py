"""The machine that a trace was recorded on: its GPUs, and the counters that were sampled on them."""

from __future__ import annotations

import polars as pl

from nsysan.trace.tables import I64, TEXT, Tables
from nsysan.trace.where import Where

GPUS = "TARGET_INFO_GPU"
_METRICS = "GPU_METRICS"
_GPU_MASK = 0xFF  # a typeId of GPU_METRICS ends in nsys' own number of the GPU


def gpus(tables: Tables) -> pl.DataFrame:
    """GPUs of the host: gpu (nsys' own number), cuda_device (0 everywhere in old recordings), model, bus, chip,
    memory_bandwidth (bytes/s), sms; the last three are null or 0 in old recordings.
    """
    names = {
        "id": "gpu",
        "cuDevice": "cuda_device",
        "name": "model",
        "busLocation": "bus",
        "chipName": "chip",
        "memoryBandwidth": "memory_bandwidth",
        "smCount": "sms",
    }
    texts = ("name", "busLocation", "chipName")
    columns = {name: TEXT if name in texts else I64 for name in names}
    return tables.read(GPUS, columns).rename(names)


def cuda_devices(tables: Tables) -> pl.DataFrame:
    """Which GPU a CUDA ordinal means in a process: pid, device, gpu."""
    frame = tables.read("TARGET_INFO_CUDA_DEVICE", {"pid": I64, "cudaId": I64, "gpuId": I64})
    return frame.rename({"cudaId": "device", "gpuId": "gpu"}).unique(maintain_order=True)


def gpu_metrics(tables: Tables) -> pl.DataFrame:
    """Sampled counters that the export names: type_id, metric_id, metric, gpu.

    nsys does not keep metric ids from one version, or one GPU, to the next: a metric is known by its name.
    """
    frame = tables.read("TARGET_INFO_GPU_METRICS", {"typeId": I64, "metricId": I64, "metricName": TEXT})
    if _METRICS not in tables:
        frame = frame.clear()
    return (
        frame.drop_nulls()
        .rename({"typeId": "type_id", "metricId": "metric_id", "metricName": "metric"})
        .select("type_id", "metric_id", "metric", gpu=pl.col("type_id") & pl.lit(_GPU_MASK, dtype=I64))
        .unique(["type_id", "metric_id"], keep="first", maintain_order=True)
    )


def gpu_metric_samples(tables: Tables, wanted: pl.DataFrame, begin: int, end: int) -> pl.DataFrame:
    """Samples of some rows of `gpu_metrics` with begin <= time < end: gpu, metric, time, value; by time.

    Only these rows leave the file, which may hold tens of millions.
    """
    columns = {"timestamp": I64, "typeId": I64, "metricId": I64, "value": I64}
    schema = {"gpu": I64, "metric": TEXT, "time": I64, "value": I64}
    if wanted.is_empty() or not columns.keys() <= set(tables.columns(_METRICS)):
        return pl.DataFrame(schema=schema)
    frame = tables.read(
        _METRICS,
        columns,
        [
            Where("timestamp", at_least=begin, below=end),
            Where("metricId", one_of=wanted["metric_id"].unique().sort().to_list()),
            Where("typeId", one_of=wanted["type_id"].unique().sort().to_list()),
        ],
    )
    return (
        frame.rename({"timestamp": "time", "typeId": "type_id", "metricId": "metric_id"})
        .join(wanted, on=["type_id", "metric_id"], how="inner")
        .select(list(schema))
        .sort("gpu", "metric", "time")
    )
