"""The one thing to do next: chosen by what the trace shows, and told alike wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import polars as pl
import pytest

from nsysan.diagnosis.answers import late_sentence
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.doubts import Doubt
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.findings.bubble import BubbleFinding
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.fixes import fixes_of, host_fix, load_fixes
from nsysan.diagnosis.findings.kinds import SavingIs, Severity
from nsysan.diagnosis.findings.launching import LaunchingFinding
from nsysan.diagnosis.findings.recording import RecordingFinding
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.late_words import led
from nsysan.diagnosis.next_step import gain, next_step
from nsysan.diagnosis.verdict import Verdict, VerdictKind
from nsysan.diagnosis.verdict_says import skew, skew_share
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.causes import GapCause, LateCause
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.tail import TailRow
from nsysan.metrics.tail_causes import TailCause
from nsysan.metrics.whatif import WhatIf
from nsysan.page.finding_anchor import finding_anchor
from nsysan.page.html import to_html
from nsysan.report.key_numbers import key_numbers
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.report.what_if_text import what_if_text
from nsysan.text import pct, rough

#: ns of a step on paper.
PERIOD = 1_000_000


def late(*ranks: int, idle: GapCause = GapCause.HOST_LATE, saves: int = 100_000, mean: int = 100_000) -> Late:
    parts = {LateCause.HOST: saves}
    return Late(ranks, LateCause.HOST, saves, saves, mean, mean, parts, mean_period=PERIOD, idle={idle: 90_000})


def told(kind: VerdictKind, *, period: int = PERIOD, **more: object) -> Diagnosis:
    verdict = Verdict(kind, "", {kind.value: 0.8}, **more)  # type: ignore[arg-type]
    what = WhatIf(period, {Scenario.NO_SKEW: period - 1, Scenario.ALL: period - 2})
    frame = pl.DataFrame()
    return Diagnosis(None, frame, what, verdict, [], [], frame, frame, 0.0)


def finding(severity: Severity = Severity.MEDIUM, saving: int | None = 200_000, **more: object) -> Finding:
    return Finding(LaunchingFinding.GRAPHS_OFF, severity, "a title", "evidence", "do this", saving, **more)  # type: ignore[arg-type]


# ---- which fix


@pytest.mark.parametrize(
    ("source", "kernels", "name"),
    [
        ("NVTX ranges 'execute_#' (vLLM)", [], "vLLM"),
        ("NVTX ranges 'gpu_model_runner: forward' (vLLM model runner)", [], "vLLM"),
        ("NVTX ranges 'scheduler.run_batch' (SGLang)", [], "SGLang"),
        # What ranges say outranks the kernels, which all of them have of PyTorch.
        ("NVTX ranges '[Executor] _forward_step #' (TensorRT-LLM)", ["elementwise_kernel"], "TensorRT-LLM"),
        ("CUDA graph replays", ["elementwise_kernel", "reshape_and_cache_flash_kernel"], "vLLM"),
        ("the repeating sequence of kernels", ["elementwise_kernel", "store_kvcache"], "SGLang"),
        ("NVTX ranges 'decode' (decode range)", ["elementwise_kernel"], "PyTorch"),
        ("CUDA graph replays", ["my_gemm"], ""),
    ],
)
def test_what_runs_the_steps(source: str, kernels: list[str], name: str) -> None:
    assert fixes_of(source, kernels).name == name


def test_every_engine_has_every_fix() -> None:
    for row in load_fixes():
        for fix in (row.graphs, row.whole, row.host, row.all_reduce, row.batches, row.layers, row.faster):
            assert fix[0].islower()
            assert not fix.endswith(".")
        # What does not put more in flight promises none of what they would gain.
        told = row.batches.format(batches=2, now=1, requests="as many")
        assert ("keep 2 batches in flight (now 1): " in told) == row.fills
        assert "{size}" in row.all_reduce
        assert row.source


VLLM = fixes_of("NVTX ranges 'execute_#' (vLLM)", [])
PAUSED = [TailRow(TailCause.HOST, 1, 60_000, [3, 9])]


@pytest.mark.parametrize(
    ("who", "tail", "ahead", "first"),
    [
        (
            None,
            [],
            False,
            "look in vLLM's log whether asynchronous scheduling is on: if not, start it with --async-sch",
        ),
        # Where that is seen to be so, it is no advice.
        (None, [], True, "give each of the engine's processes (one per rank, plus the scheduler) CPU cores of its own"),
        (late(1), [], False, "give the process of rank 1 CPU cores of its own, of its GPU's NUMA node"),
        (late(1, idle=GapCause.SYNC), [], False, "take the call that waits for the GPU out of the step on rank 1"),
        # A rank that is late in some steps alone.
        (late(1, saves=0), PAUSED, False, "look at what pauses the process of rank 1 in steps 3 and 9: garbage"),
        (late(1, saves=0), [], False, "give the process of rank 1"),
        (late(0, 1, 2), [], False, "look in vLLM's log whether asynchronous scheduling is on"),
    ],
)
def test_what_a_late_host_is_told(who: Late | None, tail: list[TailRow], ahead: bool, first: str) -> None:
    assert host_fix(VLLM, 4, who, PERIOD, tail, ahead=ahead).first.startswith(first)


# ---- which step


def test_the_first_finding_of_weight() -> None:
    step = next_step(told(VerdictKind.HOST), [finding(saving_is=SavingIs.AT_MOST)], "be faster")
    assert step.told == "Do this. That saves at most 200 µs a step (20.0 %)."
    # Of steps that compute bounds, what shortens the rest is told too.
    step = next_step(told(VerdictKind.COMPUTE), [finding(saving=150_000)], "be faster")
    assert step.told.startswith(
        "Do this. That saves 150 µs a step (15.0 %). More may be in the 800 µs a step (80.0 %) that kernels compute, "
    )
    assert (
        next_step(told(VerdictKind.HOST), [finding(saving=None)], "be faster").saves
        == "how much that saves nobody can tell: try it"
    )


def test_what_is_an_unknown_part_of_something_leads_nothing() -> None:
    part = finding(saving_is=SavingIs.PART_OF)
    step = next_step(told(VerdictKind.COMPUTE), [part], "be faster")
    assert (step.do, step.finding, part.saves) == ("be faster", None, "saves less than 200 µs a step")
    unknown = "how much that saves is not known, but less than the 800 µs a step (80.0 %) that kernels compute"
    assert (step.saves, step.known) == (unknown, False)
    # What findings have to gain is said with them.
    assert step.why == ""
    note = finding(Severity.LOW, 20_000, saving_is=SavingIs.ESTIMATE, basis="as measured elsewhere")
    step = next_step(told(VerdictKind.HOST), [part, note], "be faster")
    assert step.told.startswith("Do this. That saves about 20.0 µs a step (2.0 %), as measured elsewhere.")
    # Nor does what saves little where compute bounds the step.
    assert next_step(told(VerdictKind.COMPUTE), [part, note], "be faster").do == "be faster"


def test_a_small_finding_where_there_is_no_other() -> None:
    note = finding(Severity.LOW, 20_000)
    assert next_step(told(VerdictKind.HOST), [note], "be faster").finding is note
    assert next_step(told(VerdictKind.HOST), [finding(Severity.LOW, 9_000)], "be faster").finding is None


def test_nothing_to_be_gained_is_said_with_why() -> None:
    step = next_step(told(VerdictKind.COMPUTE), [], "be faster")
    assert step.do == "be faster"
    assert step.why == "nothing else is worth a change: putting skew right saves less than 1 % of the step"
    other = told(VerdictKind.COMPUTE, workload=Workload.TRAINING)
    assert next_step(other, [], "be faster").do.startswith("look at the timeline")


def test_hosts_that_cost_little_are_left_as_they_are() -> None:
    step = next_step(told(VerdictKind.HOST), [], "be faster")
    assert (step.do, step.finding) == ("be faster", None)


def test_what_could_be_the_profilers_is_found_out_first() -> None:
    first = finding(saving_is=SavingIs.AT_MOST)
    step = next_step(told(VerdictKind.HOST, doubted=Doubt.PROFILER), [first], "be faster")
    assert step.do.startswith("time a step without nsys, and run nsysan again with --untraced TIME")
    assert (step.then, step.gains) == ("if hosts bound it then, too, do this", "at most 200 µs a step (20.0 %)")
    assert step.finding is first


def test_what_rests_on_hosts_that_may_wait_says_so() -> None:
    first = finding(saving_is=SavingIs.AT_MOST)
    first = replace(first, basis="if host time fell to zero")
    verdict = told(VerdictKind.HOST, doubted=Doubt.UNSEEN)
    assert verdict.verdict.surer.startswith("capture with --trace=cuda,nvtx,osrt")
    step = next_step(verdict, [first], "be faster")
    assert step.told == (
        "Do this. How much that saves is not known, but at most 200 µs a step (20.0 %), if host time fell to zero; "
        "hosts may be blocked (a lock, another process)."
    )
    bare = next_step(verdict, [replace(first, basis="")], "be faster")
    assert bare.told.endswith("at most 200 µs a step (20.0 %), hosts may be blocked (a lock, another process).")
    # What rests on no host's time is no matter of that.
    sure = replace(first, saving_is=SavingIs.REPLAY, basis="")
    assert next_step(verdict, [sure], "be faster").told == "Do this. That saves 200 µs a step (20.0 %)."


def test_of_few_steps_it_is_said_with_the_saving() -> None:
    first = finding(saving_is=SavingIs.AT_MOST)
    verdict = told(VerdictKind.HOST, doubted=Doubt.FEW)
    assert verdict.verdict.surer.startswith("trace decode steps alone")
    step = next_step(verdict, [first], "be faster")
    assert step.told == "Do this. That saves at most 200 µs a step (20.0 %), estimated from few steps."
    none = next_step(told(VerdictKind.COMPUTE, doubted=Doubt.FEW), [], "be faster")
    assert not none.known


def test_what_takes_all_hosts_delays_away_takes_the_late_ranks_too() -> None:
    what = WhatIf(PERIOD, {Scenario.NO_SKEW: 900_000})
    skewed = replace(told(VerdictKind.SKEW), late=[late(0, 2)], what_if=what)
    graphs = finding(saving_is=SavingIs.AT_MOST)
    assert next_step(skewed, [graphs], "be faster").rest == "this includes the 100 µs that ranks 0 and 2 cost"
    # Not what is of those ranks themselves, or lets more batches run.
    for other in (
        replace(graphs, saving=100_000),
        replace(graphs, of_step=PERIOD),
        replace(graphs, saving_is=SavingIs.REPLAY),
    ):
        assert next_step(skewed, [other], "be faster").rest == ""


def test_of_one_of_several_late_ranks_it_is_said_what_all_save() -> None:
    what = WhatIf(PERIOD, {Scenario.NO_SKEW: 570_000})
    slow, second = late(1, saves=250_000), late(2, saves=180_000)
    skewed = replace(told(VerdictKind.SKEW), late=[slow, second], what_if=what)
    first = finding(saving=250_000, ranks=[1])
    other = finding(saving=180_000, ranks=[2], saving_is=SavingIs.AT_MOST)
    step = next_step(skewed, [first, other], "be faster")
    assert step.rest == "ranks 1 and 2 put right together save at most 430 µs a step (43.0 %)"
    sure = next_step(skewed, [first, replace(other, saving_is=SavingIs.REPLAY)], "be faster")
    assert sure.rest == "ranks 1 and 2 put right together save 430 µs a step (43.0 %)"
    assert next_step(replace(skewed, late=[slow]), [first], "be faster").rest == ""
    assert next_step(skewed, [replace(first, saving=430_000)], "be faster").rest == ""


def test_an_inconclusive_verdict_says_what_to_capture() -> None:
    inconclusive = told(VerdictKind.INCONCLUSIVE, cure="Capture it again")
    assert next_step(inconclusive, [finding()], "be faster").told == "Capture it again."
    blocks = Finding(RecordingFinding.GRAPH_LEVEL_TRACE, Severity.HIGH, "blocks", "", "capture by node")
    assert next_step(inconclusive, [finding(Severity.HIGH), blocks], "be faster").told == "Capture by node."


def test_more_batches_are_tokens_a_second() -> None:
    bubble = Finding(BubbleFinding.PIPELINE_BUBBLE, Severity.HIGH, "a bubble", "", "fill it", 200_000, of_step=PERIOD)
    assert gain(bubble, PERIOD) == "up to 1.25 times the tokens a second"
    step = next_step(told(VerdictKind.PIPELINE), [bubble], "be faster")
    assert step.saves == "that gives up to 1.25 times the tokens a second, though no token comes sooner"
    told_why = replace(bubble, basis="not more: the busiest rank needs 800 µs")
    saves = next_step(told(VerdictKind.PIPELINE), [told_why], "be faster").saves
    assert "a second, though no token comes sooner; not more: the busiest rank needs 800 µs" in saves
    assert "a second, though no token comes sooner; not more: the busiest rank needs 800 µs" in told_why.saves
    assert bubble.saves == "gives up to 1.25 times the tokens a second, though no token comes sooner"
    # Two batches of which the busiest rank works 800 each: both are there for as long.
    later = replace(bubble, in_flight=2)
    assert later.saves == "gives up to 1.25 times the tokens a second, though each token then takes 1,600 µs or more"
    assert replace(bubble, saving=PERIOD // 2, in_flight=2).later == "though no token comes sooner"


# ---- one story


def test_a_set_names_its_worst_rank_first() -> None:
    both, first, second = late(0, 1), replace(late(0), saves=60_000), replace(late(1), saves=0)
    assert led([both, first, second], both) == "rank 0, and less for rank 1"
    assert led([both, replace(first, saves=50_000), second], both) == "ranks 0 and 1"
    assert led([first], first) == "rank 0"


def test_late_hosts_and_slow_hosts_are_one_story() -> None:
    what = WhatIf(PERIOD, {Scenario.NO_SKEW: 600_000, Scenario.NO_HOST_LATE: 200_000, Scenario.GRAPHS: 100_000})
    one = late(2, saves=390_000)
    says = skew([one], 0, what, 11, host_paced=True)
    # Of one late rank, its own figure; what the rest would save is told with what to do.
    assert says == (
        "hosts bound the step, and unevenly: the others wait for rank 2, as its host launches late, which costs 39.0 % "
        "of the step; were all alike, hosts would still bound it"
    )
    assert skew_share([one, late(1)], what) == 0.4
    assert "bound" not in skew([one], 0, what, 11, host_paced=False)


def _plain(html: str) -> str:
    """What a page's first section says, as text."""
    section = html.partition('<section id="verdict">')[2].partition("</section>")[0]
    return unescape(re.sub(r"<[^>]+>", "", section)).replace("\xa0", " ")


