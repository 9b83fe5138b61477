"""Traces of one run by the hundred: what a trace is told is its own, and no more than can be numbered are taken."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from nsysan import ExitCode, NsysanError
from nsysan.columns.rows import parted
from nsysan.run import merge as merging
from nsysan.run.analyze import analyze
from tests.tracebuilder import TraceBuilder, decode_loop


def test_rows_are_parted_by_a_number_in_their_order() -> None:
    frame = pl.DataFrame({"trace": [2, 0, 2, 0], "row": [1, 2, 3, 4]})
    assert {trace: own["row"].to_list() for trace, own in parted(frame, "trace").items()} == {2: [1, 3], 0: [2, 4]}
    assert parted(frame[:0], "trace") == {}


def test_more_operations_than_have_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, steps=2)
    path = builder.write(tmp_path / "t.sqlite")
    rows = len(analyze(path).work)
    monkeypatch.setattr(merging, "MOST_ROWS", rows - 1)
    with pytest.raises(NsysanError, match=f"{rows} GPU operations in all, of which {rows - 1} have numbers") as error:
        analyze(path)
    assert error.value.exit_code == ExitCode.SYSTEM
