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
from nsysan.model.narrow import WHOLE, Narrow
from tests.clitools import paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]
Real = Callable[[str], Path]


def ledger(path: Path, narrow: Narrow = WHOLE) -> pl.DataFrame:
    return nsysan.analyze(nsysan.open_trace(path), narrow=narrow).ledger.drop("steady")


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_graph_node", "tp4_fused"])
def test_chosen_steps_are_those_of_the_whole(real_trace: Real, name: str) -> None:
    path = real_trace(name)
    whole, part = ledger(path), ledger(path, Narrow(steps=(3, 6)))
    assert part["step"].unique().sort().to_list() == [3, 4, 5, 6]
    assert part.equals(whole.filter(pl.col("step").is_between(3, 6)))


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_eager"])
def test_idle_time_of_chosen_steps_is_that_of_the_whole(real_trace: Real, name: str) -> None:
    runs = [nsysan.analyze(real_trace(name), narrow=narrow) for narrow in (WHOLE, Narrow(steps=(3, 6)))]
    whole, part = (run.gaps.filter(pl.col("step").is_between(3, 6)) for run in runs)
    assert part.equals(whole)


def test_only_the_chosen_steps_are_kept(real_trace: Real) -> None:
    run = nsysan.analyze(nsysan.open_trace(real_trace("tp4_slow")), narrow=Narrow(steps=(5, 5)))
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
    part = nsysan.analyze(nsysan.open_trace(path), narrow=Narrow(begin=middle[0], end=middle[1]))
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
        nsysan.analyze(nsysan.open_trace(real_trace("tp2_graph")), narrow=Narrow(steps=(99, 99)))
