"""Late ranks in kinds of decode steps that the report does not head with (tests.smallserver)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import nsysan
from nsysan.check.judge import check
from nsysan.check.rules import parse_rule
from nsysan.report.build import build_report
from nsysan.report.read_back import report_document
from tests.copies import changed
from tests.documents import document_of
from tests.replay.test_small_servers import reduced, takes
from tests.smallserver import Op, Part, Run, run, write

STEPS = 60
#: Steps of a batch of 4, which are 35 % of all; the others are of 32.
SMALL = [random.Random(step).random() < 0.35 for step in range(STEPS)]


def server(slower: int) -> Run:
    """Rank 2 computes longer in the small batches."""
    ops: list[Op] = []
    for layer in range(6):

        def compute(rank: int, step: int) -> int:
            return 25_000 + slower * (rank == 2) if SMALL[step] else 40_000

        ops += [Op(f"compute{layer}", takes(0, compute)), reduced(f"sum{layer}")]
    return run([Part(takes(10_000), ops, graph=True)], 4, STEPS)


def written(folder: Path, done: Run) -> Path:
    """With the ranges of vLLM, which tell the batch."""
    path = write(folder / "t.sqlite", done)
    for step, small in enumerate(SMALL):
        batch = 4 if small else 32
        name = f"execute_context_0(0)_generation_{batch}({batch})"
        changed(path, f"UPDATE NVTX_EVENTS SET text = '{name}' WHERE text = 'decode_step_{step}'")
    return path


def test_who_is_late_in_another_kind_of_steps_is_told(tmp_path: Path) -> None:
    report = build_report(nsysan.analyze(written(tmp_path, server(25_000))), "0", timelines=False)
    assert report.diagnosis.late == []
    (kind,) = report.diagnosis.others
    assert kind.id == "decode_4"
    (late,) = kind.diagnosis.late
    assert late.ranks == (2,)
    # Of each such step, of which there are six layers.
    assert late.saves == pytest.approx(6 * 25_000, rel=0.01)
    sentence = report.late_sentence()
    assert sentence.startswith("nobody")
    assert "in steps of decode_4" in sentence
    assert "rank 2: it computes longer" in sentence
    (finding,) = (one for one in report.findings if one.id == "late_in_other_steps")
    assert finding.ranks == [2]
    assert "--population decode_4" in finding.fix
    # Of the mean over all decode steps, as 35 % of them are such.
    now, right = server(25_000), server(0)
    lost = now.period(of_mean=True) - right.period(of_mean=True)
    assert finding.saving == pytest.approx(lost, rel=0.05)
    assert finding.of == pytest.approx(now.period(of_mean=True), rel=0.02)
    told = {one["id"]: one["late"] for one in document_of(report)["populations"]}
    assert told["decode_32"] is None
    assert [one["ranks"] for one in told["decode_4"]] == [[2]]


def test_balanced_kinds_have_nobody_late(tmp_path: Path) -> None:
    report = build_report(nsysan.analyze(written(tmp_path, server(0))), "0", timelines=False)
    assert [(kind.id, kind.diagnosis.late) for kind in report.diagnosis.others] == [("decode_4", [])]
    assert "in steps of" not in report.late_sentence()
    assert "late_in_other_steps" not in {one.id for one in report.findings}


@pytest.mark.parametrize(("at", "decodes"), [(range(30, 48), True), ((10, 20, 30), False)])
def test_more_requests_make_longer_decode_steps(tmp_path: Path, at: Sequence[int], decodes: bool) -> None:
    """2.3 times the compute in steps whose ranges say that they decode: on end, or (a prefill) now and then."""
    ops: list[Op] = []
    for layer in range(6):
        ops += [Op(f"{layer}", takes(20_000, lambda _, step: 26_000 if step in at else 0)), reduced(f"sum{layer}")]
    run_ = nsysan.analyze(write(tmp_path / "t.sqlite", run([Part(takes(10_000), ops)], 4, 48)))
    longer = next(one for one in run_.steps.populations if set(one.steps) == set(at))
    assert longer.kind.value == ("decode" if decodes else "prefill")


@pytest.mark.parametrize(
    ("slower", "verdict", "says"), [(25_000, "fail", "in steps of decode_4, rank 2"), (0, "pass", "")]
)
def test_check_asks_all_kinds(tmp_path: Path, slower: int, verdict: str, says: str) -> None:
    report = build_report(nsysan.analyze(written(tmp_path, server(slower))), "0", timelines=False)
    outcome = check(parse_rule("straggler"), report_document(document_of(report), "r.json"), None)
    assert outcome.verdict == verdict
    assert says in outcome.what
