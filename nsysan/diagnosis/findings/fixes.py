"""What to do, chosen by what the trace shows: the engine, what a late host does, what is there already.

Settings of engines are in data/fixes.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.late_words import ranks_words, weight
from nsysan.metrics.causes import GapCause
from nsysan.metrics.tail import TailRow
from nsysan.metrics.tail_causes import TailCause
from nsysan.text import numbered, us

#: So many steps of a pause are named.
_STEPS = 4
#: What to do of a step that waits for its GPU, on these ranks.
SYNC_FIX = "take the call that waits for the GPU out of the step on {} (a synchronise, .item(), .cpu())"


class Fixes(NamedTuple):
    """What to do of an engine, or of a framework; the keys are told in data/fixes.toml."""

    name: str
    kernels: re.Pattern[str]
    graphs: str
    whole: str
    host: str
    all_reduce: str
    batches: str
    fills: bool
    layers: str
    faster: str
    source: str


class Fix(NamedTuple):
    """The first thing to do, an imperative without a full stop, and what else may help, "" for nothing."""

    first: str
    also: str = ""


@cache
def load_fixes() -> tuple[Fixes, ...]:
    """The rows of data/fixes.toml; the last is of what none of the others tells."""
    document = tomllib.loads(files("nsysan.data").joinpath("fixes.toml").read_text("utf-8"))
    return tuple(Fixes(**(row | {"kernels": re.compile(row["kernels"])})) for row in document["fix"])


def fixes_of(source: str, kernels: Iterable[str]) -> Fixes:
    """Of what runs the steps: by the engine's ranges, else by its kernels. source: how steps were found, in words."""
    *known, other = load_fixes()
    names = list(kernels)
    by_range = (row for row in known if f"({row.name}" in source)
    by_kernel = (row for row in known if any(map(row.kernels.search, names)))
    return next(by_range, None) or next(by_kernel, None) or other


def host_fix(engine: Fixes, ranks: int, late: Late | None, period: int, tail: Sequence[TailRow], *, ahead: bool) -> Fix:
    """What to do of hosts that launch late; late: the ranks that are, of so many ranks; None where all of them are.

    tail: as Diagnosis has it. ahead: whether hosts are seen to launch a step before its forerunner's results are there.
    """
    work_ahead = _LESS if ahead else engine.host
    if late is None:
        return Fix(work_ahead, f"give each rank's process CPU cores of its own, {_NUMA}; {_OFF_THREAD}")
    who = ranks_words(late.ranks)
    several = len(late.ranks) > 1
    if weight(late, period).mean and (steps := _paused_in(tail, late)):
        return Fix(
            f"look at what pauses the process of {who} in {numbered('step', steps, most=_STEPS)}: garbage collection "
            "first (Python's gc.freeze() after warm-up, gc.disable() while it decodes)",
            f"then logging and other threads of that process; {_pinned(who, several)}",
        )
    idles = next(iter(late.idle.items()), None)
    if idles is not None and idles[0] == GapCause.SYNC:
        return Fix(
            f"{SYNC_FIX.format(who)}: its GPU idles {us(idles[1])} µs a step after it",
            work_ahead,
        )
    if 2 * len(late.ranks) < ranks or len(late.ranks) == 1:
        return Fix(_pinned(who, several), f"{_OFF_THREAD}; {work_ahead}")
    return Fix(work_ahead, f"{_pinned(who, several)}; {_OFF_THREAD}")


_LESS = (
    "give each of the engine's processes (one per rank, plus the scheduler) CPU cores of its own (taskset, or more "
    "CPUs for the container or job): asynchronous scheduling is on already, and not enough"
)
_NUMA = "of its GPU's NUMA node (nvidia-smi topo -m names them; numactl --physcpubind)"
_OFF_THREAD = "take logging, tokenizing and garbage collection off the thread that launches"


def _pinned(who: str, several: bool) -> str:
    processes = f"the process{'es' if several else ''} of {who}"
    own = "cores of their own, each" if several else "cores of its own,"
    return f"give {processes} CPU {own} {_NUMA}, and see what else runs there"


def _paused_in(tail: Sequence[TailRow], late: Late) -> list[int]:
    """The steps of the tail in which the host of a late rank made the step longer."""
    rows = (row for row in tail if row.cause is TailCause.HOST and row.rank in late.ranks)
    return sorted({step for row in rows for step in row.steps})
