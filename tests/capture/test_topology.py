"""The links between GPUs as nvidia-smi tells them: recorded at capture, read by a report, never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nsysan.capture import bounded, nvidia_smi
from nsysan.capture.nvidia_smi import record_topology
from nsysan.trace.topology import parse_topology, read_topology, topology_file
from tests.capture.test_doctor import _BROKEN, _LINKS, _NVSWITCH, _PCIE, smi
from tests.clitools import paper_trace, run_cli
from tests.fakensys import fake_nsys


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that come before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


def put(programs: Path, script: str) -> None:
    (programs / "nvidia-smi").write_text(script, encoding="utf-8")
    (programs / "nvidia-smi").chmod(0o755)


def test_parse_both_answers() -> None:
    switched = parse_topology(f"$ nvidia-smi topo -m\n{_NVSWITCH}\n$ nvidia-smi nvlink --status\n{_LINKS}{_BROKEN}")
    assert switched.pairs == [(0, 1, "NV18"), (0, 2, "NV18"), (1, 2, "NV18")]
    assert (switched.kinds, switched.bonded, switched.without_nvlink) == (["NV18"], 18, [])
    assert (switched.speeds, switched.inactive) == ([26.562, 26.562, 25.0], 1)
    mixed = parse_topology(_PCIE)
    assert mixed.bonded is None
    assert [kind for _, _, kind in mixed.without_nvlink] == ["SYS", "SYS", "PHB", "SYS"]
    nothing = parse_topology("No devices were found")
    assert (nothing.pairs, nothing.bonded, nothing.speeds) == ([], None, [])


def test_recorded_and_read_again(programs: Path, tmp_path: Path) -> None:
    put(programs, smi(3, _NVSWITCH, _LINKS))
    trace = tmp_path / "run.1.sqlite"
    assert topology_file(trace).name == "run.1.topology.txt"
    assert read_topology(trace) is None
    assert record_topology(topology_file(trace))
    found = read_topology(trace)
    assert found is not None
    assert (found.bonded, found.speeds) == (18, [26.562, 26.562])


@pytest.mark.parametrize("script", [smi(3, _NVSWITCH, code=9), smi(3), "no script", None])
def test_an_nvidia_smi_that_says_nothing_leaves_no_file(programs: Path, tmp_path: Path, script: str | None) -> None:
    if script is not None:
        put(programs, script)
    assert not record_topology(tmp_path / "run.topology.txt")
    assert not (tmp_path / "run.topology.txt").exists()


def test_an_nvidia_smi_that_hangs_is_not_waited_for(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it starts holds its output open, and goes with it.
    put(programs, "#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr(nvidia_smi, "_CAPTURE_TIMEOUT_S", 0.2)
    given_up, run = [], bounded.ask

    def watched(command: tuple[str, ...], *, patience: float) -> bounded.Answer:
        try:
            return run(command, patience=patience)
        except TimeoutError:
            given_up.append((command[1], patience))
            raise

    monkeypatch.setattr(bounded, "ask", watched)
    assert not record_topology(tmp_path / "run.topology.txt")
    assert given_up == [("topo", 0.2), ("nvlink", 0.2)]


def test_what_cannot_be_written_or_read(programs: Path, tmp_path: Path) -> None:
    put(programs, smi(3, _NVSWITCH))
    assert not record_topology(tmp_path / "nowhere" / "run.topology.txt")
    (tmp_path / "folder.topology.txt").mkdir()
    assert read_topology(tmp_path / "folder.sqlite") is None
    (tmp_path / "junk.topology.txt").write_bytes(b"\xff\xfe\0GPU")
    assert read_topology(tmp_path / "junk.sqlite") is None


@pytest.mark.parametrize("with_smi", [True, False])
def test_capture_records_it(
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    with_smi: bool,
) -> None:
    if with_smi:
        put(programs, smi(3, _NVSWITCH, _LINKS))
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    monkeypatch.delenv("NSYSAN_NSYS", raising=False)
    fake_nsys(programs, "2025.3.1", paper_trace(tmp_path / "export.sqlite"))
    # Of an earlier capture, on a machine of other links.
    (desk / "run.topology.txt").write_text(_PCIE, encoding="utf-8")
    refused = run_cli(capsys, "capture", "-o", "run", "--", "true")
    assert (refused.code, (desk / "run.topology.txt").read_text("utf-8")) == (9, _PCIE)
    result = run_cli(capsys, "capture", "-f", "-o", "run", "--", "true")
    assert result.code == 0, result.err
    assert (desk / "run.topology.txt").exists() == with_smi
    assert ("the links between the GPUs are in run.topology.txt" in result.err) == with_smi
    if with_smi:
        text = (desk / "run.topology.txt").read_text("utf-8")
        assert "$ nvidia-smi topo -m" in text
        assert "$ nvidia-smi nvlink --status" in text
        assert os.uname().nodename not in text


def test_a_topology_that_the_workload_writes_stays(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(programs, smi(3, _NVSWITCH, _LINKS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NSYSAN_NSYS", raising=False)
    fake_nsys(programs, "2025.3.1", paper_trace(tmp_path / "export.sqlite"))
    assert run_cli(capsys, "capture", "-o", "run", "--", "sh", "-c", "echo mine >run.topology.txt").code == 0
    assert (tmp_path / "run.topology.txt").read_text("utf-8") == "mine\n"
