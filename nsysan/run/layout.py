"""What each group is for, and how a replica is laid out: TP=2 x PP=2 (DEFINITIONS.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import polars as pl

from nsysan.model.classes import WorkClass
from nsysan.run.groups import Group, Members
from nsysan.run.node_numbers import nodes_of

#: Kinds in which ranks share out one layer, and how many messages a group of stages has at least for each.
_MEETINGS = ("all_reduce", "all_gather", "reduce_scatter")
MEETING = 2


class GroupKind(StrEnum):
    """What a group's ranks share out: the layers' weights, the layers, the experts, the requests; or nothing known."""

    TP = "tp"
    PP = "pp"
    EP = "ep"
    DP = "dp"
    WORLD = "world"
    OTHER = "other"


class Layout(NamedTuple):
    """How a replica's ranks are laid out. stages: its pipeline stages, each by its ranks, the first to work first.

    tensor: ranks that share a layer's weights, those that no trace shows too. experts: ranks that share the experts, 1
    where none do. seen: how many of `tensor` the trace shows. nodes: machines that they are on, as far as is told.
    """

    stages: tuple[Members, ...]
    tensor: int
    experts: int
    seen: int
    nodes: int = 1

    @property
    def is_one_group(self) -> bool:
        """Whether all its ranks do the same: one stage, and no experts shared out."""
        return len(self.stages) == 1 and self.experts == 1

    @property
    def is_pipeline(self) -> bool:
        """Whether the layers are shared out over stages."""
        return len(self.stages) > 1

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to say of it: one group, all of it in the trace, on one machine."""
        return self.is_one_group and self.seen == self.tensor and self.nodes == 1

    @property
    def name(self) -> str:
        """Such as "TP=2 x PP=2", "TP=8 over 2 nodes" or "TP=8 (4 of its ranks in the trace)"."""
        over = f" over {self.nodes} nodes" if self.nodes > 1 else ""
        part = f" ({self.seen} of its ranks in the trace)" if self.seen < self.tensor else ""
        parts = [f"TP={self.tensor}{over}{part}"]
        if len(self.stages) > 1:
            parts.append(f"PP={len(self.stages)}")
        if self.experts > 1:
            parts.append(f"EP={self.experts}")
        return " x ".join(parts)


def kinds_of(groups: Sequence[Group], calls: pl.DataFrame, world: int) -> dict[str, GroupKind]:
    """The kind of each group by its calls (rank, group, kind, cls); world: ranks of the run."""
    counts = calls.drop_nulls("group").group_by("group", "kind", "cls").agg(n=pl.len())
    by_group: dict[str, dict[tuple[str | None, str], int]] = {}
    for group, kind, cls, n in counts.iter_rows():
        by_group.setdefault(group, {})[kind, cls] = n
    reduces = {group.id: _count(by_group.get(group.id, {}), "all_reduce") for group in groups}
    return {group.id: _kind(group, by_group.get(group.id, {}), reduces, groups, world) for group in groups}


def _kind(
    group: Group,
    calls: Mapping[tuple[str | None, str], int],
    reduces: Mapping[str, int],
    groups: Sequence[Group],
    world: int,
) -> GroupKind:
    if not calls:
        return GroupKind.OTHER
    sent = sum(n for (_, cls), n in calls.items() if cls == WorkClass.P2P)
    # Stages work at different times: ranks that meet throughout a step are of one.
    if sent and MEETING * sum(_count(calls, kind) for kind in _MEETINGS) <= sent:
        return GroupKind.PP
    if _count(calls, "all_to_all"):
        return GroupKind.EP
    smaller = [g for g in groups if set(g.ranks) < set(group.ranks) and reduces[g.id]]
    if smaller and not reduces[group.id]:
        # Attention's ranks reduce among themselves; what gathers over more of them feeds experts.
        gathers = _count(calls, "all_gather") and _count(calls, "reduce_scatter")
        return GroupKind.EP if gathers else GroupKind.WORLD if group.size >= world else GroupKind.DP
    if smaller and reduces[group.id] < max(reduces[g.id] for g in smaller):
        return GroupKind.WORLD if group.size >= world else GroupKind.DP
    sums = reduces[group.id] or _count(calls, "reduce_scatter") or _count(calls, "all_gather")
    return GroupKind.TP if sums else GroupKind.OTHER


def _count(calls: Mapping[tuple[str | None, str], int], kind: str) -> int:
    return sum(n for (own, _), n in calls.items() if own == kind)


def _parted(ranks: Members, groups: Sequence[Members]) -> list[Members]:
    """The groups, and each rank that is in none by itself."""
    return list(dict.fromkeys(groups)) + [(rank,) for rank in ranks if not any(rank in own for own in groups)]


def batches_of(
    ranks: Members, groups: Sequence[Group], kinds: Mapping[str, GroupKind], calls: pl.DataFrame
) -> list[Members]:
    """The ranks of a replica by those that work on the same sequences: they share a layer's weights.

    calls: rank, group, kind of its communication. The stages of a pipeline, which work on the same too, are told apart.
    """
    counts = calls.drop_nulls("group").group_by("group", "kind").len().iter_rows()
    of: dict[tuple[str, str | None], int] = {(group, kind): n for group, kind, n in counts}

    def shares(group: Group) -> bool:
        if kinds[group.id] is GroupKind.EP:
            # One communicator may do both: sum the layers' parts, and exchange among experts.
            return MEETING * of.get((group.id, "all_reduce"), 0) >= of.get((group.id, "all_to_all"), 0) > 0
        return kinds[group.id] is GroupKind.TP

    return _parted(ranks, [group.ranks for group in groups if set(group.ranks) <= set(ranks) and shares(group)])


def layout_of(
    ranks: Members,
    groups: Sequence[Group],
    kinds: Mapping[str, GroupKind],
    calls: pl.DataFrame,
    host_of: Mapping[int, int | None],
) -> Layout:
    """The layout of a replica. calls: rank, begin, cls of its communication. host_of: see Run.host_of."""
    inside = [group for group in groups if set(group.ranks) <= set(ranks)]
    sharing = [group for group in inside if kinds[group.id] is GroupKind.TP]
    piped = any(kinds[group.id] is GroupKind.PP for group in inside)
    blocks = _parted(ranks, [group.ranks for group in sharing])
    experts = max((group.size for group in inside if kinds[group.id] is GroupKind.EP), default=1)
    seen = max((len(own) for own in blocks), default=1)
    size = max((group.size for group in sharing), default=seen)
    nodes = max((nodes_of(own, host_of) or 1 for own in blocks), default=1)
    if not piped:
        return Layout((ranks,), size, experts, seen, nodes)
    # A stage that waits for its first message has begun nothing.
    meeting = calls.filter(pl.col("cls") != WorkClass.P2P)
    first = dict(meeting.group_by("rank").agg(pl.col("begin").min()).iter_rows())
    stages = sorted(blocks, key=lambda own: (min(first.get(rank, 0) for rank in own), own))
    return Layout(tuple(stages), size, experts, seen, nodes)
