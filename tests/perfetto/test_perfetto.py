"""`nsysan export`: what is in the Chrome trace, that it adds up, and that trace_processor agrees."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import nsysan
from nsysan import ExitCode
from nsysan.metrics.lines import LINES
from nsysan.metrics.partition import partition
from nsysan.model.classes import COMMUNICATION
from nsysan.perfetto import choose_steps, packed, to_perfetto
from nsysan.perfetto.host import nested_lanes
from nsysan.run.run import Run
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.copies import changed
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop
from tests.traceprocessor import ask

Analyze = Callable[[str], Run]
Sums = dict[tuple[int, int, str], int]
REAL = (
    "tp4_graph_node",
    "tp4_slow",
    "tp4_fused",
    "tp4_symm",
    "tp4_overlap",
    "tp2_metrics",
    "tp4_graph_graph",
    "rank_0",
)


class Exported:
    """An export read by nothing of nsysan's: times as whole ns, tracks by their names."""

    def __init__(self, text: str) -> None:
        self.document = json.loads(text, parse_float=Decimal)
        self.events: list[dict[str, Any]] = self.document["traceEvents"]
        names = [event for event in self.events if event["ph"] == "M"]
        self.processes = {e["pid"]: e["args"]["name"] for e in names if e["name"] == "process_name"}
        self.threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in names if e["name"] == "thread_name"}

    def slices(self, category: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["ph"] == "X" and event["cat"] == category]

    def rank(self, event: dict[str, Any]) -> int:
        return int(self.processes[event["pid"]].removeprefix("rank ").partition(":")[0])

    def ledger(self) -> Sums:
        """ns by rank, step and line of the slices on the ledger tracks."""
        sums: Sums = defaultdict(int)
        for event in self.slices("ledger"):
            assert self.threads[event["pid"], event["tid"]] == "ledger"
            sums[self.rank(event), event["args"]["step"], event["name"]] += ns(event["dur"])
        return dict(sums)


def ns(us: Decimal | int) -> int:
    """Exact ns of a time in us; more than three decimals would be a fraction of one."""
    value = us * 1000
    assert value == int(value)
    return int(value)


def ledger_of(run: Run, steps: list[int]) -> Sums:
    rows = run.ledger.filter(pl.col("step").is_in(steps)).iter_rows(named=True)
    return {(r["rank"], r["step"], line): r[f"{line}_ns"] for r in rows for line in LINES if r[f"{line}_ns"]}


@pytest.fixture
def paper(tmp_path: Path) -> Run:
    return nsysan.analyze(nsysan.open_trace(paper_trace(tmp_path / "paper.sqlite")))


def test_ledger_slices_have_the_lengths_of_the_paper_trace(paper: Run) -> None:
    late, waiting = {"compute": 26_000, "wire": 16_000}, {"compute": 20_000, "wait": 6_000, "wire": 16_000}
    expected = {
        (rank, step, line): length
        for rank in range(4)
        for step in (1, 2)
        for line, length in {**(late if rank == 1 else waiting), "idle": 2_000}.items()
    }
    assert Exported(to_perfetto(paper, [1, 2], "0")).ledger() == expected


@pytest.mark.filterwarnings("error")
def test_a_step_that_some_replicas_have_is_shown_of_those(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2)
    decode_loop(builder, ranks=2, steps=7, compute_ns=15_000, first_pid=2000, comm=77)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "t.sqlite")))
    exported = Exported(to_perfetto(run, [5], "0"))
    assert exported.ledger() == ledger_of(run, [5])
    assert {rank for rank, _, _ in exported.ledger()} == {2, 3}
    shown = [event for category in COMMUNICATION for event in exported.slices(category)]
    assert {exported.rank(event) for event in shown} == {2, 3}
    assert len(shown) == 2 * 2


