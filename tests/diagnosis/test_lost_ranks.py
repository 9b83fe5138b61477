"""Ranks that the profiler lost: the report names the cure, unless their traces may be elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan._errors import NsysanError
from nsysan.diagnosis.lost_ranks import lost_workers, silent_processes
from nsysan.report.build import build_report
from nsysan.run.clock import check_one_run
from nsysan.run.run import Run
from tests.tracebuilder import TraceBuilder, decode_loop


def run_of(folder: Path, *, ranks: int = 1, silent: int = 0, launcher: bool = False) -> Run:
    builder = TraceBuilder()
    for rank, process in enumerate(decode_loop(builder, ranks=ranks, graph=True, message_bytes=None)):
        process.comm_init(comm=7, nranks=8, rank=rank, device=rank)
    for number in range(silent):
        worker = builder.process(9000 + number)
        builder.diagnostic("No CUDA events collected. Does the process use CUDA?", process=worker)
    if launcher:
        builder.env("RANK", "0")
        builder.env("WORLD_SIZE", "8")
    return nsysan.analyze(builder.write(folder / "t.sqlite"))


def test_forked_workers_are_named_with_their_cure(tmp_path: Path) -> None:
    run = run_of(tmp_path, silent=7)
    assert silent_processes(run) == 7
    report = build_report(run, "0", timelines=False)
    (finding,) = (found for found in report.findings if found.id == "missing_ranks")
    (row,) = (found for found in report.quality if found.id == "missing_ranks")
    for text in (finding.fix, row.reason):
        for word in ("VLLM_WORKER_MULTIPROC_METHOD=spawn", "--trace-fork-before-exec=true"):
            assert word in text
    assert "7 processes of the trace gave no CUDA events" in finding.evidence


def test_where_workers_may_have_been_lost(tmp_path: Path) -> None:
    assert lost_workers(run_of(tmp_path)) == "only one rank has kernels, as where workers were forked"
    # Four ranks of eight in one trace are those of a node; a launcher's rank has its trace for itself.
    assert lost_workers(run_of(tmp_path, ranks=4)) is None
    assert lost_workers(run_of(tmp_path, launcher=True)) is None


def test_windows_of_one_server_are_told_to_be_compared() -> None:
    with pytest.raises(NsysanError, match=r"report each alone, or .*\(nsysan compare a\.1\.sqlite a\.2\.sqlite\)"):
        check_one_run(["a.1.sqlite", "a.2.sqlite"], [(0, 1_000), (5_000_000_000, 5_000_001_000)])
