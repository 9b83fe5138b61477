"""NCCL's logs in copies that are given away: what a report reads of them, and nothing that names a machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from nsysan._errors import ExitCode
from nsysan.redact.logs import mask_file
from nsysan.redact.nccl_log_copy import copy_nccl_logs
from nsysan.redact.scan import names_in
from nsysan.trace.nccl_files import read_logs_beside
from nsysan.trace.nccl_log import NcclLog
from tests.clitools import paper_trace, run_cli
from tests.nccllogs import COSTS, RankLog, write_logs

SECRETS = (
    "NET/IB : Using [0]mlx5_0:1/IB [RO]; OOB eth0:192.0.2.7<0>",
    "NCCL_SOCKET_IFNAME set by environment to secret-net",
    "NCCL_P2P_LEVEL set by environment to node-a.example.com",
    "Channel 00/0 : 0[0] -> 1[1] via NET/secret-plugin/0/node-a",
    "RAS client listening socket at 192.0.2.7<28028>",
)


def logs(trace: Path) -> None:
    # Every sort of line, and hosts of two machines.
    calls = (
        "AllReduce: 8192 Bytes -> Algo RING proto LL channel{Lo..Hi}={0..0}",
        "64 Bytes -> Algo 4 proto 2 time 9.0",
    )
    write_logs(trace, costs=COSTS, multicast=True, settings={"NCCL_ALGO": "ring,tree"}, calls=[*calls, *SECRETS])
    RankLog(1, 2, 77, host="other-node", comm=0, late=True).write(trace)
    older = ("Latency/AlgBw | Tree/  LL | New/ LL128 | Ring/  LL |", "Reduce | 6.8/ 1.0 | 9.9/ 9.9 | 6.6/ 3.0 |")
    with trace.with_name(f"{trace.stem}.nccl.node-a.1000.log").open("a", encoding="utf-8") as file:
        file.write("NCCL version 2.28.9+cuda13.0\n")
        file.writelines(f"node-a:1000:1001 [0] NCCL INFO {text}\n" for text in older)


def told(found: NcclLog | None) -> list[object]:
    assert found is not None
    return [
        (p.pid, p.version, p.multicast, p.communicators, p.connections, p.settings, p.calls, p.unplaced)
        for p in sorted(found.processes, key=lambda process: process.pid)
    ]


def test_a_copy_says_the_same_and_names_nobody(tmp_path: Path) -> None:
    logs(tmp_path / "t.sqlite")
    written = copy_nccl_logs(tmp_path / "t.sqlite", tmp_path / "clean.sqlite")
    assert [path.name for path in written] == [f"clean.nccl.{n}.log" for n in range(5)]
    assert told(read_logs_beside(tmp_path / "clean.sqlite")) == told(read_logs_beside(tmp_path / "t.sqlite"))
    text = "".join(path.read_text("ascii") for path in written)
    assert not re.search(r"node|secret|192\.|mlx5|eth0|example", text)
    assert {line.split(":")[0] for line in text.splitlines() if "INFO" in line} == {"0", "1"}


def test_the_logs_go_along_with_a_redacted_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    logs(trace)
    got = run_cli(capsys, "redact", trace, "-o", tmp_path / "clean.sqlite")
    assert got.code == 0, got.err
    assert "figures   identical to the trace's" in got.out
    assert len(list(tmp_path.glob("clean.nccl.*.log"))) == 5
    # They are not replaced unasked, nor is the trace then.
    (tmp_path / "clean.sqlite").unlink()
    got = run_cli(capsys, "redact", trace, "-o", tmp_path / "clean.sqlite")
    assert got.code == ExitCode.OUTPUT_EXISTS, got.err
    assert not (tmp_path / "clean.sqlite").exists()
    # A page to be given away tells of them too.
    got = run_cli(capsys, "report", trace, "--redact", "--json", "-", "-q")
    assert got.code == 0, got.err
    assert '"via": "P2P/CUMEM"' in got.out
    assert not re.search(r"node-a|other-node|secret", got.out)


@pytest.mark.parametrize(
    "before",
    ["", "\x1b[1;32m", "Nov 28 22:00:01 quiet-owl vllm[77]: (TP0 pid=9) ", "[default0]:", "[2026-11-28 22:00:01] "],
)
def test_the_host_of_a_line_is_known_whatever_stands_before_it(tmp_path: Path, before: str) -> None:
    log = tmp_path / "nccl.log"
    lines = [f"{before}quiet-owl:1000:1001 [0] NCCL INFO {text}" for text in ("NCCL version 2.28.9", "on quiet-owl")]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    text, _ = mask_file(log)
    assert "<host>:1000:1001 [0] NCCL INFO NCCL version 2.28.9\n" in text
    assert "owl" not in text
    # The search knows of it by itself.
    assert list(names_in(lines).within("on quiet-owl now")) == ["host name"]


def test_a_log_that_is_no_file_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    logs(trace)
    os.mkfifo(tmp_path / "t.nccl.0.log")
    got = run_cli(capsys, "redact", trace, "-o", tmp_path / "clean.sqlite")
    assert got.code == 0, got.err
    assert len(list(tmp_path.glob("clean.nccl.*.log"))) == 5
