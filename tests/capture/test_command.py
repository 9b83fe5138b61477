"""The nsys command of a capture, for each generation of nsys."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from nsysan._errors import NsysanError
from nsysan.capture.command import Plan, Request, expand_output, outputs_of, plan_capture
from nsysan.capture.nsys import Abilities, Nsys, export_command, find_nsys, parse_abilities
from nsysan.capture.step_times import hint
from nsysan.cli import cli
from tests.fakensys import GENERATIONS, HELP, fake_nsys

PLAIN = [
    "--trace=cuda,nvtx",
    "--cuda-graph-trace=node",
    "--trace-fork-before-exec=true",
    "--sample=none",
    "--cpuctxsw=none",
]
COMMAND = ("python", "decode.py", "--tp", "8")


def abilities(version: str) -> Abilities:
    profile, export = ((HELP / f"{version}_{command}.txt").read_text("utf-8") for command in ("profile", "export"))
    return parse_abilities(profile, export)


def plan(request: Request, version: str = "2024.2.3") -> Plan:
    nsys = Nsys(Path("/opt/nsys"), tuple(map(int, version.split("."))))
    return plan_capture(request, nsys, abilities(version), Path("out/t"))


def options(request: Request, version: str = "2024.2.3") -> list[str]:
    """The options of the plan beyond those of a plain request; all else is as in every plan."""
    argv = plan(request, version).argv
    assert argv[:2] == ["/opt/nsys", "profile"]
    assert argv[-1 - len(request.command) :] == ["--output=out/t", *request.command]
    found = argv[2 : -1 - len(request.command)]
    assert found[: len(PLAIN)] == PLAIN
    return found[len(PLAIN) :]


@pytest.fixture(autouse=True)
def _no_vllm_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_WORKER_MULTIPROC_METHOD", raising=False)


@pytest.mark.parametrize("version", GENERATIONS)
def test_plain_request(version: str) -> None:
    got = plan(Request(COMMAND), version)
    trace = "cuda,nvtx,nccl" if version == "2026.4" else "cuda,nvtx"
    assert got.argv == ["/opt/nsys", "profile", f"--trace={trace}", *PLAIN[1:], "--output=out/t", *COMMAND]
    assert got.environment == {}
    if version == "2026.4":
        assert got.notes == []
    else:
        assert len(got.notes) == 1
        assert f"nsys {version} cannot trace NCCL" in got.notes[0]


def test_abilities_of_each_generation() -> None:
    assert {version: len(abilities(version).trace) for version in GENERATIONS} == {
        "2022.4.2": 19,
        "2023.4.4": 20,
        "2024.2.3": 22,
        "2025.3.1": 24,
        "2026.4": 28,
    }
    for version in GENERATIONS:
        found = abilities(version)
        assert {"cuda", "nvtx", "none"} <= found.trace
        assert "node" not in found.trace
        assert {"--trace", "--delay", "--stats", "--capture-range", "--capture-range-end"} <= found.profile
        assert "--type" in found.export
        assert ("nccl" in found.trace) == ("--nccl-trace" in found.profile) == (version == "2026.4")
        assert ("--include-json" in found.export) == (version >= "2025")


def test_help_that_says_nothing_gives_no_abilities() -> None:
    assert parse_abilities("", "") == Abilities(frozenset(), frozenset(), frozenset())


def test_what_an_nsys_cannot_do_is_left_out_and_said() -> None:
    bare = Abilities(frozenset({"cuda", "nvtx"}), frozenset({"--trace", "--output"}), frozenset())
    got = plan_capture(Request(("x",), gpu_metrics="all"), Nsys(Path("nsys"), (2020, 1)), bare, Path("t"))
    assert got.argv == ["nsys", "profile", "--trace=cuda,nvtx", "--output=t", "x"]
    for option in ("--cuda-graph-trace", "--trace-fork-before-exec", "--gpu-metrics-device"):
        assert any(note.startswith(f"nsys 2020.1 has no {option}: ") for note in got.notes)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            Request(COMMAND, capture_range="cudaProfilerApi"),
            ["--capture-range=cudaProfilerApi", "--capture-range-end=stop"],
        ),
        (
            Request(COMMAND, capture_range="cudaProfilerApi", capture_range_end="repeat:3"),
            ["--capture-range=cudaProfilerApi", "--capture-range-end=repeat:3"],
        ),
        (Request(COMMAND, delay=60), ["--delay=60"]),
        (Request(COMMAND, delay=0, duration=5), ["--delay=0", "--duration=5"]),
        (Request(COMMAND, gpu_metrics="0,1"), ["--gpu-metrics-device=0,1"]),
        (
            Request(COMMAND, gpu_metrics="all", gpu_metrics_frequency=20_000),
            ["--gpu-metrics-device=all", "--gpu-metrics-frequency=20000"],
        ),
        (Request(COMMAND, extra=("--stats=true", "-w", "false")), ["--stats=true", "-w", "false"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options(request_: Request, expected: list[str]) -> None:
    assert options(request_) == expected
    assert plan(request_).environment == {}


@pytest.mark.parametrize("version", GENERATIONS)
def test_gpu_metrics_option_by_version(version: str) -> None:
    option = "--gpu-metrics-devices" if version >= "2025" else "--gpu-metrics-device"
    argv = plan(Request(COMMAND, gpu_metrics="all"), version).argv
    assert [word for word in argv if word.startswith("--gpu-metrics")] == [f"{option}=all"]


def test_nvtx_range_looks_at_unregistered_strings() -> None:
    request = Request(COMMAND, capture_range="nvtx", nvtx_capture="decode@*")
    assert options(request) == ["--capture-range=nvtx", "--capture-range-end=stop", "--nvtx-capture=decode@*"]
    assert plan(request).environment == {"NSYS_NVTX_PROFILER_REGISTER_ONLY": "0"}


def test_the_users_environment_comes_first() -> None:
    own = {"NSYS_NVTX_PROFILER_REGISTER_ONLY": "1", "A": "b=c"}
    got = plan(Request(COMMAND, capture_range="nvtx", nvtx_capture="decode", environment=own))
    assert got.environment == own


def test_graph_mode() -> None:
    got = plan(Request(COMMAND, cuda_graph_trace="graph"))
    assert "--cuda-graph-trace=graph" in got.argv
    assert "--cuda-graph-trace=node" not in got.argv
    assert got.notes[-1] == "graphs are traced as blocks: communication inside them will not be visible"


@pytest.mark.parametrize("command", [("vllm", "serve", "M"), ("python", "-m", "vllm.entrypoints.openai.api_server")])
def test_vllm_workers_are_spawned(command: tuple[str, ...]) -> None:
    got = plan(Request(command))
    assert got.environment == {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
    assert any("VLLM_WORKER_MULTIPROC_METHOD=spawn" in note for note in got.notes)


def test_vllm_setting_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    given = plan(Request(("vllm", "serve"), environment={"VLLM_WORKER_MULTIPROC_METHOD": "fork"}))
    assert given.environment == {"VLLM_WORKER_MULTIPROC_METHOD": "fork"}
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")
    inherited = plan(Request(("vllm", "serve")))
    assert inherited.environment == {}
    for got in (given, inherited):
        assert not any("VLLM" in note for note in got.notes)


@pytest.mark.parametrize("version", GENERATIONS)
def test_export_command(tmp_path: Path, version: str) -> None:
    nsys = find_nsys(str(fake_nsys(tmp_path, version)))
    assert nsys is not None
    payloads = ["--include-json", "true", "--include-blobs", "true"] if version >= "2025" else []
    plain = [str(nsys.path), "export", "--type", "sqlite", "--force-overwrite", "true", "--output", "t.sqlite"]
    assert export_command(nsys, Path("t.nsys-rep"), Path("t.sqlite")) == [*plain, *payloads, "t.nsys-rep"]


def test_named_nsys_is_taken_from_where_the_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "path").mkdir()
    fake_nsys(tmp_path, "2025.3.1")
    fake_nsys(tmp_path / "path", "2023.4.4")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("NSYSAN_NSYS", raising=False)
    found = {name: find_nsys(name) for name in ("./nsys", "nsys", None)}
    assert {name: nsys and nsys.label for name, nsys in found.items()} == {
        "./nsys": "nsys 2025.3.1.99",
        "nsys": "nsys 2023.4.4.99",
        None: "nsys 2023.4.4.99",
    }
    monkeypatch.setenv("NSYSAN_NSYS", "./nsys")
    by_environment = find_nsys()
    assert by_environment == found["./nsys"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("trace", "trace"),
        ("runs/a b.1", "runs/a b.1"),
        ("trace.sqlite", "trace"),
        ("trace.nsys-rep", "trace"),
        ("run_%q{NAME}.sqlite", "run_x"),
        ("%q{MISSING}t", "t"),
        ("100%%", "100%"),
        ("%%n", "%n"),
        ("%q{PERCENT}", "%n"),
        ("50%", "50%"),
    ],
)
def test_output_patterns(pattern: str, expected: str) -> None:
    assert expand_output(pattern, {"NAME": "x", "PERCENT": "%n"}) == Path(expected)


def test_output_names_the_host_and_the_process() -> None:
    assert expand_output("%h-%p", {}) == Path(f"{socket.gethostname()}-{os.getpid()}")


def test_output_numbers_are_the_first_free_ones(tmp_path: Path) -> None:
    pattern = str(tmp_path / "r%n.nsys-rep")
    assert expand_output(pattern, {}) == tmp_path / "r1"
    (tmp_path / "r1.nsys-rep").touch()
    (tmp_path / "r2.sqlite").touch()
    assert expand_output(pattern, {}) == tmp_path / "r3"
    assert expand_output(pattern, {}, "_rank_0") == tmp_path / "r1_rank_0"
    (tmp_path / "r1_rank_0.sqlite").touch()
    assert expand_output(pattern, {}, "_rank_0") == tmp_path / "r2_rank_0"


def test_outputs_keep_dots_of_the_name() -> None:
    assert outputs_of(Path("a/run.1")) == (Path("a/run.1.nsys-rep"), Path("a/run.1.sqlite"))


@pytest.mark.parametrize(
    ("request_", "version", "trace"),
    [
        (Request(COMMAND, cuda_sw=True), "2026.4", "cuda-sw,nvtx,nccl"),
        (Request(COMMAND, cuda_sw=True), "2025.3.1", "cuda,nvtx"),
        (Request(COMMAND, trace="cuda,nvtx,osrt"), "2026.4", "cuda,nvtx,osrt"),
        (Request(COMMAND, trace="nvtx"), "2024.2.3", "nvtx"),
    ],
)
def test_what_is_traced_can_be_chosen(request_: Request, version: str, trace: str) -> None:
    got = plan(request_, version)
    assert got.argv[2] == f"--trace={trace}"
    assert any("software as it is" in note for note in got.notes) == (request_.cuda_sw and version == "2025.3.1")
    assert any("without cuda" in note for note in got.notes) == (trace == "nvtx")


def test_nsys_does_not_expand_the_name_again() -> None:
    nsys = Nsys(Path("nsys"), (2024, 2, 3))
    argv = plan_capture(Request(COMMAND), nsys, abilities("2024.2.3"), Path("%n 100%")).argv
    assert argv[-1 - len(COMMAND)] == "--output=%%n 100%%"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python scripts/decode.py --tp 4", '"host_us_a_step"'),
        ("/usr/bin/vllm serve MODEL -tp 8", "Avg generation throughput"),
        ("python -m sglang.bench_one_batch --model m", "Decode. median latency"),
        ("python train.py", ""),
        ("serve vllm", ""),
    ],
)
def test_a_known_workload_is_asked_for_its_step_time(command: str, said: str) -> None:
    told = hint(command.split(), "t.sqlite")
    assert said in told
    assert ("nsysan report t.sqlite --untraced TIME" in told) == bool(said)
    # A server does not end by itself, so it cannot be run first.
    assert ("--untraced-first" in told) == bool(said and " serve " not in command)


def test_what_this_nsys_cannot_trace_is_refused() -> None:
    with pytest.raises(NsysanError, match=r"--trace nccl: nsys 2024.2.3 cannot trace it, only cublas, .*--nsys"):
        plan(Request(COMMAND, trace="cuda,nccl"))
    assert "--trace=cuda,nccl" in plan(Request(COMMAND, trace="cuda,nccl"), "2026.4").argv


@pytest.mark.parametrize("name", ["-x", "--"])
def test_a_name_that_reads_as_an_option_is_refused(name: str) -> None:
    ended = CliRunner().invoke(cli, ["capture", "--dry-run", "-o", name, "--", "true"])
    assert (ended.exit_code, "does not begin with a dash" in ended.output) == (2, True)
