"""Which kernels of a step are which products: sequences by hand, and real steps."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from nsysan.light.matched import medians, product_times_of, products_in
from nsysan.run.run import Run

_SHORT = {
    "q": "qkv",
    "a": "attention",
    "o": "o",
    "u": "gate_up",
    "d": "down",
    "e": "experts",
    "h": "lm_head",
    ".": None,
}


@pytest.mark.parametrize(
    ("letters", "layers", "products"),
    [
        # Two layers of tensor parallelism, with norms, a split product, and a call after the embedding.
        ("c.gs.a.gc.g.gsc.g.a.gc.g.gc", 2, "..qq.a.o..u.dd..q.a.o..u.d."),
        # Attention in two kernels, then one that prepares it for all layers; the vocabulary's product and its gather.
        ("a.gaagcggcg.c", 1, "..qaao.ud.h.."),
        # Three products before attention and three after, and none of the calls' help.
        ("gggagggggggagggg", 2, "qqqaouudqqqaouud"),
        ("gaggggaggg", 2, "qaoudqaoud"),
        ("gaggggagggg", 2, "qaoudqaoudh"),
        # Experts with their router; a first layer that is dense.
        ("gagcggcgagcgmmgc", 2, "qao.ud.qao.eeee."),
        # A reduce-scatter and an all-gather stand where an all-reduce does.
        ("gagccggcc", 1, "qao..ud.."),
        # One product in a feed-forward, none after attention, no attention, nothing.
        ("gagcgc", 0, "......"),
        ("gac", 0, "..."),
        ("ggggcc", 0, "......"),
        ("", 0, ""),
    ],
)
def test_sequences(letters: str, layers: int, products: str) -> None:
    assert products_in(letters) == (layers, [_SHORT[letter] for letter in products])


def times(run: Run) -> pl.DataFrame:
    return pl.concat(run.ask(product_times_of, run.steady_steps[:3]))


def test_a_real_step_is_told_apart(analyzed: Callable[[str], Run]) -> None:
    found = times(analyzed("tp4_graph_node"))
    one = found.filter((pl.col("rank") == 0) & (pl.col("step") == found["step"][0]))
    # 16 layers; qkv, gate_up and down are split, so each has a reduction beside it.
    assert dict(one.select("product", "calls").iter_rows()) == {
        "qkv": 32,
        "attention": 16,
        "o": 16,
        "gate_up": 32,
        "down": 32,
    }
    assert set(found["layers"]) == {16}


def test_branches_of_a_replay_are_not_told_apart(analyzed: Callable[[str], Run]) -> None:
    # A product runs beside each call, and the nodes of such a replay are on streams that tell nothing.
    found, layers = medians(times(analyzed("tp4_overlap")))
    assert (layers, set(found)) == (0, {None})


def test_stages_of_a_pipeline_are_averaged() -> None:
    rows = [(0, 1, "qkv", 100, 8, 8), (1, 1, "qkv", 300, 8, 8), (1, 1, "lm_head", 50, 1, 8)]
    frame = pl.DataFrame(rows, schema=["rank", "step", "product", "ns", "calls", "layers"], orient="row")
    assert medians(frame) == ({"qkv": 200, "lm_head": 50}, 8)
    assert medians(frame, staged=True) == ({"qkv": 200, "lm_head": 25}, 8)
    assert medians(frame.clear()) == ({}, 0)
