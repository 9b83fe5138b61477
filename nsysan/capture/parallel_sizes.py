"""How many ranks the options of an engine ask for: tensor, pipeline and data parallel, on one node or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nsysan.capture.starters import Engine

_MOST_RANKS = 100_000
#: Options of parallel sizes, without dashes and with - for _.
_SIZES = {
    "tp": ("tp", "tp-size", "tensor-parallel-size", "tensor-model-parallel-size", "num-shard"),
    "pp": ("pp", "pp-size", "pipeline-parallel-size", "pipeline-model-parallel-size"),
    "cp": ("pcp", "cp-size", "prefill-context-parallel-size"),
    "dp": ("dp", "dp-size", "data-parallel-size"),
    "dp here": ("dpl", "data-parallel-size-local"),
    "nodes": ("nnodes",),
}
_SIZE = {option: size for size, options in _SIZES.items() for option in options}
_ONE_OF_DP = frozenset({"data-parallel-rank", "dpn"})


@dataclass(frozen=True)
class Ranks:
    """How many ranks there are on this node, on all, and in each replica of the model; None where nothing tells."""

    here: int | None = None
    world: int | None = None
    replica: int | None = None


def ranks_told(words: Sequence[str], sizes: Mapping[str, int], engine: Engine | None) -> Ranks:
    """By the options of the command, else by `sizes`."""
    told = {_SIZE[name]: number for name, number in sizes.items() if name in _SIZE}
    flags = set()
    for i, word in enumerate(words):
        if not word.startswith("-"):
            continue
        name, _, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        flags.add(name)
        size = _SIZE.get(name)
        number = number_of(value or (words[i + 1] if i + 1 < len(words) else ""))
        if size and number:
            told[size] = number
    if not {"tp", "pp", "cp", "dp", "dp here"} & set(told):
        return Ranks()
    one = told.get("tp", 1) * told.get("pp", 1) * told.get("cp", 1)
    replicas = 1 if engine is not None and engine.within & flags else told.get("dp", 1)
    world = one * replicas
    if flags & _ONE_OF_DP:
        return Ranks(one, world, one)
    if "dp here" in told:
        return Ranks(one * told["dp here"], max(world, one * told["dp here"]), one)
    nodes = told.get("nodes", 1)
    return Ranks(world // nodes if world % nodes == 0 else world, world, one)


def number_of(word: str | None) -> int | None:
    """A count that an option gives; None where it gives none."""
    number = int(word) if word and word.isascii() and word.isdecimal() and len(word) < 7 else 0
    return number if 0 < number < _MOST_RANKS else None
