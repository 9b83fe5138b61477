"""Hosts that get their next step from a scheduler, which waits for results by another thread: who is late, on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.replay.pace import replay
from nsysan.replay.results import Pace
from tests.tracebuilder import Process, TraceBuilder

US = 1_000
STEPS = 30
WORK, WIRE, GAP, CALL = 400 * US, 20 * US, 2 * US, 5 * US
#: From the end of a step's work until its thread returns, from there until hosts are told, and what they do then.
BACK, WAY, OWN = 4 * US, 30 * US, 50 * US
HELPER = 99


def served(path: Path, *, slow: int = 0, late: int = 0, holds: int = 0) -> Pace:
    """Two ranks, two steps in flight: rank 1 computes longer between its steps, its host comes later to each, in ns;
    or that of rank 0 does, and holds up the thread that hands on the results meanwhile.
    """
    builder = TraceBuilder()
    ranks = [builder.process(pid=100 + rank, device=rank) for rank in range(2)]
    for rank, process in enumerate(ranks):
        process.comm_init(comm=7, nranks=2, rank=rank, device=rank)
    host, gpu, told = [1_000 * US] * 2, [0, 0], [0] * STEPS
    for step in range(STEPS):
        answered = told[step - 2] + WAY if step > 1 else 0
        arrived = []
        for rank, process in enumerate(ranks):
            at = max(host[rank], answered if rank or not holds else 0) + OWN + (late if rank else holds)
            begun = at
            if slow and rank:
                gpu[rank] = _kernel(process, "extra", at, gpu[rank], slow)
                at += CALL
            gpu[rank] = _kernel(process, "work", at, gpu[rank], WORK)
            arrived.append((max(gpu[rank] + GAP, at + 2 * CALL), at + CALL))
            host[rank] = at + 3 * CALL
            # The range begins when the step's own work is launched.
            process.nvtx(f"decode_{step}", at - 100 if slow and rank else begun - 100, host[rank])
        done = max(begin for begin, _ in arrived) + WIRE
        for rank, (process, (begin, call)) in enumerate(zip(ranks, arrived, strict=True)):
            process.kernel("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", begin, done, launch=(call, call + CALL))
            process.nccl("ncclAllReduce", call - 50, call + CALL + 50, bytes=8192, comm=7)
            gpu[rank] = done
            record = process.api("cudaEventRecord", call + CALL + 100, call + CALL + 200)
            process.event_record(correlation=record, event=1 + step % 4, record=step)
        told[step] = max(done + BACK, host[0] + OWN + holds if holds else 0)
        asked = max(host[0], told[step - 1]) + US
        seen = done + BACK
        asked = min(asked, seen - US)
        waiting = ranks[0].api("cudaEventSynchronize", asked, seen, tid=HELPER)
        ranks[0].synchronization(asked, seen, 1, correlation=waiting, event=1 + step % 4, record=step)
    pace = replay(nsysan.analyze(builder.write(path)))
    assert pace is not None
    assert pace.exact
    return pace


def _kernel(process: Process, name: str, at: int, free: int, ns: int) -> int:
    begin = max(at + CALL, free + GAP)
    process.kernel(name, begin, begin + ns, launch=(at, at + CALL))
    return begin + ns


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Pace:
    return served(tmp_path_factory.mktemp("base") / "t.sqlite")


def test_nobody_is_late_where_none_is(base: Pace) -> None:
    assert base.answered
    assert base.ahead
    assert base.period.median == WORK + WIRE + 2 * GAP
    assert base.late == []
    assert base.scenarios["no_skew"].median == base.period.median


def test_work_between_the_steps_of_one_rank_is_its_own(base: Pace, tmp_path: Path) -> None:
    pace = served(tmp_path / "t.sqlite", slow=300 * US)
    assert pace.period.median == base.period.median + 300 * US + GAP
    assert pace.scenarios["no_skew"].median == base.period.median
    assert [(one.ranks, one.cause, one.saves) for one in pace.late] == [((1,), "compute", 300 * US + GAP)]


def test_a_host_that_comes_late_to_what_it_is_told(base: Pace, tmp_path: Path) -> None:
    pace = served(tmp_path / "t.sqlite", late=900 * US)
    more = pace.period.median - base.period.median
    assert more > 300 * US
    assert pace.scenarios["no_skew"].median == base.period.median
    assert [(one.ranks, one.cause, one.saves) for one in pace.late] == [((1,), "host", more)]


def test_a_host_that_holds_up_what_the_others_are_told(base: Pace, tmp_path: Path) -> None:
    pace = served(tmp_path / "t.sqlite", holds=900 * US)
    more = pace.period.median - base.period.median
    assert more > 300 * US
    # How much of what rank 1 takes after the results is its own no table tells.
    low, high = pace.bounds["no_skew"]
    assert low <= base.period.median + OWN
    assert high > base.period.median + OWN
    (late,) = pace.late
    assert (late.ranks, late.cause) == ((0,), "host")
    assert late.most is not None
    assert late.saves < more - OWN <= late.most
