"""Windows of a server that lives: in one command, and from another terminal."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nsysan._errors import NsysanError
from nsysan.capture.command import Request
from nsysan.capture.completions import Load, request_lengths, served_model
from nsysan.capture.held import plan_held
from nsysan.capture.holding import read_note
from nsysan.capture.nsys import require_nsys
from nsysan.capture.server import address_of, key_of
from nsysan.capture.started import read_workload
from nsysan.cli import cli
from tests.capture.desk import Desk, finished, until
from tests.fakensys import fake_nsys

SERVER = Path(__file__).parent.parent / "openai_server.py"


@pytest.fixture
def nsys_version() -> str:
    return "2025.3.1"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def server(desk: Desk, mode: str = "") -> tuple[str, ...]:
    """The command of the server, with its address among the words, as servers have it."""
    port = free_port()
    (desk.folder.parent / "port").write_text(port)
    return ("--", sys.executable, str(SERVER), str(desk.folder.parent / "port"), mode, "--port", port)


def test_a_server_is_started_loaded_captured_and_ended(desk: Desk, export: Path) -> None:
    ended = desk.capture("--serve", "--requests", "2", "--window-steps", "20", *server(desk, "4096"))
    assert ended.code == 0, ended.err
    assert desk.files() == ["trace.nsys-rep", "trace.sqlite"]
    assert (desk.folder / "trace.sqlite").read_bytes() == export.read_bytes()
    told = [line.removeprefix("nsysan: ") for line in ended.err.splitlines() if line.startswith("nsysan: ")]
    order = ["2 streams from llama", "the window is open", "the window closes", "exporting", "wrote", "a token takes"]
    places = [next(i for i, line in enumerate(told) if line.startswith(start)) for start in order]
    assert places == sorted(places)
    assert "prefills" not in ended.err


def test_a_window_that_is_longer_than_requests_can_be_says_so(desk: Desk) -> None:
    ended = desk.capture("--serve", "--requests", "1", "--window-steps", "305", *server(desk, "400"))
    assert ended.code == 0, ended.err
    assert "requests end after 304 tokens, as the model's context does, and the window takes 305" in ended.err
    assert "1 request began while the window was open: it holds their prefills too" in ended.err


def test_windows_are_traces_of_their_own(desk: Desk) -> None:
    loaded = ("--load", f"{sys.executable} -c 'import time; time.sleep(60)'", "--settle", "0", "--window", "0.1")
    ended = desk.capture("--serve", *loaded, "--windows", "2", *server(desk))
    assert ended.code == 0, ended.err
    assert desk.files() == ["trace.1.nsys-rep", "trace.1.sqlite", "trace.2.nsys-rep", "trace.2.sqlite"]
    assert [line for line in ended.err.splitlines() if "next:" in line] == [
        "nsysan: next: nsysan report trace.1.sqlite",
        "nsysan: next: nsysan report trace.2.sqlite",
    ]


@pytest.mark.parametrize(
    ("mode", "options", "behaviour", "says"),
    [
        ("no model", (), "", "names no model"),
        ("broken", (), "", "the load fails: the server answers 500"),
        ("unready", ("--startup-timeout", "0.5"), "", "the server was not ready in 0 s"),
        ("", ("--load", "no-such-command"), "", "--load 'no-such-command': cannot be run"),
        ("", ("--load", "false", "--settle", "60"), "", "ended with exit code 1 before the window opened"),
        ("", ("--load", "sleep 60", "--settle", "0"), "start fails", "nsys start: The collection cannot be started"),
        ("", ("--load", "sleep 60", "--settle", "0", "--window", "0.1"), "nothing", "no report came back"),
    ],
)
def test_what_goes_wrong_is_said_and_nothing_stays(
    desk: Desk, mode: str, options: tuple[str, ...], behaviour: str, says: str
) -> None:
    ended = desk.capture("--serve", *options, *server(desk, mode), behaviour=behaviour)
    assert ended.code == 21
    assert says in ended.err
    assert desk.files() == []


def test_a_window_that_is_interrupted_is_kept(desk: Desk) -> None:
    running = desk.start("--serve", "--load", "sleep 60", "--settle", "0", "--window", "60", *server(desk))
    until((desk.folder.parent / "temporary" / "opened").exists)
    running.send_signal(signal.SIGINT)
    ended = finished(running)
    assert (ended.code, desk.files()) == (130, ["trace.nsys-rep", "trace.sqlite"])


def test_an_nsys_that_does_not_close_the_window_is_ended(desk: Desk) -> None:
    loaded = ("--load", "sleep 60", "--settle", "0", "--window", "0.1", "--kill-after", "1")
    ended = desk.capture("--serve", *loaded, *server(desk), behaviour="stop hangs")
    assert (ended.code, desk.files()) == (21, [])
    assert "nsys does not end the collection, so the workload is told to end" in ended.err


def test_a_server_that_ends_by_itself(desk: Desk) -> None:
    ended = desk.capture("--serve", "--", sys.executable, "-c", "raise SystemExit(3)")
    assert ended.code == 21
    assert "no report came back; the server ended with exit code 3 before a window was taken" in ended.err


def test_shorter_requests_where_the_model_takes_no_longer_ones(tmp_path: Path) -> None:
    port = tmp_path / "port"
    process = subprocess.Popen([sys.executable, str(SERVER), str(port), "short"])
    try:
        until(lambda: port.exists() and port.read_text() != "")
        load = Load(f"http://127.0.0.1:{port.read_text()}", 1)
        load.start()
        until(lambda: load.steady)
        assert load.failure == ""
        load.stop()
    finally:
        process.kill()
        process.wait()


def test_a_server_that_wants_a_key_is_shown_what_it_was_given(tmp_path: Path) -> None:
    told = [
        key_of(read_workload(shlex.split(command), {}), {"VLLM_API_KEY": "c"})
        for command in ("vllm serve M --api-key a", "env VLLM_API_KEY=b vllm serve M", "vllm serve M", "./serve")
    ]
    assert told == ["a", "b", "c", None]
    port = tmp_path / "port"
    process = subprocess.Popen([sys.executable, str(SERVER), str(port), "locked"])
    try:
        until(lambda: port.exists() and port.read_text() != "")
        base = f"http://127.0.0.1:{port.read_text()}"
        assert served_model(base, "sesame") == ("llama", None)
        with pytest.raises(NsysanError, match="401"):
            served_model(base, "simsim")
    finally:
        process.kill()
        process.wait()


def test_requests_are_as_long_as_the_models_context_takes() -> None:
    assert request_lengths(2048)[:3] == [2048 - 96, 2048 - 272, 1024]
    assert request_lengths(131072)[:2] == [8192, 4096] == request_lengths(None)[:2]
    assert request_lengths(None)[-1] == request_lengths(131072)[-1] == 64
    assert request_lengths(50) == [1]


def test_streams_that_saw_one_refusal_ask_for_less_once() -> None:
    load = Load("http://127.0.0.1:1", 8, "m")
    assert [load._shorten(8192) for _ in range(8)] == [True] * 8
    assert load.length == 4096


def test_renewed_streams_are_steady_when_their_new_requests_are() -> None:
    load = Load("http://127.0.0.1:1", 2, "m")
    for stream in load.streams:
        stream.answered, stream.round = 100, 0
    assert (load.steady, load.left) == (True, 8092)
    load.renew()
    assert not load.steady


def test_tokens_are_timed_by_what_the_server_counts() -> None:
    load = Load("http://127.0.0.1:1", 2, "m")
    for stream, pace in zip(load.streams, (0.002, 0.004), strict=True):
        stream.arrivals.extend((10 + k * pace, k) for k in range(100))
    assert load.interval_ns(0, 100) == 3_000_000
    assert load.interval_ns(10, 10.02) is None
    assert load.tokens == 99


def test_a_held_workload_is_captured_from_another_terminal(desk: Desk) -> None:
    says = "import os, time; open('up', 'w').write(os.environ['NCCL_' + 'DEBUG_FILE']); time.sleep(600)"
    held = desk.start("--hold", "-o", "srv", "--", sys.executable, "-c", says)
    desk.wait_for("up")

    def window(*words: str) -> tuple[int, str]:
        run = [sys.executable, "-m", "nsysan", "window", *words]
        ended = subprocess.run(run, cwd=desk.folder, env=desk.environment, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stderr

    assert window("close", "srv")[0] == 21
    assert window("open", "srv")[0] == 0
    code, said = window("open", "srv")
    assert (code, "window srv.1 is open already" in said) == (9, True)
    code, said = window("close", "srv")
    assert (code, "next: nsysan report srv.1.sqlite" in said) == (0, True)
    assert window("open", "srv", "--seconds", "0.1")[0] == 0
    held.terminate()
    assert finished(held).code == 143
    # All windows share what NCCL says.
    assert (desk.folder / "up").read_text() == f"{desk.folder}/srv.nccl.%h.%p.log"
    assert desk.files() == ["srv.1.nsys-rep", "srv.1.sqlite", "srv.2.nsys-rep", "srv.2.sqlite", "up"]
    code, said = window("open", "srv")
    assert (code, "nothing is held under that name" in said) == (3, True)


def test_no_log_goes_unasked_where_a_workload_is_held(desk: Desk) -> None:
    stale = desk.folder / "trace.nccl.node-z.9.log"
    stale.touch()
    assert (desk.capture("--hold", "--", "true").code, desk.files()) == (9, [stale.name])
    assert (desk.capture("--hold", "--no-nccl-log", "--", "true").code, desk.files()) == (0, [stale.name])
    assert (desk.capture("--hold", "-f", "--", "true").code, desk.files()) == (0, [])


def test_an_nsys_that_cannot_hold_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    fake_nsys(tmp_path, "2024.2.3")
    assert (desk.capture("--hold", "--", "true").code, desk.files()) == (20, [])


@pytest.mark.parametrize(
    "told",
    ["", "[]", "{}", '{"format": "nsysan.hold/2"}', '{"format": "nsysan.hold/1", "session": "; rm"}', "[" * 5000],
)
def test_a_note_that_is_none(tmp_path: Path, told: str) -> None:
    (tmp_path / ".srv.hold").write_text(told)
    with pytest.raises(NsysanError, match="cannot be read as the note of a held workload"):
        read_note(tmp_path / "srv")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"pid": 2**22 + 1}, "the workload has ended"),
        ({"pid": 2**31}, "its process is none"),
        ({"pid": 10**30}, "its process is none"),
        ({"pid": 0}, "its process is none"),
        ({"pid": -1}, "its process is none"),
        ({"start": ["--a\0b"]}, "its options are none"),
        ({"start": [["--a"]]}, "its options are none"),
        ({"expected_ranks": -4}, "the number of ranks is none"),
    ],
)
def test_a_note_of_no_workload_that_runs(tmp_path: Path, told: dict[str, object], why: str) -> None:
    note = {
        "format": "nsysan.hold/1",
        "nsys": str(fake_nsys(tmp_path, "2025.3.1")),
        "session": "nsysan-0123456789ab",
        "start": [],
        "pid": 1,
        "expected_ranks": None,
        "open": None,
    }
    (tmp_path / ".srv.hold").write_text(json.dumps(note | told))
    with pytest.raises(NsysanError, match=why):
        read_note(tmp_path / "srv")


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("vllm serve M -tp 4", "http://127.0.0.1:8000"),
        ("vllm serve M --port 8123 --host 0.0.0.0", "http://127.0.0.1:8123"),
        ("python -m vllm.entrypoints.openai.api_server --port=9000", "http://127.0.0.1:9000"),
        ("python -m sglang.launch_server --model-path M", "http://127.0.0.1:30000"),
        ("trtllm-serve M --host 10.0.0.7", "http://10.0.0.7:8000"),
        ("vllm serve M --host ::1 --port 99999999", "http://[::1]:8000"),
        ("./serve.sh", "http://127.0.0.1:8000"),
        ("bash -lc 'exec vllm serve M --port 8001'", "http://127.0.0.1:8001"),
        ("docker-proxy --port 1 --", "http://127.0.0.1:1"),
    ],
)
def test_where_a_server_answers(command: str, url: str) -> None:
    assert address_of(read_workload(shlex.split(command), {})) == url


def test_options_go_where_nsys_takes_them(tmp_path: Path) -> None:
    nsys = require_nsys(str(fake_nsys(tmp_path, "2025.3.1")))
    plan, held = plan_held(Request(("vllm", "serve", "M"), gpu_metrics="all"), nsys)
    assert plan.argv[1:7] == [
        "launch",
        f"--session-new={held.session}",
        "--trace=cuda,nvtx",
        "--cuda-graph-trace=node",
        "--trace-fork-before-exec=true",
        "vllm",
    ]
    assert held.start == ("--sample=none", "--cpuctxsw=none", "--gpu-metrics-devices=all")
    (tmp_path / "old").mkdir()
    with pytest.raises(NsysanError, match="has no sessions"):
        plan_held(Request(("x",)), require_nsys(str(fake_nsys(tmp_path / "old", "2022.4.2"))))


@pytest.mark.parametrize("sizes", ["-tp 2 -dp 2", "-tp=2 --pipeline-parallel-size 2"])
def test_a_dry_run_shows_the_windows_and_what_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: str
) -> None:
    monkeypatch.setenv("NSYSAN_NSYS", str(fake_nsys(tmp_path, "2025.3.1")))
    command = ["vllm", "serve", "M", *sizes.split(), "--port", "8123"]
    ended = CliRunner().invoke(cli, ["capture", "--dry-run", "--serve", "-o", "x", "--", *command])
    verbs = [words[words.index(f"{tmp_path}/nsys") + 1] for words in map(str.split, ended.output.splitlines()[:4])]
    assert verbs == ["launch", "start", "stop", "export"]
    assert "the command starts: vLLM server, 4 ranks" in ended.output
    assert "the server is to answer at http://127.0.0.1:8123; its load: 8 streams of completions" in ended.output


@pytest.mark.parametrize(
    "options",
    [
        ("--serve", "--hold"),
        ("--serve", "-c", "cudaProfilerApi"),
        ("--hold", "-d", "3"),
        ("--load", "x"),
        ("--serve", "--window", "1", "--window-steps", "5"),
        ("--serve", "--load", "x", "--window-steps", "5"),
        ("--serve", "--window", "0"),
    ],
)
def test_options_that_contradict(options: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli, ["capture", *options, "--", "true"]).exit_code == 2
