"""Replays of a draft's graph behind the target's: whose steps they are."""

from __future__ import annotations

import numpy as np
import pytest

from nsysan.model.steps.replays import cycles

TARGET, DRAFT, OTHER = 2, 3, 4


@pytest.mark.parametrize(
    ("block", "reads", "lengths"),
    [
        # Drafts are read back each, the target with the first of them.
        ([TARGET, DRAFT, DRAFT, DRAFT], [0, 1, 1, 1], [4]),
        ([DRAFT, DRAFT, TARGET, DRAFT], [1, 1, 0, 1], [4]),
        # A graph a batch size, each read back; and two graphs a step, the second of them another one.
        ([TARGET, DRAFT, DRAFT, DRAFT], [1, 1, 1, 1], [1, 1, 1, 1]),
        ([TARGET, DRAFT, OTHER, OTHER], [0, 1, 0, 1], [2, 2]),
        ([TARGET, DRAFT, OTHER], [0, 1, 1], [2, 1]),
    ],
)
def test_a_target_with_its_drafts_is_a_step(block: list[int], reads: list[int], lengths: list[int]) -> None:
    graphs, read = np.array(block * 8), np.array(reads * 8, dtype=bool)
    begins = 100 * np.arange(len(graphs))
    heads, found = cycles(graphs, np.zeros(len(graphs), dtype=np.int64), read, begins, begins + 90)
    whole = list(zip(graphs[heads].tolist(), found.tolist(), strict=True))
    of_target = [number for number, (graph, _) in enumerate(whole) if graph == TARGET][1]
    assert [length for _, length in whole[of_target : of_target + len(lengths)]] == lengths
