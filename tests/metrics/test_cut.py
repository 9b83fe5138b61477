"""The cut at the last arrival, on paper and on whatever operations there are."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from nsysan.metrics.cut import Cut, cut_at_arrival, cut_by_kind, line_names
from nsysan.metrics.lines import AFTER, BEFORE, WHOLE
from nsysan.model.classes import COMMUNICATION, WorkClass

Row = tuple[str, int, int, int | None]
SCHEMA = {"cls": pl.String, "begin": pl.Int64, "end": pl.Int64, "last": pl.Int64}


def cut(*rows: Row) -> tuple[Cut, pl.DataFrame]:
    work = pl.DataFrame(list(rows), schema=SCHEMA, orient="row").with_row_index("row")
    return cut_at_arrival(work), work


def parts(*rows: Row) -> list[tuple[int, int, int, str]]:
    found, work = cut(*rows)
    pieces = found.parts(work, ("row",))
    return list(pieces.with_columns(line=line_names(pieces["line"])).sort("row", "begin").iter_rows())


def test_a_matched_call_waits_until_the_last_arrival_and_then_moves_data() -> None:
    assert parts((WorkClass.COLLECTIVE, 10, 50, 30)) == [(0, 10, 30, "wait"), (0, 30, 50, "wire")]
    assert parts((WorkClass.P2P, 10, 50, 30)) == [(0, 10, 30, "wait"), (0, 30, 50, "wire")]
    assert parts((WorkClass.FUSED, 10, 50, 30)) == [(0, 10, 30, "wait"), (0, 30, 50, "fused")]


def test_what_has_no_last_arrival_is_whole() -> None:
    rows = [(cls, 10 * n, 10 * n + 5, None) for n, cls in enumerate(WorkClass)]
    assert parts(*rows) == [(n, 10 * n, 10 * n + 5, WHOLE[cls]) for n, cls in enumerate(WorkClass)]
    assert {WHOLE[cls] for cls in COMMUNICATION} == {"comm_unsplit"}


def test_a_class_of_no_line_claims_nothing() -> None:
    assert parts(("none of ours", 0, 9, None), (WorkClass.COPY, 1, 2, None)) == [(1, 1, 2, "copy")]


def test_lengths_are_of_matched_calls_alone() -> None:
    found, _ = cut((WorkClass.COMPUTE, 0, 9, None), (WorkClass.COLLECTIVE, 10, 50, 30), (WorkClass.FUSED, 5, 8, None))
    waited, moved = found.lengths()
    assert waited.to_list() == [None, 20, None]
    assert moved.to_list() == [None, 20, None]
    assert [len(column) for column in cut()[0].lengths()] == [0, 0]


@st.composite
def operation(draw: st.DrawFn) -> Row:
    cls = draw(st.sampled_from(list(WorkClass)))
    times = sorted(draw(st.lists(st.integers(-(1 << 61), 1 << 61), min_size=3, max_size=3)))
    is_matched = cls in COMMUNICATION and draw(st.booleans())
    return cls, times[0], times[2], times[1] if is_matched else None


@given(st.lists(operation(), max_size=12))
def test_parts_tile_each_operation_and_lengths_are_theirs(rows: list[Row]) -> None:
    found, work = cut(*rows)
    kinds = pl.Series([str(cls) for cls in WorkClass])
    kind = pl.Series([list(WorkClass).index(WorkClass(cls)) for cls, *_ in rows], dtype=pl.UInt32)
    by_kind = cut_by_kind(work.with_columns(kind=kind), kinds)
    assert [list(column) for column in found] == [list(column) for column in by_kind]
    pieces = found.parts(work, ("row", "cls"))
    assert len(pieces) == len(rows) + sum(last is not None for *_, last in rows)
    waited, moved = found.lengths()
    for (number, _), own in pieces.partition_by("row", "cls", as_dict=True, maintain_order=True).items():
        cls, begin, end, last = rows[int(str(number))]
        lines = line_names(own["line"]).to_list()
        assert lines == ([WHOLE[WorkClass(cls)]] if last is None else [BEFORE[WorkClass(cls)], AFTER[WorkClass(cls)]])
        assert [own["begin"][0], *own["end"]] == ([begin, end] if last is None else [begin, last, end])
        assert (waited[int(str(number))], moved[int(str(number))]) == (
            (None, None) if last is None else (last - begin, end - last)
        )