def test_ledger_slices_tile_the_step(paper: Run) -> None:
    exported = Exported(to_perfetto(paper, [1, 2], "0"))
    for step in exported.slices("step"):
        own = [
            e
            for e in exported.slices("ledger")
            if e["pid"] == step["pid"] and e["args"]["step"] == step["args"]["step"]
        ]
        at = step["ts"]
        for event in own:
            assert event["ts"] == at
            at += event["dur"]
        assert at == step["ts"] + step["dur"]
        assert ns(step["dur"]) == step["args"]["period_ns"] == 44_000


def test_collectives_hold_wait_and_wire(paper: Run) -> None:
    exported = Exported(to_perfetto(paper, [1], "0"))
    for call in exported.slices("collective"):
        inner = [
            (e["name"], ns(e["ts"] - call["ts"]), ns(e["dur"]))
            for e in exported.slices("part")
            if e["pid"] == call["pid"] and call["ts"] <= e["ts"] < call["ts"] + call["dur"]
        ]
        late = exported.rank(call) == 1
        assert inner == ([("wire", 0, 8_000)] if late else [("wait", 0, 3_000), ("wire", 3_000, 8_000)])
        assert call["name"] == ALLREDUCE_KERNEL
        assert call["args"]["bytes"] == 8192
        assert call["args"]["matched"] is True
        assert call["args"]["full_name"].startswith(ALLREDUCE_KERNEL)
    assert len(exported.slices("collective")) == 8


def test_arrows_lead_from_launch_calls_to_kernels(paper: Run) -> None:
    exported = Exported(to_perfetto(paper, [2], "0"))
    ends = {e["id"]: e for e in exported.events if e["ph"] == "f"}
    starts = {e["id"]: e for e in exported.events if e["ph"] == "s"}
    assert starts.keys() == ends.keys()
    assert len(starts) == 4 * 4
    for number, start in starts.items():
        calls = [e for e in exported.slices("cuda_api") if e["tid"] == start["tid"] and e["ts"] == start["ts"]]
        kernels = [
            e for e in exported.slices("compute") + exported.slices("collective") if e["tid"] == ends[number]["tid"]
        ]
        (kernel,) = [e for e in kernels if e["ts"] == ends[number]["ts"]]
        assert calls[0]["name"].startswith(("cudaLaunch", "cuLaunch"))
        assert ns(kernel["ts"] - start["ts"]) == kernel["args"]["launched_ahead_ns"] >= 10_000


def test_host_tracks_show_ranges_round_their_calls(paper: Run) -> None:
    exported = Exported(to_perfetto(paper, [2], "0"))
    ranges = [e for e in exported.slices("nvtx") if e["name"] == "decode_step_2"]
    assert len(ranges) == 4
    for event in ranges:
        calls = [e for e in exported.slices("cuda_api") if e["tid"] == event["tid"]]
        assert (
            len([e for e in calls if event["ts"] <= e["ts"] and e["ts"] + e["dur"] <= event["ts"] + event["dur"]]) >= 4
        )


def test_hosts_that_number_their_threads_alike_are_told_apart(tmp_path: Path) -> None:
    paths = []
    for rank in range(2):
        builder = TraceBuilder()
        decode_loop(builder, ranks=1, message_bytes=None)
        paths.append(builder.write(tmp_path / f"rank_{rank}.sqlite"))
    # Else it is a copy.
    changed(paths[1], 'UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET "end" = "end" + 1')
    exported = Exported(to_perfetto(nsysan.analyze(paths), [2], "0"))
    calls = [exported.rank(event) for event in exported.slices("cuda_api")]
    assert calls.count(0) == calls.count(1) >= 4
    # Two layers of a kernel and an all-reduce.
    arrows = [exported.rank(event) for event in exported.events if event["ph"] == "s"]
    assert arrows.count(0) == arrows.count(1) == 4


