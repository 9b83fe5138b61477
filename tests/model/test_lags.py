"""Which step of a stage is which of another's, where a window opens and closes in the middle of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import nsysan
from nsysan.model.steps.lags import lag_by_names
from tests.pipelines import pipeline
from tests.tracebuilder import TraceBuilder

#: A step of stage 1 begins 78 % of a step after that of stage 0: by time that is nearer to the next.
COMPUTES = [250_000, 60_000]
PERIOD = 250_000 + 60_000 + 2 * 8_000 + 4_000 + 6_000 + 10_000


def window(builder: TraceBuilder, path: Path, opens: int, closes: int) -> nsysan.Run:
    """What a capture has that opens and closes so, ns."""
    whole = builder.write(path)
    with closing(sqlite3.connect(whole)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table.startswith(("CUPTI_ACTIVITY_KIND", "NVTX_EVENTS")):
                database.execute(f'DELETE FROM "{table}" WHERE start < ? OR start > ?', (opens, closes))
    return nsysan.analyze(whole)


def test_names_tell_where_they_differ() -> None:
    first = ["prefill", "decode", "decode", "mixed", "decode"]
    assert lag_by_names(first[1:], first, range(-2, 3)) == 1
    assert lag_by_names(first, first[1:], range(-2, 3)) == -1
    assert lag_by_names(first[1:3], first[1:3], range(-2, 3)) is None
    assert lag_by_names(["decode", "prefill"], first, range(2)) is None


# Stage 1 works once stage 0 has computed, reduced and sent; it waits for that from 10 before the step on.
@pytest.mark.parametrize(("claimed", "later"), [(False, 262_000), (True, -10_000)])
@pytest.mark.parametrize(("opens", "closes"), [(0.0, 9.5), (2.5, 9.5), (2.9, 9.1), (2.1, 9.9)])
def test_a_window_that_opens_and_closes_within_steps(
    tmp_path: Path, opens: float, closes: float, claimed: bool, later: int
) -> None:
    builder = pipeline(COMPUTES, tensor=2, steps=12, claimed=claimed, names=lambda _: "decode_step")
    begin = 1_000_000
    run = window(builder, tmp_path / "t.sqlite", begin + int(opens * PERIOD), begin + int(closes * PERIOD))
    steps = run.windows.filter(run.windows["excluded"].is_null())
    begins = steps.pivot("rank", index="step", values="begin").drop_nulls()
    for stage_0, stage_1 in (("0", "2"), ("1", "3")):
        assert (begins[stage_1] - begins[stage_0]).unique().to_list() == [later]
    assert len(begins) >= 4
