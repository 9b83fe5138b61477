"""The speed of light as JSON-ready data."""

from __future__ import annotations

from typing import Any

from nsysan.light.gpu_speed import load_speeds
from nsysan.light.speed_of_light import Light, ProductSpeed


def light_values(light: Light) -> dict[str, Any] | None:
    """The object `light_speed`; null where it cannot be told (quality row `light_speed`)."""
    found = light.found
    if found is None:
        return None
    achievable = load_speeds().achievable
    rate = found.speed.rate
    return {
        "model": found.shape.source,
        "batch": found.setting.sequences,
        "tokens": found.setting.tokens,
        "batch_source": found.batch_source,
        "context": found.setting.context or None,
        "tensor_parallel": found.setting.tensor,
        "expert_parallel": found.setting.experts,
        "stages": found.setting.stages,
        "memory_gbps": found.speed.memory / 1e9,
        "memory_source": found.speed.memory_source,
        "peak_tflops": None if rate is None else rate / 1e12,
        "peak_source": found.speed.rate_source,
        "achievable_share": achievable.share,
        "achievable_source": achievable.source,
        "period_ns": found.period,
        "compute_floor_ns": found.compute_floor,
        "comm_floor_ns": found.comm_floor,
        "period_floor_ns": found.floor,
        "share": found.share,
        "lost_ns": {loss.value: ns for loss, ns in found.lost.items()},
        "products": [_product(one) for one in found.products],
        "products_ns": found.together,
        "dram": None
        if found.dram is None
        else {
            "measured_bytes": found.dram.measured,
            "computed_bytes": found.dram.computed,
            "ratio": found.dram.ratio,
        },
    }


def _product(one: ProductSpeed) -> dict[str, Any]:
    return {
        "product": one.product.value,
        "layers": one.work.layers,
        "read_bytes": one.work.read,
        "operations": one.work.operations,
        "floor_ns": one.floor,
        "ns": one.ns,
        "read_gbps": one.gbps,
        "tflops": one.tflops,
        "share": one.share,
    }
