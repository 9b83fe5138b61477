"""Whether sides are like for like: one workload, population, unit of work and model; what is not is refused by name.

DEFINITIONS.md, section 12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import polars as pl

from nsysan.compare.comparison import ComparedRun, Measured
from nsysan.compare.kinds_of_steps import PopulationOnSides
from nsysan.compare.step_work import goes_on, kind_of
from nsysan.metrics.lines import Line
from nsysan.model.kernel_groups import KernelGroup
from nsysan.report.replica import PopulationRow
from nsysan.text import counted, duration, plain, size

_Key = TypeVar("_Key")
#: Counts that differ by no more than this share are the same.
SAME = 0.1
#: Steps do the same work if kernels that both sides have are this share of each one's.
ALIKE = 0.9
#: Fewer kernels than this tell nothing of what a step does.
_TELLING = 3
#: Work that is split over n times as many ranks takes no longer, and no less than an n-th, but for what other kernels
#: do at other shapes.
OTHER_KERNELS = 1.5
#: Groups that all of a model's layers have, and the least of the compute that tells something.
_OF_LAYERS, _LEAST_OF_COMPUTE = (KernelGroup.ATTENTION, KernelGroup.GEMM), 0.05
#: Lines of the ledger in which a GPU works for itself.
_WORK = (Line.COMPUTE, Line.COPY)
#: Layers differ if so many of the kernels come more often by one ratio, and others do not.
_MOST_KERNELS = 0.5


def common_population(candidates: Sequence[Sequence[ComparedRun]]) -> list[ComparedRun]:
    """One of each side: its headline, unless those are of several kinds or batches and all sides have one of a kind.

    Then of the kinds that all have the one that takes most time in the first side. candidates: of each side, the
    headline first.
    """
    heads = [side[0] for side in candidates]
    if len({side.population_key for side in heads}) == 1:
        return heads
    by_key = [{one.population_key: one for one in reversed(side)} for side in candidates]
    shared = [one for one in by_key[0].values() if all(one.population_key in other for other in by_key)]
    if not shared:
        return heads
    key = max(shared, key=lambda one: one.share_of_time).population_key
    return [other[key] for other in by_key]


def populations_of(sides: Sequence[ComparedRun]) -> list[PopulationOnSides]:
    """Kinds and batches of steps that two sides have at least, in the order of the first."""
    found: dict[tuple[str, int | None], dict[str, PopulationRow]] = {}
    for side in sides:
        rows = side.report.replicas[side.report.replica].populations
        for row in sorted(rows, key=lambda row: -row.share_of_time):
            found.setdefault((row.kind, row.batch), {}).setdefault(side.label, row)
    return [PopulationOnSides(*key, own) for key, own in found.items() if len(own) > 1]


def in_one_unit(sides: list[ComparedRun]) -> list[ComparedRun]:
    """The sides, with those whose step does the work of several steps of another taken by one of these."""
    least = min(sides, key=lambda side: sum(side.work.values()))
    return [_per(side, _multiple(least, side)) for side in sides]


def _multiple(less: ComparedRun, more: ComparedRun) -> int:
    """How many times as often every kernel and call comes, where that is one whole number for all; else 1."""
    ratios = _ratios(less.work, more.work)
    if not ratios or less.calls_a_step.keys() != more.calls_a_step.keys():
        return 1
    times = round(sum(more.work[name] for name in ratios) / sum(less.work[name] for name in ratios))
    found = [*ratios.values(), *(more.calls_a_step[kind] / calls for kind, calls in less.calls_a_step.items())]
    return times if times > 1 and all(abs(ratio - times) <= SAME * times for ratio in found) else 1


def _ratios(less: dict[str, float], more: dict[str, float]) -> dict[str, float]:
    """How many times as often the kernels come that both have; empty where those are few, or not nearly all."""
    both = [name for name in less if more.get(name)]
    if len(both) < _TELLING:
        return {}
    for work in (less, more):
        if sum(work[name] for name in both) < ALIKE * sum(work.values()):
            return {}
    return {name: more[name] / less[name] for name in both}


def _per(side: ComparedRun, times: int) -> ComparedRun:
    if times == 1:
        return side
    figures, kernels = _divided(side.figures, times), _divided(side.kernels, times)
    of_ranks = _divided(side.kernels_of_ranks, times)
    work = {name: calls / times for name, calls in side.work.items()}
    per_replica = {kind: calls / times for kind, calls in side.calls_a_step.items()}
    return replace(
        side,
        figures=figures,
        work=work,
        calls_a_step=per_replica,
        units=times,
        kernels=kernels,
        kernels_of_ranks=of_ranks,
    )


def _divided(measured: Mapping[_Key, Measured], times: int) -> dict[_Key, Measured]:
    return {
        key: Measured(None if one.value is None else one.value / times, one.steps / times)
        for key, one in measured.items()
    }


def refusal(first: ComparedRun, side: ComparedRun) -> str | None:
    """What keeps a side from being of one workload and model with the first; None where nothing does."""
    return (
        _other_workload(first, side)
        or _other_calls(first, side)
        or _other_layers(first, side)
        or _other_sizes(first, side)
        or _other_population(first, side)
        or _untold_batch(first, side)
        or _other_work(first, side)
    )


def _other_workload(first: ComparedRun, side: ComparedRun) -> str | None:
    """Decoding is held against decoding; of other work only the kernels tell whether it is the same."""
    if first.workload is not side.workload:
        return (
            f"another workload: {first.label} {first.workload.words}, {side.label} {side.workload.words}; if both "
            f"decode, --steps names the ranges of their steps"
        )
    kinds = [set(_by_kind(one.work)) for one in (first, side)]
    if first.decodes or not all(kinds) or kinds[0] & kinds[1]:
        return None
    told = ", ".join(
        f"{one.label} {plain(max(one.work, key=lambda name: one.work[name]), 60)}" for one in (first, side)
    )
    return f"another workload: no kernel runs in both ({told}), and nothing shows that they decode"


def _other_calls(first: ComparedRun, side: ComparedRun) -> str | None:
    told = []
    for kind in sorted(set(first.calls_a_step) & set(side.calls_a_step)):
        one, other = first.calls_a_step[kind], side.calls_a_step[kind]
        if not _alike(one, other):
            told.append(f"{first.label} {one:g} {plain(kind, 40)}, {side.label} {other:g}")
    return f"other calls a step, so other layers or another model: {'; '.join(told)}" if told else None


def _other_layers(first: ComparedRun, side: ComparedRun) -> str | None:
    """By the kernels that both have; where shapes make libraries take others, by what they compute."""
    by_name = _more_often(first, side, first.work, side.work)
    return by_name or _more_often(first, side, _by_kind(first.work), _by_kind(side.work))


def _more_often(first: ComparedRun, side: ComparedRun, one: dict[str, float], two: dict[str, float]) -> str | None:
    ratios = _ratios(one, two)
    other = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > SAME}
    if not other or sum(one[name] for name in other) < _MOST_KERNELS * sum(one.values()):
        return None
    name = max(other, key=lambda each: one[each])
    return (
        f"other layers: {plain(name, 60)} runs {one[name]:g} times a step in {first.label}, "
        f"{two[name]:g} in {side.label}"
    )


def _by_kind(work: dict[str, float]) -> dict[str, float]:
    """How often each piece of work comes in a step, by whatever kernel; what ends another kernel's is none."""
    found: dict[str, float] = {}
    for name, calls in work.items():
        if not goes_on(name):
            found[kind_of(name)] = found.get(kind_of(name), 0.0) + calls
    return found


