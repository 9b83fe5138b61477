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
