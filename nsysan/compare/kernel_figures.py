"""What the compute of a comparison's sides is: by group, and the kernels that differ most."""

from __future__ import annotations

import polars as pl

from nsysan.compare.comparison import NS, ComparedRun, Measured
from nsysan.compare.figure_rows import Row
from nsysan.model.kernel_groups import KernelGroup
from nsysan.run.kernel_questions import kernels_by_step_of
from nsysan.run.run import Run
from nsysan.text import plain, shortened

#: Kernels that are compared by name: those that differ most.
_MOST = 12
#: Letters of a name.
_NAME = 70


def kernel_figures(run: Run, steady: pl.DataFrame) -> tuple[dict[str, Measured], dict[str, Measured]]:
    """ns of a step by group (as figures, compute.GROUP) and by kernel. steady: rows of the ledger."""
    known = steady.filter(pl.col("compute_ns").is_not_null()).select("step", "rank")
    if known.is_empty():
        return {}, {}
    found = pl.concat(run.ask(kernels_by_step_of, run.steady_steps))
    groups = {f"compute.{group}": measured for group, measured in _measured(found, "group", known).items()}
    return groups, _measured(found, "name", known)


def _measured(found: pl.DataFrame, key: str, known: pl.DataFrame) -> dict[str, Measured]:
    """By each value of a column; a step that does not run it spends nothing in it."""
    summed = found.drop_nulls(key).group_by("step", "rank", key).agg(pl.sum("ns"))
    return {
        str(value): Measured.over_ranks(
            known.join(rows, on=["step", "rank"], how="left").with_columns(pl.col("ns").fill_null(0)), "ns"
        )
        for (value,), rows in summed.partition_by(key, as_dict=True).items()
    }


def group_rows(sides: list[ComparedRun]) -> list[Row]:
    """A row a group that some side has."""
    names = [group for group in KernelGroup if any(side.value(f"compute.{group}") for side in sides)]
    return [
        _row(sides, f"compute.{group}", group.value, [side.figures.get(f"compute.{group}") for side in sides])
        for group in names
    ]


def kernel_rows(sides: list[ComparedRun]) -> list[Row]:
    """A row a kernel, those that differ most from the first side; none where a side does not show its kernels."""
    if not all(side.kernels for side in sides):
        return []
    names = sorted({name for side in sides for name in side.kernels})

    def most(name: str) -> float:
        values = [0.0 if name not in side.kernels else side.kernels[name].value or 0.0 for side in sides]
        return max(abs(value - values[0]) for value in values)

    chosen = [name for name in sorted(names, key=most, reverse=True)[:_MOST] if most(name) > 0]
    return [
        _row(
            sides, f"kernel.{number}", plain(shortened(name, _NAME), _NAME), [side.kernels.get(name) for side in sides]
        )
        for number, name in enumerate(chosen)
    ]


def _row(sides: list[ComparedRun], id_: str, name: str, found: list[Measured | None]) -> Row:
    """What a side does not run that shows its kernels takes nothing there."""
    told = [
        Measured(0.0, 0 * side.figures["ledger.period"].steps) if one is None and side.kernels else one
        for side, one in zip(sides, found, strict=True)
    ]
    reasons = [
        None if one is not None and one.value is not None else f"not measured in {side.label}: {side.why_null(id_)}"
        for side, one in zip(sides, told, strict=True)
    ]
    return Row(id_, name, NS, told, reasons)
