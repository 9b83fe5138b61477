"""`nsysan doctor` on machines made of fake nvidia-smi and nsys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nsysan.capture import doctor, permissions
from nsysan.capture import nsys as nsys_
from tests.clitools import Result, run_cli
from tests.fakensys import fake_nsys

# As nvidia-smi prints it: tabs, the header underlined, a legend after it.
_NVSWITCH = (
    "\t\x1b[4mGPU0\tGPU1\tGPU2\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tNV18\tNV18\tPIX\t0-47\t0\t\tN/A\n"
    "GPU1\tNV18\t X \tNV18\tSYS\t0-47\t0\t\tN/A\n"
    "GPU2\tNV18\tNV18\t X \tSYS\t48-95\t1\t\tN/A\n"
    "NIC0\tPIX\tSYS\tSYS\t X \t\t\t\t\n"
    "\nLegend:\n\n  X    = Self\n  NV#  = Connection traversing a bonded set of # NVLinks\n"
)
_PCIE = (
    "\t\x1b[4mGPU0\tGPU1\tGPU2\tGPU3\tCPU Affinity\x1b[0m\n"
    "GPU0\t X \tNV4\tSYS\tSYS\t0-31\n"
    "GPU1\tNV4\t X \tPHB\tSYS\t0-31\n"
    "GPU2\tSYS\tPHB\t X \tNV4\t32-63\n"
    "GPU3\tSYS\tSYS\tNV4\t X \t32-63\n"
)
_LINKS = "GPU 0: NVIDIA H200 (UUID: GPU-0)\n\t Link 0: 26.562 GB/s\n\t Link 1: 26.562 GB/s\n"
_BROKEN = "GPU 1: NVIDIA H200 (UUID: GPU-1)\n\t Link 0: 25 GB/s\n\t Link 1: <inactive>\n"
_SICK = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"


Examine = Callable[..., Result]


def smi(count: int, topology: str = "", links: str = "", code: int = 0) -> str:
    """The shell script of a nvidia-smi that shows so many GPUs, this matrix and these links."""
    gpus = "NVIDIA H200, 570.133.20\n" * count
    return (
        "#!/bin/sh\n"
        'case "$1" in\n'
        f"  --query-gpu=*) printf '%s' '{gpus}' ;;\n"
        f"  topo) printf '%s' '{topology}' ;;\n"
        f"  nvlink) printf '%s' '{links}' ;;\n"
        "esac\n"
        f"exit {code}\n"
    )


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Examine:
    """Run `nsysan doctor` on a machine that has only this nsys and this nvidia-smi; None: it is not there."""
    programs, desk = tmp_path / "bin", tmp_path / "desk"
    programs.mkdir()
    desk.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("NSYSAN_NSYS", raising=False)
    monkeypatch.chdir(desk)
    monkeypatch.setattr("nsysan.capture.nsys._INSTALLED", ())
    monkeypatch.setattr(permissions, "_DRIVER_PARAMETERS", tmp_path / "params")
    monkeypatch.setattr(doctor, "_ROOM_NEEDED", 0.0)

    def run(*arguments: str | Path, nsys: str | None = "2024.2.3", nvidia_smi: str | None = None) -> Result:
        if nsys is not None:
            fake_nsys(programs, nsys)
        if nvidia_smi is not None:
            (programs / "nvidia-smi").write_text(nvidia_smi, encoding="utf-8")
            (programs / "nvidia-smi").chmod(0o755)
        return run_cli(capsys, "doctor", *arguments)

    return run


def lines(result: Result) -> dict[str, tuple[str, str]]:
    """{check: (status, the rest)} of the output."""
    found = {}
    for line in result.out.splitlines():
        head, _, rest = line.partition(": ")
        status, name = head.split(maxsplit=1)
        found[name] = status, rest
    return found


def test_a_machine_without_gpus(examine: Examine) -> None:
    result = examine()
    found = lines(result)
    assert (result.code, result.err) == (0, "")
    assert list(found) == [
        "nsys",
        "NCCL trace",
        "message sizes",
        "GPUs",
        "GPU metrics",
        "output folder",
        "temporary folder",
    ]
    assert found["nsys"][1].startswith("nsys 2024.2.3.99 at /")
    assert found["NCCL trace"] == ("ok", "not supported (2025.6 and later); NCCL's own NVTX ranges serve")
    assert found["message sizes"][0] == "warn"
    assert found["GPUs"][0] == found["GPU metrics"][0] == "warn"
    assert found["output folder"][0] == found["temporary folder"][0] == "ok"


def test_a_good_machine(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "params").write_text("EnableMSI: 1\nRmProfilingAdminOnly: 0\n", encoding="utf-8")
    found = lines(examine(nsys="2026.4", nvidia_smi=smi(3, _NVSWITCH, _LINKS)))
    assert {status for status, _ in found.values()} == {"ok"}
    assert found["NCCL trace"][1] == "supported"
    assert found["GPUs"][1] == "3 x NVIDIA H200, driver 570.133.20"
    assert found["GPU links"][1] == "NV18 between all 3 pairs"
    assert found["NVLink"][1] == "2 links active, 26.562 GB/s each at the least"
    assert found["GPU metrics"][1] == "permitted"


def test_pairs_without_nvlink(examine: Examine) -> None:
    status, text = lines(examine(nvidia_smi=smi(4, _PCIE, _LINKS)))["GPU links"]
    assert status == "warn"
    pairs = "GPU0-GPU2 SYS, GPU0-GPU3 SYS, GPU1-GPU2 PHB, GPU1-GPU3 SYS"
    assert text == f"4 of 6 pairs without NVLink: {pairs} -> collectives will cross PCIe"


def test_inactive_links(examine: Examine) -> None:
    found = lines(examine(nvidia_smi=smi(3, _NVSWITCH, _LINKS + _BROKEN)))
    assert found["NVLink"] == ("warn", "3 links active, 25 GB/s each at the least, 1 inactive")
    assert lines(examine(nvidia_smi=smi(3, _NVSWITCH)))["NVLink"] == ("warn", "no active link")


def test_one_gpu_has_no_links(examine: Examine) -> None:
    found = lines(examine(nvidia_smi=smi(1)))
    assert found["GPUs"] == ("ok", "1 x NVIDIA H200, driver 570.133.20")
    assert not {"GPU links", "NVLink"} & found.keys()


def test_a_driver_that_does_not_answer(examine: Examine) -> None:
    sick = f'#!/bin/sh\necho "{_SICK}"\nexit 9\n'
    assert lines(examine(nvidia_smi=sick))["GPUs"][0] == "warn"


@pytest.mark.parametrize(("user", "expected"), [(0, "ok"), (1000, "warn")])
def test_metrics_for_administrators_only(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, expected: str
) -> None:
    (tmp_path / "params").write_text("RmProfilingAdminOnly: 1\n", encoding="utf-8")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert lines(examine(nvidia_smi=smi(1)))["GPU metrics"][0] == expected


def test_little_room(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ROOM_NEEDED", float("inf"))
    result = examine()
    assert result.code == 0
    assert lines(result)["output folder"][0] == "warn"


def test_a_folder_that_cannot_be_written(examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    # The file mode would not stop root.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **rest: path != closed and access(path, mode, **rest))
    result = examine("-o", closed)
    assert result.code == 20
    assert lines(result)["output folder"] == ("FAIL", f"{closed} is not writable -> choose another with -o or TMPDIR")


def test_a_newer_nsys_elsewhere_is_named(examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "opt").mkdir()
    newer = fake_nsys(tmp_path / "opt", "2025.3.1")
    monkeypatch.setattr("nsysan.capture.nsys._INSTALLED", (str(newer),))
    assert lines(examine())["another nsys"] == ("ok", f"nsys 2025.3.1.99, newer: --nsys {newer}")


def test_what_the_user_may_not_do_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "_DRIVER_PARAMETERS", tmp_path / "params")
    monkeypatch.setattr(permissions, "_PARANOID", tmp_path / "paranoid")
    (tmp_path / "params").write_text("RmProfilingAdminOnly: 1\n")
    (tmp_path / "paranoid").write_text("4\n")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = permissions.permission_notes(("--sample=process-tree",), metrics=True)
    assert ["administrators only" in said[0], "perf_event_paranoid is 4" in said[1]] == [True, True]
    assert permissions.permission_notes(("--sample=none", "--cpuctxsw=none"), metrics=False) == []


def test_no_nsys(examine: Examine) -> None:
    result = examine(nsys=None, nvidia_smi=smi(1))
    found = lines(result)
    assert result.code == 20
    assert found["nsys"][0] == "FAIL"
    assert "install Nsight Systems" in found["nsys"][1]
    assert found["GPUs"][0] == "ok"


def test_something_else_named_as_nsys(examine: Examine, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho 'version 3'\n", encoding="utf-8")
    other.chmod(0o755)
    for named in (other, tmp_path / "nothing", tmp_path):
        result = examine("--nsys", named)
        assert (result.code, result.out) == (20, "")
        assert result.err == f"nsysan: {named}: named by --nsys, but is no nsys that runs here\n"


@pytest.mark.parametrize(
    ("version", "of_help", "said"),
    [
        ("exec yes", "", "none that answers ({0}: `nsys --version` prints without end)"),
        ("exec head -c 1000000000 /dev/zero", "", "none that answers ({0}: `nsys --version` prints without end)"),
        ("exec sleep 60 >&- 2>&-", "", "none that answers ({0}: no answer to `nsys --version` in 0.2 s)"),
        (":", "exec yes", "nsys 2025.1 at {0}: `nsys profile --help` prints without end"),
        (":", "sleep 60 >&-", "nsys 2025.1 at {0}: no answer to `nsys profile --help` in 1 s"),
        (":", "exec yes '' >&2", "nsys 2025.1 at {0}: `nsys profile --help` prints without end"),
    ],
)
def test_an_nsys_that_does_not_end_is_ended(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, of_help: str, said: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    # Those that print are given their whole time, and one that is to say its version some of it.
    monkeypatch.setattr(nsys_, "ASKED_SECONDS", 0.2 if "sleep" in version else 1.0 if "sleep" in of_help else 20.0)
    nsys = tmp_path / "bin" / "nsys"
    answers = f'echo "NVIDIA Nsight Systems version 2025.1"\n[ "$1" = --version ] && {{ {version}; exit; }}\n'
    nsys.write_text(f"#!/bin/sh\n{answers}{of_help}\n", encoding="utf-8")
    nsys.chmod(0o755)
    result = examine(nsys=None)
    assert result.code == 20
    found = lines(result)["nsys"]
    assert found[0] == "FAIL"
    assert found[1].startswith(said.format(nsys) + " -> ")
