"""Operations held in few bytes, and the frames made of them: any rows, any columns, any part of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.model import load
from nsysan.model.classes import COMMUNICATION, load_catalogue
from nsysan.model.load import load_operations
from nsysan.model.operations import OPERATION
from nsysan.model.selection import Selection
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from tests.tracebuilder import TraceBuilder, decode_loop

Analyze = Callable[[str], Run]
NAMES = (
    "row",
    "rank",
    "begin",
    "end",
    "trimmed",
    "name",
    "cls",
    "stream",
    "launch_start",
    "step",
    "last",
    "message_bytes",
)


def part_of(run: Run) -> PlacedTrace:
    (placed,) = run.ask(_itself)
    return placed


def _itself(placed: PlacedTrace) -> PlacedTrace:
    return placed


@pytest.mark.parametrize("name", ["tp4_overlap", "tp4_graph_node", "tp4_symm"])
def test_rows_and_columns_are_those_of_the_whole(analyzed: Analyze, name: str) -> None:
    placed = part_of(analyzed(name))
    for rank in placed.ranks:
        whole = placed.frame(NAMES, rank)
        assert whole.equals(placed.work.filter(pl.col("rank") == rank).select(NAMES))
        at = np.random.default_rng(rank).integers(0, len(whole), 500)
        assert placed.frame(NAMES, rank, at=at).equals(whole[at])
        calls = placed.frame(NAMES, rank, where=COMMUNICATION)
        assert calls.equals(whole.filter(pl.col("cls").is_in(list(map(str, COMMUNICATION)))))
        assert len(calls) > 100


@pytest.mark.parametrize("name", ["tp4_overlap", "tp4_graph_graph"])
def test_owners_lie_one_behind_the_other(real_trace: Callable[[str], Path], name: str) -> None:
    work = load_operations(nsysan.open_trace(real_trace(name)), load_catalogue())
    whole = work.frame(OPERATION)
    assert whole.schema == OPERATION
    assert whole["row"].to_list() == list(range(len(work)))
    assert whole.equals(pl.concat([work.frame(OPERATION, key) for key in work.keys]))
    assert whole.equals(whole.sort("process", "device", "start", "end"))
    assert whole.select("rank_key", "process", "device").unique().height == len(work.owners)


def test_steps_asked_for_keep_what_can_matter_to_them(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, steps=6)
    trace = nsysan.open_trace(builder.write(tmp_path / "t.sqlite"))
    placed = part_of(nsysan.analyze(trace, selection=Selection(steps=(2, 3))))
    whole = part_of(nsysan.analyze(nsysan.open_trace(trace.path)))
    for rank in placed.ranks:
        few, many = placed.frame(NAMES, rank), whole.frame(NAMES, rank)
        assert 0 < len(few) < len(many)
        assert set(few["step"].drop_nulls()) == {2, 3}
        assert few.filter(pl.col("step").is_not_null()).equals(many.filter(pl.col("step").is_in([2, 3])))


def test_calls_are_found_by_search_where_their_numbers_are_far_apart(
    real_trace: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = real_trace("tp4_eager")
    told = ("row", "thread", "launch_start", "launch_end", "launch")
    by_table = load_operations(nsysan.open_trace(path), load_catalogue()).frame(told)
    monkeypatch.setattr(load, "_PLACES_A_CALL", 0)
    monkeypatch.setattr(load, "_PLACES", 0)
    assert load_operations(nsysan.open_trace(path), load_catalogue()).frame(told).equals(by_table)
    assert by_table["launch_start"].null_count() < len(by_table)
