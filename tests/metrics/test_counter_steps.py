"""Sampled GPU counters step by step: on paper."""

from __future__ import annotations

from pathlib import Path

from nsysan.metrics.counters import STEP_FIGURES, Counter
from nsysan.report.terminal import to_text
from tests.documents import document_of
from tests.metrics.test_counters import (
    BEGIN,
    DRAM,
    LEVELS,
    PERIOD,
    STEPS,
    US,
    counter,
    quality,
    report_of,
    sampled,
    two_ranks,
)


def by_step(found: Counter) -> dict[int, tuple[object, ...]]:
    """Figures of each step, in the order of STEP_FIGURES."""
    return {row[0]: row[1:] for row in found.per_step.select("step", *STEP_FIGURES).iter_rows()}


def test_every_figure_of_every_step_on_paper(tmp_path: Path) -> None:
    builder = two_ranks()
    # Each step reads as many points more as its number says.
    rising = [(time, value + max(0, (time - BEGIN) // PERIOD)) for time, value in sampled(0, LEVELS)]
    builder.gpu_metric(1, DRAM, rising)
    builder.gpu_metric(0, DRAM, sampled(1, {**LEVELS, "compute": 60}))
    report = report_of(builder, tmp_path)

    found = counter(report, 0, "DRAM read")
    assert found.per_step.columns == ["step", "rank", "metric", "steady", *STEP_FIGURES]
    assert found.per_step["steady"].to_list() == [False] + [True] * (STEPS - 1)
    steps = by_step(found)
    # 10 samples of compute, 5 of waiting, 10 of transfer and 5 idle, of which the last step has none.
    for step in range(STEPS - 1):
        whole = round((10 * 80 + 10 * 10 + 5 * 2) / 30 + step, 3)
        inside, outside = round(10 * 10 / 15 + step, 3), round((10 * 80 + 5 * 2) / 15 + step, 3)
        assert steps[step] == (whole, 80 + step, 30, inside, 10 + step, 15, outside, 80 + step, 15), step
    assert steps[7] == (43.0, 87, 25, round(10 * 10 / 15 + 7, 3), 17, 15, 87.0, 87, 10)
    # Rank 1 computes for 15 samples and never waits.
    assert by_step(counter(report, 1, "DRAM read"))[3] == (33.667, 60, 30, 10.0, 10, 10, 45.5, 60, 20)


def test_a_step_has_the_samples_that_are_mostly_in_it(tmp_path: Path) -> None:
    """Every 4 ms over steps of 3: one sample is mostly in step 1, the next half in each of two."""
    builder = two_ranks()
    times = range(0, BEGIN + STEPS * PERIOD + 8_000 * US, 4_000 * US)
    builder.gpu_metric(1, DRAM, [(time, 10 + number) for number, time in enumerate(times)])
    report = report_of(builder, tmp_path)
    steps = by_step(counter(report, 0, "DRAM read"))
    nothing = (None, None, 0)
    assert steps[0][:3] == (10.0, 10, 1)
    assert steps[1][:3] == (11.0, 11, 1)
    assert steps[2][:3] == steps[3][:3] == nothing
    assert steps[4][:3] == (13.0, 13, 1)
    # None is wholly in a collective or wholly outside.
    assert {figures[3:] for figures in steps.values()} == {nothing + nothing}
    status, reason = quality(report)["counters"]
    assert status == "estimated"
    assert "; of 7 steps of one rank each, 4 without a sample; nsys keeps" in reason


def test_a_sample_within_a_collective_weighs_by_its_time(tmp_path: Path) -> None:
    """250 us apart: samples of 1,000 to 1,500 and to 2,500 us are inside, those to 1,000 and beyond outside."""
    builder = two_ranks()
    builder.gpu_metric(1, DRAM, sampled(0, LEVELS, every=250 * US))
    steps = by_step(counter(report_of(builder, tmp_path), 0, "DRAM read"))
    assert steps[2] == (30.333, 80, 12, 6.667, 10, 6, 54.0, 80, 6)


def test_the_documents_figures_of_steps(tmp_path: Path) -> None:
    builder = two_ranks()
    builder.gpu_metric(1, DRAM, sampled(0, LEVELS))
    report = report_of(builder, tmp_path)
    (row,) = document_of(report)["counters"]
    assert row["per_step"][6] == {
        "step": 6,
        "steady": True,
        "mean": 30.333,
        "peak": 80,
        "samples": 30,
        "in_collectives_mean": 6.667,
        "in_collectives_peak": 10,
        "in_collectives_samples": 15,
        "outside_mean": 54.0,
        "outside_peak": 80,
        "outside_samples": 15,
    }
    assert len(row["per_step"]) == STEPS
    # 30.3 in each step, and 36 in the last: less than a fifth apart.
    assert "means of single steps" not in to_text(report)


def test_the_summary_tells_inside_from_outside_and_uneven_steps(tmp_path: Path) -> None:
    builder = two_ranks()
    levels = [(time, value if time < BEGIN + 5 * PERIOD else value // 2) for time, value in sampled(0, LEVELS)]
    builder.gpu_metric(1, DRAM, levels)
    text = to_text(report_of(builder, tmp_path))
    assert "\n          in collectives and outside: DRAM read 5.2 % (peak 10) and 44.5 % (peak 80)\n" in text
    # From step 5 on half: (10 * 40 + 10 * 5 + 5 * 1) / 30, and above 18 in the last step, which has no idle time.
    assert "\n          means of single steps: DRAM read 15.2 to 30.3 %\n" in text
