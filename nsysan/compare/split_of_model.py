"""How a rank's compute divides over more ranks, by a model: what each product reads and computes at each width.

DEFINITIONS.md, section 11a: of one capture, where none at another degree shows it.
"""

from __future__ import annotations

import numpy as np

from nsysan.compare.modelled import ModelledStep, times_of
from nsysan.compare.split import Split
from nsysan.compare.step_work import StepWork
from nsysan.light.gpu_speed import load_speeds
from nsysan.light.products import Product
from nsysan.text import pct

#: Of what a product takes beyond reading at the achievable speed (start, tail, reduction) so much stays where it is
#: narrower; by as much it may be wrong. Measured at half the width, of products of matrices: 0.5 (batch 32), 0.8
#: (batch 1), 1.0 (vLLM, batch 8), 1.2 (TP=2 to 4, batch 1) on H200. Of attention all of it: nothing of it shrank.
STAYS, ATTENTION_STAYS = 0.75, 1.0
#: Of what kernels between products take, on a rank's share of heads or inner width, so much of an even share may go.
SMALL = 0.5
#: After these what is computed is a rank's share.
_SHARED = (Product.QKV, Product.ATTENTION, Product.GATE_UP, Product.EXPERTS)


def split_of_model(base: StepWork, own: ModelledStep, ranks: int) -> Split:
    """From a step at the degree of `own` to so many ranks. Only there, and at its own degree, does it hold."""
    degree = own.setting.tensor
    now, then, spread = base.ns.copy(), base.ns.copy(), np.zeros(len(base.ns))
    times = times_of(base, own.products)
    here, there = own.floors(degree), own.floors(ranks)
    told = {p: _product(p, ns, here[p], there[p], degree / ranks) for p, ns in times.items()}
    unsure = ""
    if Product.LM_HEAD in told:
        kept = _kept(own)
        if kept:
            told[Product.LM_HEAD] = times[Product.LM_HEAD], 0.0
            unsure = "; no call follows the last product, so each rank does all of it"
        elif degree == 1:
            ns, off = told[Product.LM_HEAD]
            told[Product.LM_HEAD] = ns, max(off, times[Product.LM_HEAD] - ns)
            unsure = "; that the last product is shared out too, as engines do, is in the bar"
    last: Product | None = None
    for at, product in enumerate(own.products):
        last = product or last
        if product is not None:
            part = now[at] / max(times[product], 1.0)
            then[at], spread[at] = told[product][0] * part, told[product][1] * part
        elif last in _SHARED:
            spread[at] = SMALL * now[at] * abs(1 - degree / ranks)
    shards = (now - then) / (1 / degree - 1 / ranks)
    share = sum(times.values()) / base.total
    achievable = load_speeds().achievable.share
    return Split(
        degree=degree,
        kinds=base.kinds,
        place_of=base.place_of,
        fixed=now - shards / degree,
        shards=shards,
        doubt=np.zeros(len(now)),
        spread=spread,
        basis=(
            f"by the model: {pct(share)} of it are products that read less at TP={ranks}, and of what they take beyond "
            f"reading at {pct(achievable)} of the memory's peak {STAYS:g} stays, give or take as much{unsure}"
        ),
        share=share,
    )


def _kept(own: ModelledStep) -> bool:
    """Whether each rank does the whole last product: nothing puts parts of it together."""
    last = own.last_of(Product.LM_HEAD)
    return own.setting.tensor > 1 and bool(last) and not own.called[last[-1]]


def _product(product: Product, ns: float, here: int, there: int, narrower: float) -> tuple[float, float]:
    """ns that it takes there, and by how much that may be wrong."""
    if not here:
        # Attention over a cache of unknown length: none of it shrinks, or all.
        return ns * (1 + narrower) / 2, abs(ns * (1 - narrower) / 2)
    even = ns * there / here
    kept = ns - (here - there) / load_speeds().achievable.share
    stays = ATTENTION_STAYS if product is Product.ATTENTION else STAYS
    most = max(even, kept) if there < here else min(even, kept)
    return even + stays * (most - even), abs(stays * (most - even))
