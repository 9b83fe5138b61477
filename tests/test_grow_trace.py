"""scripts/grow_trace.py: a grown trace has the figures of the one it was grown from, step by step, ns by ns."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

import nsysan
from nsysan.run.run import Run

SCRIPT = Path(__file__).parent.parent / "scripts" / "grow_trace.py"
NOT_FIGURES = ("step", "rank", "start_ns")
Rows = dict[tuple[int, int], dict[str, Any]]


@pytest.fixture(scope="module")
def grow_trace() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grow_trace", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["grow_trace"] = module
    spec.loader.exec_module(module)
    return module


def figures(run: Run) -> Rows:
    """The ledger by (step, rank), without what differs between a step and its repetition."""
    return {
        (row["step"], row["rank"]): {name: value for name, value in row.items() if name not in NOT_FIGURES}
        for row in run.ledger.iter_rows(named=True)
    }


def process_of_rank(run: Run) -> dict[int, int]:
    return {rank.rank: rank.process for rank in run.ranks}


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


@pytest.mark.parametrize("name", ["tp4_eager", "tp4_graph_node", "tp4_slow", "tp4_fused", "tp2_slow0"])
def test_every_step_has_the_figures_of_the_one_it_repeats(
    name: str, grow_trace: ModuleType, analyzed: Callable[[str], Run], real_trace: Callable[[str], Path], tmp_path: Path
) -> None:
    target = tmp_path / "grown.sqlite"
    grown = grow_trace.grow(real_trace(name), target, repeats=3)
    before, after = analyzed(name), nsysan.analyze(nsysan.open_trace(target))
    known, found = figures(before), figures(after)
    steps = before.windows["step"].n_unique()
    assert after.windows["step"].n_unique() == steps + 2 * (steps - 2)
    for (step, rank), row in found.items():
        expected = dict(known[grown.original(step), rank])
        if grown.at_joint(step):
            longer = grown.length - grown.spans[process_of_rank(after)[rank]]
            expected["period_ns"] += longer
            expected["idle_ns"] += longer
        # What is steady is a matter of all steps: the usual one of more steps may be another.
        expected["steady"] = row["steady"]
        assert row == expected, (step, rank)


def test_the_joint_is_no_longer_than_the_ranks_differ(
    grow_trace: ModuleType, real_trace: Callable[[str], Path], tmp_path: Path
) -> None:
    grown = grow_trace.grow(real_trace("tp4_graph_node"), tmp_path / "grown.sqlite", repeats=2)
    assert [grown.length - span for span in sorted(grown.spans.values())] == [377, 247, 206, 0]


def test_collectives_of_a_grown_graph_keep_their_bytes_and_match(
    grow_trace: ModuleType, analyzed: Callable[[str], Run], real_trace: Callable[[str], Path], tmp_path: Path
) -> None:
    target = tmp_path / "grown.sqlite"
    grow_trace.grow(real_trace("tp4_graph_node"), target, repeats=4)
    before, after = analyzed("tp4_graph_node").collectives, nsysan.analyze(nsysan.open_trace(target)).collectives
    assert len(after) == len(before) * (12 + 3 * 10) // 12
    assert after["verdict"].unique().to_list() == ["matched"]
    assert after["message_bytes"].unique().to_list() == [8192]


def test_ids_stay_unique_and_all_columns_are_there(
    grow_trace: ModuleType, real_trace: Callable[[str], Path], tmp_path: Path
) -> None:
    source, target = real_trace("tp4_eager"), tmp_path / "grown.sqlite"
    grow_trace.grow(source, target, repeats=3)
    twice = "SELECT globalTid >> 24, correlationId FROM CUPTI_ACTIVITY_KIND_RUNTIME GROUP BY 1, 2 HAVING count(*) > 1"
    assert query(target, twice) == []
    unlaunched = (
        "SELECT count(*) FROM CUPTI_ACTIVITY_KIND_KERNEL k WHERE NOT EXISTS (SELECT 1 FROM calls c "
        "WHERE c.process = k.globalPid AND c.correlation = k.correlationId AND c.start <= k.start)"
    )
    calls = (
        "WITH calls AS MATERIALIZED (SELECT globalTid & -16777216 AS process, correlationId AS correlation, start "
        "FROM CUPTI_ACTIVITY_KIND_RUNTIME ORDER BY 1, 2)"
    )
    assert query(target, f"{calls} {unlaunched}") == query(source, f"{calls} {unlaunched}")
    schema = "SELECT name, sql FROM sqlite_master ORDER BY name"
    assert query(target, schema) == query(source, schema)
    labels = "SELECT DISTINCT text FROM NVTX_EVENTS WHERE text LIKE 'decode_step_%'"
    assert {text for (text,) in query(target, labels)} == {f"decode_step_{i}" for i in range(12 + 2 * 10)}


def test_cloned_ranks_are_ranks_of_one_larger_communicator(
    grow_trace: ModuleType, analyzed: Callable[[str], Run], real_trace: Callable[[str], Path], tmp_path: Path
) -> None:
    target = tmp_path / "grown.sqlite"
    grow_trace.grow(real_trace("tp4_graph_node"), target, repeats=2, ranks=8)
    before, after = analyzed("tp4_graph_node"), nsysan.analyze(nsysan.open_trace(target))
    assert [(rank.rank, rank.device, rank.gpu) for rank in after.ranks] == [(i, i, i) for i in range(8)]
    assert {rank.source for rank in after.ranks} == {"NCCL CommInit"}
    assert len({rank.process for rank in after.ranks}) == 8
    assert after.size == 8
    assert after.collectives["verdict"].unique().to_list() == ["matched"]
    known, found = figures(before), figures(after)
    assert found[3, 6] == known[3, 2]


def test_a_size_is_met_and_rows_that_nobody_needs_change_no_figure(
    grow_trace: ModuleType, real_trace: Callable[[str], Path], tmp_path: Path
) -> None:
    plain, padded = tmp_path / "plain.sqlite", tmp_path / "padded.sqlite"
    grown = grow_trace.grow(real_trace("tp4_slow"), plain, size=8_000_000)
    grow_trace.grow(real_trace("tp4_slow"), padded, repeats=grown.repeats, metrics=10_001)
    assert plain.stat().st_size == pytest.approx(8_000_000, rel=0.1)
    rows = [query(padded, f"SELECT count(*) FROM {table}")[0][0] for table in ("GPU_METRICS", "OSRT_API")]
    assert rows == [5_000, 5_001]
    one, other = (nsysan.analyze(nsysan.open_trace(path)).ledger for path in (plain, padded))
    assert one.equals(other)


def test_a_source_without_step_ranges_is_refused(
    grow_trace: ModuleType, real_trace: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(grow_trace.GrowError, match="three or more NVTX ranges 'iteration_"):
        grow_trace.grow(real_trace("tp4_slow"), tmp_path / "grown.sqlite", steps="iteration_")
    with pytest.raises(grow_trace.GrowError, match="4 ranks; it can be grown to a multiple of that, not to 6"):
        grow_trace.grow(real_trace("tp4_slow"), tmp_path / "grown.sqlite", ranks=6)


def test_grown_from_a_packed_trace(grow_trace: ModuleType, tmp_path: Path) -> None:
    source = SCRIPT.parent.parent / "fixtures" / "tp2_graph.sqlite.xz"
    grow_trace.grow(source, tmp_path / "grown.sqlite", repeats=2)
    run = nsysan.analyze(nsysan.open_trace(tmp_path / "grown.sqlite"))
    assert run.windows.filter(pl.col("excluded").is_null())["step"].n_unique() == 21