def test_graph_level_steps_are_graph_and_idle(tmp_path: Path) -> None:
    run = nsysan.analyze(nsysan.open_trace(graph_level_trace(tmp_path / "g.sqlite")))
    exported = Exported(to_perfetto(run, [1], "0"))
    assert exported.ledger() == {
        (rank, 1, line): n for rank in range(4) for line, n in (("graph", 36_000), ("idle", 2_000))
    }


def test_partition_gives_what_several_claim_to_the_earlier_line() -> None:
    work = pl.DataFrame(
        {"rank": [0] * 3, "begin": [10, 20, 25], "end": [30, 60, 90], "cls": ["compute", "collective", "copy"]}
    ).with_columns(last=pl.Series([None, 40, None], dtype=pl.Int64))
    windows = pl.DataFrame({"step": [7], "rank": [0], "begin": [0], "finish": [80]})
    assert partition(work, windows).select("line", "begin", "end").rows() == [
        ("idle", 0, 10),
        ("compute", 10, 30),
        ("wait", 30, 40),
        ("wire", 40, 60),
        ("copy", 60, 80),
    ]


@pytest.mark.parametrize("name", [*REAL, "rank_0 rank_1 rank_2 rank_3"])
def test_real_traces_add_up_from_the_json_alone(analyzed: Analyze, name: str) -> None:
    run = analyzed(name)
    steps = choose_steps(run)
    exported = Exported(to_perfetto(run, steps, "0"))
    assert exported.ledger() == ledger_of(run, steps)
    assert min(event["ts"] for event in exported.events if "ts" in event) == 0


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_fused", "tp4_overlap", "tp2_metrics", "tp4_graph_graph"])
def test_trace_processor_loads_it_and_its_sums_are_the_ledger(analyzed: Analyze, name: str, tmp_path: Path) -> None:
    run = analyzed(name)
    steps = choose_steps(run)
    text = to_perfetto(run, steps, "0")
    file = tmp_path / "steps.json.gz"
    file.write_bytes(packed(text))
    sums, errors, slices, flows, clock = ask(
        file,
        "select process.name as rank, extract_arg(slice.arg_set_id, 'args.step') as step, slice.name as line, "
        "sum(slice.dur) as ns from slice join thread_track on slice.track_id = thread_track.id join thread "
        "using (utid) join process using (upid) where slice.category = 'ledger' group by 1, 2, 3",
        "select name, value from stats where severity != 'info' and value > 0",
        "select category, count(*) as n, max(depth) as depth from slice group by 1",
        "select count(*) as n from flow",
        "select min(ts) as first, max(ts + dur) as last from slice where category = 'step'",
    )
    found = {(int(row["rank"].split()[1].rstrip(":")), row["step"], row["line"]): row["ns"] for row in sums}
    assert found == ledger_of(run, steps)
    assert errors == []
    exported = Exported(text)
    assert {row["category"]: row["n"] for row in slices} == {
        category: len(exported.slices(category)) for category in {e["cat"] for e in exported.events if e["ph"] == "X"}
    }
    assert flows[0]["n"] == len([e for e in exported.events if e["ph"] == "s"])
    windows = run.windows.filter(pl.col("step").is_in(steps))
    assert clock[0]["last"] - clock[0]["first"] == windows["finish"].max() - windows["begin"].min()  # type: ignore[operator]


def test_slices_of_a_track_nest(analyzed: Analyze) -> None:
    run = analyzed("tp4_fused")
    exported = Exported(to_perfetto(run, choose_steps(run), "0"))
    tracks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in exported.events:
        if event["ph"] == "X":
            begin = ns(event["ts"])
            tracks[event["tid"]].append((begin, begin + ns(event["dur"])))
    assert len(tracks) > 12
    for slices in tracks.values():
        open_until: list[int] = []
        for begin, end in sorted(slices, key=lambda s: (s[0], -s[1])):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def test_ranges_that_overlap_without_nesting_get_a_lane_each() -> None:
    slices = pl.DataFrame({"start": [0, 0, 5, 8, 20, 30], "end": [20, 10, 10, 12, 30, 35]})
    assert nested_lanes(slices) == [0, 0, 0, 1, 0, 0]


