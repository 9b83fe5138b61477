"""A workload's own figure of its step, from what engines and their benchmarks print."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nsysan._errors import NsysanError
from nsysan.capture.command_check import examine_command
from nsysan.capture.own_figure import Listener, tokens_of_latency, untraced
from tests.clitools import paper_trace, run_cli
from tests.fakensys import fake_nsys


def heard(text: str) -> tuple[int, str] | None:
    listener = Listener()
    for line in text.splitlines():
        listener.hear(line)
    return None if listener.figure is None else (listener.figure.ns, listener.figure.what)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"tp": 4, "steps": 40, "host_us_a_step": 1989.0, "planted": null}', (1_989_000, "host_us_a_step")),
        ("Mean TPOT (ms):      7.50\nMedian TPOT (ms):    7.32  \n", (7_320_000, "median TPOT")),
        ("Median TPOT (ms): 7.3\nMedian ITL (ms): 7.1\nP99 ITL (ms): 9\n", (7_100_000, "median ITL")),
        ('result {"median_itl_ms": 4.25, "mean_itl_ms": 5}', (4_250_000, "median_itl_ms")),
        # The first is of its warm-up.
        (
            "Decode.  median latency: 0.02000 s, median throughput: 50.00 token/s\n"
            "Decode.  median latency: 0.01178 s, median throughput: 339.57 token/s",
            (11_780_000, "median decode latency"),
        ),
        (
            "Average time-per-output-token [TPOT] (ms):   \t 7.3272\n[TPOT] P50    : 7.6079",
            (7_607_900, "median TPOT"),
        ),
        ("Average time-per-output-token [TPOT] (ms): 7.3272", (7_327_200, "mean TPOT")),
        ("Per User Output Speed [1/TPOT] (tokens/sec/user): 5.0", (200_000_000, "tokens a second and user")),
        ("DONE tp=4 window_off 4.37 window_on 5.40 ms a token", (5_400_000, "ms a token")),
        ("step: 850 us/step", (850_000, "us a token")),
        ("6,640.2 us per token", (6_640_200, "us a token")),
        ("6_640.2 us per token", (6_640_200, "us a token")),
        ("1.2e+01 ms per token", (12_000_000, "ms a token")),
        ("Median ITL (ms):   1,234.50", (1_234_500_000, "median ITL")),
        ("Decode.  median latency: 1.5E-2 s, median", (15_000_000, "median decode latency")),
        # What is no number in English is none; nor is what is no whole one.
        ("Median ITL (ms): 7,32\n6 640,2 us per token\n7.1.2 ms/step\nv3.1 ms/step\n+0.2 ms/step\n1e999 ms/step", None),
        ("Median ITL (ms): 12,34.5\n3-5 ms/step\n1,23,456 us per token\nMedian ITL (ms): 1e+1e5", None),
        # What it is held against is not what it took; of two there is no telling.
        ("step 17: 3.1 ms per step (target: 2.0 ms per step)", (3_100_000, "ms a token")),
        ("took 4.0 s (3.1 ms per step)", (3_100_000, "ms a token")),
        ("target 2.0 ms per step, took 3.1 ms per step", None),
        ('{"ms_a_token": 1' + "0" * 400 + "}", None),
        # Of throughput no step can be told without the batch; what no step takes is none.
        ("Throughput: 10.2 requests/s, 2600.0 total tokens/s, 1300.0 output tokens/s", None),
        ('{"host_us_a_step": "many"}\n{"host_us_a_step": 0}\n{broken "host_us_a_step"', None),
        ("0.0000001 ms a token\n99999999999 ms a token\nMedian ITL (ms): nan", None),
    ],
)
def test_figures(text: str, expected: tuple[int, str] | None) -> None:
    assert heard(text) == expected


def test_the_workload_runs_once_without_nsys_and_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    nsys = fake_nsys(tmp_path, export=paper_trace(tmp_path / "made.sqlite"))
    code = "import os; open('runs', 'a').write('1'); print('took 2.5 ms a token'); print(os.environ.get('NCCL_DEBUG'))"
    ended = run_cli(capsys, "capture", "--nsys", nsys, "--untraced-first", "--", sys.executable, "-c", code)
    assert (ended.code, (tmp_path / "runs").read_text()) == (0, "11")
    # Of the run under nsys, the output goes to the terminal itself.
    assert ended.out == "took 2.5 ms a token\nNone\n"
    assert "nsysan: without nsys a step took 2,500.0 µs (ms a token)" in ended.err
    assert ended.err.endswith("nsysan: next: nsysan report trace.sqlite --untraced 2.5ms\n")
    with pytest.raises(NsysanError, match="exit code 3, so nothing was captured"):
        untraced([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), print)
    refused = run_cli(capsys, "capture", "--nsys", nsys, "--untraced-first", "--hold", "--", "true")
    assert (refused.code, "--untraced-first is of commands that end" in refused.err) == (2, True)


# --- doctor of a command ---------------------------------------------------------------------------------------------


def lines(*command: str, **environment: str) -> dict[str, str]:
    return {check.name: f"{check.status} {check.seen}" for check in examine_command(command, environment)}


def test_doctor_looks_at_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.capture.command_check.ask", lambda *_: "GPU 0: a\nGPU 1: b\n")
    found = lines(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "-tp", "4")
    assert found["command"].startswith("ok")
    assert found["workload"] == "ok vLLM server, 4 ranks"
    assert found["GPUs of the command"] == "warn 2 GPUs for 4 ranks"
    assert found["workers"] == "ok spawned (VLLM_WORKER_MULTIPROC_METHOD=spawn, which capture sets)"
    assert "captured whole" in found["before the run"]
    forked = lines(sys.executable, "-m", "vllm.x", "-tp", "2", VLLM_WORKER_MULTIPROC_METHOD="fork")
    assert forked["workers"] == "warn VLLM_WORKER_MULTIPROC_METHOD=fork"
    assert forked["GPUs of the command"] == "ok 2 GPUs for 2 ranks"
    assert lines("no-such-command")["command"] == "FAIL no-such-command: no such command"
    assert lines("docker", "run", "x", "vllm", "serve")["ranks"].startswith("FAIL docker starts the ranks outside")
    assert lines(sys.executable, "x.py")["workload"].startswith("ok no engine")


@pytest.mark.parametrize(
    ("command", "ns"),
    [
        ("vllm bench latency --model M --output-len 64", 10_000_000),
        ("python benchmarks/benchmark_latency.py --output-len=32", 20_000_000),
        ("vllm bench latency --model M", 5_000_000),
        ("python decode.py", None),
    ],
)
def test_a_latency_of_whole_requests_is_shared_by_their_tokens(command: str, ns: int | None) -> None:
    listener = Listener(tokens_of_latency(command.split()))
    listener.hear("Avg latency: 0.64 seconds")
    assert (listener.figure and listener.figure.ns) == ns
