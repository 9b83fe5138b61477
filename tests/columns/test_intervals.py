"""The interval sweep against a count of every single nanosecond."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsysan.columns import intervals as algebra
from nsysan.columns.intervals import I64, atoms, line_of_mask

CLASSES = 3
Interval = tuple[int, int, int]
Window = tuple[int, int]

intervals = st.lists(
    st.tuples(st.integers(-40, 40), st.integers(-3, 25), st.integers(0, CLASSES - 1)).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
    ),
    max_size=14,
)


@st.composite
def disjoint_windows(draw: st.DrawFn) -> list[Window]:
    """Ascending windows, some adjacent, some with holes between, some without length."""
    cuts = sorted(draw(st.lists(st.integers(-45, 60), min_size=1, max_size=9)))
    pairs = list(zip(cuts, cuts[1:] or cuts, strict=False))
    kept = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    return [pair for pair, keep in zip(pairs, kept, strict=True) if keep]


def sweep(given_intervals: list[Interval], windows: list[Window]) -> I64:
    starts, ends, classes = (np.array([row[i] for row in given_intervals], dtype=np.int64) for i in range(3))
    bounds = np.array([w[0] for w in windows], dtype=np.int64), np.array([w[1] for w in windows], dtype=np.int64)
    return atoms(starts, ends, classes, bounds, CLASSES)


@given(intervals, disjoint_windows())
def test_every_nanosecond_is_in_the_atom_that_a_count_puts_it_in(rows: list[Interval], windows: list[Window]) -> None:
    expected = np.zeros((len(windows), 1 << CLASSES), dtype=np.int64)
    for number, (begin, finish) in enumerate(windows):
        for now in range(begin, finish):
            active = {cls for start, end, cls in rows if start <= now < end}
            expected[number, sum(1 << cls for cls in active)] += 1
    np.testing.assert_array_equal(sweep(rows, windows), expected)


@given(
    st.lists(
        st.tuples(st.integers(-(2**61), 2**61), st.integers(0, 2**60), st.integers(0, CLASSES - 1)).map(
            lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
        ),
        max_size=20,
    ),
    st.lists(st.integers(-(2**61), 2**61), min_size=2, max_size=6, unique=True).map(sorted),
)
def test_rows_sum_to_their_windows_far_from_zero(rows: list[Interval], cuts: list[int]) -> None:
    windows = list(pairwise(cuts))
    assert sweep(rows, windows).sum(axis=1).tolist() == [finish - begin for begin, finish in windows]


def test_a_window_that_nothing_touches_is_all_idle() -> None:
    assert sweep([(0, 10, 0)], [(-5, 0), (10, 14)]).tolist() == [[5, 0, 0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0]]


def test_no_windows_no_rows() -> None:
    assert sweep([(0, 10, 0)], []).shape == (0, 1 << CLASSES)


def test_the_first_class_of_a_mask_owns_it() -> None:
    # The classes of each mask: none, 0, 1, 0 and 1, 2, 0 and 2, 1 and 2, all.
    assert line_of_mask(3).tolist() == [3, 0, 1, 0, 2, 0, 1, 0]


def test_many_intervals_in_parts_are_what_they_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(7)
    starts = chance.integers(0, 1_000_000, 5_000)
    # Some reach over all windows, which no part may do without.
    ends = starts + chance.choice([1, 30, 400, 1_000_000], 5_000, p=[0.3, 0.3, 0.399, 0.001])
    classes = chance.integers(0, CLASSES, 5_000)
    cuts = np.sort(chance.choice(1_100_000, 101, replace=False))
    windows = cuts[:-1][::2], cuts[1:][::2]
    whole = atoms(starts, ends, classes, windows, CLASSES)
    monkeypatch.setattr(algebra, "_AT_ONCE", 50)
    np.testing.assert_array_equal(atoms(starts, ends, classes, windows, CLASSES), whole)
    np.testing.assert_array_equal(whole.sum(axis=1), windows[1] - windows[0])


def test_intervals_that_reach_over_everything_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algebra, "_AT_ONCE", 10)
    rows = [(-(10**6) - n, 10**6 + n, n % CLASSES) for n in range(500)]
    windows = [(begin, begin + 10) for begin in range(0, 100_000, 10)]
    calls: list[int] = []
    sweep_of = algebra.sweep

    def counted(starts: I64, ends: I64, kinds: I64, cuts: I64, count: int) -> tuple[I64, I64]:
        calls.append(len(starts))
        return sweep_of(starts, ends, kinds, cuts, count)

    monkeypatch.setattr(algebra, "sweep", counted)
    found = sweep(rows, windows)
    assert calls == [500]
    assert (found[:, (1 << CLASSES) - 1] == 10).all()
