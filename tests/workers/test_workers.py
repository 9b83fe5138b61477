"""Reports read in other processes: the same figures, whatever is lost on the way, and little that travels."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed")

import distributed

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.perfetto import choose_steps, to_perfetto
from nsysan.report.build import build_report
from nsysan.report.document import to_json
from nsysan.run.analyze import analyze
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.run.trace_set import LocalTraces, TraceSet
from nsysan.workers import WORTH_BYTES, trace_set_for
from nsysan.workers.cluster import Cluster
from nsysan.workers.pool import Pool
from tests.clitools import run_cli, signalled
from tests.tracebuilder import TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]
RealTrace = Callable[[str], Path]
RANKS = 4
#: Of the bytes of the traces, what a report of these few steps may send from its workers; most of it is timelines.
MOST_SENT, MOST_OF_SUMMARIES = 0.03, 0.005


@pytest.fixture(scope="module")
def paths(real_trace: RealTrace) -> list[Path]:
    return [real_trace(f"rank_{rank}") for rank in range(RANKS)]


@pytest.fixture(scope="module")
def expected(paths: list[Path]) -> str:
    """The report of the four ranks, all of it made in this process."""
    return document(analyze(paths))


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    """Two workers in processes of their own, which come back when they are lost."""
    with distributed.LocalCluster(
        processes=True, n_workers=2, threads_per_worker=1, dashboard_address=":0", scheduler_port=0
    ) as local:
        yield local


def document(run: Run) -> str:
    return to_json(build_report(run, nsysan.__version__))


def damaged(path: Path, target: Path) -> Path:
    """A copy that breaks off in the middle."""
    content = path.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    return target


def lose_process_once(placed: PlacedTrace, marker: Path) -> int:
    """The number of the report; the first to be asked takes its process down."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return placed.number


def lose_process(placed: PlacedTrace) -> int:
    if placed.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return placed.number


def fail(placed: PlacedTrace) -> None:
    raise ZeroDivisionError(placed.number)


# ---- several processes


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(2)
    yield pool
    pool.close()


def test_processes_make_the_same_report(pool: Pool, paths: list[Path], expected: str) -> None:
    assert document(analyze(paths, trace_set=pool)) == expected


def test_processes_make_the_same_export(pool: Pool, paths: list[Path]) -> None:
    here, there = analyze(paths), analyze(paths, trace_set=pool)
    steps = choose_steps(here)
    assert to_perfetto(there, steps, "0") == to_perfetto(here, steps, "0")


def test_a_lost_process_reads_its_reports_again(pool: Pool, paths: list[Path], expected: str, tmp_path: Path) -> None:
    run = analyze(paths, trace_set=pool)
    assert run.ask(lose_process_once, tmp_path / "lost") == list(range(RANKS))
    assert (tmp_path / "lost").exists()
    assert document(run) == expected


def test_a_report_that_takes_every_process_down_is_named(pool: Pool, paths: list[Path], expected: str) -> None:
    run = analyze(paths, trace_set=pool)
    with pytest.raises(NsysanError, match=r"rank_1\.sqlite: the process that held it was killed, twice") as error:
        run.ask(lose_process)
    assert error.value.exit_code == ExitCode.NO_WORKERS
    assert document(run) == expected


def test_an_error_in_a_process_is_raised_here(pool: Pool, paths: list[Path]) -> None:
    run = analyze(paths[:1], trace_set=pool)
    with pytest.raises(ZeroDivisionError):
        run.ask(fail)


def test_closing_ends_the_processes(paths: list[Path]) -> None:
    pool = Pool(2)
    run = analyze(paths[:2], trace_set=pool)
    pids = run.ask(process_of)
    pool.close()
    assert os.getpid() not in pids
    assert len(set(pids)) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


#: The whole command line, interrupted when its reports are read; prints the ids of its processes before.
_INTERRUPTED = """
import multiprocessing, os, signal, sys
from nsysan.cli import main
from nsysan.workers.pool import Pool
def place(*arguments):
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGINT)
Pool.place = place
main()
"""


def test_an_interrupt_ends_all_processes(paths: list[Path]) -> None:
    arguments = ["report", *map(str, paths), "--json", "-", "--jobs", "2"]
    command = signalled(sys.executable, "-c", _INTERRUPTED, *arguments)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.strip()) == (130, "nsysan: interrupted")
    pids = [int(pid) for pid in result.stdout.split()]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


