"""How far sizes of messages can be trusted, and who tells them (DEFINITIONS.md, section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.expectation import ALL_REDUCE, Compared
from nsysan.light.told_by_grids import ToldByGrids
from nsysan.run.run import Run
from nsysan.text import counted, plain

_KEY = ("name", "kind", "group", "message_bytes")


class SizeSource(StrEnum):
    """Who tells the size of a call; all but the first estimate it."""

    PAYLOAD = "payload"
    STATED = "stated"
    MODEL = "model"
    GRIDS = "grids"


def with_sources(
    families: Sequence[CollectiveFamily], traced: pl.DataFrame, stated: pl.DataFrame, source: SizeSource
) -> list[CollectiveFamily]:
    """The families with who tells their size. traced, stated: the same calls, without and with what `source` tells."""
    filled = stated.filter(traced["message_bytes"].is_null() & stated["message_bytes"].is_not_null())
    theirs = set(filled.select(pl.col(name).cast(pl.String) for name in _KEY).unique().rows())
    return [replace(family, bytes_source=_source(family, theirs, source)) for family in families]


def _source(family: CollectiveFamily, filled: set[tuple[str, ...]], source: SizeSource) -> str | None:
    if family.message_bytes is None:
        return None
    key = (family.name, family.kind, family.group, str(family.message_bytes))
    return source.value if key in filled else SizeSource.PAYLOAD.value


def assess_sizes(run: Run, compared: Compared | None, grids: ToldByGrids) -> Quality | None:
    """The quality row of sizes; of a run in which those that are stated, or told by grids, are filled in."""
    calls = run.collectives
    if calls.is_empty():
        return None
    known = int(calls["message_bytes"].count())
    missing = len(calls) - known
    rest = f"; for {missing} it is unknown" if missing else ""
    if compared is not None and compared.filled:
        return Quality(
            Aspect.MESSAGE_BYTES,
            Status.ESTIMATED,
            f"for {compared.filled} of {counted(len(calls), 'call')} the size that {compared.expected.source} states"
            f"{_batch_words(grids) if compared.by_batch else ''}{rest}",
        )
    by_grids = grids.sizes
    filled = len(calls.filter((pl.col("kind") == ALL_REDUCE) & pl.col("step").is_in(list(by_grids)))) if by_grids else 0
    if filled:
        one = next(grids.by_step[step] for step in by_grids)
        return Quality(
            Aspect.MESSAGE_BYTES,
            Status.ESTIMATED,
            f"for {filled} of {counted(len(calls), 'call')} by the grids of kernels: norms over {one.tokens} rows, and "
            f"products {one.width} wide of {one.bits} bits (the commonest steps), what a graph pads the batch by "
            f"included{rest}; captured from before its graph is built, NCCL's call tells the size itself",
        )
    if not missing:
        return Quality(Aspect.MESSAGE_BYTES, Status.OK, "from the NCCL payload of every call")
    return _unknown(calls, known, compared, grids)


def _batch_words(grids: ToldByGrids) -> str:
    tokens = grids.tokens
    if not tokens:
        return " and the batch of the step, without what a graph pads it by"
    most = next(iter(tokens.values()))
    return f" and the batch of the step, as the graph pads it: norms over {counted(most, 'row')} in the commonest steps"


def _unknown(calls: pl.DataFrame, known: int, compared: Compared | None, grids: ToldByGrids) -> Quality:
    missing = len(calls) - known
    inside = calls.filter(pl.col("message_bytes").is_null())["graph_node"].is_not_null().any()
    why = (
        "the capture opened after the CUDA graph was built, or the library passes no payload"
        if inside
        else "the call's library passes no NVTX payload, or the export lacks --include-json=true"
    )
    silent = calls.filter(pl.col("message_bytes").is_null() & (pl.col("kind") == ALL_REDUCE))
    stated = compared is not None and compared.expected.model is not None
    remedy = "" if stated or silent.is_empty() else "; --model tells those of all-reduces"
    untold = f"; grids of kernels tell none: {plain(grids.why, 200)}" if grids.why else ""
    return Quality(
        Aspect.MESSAGE_BYTES,
        Status.NOT_MEASURABLE if known == 0 else Status.ESTIMATED,
        f"unknown for {missing} of {counted(len(calls), 'call')}: {why}{untold}{remedy}",
    )
