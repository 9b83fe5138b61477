"""Sides whose ranks work on several batches: what is compared is all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.compare.as_text import to_text
from nsysan.compare.changes import compare
from nsysan.compare.compared_run import compared_run
from nsysan.compare.comparison import Comparison
from tests.diagnosis.test_uneven_load import written
from tests.tracebuilder import TraceBuilder, decode_loop


def compared(folder: Path, first: tuple[int, int], second: tuple[int, int]) -> Comparison:
    sides = []
    for name, sequences in (("A", first), ("B", second)):
        path = written(folder / f"{name}.sqlite", sequences)
        sides.append(compared_run(name, nsysan.analyze(path), "0"))
    return compare(sides, "0")


def test_spreading_sequences_evenly_is_the_same_work(tmp_path: Path) -> None:
    """20 sequences a step before and after, 120 us and 90 us."""
    found = compared(tmp_path, (16, 4), (10, 10))
    assert found.figure("throughput.tokens").values == [pytest.approx(20e9 / 120_000), pytest.approx(20e9 / 90_000)]
    text = to_text(found)
    assert "B is faster by 30.0 µs a token (-25.0 %): waiting for ranks 0 and 1 shrank by 30.0 µs" in text
    assert "batch 20 in all" in text
    assert "ranks 0 and 1 late by 60.0 µs (compute)" in text


def test_fewer_sequences_in_all_are_another_batch(tmp_path: Path) -> None:
    assert "another batch: A 16 in all, B 20 in all" in to_text(compared(tmp_path, (8, 8), (10, 10)))


def test_late_ranks_that_change_places_are_told(tmp_path: Path) -> None:
    text = to_text(compared(tmp_path, (16, 4), (4, 16)))
    assert "nothing in the step differs" not in text
    assert "late now ranks 2 and 3, before ranks 0 and 1" in text


def test_which_replica_is_compared_is_said(tmp_path: Path) -> None:
    sides = []
    for name in "AB":
        builder = TraceBuilder()
        decode_loop(builder, ranks=2, steps=12, first_pid=1_000, comm=0x11)
        decode_loop(builder, ranks=2, steps=12, compute_ns=20_000, first_pid=2_000, comm=0x22)
        sides.append(compared_run(name, nsysan.analyze(builder.write(tmp_path / f"{name}.sqlite")), "0"))
    assert "A has 2 replicas: replica 1 (ranks 2 and 3) is compared" in to_text(compare(sides, "0"))
