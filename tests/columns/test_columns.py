"""Columns in few bytes: numbers for values, parts of a table put together, and whole tables in large and small."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsysan.columns import codes as coding
from nsysan.columns.chunks import Chunks, fitted
from nsysan.columns.codes import codes, looked_up, numbered, occurrences
from nsysan.columns.grouped import summed
from nsysan.columns.rows import filled, none_if_negative, ordered, repeated, taken
from nsysan.columns.times import in_any

I64, I32, BYTES = pl.Int64(), pl.Int32(), pl.Binary()
#: Few values, near each other and far apart, as ids of threads are.
VALUES = st.one_of(st.none(), st.sampled_from([0, 1, 5, -3, 70_000, 2**40, -(2**62)]))
ROWS = st.lists(st.tuples(VALUES, VALUES, st.sampled_from(["a", "b", None])), max_size=40)


def columns_of(rows: list[tuple[int | None, int | None, str | None]]) -> list[pl.Series]:
    one, two, text = zip(*rows, strict=True) if rows else ((), (), ())
    return [pl.Series("one", one, I64), pl.Series("two", two, I64), pl.Series("text", text, pl.Categorical())]


@pytest.mark.parametrize("table", [coding._TABLE, 4])
@given(rows=ROWS)
def test_codes_name_each_distinct_row_once(table: int, rows: list[tuple[int | None, int | None, str | None]]) -> None:
    before, coding._TABLE = coding._TABLE, table
    try:
        number, distinct = codes(columns_of(rows))
    finally:
        coding._TABLE = before
    told = distinct.with_columns(pl.col("text").cast(pl.String)).rows()
    assert [told[n] for n in number] == rows
    assert sorted(set(number.tolist())) == list(range(len(set(rows)))) == list(range(len(told)))


@given(
    known=st.lists(st.sampled_from([0, 1, 2, 9, 70_000, 2**40, -7]), unique=True),
    ids=st.lists(st.one_of(st.none(), st.integers(-10, 12), st.sampled_from([70_000, 2**40, -7, 2**62, -(2**62)]))),
)
def test_ids_are_looked_up(known: list[int], ids: list[int | None]) -> None:
    texts = [f"of {value}" for value in known]
    values = pl.Series(texts, dtype=pl.String())
    found = looked_up(pl.Series(ids, dtype=I64), pl.Series(known, dtype=I64), values)
    table = dict(zip(known, texts, strict=True))
    assert found.to_list() == [None if value is None else table.get(value) for value in ids]
    assert values.to_list() == texts


@pytest.mark.parametrize("dtype", [pl.String(), pl.Categorical()])
def test_texts_become_their_numbers(dtype: pl.DataType) -> None:
    values = pl.Series(["b", None, "a", "c", "b"], dtype=dtype)
    assert numbered(values, {"a": 0, "b": 3}).tolist() == [3, -1, 0, -1, 3]
    assert numbered(values.clear(), {"a": 0}).tolist() == []


NUMBERS = st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**62]))


@given(parts=st.lists(st.lists(NUMBERS, min_size=1, max_size=6), max_size=6), cut=st.integers(0, 6))
def test_parts_make_the_column_that_they_are_of(parts: list[list[int | None]], cut: int) -> None:
    types = {"wide": I64, "small": I32, "raw": BYTES}
    whole, rest = Chunks(types), Chunks(types)
    for number, part in enumerate(parts):
        # A slice has its values, and its nulls, somewhere inside of its buffers.
        values = pa.array([7, *part, None], pa.int64()).slice(1, len(part))
        told = [None if value is None else str(value).encode() for value in part]
        raw = pa.array([b"before", *told, None], pa.binary()).slice(1, len(part))
        (whole if number < cut else rest).add([values, values, raw])
    whole.extend(rest)
    frame = whole.frame()
    flat = [value for part in parts for value in part]
    assert frame["wide"].to_list() == frame["small"].to_list() == flat
    assert frame["raw"].to_list() == [None if value is None else str(value).encode() for value in flat]
    fits = all(value is None or -(2**31) <= value < 2**31 for value in flat)
    assert frame.schema == {"wide": I64, "small": I32 if fits else I64, "raw": BYTES}


def test_blocks_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.columns.chunks._BLOCK", 1_000)
    chunks = Chunks({"a": I32})
    rows = np.arange(10_000)
    for part in np.array_split(rows, 33):
        chunks.add([pa.array(part)])
    assert chunks.rows == 10_000
    assert chunks.frame()["a"].to_list() == rows.tolist()


def test_bytes_count_against_the_most() -> None:
    chunks = Chunks({"raw": BYTES})
    chunks.add([pa.array([b"x" * 1_000] * 10)])
    assert not chunks.exceeds(rows=10, size=100_000)
    assert chunks.exceeds(rows=9, size=100_000)
    assert chunks.exceeds(rows=10, size=9_000)


def test_bytes_do_not_hold_what_they_were_read_in() -> None:
    before = pa.total_allocated_bytes()
    chunks = Chunks({"raw": BYTES})
    chunks.add([pa.array([b"x" * 1_000] * 10)])
    assert pa.total_allocated_bytes() == before
    assert chunks.frame()["raw"].to_list() == [b"x" * 1_000] * 10


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3), st.integers(0, 2)), unique=True, max_size=12))
def test_rows_that_are_in_order_are_not_copied(rows: list[tuple[int, int, int]]) -> None:
    frame = pl.DataFrame(rows, schema=["a", "b", "c"], orient="row")
    found = ordered(frame, "a", "b", "c")
    assert found.rows() == sorted(rows)
    assert (found is frame) == (rows == sorted(rows))
    # Of rows that are alike by the first columns sorting is left to settle the order.
    assert (ordered(frame, "a") is frame) == all(one[0] < other[0] for one, other in pairwise(rows))


def test_nulls_without_a_query() -> None:
    assert filled(pl.Series([1, None]), 7).to_list() == [1, 7]
    assert none_if_negative(np.array([2, -1, 0], dtype=np.int32)).to_list() == [2, None, 0]
    assert none_if_negative(np.zeros(0, dtype=np.int64)).to_list() == []


@pytest.mark.parametrize(("values", "dtype"), [([1, None], I32), ([2**31], I64), ([None], I32), ([-(2**31)], I32)])
def test_numbers_take_as_little_as_they_can(values: list[int | None], dtype: pl.DataType) -> None:
    found = fitted(pl.Series(values, dtype=I64))
    assert (found.dtype, found.to_list()) == (dtype, values)


_INTERVALS = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 15)).map(lambda of: (of[0], of[0] + of[1])))


@given(_INTERVALS, _INTERVALS)
def test_intervals_that_share_time_with_some_span(
    intervals: list[tuple[int, int]], spans: list[tuple[int, int]]
) -> None:
    (begins, ends), (starts, finishes) = (np.array(of, dtype=np.int64).reshape(-1, 2).T for of in (intervals, spans))
    expected = [any(end > start and begin < finish for start, finish in spans) for begin, end in intervals]
    assert in_any(begins, ends, (starts, finishes)).tolist() == expected


def test_occurrences_before_each_row() -> None:
    assert occurrences(np.array([2, 1, 2, 2, 1], dtype=np.uint16)).tolist() == [0, 0, 1, 2, 1]
    assert occurrences(np.zeros(0, dtype=np.uint16)).tolist() == []


@given(
    rows=st.lists(
        st.tuples(st.sampled_from([None, 0, 3, 2**40]), st.sampled_from([1, 2]), st.integers(-5, 2**60)), max_size=30
    )
)
def test_sums_over_rows_of_the_same_keys(rows: list[tuple[int | None, int, int]]) -> None:
    keys = pl.DataFrame([row[:2] for row in rows], schema={"one": I64, "two": I64}, orient="row")
    values = np.array([row[2] for row in rows], dtype=np.int64)
    expected: dict[tuple[int | None, int], list[int]] = {}
    for one, two, value in rows:
        total = expected.setdefault((one, two), [0, 0])
        total[0] += value
        total[1] += value > 1
    found = summed(keys, {"total": values, "large": values > 1})
    assert {row[:2]: list(row[2:]) for row in found.rows()} == expected
    assert found.schema == {"one": I64, "two": I64, "total": I64, "large": I64}


@pytest.mark.parametrize("dtype", [pl.Int64(), pl.UInt16(), pl.Int32()])
def test_rows_are_taken(dtype: pl.DataType) -> None:
    column = pl.Series("letters", ["a", "b", None], dtype=pl.Categorical())
    assert taken(column, pl.Series([2, 0, 0], dtype=dtype)).to_list() == [None, "a", "a"]
    assert taken(column, pl.Series([1, None], dtype=dtype)).to_list() == ["b", None]
    assert taken(column, pl.Series([None], dtype=dtype)).to_list() == [None]
    assert taken(column, pl.Series([], dtype=dtype)).to_list() == []
    assert repeated(None, 2, pl.Categorical()).to_list() == [None, None]
    assert repeated(7, 2, dtype).to_list() == [7, 7]
