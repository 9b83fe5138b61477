"""Layers in the sequence of a step's kernels: a block that repeats (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Codes = npt.NDArray[np.int64]
#: Sequences of more kernels, and blocks of more, are not looked at: 2 s at most.
MOST_KERNELS, MOST_IN_BLOCK = 16_384, 2_048
#: A block repeats so often, has so many kernels, and all of it is this share of the sequence, or it is no layer.
LEAST_LAYERS, LEAST_KERNELS = 3, 3
LEAST_SHARE = 0.5
#: The first and the last layer may differ from the others in less than this share of their kernels.
ALIKE = 0.5
#: That a layer begins where layers do is worth so many kernels.
BEGINS = 3


@dataclass(frozen=True)
class Layers:
    """Where layers are in a sequence. begin: of the first layer; size: kernels of a layer; count: of all layers.

    first, last: whether the first and the last layer differ from those between, which are alike.
    """

    begin: int
    size: int
    count: int
    first: bool = False
    last: bool = False

    @property
    def end(self) -> int:
        """Place behind the last layer."""
        return self.begin + self.size * self.count

    @property
    def model(self) -> int:
        """Place of a layer that is as most are."""
        return self.begin + (self.size if self.first else 0)

    @property
    def alike(self) -> tuple[int, int]:
        """Place of the first layer that is as most are, and behind the last of these."""
        return self.model, self.end - (self.size if self.last else 0)


def find_layers(codes: _Codes, begins_with: Sequence[bool] | None = None) -> Layers | None:
    """The block that covers most of a sequence by repeating without a gap, and the layers beside it; None without any.

    codes: a number for each kernel, in order. begins_with: for each, whether a layer would begin with it, where several
    ways to cut the same stretch give as many layers.
    """
    count = len(codes)
    if count < LEAST_LAYERS or count > MOST_KERNELS:
        return None
    best: tuple[int, int, int] | None = None  # covered, begin, size
    for size in range(1, min(count // LEAST_LAYERS, MOST_IN_BLOCK) + 1):
        begin, length = _longest(codes[size:] == codes[:-size])
        covered = (length + size) // size * size
        if length and covered // size >= LEAST_LAYERS - 1 and (best is None or covered > best[0]):
            best = covered, begin, size
    if best is None or best[2] < LEAST_KERNELS:
        return None
    _, begin, size = best
    _, length = _longest(codes[size:] == codes[:-size])
    found = max(
        (_cut(codes, begin + shift, begin + length + size, size) for shift in range(min(size, length + 1))),
        key=lambda cut: (
            cut.count * size - 2 * _other(codes, cut) + BEGINS * (begins_with is not None and begins_with[cut.model]),
            -cut.begin,
        ),
    )
    return found if found.count >= LEAST_LAYERS and found.count * size >= LEAST_SHARE * count else None


def _longest(same: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """First place and length of the longest run of trues."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    longest = int(lengths.argmax())
    return int(edges[::2][longest]), int(lengths[longest])


def _cut(codes: _Codes, begin: int, end: int, size: int) -> Layers:
    """The layers if the repeated stretch is cut from `begin`, with those beside it that are much like them."""
    count = (end - begin) // size
    finish, model = begin + count * size, codes[begin : begin + size]
    first = begin >= size and _alike(codes[begin - size : begin], model)
    last = finish + size <= len(codes) and _alike(codes[finish : finish + size], model)
    return Layers(begin - first * size, size, count + first + last, first, last)


def _other(codes: _Codes, cut: Layers) -> int:
    """In how many kernels the first and the last layer differ from the others."""
    model = codes[cut.model : cut.model + cut.size]
    ends = [cut.begin, cut.end - cut.size]
    return sum(int((codes[at : at + cut.size] != model).sum()) for at in ends)


def _alike(codes: _Codes, model: _Codes) -> bool:
    return bool((codes != model).mean() < ALIKE)