def _other_population(first: ComparedRun, side: ComparedRun) -> str | None:
    """Kind and batch of the steps as ranges tell them, unless the user states the batch."""
    one, two = first.population, side.population
    if one.kind != two.kind:
        return f"other steps: {first.label} {one.kind}, {side.label} {two.kind}"
    if first.batch_stated or side.batch_stated or None in (one.batch, two.batch):
        return None
    # Of ranks that work on several batches all of them: how they are spread may be what is compared.
    both = (first.sequences, side.sequences)
    if one.batch == two.batch or (None not in (first.of_batches, side.of_batches) and _alike(*both)):
        return None
    return (
        f"another batch: {first.label} {first.batch_told}, {side.label} {side.batch_told}, none that both have; "
        f"--batch for each compares them all the same"
    )


def _untold_batch(first: ComparedRun, side: ComparedRun) -> str | None:
    """Several sequences, as ranges tell them, against nobody knows how many, where no size of a call tells either."""
    one, two = sorted((first, side), key=lambda each: each.population_batch or 0)
    if first.batch_stated or side.batch_stated or one.population_batch is not None or two.sequences <= 1:
        return None
    if _sizes(one.calls) & _sizes(two.calls):
        return None
    return (
        f"another batch, or none that is told: {two.label} {two.batch_told}, and nothing tells that of {one.label}; "
        f"--batch for each compares them all the same"
    )


