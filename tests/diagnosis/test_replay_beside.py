"""When a replay is begun beside the rest of a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.paced import Told, pacing
from nsysan.run.run import Run
from nsysan.run.trace_set import LocalTraces
from tests.clitools import paper_trace


class _Elsewhere(LocalTraces):
    is_local = False


def few(run: Run) -> Run:
    return run


def many(run: Run) -> Run:
    return replace(run, names=run.names.with_columns(n=pl.lit(1_000_001, dtype=pl.Int64)))


def elsewhere(run: Run) -> Run:
    return replace(run, trace_set=_Elsewhere())


@pytest.mark.parametrize(("of", "begun"), [(few, True), (many, False), (elsewhere, False)])
def test_a_replay_of_few_operations_held_here_is_begun_at_once(
    tmp_path: Path, of: Callable[[Run], Run], begun: bool
) -> None:
    run = of(nsysan.analyze(paper_trace(tmp_path / "t.sqlite")))
    asked: list[Told] = []

    def begin(told: Told) -> Told:
        asked.append(told)
        return told

    found = pacing(run, None, begin)
    assert (found.run is run, found.told in asked) == (True, begun)
