"""From traces to the run that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nsysan import progress
from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.memory import give_back
from nsysan.model.loaded import ReadRequest, TraceSummary
from nsysan.model.selection import WHOLE, Selection
from nsysan.run.copies import find_copies
from nsysan.run.failure import Failure
from nsysan.run.merge import merge
from nsysan.run.run import Run
from nsysan.run.trace_set import LocalTraces, TraceSet
from nsysan.text import encodable
from nsysan.trace.trace import Trace


def analyze(
    traces: Trace | str | Path | Sequence[Trace | str | Path],
    steps: str | None = None,
    *,
    use_nvtx: bool = True,
    selection: Selection = WHOLE,
    trace_set: TraceSet | None = None,
) -> Run:
    """The run of a trace, or of several (one a rank, or one a host).

    steps: regular expression for the NVTX ranges that mark steps. use_nvtx=False: find steps without ranges.
    selection: which part of the run. trace_set: where traces are read and held, by default in this process; anywhere
    else they are given as paths.
    A trace that cannot be read, holds no GPU work or no range that `steps` matches, or is a copy of one before it, is
    left out (`failures`); NsysanError if that leaves none, or the traces are not of one run.
    """
    named = [traces] if isinstance(traces, Trace | str | Path) else traces
    sources = [Path(source) if isinstance(source, str) else source for source in named]
    if not sources:
        raise NsysanError("no trace is named, so there is none to analyse", ExitCode.NOTHING_TO_ANALYSE)
    trace_set = LocalTraces() if trace_set is None else trace_set
    if selection.in_time and len(sources) > 1:
        known = (start for source in sources if (start := trace_set.started(source)) is not None)
        selection = replace(selection, origin=next(known, None))
    found = trace_set.read([ReadRequest(source, steps, use_nvtx, selection) for source in sources])
    summaries = {number: summary for number, summary in enumerate(found) if isinstance(summary, TraceSummary)}
    failures = [
        Failure(encodable(source.name), _path(source), summary)
        for source, summary in zip(sources, found, strict=True)
        if isinstance(summary, NsysanError)
    ]
    if not summaries:
        raise failures[0].error
    for number, first in find_copies(summaries).items():
        del summaries[number]
        failures.append(_copy(sources[number], first))
    progress.stage("finding steps")
    run, placements = merge(list(summaries.values()), trace_set, selection)
    trace_set.place(dict(zip(summaries, placements, strict=True)))
    give_back(sum(summary.rows for summary in summaries.values()))
    return replace(run, failures=failures)


def _path(source: Trace | Path) -> str:
    return str(source.path if isinstance(source, Trace) else source)


def _copy(source: Trace | Path, first: str) -> Failure:
    """A copy of the trace that is called `first`."""
    path = _path(source)
    error = NsysanError(f"{path}: shows the same processes at the same times as {first}", ExitCode.NOT_ONE_RUN)
    return Failure(encodable(source.name), path, error, is_copy=True)
