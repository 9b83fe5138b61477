"""What a trace does not tell: work that one of two ranks has alone, kernels by another name, hosts that wait unseen."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan.replay.pace import replay
from nsysan.replay.results import Pace
from tests.simulator.cases import BETWEEN_NS, STEPS, all_reduce, ending, graph_program, layer, sync_in_the_step
from tests.simulator.export import export
from tests.simulator.faults import ExtraCalls, Fault, LateHost
from tests.simulator.program import Api, Call, Kind, Op, Program, eager_calls
from tests.simulator.scenarios import random_scenario
from tests.simulator.truth import Scenario
from tests.tracebuilder import ALLREDUCE_KERNEL, TraceBuilder

PAIR = ((0, 1),)


def ops(*, extra: bool = False) -> list[Op]:
    found: list[Op] = []
    for _ in range(4):
        found += layer(all_reduce(groups=PAIR), all_reduce(groups=PAIR))
        if extra:
            found.insert(-1, Op("elementwise_extra", in_layer=False, extra=True))
    return [*found, *ending()]


def pace_of(program: Program, path: Path, faults: tuple[Fault, ...] = ()) -> Pace:
    export(Scenario("untold", program, STEPS, faults, lead=1), path)
    return read(path)


def read(path: Path) -> Pace:
    pace = replay(nsysan.analyze(path))
    assert pace is not None
    assert pace.exact
    return pace


def test_what_one_of_two_ranks_has_alone_is_extra(tmp_path: Path) -> None:
    program = graph_program(ops(extra=True), ranks=2)
    pace = pace_of(program, tmp_path / "t.sqlite", (ExtraCalls(1, 10_000, 0),))
    # Four kernels of 10 us, and the gaps before them.
    assert pace.period.median - pace.scenarios["no_skew"].median == 4 * (10_000 + 1_200)
    assert pace.scenarios["no_skew"].median == 412_900
    assert [(one.ranks, one.cause) for one in pace.late] == [((1,), "compute")]


def test_another_kernel_in_the_same_place_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    program = graph_program(ops(), ranks=2)
    before = pace_of(program, path)
    with closing(sqlite3.connect(path)) as file, file:
        (known,) = file.execute("SELECT id FROM StringIds WHERE value = 'oproj'").fetchone()
        (new,) = file.execute("SELECT max(id) + 1 FROM StringIds").fetchone()
        file.execute("INSERT INTO StringIds (id, value) VALUES (?, 'oproj_by_halves')", (new,))
        for column in ("shortName", "demangledName"):
            file.execute(
                f"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET {column} = ? WHERE {column} = ? AND deviceId = 1",
                (new, known),
            )
    after = read(path)
    assert after.scenarios["no_skew"].median == before.scenarios["no_skew"].median == after.period.median
    assert after.late == []


def test_hosts_that_wait_unseen_are_nobodys_lateness(tmp_path: Path) -> None:
    work = ops()
    calls = eager_calls(work, cost_ns=20_000, segment_ns=0, first_segment_ns=BETWEEN_NS)
    program = Program(2, tuple(work), tuple(calls))
    # Each has 400 us of its own, in another place, and neither is seen to wait for the other.
    faults = (LateHost(0, 400_000), LateHost(1, 400_000, call=20))
    pace = pace_of(program, tmp_path / "t.sqlite", faults)
    assert pace.late == []
    assert pace.scenarios["no_skew"].median == pace.period.median
    low, high = pace.bounds["no_skew"]
    assert (low, high) == (pace.period.median - 400_000, pace.period.median)
    # Where their calls into the operating system are traced, and none waits, they work.
    traced = Path(shutil.copy(tmp_path / "t.sqlite", tmp_path / "os.sqlite"))
    with closing(sqlite3.connect(traced)) as file, file:
        file.execute("CREATE TABLE OSRT_API (start, end, eventClass, globalTid, nameId)")
        file.execute("INSERT INTO StringIds (id, value) SELECT max(id) + 1, 'stat64' FROM StringIds")
        file.execute(
            "INSERT INTO OSRT_API SELECT end + 10, end + 20, 27, globalTid, (SELECT max(id) FROM StringIds) "
            "FROM CUPTI_ACTIVITY_KIND_RUNTIME"
        )
    works = read(traced)
    assert (works.scenarios["no_skew"].median, "no_skew" in works.bounds) == (low, False)
    assert {(one.ranks, one.cause) for one in works.late} >= {((0,), "host"), ((1,), "host")}


def handed_out(path: Path, *, varies: int, ranks: int = 3, calls: str = "") -> Pace:
    """Rank 0 waits for its GPU, and 20 us later all but rank 1 launch a step, rank 1 40 us later. No other waits.

    varies: ns by which every third step computes longer than the first, and the second by a third of that. calls: name
    of the call into the operating system in which each but rank 0 is until it is told, 3 us before rank 0's launches.
    """
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(ranks)]
    for rank, process in enumerate(processes):
        process.comm_init(comm=5, nranks=ranks, rank=rank, device=rank)
    begins = 1_000_000
    for step in range(14):
        work = 60_000 + (0, varies // 3, varies)[step % 3]
        ends = begins + 54_000 + work
        for rank, process in enumerate(processes):
            at = begins + 40_000 * (rank == 1)
            process.nvtx(f"decode_step_{step}", at - 100, at + 5_500)
            process.kernel("gemm", at + 5_000, at + 5_000 + work, launch=(at, at + 2_000))
            process.kernel(ALLREDUCE_KERNEL, at + 6_000 + work, ends, launch=(at + 3_000, at + 5_000))
            if rank == 0:
                process.api("cudaStreamSynchronize_v3020", at + 6_000, ends + 3_000)
            if calls:
                process.os_call(calls if rank else "stat64", at + 5_100, ends + 20_000 if rank else at + 5_200)
        begins = ends + 23_000
    return read(builder.write(path))


def test_hosts_that_another_may_tell_to_begin_a_step(tmp_path: Path) -> None:
    pace = handed_out(tmp_path / "t.sqlite", varies=0)
    assert pace.period.median == 137_000
    assert (pace.scenarios["no_skew"].median, pace.bounds["no_skew"]) == (137_000, (97_000, 137_000))
    assert pace.late == []
    assert not pace.answered


def test_hosts_that_begin_when_another_has_waited_are_told_by_it(tmp_path: Path) -> None:
    pace = handed_out(tmp_path / "t.sqlite", varies=9_000)
    assert pace.answered
    assert not pace.ahead
    assert (pace.period.median, pace.scenarios["no_skew"].median) == (140_000, 100_000)
    assert "no_skew" not in pace.bounds
    assert [(one.ranks, one.cause, one.costs) for one in pace.late] == [((1,), "host", 40_000)]


def test_hosts_that_are_seen_to_wait_are_told(tmp_path: Path) -> None:
    pace = handed_out(tmp_path / "t.sqlite", varies=0, calls="recv")
    assert pace.answered
    assert (pace.scenarios["no_skew"].median, "no_skew" in pace.bounds) == (97_000, False)
    assert [(one.ranks, one.cause, one.costs) for one in pace.late] == [((1,), "host", 40_000)]


def test_hosts_that_are_seen_to_work_are_not(tmp_path: Path) -> None:
    pace = handed_out(tmp_path / "t.sqlite", varies=0, calls="stat64")
    assert (pace.answered, pace.met, "no_skew" in pace.bounds) == (False, False, False)
    assert pace.scenarios["no_skew"].median == pace.period.median


def told_by_rank_0(path: Path, *, traced: str = "", sends: tuple[int, ...] = (0,)) -> Pace:
    """Host 0 is busy for 280 to 340 us before it launches a step; host 1 waits for that, and works 15 us.

    traced: the call into the operating system in which host 0 is meanwhile; "": those of neither are in the trace.
    sends: ns before it launches at which it tells host 1, step by step, in a call if that is not at once.
    """
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(2)]
    for rank, process in enumerate(processes):
        process.comm_init(comm=5, nranks=2, rank=rank, device=rank)
    at = 1_000_000
    for step in range(20):
        before, at = at, at + 5_000 + (300_000, 280_000, 340_000, 290_000, 310_000)[step % 5]
        for rank, process in enumerate(processes):
            early = sends[step % len(sends)]
            begin = at + (20_000 - early) * rank
            process.nvtx(f"decode_step_{step}", begin - 100, begin + 5_500)
            process.kernel("gemm", begin + 5_000, begin + 15_000, launch=(begin, begin + 2_000))
            process.kernel(ALLREDUCE_KERNEL, begin + 16_000, at + 40_000, launch=(begin + 3_000, begin + 5_000))
            if traced and rank:
                process.os_call("recvmsg", before + 26_000, at - early + 5_000)
            elif traced:
                process.os_call(traced, before + 6_000, at - 75_000)
                if early:
                    process.os_call("send", at - early, at - early + 1_000)
    return read(builder.write(path))


def test_a_wait_that_ends_with_what_another_host_does_is_for_that(tmp_path: Path) -> None:
    # Each takes as long for a step, and what it does then is not seen.
    pace = told_by_rank_0(tmp_path / "t.sqlite")
    assert (pace.late, pace.scenarios["no_skew"].median) == ([], pace.period.median)
    # It is: host 0 has 285 us more to do than host 1, which waits for it.
    pace = told_by_rank_0(tmp_path / "os.sqlite", traced="write")
    assert pace.met
    assert [(one.ranks, one.cause) for one in pace.late] == [((0,), "host")]
    assert pace.late[0].saves >= pace.late[0].costs > 250_000
    assert "no_skew" not in pace.bounds
    # Where the wait ends with a call in a pause of host 0, long before it launches, what it does until then is told.
    pace = told_by_rank_0(tmp_path / "sends.sqlite", traced="write", sends=(30_000, 70_000, 45_000))
    assert pace.met
    assert [(one.ranks, one.cause) for one in pace.late] == [((0,), "host")]
    assert pace.late[0].saves > 200_000
    # Where it waits itself both may wait for a third, and who is late no trace tells.
    pace = told_by_rank_0(tmp_path / "both.sqlite", traced="recvmsg")
    assert (pace.met, pace.late) == (False, [])
    assert [host.untold > 200_000 for host in pace.hosts] == [True, True]


def test_what_one_host_takes_to_be_told_may_be_its_own(tmp_path: Path) -> None:
    # No third host shows how long it takes from rank 0 to another.
    pace = handed_out(tmp_path / "t.sqlite", varies=9_000, ranks=2)
    assert pace.answered
    assert (pace.period.median, pace.scenarios["no_skew"].median) == (140_000, 140_000)
    assert pace.bounds["no_skew"] == (100_000, 140_000)
    assert pace.late == []


def test_hosts_that_launch_when_work_ends_wait_for_it_unseen(tmp_path: Path) -> None:
    work, cost = ops(), 2_000
    lasts = [op.wire_ns if op.kind is Kind.COLLECTIVE else op.ns for op in work]
    # Each launch is in time for its work to begin 1 us after what is before it; 20 us between steps.
    segments = [lasts[-1] + 21_000 - cost, *(ns + 1_000 - cost for ns in lasts[:-1])]
    calls = tuple(Call(Api.LAUNCH, max(segment, 0), cost, (n,)) for n, segment in enumerate(segments))
    pace = pace_of(Program(2, tuple(work), calls), tmp_path / "t.sqlite")
    for name in ("host_free", "graphs"):
        assert pace.scenarios[name].median == pace.period.median
        assert pace.bounds[name][1] == pace.period.median
    assert pace.bounds["host_free"][0] == pace.period.median - 20_000


def test_steps_begin_alike_where_one_rank_waits_in_their_midst(tmp_path: Path) -> None:
    # Overlap, no ranges, and a slow host: the other rank's stream is dry for longest before what follows a collective.
    pace = read(export(random_scenario(2159), tmp_path / "t.sqlite"))
    assert pace.unsplit == 0
    assert [(one.ranks, one.cause) for one in pace.late] == [((0,), "host")]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gone", ["streamId", "contextId"])
def test_waits_are_known_where_streams_or_contexts_are_not(gone: str, tmp_path: Path) -> None:
    path = export(replace(sync_in_the_step(), sync_tables=True), tmp_path / "t.sqlite")
    whole = read(path)
    with closing(sqlite3.connect(path)) as file, file:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if gone in {column for _, column, *_ in file.execute(f"PRAGMA table_info({table})")}:
                file.execute(f"ALTER TABLE {table} DROP COLUMN {gone}")
    less = read(path)
    assert (less.period, less.scenarios, less.path) == (whole.period, whole.scenarios, whole.path)
