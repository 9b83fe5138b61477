"""NCCL is made to say what it chose, beside the trace, where the user has not said otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsysan.capture.nccl_debug import nccl_debug
from nsysan.capture.postflight import OK, WARN
from nsysan.trace.nccl_files import read_logs_beside
from tests.capture.desk import WRITTEN, Desk, workload
from tests.nccllogs import RankLog

COMMAND = ("python", "decode.py")


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NCCL_DEBUG", "NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE", "NCCL_CONF_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_what_is_set(tmp_path: Path) -> None:
    found = nccl_debug({}, COMMAND, tmp_path / "run 50%", tuning=False)
    assert found.environment == {
        "NCCL_DEBUG": "INFO",
        "NCCL_DEBUG_SUBSYS": "INIT,ENV,GRAPH",
        # NCCL reads % as nsys does.
        "NCCL_DEBUG_FILE": f"{tmp_path}/run 50%%.nccl.%h.%p.log",
    }
    assert len(found.notes) == 1
    assert Path(nccl_debug({}, COMMAND, Path("run"), tuning=False).environment["NCCL_DEBUG_FILE"]).is_absolute()
    check = found.check([tmp_path] * 2, "run.nccl.*.log")
    assert (check.status, check.remedy) == (OK, "")
    assert check.seen.startswith("2 in run.nccl.*.log (NCCL_DEBUG=INFO, NCCL_DEBUG_SUBSYS=INIT,ENV,GRAPH and")
    assert "none written" in found.check([], "run.nccl.*.log").seen


def test_tuning_is_asked_for_and_warned_of(tmp_path: Path) -> None:
    found = nccl_debug({}, COMMAND, tmp_path / "run", tuning=True)
    assert found.environment["NCCL_DEBUG_SUBSYS"] == "INIT,ENV,GRAPH,TUNING"
    assert "a line at every call" in found.notes[1]
    assert found.check([tmp_path], "run.nccl.*.log").status == WARN


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"NCCL_DEBUG": "WARN"}, COMMAND),
        ({"NCCL_DEBUG": ""}, COMMAND),
        ({"NCCL_DEBUG_SUBSYS": "ALL"}, COMMAND),
        ({"NCCL_DEBUG_FILE": "mine.%p"}, COMMAND),
        ({}, ("env", "NCCL_DEBUG=INFO", "python", "decode.py")),
        ({}, ("bash", "-c", "export NCCL_DEBUG_FILE=mine; python decode.py")),
        ({}, ("mpirun", "-x", "NCCL_DEBUG", "python", "decode.py")),
    ],
)
def test_what_the_user_set_stays(tmp_path: Path, given: dict[str, str], words: tuple[str, ...]) -> None:
    found = nccl_debug(given, words, tmp_path / "run", tuning=True)
    assert (found.environment, found.notes) == ({}, ())
    check = found.check([], "run.nccl.*.log")
    assert check.status == OK
    assert check.seen.startswith("left as it is: ")
    assert "--nccl-log" in check.remedy


def test_what_nccls_configuration_sets_stays(tmp_path: Path) -> None:
    conf = tmp_path / ".nccl.conf"
    conf.write_text("# mine\nNCCL_IB_HCA=x\n", encoding="utf-8")
    assert nccl_debug({"HOME": str(tmp_path)}, COMMAND, tmp_path / "run", tuning=False).environment
    conf.write_text("NCCL_DEBUG=WARN\n", encoding="utf-8")
    assert nccl_debug({"HOME": str(tmp_path)}, COMMAND, tmp_path / "run", tuning=False).environment == {}
    assert nccl_debug({"NCCL_CONF_FILE": str(conf)}, COMMAND, tmp_path / "run", tuning=False).environment == {}
    elsewhere = {"HOME": str(tmp_path), "NCCL_CONF_FILE": str(tmp_path / "none")}
    assert nccl_debug(elsewhere, COMMAND, tmp_path / "run", tuning=False).environment


_PRINTS = """
import os
lines = {lines!r}
file = os.environ["NCCL_" + "DEBUG_FILE"].replace("%h", "node-a").replace("%p", "1000").replace("%%", "%")
open(file, "w").write("\\n".join(lines) + "\\n")
"""


def test_the_logs_come_to_lie_beside_the_trace(desk: Desk) -> None:
    stale = desk.folder / "trace.nccl.node-z.9.log"
    stale.touch()
    refused = desk.capture(*workload("open('ran', 'w')"))
    assert (refused.code, desk.files()) == (9, [stale.name])
    assert f"nsysan: {stale.name}: exists already; pass --force-overwrite" in refused.err
    ended = desk.capture("-f", *workload(_PRINTS.format(lines=RankLog(0).lines())))
    assert ended.code == 0
    # That of an earlier capture is gone.
    assert desk.files() == ["trace.nccl.node-a.1000.log", "trace.nsys-rep", "trace.sqlite"]
    assert "  ok    NCCL log: 1 in trace.nccl.*.log (NCCL_DEBUG=INFO" in ended.err
    found = read_logs_beside(desk.folder / "trace.sqlite")
    assert found is not None
    assert [process.pid for process in found.processes] == [1000]


_OWN = "import os; open(os.environ['NCCL_' + 'DEBUG_FILE'].replace('%p', '7'), 'w').write('mine')"


def test_a_log_that_the_workload_writes_by_itself_stays(desk: Desk) -> None:
    stale = desk.folder / "trace.nccl.6.log"
    stale.touch()
    # The very name that a report reads.
    desk.environment["NCCL_DEBUG_FILE"] = str(desk.folder / "trace.nccl.%p.log")
    assert desk.capture(*workload(_OWN)).code == 0
    assert desk.files() == [stale.name, "trace.nccl.7.log", *WRITTEN]
    (desk.folder / "trace.nccl.7.log").unlink()
    assert desk.capture("-f", *workload(_OWN)).code == 0
    assert desk.files() == ["trace.nccl.7.log", *WRITTEN]


def test_a_free_number_is_one_without_logs(desk: Desk) -> None:
    (desk.folder / "t1.nccl.node-z.9.log").touch()
    assert desk.capture("-o", "t%n", *workload("")).code == 0
    assert desk.files() == ["t1.nccl.node-z.9.log", "t2.nsys-rep", "t2.sqlite"]


def test_without_a_trace_no_log_stays(desk: Desk) -> None:
    ended = desk.capture(*workload(_PRINTS.format(lines=RankLog(0).lines())), behaviour="nothing")
    assert ended.code != 0
    assert "no report came back" in ended.err
    assert desk.files() == []


def test_left_alone_where_asked(desk: Desk) -> None:
    says = "import os; print(*(name for name in os.environ if name.startswith('NCCL_')))"
    ended = desk.capture("--no-nccl-log", *workload(says))
    assert ended.out == "\n"
    assert "NCCL log" not in ended.err
    assert desk.capture("--no-nccl-log", "--nccl-tuning", *workload(says)).code == 2
