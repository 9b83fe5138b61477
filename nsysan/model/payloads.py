"""What NCCL's NVTX ranges say of a collective: message bytes, communicator, rank (DEFINITIONS.md, sections 6 and 9).

Each call pushes a range in domain NCCL with a payload. The kernel is launched inside that range, or inside the
ncclGroupEnd that closes a group of calls. A kernel replayed by a CUDA graph has no range of its own: its payload
is that of the call during whose range its node was created.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from nsysan.columns.asof import join_nearest
from nsysan.columns.codes import codes
from nsysan.columns.rows import filled
from nsysan.columns.times import by_time
from nsysan.model.binary import BYTES, COMMUNICATOR, DEVICE, PEER, RANK, RANKS, Schemas, decode, schemas_of
from nsysan.timings import stage

_GROUP_START = "GroupStart"
_GROUP_END = "GroupEnd"
_MAX_CLONES = 8
_NO_THREAD = -(1 << 62)
_MAX_BYTES = 1 << 63
_MOST_RANKS = 1 << 24

#: Kind of collective by the call that asks for it, without the nccl prefix that newer tracing drops.
CALL_KINDS = {
    "AllReduce": "all_reduce",
    "AllGather": "all_gather",
    "ReduceScatter": "reduce_scatter",
    "AlltoAll": "all_to_all",
    "AllToAll": "all_to_all",
    "Broadcast": "broadcast",
    "Bcast": "broadcast",
    "Reduce": "reduce",
    "Send": "send_recv",
    "Recv": "send_recv",
}

#: Which half of a message a call is.
_HALVES = {"Send": "send", "Recv": "receive"}
#: Kinds that NCCL makes of sends and receives, in kernels that are named after these.
_MADE_OF_SENDS = ("all_to_all",)


class CommunicatorRank(NamedTuple):
    """The place of one process's device in a communicator."""

    process: int
    device: int | None
    communicator: str
    rank: int
    size: int


def communicator_ranks(ranges: pl.DataFrame, entries: pl.DataFrame) -> list[CommunicatorRank]:
    """Every CommInit and CommSplit that names its rank; ranges, entries: ranges and payload_entries of a Trace."""
    inits = ranges.filter((pl.col("domain") == "NCCL") & pl.col("name").str.contains(r"^(?:nccl)?Comm(?:Init|Split)"))
    found = []
    schemas = _schemas(entries)
    for process, name, text, blob in inits.select("process", "name", "json", "binary").iter_rows():
        payload = _payload(name.removeprefix("nccl"), text, blob, schemas)
        rank, size = _as_int(payload.get(RANK)), _as_int(payload.get(RANKS))
        if rank is not None and size is not None and max(rank, size) < _MOST_RANKS:
            communicator = next((_as_id(v) for k, v in payload.items() if k.startswith(COMMUNICATOR)), None)
            found.append(CommunicatorRank(process, _as_int(payload.get(DEVICE)), communicator or "", rank, size))
    return found


@stage("sizes of messages")
def with_payloads(
    collectives: pl.DataFrame, ranges: pl.DataFrame, nodes: pl.DataFrame, entries: pl.DataFrame
) -> pl.DataFrame:
    """Add message_bytes, communicator, peer, asked and half to collectives.

    collectives: row, process, thread, launch_start, graph_node, kind. ranges, nodes, entries: ranges, graph_nodes and
    payload_entries of the Trace.
    All are null where the trace does not tell. Bytes are as the call passes them: per rank for all-gather
    and reduce-scatter. peer: number, in the communicator, of whom a rank sends to or receives from. asked: the kind of
    collective that was asked for, where the kernel is named after what it is made of. half: send or receive, of a
    message; null where a kernel does both.
    """
    calls = _calls(ranges, entries)
    issue = _issue_points(collectives, nodes)
    # No range encloses two launches of different calls but GroupEnd, so the innermost is the call.
    inside = _innermost(issue, calls)
    grouped = inside.filter(pl.col("call") == _GROUP_END)
    made_of_sends = (pl.col("kind") == "send_recv") & pl.col("call_kind").is_in(_MADE_OF_SENDS)
    sizes = {one.communicator: one.size for one in communicator_ranks(ranges, entries) if one.communicator}
    direct = inside.filter((pl.col("call_kind") == pl.col("kind")) | made_of_sends).select(
        "row", "message_bytes", "communicator", "peer", "half", asked=pl.when(made_of_sends).then("call_kind")
    )
    resolved = pl.concat([direct, _from_groups(grouped, calls, sizes)], how="diagonal").unique("row", keep="first")
    return collectives.join(resolved, on="row", how="left")


