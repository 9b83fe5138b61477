"""What a side's step computes, place by place, and the graph by which it is replayed: what a prediction starts from."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model.classes import WorkClass
from nsysan.model.kernel_groups import KernelGroup, group_of
from nsysan.model.operations import is_communication
from nsysan.replay.activity import Activity, activity
from nsysan.replay.engine import NotAcyclic
from nsysan.replay.prepared import Prepared, prepare
from nsysan.replay.results import Pace
from nsysan.replay.trust import why_untold
from nsysan.run.run import Run

F64 = npt.NDArray[np.float64]
STEP = ("stretch", "rank", "step")
#: What is one piece of work by whatever kernel: libraries take another one for other shapes.
_KINDS = {KernelGroup.GEMM, KernelGroup.ATTENTION, KernelGroup.MOE}
#: Ends what the kernel before it began, where the work was split over more of the GPU.
_GOES_ON = {
    "gemm": re.compile(r"(?i)splitk_?reduce|reduce_?splitk|splitk.*_reduce"),
    "attention": re.compile(r"(?i)combine|merge_state"),
}
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class StepWork:
    """A step of a replica as most of its steps and ranks do it.

    kinds: of each place, in order of launch: what it computes, by whatever kernel. names: the kernel there. ns: what it
    takes, median over the steps, then over the ranks. place_of: the places of the step's compute kernels, of
    which some share one. sequence: these kernels' names; example: a rank and a step that run it.
    found: operations of the steps; calls: row, kind of each collective. ready: for replay, None where that cannot be
    believed, for the reason `why`.
    several: whether calls are over groups of several sizes. eager: whether kernels are launched one by one.
    """

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    ns: F64
    place_of: tuple[int, ...]
    sequence: tuple[str, ...]
    example: tuple[int, int]
    found: Activity
    calls: pl.DataFrame
    ready: Prepared | None
    why: str
    several: bool
    eager: bool

    @property
    def total(self) -> float:
        """ns of compute kernels a step, one after the other."""
        return float(self.ns.sum())


@lru_cache(maxsize=4096)
def kind_of(name: str) -> str:
    """What a kernel computes: a group of kernels that do one work at other shapes, else its name without numbers."""
    group = group_of(name, name)
    return group.value if group in _KINDS else _DIGITS.sub("#", name)


def goes_on(name: str) -> bool:
    """Whether a kernel ends what one before it began."""
    return any(pattern.search(name) for pattern in _GOES_ON.values())


def step_work(run: Run, pace: Pace | None) -> StepWork | None:
    """Of a replica's headline population, whose pace is this; None where its kernels do not show."""
    ready, why = _replayed(run, pace)
    found = ready.found if ready is not None else activity(run)
    if found is None:
        return None
    work = compute_in_order(found.operations)
    groups = work.group_by(STEP, maintain_order=True).agg("name", ns=pl.col("end") - pl.col("begin"))
    if groups.is_empty():
        return None
    sequences = [tuple(names) for names in groups["name"].to_list()]
    usual = Counter(sequences).most_common(1)[0][0]
    rows = [number for number, one in enumerate(sequences) if one == usual]
    own = groups[rows].select("rank", "ns")
    place_of, kinds, names = _places(usual)
    each = np.stack(
        [np.median(np.array(ranks["ns"].to_list(), dtype=np.float64), axis=0) for ranks in own.partition_by("rank")]
    )
    level = np.median(each, axis=0)
    sizes = run.collectives.filter(pl.col("members") > 1)["members"].drop_nulls().n_unique()
    return StepWork(
        kinds=kinds,
        names=names,
        ns=np.bincount(place_of, level, len(kinds)).astype(np.float64),
        place_of=place_of,
        sequence=usual,
        example=(int(groups["rank"][rows[0]]), int(groups["step"][rows[0]])),
        found=found,
        calls=run.collectives.select("row", kind=pl.coalesce("kind", "cls").cast(pl.String)),
        ready=ready,
        why=why,
        several=sizes > 1,
        eager=run.is_eager,
    )


def compute_in_order(operations: pl.DataFrame) -> pl.DataFrame:
    """The compute kernels of steps with `at`, their row among the operations: each step's in order of launch."""
    rows = operations.with_row_index("at").filter(
        pl.col("step").is_not_null() & (pl.col("cls") == WorkClass.COMPUTE) & ~is_communication()
    )
    ordered = rows.sort(
        *STEP, pl.coalesce("launch_start", "begin"), "correlation", "graph_node", "begin", maintain_order=True
    )
    return ordered.with_columns(pl.col("name").cast(pl.String))


def _replayed(run: Run, pace: Pace | None) -> tuple[Prepared | None, str]:
    if pace is None:
        return None, "its steps cannot be replayed"
    if why := why_untold(run, pace):
        return None, why
    try:
        return prepare(run), ""
    except NotAcyclic:
        return None, "what was recorded contradicts itself"


def _places(names: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...]]:
    """The place of each kernel, and of each place what it computes and its first kernel."""
    place_of: list[int] = []
    kinds: list[str] = []
    first: list[str] = []
    for name in names:
        ends = _GOES_ON.get(kinds[-1]) if kinds else None
        if ends is None or not ends.search(name):
            kinds.append(kind_of(name))
            first.append(name)
        place_of.append(len(kinds) - 1)
    return tuple(place_of), tuple(kinds), tuple(first)
