"""nsysan: the Nsight Systems trace analyzer for tensor-parallel inference.

In a notebook:

    import nsysan

    run = nsysan.analyze("trace.sqlite")       # or a list: the traces of one run, one a rank or a host
    run.ledger                                 # polars: where the time of each step and rank went
    run.ledger.to_pandas()                     # the same for pandas
    report = nsysan.build_report(run)          # verdict, late rank, findings, what-ifs
    nsysan.write_html(report, "report.html")
    nsysan.to_json(report)                     # as nsysan/data/report.schema.json says
    nsysan.read_report("old.json").straggler   # of a report that was written before

Frames are polars, times int64 nanoseconds, sizes bytes; what cannot be told is null. Of a Run:

    ledger             a row a step and rank       step, rank, steady, start_ns, period_ns, a column a line, collectives
    per_rank           a row a rank                the medians of these over its steady steps
    windows            a row a step and rank       step, rank, begin, finish, label, excluded (why it is not steady)
    collectives        a row a call and rank       step, rank, name, kind, message_bytes, wait, wire, verdict, ...
    gaps               a row a cause, step, rank   rank, step, cause, host, ns: why nothing ran
    work, kernels      a row an operation          trace, rank, step, begin, end, name, cls, launch_start, ...

Every function raises NsysanError, in one line, for what is wrong with a file or an output; its exit_code is that of the
command line. Importing this package loads none of the libraries; the first call does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nsysan._errors import ExitCode, NsysanError
from nsysan._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Literal

    from nsysan.model.selection import Selection
    from nsysan.report.read_back import ReportDocument
    from nsysan.report.report import Report
    from nsysan.run.run import Run
    from nsysan.trace.trace import Trace

__all__ = [
    "ExitCode",
    "NsysanError",
    "Report",
    "ReportDocument",
    "Run",
    "Selection",
    "Trace",
    "__version__",
    "analyze",
    "build_report",
    "open_trace",
    "read_report",
    "to_html",
    "to_json",
    "to_markdown",
    "to_text",
    "write_html",
    "write_json",
]
#: Classes that are imported when they are asked for, by module.
_CLASSES = {
    "Report": "nsysan.report.report",
    "ReportDocument": "nsysan.report.read_back",
    "Run": "nsysan.run.run",
    "Selection": "nsysan.model.selection",
    "Trace": "nsysan.trace.trace",
}


if not TYPE_CHECKING:  # which would take every name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _CLASSES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_CLASSES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_CLASSES})


def open_trace(path: str | Path) -> Trace:
    """Open an nsys export, read-only: a file of `nsys export --type sqlite`, or a folder of parquetdir or arrowdir.

    NsysanError says what is wrong with anything else.
    """
    from pathlib import Path

    from nsysan.trace.trace import Trace

    return Trace(Path(path))


def analyze(
    traces: Trace | str | Path | Sequence[Trace | str | Path],
    steps: str | None = None,
    *,
    use_nvtx: bool = True,
    selection: Selection | None = None,
) -> Run:
    """The run of a trace, or of several of one run (one a rank, or one a host): ranks, steps, collectives, ledger.

    steps: regular expression for the NVTX ranges that mark decode steps; by default they are found. use_nvtx=False:
    find them without ranges. selection: which part of the run, by time or by step.
    A trace that cannot be read, or is a copy of one before it, is left out (`Run.failures`); NsysanError if that leaves
    none, or they are not of one run.
    """
    from nsysan.model.selection import WHOLE
    from nsysan.run.analyze import analyze

    return analyze(traces, steps, use_nvtx=use_nvtx, selection=selection or WHOLE)


def build_report(
    run: Run,
    *,
    layers: int | None = None,
    model: str | None = None,
    batch: int | None = None,
    context: int | None = None,
    message_bytes: int | None = None,
    link_gbps: float | None = None,
    nccl_logs: Sequence[str | Path] = (),
    timelines: bool = True,
    untraced: int | None = None,
) -> Report:
    """The finished report of a run, for the functions that show or write it.

    layers, model, message_bytes: what the model that ran should do, as the options of `nsysan report`; ValueError where
    they are none or contradict each other. batch, context: sequences of a step where the trace does not tell, and
    tokens in the cache of each, for the speed of light. link_gbps: peak of the link between the GPUs, GB/s per
    GPU and direction, in place of the table's. nccl_logs: logs of NCCL of this run, besides those that lie beside its
    traces. timelines=False: faster, for a report that is not to become a page. untraced: ns that a step takes without
    nsys, of which savings are then; ValueError where the run cannot take that.
    """
    from pathlib import Path

    from nsysan.diagnosis.expectation import expectation
    from nsysan.report.build import build_report
    from nsysan.trace.nccl_files import read_logs

    if link_gbps is not None and not 0 < link_gbps < float("inf"):
        raise ValueError(f"link_gbps is GB/s, not {link_gbps}")
    expected = expectation(layers, model, message_bytes, batch=batch, context=context)
    said = [read_logs(map(Path, nccl_logs))] if nccl_logs else []
    return build_report(
        run, __version__, expected, link_gbps=link_gbps, timelines=timelines, nccl_logs=said, untraced=untraced
    )


def to_json(report: Report) -> str:
    """The report as a JSON document (nsysan/data/report.schema.json): ASCII, durations in ns, null for unknown."""
    from nsysan.report.document import to_json

    return to_json(report)


def to_html(report: Report, plotlyjs: Literal["inline", "cdn"] = "inline") -> str:
    """The report as one page that opens offline (3 MB), or with plotly.js from its CDN."""
    from nsysan.page.html import to_html

    return to_html(report, plotlyjs)


def to_markdown(report: Report) -> str:
    """The report as Markdown for a ticket."""
    from nsysan.report.markdown import to_markdown

    return to_markdown(report)


def to_text(report: Report) -> str:
    """The report as the summary that `nsysan report` prints."""
    from nsysan.report.terminal import to_text

    return to_text(report)


def write_json(report: Report, path: str | Path, *, force: bool = False) -> None:
    """Write `to_json` to a file, in one step; NsysanError where the file exists, unless `force`."""
    _write(to_json(report), path, force=force)


def write_html(
    report: Report, path: str | Path, *, plotlyjs: Literal["inline", "cdn"] = "inline", force: bool = False
) -> None:
    """Write `to_html` to a file, in one step; NsysanError where the file exists, unless `force`."""
    _write(to_html(report, plotlyjs), path, force=force)


def read_report(path: str | Path) -> ReportDocument:
    """The document of a report that was written as JSON, by this nsysan or an earlier one; NsysanError for others."""
    from nsysan.report.read_back import read_report

    return read_report(path)


def _write(text: str, path: str | Path, *, force: bool) -> None:
    from pathlib import Path

    from nsysan.output import write_text

    write_text(Path(path), text, force=force)