NAMES = ("tp4_eager", "tp4_slow", "tp2_graph", "tp4_graph_node", "tp4_late1", "tp4_fused")


@pytest.mark.parametrize("name", NAMES)
def test_every_output_tells_the_same(reported: Callable[[str], Report], name: str) -> None:
    report = replace(reported(name), timelines=[])
    step, what = report.next_step, report.diagnosis.what_if
    assert what is not None
    page, markdown = _plain(to_html(report, "cdn")), to_markdown(report).replace("\\", "")
    for text in (page, markdown, to_text(report)):
        for part in (step.do, step.then, step.gains, step.basis, step.rest):
            assert part[1:] in text
        assert report.diagnosis.verdict.says in text
        # Nothing is lost by putting something right.
        assert not re.search(r"sav\w+,? (?:at \w+ )?-\d", text)
    assert not re.search(r" -\d", what_if_text(report))
    card = key_numbers(report)[2]
    if step.finding is None:
        assert (card.value, card.of.partition(":")[0]) == ("not known", "what there is to gain")
        assert card.of.partition(": ")[2] == step.gains.replace(" a step", "")
        return
    # Card, sentence and finding have one number; the card and the sentence its share.
    assert step.finding.saving is not None
    figure, share = rough(step.finding.saving), pct(step.finding.saving / what.period)
    assert figure in card.value
    assert share in card.value
    assert f"{figure} a step ({share})" in step.told
    assert figure in step.finding.saves
    assert f"({step.finding.saves})" in markdown


