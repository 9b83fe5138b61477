"""Replays of a draft's graph behind the target's: whose steps they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from nsysan.model.steps.replays import cycles, of_targets

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


@pytest.mark.parametrize(("reads", "behind"), [("target", False), ("each", False), ("last draft", True)])
def test_another_number_of_drafts_goes_with_each_target(reads: str, behind: bool) -> None:
    """What is read back: the target, each replay, or the last draft behind a target."""
    drafts = [1, 3, 2, 5, 4, 3, 1, 2, 2, 4]
    if behind:
        drafts.append(2)
    nodes = [n for one in drafts for n in [3] * one + [20]]
    if behind:
        nodes = nodes[:-1]
    last = [draft == 3 and following == 20 for draft, following in pairwise([*nodes, 20])]
    told = {"target": [own == 20 for own in nodes], "last draft": last}
    read = told.get(reads, [True] * len(nodes))
    found = of_targets(np.array(nodes), np.array(read))
    assert found is not None
    heads, lengths = found
    assert len(heads) == 10
    kept = drafts[1:] if behind else drafts
    # The first step has the drafts that come before any target, too.
    assert lengths.tolist()[1:] == [one + 1 for one in kept[1:]]


def test_layers_with_a_head_are_no_targets() -> None:
    """Nothing is read back: a graph for the embedding, one for attention and one for the rest of each layer, a head."""
    nodes = ([2] + [3, 9] * 8 + [2]) * 10
    assert of_targets(np.array(nodes), np.zeros(len(nodes), dtype=np.bool_)) is None


@pytest.mark.parametrize("nodes", [[3, 3, 3, 20] * 8, [20, 20, 19, 21] * 8, [20] * 16])
def test_what_repeats_needs_no_targets(nodes: list[int]) -> None:
    assert of_targets(np.array(nodes), np.array([own == 20 for own in nodes])) is None
