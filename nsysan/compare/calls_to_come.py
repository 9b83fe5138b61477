"""The calls that a step of one rank alone would have as one of several: from the model, by the table of links.

DEFINITIONS.md, section 11a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nsysan.compare.modelled import ModelledStep
from nsysan.compare.step_work import F64
from nsysan.light.products import Product
from nsysan.metrics.link import SMALL_BYTES, Link
from nsysan.model.gpu_links import GpuLink, LinkKind, carried, load_links
from nsysan.text import duration, size

#: What engines' own one-shot all-reduces take of what NCCL's does, of up to 64 KiB: SGLang's 0.4 at TP=2; vLLM's 0.65
#: at TP=2 and 0.53 at TP=4, on H200 and H100.
OWN, LEAST = 0.6, 0.4
#: NCCL's own differ by so much from the table; of links that the trace says nothing of, by so much.
MARGIN, UNSEEN = 0.25, 2.0
#: ns by which each call keeps the kernels beside it further apart: 0.8 (vLLM's in a graph) to 1.9 (NCCL's) on H200.
APART = (700, 1_300, 2_000)


@dataclass(frozen=True)
class CallsToCome:
    """ns behind each place that its calls add: the middle, the least, the most. apart: of the middle that between
    kernels. count: how many there are. basis: what they are and where this is from, in words."""

    middle: F64
    low: F64
    high: F64
    apart: float
    count: int
    basis: str


def calls_to_come(own: ModelledStep, link: Link, ranks: int) -> CallsToCome | str:
    """Two all-reduces a layer, and those of the embedding and the logits; else why nothing is known of them."""
    table = load_links()
    row = next((row for row in table.gpus if row.name == link.model), None)
    if row is None or link.kind is None:
        return "the GPU is not in the table of links, so nothing tells what its calls would take"
    gbps = link.peak_gbps or carried(row, link.kind)
    each = own.shape.message_bytes(own.setting.tokens)
    nccl, source = _all_reduce(row, link.kind, ranks, each, gbps)
    ends = _ends(nccl, own_calls=own.own_calls)
    if row.board != "sxm" and not any("topology" in one for one in link.evidence):
        ends = (ends[0], ends[1], UNSEEN * ends[2])
    places = own.last_of(Product.O, Product.DOWN, Product.EXPERTS)
    found = [np.zeros(len(own.products)) for _ in ends]
    for one, ns, apart in zip(found, (ends[1], ends[0], ends[2]), (APART[1], APART[0], APART[2]), strict=True):
        one[places] = ns + apart
    count = len(places)
    if own.shape.vocab and (head := own.last_of(Product.LM_HEAD)):
        # Of a vocabulary that is shared out, too; a loop may share nothing of it.
        logits = own.setting.tokens * own.shape.vocab * own.shape.dtype_bits // 8
        gather = table.ring("all_gather", link.kind, ranks, logits, gbps) or 0.0
        for one, ns, apart in zip(
            (found[0], found[2]),
            (ends[1] + gather, ends[2] + MARGIN * gather + gather),
            (APART[1], APART[2]),
            strict=True,
        ):
            one[head[-1]] += ns + 2 * apart
        count += 2
    what = "an engine's own all-reduce" if own.own_calls else "NCCL's all-reduce"
    basis = (
        f"{count} calls a step that one rank has none of, all-reduces of {size(each)}: {duration(ends[1])} each "
        f"({duration(ends[0])} to {duration(ends[2])}), {what} by the table of links ({source}), and "
        f"{duration(APART[1])} between kernels"
    )
    return CallsToCome(found[0], found[1], found[2], float(count * APART[1]), count, basis)


def _ends(nccl: float, *, own_calls: bool) -> tuple[float, float, float]:
    """The least, the middle and the most."""
    return LEAST * nccl, (OWN if own_calls else 1.0) * nccl, (1 + MARGIN) * nccl


def _all_reduce(row: GpuLink, kind: LinkKind, ranks: int, total: int, gbps: float) -> tuple[float, str]:
    """ns of NCCL's; beyond small sizes by its model, as far as a small one is off it."""
    table = load_links()
    small = table.small_latency(kind, row.generation, ranks, min(total, SMALL_BYTES[1]), gbps)
    if total <= SMALL_BYTES[1]:
        return small.ns, small.source
    of_small = table.ring("all_reduce", kind, ranks, SMALL_BYTES[1], gbps) or small.ns
    model = table.ring("all_reduce", kind, ranks, total, gbps) or small.ns
    return model * small.ns / of_small, f"{small.source}, by NCCL's model beyond {size(SMALL_BYTES[1])}"
