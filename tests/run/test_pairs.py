"""What replay says that a fault costs, against the same loop without it: real runs of one go on one machine.

TP=2 on two H200, CUDA graphs: base; slow: rank 1 runs one more 2048^3 product a layer; late: the host of rank 0 is busy
for 700 us before each launch; both. vLLM, TP=2 on two H200, graphs and NCCL: vllm_base; vllm_slow: rank 0 has 24 more
products of 4096^3 before each step; vllm_both: rank 1 has these, and its host is busy for 6 ms before each step.
SGLang, TP=2, one engine: sglang_base; sglang_late1: rank 1's host is busy for 1.5 ms before each forward; sglang_late0:
rank 0's, for 6 ms; sglang_slow0: rank 0 has 24 such products. Its GPUs' clocks drift apart from window to window, by 0,
1.0, 3.5 and 4.8 us.
vLLM, two H200, each of an engine whose windows without the fault took so long: vllm_spec_slow0 (drafts by n-grams, rank
0 has 24 such products) 6,987 and 6,969 us; vllm_held0 (NCCL, rank 0's host is busy for 3 ms before each step, and holds
the interpreter that hands on its results) 3,514 and 3,426. vllm_pp_slow1 (PP=2, 32 requests, stage 1 has 24 such
products, which it works while it waits for stage 0); vllm_pp_64 (PP=2, 64 requests in one batch).

TP=2 on two H200, CUDA graphs: awake, and sleepy, where the host of rank 1 blocks until its GPU is done
(cudaDeviceScheduleBlockingSync).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import nsysan
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf
from tests.fixtures import unpack_pairs

#: Of the period of the run with the fault: two runs of the base differ by 0.7 %.
APART = 0.03


@pytest.fixture(scope="module")
def diagnoses(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Diagnosis]:
    folder = tmp_path_factory.mktemp("pairs")
    unpack_pairs(folder)
    known: dict[str, Diagnosis] = {}

    def of(name: str) -> Diagnosis:
        if name not in known:
            run = nsysan.analyze(nsysan.open_trace(folder / f"{name}.sqlite"))
            known[name] = nsysan.build_report(run, timelines=False).diagnosis
        return known[name]

    return of


@pytest.fixture(scope="module")
def what_ifs(diagnoses: Callable[[str], Diagnosis]) -> Callable[[str], WhatIf]:
    def of(name: str) -> WhatIf:
        found = diagnoses(name).what_if
        assert found is not None
        return found

    return of


@pytest.mark.parametrize("fault", ["slow", "late", "both"])
def test_a_fault_taken_out_is_the_run_without_it(what_ifs: Callable[[str], WhatIf], fault: str) -> None:
    told = what_ifs(fault)
    right = told[Scenario.NO_SKEW]
    assert right is not None
    assert abs(right - what_ifs("base").period) <= APART * told.period
    # And the fault is no trifle.
    assert told.period - what_ifs("base").period > 5 * APART * told.period


@pytest.mark.parametrize(("rank", "left"), [(0, "slow"), (1, "late")])
def test_of_two_faults_one_taken_out_is_the_run_with_the_other(
    what_ifs: Callable[[str], WhatIf], rank: int, left: str
) -> None:
    both = what_ifs("both")
    assert abs(both.ranks[rank] - what_ifs(left).period) <= APART * both.period


@pytest.mark.parametrize(("fault", "rank"), [("vllm_slow", 0), ("vllm_both", 1)])
def test_faults_of_an_engine_taken_out_are_the_engine_without_them(
    what_ifs: Callable[[str], WhatIf], fault: str, rank: int
) -> None:
    told, base = what_ifs(fault), what_ifs("vllm_base")
    # Hosts wait for results by way of another thread and another process, of which no table tells.
    for right in (told[Scenario.NO_SKEW], told.ranks[rank]):
        assert right is not None
        assert abs(right - base.period) <= APART * told.period
    assert told.period > 2 * base.period


@pytest.mark.parametrize(("fault", "rank"), [("sglang_late1", 1), ("sglang_late0", 0), ("sglang_slow0", 0)])
def test_hosts_that_meet_each_step_wait_for_the_late_one(
    what_ifs: Callable[[str], WhatIf], fault: str, rank: int
) -> None:
    told, base = what_ifs(fault), what_ifs("sglang_base")
    # Schedulers hand requests on by gloo once a step, of which no call of CUDA tells.
    for right in (told[Scenario.NO_SKEW], told.ranks[rank]):
        assert right is not None
        assert abs(right - base.period) <= APART * told.period
    other = told.ranks[1 - rank]
    assert told.period - other < APART * told.period
    assert told.period > 1.25 * base.period


def test_a_host_that_sleeps_until_its_gpu_is_done_is_late(
    what_ifs: Callable[[str], WhatIf], diagnoses: Callable[[str], Diagnosis]
) -> None:
    """It is told of the end of the work by an interrupt, tens of us late: no kernel and no host segment is longer."""
    awake, sleepy = (what_ifs(name)[Scenario.NO_SKEW] for name in ("awake", "sleepy"))
    assert awake is not None
    assert sleepy == pytest.approx(awake, rel=0.01)
    assert diagnoses("awake").late == []
    assert [(one.ranks, one.cause) for one in diagnoses("sleepy").late] == [((1,), "host")]
    lost = what_ifs("sleepy").period - what_ifs("awake").period
    assert lost > 80_000
    assert (what_ifs("sleepy").saves(Scenario.NO_SKEW) or 0) > lost


def test_what_tracing_adds_to_hosts_may_turn_who_is_late(diagnoses: Callable[[str], Diagnosis]) -> None:
    bears, turns = (diagnoses(f"sglang_late{rank}").verdict for rank in (0, 1))
    assert "the verdict holds unless it slows them 2.4 times or more" in bears.because[0]
    assert "without nsys they may not be late" in turns.because[0]
    assert (bears.sure, turns.sure) == ("medium", "low")


def test_nobody_is_late_without_a_fault(what_ifs: Callable[[str], WhatIf]) -> None:
    for name in ("base", "vllm_base", "sglang_base"):
        base = what_ifs(name)
        right = base[Scenario.NO_SKEW]
        assert right is not None
        assert base.period - right < APART * base.period


def test_what_one_rank_runs_makes_no_other_host_late(diagnoses: Callable[[str], Diagnosis]) -> None:
    told, without = diagnoses("vllm_spec_slow0"), 6_978_000
    assert told.what_if is not None
    # Rank 0's products lie between a pause that both hosts make and the step's own work.
    assert abs(told.what_if.ranks[0] - without) <= APART * told.what_if.period
    assert told.straggler is not None
    assert (told.straggler.rank, told.straggler.cause) == (0, "compute")
    right = told.what_if[Scenario.NO_SKEW]
    assert right is not None
    # Rank 1's host happened to be slower in this window, and to cost a little once rank 0 is right.
    assert abs(right - without) <= 2 * APART * told.what_if.period


def test_a_host_that_holds_up_the_others_saves_at_most_what_the_engine_is_without(
    diagnoses: Callable[[str], Diagnosis],
) -> None:
    told, without = diagnoses("vllm_held0"), 3_470_000
    assert told.what_if is not None
    (late,) = told.late
    assert (late.ranks, late.cause) == ((0,), "host")
    assert late.most is not None
    assert abs(told.what_if.period - late.most - without) <= APART * told.what_if.period
    low, high = told.what_if.bounds[Scenario.NO_SKEW]
    assert low <= without <= high


def test_a_stage_that_works_all_the_time_paces_the_pipeline(diagnoses: Callable[[str], Diagnosis]) -> None:
    told = diagnoses("vllm_pp_slow1")
    assert told.verdict.kind == VerdictKind.PIPELINE
    assert told.bubble is not None
    assert told.bubble.pacing is not None
    assert (told.bubble.pacing.number, told.bubble.at_once) == (1, 1)
    # Twice the requests are one batch all the same: vLLM schedules them all ahead.
    more = diagnoses("vllm_pp_64").bubble
    assert more is not None
    assert (more.pacing, more.at_once) == (None, 1)
