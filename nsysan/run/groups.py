"""Which ranks communicate with whom: the group of every call (DEFINITIONS.md, section 6).

A group is a set of ranks behind one communicator. A call's payload names its communicator; without one, the number of
ranks in the kernel's own name and the communicators that the trace saw being made tell it; else it is inferred from
when calls end: ranks leave a collective together, and ranks of other groups do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model.classes import WorkClass
from nsysan.run.together import TOGETHER, distances, sampled
from nsysan.run.wider_groups import wider

_F64 = npt.NDArray[np.float64]
Members = tuple[int, ...]

#: Distances within this share of a call's least duration of each other are no different.
_TIE = 0.1


class GroupSource(StrEnum):
    """How the ranks of a group are known."""

    PAYLOAD = "payload"
    NAME = "name"
    COMM_INIT = "comm_init"
    INFERRED = "inferred"


class Group(NamedTuple):
    """A set of ranks that communicate. size: of its communicator, which may have ranks that no trace shows.

    communicators: ids behind it, none where they are not told.
    """

    ranks: Members
    source: GroupSource
    size: int
    communicators: tuple[str, ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether its communicator has ranks that no trace shows."""
        return self.size > len(self.ranks)

    @property
    def id(self) -> str:
        """The group's name: its ranks."""
        return named(self.ranks)


class Communicator(NamedTuple):
    """Ranks of a communicator that the trace saw being made; size: of all its ranks."""

    ranks: Members
    size: int


def named(ranks: Sequence[int]) -> str:
    """The id of the group of these ranks."""
    return ",".join(map(str, ranks))


def find_groups(
    calls: pl.DataFrame, communicators: Mapping[str, Communicator], *, clocked: bool = True
) -> tuple[pl.DataFrame, list[Group]]:
    """The calls with `group` (id; null where it cannot be told) and `partial` (whether their communicator has ranks
    that no trace shows), in their order, and the groups there are.

    calls: row, rank, member, kind, library, cls, group_size, barrier, communicator, peer, begin, end. communicators:
    those whose initialisation a trace has, by id. clocked: whether the ranks' times are on one clock; if not they tell
    nothing, and ranks are taken to be of one group, or of groups of consecutive ranks where the size is told.
    """
    told = {
        str(name): _with_init(frozenset(own["rank"]), communicators.get(str(name)))
        for (name,), own in calls.filter(pl.col("communicator").is_not_null())
        .select("communicator", "rank")
        .unique()
        .partition_by("communicator", as_dict=True)
        .items()
    }
    groups: dict[Members, Group] = {}
    by_payload = pl.col("communicator").replace_strict(
        {name: named(ranks) for name, (ranks, _) in told.items()}, default=None, return_dtype=pl.String
    )
    pairs = _pairs(calls, told)
    calls = calls.join(pairs, on="row", how="left", maintain_order="left")
    whole = set(_communicators(calls.filter(pl.col("pair").is_null())))
    for name, (ranks, size) in told.items():
        if name in whole:
            _add(groups, Group(ranks, GroupSource.PAYLOAD, size, (name,)))
    for pair in pairs["pair"].unique():
        _add(groups, Group(tuple(map(int, pair.split(","))), GroupSource.PAYLOAD, 2))
    calls = calls.with_columns(group=pl.coalesce("pair", by_payload)).drop("pair")
    silent = calls.filter(pl.col("group").is_null())
    # Ranks that send to one another are of several stages, and share no layer to reduce.
    sent = set(_communicators(calls.filter(pl.col("cls") == WorkClass.P2P)))
    known = [(c.ranks, c.size) for name, c in communicators.items() if name not in sent]
    known += [own for name, own in told.items() if name not in sent]
    found = []
    for own in silent.partition_by("kind", "library", "cls", "group_size", "barrier", maintain_order=True):
        rest, others = own, known
        if clocked and own["barrier"][0] and own["group_size"][0] is None:
            for calls_of, ranks, size in wider(own, known):
                group = Group(ranks, GroupSource.COMM_INIT, size)
                _add(groups, group)
                found.append((calls_of, group, ranks))
                rest = rest.join(calls_of, on="row", how="anti", maintain_order="left")
                # What its ranks do not leave together is of others, however near these are to each other.
                others = [one for one in others if one[0] != ranks]
        for group, ranks in _of_kind(rest, others, clocked=clocked):
            _add(groups, group)
            found.append((rest, group, ranks))
    if found:
        rows = pl.concat(
            own.filter(pl.col("rank").is_in(list(ranks))).select("row", _group=pl.lit(group.id))
            for own, group, ranks in found
        )
        calls = calls.join(rows, on="row", how="left", maintain_order="left")
        calls = calls.with_columns(group=pl.coalesce("group", "_group")).drop("_group")
    partial = [group.id for group in groups.values() if group.is_partial]
    calls = calls.with_columns(partial=pl.col("group").is_in(partial).fill_null(value=False))
    return calls, sorted(groups.values(), key=lambda g: g.ranks)


def _communicators(calls: pl.DataFrame) -> list[str]:
    return calls["communicator"].unique().drop_nulls().cast(pl.String).to_list()