#: The whole command line, sent signal argv[1] when it has begun its argv[2]-th process, and told it nothing yet.
_ENDED_AT_A_START = """
import os, signal, sys
from multiprocessing import util
from nsysan.cli import main
which, moment = int(sys.argv[1]), int(sys.argv[2])
begun = 0
def counted(begin):
    def spawn(*arguments):
        global begun
        pid = begin(*arguments)
        begun += 1
        if begun == moment:
            os.kill(os.getpid(), which)
        return pid
    return spawn
util.spawnv_passfds = counted(util.spawnv_passfds)
sys.argv[1:] = sys.argv[3:]
main()
"""


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", [1, 2, 3])
def test_an_end_while_processes_start_is_that_of_all(paths: list[Path], which: signal.Signals, moment: int) -> None:
    arguments = [str(int(which)), str(moment), "report", *map(str, paths), "--json", "-", "--jobs", "2"]
    command = signalled(sys.executable, "-c", _ENDED_AT_A_START, *arguments)
    # What is left holds the pipes open.
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = "nsysan: interrupted" if which == signal.SIGINT else ""
    assert (result.returncode, result.stdout, result.stderr.strip()) == (128 + which, "", said)


def test_frames_can_be_had_from_processes(pool: Pool, paths: list[Path]) -> None:
    run, here = analyze(paths[:2], trace_set=pool), analyze(paths[:2])
    assert run.work.equals(here.work)
    assert run.synchronise_calls.equals(here.synchronise_calls)
    assert [trace.name for trace in run.traces] == ["rank_0.sqlite", "rank_1.sqlite"]


def process_of(placed: PlacedTrace) -> int:
    assert placed.work.height
    return os.getpid()


@pytest.mark.parametrize("jobs", [None, 1])
def test_small_reports_are_read_here(paths: list[Path], jobs: int | None) -> None:
    with trace_set_for(paths, jobs) as trace_set:
        assert isinstance(trace_set, LocalTraces)


def test_large_reports_are_read_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.workers.pool.processors", lambda: 2)
    large = [tmp_path / f"{n}.sqlite" for n in range(2)]
    for path in large:
        with path.open("wb") as file:
            file.truncate(WORTH_BYTES)
    with trace_set_for(large) as trace_set:
        assert isinstance(trace_set, Pool)


# ---- a cluster


def test_a_cluster_makes_the_same_report_of_little_that_travels(
    cluster: distributed.LocalCluster, paths: list[Path], expected: str
) -> None:
    trace_set = Cluster(cluster.scheduler_address)
    try:
        run = analyze(paths, trace_set=trace_set)
        summaries = trace_set.sent + trace_set.received
        assert document(run) == expected
    finally:
        trace_set.close()
    traces, travelled = sum(path.stat().st_size for path in paths), trace_set.sent + trace_set.received
    print(f"{traces} bytes of traces, of which {summaries} for one clock and matching, {travelled} in all")
    assert summaries < MOST_OF_SUMMARIES * traces
    assert travelled < MOST_SENT * traces


class LostOnce(distributed.WorkerPlugin):  # type: ignore[misc]
    """The first worker that begins a task of that kind is gone."""

    def __init__(self, kind: str, marker: Path) -> None:
        self.kind, self.marker = kind, marker

    def setup(self, worker: object) -> None:
        """Nothing to prepare."""

    def transition(self, key: str, start: str, finish: str, **_: object) -> None:
        """Called by the worker for each task that goes from one state to the next."""
        begins = (start, finish) == ("ready", "executing") and str(key).startswith(f"nsysan-{self.kind}-")
        if begins and not self.marker.exists():
            self.marker.touch()
            os._exit(1)


@pytest.mark.parametrize("kind", ["read", "place", "ask-2"])
def test_a_worker_lost_on_the_way_is_made_up_for(
    cluster: distributed.LocalCluster, paths: list[Path], expected: str, tmp_path: Path, kind: str
) -> None:
    marker = tmp_path / "lost"
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2)
        client.register_plugin(LostOnce(kind, marker), name="lost-once")
        trace_set = Cluster(cluster.scheduler_address)
        try:
            found = document(analyze(paths, trace_set=trace_set))
        finally:
            trace_set.close()
            client.unregister_worker_plugin("lost-once")
    assert marker.exists()
    assert found == expected


class Slow:
    """A task that ends while its result is waited for: the wait is over, and the result there."""

    def __init__(self, status: str) -> None:
        self.status, self.asked = status, 0

    def done(self) -> bool:
        return True

    def result(self, timeout: float) -> bytes:
        assert timeout > 0
        self.asked += 1
        if self.asked == 1 or self.status == "error":
            raise TimeoutError
        return b"answer"


def test_a_task_that_ends_as_the_wait_does_has_its_answer() -> None:
    waiting = Cluster.__new__(Cluster)
    assert waiting._result(Slow("finished")) == b"answer"
    with pytest.raises(TimeoutError):
        waiting._result(Slow("error"))


def test_the_command_line_reads_on_a_cluster(
    cluster: distributed.LocalCluster, capsys: Capsys, paths: list[Path], expected: str
) -> None:
    result = run_cli(capsys, "report", *paths, "--json", "-", "--scheduler", cluster.scheduler_address)
    assert (result.code, result.out) == (0, expected)


