"""The speed of light in words and rows, the same in every output."""

from __future__ import annotations

from nsysan.light.products import Product
from nsysan.light.speed_of_light import LightSpeed, ProductSpeed
from nsysan.light.waterfall import Loss
from nsysan.text import counted, duration, pct, plain, us

#: Heads of product_rows.
PRODUCT_HEADS = ("product", "reads MB", "floor µs", "takes µs", "GB/s", "TFLOP/s", "floor/takes")


def light_sentence(light: LightSpeed) -> str:
    """The floor, and what share of the period that is."""
    where = light.setting
    tokens = f" of {where.drafted} tokens" if where.drafted else ""
    context = f", context {where.context}" if where.context else ""
    ranks = f"TP={where.tensor}" + (f", EP={where.experts}" if where.experts > 1 else "")
    calls = f", calls at their floor {duration(light.comm_floor)}" if light.comm_floor else ""
    return (
        f"{duration(light.floor)} of {duration(light.period)} a step, {pct(light.share)}: kernels at the least "
        f"{duration(light.compute_floor)} ({light.read / 1e9:.3g} GB a rank at {light.speed.memory / 1e9:,.0f} "
        f"GB/s){calls} (batch {where.sequences}{tokens}{context}, {ranks}; {plain(light.shape.source, 200)})"
    )


def lost_sentence(light: LightSpeed) -> str:
    """What the measured step has above its floor; the parts sum to it."""
    parts = ", ".join(f"{loss} {us(ns)}" for loss, ns in light.lost.items())
    return f"above the floor {us(light.period - light.floor)} µs: {parts}"


def reached_sentence(light: LightSpeed) -> str:
    """How fast weights are read, beside what decode kernels can reach; "" where the kernels are not told apart."""
    told = [one for one in light.products if one.ns and one.work.read and one.product != Product.ATTENTION]
    ns = sum(one.ns or 0 for one in told) or light.together
    read = sum(one.work.read for one in (told or light.products) if one.product != Product.ATTENTION)
    if not ns:
        return ""
    share = read / ns * 1e9 / light.speed.memory
    return (
        f"the products with weights read at {read / ns:,.0f} GB/s, {pct(share)} of the memory's peak; "
        f"{pct(light.achievable)} was seen of a large read"
    )


def kernels_sentence(light: LightSpeed) -> str:
    """Whose the kernels above the floor are; "" where they are not told apart."""
    over = {one.product: one.ns - one.floor for one in light.products if one.ns is not None}
    attention = over.pop(Product.ATTENTION, 0)
    weights = sum(over.values())
    rest = light.lost[Loss.KERNELS] - weights - attention
    if not over or rest < 0:
        return ""
    return f"kernels above it: products with weights {us(weights)}, attention {us(attention)}, all others {us(rest)}"


def dram_sentence(light: LightSpeed) -> str:
    """What the counters of the memory say of what is read; "" without them."""
    if light.dram is None:
        return ""
    return (
        f"by the counters of the memory a rank reads {light.dram.measured / 1e9:.3g} GB a step, the model "
        f"{light.dram.computed / 1e9:.3g} GB ({pct(light.dram.ratio)} of it)"
    )


def sentences(light: LightSpeed) -> list[str]:
    """All but the first."""
    told = (lost_sentence(light), kernels_sentence(light), reached_sentence(light), dram_sentence(light))
    return [sentence for sentence in told if sentence]


def product_rows(light: LightSpeed) -> list[list[str]]:
    """A row for each group of products, as PRODUCT_HEADS has them."""
    return [_row(one) for one in light.products]


def _row(one: ProductSpeed) -> list[str]:
    layers = one.work.layers
    name = one.product.value if layers == 1 else f"{one.product}, {counted(layers, 'layer')}"
    return [
        name,
        f"{one.work.read / 1e6:,.1f}",
        us(one.floor),
        us(one.ns),
        "-" if one.gbps is None else f"{one.gbps:,.0f}",
        "-" if one.tflops is None else f"{one.tflops:,.1f}",
        "-" if one.share is None else pct(one.share),
    ]