def _pairs(calls: pl.DataFrame, told: Mapping[str, tuple[Members, int]]) -> pl.DataFrame:
    """row, pair: the ranks of each send and receive of a communicator of more than two, all of which are there.

    A communicator numbers its ranks in their order.
    """
    wide = [
        (name, place, rank)
        for name, (ranks, size) in told.items()
        if len(ranks) == size > 2
        for place, rank in enumerate(ranks)
    ]
    table = pl.DataFrame(wide, schema={"communicator": pl.String, "peer": pl.Int64, "other": pl.Int64}, orient="row")
    sent = calls.filter(pl.col("cls") == WorkClass.P2P).select(
        "row", "rank", pl.col("communicator").cast(pl.String), "peer"
    )
    pair = pl.concat_str(pl.min_horizontal("rank", "other"), pl.max_horizontal("rank", "other"), separator=",")
    return (
        sent.join(table, on=["communicator", "peer"]).filter(pl.col("rank") != pl.col("other")).select("row", pair=pair)
    )


def _with_init(ranks: frozenset[int], init: Communicator | None) -> tuple[Members, int]:
    members = tuple(sorted(ranks | set(init.ranks if init else ())))
    return members, max(init.size if init else 0, len(members))


def _add(groups: dict[Members, Group], group: Group) -> None:
    before = groups.get(group.ranks)
    if before is None:
        groups[group.ranks] = group
        return
    order = list(GroupSource)
    source = min(before.source, group.source, key=order.index)
    both = tuple(dict.fromkeys(before.communicators + group.communicators))
    groups[group.ranks] = Group(group.ranks, source, max(before.size, group.size), both)


def _of_kind(
    calls: pl.DataFrame, known: Sequence[tuple[Members, int]], *, clocked: bool
) -> list[tuple[Group, Members]]:
    """The groups of calls of one kind, each with its ranks that make such calls; none where nothing tells."""
    ranks = tuple(calls["rank"].unique().sort().to_list())
    size, barrier = calls["group_size"][0], bool(calls["barrier"][0])
    if size is not None and size >= len(ranks):
        # Some of its ranks may be in no trace.
        return [(Group(ranks, GroupSource.NAME, size), ranks)]
    whole = [(Group(ranks, GroupSource.INFERRED, len(ranks)), ranks)]
    if calls["cls"][0] == WorkClass.P2P:
        # A send tells nothing of with whom it is; two ranks leave no choice.
        return whole if len(ranks) == 2 else []
    fitting = sorted({(own, n) for own, n in known if n > 1 and size in (None, n) and set(own) & set(ranks)})
    distance = distances(sampled(calls, ranks)) if clocked and barrier else np.zeros((len(ranks), len(ranks)))
    made = _of_communicators(ranks, fitting, distance)
    if made or not barrier:
        return made or whole
    found = inferred(distance, size)
    if not found:
        return whole
    own = [tuple(ranks[i] for i in place) for place in found]
    return [(Group(members, GroupSource.INFERRED, len(members)), members) for members in own]


def _of_communicators(
    ranks: Members, known: Sequence[tuple[Members, int]], distance: _F64
) -> list[tuple[Group, Members]]:
    """The largest communicators that the traces saw being made, in which ranks leave their calls together.

    None where they do not hold every rank, each once.
    """
    place = {rank: i for i, rank in enumerate(ranks)}
    found: list[tuple[Group, Members]] = []
    placed: set[int] = set()
    for members, size in sorted(known, key=lambda entry: (-len(entry[0]), entry[0])):
        own = tuple(rank for rank in members if rank in place)
        if placed & set(own) or not _together(distance, [place[rank] for rank in own]):
            continue
        found.append((Group(members, GroupSource.COMM_INIT, size), own))
        placed |= set(own)
    return found if placed == set(ranks) else []


def inferred(distance: _F64, size: int | None) -> list[list[int]]:
    """The partition in which each leaves its calls with the others of its group; none where there is none.

    distance: as distances gives it. size: of the groups, where it is told; else the largest divisor of their number
    that agrees. Ties go to consecutive places.
    """
    count = len(distance)
    sizes = [size] if size is not None else [n for n in range(count, 1, -1) if count % n == 0]
    for n in sizes:
        groups = [] if count % n else _nearest(distance, n)
        if groups and (size is not None or all(_together(distance, own) for own in groups)):
            return groups
    return []


def _together(distance: _F64, own: Sequence[int]) -> bool:
    """Whether all of these leave their calls together."""
    return bool((distance[np.ix_(own, own)] <= TOGETHER).all())


def _nearest(distance: _F64, size: int) -> list[list[int]]:
    """Groups of this size: the first rank that has none, with those that end their calls nearest to it."""
    rest = list(range(len(distance)))
    groups = []
    while rest:
        first = rest.pop(0)
        rounded = np.floor(distance[first] / _TIE)
        nearest = sorted(rest, key=lambda other: (rounded[other], other))[: size - 1]
        groups.append([first, *sorted(nearest)])
        rest = [other for other in rest if other not in nearest]
    return groups
