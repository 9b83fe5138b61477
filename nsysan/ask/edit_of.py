"""An expression as an edit of a replay's graph: what it chooses there, and what becomes of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

import numpy as np
import polars as pl

from nsysan.ask.expressions import BadExpression, Change, Expression, Subject
from nsysan.model.operations import is_communication
from nsysan.replay import edits
from nsysan.replay.engine import I64
from nsysan.replay.shape import Graph
from nsysan.replay.subjects import (
    Mask,
    call_ends,
    gaps,
    host_work,
    operation_ends,
    operation_nodes,
    scale,
    wire_edges,
)
from nsysan.text import numbered, plain

_IS_COMMUNICATION = is_communication()
_OPERATIONS = {
    Subject.KERNEL: pl.col("type").eq("kernel") & ~_IS_COMMUNICATION,
    Subject.COPY: pl.col("type").is_in(["memcpy", "memset"]),
    Subject.WIRE: pl.col("call").is_not_null() & pl.col("barrier").fill_null(value=False),
}
_LAUNCHES = ~pl.col("waits")
#: What each subject's names are of.
_THINGS = {
    Subject.KERNEL: "kernel that computes",
    Subject.COPY: "copy",
    Subject.WIRE: "call of which waiting and wire are told apart",
    Subject.LAUNCH: "launch call",
}
_SHOWN, _ALIKE = 5, 0.6


@dataclass(frozen=True)
class Chosen:
    """edit: of the graph. names: of what it changes, as the trace has them; count: how many, None without names."""

    edit: edits.Edit
    names: tuple[str, ...] = ()
    count: int | None = None


def edit_of(expression: Expression, basis: edits.Basis, kinds: pl.DataFrame) -> Chosen:
    """What an expression does; kinds: row and kind of each collective. BadExpression if it changes nothing."""
    graph = basis.graph
    if expression.subject is None:
        return Chosen(edits.standard(basis)[expression.text])
    for rank in expression.ranks:
        if rank not in graph.ranks:
            raise BadExpression(f"{expression.text!r}: there is no rank {rank}, only {numbered('rank', graph.ranks)}")
    on_ranks = pl.col("rank").is_in(expression.ranks) if expression.ranks else pl.lit(value=True)
    own = np.isin(basis.node_rank, expression.ranks) if expression.ranks else basis.node_rank >= 0
    if expression.subject is Subject.RANK:
        return Chosen(_level(own))
    if expression.subject is Subject.HOST:
        mask = host_work(graph) & own
        _some(mask, expression, "API call of a host")
        return Chosen(_changed(mask, expression))
    if expression.subject is Subject.GAPS:
        nodes, edges = gaps(graph)
        nodes, edges = nodes & own, edges & own[graph.edges.target]
        _some(np.concatenate((nodes, edges)), expression, "gap between operations whose launches are known")
        return Chosen(edits.together(_changed(nodes, expression), _changed_edges(edges, expression)))
    if expression.subject is Subject.LAUNCH:
        names = _names(expression, graph.calls.filter(_LAUNCHES), "launch", kinds)
        mask = call_ends(graph, _LAUNCHES & on_ranks & pl.col("launch").is_in(names))
        return Chosen(_changed(mask, expression), names, _some(mask, expression, "launch call"))
    return _of_operations(expression, graph, kinds, on_ranks)


def _of_operations(expression: Expression, graph: Graph, kinds: pl.DataFrame, on_ranks: pl.Expr) -> Chosen:
    subject = expression.subject
    assert subject is not None
    others = graph.operations.filter(_IS_COMMUNICATION)["name"].unique() if subject is Subject.KERNEL else ()
    names = _names(expression, graph.operations.filter(_OPERATIONS[subject]), "name", kinds, others)
    of = _OPERATIONS[subject] & on_ranks & pl.col("name").is_in(names)
    if subject is not Subject.WIRE:
        ends = operation_ends(graph, of)
        count = _some(ends, expression, _THINGS[subject])
        level = expression.change is Change.LEVEL
        return Chosen(_level(operation_nodes(graph, of)) if level else _changed(ends, expression), names, count)
    edges = wire_edges(graph, of)
    count = _some(edges, expression, _THINGS[subject])
    return Chosen(_floored(edges) if expression.change is Change.FLOOR else _wired(edges, expression), names, count)


# ---- edits


def _level(of: Mask) -> edits.Edit:
    return edits.no_skew(of)


def _changed(of: Mask, expression: Expression) -> edits.Edit:
    if expression.change is Change.LEVEL:
        return _level(of)

    def edit(basis: edits.Basis, lane: I64, cross: I64) -> None:
        del basis, cross
        _set(lane, of, expression)

    return edit


def _changed_edges(of: Mask, expression: Expression) -> edits.Edit:
    def edit(basis: edits.Basis, lane: I64, cross: I64) -> None:
        del basis, lane
        _set(cross, of, expression)

    return edit


def _set(times: I64, of: Mask, expression: Expression) -> None:
    if expression.change is Change.SCALE:
        scale(times, of, expression.factor)
    else:
        times[of] = expression.ns


def _floored(of: Mask) -> edits.Edit:
    def edit(basis: edits.Basis, lane: I64, cross: I64) -> None:
        floored = cross.copy()
        edits.floor_wire(basis, lane, floored)
        cross[of] = floored[of]

    return edit


def _wired(of: Mask, expression: Expression) -> edits.Edit:
    """A call's wire is that of the rank that leaves last; the others leave before it in proportion."""

    def edit(basis: edits.Basis, lane: I64, cross: I64) -> None:
        del lane
        if expression.change is Change.SCALE:
            scale(cross, of, expression.factor)
            return
        call = basis.graph.edges.source[of]
        longest = np.zeros(len(basis.graph.time), dtype=np.int64)
        np.maximum.at(longest, call, cross[of])
        whole = longest[call]
        share = np.where(whole > 0, cross[of] / np.maximum(whole, 1), 1.0)
        cross[of] = np.rint(share * expression.ns).astype(np.int64)

    return edit