def test_the_end_of_all_workers_and_then_of_the_scheduler_is_said(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with distributed.LocalCluster(processes=False, n_workers=1, dashboard_address=":0") as local:
        trace_set = Cluster(local.scheduler_address)
        monkeypatch.setattr("nsysan.workers.cluster.WAIT", 0.2)
        run = analyze(paths[:1], trace_set=trace_set)
        local.scale(0)
        with pytest.raises(NsysanError, match="all workers were lost") as lost:
            run.ask(process_of)
    with pytest.raises(NsysanError, match="the scheduler was lost") as gone:
        run.ask(process_of)
    trace_set.close()
    assert lost.value.exit_code == gone.value.exit_code == ExitCode.NO_WORKERS


def test_no_scheduler_is_one_line(capsys: Capsys, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.workers.cluster.ANSWER", 0.2)
    result = run_cli(capsys, "report", *paths, "--json", "-", "--scheduler", "tcp://127.0.0.1:9")
    assert (result.code, result.out) == (ExitCode.NO_WORKERS, "")
    assert result.err.startswith("nsysan: tcp://127.0.0.1:9: no Dask scheduler answers")
    assert result.err.count("\n") == 1


ADDRESSES = ("gopher://x:1", "", "tcp://", "tcp://[::1", "inproc://x", f"tcp://{'x' * 300}:1", "tls://127.0.0.1:9")


@pytest.mark.parametrize("address", [*ADDRESSES, "ucx://127.0.0.1:9", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_one_line(
    capsys: Capsys, paths: list[Path], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr("nsysan.workers.cluster.ANSWER", 0.2)
    result = run_cli(capsys, "report", *paths, "--json", "-", "--scheduler", address)
    assert (result.code, result.out, result.err.count("\n")) == (ExitCode.NO_WORKERS, "", 1)


def test_without_dask_the_extra_is_named(capsys: Capsys, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run_cli(capsys, "report", *paths, "--json", "-", "--scheduler", "tcp://127.0.0.1:9")
    assert result.code == ExitCode.NO_WORKERS
    assert "pip install 'nsysan[cluster]'" in result.err


# ---- reports that cannot be read


@pytest.fixture(params=["here", "pool", "cluster"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[TraceSet]:
    """Every place where reports can be read."""
    if request.param == "here":
        yield LocalTraces()
        return
    trace_set = Pool(2) if request.param == "pool" else Cluster(request.getfixturevalue("cluster").scheduler_address)
    yield trace_set
    trace_set.close()


def test_a_report_that_cannot_be_read_is_named_and_the_rest_delivered(
    anywhere: TraceSet, paths: list[Path], tmp_path: Path
) -> None:
    broken = damaged(paths[2], tmp_path / "rank_2.sqlite")
    run = analyze([*paths[:2], broken, paths[3]], trace_set=anywhere)
    assert [rank.rank for rank in run.ranks] == [0, 1, 3]
    assert run.missing_ranks == [2]
    assert [(failure.name, failure.error.exit_code) for failure in run.failures] == [
        ("rank_2.sqlite", ExitCode.DAMAGED)
    ]
    report = build_report(run, nsysan.__version__, timelines=False)
    row = next(row for row in report.quality if row.id == "reports")
    assert row.status == "estimated"
    assert row.reason.startswith("1 of 4 traces left out: rank_2.sqlite: the file is cut off")
    assert str(tmp_path) not in row.reason
    without = build_report(analyze([paths[0], paths[1], paths[3]]), nsysan.__version__, timelines=False)
    assert report.per_step.equals(without.per_step)
    assert report.headline == without.headline


def test_if_none_can_be_read_the_first_says_why(anywhere: TraceSet, tmp_path: Path) -> None:
    with pytest.raises(NsysanError, match=r"gone_0\.sqlite: no such file") as error:
        analyze([tmp_path / f"gone_{n}.sqlite" for n in range(2)], trace_set=anywhere)
    assert error.value.exit_code == ExitCode.NO_SUCH_FILE


def test_the_command_line_names_what_it_leaves_out(capsys: Capsys, paths: list[Path], tmp_path: Path) -> None:
    broken = damaged(paths[1], tmp_path / "rank_1.sqlite")
    result = run_cli(capsys, "report", paths[0], broken, paths[2], paths[3], "--json", "-")
    assert result.code == 0
    assert result.err.startswith(f"nsysan: left out: {broken}: the file is cut off")
    assert '"reports"' in result.out


def test_what_is_left_out_is_masked_too(capsys: Capsys, paths: list[Path], tmp_path: Path) -> None:
    broken = damaged(paths[1], tmp_path / "secretproject.sqlite")
    result = run_cli(capsys, "report", paths[0], broken, "--json", "-", "--redact")
    assert result.code == 0
    assert "secretproject" not in result.out
    assert "left out" in result.out


def test_a_report_without_gpu_work_is_left_out(capsys: Capsys, tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder)
    good = builder.write(tmp_path / "good.sqlite")
    shutil.copyfile(TraceBuilder().write(tmp_path / "none.sqlite"), tmp_path / "empty.sqlite")
    result = run_cli(capsys, "report", good, tmp_path / "empty.sqlite", "--json", "-")
    assert result.code == 0
    assert "empty.sqlite: no CUDA kernel" in result.err
