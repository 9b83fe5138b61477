"""A part of a run has the figures that it has in the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.cli.options import steps_of
from nsysan.model.selection import WHOLE, Selection
from tests.clitools import paper_trace, run_cli
from tests.tracebuilder import COMPUTE_KERNEL, TraceBuilder

Capsys = pytest.CaptureFixture[str]
Real = Callable[[str], Path]


def ledger(path: Path, selection: Selection = WHOLE) -> pl.DataFrame:
    return nsysan.analyze(nsysan.open_trace(path), selection=selection).ledger.drop("steady")


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_graph_node", "tp4_fused"])
def test_chosen_steps_are_those_of_the_whole(real_trace: Real, name: str) -> None:
    path = real_trace(name)
    whole, part = ledger(path), ledger(path, Selection(steps=(3, 6)))
    assert part["step"].unique().sort().to_list() == [3, 4, 5, 6]
    assert part.equals(whole.filter(pl.col("step").is_between(3, 6)))


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_eager"])
def test_idle_time_of_chosen_steps_is_that_of_the_whole(real_trace: Real, name: str) -> None:
    runs = [nsysan.analyze(real_trace(name), selection=selection) for selection in (WHOLE, Selection(steps=(3, 6)))]
    whole, part = (run.gaps.filter(pl.col("step").is_between(3, 6)) for run in runs)
    assert part.equals(whole)


def test_only_the_chosen_steps_are_kept(real_trace: Real) -> None:
    run = nsysan.analyze(nsysan.open_trace(real_trace("tp4_slow")), selection=Selection(steps=(5, 5)))
    assert run.steady_steps == [5]
    assert len(run.work) < 1_500
    assert "steps 5 to 5 of 12, as asked for" in run.steps.notes


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_eager"])
def test_steps_between_two_times_are_those_of_the_whole(real_trace: Real, name: str) -> None:
    path = real_trace(name)
    run = nsysan.analyze(nsysan.open_trace(path))
    begins = run.windows.group_by("step").agg(pl.min("begin")).sort("step")["begin"]
    # From the middle of step 2 to the middle of step 9: steps 3 to 7 are whole, and end where the next begins.
    middle = [(begins[i] + begins[i + 1]) // 2 for i in (2, 9)]
    part = nsysan.analyze(nsysan.open_trace(path), selection=Selection(begin=middle[0], end=middle[1]))
    assert part.work["start"].min() >= middle[0]
    assert part.work["start"].max() < middle[1]
    columns = [name for name in run.ledger.columns if name not in ("step", "steady")]
    inner = part.ledger.filter(pl.col("start_ns").is_in(run.ledger["start_ns"].implode()))
    assert inner.select(pl.n_unique("step")).item() >= 6
    both = inner.join(run.ledger, on=["rank", "start_ns"], suffix="_whole")
    whole = both.filter(pl.col("step") < part.ledger["step"].max())
    for column in columns[2:]:
        assert whole[column].to_list() == whole[f"{column}_whole"].to_list(), column
    assert not part.windows.filter(pl.col("step") == part.windows["step"].max())["excluded"].null_count()


def test_nothing_between_two_times_is_said(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--from", "100s", "--json", "-")
    assert result.code == ExitCode.NOTHING_TO_ANALYSE
    assert result.err.count("\n") == 1


def test_ranks_are_shown_alone_and_judged_among_all(real_trace: Real, capsys: Capsys) -> None:
    path = real_trace("tp4_slow")
    whole = json.loads(run_cli(capsys, "report", path, "--json", "-", "-q").out)
    part = json.loads(run_cli(capsys, "report", path, "--ranks", "0,3", "--json", "-", "-q").out)
    assert [rank["rank"] for rank in part["ranks"]] == [0, 3]
    assert part["per_rank"] == [row for row in whole["per_rank"] if row["rank"] in (0, 3)]
    assert part["per_step"] == [row for row in whole["per_step"] if row["rank"] in (0, 3)]
    assert part["gaps"] == [row for row in whole["gaps"] if row["rank"] in (0, 3)]
    # Rank 2 is late, whether it is shown or not.
    assert part["straggler"] == whole["straggler"]
    assert part["verdict"] == whole["verdict"]


def test_page_of_some_ranks(real_trace: Real, capsys: Capsys, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    result = run_cli(capsys, "report", real_trace("tp4_slow"), "--ranks", "1", "--steps", "2:8", "-o", page)
    assert result.code == 0
    assert page.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--ranks", "7"), ExitCode.NOTHING_TO_ANALYSE),
        (("--ranks", "x"), 2),
        (("--ranks", ""), 2),
        (("--steps", "90:95"), ExitCode.NO_STEPS),
        (("--steps", "5:3"), 2),
        (("--steps", "1:2", "--steps", "3:4"), 2),
        (("--from", "soon"), 2),
        (("--to", "1e99s"), 2),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, capsys: Capsys, arguments: tuple[str, ...], code: int) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), *arguments, "--json", "-")
    assert result.code == code, result.err
    assert "Traceback" not in result.err


def test_steps_take_a_pattern_and_numbers() -> None:
    assert steps_of(()) == (None, None)
    assert steps_of(("^decode",)) == ("^decode", None)
    assert steps_of(("10:20", "^decode")) == ("^decode", (10, 20))
    assert steps_of(("7",)) == (None, (7, 7))


def test_unknown_rank_of_a_report_is_an_error(real_trace: Real, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", real_trace("tp2_graph"), "--ranks", "0,9", "--json", "-")
    assert (result.code, result.err) == (8, "nsysan: --ranks: no rank 9 here; there are 0, 1\n")
    with pytest.raises(NsysanError, match="no step 99:99"):
        nsysan.analyze(nsysan.open_trace(real_trace("tp2_graph")), selection=Selection(steps=(99, 99)))


def test_times_of_several_reports_are_those_of_the_first(real_trace: Real) -> None:
    paths = [real_trace(f"rank_{n}") for n in range(4)]
    whole = nsysan.analyze(paths)
    # Their sessions started up to half a second apart, which is as long as the whole decode loop.
    begins = whole.windows.filter(pl.col("rank") == 0).sort("step")["begin"]
    part = nsysan.analyze(paths, selection=Selection(begin=begins[2] + 1_000, end=begins[9] + 1_000))
    assert not part.failures
    assert len(part.ranks) == 4
    # By name: a clock made of fewer collectives may differ by some ns.
    named = [run.ledger.join(run.windows.select("step", "rank", "label"), on=["step", "rank"]) for run in (part, whole)]
    both = named[0].filter("steady").join(named[1], on=["rank", "label"], suffix="_whole")
    assert len(both) == part.ledger["steady"].sum() >= 4 * 4
    assert both["period_ns"].to_list() == both["period_ns_whole"].to_list()
    assert any("of the session" in note for note in part.steps.notes)


def test_steps_at_a_cut_say_so_and_the_next_counts(real_trace: Real) -> None:
    path = real_trace("tp4_slow")
    whole = nsysan.analyze(path)
    begins = whole.windows.group_by("step").agg(pl.min("begin"), last=pl.max("begin")).sort("step")
    # Rank by rank the end falls into another step.
    cut = (begins["begin"][9] + begins["last"][9]) // 2
    part = nsysan.analyze(path, selection=Selection(begin=begins["begin"][3] + 50_000, end=cut))
    reasons = dict(part.windows.filter(pl.col("excluded").is_not_null()).select("step", "excluded").iter_rows())
    assert set(reasons.values()) == {"may be cut by --from", "may be cut by --to"}
    steady = part.ledger.filter("steady").join(whole.ledger, on=["rank", "start_ns"], suffix="_whole")
    assert len(steady) == part.ledger["steady"].sum() > 0
    assert steady["period_ns"].to_list() == steady["period_ns_whole"].to_list()


def test_an_empty_time_names_the_trace_s(real_trace: Real, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", real_trace("tp4_slow"), "--from", "100s", "--json", "-")
    assert result.code == ExitCode.NOTHING_TO_ANALYSE
    assert "no GPU work from 100 s; the trace has it from " in result.err
    for times in (("--from", "2s", "--to", "1s"), ("--from", "-1s"), ("--to", "0")):
        assert run_cli(capsys, "report", real_trace("tp4_slow"), *times, "--json", "-").code == 2


def test_one_step_tells_nothing_of_whether_it_is_always_so(real_trace: Real, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", real_trace("tp4_slow"), "--steps", "5", "--ranks", "0,3", "--json", "-")
    told = json.loads(result.out)
    assert "now one and now another" not in json.dumps(told["verdict"])
    assert {row["id"]: row["status"] for row in told["quality"]}["straggler"] == "not_measurable"
    assert "ranks 0 and 3 of 4 shown, as asked for" in json.dumps(told["quality"])


@pytest.mark.parametrize("reports", [1, 2])
def test_a_rank_without_the_chosen_steps_is_left_out(tmp_path: Path, reports: int) -> None:
    builders = [TraceBuilder() for _ in range(reports)]
    for rank, steps in enumerate((8, 4)):
        process = builders[rank % reports].process(100 + rank)
        for step in range(steps):
            at = 1_000_000 + 100_000 * step
            process.nvtx(f"decode_step_{step}", at - 20_000, at + 30_000)
            process.kernel(COMPUTE_KERNEL, at, at + 40_000)
    paths = [builder.write(tmp_path / f"{n}.sqlite") for n, builder in enumerate(builders)]
    run = nsysan.analyze(paths, selection=Selection(steps=(5, 7)))
    assert run.ledger.select("step", "rank").rows() == [(5, 0), (6, 0), (7, 0)]
    assert set(run.gaps["step"]) == {5, 6}
    assert run.tally.operations > 0