# ---- what is chosen


def _some(of: Mask, expression: Expression, thing: str) -> int:
    count = int(of.sum())
    if not count:
        raise BadExpression(f"{_said(expression)}: there is no {thing} in the steps that are replayed")
    return count


def _names(
    expression: Expression, rows: pl.DataFrame, column: str, kinds: pl.DataFrame, elsewhere: Iterable[str] = ()
) -> tuple[str, ...]:
    """The names that it chooses, most frequent first; elsewhere: names of what another subject changes."""
    subject = expression.subject
    assert subject is not None
    if subject is Subject.WIRE:
        rows = _of_kinds(expression, rows, kinds)
    counted = rows.group_by(column).agg(pl.len()).drop_nulls().sort("len", column, descending=[True, False])
    every = tuple(counted[column].to_list())
    chosen = tuple(name for name in every if _meant(expression, name))
    if chosen or (not every and not expression.contains and not expression.names):
        return chosen
    said = f"no {_THINGS[subject]} has such a name" if every else f"there is no {_THINGS[subject]}"
    if any(_meant(expression, name) for name in elsewhere):
        raise BadExpression(f"{_said(expression)}: {said}, but communication, whose time is changed by wire[...]")
    near = _near((*expression.contains, *expression.names), every)
    raise BadExpression(f"{_said(expression)}: {said} in the steps that are replayed{near}")


def _said(expression: Expression) -> str:
    return f"{plain(expression.text)!r} changes nothing"


def _of_kinds(expression: Expression, rows: pl.DataFrame, kinds: pl.DataFrame) -> pl.DataFrame:
    rows = rows.join(kinds, on="row", how="left", maintain_order="left")
    there = sorted(rows["kind"].drop_nulls().unique().to_list())
    for kind in expression.kinds:
        if kind not in there:
            told = f"; there is {', '.join(there)}" if there else ""
            raise BadExpression(f"{_said(expression)}: there is no matched {plain(kind, 40)}{told}")
    return rows.filter(pl.col("kind").is_in(expression.kinds)) if expression.kinds else rows


def _meant(expression: Expression, name: str) -> bool:
    """Whether a name is one of those given, or has all that it should contain, in capitals or not."""
    lower = name.lower()
    known = not expression.names or name in expression.names
    return known and all(part.lower() in lower for part in expression.contains)


def _near(asked: Iterable[str], every: tuple[str, ...]) -> str:
    """Names like those that were asked for, else the most frequent ones; as the end of a sentence."""
    if not every:
        return ""
    near = list(dict.fromkeys(name for one in asked for name in _alike(one, every)))
    shown = ", ".join(plain(name, 60) for name in (near or every)[:_SHOWN])
    return f"; near: {shown}" if near else f"; there is {shown}{' and more' if len(every) > _SHOWN else ''}"


def _alike(asked: str, every: tuple[str, ...]) -> list[str]:
    """Names that are like what was asked for as a whole, or in a piece of its length."""
    lower = asked.lower()[:60]

    def likeness(name: str) -> float:
        pieces = (name.lower()[at : at + len(lower)] for at in range(max(1, min(len(name), 200) - len(lower) + 1)))
        return max(SequenceMatcher(None, lower, piece).ratio() for piece in pieces)

    rated = sorted(((likeness(name), name) for name in every[:200]), key=lambda one: (-one[0], one[1]))
    return get_close_matches(asked, every, _SHOWN) or [name for rate, name in rated if rate >= _ALIKE]
