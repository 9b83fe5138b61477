"""What the compute of each step is: the time of its kernels, by kernel and by group (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.grouped import summed
from nsysan.columns.intervals import Covered
from nsysan.model.kernel_groups import KernelGroup, group_of, telling_name

_I64 = npt.NDArray[np.int64]
#: More names than this are one kernel, the rest, of no known group: those that take least.
MOST_NAMES = 1_000
REST = "(further kernels)"
#: What a kernel is told by.
KERNEL = ("population", "name", "group")


@dataclass(frozen=True)
class KernelTimes:
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


@dataclass(frozen=True)
class Names:
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
    return work.with_columns(step=pl.Series(step, dtype=pl.Int64)).filter(pl.Series(begun < finish[at]))


def per_step(inside: pl.DataFrame) -> pl.DataFrame:
    """kernel, step, ns, calls: what each kernel takes in each step that runs it. inside: step, kernel, begin, end."""
    took = (inside["end"] - inside["begin"]).to_numpy()
    return summed(inside.select("kernel", "step"), {"ns": took, "calls": np.ones(len(took), dtype=np.bool_)})


def kernel_times(rank: int, work: pl.DataFrame, windows: pl.DataFrame, names: Names) -> KernelTimes:
    """Of one rank. work: kernel (number in names.table), begin, end of its compute kernels.

    windows: step, population, begin, finish of its steady steps.
    """
    told = windows.select("step", "population")
    inside = in_windows(work, windows)
    sums = per_step(inside).join(told, on="step")
    took = inside.select("step", "kernel", ns=pl.col("end") - pl.col("begin"))
    usual_call = pl.median("ns").round().cast(pl.Int64)
    if told["population"].n_unique() > 1:
        calls = took.join(told, on="step").group_by("population", "kernel").agg(call_ns=usual_call)
    else:  # of most traces, whose kernels are millions
        calls = took.group_by("kernel").agg(call_ns=usual_call)
        calls = calls.with_columns(population=pl.lit(told["population"].first(), dtype=pl.String))
    table = names.table.with_row_index("kernel").with_columns(pl.col("kernel").cast(pl.Int64))
    counts = told.group_by("population").agg(steps=pl.len())
    usual = _medians(sums, ["population", "kernel"], counts).join(calls, on=["population", "kernel"])
    number = pl.lit(rank, dtype=pl.Int64).alias("rank")
    kernels = usual.join(table, on="kernel").select(number, *KERNEL, "demangled", "ns", "calls", "call_ns")
    grouped = sums.join(table.select("kernel", "group"), on="kernel")
    grouped = grouped.group_by("population", "group", "step").agg(pl.sum("ns", "calls"))
    groups = _medians(grouped, ["population", "group"], counts)
    return KernelTimes(
        kernels.sort(*KERNEL),
        groups.select(number, "population", "group", "ns", "calls").sort("population", "group"),
        _steps(work, windows, sums).select(number, pl.all()),
    )


def _medians(sums: pl.DataFrame, key: list[str], counts: pl.DataFrame) -> pl.DataFrame:
    """key, ns, calls: medians over all steps of the population, of which those that are not there have nothing.

    sums: key, ns, calls of a step. counts: population, steps.
    """
    found = sums.group_by(key).agg(pl.col("ns", "calls").sort(), there=pl.len()).join(counts, on="population")
    absent = pl.col("steps").cast(pl.Int64) - pl.col("there").cast(pl.Int64)
    low, high = (pl.col("steps").cast(pl.Int64) - 1) // 2 - absent, pl.col("steps").cast(pl.Int64) // 2 - absent

    def middle(name: str) -> pl.Expr:
        values = [
            pl.when(at >= 0).then(pl.col(name).list.get(pl.max_horizontal(at, 0), null_on_oob=True)).otherwise(0)
            for at in (low, high)
        ]
        return (values[0] + values[1]) / 2

    return found.select(*key, ns=middle("ns").round().cast(pl.Int64), calls=middle("calls"))


def _steps(work: pl.DataFrame, windows: pl.DataFrame, sums: pl.DataFrame) -> pl.DataFrame:
    """population, step, kernels_ns, overlap_ns, beyond_ns, union_ns."""
    begins, finishes = windows["begin"].to_numpy(), windows["finish"].to_numpy()
    begun, ended = work["begin"].to_numpy(), work["end"].to_numpy()
    if (ended >= begun).all() and (begun[1:] >= ended[:-1]).all():
        union = inside = Covered(begun, ended).between(begins, finishes)
    else:
        union, inside = Covered.of(work).between(begins, finishes), _busy(begun, ended, begins, finishes)
    whole = windows.select("population", "step").join(
        sums.group_by("step").agg(kernels_ns=pl.sum("ns")), on="step", how="left", maintain_order="left"
    )
    whole = whole.with_columns(pl.col("kernels_ns").fill_null(0))
    return whole.with_columns(
        overlap_ns=pl.Series(inside - union),
        beyond_ns=whole["kernels_ns"] - pl.Series(inside),
        union_ns=pl.Series(union),
    )


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
