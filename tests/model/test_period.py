"""The repeating period of a sequence, where the sequence is short enough to see it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsysan.model.steps.period import Repetition, find_repetition

LAYER = [1, 2, 3]
SAMPLE = [9]
UNRELATED = list(range(100, 111))


def found(symbols: list[int]) -> Repetition | None:
    return find_repetition(np.array(symbols, dtype=np.int64))


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        pytest.param(LAYER * 5, Repetition(0, 3, 5), id="one layer"),
        pytest.param((LAYER * 4 + SAMPLE) * 5, Repetition(0, 13, 5), id="layers inside a step"),
        pytest.param((LAYER * 32 + SAMPLE) * 3, Repetition(0, 97, 3), id="many layers, few steps"),
        pytest.param(UNRELATED + (LAYER * 4 + SAMPLE) * 5, Repetition(11, 13, 5), id="after a warm-up"),
        pytest.param((LAYER * 4 + SAMPLE) * 5 + UNRELATED, Repetition(0, 13, 5), id="before a tail"),
        pytest.param((LAYER + SAMPLE) * 3 + LAYER, Repetition(0, 4, 3), id="cut off in the last step"),
        pytest.param([7] * 6, Repetition(0, 1, 6), id="one symbol"),
    ],
)
def test_period(symbols: list[int], expected: Repetition) -> None:
    assert found(symbols) == expected


@pytest.mark.parametrize("symbols", [[], [1], [1, 2, 1, 2], UNRELATED, (LAYER * 4 + SAMPLE) * 2])
def test_fewer_than_three_repetitions_are_no_period_of_steps(symbols: list[int]) -> None:
    repetition = found(symbols)
    assert repetition is None or repetition.length == len(LAYER)


@given(st.lists(st.integers(0, 4), max_size=20), st.integers(3, 9), st.integers(0, 8))
def test_a_word_with_a_symbol_of_its_own_is_the_period(word: list[int], repeats: int, before: int) -> None:
    step = [*word, 9]
    prefix = list(range(100, 100 + before))
    assert found(prefix + step * repeats) == Repetition(before, len(step), repeats)