def test_counters_are_tracks_of_the_rank(analyzed: Analyze) -> None:
    run = analyzed("tp2_metrics")
    exported = Exported(to_perfetto(run, choose_steps(run), "0"))
    samples = [event for event in exported.events if event["ph"] == "C"]
    assert {exported.rank(event) for event in samples} == {0, 1}
    assert {"NVLink RX", "DRAM read", "SMs active"} <= {event["name"] for event in samples}
    assert {tuple(event["args"]) for event in samples} == {("%",)}


def test_default_steps_are_median_p99_and_slowest_of_the_steady_ones(paper: Run) -> None:
    assert paper.steady_steps == [1, 2, 3]
    # Step 3 is the last and ends without a gap, 1 and 2 are alike.
    assert choose_steps(paper) == [1, 2]
    assert choose_steps(paper, [(0, 0), (2, 9)]) == [0, 2, 3]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = 'k"\n</script>\x00\u202e\\' + "x" * 5_000
    builder = TraceBuilder()
    for process in decode_loop(builder, ahead=False):
        process.kernel(hostile, 1_037_000, 1_037_500)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "h.sqlite")))
    text = to_perfetto(run, [0, 1], "0")
    (name,) = {e["name"] for e in Exported(text).slices("compute")} - {COMPUTE_KERNEL}
    assert name.startswith('k" </script>??\\xxx')
    assert len(name) == 120
    assert text.isascii()


def test_command_writes_the_same_bytes_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    plain, first, second = (tmp_path / name for name in ("a.json", "a.json.gz", "b.json.gz"))
    result = run_cli(capsys, "export", "--perfetto", first, trace)
    assert result.code == 0
    assert "steps 1 and 2 of 4 ranks" in result.out
    assert run_cli(capsys, "export", "--perfetto", second, "-q", trace).out == ""
    run_cli(capsys, "export", "--perfetto", plain, trace)
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()) == plain.read_bytes()
    told = json.loads(plain.read_text("utf-8"))
    assert told["otherData"]["steps"] == [1, 2]
    assert told["otherData"]["inputs"] == ["t.sqlite"]


def test_command_writes_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    run_cli(capsys, "export", "--perfetto", tmp_path / "a.json", trace)
    monkeypatch.chdir(tmp_path)
    result = run_cli(capsys, "export", "--perfetto", "-", trace)
    assert (result.code, result.out) == (0, (tmp_path / "a.json").read_text("utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "t.sqlite"]


def test_command_never_replaces_a_file_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, output = paper_trace(tmp_path / "t.sqlite"), tmp_path / "a.json"
    output.write_text("mine")
    assert run_cli(capsys, "export", "--perfetto", output, trace).code == ExitCode.OUTPUT_EXISTS
    assert output.read_text() == "mine"
    assert run_cli(capsys, "export", "--perfetto", output, "--force", "--trace-steps", "2", trace).code == 0
    assert json.loads(output.read_text("utf-8"))["otherData"]["steps"] == [2]
    assert run_cli(capsys, "export", "--perfetto", trace, "--force", trace).code == ExitCode.OUTPUT_UNWRITABLE


@pytest.mark.parametrize(
    ("steps", "code", "says"),
    [
        ("9:12", ExitCode.NO_STEPS, "no step 9:12 in the run, whose steps are 0 to 3"),
        ("two", 2, "neither a step nor a range"),
        ("3:1", 2, "ends before it begins"),
    ],
)
def test_command_says_what_is_wrong_with_the_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: str, code: int, says: str
) -> None:
    trace, output = paper_trace(tmp_path / "t.sqlite"), tmp_path / "a.json"
    result = run_cli(capsys, "export", "--perfetto", output, "--trace-steps", steps, trace)
    assert result.code == code
    assert says in result.err
    assert not output.exists()
