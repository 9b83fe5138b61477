"""What the compute of each step is: the time of its kernels, by kernel and by group (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import coded
from nsysan.columns.grouped import summed
from nsysan.columns.intervals import Covered
from nsysan.model.kernel_groups import KernelGroup, group_of, telling_name

_I64 = npt.NDArray[np.int64]
#: More names than this are one kernel, the rest, of no known group: those that take least.
MOST_NAMES = 1_000
REST = "(further kernels)"
#: What a kernel is told by.
KERNEL = ("population", "name", "group")


class KernelTimes(NamedTuple):
    """The compute kernels of one rank's or several ranks' steady steps, each step within its own population.

    kernels: rank, population, name (see kernel_groups.telling_name), group, demangled (a full name of it), ns and calls
    (of a step, median over the steps), call_ns (of a call, median). groups: rank, population, group, ns, calls: the
    same of each group. steps: rank, population, step, kernels_ns (durations of the kernels that begin in the step,
    summed), overlap_ns (what several kernels share of its window, counted once less), beyond_ns (what of them is behind
    its window, less what reaches into it from before), union_ns: kernels_ns - overlap_ns - beyond_ns.
    """

    kernels: pl.DataFrame
    groups: pl.DataFrame
    steps: pl.DataFrame

    @classmethod
    def of_all(cls, parts: list[KernelTimes]) -> KernelTimes:
        """Of all ranks."""
        return cls(
            pl.concat(part.kernels for part in parts),
            pl.concat(part.groups for part in parts),
            pl.concat(part.steps for part in parts),
        )


class KernelSums(NamedTuple):
    """The same of one rank, as far as all of its kernels are needed for it.

    sums: rank, population, step, kernel (number in names.table), ns, calls: of each kernel in a step that runs it.
    calls: rank, population, kernel, call_ns. steps: rank, population, step, inside_ns, union_ns: what of kernels lies
    in the window of each step, durations summed and once.
    """

    sums: pl.DataFrame
    calls: pl.DataFrame
    steps: pl.DataFrame


class Names(NamedTuple):
    """The kernels of a trace by the number of their description. of: number of the row of `table`: name, group,
    demangled."""

    of: _I64
    table: pl.DataFrame

    @classmethod
    def of_descriptions(cls, descriptions: pl.DataFrame, ns: _I64) -> Names:
        """descriptions: name, demangled; ns: what each takes, 0 for those that are not asked for."""
        told = descriptions.select(pl.col("name", "demangled").cast(pl.String), ns=pl.Series(ns)).with_row_index("at")
        # Descriptions are in no order; of the names that one row stands for, it has the first.
        told = told.filter(pl.col("ns") > 0).sort("ns", "demangled", "name", descending=[True, False, False])
        told = told.head(MOST_NAMES).select("at", "name", "demangled")
        numbers: dict[tuple[str, str], int] = {}
        of = np.full(len(descriptions), -1, dtype=np.int64)
        full: list[str] = []
        for at, short, long in told.iter_rows():
            key = (telling_name(short, long or short), group_of(short, long or short).value)
            if key not in numbers:
                numbers[key] = len(full)
                full.append(long or short)
            of[at] = numbers[key]
        of[of < 0] = len(full)
        rows = [(name, group, text) for (name, group), text in zip(numbers, full, strict=True)]
        rows.append((REST, KernelGroup.OTHER.value, REST))
        schema = {"name": pl.String, "group": pl.String, "demangled": pl.String}
        return cls(of, pl.DataFrame(rows, schema=schema, orient="row"))


def in_windows(work: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """The work that begins in one of these windows of a rank, with `step`: that of the window.

    As in the ledger it is time that decides, not the range that launched it: in some engines sampling is behind it.
    work: begin. windows: step, begin, finish, ascending and disjoint.
    """
    begun = work["begin"].to_numpy()
    at = np.searchsorted(windows["begin"].to_numpy(), begun, side="right") - 1
    finish = np.append(windows["finish"].to_numpy(), np.iinfo(np.int64).min)
    step = np.append(windows["step"].to_numpy(), -1)[at]
    return work.hstack([pl.Series("step", step, dtype=pl.Int64)]).filter(pl.Series(begun < finish[at]))


def per_step(inside: pl.DataFrame) -> pl.DataFrame:
    """kernel, step, ns, calls: what each kernel takes in each step that runs it. inside: step, kernel, begin, end."""
    took = (inside["end"] - inside["begin"]).to_numpy()
    return summed(inside.select("kernel", "step"), {"ns": took, "calls": np.ones(len(took), dtype=np.bool_)})


def kernel_sums(rank: int, work: pl.DataFrame, windows: pl.DataFrame) -> KernelSums:
    """Of one rank. work: kernel (number in names.table), begin, end of its compute kernels.

    windows: step, population, begin, finish of its steady steps.
    """
    number = pl.lit(rank, dtype=pl.Int64).alias("rank")
    told = windows.select(number, "population", "step")
    inside = in_windows(work, windows)
    took = inside["step", "kernel"].hstack([(inside["end"] - inside["begin"]).alias("ns")])
    usual_call = pl.median("ns").round().cast(pl.Int64)
    if told["population"].n_unique() > 1:
        calls = took.join(told, on="step").group_by("rank", "population", "kernel").agg(call_ns=usual_call)
    else:  # of most traces, whose kernels are millions
        population = pl.lit(told["population"].first(), dtype=pl.String).alias("population")
        calls = took.group_by("kernel").agg(call_ns=usual_call).select(number, population, "kernel", "call_ns")
    sums = per_step(inside).join(told, on="step").select(*told.columns, "kernel", "ns", "calls")
    return KernelSums(sums, calls, told.hstack(_inside(work, windows)))


def kernel_times(parts: Sequence[KernelSums], names: Names) -> KernelTimes:
    """Of these ranks, in their order."""
    sums, calls, steps = (pl.concat(part) for part in zip(*((p.sums, p.calls, p.steps) for p in parts), strict=True))
    table = names.table.with_row_index("kernel").with_columns(pl.col("kernel").cast(pl.Int64))
    counts = steps.group_by("rank", "population").agg(steps=pl.len())
    key = ("rank", "population", "kernel")
    kernels = _medians(sums, key, counts).join(calls, on=key).join(table, on="kernel")
    grouped = sums.join(table.select("kernel", "group"), on="kernel")
    key = ("rank", "population", "group")
    groups = _medians(grouped.group_by(*key, "step").agg(pl.sum("ns", "calls")), key, counts)
    whole = sums.group_by("rank", "step").agg(kernels_ns=pl.sum("ns"))
    steps = steps.join(whole, on=["rank", "step"], how="left", maintain_order="left")
    kernels_ns, inside_ns = pl.col("kernels_ns").fill_null(0), pl.col("inside_ns")
    return KernelTimes(
        kernels.select("rank", *KERNEL, "demangled", "ns", "calls", "call_ns").sort("rank", *KERNEL),
        groups.select(*key, "ns", "calls").sort(key),
        steps.select(
            *("rank", "population", "step"),
            kernels_ns=kernels_ns,
            overlap_ns=inside_ns - pl.col("union_ns"),
            beyond_ns=kernels_ns - inside_ns,
            union_ns="union_ns",
        ),
    )


def _medians(sums: pl.DataFrame, key: tuple[str, ...], counts: pl.DataFrame) -> pl.DataFrame:
    """key, ns, calls: medians over all steps of the population, of which those that are not there have nothing.

    sums: key, ns, calls of a step. counts: rank, population, steps.
    """
    if sums.is_empty():
        return sums.select(key).with_columns(ns=pl.lit(None, dtype=pl.Int64), calls=pl.lit(None, dtype=pl.Float64))
    code, distinct = coded(sums.select(key))
    number = code.to_numpy()
    there = np.bincount(number)
    first = np.cumsum(there) - there
    steps = distinct.join(counts, on=["rank", "population"], maintain_order="left")["steps"].to_numpy().astype(np.int64)
    # In order those that are not there come first, each with 0.
    absent = steps - there

    def middle(name: str) -> pl.Series:
        values = sums[name].to_numpy()
        ordered = values[np.lexsort((values, number))]
        places = ((steps - 1) // 2 - absent, steps // 2 - absent)
        low, high = (np.where(at >= 0, ordered[first + np.maximum(at, 0)], 0) for at in places)
        return pl.Series(name, (low + high) / 2)

    return distinct.with_columns(middle("ns").round().cast(pl.Int64), middle("calls"))


def _inside(work: pl.DataFrame, windows: pl.DataFrame) -> list[pl.Series]:
    """inside_ns, union_ns of each window."""
    begins, finishes = windows["begin"].to_numpy(), windows["finish"].to_numpy()
    begun, ended = work["begin"].to_numpy(), work["end"].to_numpy()
    if (ended >= begun).all() and (begun[1:] >= ended[:-1]).all():
        union = inside = Covered(begun, ended).between(begins, finishes)
    else:
        union, inside = Covered.of(work).between(begins, finishes), _busy(begun, ended, begins, finishes)
    return [pl.Series("inside_ns", inside), pl.Series("union_ns", union)]


def _busy(begins: _I64, ends: _I64, since: _I64, until: _I64) -> _I64:
    """ns of the intervals between each two times, summed over the intervals: two at once count twice."""
    ends = np.maximum(begins, ends)
    first, last = np.sort(begins, kind="stable"), np.sort(ends, kind="stable")
    # Sums may exceed 64 bits and wrap; their differences do not.
    sums = [np.concatenate(([0], np.cumsum(times))) for times in (first, last)]

    def before(at: _I64) -> _I64:
        parts = [
            np.searchsorted(times, at) * at - total[np.searchsorted(times, at)]
            for times, total in zip((first, last), sums, strict=True)
        ]
        return np.asarray(parts[0] - parts[1])

    return before(until) - before(since)