@pytest.mark.parametrize("name", ["tp4_eager", "tp4_slow", "tp4_late1"])
def test_one_loss_has_one_figure(reported: Callable[[str], Report], name: str) -> None:
    report = reported(name)
    (share,) = re.findall(r"which costs ([\d.]+ %)", report.diagnosis.verdict.says)
    bound = key_numbers(report)[1]
    # Where the hosts set the pace anyway, what that costs is a part of theirs.
    paced = name == "tp4_eager"
    assert (share if not paced else "100.0 %") == bound.value
    assert not paced or f"; {share} of a step is lost to waiting for ranks 0 to 2" in bound.of
    assert share in report.late_in_short()
    assert share in report.late_sentence()


def test_two_findings_of_one_id_have_a_place_each() -> None:
    one, other, last = finding(), finding(saving=1), finding(saving=2)
    assert [finding_anchor([one, other, last], each) for each in (one, other, last)] == [
        "finding-graphs_off",
        "finding-graphs_off-2",
        "finding-graphs_off-3",
    ]


def test_what_a_replay_tells_has_three_digits() -> None:
    told = (16_372_200, 929_300, 99_960, 22_700, 0, 1_234_567_000)
    assert [rough(ns) for ns in told] == ["16,400 µs", "929 µs", "100.0 µs", "22.7 µs", "0.0 µs", "1,230,000 µs"]


def test_ranks_that_differ_where_none_is_late() -> None:
    found = [Quality(Aspect.STRAGGLER, Status.OK, "no rank costs 3 %")]
    alike = told(VerdictKind.HOST)
    assert late_sentence(alike, found, PERIOD) == "nobody: no rank costs 3 %"
    unlike = replace(alike, what_if=WhatIf(PERIOD, {Scenario.NO_SKEW: 700_000}))
    assert late_sentence(unlike, found, PERIOD) == (
        "nobody by itself: no rank costs 3 %; but ranks differ, and all put right together save 300 µs a step (30.0 %)"
    )
