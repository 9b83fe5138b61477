"""`nsysan info`: what a trace holds, without its secrets and without false alarms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.tracebuilder import ALLREDUCE_KERNEL, TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]
SECRET = "s3cr3t-t0ken-0f-nobody"
NO_WARNING = "no warnings of the profiler"
LOST = "Not all CUDA events might have been collected."


def text_of(capsys: Capsys, trace: Path) -> str:
    result = run_cli(capsys, "info", trace)
    assert (result.code, result.err) == (0, "")
    return result.out


def document_of(capsys: Capsys, trace: Path) -> dict[str, Any]:
    result = run_cli(capsys, "info", trace, "--json")
    assert (result.code, result.err) == (0, "")
    document: dict[str, Any] = json.loads(result.out)
    return document


def rows_after(text: str, heading: str) -> list[list[str]]:
    """The words of each indented line below a heading."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(heading))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        rows.append(line.split())
    return rows


def test_real_trace_as_text(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    text = text_of(capsys, real_trace("tp4_graph_node"))

    assert text.startswith("tp4_graph_node.sqlite\n  nsys 2025.3.2.0, schema 3.20.3\n")
    assert "by node (52 replays): kernels inside are visible" in text
    ranks = rows_after(text, "ranks, numbered by NCCL CommInit")
    assert [row[:4] + row[6:8] for row in ranks[1:5]] == [
        [str(rank), str(1176 + rank), "python", str(rank), "6,266", "674"] for rank in range(4)
    ]
    assert "NCCL communicators initialised in the trace: 1 (4 ranks)" in text
    collectives = rows_after(text, "communication kernels")
    assert ["ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "all_reduce", "NCCL", "2,688"] in [r[:4] for r in collectives]
    assert ["decode_step_#", "48", "4", "decode", "range"] in rows_after(text, "NVTX ranges")
    assert ["PROCESS_0:CUDA_GRAPH_TRACE_OPTIONS:MODE", "=", "Node"] in rows_after(text, "captured with")
    assert ["CUPTI_ACTIVITY_KIND_KERNEL", "25,064"] in rows_after(text, "tables")
    assert NO_WARNING in text


def test_real_trace_as_json(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    document = document_of(capsys, real_trace("tp4_graph_node"))

    assert document["schema"] == "nsysan.info/1"
    assert (document["nsys_version"], document["schema_version"]) == ("2025.3.2.0", "3.20.3")
    assert (document["graph_trace"], document["graph_replays"]) == ("node", 52)
    assert [(r["rank"], r["pid"], r["device"], r["gpu_model"]) for r in document["ranks"]] == [
        (rank, 1176 + rank, rank, "NVIDIA H200") for rank in range(4)
    ]
    assert len(document["gpus"]) == 4
    assert dict(document["tables"])["CUPTI_ACTIVITY_KIND_KERNEL"] == 25_064
    assert sum(rank["kernels"] for rank in document["ranks"]) == 25_064
    (decode,) = [r for r in document["ranges"] if r["engine"]]
    assert (decode["template"], decode["count"], decode["threads"]) == ("decode_step_#", 48, 4)


def test_generated_trace(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder(nsys_version="2026.2.1.210", schema_version="3.25.0")
    for process in decode_loop(builder, ranks=2, same_device=True):
        process.kernel("my_custom_allreduce_kernel", 2_000_000, 2_010_000)
        process.nvtx("execute_context_0(0)_generation_8(8)", 3_000_000, 3_000_100)
        process.nvtx("sampling 7", 3_000_200, 3_000_300)
        process.nvtx("never closed", 3_000_400, None)
    trace = builder.write(tmp_path / "t.sqlite")
    document = document_of(capsys, trace)

    assert (document["nsys_version"], document["schema_version"]) == ("2026.2.1.210", "3.25.0")
    assert document["graph_trace"] == "none"
    # Every rank sees its own GPU as device 0.
    assert [(r["rank"], r["device"], r["gpu"]) for r in document["ranks"]] == [(0, 0, 0), (1, 0, 1)]
    assert [(c["name"], c["kind"], c["kernels"]) for c in document["collectives"]] == [
        (ALLREDUCE_KERNEL, "all_reduce", 16)
    ]
    assert document["collectives"][0]["resident_ns"] == 16 * 8_000
    assert [(k["name"], k["calls"]) for k in document["lookalikes"]] == [("my_custom_allreduce_kernel", 2)]
    engines = {r["template"]: r["engine"] for r in document["ranges"]}
    assert engines == {
        "decode_step_#": "decode range",
        "execute_context_#(#)_generation_#(#)": "vLLM",
        "sampling #": None,
    }
    assert document["open_ranges"] == 2
    assert dict(document["tables"])["CUPTI_ACTIVITY_KIND_KERNEL"] == 2 * 17

    text = text_of(capsys, trace)
    assert "not in the catalogue: my_custom_allreduce_kernel, 2 kernels, 6.5 % of kernel time" in text
    assert "2 ranges never end within the capture" in text
    assert ["execute_context_#(#)_generation_#(#)", "2", "2", "vLLM"] in rows_after(text, "NVTX ranges")


@pytest.mark.parametrize(("mode", "replays"), [("graph", 16), ("node", 16)])
def test_graph_mode(tmp_path: Path, capsys: Capsys, mode: str, replays: int) -> None:
    if mode == "graph":
        trace = graph_level_trace(tmp_path / "t.sqlite")
    else:
        builder = TraceBuilder()
        decode_loop(builder, graph=True)
        trace = builder.write(tmp_path / "t.sqlite")
    document = document_of(capsys, trace)
    assert (document["graph_trace"], document["graph_replays"]) == (mode, replays)
    text = text_of(capsys, trace)
    assert f"({replays} replays)" in text
    assert ("--cuda-graph-trace=node" in text) == (mode == "graph")


def test_no_replay_is_said_in_words(tmp_path: Path, capsys: Capsys) -> None:
    text = text_of(capsys, paper_trace(tmp_path / "t.sqlite"))
    assert "  CUDA graphs: no replay in the trace\n" in text


def test_environment_appears_nowhere(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    builder = TraceBuilder()
    decode_loop(builder, ranks=1, message_bytes=None)
    # RANK is read for the rank's number; the rest of the environment is nobody's business.
    builder.env("RANK", "5")
    builder.env("API_TOKEN", SECRET)
    builder.row("META_DATA_CAPTURE", name="ENVIRONMENT_VARIABLE", value=f"OTHER={SECRET}")
    trace = builder.write(tmp_path / "t.sqlite")
    outputs = [run_cli(capsys, "info", trace).out, run_cli(capsys, "info", trace, "--json").out]
    outputs.append(run_cli(capsys, "report", trace, "-o", "o.html").out)
    outputs.append(run_cli(capsys, "report", trace, "--json", "-").out)
    outputs.append(Path("o.html").read_text("utf-8"))

    assert "numbered by environment RANK" in outputs[0]
    assert "CUDA_GRAPH_TRACE_OPTIONS:MODE = Node" in outputs[0]
    for output in outputs:
        assert SECRET not in output
        assert "API_TOKEN" not in output


@pytest.mark.parametrize("dropped", ["PROCESSES", None])
def test_helper_without_cuda_is_no_warning(tmp_path: Path, capsys: Capsys, dropped: str | None) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2)
    helper = builder.process(77, name="sh")
    builder.diagnostic("No CUDA events collected. Does the process use CUDA?", process=helper)
    builder.diagnostic("CUDA profiling might have not been started correctly.", process=helper)
    builder.diagnostic(LOST, severity=1, process=helper)
    trace = builder.write(tmp_path / "t.sqlite", drop_tables=[dropped] if dropped else [])

    assert document_of(capsys, trace)["warnings"] == []
    assert NO_WARNING in text_of(capsys, trace)


def test_lost_events_of_a_rank_are_a_warning_everywhere(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    builder = TraceBuilder()
    _, second = decode_loop(builder, ranks=2)
    for _ in range(3):
        builder.diagnostic(f"{LOST}\n", process=second)
    trace = builder.write(tmp_path / "t.sqlite")

    assert document_of(capsys, trace)["warnings"] == [["pid 1001", LOST]]
    assert f"  pid 1001: {LOST}\n" in text_of(capsys, trace)
    summary = run_cli(capsys, "report", trace, "-v").out
    assert f"events (estimated): nsys warns that events may be missing: {LOST}" in summary


def test_warning_of_several_lines_stays_one(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    (process,) = decode_loop(builder, ranks=1)
    builder.diagnostic("Buffer is full.\n\tRaise it.\x1b[2J", process=process)
    assert "  pid 1000: Buffer is full. Raise it.?[2J\n" in text_of(capsys, builder.write(tmp_path / "t.sqlite"))


def test_trace_without_gpu_work(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    builder.process(1)
    text = text_of(capsys, builder.write(tmp_path / "t.sqlite"))
    assert "no GPU work in this trace" in text
    # There is nothing to find steps in, so no promise that they will be found.
    assert "steps will be found" not in text


def test_many_ranges_are_cut_but_step_markers_come_first(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    (process,) = decode_loop(builder, ranks=1)
    for letter in "abcdefghijklmnop":
        for repeat in range(9):
            process.nvtx(f"layer {letter}", 5_000_000 + repeat, 5_000_001 + repeat)
    text = text_of(capsys, builder.write(tmp_path / "t.sqlite"))
    rows = rows_after(text, "NVTX ranges")
    assert rows[1] == ["decode_step_#", "4", "1", "decode", "range"]
    assert rows[-1] == ["and", "5", "more", "names"]
