"""What replay says that a fault costs, against the same loop without it: real runs of one go on one machine.

TP=2 on two H200, CUDA graphs: base; slow: rank 1 runs one more 2048^3 product a layer; late: the host of rank 0 is busy
for 700 us before each launch; both. vLLM, TP=2 on two H200, graphs and NCCL: vllm_base; vllm_slow: rank 0 has 24 more
products of 4096^3 before each step; vllm_both: rank 1 has these, and its host is busy for 6 ms before each step.
SGLang, TP=2, one engine: sglang_base; sglang_late1: rank 1's host is busy for 1.5 ms before each forward; sglang_late0:
rank 0's, for 6 ms; sglang_slow0: rank 0 has 24 such products. Its GPUs' clocks drift apart from window to window, by 0,
1.0, 3.5 and 4.8 us.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import nsysan
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf
from tests.fixtures import unpack_pairs

#: Of the period of the run with the fault: two runs of the base differ by 0.7 %.
APART = 0.03


@pytest.fixture(scope="module")
def what_ifs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], WhatIf]:
    folder = tmp_path_factory.mktemp("pairs")
    unpack_pairs(folder)
    known: dict[str, WhatIf] = {}

    def of(name: str) -> WhatIf:
        if name not in known:
            run = nsysan.analyze(nsysan.open_trace(folder / f"{name}.sqlite"))
            found = nsysan.build_report(run, timelines=False).diagnosis.what_if
            assert found is not None
            known[name] = found
        return known[name]

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


def test_nobody_is_late_without_a_fault(what_ifs: Callable[[str], WhatIf]) -> None:
    for name in ("base", "vllm_base", "sglang_base"):
        base = what_ifs(name)
        right = base[Scenario.NO_SKEW]
        assert right is not None
        assert base.period - right < APART * base.period
