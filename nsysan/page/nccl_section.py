"""NCCL's own words on the page: what its log says of the run, and how far that is known."""

from __future__ import annotations

from functools import partial

from nsysan.diagnosis.algorithms import AlgorithmSource
from nsysan.diagnosis.evidence import Aspect
from nsysan.page.elements import safe, section
from nsysan.page.elements import table as _table
from nsysan.page.glossary import HEADS
from nsysan.report.nccl_text import nccl_sentence
from nsysan.report.report import Report
from nsysan.text import counted, size, us

#: More rows than this are for the JSON.
_MOST = 100
_NOTE = (
    "From NCCL's log, which outranks what latency and bandwidth suggest. Where calls are not printed, the algorithm is "
    "the fastest by NCCL's tuning table, which NCCL itself still corrects for trees."
)
_SOURCES = {AlgorithmSource.CALLS: "printed for the calls", AlgorithmSource.TABLE: "tuning table"}
table = partial(_table, terms=HEADS)


def nccl_section(report: Report) -> str:
    """HTML; nothing where there is no log."""
    if report.nccl is None:
        return ""
    told = nccl_sentence(report) or next((q.reason for q in report.quality if q.id is Aspect.NCCL_LOG), "")
    return section(
        "NCCL's own words",
        _NOTE,
        f"<p>{safe(told)}.</p>",
        _transports(report),
        _algorithms(report),
        anchor="nccl",
        folded="What NCCL's log says: transports, channels, settings, algorithm by size",
    )


def _transports(report: Report) -> str:
    own = report.nccl.transports if report.nccl else []
    rows = [[f"{one.ranks[0]} and {one.ranks[1]}", one.via, str(one.channels)] for one in own[:_MOST]]
    left = f" (the first {_MOST} of {len(own)}; the JSON has all)" if len(own) > _MOST else ""
    body = table(["ranks", "via", "channels"], rows, text=(0, 1), caption=f"Transport by pair of ranks{left}")
    few = f"<details><summary>{counted(len(own), 'pair')} and transport</summary>{body}</details>"
    return (body if len(own) <= 8 else few) if rows else ""


def _algorithms(report: Report) -> str:
    rows = [
        [
            row.kind or "not told",
            size(row.bytes),
            f"{row.algorithm} {row.protocol}",
            _SOURCES[row.source],
            "-" if row.calls is None else f"{row.calls:,}",
            us(None if row.us is None else row.us * 1e3),
            "-" if row.best is None else f"{row.best[0]} {row.best[1]}",
        ]
        for row in report.algorithms[:_MOST]
    ]
    header = ["kind", "size", "algorithm", "from", "printed", "by the table, µs", "fastest by the table"]
    caption = "Algorithm and protocol of NCCL's calls by size"
    return table(header, rows, text=(0, 2, 3, 6), caption=caption) if rows else ""
