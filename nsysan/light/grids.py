"""What the grids of kernels tell of a step: its tokens, padding included, its hidden width, the size of all-reduces.

DEFINITIONS.md, section 9.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.light.matched import is_reduction
from nsysan.model.classes import COMMUNICATION
from nsysan.model.kernel_groups import KernelGroup, group_of
from nsysan.run.placed import PlacedTrace

#: A product whose name has the tile of its output, width times tokens: cuBLAS on Hopper. A block does one tile, but in
#: grids as large as the GPU.
_TILED = re.compile(r"^nvjet_\w*?_(\d+)x(\d+)_\d+x\d+_")
#: CUTLASS's of Ampere, as cuBLAS brings them, with the same in its name, split or not by z. Its blocks come in several
#: orders, which are one where a single tile has all tokens (threadblock_swizzle.h: get_log_tile).
_OF_AMPERE = re.compile(r"\bcutlass_80_(?:wmma_)?tensorop_\w*?gemm_(?:\w+?_)?(\d+)x(\d+)_\d+x\d+_")
#: The reduction of a split product, by blocks of so many columns and rows of its output.
_REDUCED = re.compile(r"splitKreduce_kernel<\(int\)(\d+), \(int\)(\d+)")
#: Norms that run a block a row; those of Triton may do several, so another kernel has to agree.
_ROWS = re.compile(r"(?:rms_norm_kernel|RMSNormKernel|vectorized_layer_norm_kernel)")
_TRITON_ROWS = re.compile(r"^triton_(?:red|per)_fused_\w*(?:rms|layer)_norm")
_WRITTEN = re.compile(r"^reshape_and_cache_flash_kernel")
#: vLLM's and SGLang's own all-reduce: a thread moves 16 bytes, in as many blocks as that takes, 36 at the most
#: (csrc/custom_all_reduce.cuh).
_OWN = re.compile(r"^cross_device_reduce_[12]stage")
_A_THREAD, _MOST_BLOCKS = 16, 36
_BITS = (
    (re.compile(r"bfloat16|BFloat16|_bf16|__half|\bhalf\b|Half\b|_f16|fp16"), 16),
    (re.compile(r"<float\b|_f32|\bfloat,"), 32),
)
_COLUMNS = ("step", "name", "demangled", "cls", "kind", "start", "end", "begin", "stream")
NO_GRIDS = "the export has no grids of kernels"


@dataclass(frozen=True)
class Launched:
    """A kernel of a step: its names, whether it is an all-reduce, blocks by x, y and z and the threads of one in x."""

    name: str
    demangled: str
    all_reduce: bool
    blocks: tuple[int, int, int]
    threads: int

    @property
    def count(self) -> int:
        """Blocks in all."""
        return self.blocks[0] * self.blocks[1] * self.blocks[2]


class StepGrids(NamedTuple):
    """tokens: rows that a step computes. width: of hidden states. bits: of a number of an all-reduce. why: what is
    missing, where something is None."""

    tokens: int | None
    width: int | None
    bits: int | None
    why: str = ""

    @property
    def message_bytes(self) -> int | None:
        """Of an all-reduce: a hidden state of each token."""
        if self.tokens is None or self.width is None or self.bits is None:
            return None
        return self.tokens * self.width * self.bits // 8


def launched_in(placed: PlacedTrace, rank: int, steps: list[int]) -> dict[int, list[Launched]] | None:
    """The kernels of a rank in each of these steps, in order of time; None where the rank is another trace's."""
    if rank not in placed.ranks:
        return None
    inside = placed.frame(("step",), rank)["step"].is_in(steps).fill_null(value=False)
    at = np.flatnonzero(inside.to_numpy())
    work = placed.frame(_COLUMNS, rank, at=at).with_columns(pl.col("name", "demangled", "cls", "kind").cast(pl.String))
    spans = work.group_by("step").agg(pl.min("start"), last=pl.max("start")).select("start", "last").rows()
    shapes = placed.kernel_shapes([(int(start), int(last)) for start, last in spans])
    key = ["start", "end", "stream"]
    sized = shapes.filter(pl.col("rank") == rank).drop_nulls().unique(key).with_columns(pl.col(key).cast(pl.Int64))
    both = work.with_columns(pl.col(key).cast(pl.Int64)).join(sized.drop("rank"), on=key).sort("step", "begin")
    found: dict[int, list[Launched]] = {step: [] for step in steps}
    for row in both.iter_rows(named=True):
        reduces = row["cls"] in COMMUNICATION and row["kind"] == "all_reduce"
        blocks, threads = (tuple(map(int, row[what].split(" x "))) for what in ("grid", "block"))
        name = row["name"] or ""
        found[int(row["step"])].append(
            Launched(name, row["demangled"] or name, reduces, (blocks[0], blocks[1], blocks[2]), threads[0])
        )
    return found


