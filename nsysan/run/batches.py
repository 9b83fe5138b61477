"""How many sequences a replica's steps decode, where its ranks work on several batches at once.

DEFINITIONS.md, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from nsysan.model.steps.engines import load_engines
from nsysan.run.layout import GroupKind, batches_of, kinds_of
from nsysan.run.run import Run

#: What joins ranks that work on batches of their own.
_JOINING = (GroupKind.EP, GroupKind.DP, GroupKind.WORLD)


def sequences_of(own: Run) -> dict[int, int] | None:
    """Sequences of each step over all batches of which its ranges tell one each; steps that lack one are left out.

    None where the ranks work on one batch, or no range tells any.
    """
    layout, ranks, calls = own.layout, tuple(rank.rank for rank in own.ranks), own.collectives
    kinds = kinds_of(own.groups, calls, len(ranks))
    blocks = batches_of(ranks, own.groups, kinds, calls)
    # Stages work on one batch each in turn; where experts join several pipelines, nothing tells which are of one.
    piped = layout.is_pipeline
    joined = any(kinds[group.id] in _JOINING for group in own.groups)
    if len(blocks) == 1 or not joined or (piped and layout.experts <= layout.tensor):
        return None
    told = _batches_told(own)
    if not told:
        return None
    if piped or calls["group"].null_count():
        # Calls of no known group may be those of ranks that share a batch.
        return {}
    block = {rank: number for number, ranks_ in enumerate(blocks) for rank in ranks_}
    known = own.windows.select(
        "step",
        block=pl.col("rank").replace_strict(block, return_dtype=pl.Int64),
        batch=pl.col("label").replace_strict(told, default=None, return_dtype=pl.Int64),
    ).drop_nulls()
    each = known.group_by("step", "block").agg(pl.max("batch"))
    every = each.group_by("step").agg(pl.len(), pl.sum("batch")).filter(pl.col("len") == len(blocks))
    return dict(every.select("step", "batch").iter_rows())


def batch_by_rank(own: Run) -> dict[int, float]:
    """Sequences of a steady step by rank, median over steps, as the ranges of each tell; empty where one's do not."""
    told = _batches_told(own)
    if not told:
        return {}
    steady = own.windows.filter(pl.col("step").is_in(own.steady_steps))
    each = steady.with_columns(batch=pl.col("label").replace_strict(told, default=None, return_dtype=pl.Int64))
    found = dict(each.group_by("rank").agg(pl.median("batch")).drop_nulls().sort("rank").iter_rows())
    return found if len(found) == len(own.ranks) else {}


def mean_of(sequences: Mapping[int, int], steps: Sequence[int] | pl.Series) -> float | None:
    """Sequences of a step over these; None where one does not tell them."""
    known = [sequences.get(step) for step in steps]
    told = [one for one in known if one is not None]
    return sum(told) / len(told) if told and len(told) == len(known) else None


def _batches_told(own: Run) -> dict[str, int]:
    """Sequences by the labels of steps that tell them."""
    labels = own.windows["label"].unique().to_list()
    return {label: batch for label in labels if (batch := _batch_of(label)) is not None}


def _batch_of(label: str | None) -> int | None:
    engine = next((one for one in load_engines() if label and one.range.search(label)), None)
    return engine.batch_of(label) if engine is not None and label else None
