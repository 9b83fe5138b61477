"""Why ranks are not in a trace that should have them all: workers that the profiler lost."""

from __future__ import annotations

from nsysan.model.health import NO_CUDA, SPAWN_AND_TRACE_FORKS
from nsysan.model.launchers import places
from nsysan.run.run import Run
from nsysan.text import counted


def silent_processes(run: Run) -> int:
    """Processes of a run in one trace that the profiler was in, and of which it has nothing of CUDA."""
    if len(run.metadata) != 1:
        return 0
    worked = {rank.process for rank in run.ranks} | {process for process, _ in run.bystanders}
    (trace,) = run.metadata
    told = {d.process for d in trace.diagnostics if d.text.startswith(NO_CUDA) and d.process is not None}
    return len(told - worked)


def lost_workers(run: Run) -> str | None:
    """That the missing ranks may be workers that were lost; None where their traces may be elsewhere.

    Those of a launcher have traces of their own. A trace of several ranks, in which no process is silent, is one of
    several nodes.
    """
    if not run.missing_ranks or len(run.metadata) != 1 or places(run.metadata[0].environment):
        return None
    silent = silent_processes(run)
    if silent:
        return f"{counted(silent, 'process', 'processes')} of the trace gave no CUDA events, as forked workers do"
    return "only one rank has kernels, as where workers were forked" if len(run.ranks) == 1 else None


#: What to do then.
CURE = f"capture with {SPAWN_AND_TRACE_FORKS} (nsysan capture sets both), and let the workers end by themselves"
