"""How far each figure can be trusted: ok, estimated or not measurable, and why (DEFINITIONS.md, section 1)."""

from __future__ import annotations

import polars as pl

from nsysan.diagnosis.diagnosis import MAX_REJECTED, Diagnosis
from nsysan.diagnosis.doubts import SETTLED, Doubt
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.expectation import Compared
from nsysan.diagnosis.lookalikes import find_lookalikes, named
from nsysan.diagnosis.quality_pace import assess_late, assess_savings
from nsysan.diagnosis.quality_ranks import assess_ranks
from nsysan.diagnosis.quality_sizes import assess_sizes
from nsysan.diagnosis.savings import slowed_by_nsys
from nsysan.diagnosis.scope import assess_coverage, assess_humps
from nsysan.light.told_by_grids import ToldByGrids
from nsysan.metrics.causes import GapCause
from nsysan.metrics.lines import Line
from nsysan.model.classes import WorkClass
from nsysan.model.health import NODE_FLAG
from nsysan.model.matches import Match
from nsysan.model.steps.step_kind import StepMethod
from nsysan.run.all_decode import of_all_decode, usual_period
from nsysan.run.run import Run
from nsysan.text import counted, plain
from nsysan.trace.graph_mode import GraphMode

_UNSEEN = (
    "so waiting and transfer cannot be told apart; capture all ranks in one nsys session, or name all ranks' traces "
    "together"
)

_EAGER = (
    "kernels are launched one by one, and tracing each launch inflates host time (threefold in a measured case): "
    "idle time, and waiting caused by a late host, are shorter without the profiler"
)
_REPLAYED = (
    "hosts pace part of the step, and tracing their calls adds to that (steps of servers that replay graphs took 17 to "
    f"33 % longer where measured): what hosts cost is less without the profiler ({SETTLED[Doubt.TRACING]})"
)


def assess(
    run: Run, diagnosis: Diagnosis, compared: Compared | None = None, grids: ToldByGrids | None = None
) -> list[Quality]:
    """Quality rows of a run, each aspect once.

    compared: what the user states of the model; grids: what kernels' grids tell of the sizes of all-reduces.
    """
    every = of_all_decode(run)
    rows = [
        _reports(run),
        _steps(run),
        assess_humps(run, diagnosis.humps, usual_period(run)),
        assess_coverage(every, diagnosis.coverage),
        *assess_ranks(run),
        _graphs(run),
        _split(run, diagnosis),
    ]
    rows.append(assess_sizes(run, compared, grids or ToldByGrids()))
    rows += [_events(run), _host_time(run, diagnosis), _overlap(run), _unknown_names(run)]
    rows += [assess_late(every, diagnosis), _gaps(run, diagnosis), assess_savings(every, diagnosis)]
    return [row for row in rows if row is not None]


def _reports(run: Run) -> Quality | None:
    if not run.failures:
        return None
    why = "; ".join(f"{failure.name}: {failure.why}" for failure in run.failures)
    total = len(run.failures) + len(run.metadata)
    # What a copy shows is there.
    status = Status.OK if all(failure.is_copy for failure in run.failures) else Status.ESTIMATED
    return Quality(Aspect.REPORTS, status, f"{len(run.failures)} of {counted(total, 'trace')} left out: {why}")


def _steps(run: Run) -> Quality:
    found = f"steps found by {run.steps.source}"
    notes = "".join(f"; {note}" for note in run.steps.notes)
    if run.steps.method == StepMethod.WINDOW:
        return Quality(Aspect.STEPS, Status.NOT_MEASURABLE, f"{run.steps.notes[0]}; figures are of the whole capture")
    if not run.steady_steps:
        return Quality(Aspect.STEPS, Status.NOT_MEASURABLE, f"{found}, but none is a steady decode step{notes}")
    status = Status.ESTIMATED if run.steps.method == StepMethod.PERIOD else Status.OK
    return Quality(Aspect.STEPS, status, found + notes)


def _graphs(run: Run) -> Quality | None:
    if run.graph_mode != GraphMode.GRAPH:
        return None
    replays = sum(trace.replays for trace in run.metadata)
    return Quality(
        Aspect.GRAPH_CONTENTS,
        Status.NOT_MEASURABLE,
        f"{counted(replays, 'CUDA graph replay')}, traced as one block each: kernels and communication inside are not "
        f"visible, their time counts as busy (graph), and what it may hide is null; capture with {NODE_FLAG}",
    )