def told_by(kernels: Sequence[Launched], processors: int | None) -> StepGrids:
    """What the kernels of a step tell; processors: SMs of the GPU."""
    if not kernels:
        return StepGrids(None, None, None, NO_GRIDS)
    tokens, why = _tokens(kernels, processors)
    calls = [one for one in kernels if one.all_reduce]
    bits = {_bits(one) for one in calls}
    width, untold = _width(kernels, tokens, processors)
    found = StepGrids(tokens, width, bits.pop() if len(bits) == 1 else None, why or untold)
    if calls and found.bits is None:
        found = StepGrids(tokens, width, None, found.why or "the name of its all-reduce tells no dtype")
    size = found.message_bytes
    if size is not None and any(_contradicts(one, size) for one in calls):
        return StepGrids(tokens, None, found.bits, "the grid of its all-reduce is of another size")
    return found


def _tokens(kernels: Sequence[Launched], processors: int | None) -> tuple[int | None, str]:
    """Rows of the norms of a step, where all have as many; the reason where nothing tells them.

    A kernel with a block for each SM may do any number of rows.
    """
    sure = {one.blocks[0] for one in kernels if one.blocks[1:] == (1, 1) and _ROWS.search(one.name)}
    fused = [one.blocks[0] for one in kernels if one.blocks[1:] == (1, 1) and _TRITON_ROWS.search(one.name)]
    written = {one.blocks[0] for one in kernels if _WRITTEN.search(one.name)}
    if len(sure) == 1 and (sure == written or (processors is not None and min(sure) % processors)):
        return sure.pop(), ""
    usual = max(set(fused), key=fused.count, default=None)
    if not sure and usual is not None and written == {usual}:
        return usual, ""
    return None, "no norm tells by its grid how many tokens a step has"


def _width(kernels: Sequence[Launched], tokens: int | None, processors: int | None) -> tuple[int | None, str]:
    """Of the output of the products that are before all-reduces, or before norms where there are none of those."""
    alone = not any(one.all_reduce for one in kernels)
    found: list[int | None] = []
    last: int | None = None
    for one in kernels:
        if one.all_reduce or (alone and group_of(one.name, one.demangled) is KernelGroup.NORM):
            found.append(last)
            last = None
        elif one.name and is_reduction(one.name):
            last = _reduced(one, tokens)
        elif group_of(one.name, one.demangled) in (KernelGroup.GEMM, KernelGroup.MOE):
            last = _tiled(one, tokens, processors)
    told = [width for width in found if width is not None]
    if len(set(told)) == 1 and 2 * len(told) >= len(found):
        return told[0], ""
    return None, "no product before an all-reduce, or a norm, tells by its grid how wide its output is"


def _reduced(one: Launched, tokens: int | None) -> int | None:
    match = _REDUCED.search(one.demangled)
    if match is None or tokens is None:
        return None
    columns, rows = int(match[1]), int(match[2])
    return one.blocks[0] * columns if one.blocks[1] == -(-tokens // rows) else None


def _tiled(one: Launched, tokens: int | None, processors: int | None) -> int | None:
    if of_ampere := _OF_AMPERE.search(one.demangled):
        wide, high = int(of_ampere[1]), int(of_ampere[2])
        return one.blocks[0] * one.blocks[1] * wide if tokens is not None and tokens <= high else None
    match = _TILED.search(one.name)
    if match is None or tokens is None or processors is None or one.count >= processors or "splitK" in one.name:
        return None
    wide, high = int(match[1]), int(match[2])
    across = -(-tokens // high) if high else 0
    return one.count // across * wide if across and one.count % across == 0 else None


def _bits(call: Launched) -> int | None:
    names = f"{call.name} {call.demangled}"
    return next((bits for pattern, bits in _BITS if pattern.search(names)), None)


def _contradicts(call: Launched, size: int) -> bool:
    if not _OWN.search(call.name) or not call.threads:
        return False
    return call.blocks[0] != min(_MOST_BLOCKS, -(-size // (_A_THREAD * call.threads)))