def _schemas(entries: pl.DataFrame) -> Schemas:
    columns = ("domain", "schema", "index", "type", "label", "offset")
    return schemas_of(entries.select(columns).iter_rows())


def _payload(call: str, text: str | None, blob: bytes | None, schemas: Schemas) -> dict[str, Any]:
    """The payload of a range by label: in words where the export has them, else from its bytes."""
    if not text:
        return decode(call, blob, schemas)
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _calls(ranges: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """NCCL's API ranges.

    call, call_kind, half, start, end, process, thread, message_bytes, communicator, peer, range_id.
    """
    ranges = ranges.filter(pl.col("domain") == "NCCL").with_columns(call=pl.col("name").str.strip_prefix("nccl"))
    wanted = [*CALL_KINDS, _GROUP_START, _GROUP_END]
    ranges = ranges.filter(pl.col("call").is_in(wanted))
    # Thousands of calls share a handful of payload texts; their bytes differ by what pads them.
    texts = ranges.select("call", "json", pl.col("binary").bin.encode("hex")).cast(pl.Categorical)
    number, distinct = codes(texts.get_columns())
    schemas = _schemas(entries)
    payloads = [
        _payload(call, text, None if blob is None else bytes.fromhex(blob), schemas)
        for call, text, blob in distinct.iter_rows()
    ]
    parsed = distinct.select(
        pl.Series("message_bytes", [_as_int(p.get(BYTES)) for p in payloads], dtype=pl.Int64),
        pl.Series("communicator", [_as_id(p.get(COMMUNICATOR)) for p in payloads], dtype=pl.String),
        pl.Series("peer", [_as_int(p.get(PEER)) for p in payloads], dtype=pl.Int64),
    )
    kind = pl.col("call").replace_strict(CALL_KINDS, default=None, return_dtype=pl.String)
    parsed = parsed.select(pl.all().gather(pl.Series(number)))
    half = pl.col("call").replace_strict(_HALVES, default=None, return_dtype=pl.String)
    calls = ranges.select("call", "start", "end", "process", "thread", *parsed.get_columns(), call_kind=kind, half=half)
    return calls.sort("thread", "start", "end").with_row_index("range_id")


def _as_int(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _MAX_BYTES else None


def _as_id(value: object) -> str | None:
    return str(value) if type(value) in (int, str) else None


def _issue_points(collectives: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """row, kind, thread and time at which each collective's call was issued: its launch, or its node's creation."""
    eager = collectives.filter(pl.col("graph_node").is_null() & pl.col("launch_start").is_not_null())
    eager = eager.select("row", "kind", "thread", time="launch_start")
    if nodes.is_empty():
        return eager
    created = _captured(nodes)
    replayed = (
        collectives.filter(pl.col("graph_node").is_not_null())
        .select("row", "kind", "process", "graph_node")
        .join(created, on=["process", "graph_node"])
        .select("row", "kind", "thread", time="created")
    )
    return pl.concat([eager, replayed])


def _captured(nodes: pl.DataFrame) -> pl.DataFrame:
    """process, graph_node, thread, created: when and where each node's call was captured.

    Instantiating a graph clones its nodes, and a clone may be cloned again: the first of the line was captured.
    """
    key = ["process", "node"]
    parent = nodes.filter(pl.col("original").is_not_null()).unique(key, keep="first", maintain_order=True)
    parent = parent.select(*key, "original")
    line = nodes.select(*key).unique(maintain_order=True).with_columns(graph_node="node")
    for _ in range(_MAX_CLONES):
        line = line.join(parent, on=key, how="left", maintain_order="left")
        cloned = line["original"].is_not_null().any()
        line = line.with_columns(node=pl.coalesce("original", "node")).drop("original")
        if not cloned:
            break
    captured = nodes.filter(pl.col("original").is_null()).sort("created").unique(key, keep="first", maintain_order=True)
    return line.select(*key, "graph_node").join(captured, on=key).select("process", "graph_node", "thread", "created")


def _innermost(points: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """The innermost range that holds each point (row, thread, time), if any, joined to it."""
    time, thread = points["time"].to_numpy(), filled(points["thread"], _NO_THREAD).to_numpy()
    found = np.full(len(points), -1, dtype=np.int64)
    threads = filled(calls["thread"], _NO_THREAD).to_numpy()
    starts, ends = calls["start"].to_numpy(), calls["end"].to_numpy()
    for one in np.intersect1d(thread, threads):
        if one == _NO_THREAD:
            continue
        at, own = np.flatnonzero(thread == one), np.flatnonzero(threads == one)
        own = own[np.argsort(starts[own], kind="stable")]
        # Ranges of one thread nest; those of one depth are disjoint, so the last begun is the only candidate.
        depth = np.arange(len(own)) - np.searchsorted(np.sort(ends[own]), starts[own])
        for level in np.unique(depth)[::-1]:
            candidates, left = own[depth == level], at[found[at] < 0]
            # A range's last ns is still inside.
            number = by_time(time[left], starts[candidates], ends[candidates] + 1)
            found[left[number >= 0]] = candidates[number[number >= 0]]
    held = found >= 0
    rest = calls.drop("thread").select(pl.all().gather(pl.Series(found[held])))
    return pl.concat([points.filter(pl.Series(held)), rest], how="horizontal")


def _from_groups(grouped: pl.DataFrame, calls: pl.DataFrame, sizes: Mapping[str, int]) -> pl.DataFrame:
    """Payloads of launches inside ncclGroupEnd: the calls between it and the last ncclGroupStart. sizes: of the
    communicators.
    """
    columns = ["row", "message_bytes", "communicator", "peer", "half"]
    if grouped.is_empty():
        return pl.DataFrame(schema={name: (grouped if name == "row" else calls).schema[name] for name in columns})
    ends = calls.filter(pl.col("call") == _GROUP_END).select("thread", group="range_id", time="start").sort("time")
    starts = calls.filter(pl.col("call") == _GROUP_START).select("thread", opened="end", time="end").sort("time")
    members = calls.filter(pl.col("call_kind").is_not_null())
    members = join_nearest(members, ends, left_on="start", right_on="time", by="thread", strategy="forward")
    members = join_nearest(members, starts, left_on="start", right_on="time", by="thread")
    closed = ends.select("thread", group="group", closed="time")
    closed = join_nearest(
        closed, starts.select("thread", "time", last_opened="opened"), left_on="closed", right_on="time", by="thread"
    )
    # A call issued before the group's own GroupStart belongs to no group.
    members = members.join(closed.select("group", "last_opened"), on="group").filter(
        pl.col("opened") == pl.col("last_opened")
    )
    members = members.sort("start")
    launches = grouped.sort("time").select("row", "kind", group="range_id")
    nth = pl.int_range(pl.len(), dtype=pl.Int64)
    members = members.with_columns(nth=nth.over("group", "call_kind"), of=pl.len().over("group", "call_kind"))
    launches = launches.with_columns(nth=nth.over("group", "kind"), of=pl.len().over("group", "kind"))
    one_each = launches.join(
        members.select("group", "nth", "of", "message_bytes", "communicator", "peer", "half", kind="call_kind"),
        on=["group", "kind", "nth", "of"],
    )
    # One kernel for several calls moves them all; to all ranks and from all it is an exchange among them.
    sent, received = (pl.col("peer").filter(half=half).unique().sort().implode() for half in ("send", "receive"))
    others = pl.col("communicator").replace_strict(
        {one: size - 1 for one, size in sizes.items()}, default=pl.col("peer").max().over("communicator")
    )
    members = members.with_columns(others=others.cast(pl.Int64))
    exchanged = (sent == received) & (sent.list.len() >= pl.max("others").clip(1))
    whole = members.group_by("group", kind="call_kind").agg(
        asked=pl.when(exchanged).then(pl.lit(_MADE_OF_SENDS[0])),
        message_bytes=pl.when(pl.col("message_bytes").is_not_null().all()).then(pl.sum("message_bytes")),
        communicator=pl.when(pl.n_unique("communicator") == 1).then(pl.first("communicator")),
        peer=pl.when(pl.n_unique("peer") == 1).then(pl.first("peer")),
        half=pl.when(pl.n_unique("half") == 1).then(pl.first("half")),
    )
    single = launches.filter(pl.col("of") == 1).join(one_each.select("row"), on="row", how="anti")
    merged = single.join(whole, on=["group", "kind"])
    return pl.concat([one_each.select(columns), merged.select(*columns, "asked")], how="diagonal")