def _split(run: Run, diagnosis: Diagnosis) -> Quality:
    told = run.collectives.select("step", "verdict", "wait", "skew_free_wait")
    calls = told.filter(pl.col("step").is_in(run.steady_steps))
    counts = dict(calls.group_by("verdict").len().iter_rows())
    total = len(calls)
    if total == 0:
        if run.graph_mode == GraphMode.GRAPH:
            return Quality(
                Aspect.WAIT_WIRE,
                Status.NOT_MEASURABLE,
                f"communication inside graph replays is not visible; capture with {NODE_FLAG}",
            )
        return Quality(Aspect.WAIT_WIRE, Status.OK, "no communication kernel of the catalogue runs in the steady steps")
    unseen = counts.get(Match.SINGLE, 0) + counts.get(Match.PARTIAL, 0)
    if unseen == total:
        lacking = (
            "ranks of the communicator are in no trace, any of which may have come last"
            if Match.PARTIAL in counts
            else "only one rank of the communicator is in the trace"
        )
        return Quality(Aspect.WAIT_WIRE, Status.NOT_MEASURABLE, f"{lacking}, {_UNSEEN}")
    if diagnosis.rejected > MAX_REJECTED:
        whose = "the clocks of the ranks disagree" if len(run.metadata) > 1 else "the pairs or the clocks are wrong"
        return Quality(
            Aspect.WAIT_WIRE,
            Status.NOT_MEASURABLE,
            f"of {counted(total, 'collective kernel')}, {counts.get(Match.REJECTED, 0)} ended on one rank before "
            f"another had begun: {whose}, so nobody is called late",
        )
    error = calls.filter(pl.col("verdict") == Match.MATCHED).select((pl.col("wait") - pl.col("skew_free_wait")).abs())
    bar = error.to_series().quantile(0.95)
    differ = "" if bar is None else f"; the two estimates of wait differ by {bar / 1e3:.1f} µs at p95"
    bad = {verdict: counts[verdict] for verdict in Match if verdict != Match.MATCHED and verdict in counts}
    if not bad:
        return Quality(
            Aspect.WAIT_WIRE,
            Status.OK,
            f"all {total} collective kernels of the steady steps matched across the ranks{differ}",
        )
    detail = ", ".join(f"{n} {verdict}" for verdict, n in bad.items())
    status = Status.ESTIMATED if counts.get(Match.MATCHED) else Status.NOT_MEASURABLE
    of_total = f"of {counted(total, 'collective kernel')} {detail}; the time of these is the line {Line.COMM_UNSPLIT}"
    return Quality(Aspect.WAIT_WIRE, status, of_total + differ)


def _events(run: Run) -> Quality:
    lost = run.lost_events
    if not lost and not all(trace.has_messages for trace in run.metadata):
        return Quality(
            Aspect.EVENTS, Status.OK, "no message of the profiler is in the export (none, too old, or stripped)"
        )
    if not lost:
        return Quality(Aspect.EVENTS, Status.OK, "nsys reports no lost events for the ranks")
    warns = "nsys warns that events may be missing"
    told = f"{warns}: {plain('; '.join(lost), 2_000)}"
    return Quality(Aspect.EVENTS, Status.ESTIMATED, told, limits=warns)


def _host_time(run: Run, diagnosis: Diagnosis) -> Quality | None:
    if diagnosis.untraced is not None:
        return Quality(Aspect.HOST_TIME, Status.OK, diagnosis.untraced.sentence)
    if not slowed_by_nsys(run, diagnosis.what_if):
        return None
    return Quality(Aspect.HOST_TIME, Status.ESTIMATED, _EAGER if run.is_eager else _REPLAYED)


def _gaps(run: Run, diagnosis: Diagnosis) -> Quality:
    idle = diagnosis.gaps
    if len(idle) and idle["ns"].sum() and (idle["cause"] == GapCause.UNKNOWN).all():
        return Quality(
            Aspect.GAPS, Status.NOT_MEASURABLE, "no idle interval has a known cause (see launches, cpu_gpu_clock)"
        )
    if not all(clock.agrees for clock in run.host_clocks.values()):
        return Quality(
            Aspect.GAPS,
            Status.ESTIMATED,
            "unknown where it takes the host's clock to tell the cause (see cpu_gpu_clock)",
        )
    if run.is_eager:
        return Quality(
            Aspect.GAPS, Status.ESTIMATED, "idle time that the host causes is inflated by the profiler (see host_time)"
        )
    if (idle["cause"] == GapCause.STAGE).any():
        inferred = "that a GPU idles as it waits for another stage is inferred from when the stages work"
        return Quality(Aspect.GAPS, Status.ESTIMATED, inferred)
    return Quality(Aspect.GAPS, Status.OK, "every idle interval has one cause, and they sum to the ledger's idle line")


def _overlap(run: Run) -> Quality | None:
    steady = run.tally.by_step.filter(pl.col("step").is_in(run.steady_steps))
    trimmed, ns = steady.select(pl.sum("trimmed", "trimmed_ns")).row(0)
    if not trimmed:
        return None
    return Quality(
        Aspect.PDL,
        Status.OK,
        f"{counted(trimmed, 'operation')} began before the predecessor on the stream ended (programmatic "
        f"dependent launch) and counted from its end, {ns / 1e3:.1f} µs trimmed in all",
    )


def _unknown_names(run: Run) -> Quality | None:
    unknown = find_lookalikes(run.tally)
    if not unknown:
        return None
    return Quality(
        Aspect.UNKNOWN_COLLECTIVES,
        Status.ESTIMATED,
        f"{counted(sum(kernel.calls for kernel in unknown), 'kernel')} named like a collective but not in the "
        f"catalogue, counted as {WorkClass.COMPUTE}: {named(unknown)}",
    )
