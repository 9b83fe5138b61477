"""Which kernels of a step are which products of the model, and what they take (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from nsysan.light.products import Product
from nsysan.model.classes import COMMUNICATION
from nsysan.model.kernel_groups import KernelGroup, group_of
from nsysan.run.placed import PlacedTrace

#: What a kernel is here, one letter each: a product of matrices, the reduction of a split one, a kernel of experts,
#: attention, communication of a layer; any other.
_PRODUCT, _REDUCTION, _EXPERTS, _ATTENTION, _CALL, _OTHER = "gsmac."
_SPLIT = re.compile(r"split_?k.*reduce|reduce.*split_?k", re.IGNORECASE)
#: Calls that end a layer's attention or feed-forward; of a pair (reduce-scatter, all-gather) both.
_ENDS = ("all_reduce", "reduce_scatter", "all_gather")
_COLUMNS = ("step", "name", "demangled", "cls", "kind", "stream", "begin", "end")
_LAUNCHED = ("launch_start", "correlation", "graph_node")
#: rank, step, product, ns, calls; layers: how many the step runs; 0 and product null where kernels are not told apart,
#: but for one row of all products together.
TIMES = {
    "rank": pl.Int64(),
    "step": pl.Int64(),
    "product": pl.String(),
    "ns": pl.Int64(),
    "calls": pl.Int64(),
    "layers": pl.Int64(),
}


def product_times_of(placed: PlacedTrace, steps: list[int]) -> pl.DataFrame:
    """TIMES of its ranks in these steps."""
    return pl.concat(placed.each(lambda rank: _of_rank(placed, rank, steps)))


def products_of_step(placed: PlacedTrace, rank: int, step: int) -> pl.DataFrame | None:
    """name, product, layers of a rank's compute kernels in one step, in order of launch; layers as in TIMES.

    product: null of what is none. after: communication that follows before the next product. None where the rank is
    another trace's.
    """
    if rank not in placed.ranks:
        return None
    work = _lettered(placed, rank, [step])
    order = (pl.coalesce("launch_start", "begin"), "correlation", "graph_node", "begin")
    work = work.sort(*order, maintain_order=True)
    layers, found = products_in("".join(work["letter"]))
    told = work.with_columns(
        layers=pl.lit(layers, dtype=pl.Int64),
        product=pl.Series([product and product.value for product in found], dtype=pl.String),
        after=_calls_after(work["letter"].to_list(), work["cls"].to_list()),
    )
    return told.filter(pl.col("cls") == "compute").select("name", "product", "layers", "after")


def _calls_after(letters: Sequence[str], classes: Sequence[str]) -> pl.Series:
    """Whether communication comes after each kernel, before the next product."""
    found, ahead = [False] * len(letters), False
    for at in range(len(letters) - 1, -1, -1):
        found[at] = ahead
        ahead = classes[at] in COMMUNICATION or (ahead and letters[at] not in (_PRODUCT, _EXPERTS))
    return pl.Series(found, dtype=pl.Boolean)


def _lettered(placed: PlacedTrace, rank: int, steps: list[int]) -> pl.DataFrame:
    inside = placed.frame(("step",), rank)["step"].is_in(steps).fill_null(value=False)
    work = placed.frame((*_COLUMNS, *_LAUNCHED), rank, at=np.flatnonzero(inside.to_numpy()))
    work = work.with_columns(pl.col("name", "demangled", "cls", "kind").cast(pl.String)).sort("begin", "end")
    kinds = work.select("name", "demangled", "cls", "kind").unique()
    letters = [_letter(*row) for row in kinds.iter_rows()]
    return work.join(
        kinds.with_columns(letter=pl.Series(letters, dtype=pl.String)),
        on=["name", "demangled", "cls", "kind"],
        nulls_equal=True,
        maintain_order="left",
    )


def _of_rank(placed: PlacedTrace, rank: int, steps: list[int]) -> pl.DataFrame:
    lettered = _lettered(placed, rank, steps)
    rows: list[tuple[int, int, str | None, int, int, int]] = []
    for (step,), own in lettered.partition_by("step", as_dict=True, maintain_order=True).items():
        rows += [(rank, int(str(step)), *row) for row in _times(_on_stream(own))]
    return pl.DataFrame(rows, schema=TIMES, orient="row")


def _letter(name: str | None, demangled: str | None, cls: str, kind: str | None) -> str:
    if cls in COMMUNICATION:
        return _CALL if kind in _ENDS else _OTHER
    if cls != "compute" or not name:
        return _OTHER
    match group_of(name, demangled or name):
        case KernelGroup.GEMM:
            letter = _PRODUCT
        case KernelGroup.MOE:
            letter = _EXPERTS
        case KernelGroup.ATTENTION:
            letter = _ATTENTION
        case _:
            letter = _OTHER
    return _REDUCTION if letter != _ATTENTION and is_reduction(name) else letter


def is_reduction(name: str) -> bool:
    """Whether a kernel is the reduction of a split product."""
    return bool(_SPLIT.search(name))


def _on_stream(work: pl.DataFrame) -> pl.DataFrame:
    """The work on the stream of attention, and all communication: what runs beside is of no layer.

    All of it where attention is on several, as in replays with branches, whose streams tell nothing.
    """
    streams = work.filter(pl.col("letter") == _ATTENTION)["stream"].unique()
    if len(streams) != 1 or streams[0] is None:
        return work
    return work.filter((pl.col("stream") == streams[0]) | (pl.col("letter") == _CALL))


def _times(work: pl.DataFrame) -> list[tuple[str | None, int, int, int]]:
    letters, ns = "".join(work["letter"]), (work["end"] - work["begin"]).to_list()
    several = work.filter(pl.col("letter") == _ATTENTION)["stream"].n_unique() > 1
    layers, products = (0, []) if several else products_in(letters)
    if not layers:
        whole = [n for letter, n in zip(letters, ns, strict=True) if letter in (_PRODUCT, _REDUCTION, _EXPERTS)]
        return [(None, sum(whole), len(whole), 0)] if whole else []
    spent: dict[Product, list[int]] = {}
    for product, n in zip(products, ns, strict=True):
        if product is not None:
            spent.setdefault(product, []).append(n)
    return [(product.value, sum(own), len(own), layers) for product, own in spent.items()]


def products_in(letters: str) -> tuple[int, list[Product | None]]:
    """The layers of a step's kernels, each by its letter, and the product that each kernel is of.

    A layer is its attention, the products before that are queries, keys and values, and what follows up to the next
    call is the product after attention; up to the call after that the feed-forward. Without calls the first product
    after attention is that, and those before the next layer's are the feed-forward. 0 layers where that does not fit.
    """
    found: list[Product | None] = [None] * len(letters)
    attention = _attention(letters)
    if not attention:
        return 0, found
    for run in attention:
        found[run.start : run.stop] = [Product.ATTENTION if letters[at] == _ATTENTION else None for at in run]
    before = _products(letters, range(attention[0].start))
    _name(found, before, Product.QKV)
    ends = [*(run.start for run in attention[1:]), len(letters)]
    inner = 0
    for number, (run, end) in enumerate(zip(attention, ends, strict=True)):
        last = number == len(attention) - 1
        parts = _parts(letters, range(run.stop, end))
        if len(parts) == 1:
            parts = _without_calls(parts[0], len(before), inner, last=last)
        if len(parts) < 2 or not parts[0] or not _feed_forward(found, letters, parts[1]):
            return 0, [None] * len(letters)
        inner = len(parts[1])
        _name(found, parts[0], Product.O)
        _name(found, [at for part in parts[2:] for at in part], Product.LM_HEAD if last else Product.QKV)
    _reductions(found, letters)
    return len(attention), found


def _attention(letters: str) -> list[range]:
    """From the first to the last attention kernel of each layer: those with no product between them; before the first
    product there is no layer yet."""
    runs: list[range] = []
    fresh = False
    for at, letter in enumerate(letters):
        if letter == _ATTENTION and fresh:
            runs.append(range(at, at + 1))
            fresh = False
        elif letter == _ATTENTION and runs:
            runs[-1] = range(runs[-1].start, at + 1)
        elif letter in (_PRODUCT, _EXPERTS):
            fresh = True
    # What prepares attention for the next step has no product after it.
    while runs and not _products(letters, range(runs[-1].stop, len(letters))):
        runs.pop()
    return runs


def _products(letters: str, span: range) -> list[int]:
    return [at for at in span if letters[at] in (_PRODUCT, _EXPERTS)]


def _parts(letters: str, span: range) -> list[list[int]]:
    """The products between calls; calls with none between them are one."""
    parts: list[list[int]] = [[]]
    for at in span:
        if letters[at] == _CALL and parts[-1]:
            parts.append([])
        elif letters[at] in (_PRODUCT, _EXPERTS):
            parts[-1].append(at)
    return parts


def _without_calls(products: Sequence[int], before: int, inner: int, *, last: bool) -> list[list[int]]:
    """The same of a layer without calls; before: products that make queries; inner: those of a feed-forward."""
    rest = list(products[1:])
    ends = (inner or len(rest)) if last else len(rest) - before
    return [list(products[:1]), rest[:ends], rest[ends:]] if ends > 0 else []


def _feed_forward(found: list[Product | None], letters: str, part: Sequence[int]) -> bool:
    if any(letters[at] == _EXPERTS for at in part):
        _name(found, part, Product.EXPERTS)
        return True
    if len(part) < 2:
        return False
    _name(found, part[:-1], Product.GATE_UP)
    _name(found, part[-1:], Product.DOWN)
    return True


def _name(found: list[Product | None], at: Sequence[int], product: Product) -> None:
    for place in at:
        found[place] = product


def _reductions(found: list[Product | None], letters: str) -> None:
    """A split product's reduction is of the product before it."""
    of: Product | None = None
    for at, letter in enumerate(letters):
        if letter in (_PRODUCT, _EXPERTS):
            of = found[at]
        elif letter == _REDUCTION:
            found[at] = of


def medians(times: pl.DataFrame, *, staged: bool = False) -> tuple[dict[str | None, int], int]:
    """ns of each product in a step (median over the steps, then over the ranks), and the layers of most steps.

    staged: ranks hold other layers, and their mean counts, in which what a rank has not is nothing.
    """
    if times.is_empty():
        return {}, 0
    layers = int(times["layers"].mode().max() or 0)  # type: ignore[arg-type]
    own = times.filter(pl.col("layers") == layers)
    per_rank = own.group_by("rank", "product").agg(pl.median("ns")).group_by("product")
    ranks = own["rank"].n_unique()
    found = per_rank.agg(pl.sum("ns") / ranks if staged else pl.median("ns"))
    return {product: round(ns) for product, ns in found.iter_rows()}, layers