def _alike(one: float, two: float) -> bool:
    return abs(one - two) <= SAME * max(one, two)


def _other_sizes(first: ComparedRun, side: ComparedRun) -> str | None:
    """Sizes of all-reduces, which one model has at one batch whatever the number of ranks."""
    if first.population_batch is None or first.population_batch != side.population_batch:
        return None
    sizes = [_sizes(one.calls) for one in (first, side)]
    if not all(sizes) or sizes[0] & sizes[1]:
        return None
    told = "; ".join(
        f"{one.label} {', '.join(size(n) for n in sorted(own)[:4])}"
        for one, own in zip((first, side), sizes, strict=True)
    )
    return f"another model: all-reduces of other sizes at one batch: {told}"


def _sizes(calls: pl.DataFrame) -> set[int]:
    return set(calls.filter(pl.col("kind") == "all_reduce")["message_bytes"].drop_nulls().to_list())


def _other_work(first: ComparedRun, side: ComparedRun) -> str | None:
    """Work that no division over the ranks of both explains, unless the user states the batch.

    a + b/n, neither negative, shrinks by no more than the ranks grow, and does not grow.
    """
    few, many = sorted((first, side), key=lambda one: one.ranks)
    if few.ranks == many.ranks or first.batch_stated or side.batch_stated:
        return None
    held = False
    for group in _OF_LAYERS:
        narrow, wide = (one.value(f"compute.{group}") or 0.0 for one in (few, many))
        shares = [ns / (one.value("ledger.compute") or 1.0) for ns, one in ((narrow, few), (wide, many))]
        if not narrow or not wide or max(shares) < _LEAST_OF_COMPUTE:
            continue
        held = True
        if why := _undivided(group, few, many, (narrow, narrow), (wide, wide)):
            return why
    # Around the layers more differs between engines than ranks explain.
    return None if held else _undivided("what the GPUs do", few, many, _works(few), _works(many))


def _works(side: ComparedRun) -> tuple[float, float]:
    """ns a step that a GPU computes and copies, at the least and at the most: graphs that are blocks hide calls too."""
    told, block = (sum(side.value(f"ledger.{line}") or 0.0 for line in lines) for lines in (_WORK, (Line.GRAPH,)))
    return told + block * (side.ranks == 1), told + block


def _undivided(
    what: str, few: ComparedRun, many: ComparedRun, narrow: tuple[float, float], wide: tuple[float, float]
) -> str | None:
    """narrow, wide: ns a step over few and over many ranks, each at the least and at the most."""
    times = many.ranks / few.ranks
    if not narrow[1] or not wide[1]:
        return None
    if narrow[0] <= times * OTHER_KERNELS * wide[1] and wide[0] <= OTHER_KERNELS * narrow[1]:
        return None
    return (
        f"another batch, context or model: {what} takes {duration(narrow[1])} over {counted(few.ranks, 'rank')} "
        f"({few.label}) and {duration(wide[1])} over {many.ranks} ({many.label}), which dividing by no more than "
        f"{times:g} does not explain; --batch for each compares them all the same"
    )
