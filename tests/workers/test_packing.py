"""What is sent between machines arrives as it was."""

from __future__ import annotations

import pickle

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from nsysan.workers.packing import packed, unpacked

LEAST, MOST = -(1 << 63), (1 << 63) - 1
FRAMES = {
    "empty": pl.DataFrame(schema={"row": pl.UInt32, "begin": pl.Int64, "name": pl.String, "cls": pl.Categorical}),
    "extremes": pl.DataFrame({"begin": [MOST, LEAST, 0, LEAST, MOST]}),
    "descending": pl.DataFrame({"row": [7, 3, 0, (1 << 32) - 1]}, schema={"row": pl.UInt32}),
    "nulls": pl.DataFrame({"begin": [None, 1, None], "name": [None, "a", "a"], "none": [None] * 3}),
    "few_texts": pl.DataFrame({"name": ["", "b", "a\n\0", "b", None, "", "b"]}),
    "many_texts": pl.DataFrame({"name": [str(n) for n in range(9)]}),
    "others": pl.DataFrame(
        {
            "flag": [True, None],
            "share": [0.5, float("nan")],
            "cls": pl.Series(["x", "y"], dtype=pl.Categorical),
            "blob": [b"\0", None],
            "n": pl.Series([1, 255], dtype=pl.UInt8),
        }
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_arrives_as_it_was(name: str) -> None:
    assert_frame_equal(arrived(FRAMES[name]), FRAMES[name])


NUMBER = st.one_of(st.integers(LEAST, MOST), st.integers(-9, 9))


@given(st.lists(st.tuples(NUMBER, NUMBER, st.one_of(st.none(), NUMBER))))
def test_numbers_arrive_to_the_last_bit(numbers: list[tuple[int, int, int | None]]) -> None:
    frame = pl.DataFrame(numbers, schema=dict.fromkeys(("begin", "end", "last"), pl.Int64), orient="row")
    assert_frame_equal(arrived(frame), frame)


def test_spans_of_time_take_few_bytes() -> None:
    # Each 3 to 10 us long, 1 us after the one before: what is left of a row is its length.
    lasted = pl.Series([3_000 + 1_000 * (n * n % 8) for n in range(10_000)])
    end = 10**15 + (lasted + 1_000).cum_sum()
    frame = pl.DataFrame({"begin": end - lasted, "end": end})
    assert len(packed(frame)) < 3_000
    assert_frame_equal(arrived(frame), frame)


def test_frames_inside_other_values_arrive_too() -> None:
    frame = FRAMES["few_texts"]
    found = unpacked(packed({"a": [frame, 3]}))
    assert isinstance(found, dict)
    assert_frame_equal(found["a"][0], frame)
    assert found["a"][1] == 3


def test_times_and_names_take_few_bytes() -> None:
    rows = 10_000
    frame = pl.DataFrame({"begin": range(10**15, 10**15 + 7_001 * rows, 7_001), "name": ["ncclDevKernel"] * rows})
    assert len(packed(frame)) < len(pickle.dumps(frame)) / 100


def arrived(frame: pl.DataFrame) -> pl.DataFrame:
    found = unpacked(packed(frame))
    assert isinstance(found, pl.DataFrame)
    return found
