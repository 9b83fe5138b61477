"""The trace builder against the schema of a real export, and its decode loop against arithmetic."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, SCHEMA, TraceBuilder, decode_loop

# Column names of an export of nsys 2025.3.2 (schema 3.20.3), four H200.
REAL_COLUMNS = {
    "StringIds": "id value",
    "TARGET_INFO_SESSION_START_TIME": "utcEpochNs utcTime localTime",
    "TARGET_INFO_SYSTEM_ENV": "globalVid devStateName name nameEnum value",
    "DIAGNOSTIC_EVENT": "timestamp timestampType source severity text globalPid",
    "CUPTI_ACTIVITY_KIND_RUNTIME": ("start end eventClass globalTid correlationId nameId returnValue callchainId"),
    "NVTX_EVENTS": """
        start end eventType rangeId category color text globalTid endGlobalTid textId domainId uint64Value
        int64Value doubleValue uint32Value int32Value floatValue jsonTextId jsonText binaryData""",
    "CUPTI_ACTIVITY_KIND_MEMSET": """
        start end deviceId contextId greenContextId streamId correlationId globalPid value bytes graphNodeId
        memKind""",
    "CUPTI_ACTIVITY_KIND_MEMCPY": """
        start end deviceId contextId greenContextId streamId correlationId globalPid bytes copyKind
        deprecatedSrcId srcKind dstKind srcDeviceId srcContextId dstDeviceId dstContextId migrationCause
        graphNodeId virtualAddress copyCount""",
    "CUPTI_ACTIVITY_KIND_KERNEL": """
        start end deviceId contextId greenContextId streamId correlationId globalPid demangledName shortName
        mangledName launchType cacheConfig registersPerThread gridX gridY gridZ blockX blockY blockZ
        staticSharedMemory dynamicSharedMemory localMemoryPerThread localMemoryTotal gridId
        sharedMemoryExecuted graphNodeId sharedMemoryLimitConfig""",
    "CUDA_GRAPH_NODE_EVENTS": "start end eventClass globalTid nameId graphNodeId originalGraphNodeId",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": """
        start end deviceId contextId greenContextId streamId correlationId globalPid graphId graphExecId""",
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": """
        start end deviceId contextId greenContextId streamId correlationId globalPid deprecatedSyncType syncType
        eventId eventSyncId""",
    "CUPTI_ACTIVITY_KIND_CUDA_EVENT": """
        deviceId contextId greenContextId streamId correlationId globalPid eventId eventSyncId""",
    "OSRT_API": "start end eventClass globalTid nameId returnValue nestingLevel callchainId",
    "TARGET_INFO_GPU_METRICS": "typeId sourceId typeName metricId metricName",
    "GPU_METRICS": "rawTimestamp timestamp typeId metricId value",
    "PROCESSES": "globalPid pid name",
    "TARGET_INFO_GPU": """
        vmId id name busLocation isDiscrete l2CacheSize totalMemory memoryBandwidth clockRate smCount pwGpuId
        uuid luid chipName cuDevice ctxswDevPath ctrlDevPath revision nodeMask constantMemory maxIPC
        maxRegistersPerBlock maxShmemPerBlock maxShmemPerBlockOptin maxShmemPerSm maxRegistersPerSm
        threadsPerWarp asyncEngines maxWarpsPerSm maxBlocksPerSm maxThreadsPerBlock maxBlockDimX maxBlockDimY
        maxBlockDimZ maxGridDimX maxGridDimY maxGridDimZ computeMajor computeMinor smMajor smMinor""",
    "TARGET_INFO_CUDA_DEVICE": "gpuId cudaId pid",
    "META_DATA_CAPTURE": "name value",
    "META_DATA_EXPORT": "name value",
}

ALWAYS = {
    "META_DATA_EXPORT",
    "META_DATA_CAPTURE",
    "StringIds",
    "TARGET_INFO_GPU",
    "TARGET_INFO_SESSION_START_TIME",
}

# A kernel finds its call through the correlation id within its process, never through the id alone.
LAUNCHES = """
    select k.start, r.start, r.end, name.value, r.eventClass
    from CUPTI_ACTIVITY_KIND_KERNEL k
    join CUPTI_ACTIVITY_KIND_RUNTIME r
      on r.correlationId = k.correlationId and (r.globalTid & -16777216) = k.globalPid
    join StringIds name on name.id = r.nameId
    order by k.start"""


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def tables(path: Path) -> set[str]:
    return {name for (name,) in query(path, "select name from sqlite_master where type = 'table'")}


def columns(path: Path, table: str) -> list[str]:
    return [row[1] for row in query(path, f"pragma table_info({table})")]


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {table: query(path, f"select * from {table}") for table in tables(path)}


def full_trace() -> TraceBuilder:
    """One row at least in every table that the builder knows."""
    builder = TraceBuilder()
    builder.env("LOCAL_RANK", "0")
    builder.host("a-machine")
    rank = builder.process(42, device=1, tid=43)
    rank.kernel("gemm", 100_000, 110_000, demangled="void gemm<float>()", driver_api=True)
    rank.kernel("late", 120_000, 130_000, launch=(90_000, 95_000), tid=44, graph_node=2 << 32)
    rank.memcpy(140_000, 141_000, kind=1, launch=125_000)
    rank.memset(150_000, 151_000, launch=None, correlation=70)
    rank.graph_trace(160_000, 170_000, correlation=rank.graph_launch(155_000))
    rank.graph_node(2 << 32, original=1 << 32, created=5_000)
    rank.nvtx("step", 90_000, 96_000)
    rank.nccl("ncclAllReduce", 91_000, 94_000, bytes=8192, comm=7)
    rank.event_record(correlation=900, event=4, record=1)
    rank.synchronization(98_100, 98_900, 2, correlation=901, stream=16, event=4, record=1)
    rank.os_call("poll", 96_500, 97_500)
    builder.diagnostic("Not all CUDA events might have been collected.", process=rank)
    builder.gpu_metric(1, "SMs Active [Throughput %]", [(100_000, 50)])
    return builder


def test_every_table_has_the_columns_of_a_real_export(tmp_path: Path) -> None:
    path = full_trace().write(tmp_path / "t.sqlite")
    assert tables(path) == REAL_COLUMNS.keys() == SCHEMA.keys()
    for table, names in REAL_COLUMNS.items():
        assert columns(path, table) == names.split(), table


def test_a_table_without_rows_does_not_exist(tmp_path: Path) -> None:
    path = TraceBuilder(graph_mode=None).write(tmp_path / "t.sqlite")
    assert tables(path) == ALWAYS
    assert query(path, "select * from META_DATA_CAPTURE") == []


def test_kernels_join_their_launches(tmp_path: Path) -> None:
    path = full_trace().write(tmp_path / "t.sqlite")
    assert query(path, LAUNCHES) == [
        (100_000, 90_000, 92_000, "cuLaunchKernelEx", 1),
        (120_000, 90_000, 95_000, "cudaLaunchKernel_v7000", 0),
    ]
    names = query(
        path,
        """select s.value, d.value, deviceId, globalPid, graphNodeId from CUPTI_ACTIVITY_KIND_KERNEL k
           join StringIds s on s.id = shortName join StringIds d on d.id = demangledName order by k.start""",
    )
    pid = (1 << 48) | (42 << 24)
    assert names == [("gemm", "void gemm<float>()", 1, pid, None), ("late", "late", 1, pid, 2 << 32)]
    threads = query(path, "select globalTid & 0xffffff from CUPTI_ACTIVITY_KIND_RUNTIME order by start, end")
    assert threads == [(43,), (44,), (43,), (43,)]


def test_copies_graphs_and_messages_come_back(tmp_path: Path) -> None:
    path = full_trace().write(tmp_path / "t.sqlite")
    (copy,) = query(path, "select start, end, bytes, copyKind, correlationId from CUPTI_ACTIVITY_KIND_MEMCPY")
    assert copy == (140_000, 141_000, 8, 1, 3)
    assert query(path, "select start, end, correlationId from CUPTI_ACTIVITY_KIND_MEMSET") == [(150_000, 151_000, 70)]
    replay = query(
        path,
        """select g.start, g.end, graphId, graphExecId, r.start from CUPTI_ACTIVITY_KIND_GRAPH_TRACE g
           join CUPTI_ACTIVITY_KIND_RUNTIME r using (correlationId)""",
    )
    assert replay == [(160_000, 170_000, 1, 2, 155_000)]
    nodes = query(path, "select start, eventClass, graphNodeId, originalGraphNodeId from CUDA_GRAPH_NODE_EVENTS")
    assert nodes == [(5_000, 77, 2 << 32, 1 << 32)]
    assert query(path, "select severity, globalPid >> 24 & 0xffffff from DIAGNOSTIC_EVENT") == [(2, 42)]


def test_nvtx_domains_are_numbered_per_process(tmp_path: Path) -> None:
    builder = TraceBuilder()
    first, second = builder.process(1), builder.process(2)
    first.nvtx("forward", 5, 9, domain="torch")
    for process in (first, second):
        process.comm_init(comm=7, nranks=2, rank=process.pid - 1, device=0, start=10, end=20)
        process.nccl("ncclAllGather", 30, 40, bytes=16, comm=7)
        process.nccl("ncclAllReduce", 50, 60)
    first.nvtx("open", 70, None)
    path = builder.write(tmp_path / "t.sqlite")
    created = query(
        path,
        """select globalTid >> 24 & 0xffffff, text, domainId from NVTX_EVENTS where eventType = 75
           order by 1, 3""",
    )
    assert created == [(1, "torch", 1), (1, "NCCL", 2), (2, "NCCL", 1)]
    ranges = query(
        path,
        """select n.text, s.value, n.end, domainId, jsonText from NVTX_EVENTS n
           left join StringIds s on s.id = textId
           where eventType = 59 and (globalTid >> 24 & 0xffffff) = 1 order by n.start""",
    )
    assert [row[:4] for row in ranges] == [
        ("forward", None, 9, 1),
        (None, "ncclCommInitRankConfig", 20, 2),
        (None, "ncclAllGather", 40, 2),
        (None, "ncclAllReduce", 60, 2),
        ("open", None, None, 0),
    ]
    payloads = [None if row[4] is None else json.loads(row[4]) for row in ranges]
    assert payloads[1:4] == [
        {"NCCL communicator ID": 7, "No. of ranks": 2, "Rank": 0, "CUDA device": 0},
        {"NCCL communicator ID": 7, "Message size [bytes]": 16},
        None,
    ]


def test_correlation_ids_collide_between_processes_and_not_within_one() -> None:
    builder = TraceBuilder()
    first, second = builder.process(1), builder.process(2)
    assert [first.kernel("k", 0, 1, correlation=2), first.kernel("k", 1, 2), first.kernel("k", 2, 3)] == [
        2,
        1,
        3,
    ]
    assert [second.kernel("k", 0, 1), second.api("cudaDeviceSynchronize_v3020", 0, 9)] == [1, 2]


def test_the_same_pid_twice_is_refused() -> None:
    builder = TraceBuilder()
    builder.process(1)
    with pytest.raises(ValueError, match="exists already"):
        builder.process(1)


def test_a_row_with_an_unknown_column_is_refused() -> None:
    with pytest.raises(KeyError, match="bogus"):
        TraceBuilder().row("PROCESSES", bogus=1)


def test_metadata(tmp_path: Path) -> None:
    builder = TraceBuilder(utc_epoch_ns=1_795_224_063_427_819_463)
    builder.env("LOCAL_RANK", "3")
    path = builder.write(tmp_path / "t.sqlite")
    exported = dict(query(path, "select name, value from META_DATA_EXPORT"))
    assert exported["EXPORT_PRODUCT_VERSION"] == "2025.3.2.0"
    assert [exported[f"EXPORT_SCHEMA_VERSION{end}"] for end in ("", "_MAJOR", "_MINOR", "_MICRO")] == [
        "3.20.3",
        "3",
        "20",
        "3",
    ]
    assert dict(query(path, "select name, value from META_DATA_CAPTURE")) == {
        "PROCESS_0:ENVIRONMENT_VARIABLE": 'LOCAL_RANK="3"',
        "PROCESS_0:CUDA_GRAPH_TRACE_OPTIONS:MODE": "Node",
    }
    assert query(path, "select utcEpochNs, utcTime from TARGET_INFO_SESSION_START_TIME") == [
        (1_795_224_063_427_819_463, "2026-11-21T01:21:03")
    ]
    newer = TraceBuilder(nsys_version="2026.1.1", graph_mode="Graph").write(tmp_path / "newer.sqlite")
    assert query(newer, "select * from META_DATA_CAPTURE") == [("CUDA_GRAPH_TRACE_OPTIONS:MODE", "Graph")]


def test_gpus_follow_from_the_processes_unless_they_are_given(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.process(1, device=0).kernel("k", 0, 1, device=2)
    builder.process(2, device=1)
    path = builder.write(tmp_path / "t.sqlite")
    assert query(path, "select id, cuDevice from TARGET_INFO_GPU") == [(0, 0), (1, 1), (2, 2)]
    assert len(query(path, "select * from TARGET_INFO_CUDA_DEVICE")) == 6
    builder.gpu(0, id=3)
    builder.gpu(1, id=2, name="NVIDIA A100")
    builder.write(path)
    assert query(path, "select id, cuDevice, name from TARGET_INFO_GPU") == [
        (3, 0, "NVIDIA H200"),
        (2, 1, "NVIDIA A100"),
    ]
    assert query(path, "select * from TARGET_INFO_CUDA_DEVICE") == [
        (3, 0, 1),
        (2, 1, 1),
        (3, 0, 2),
        (2, 1, 2),
    ]


def test_shuffle_changes_the_order_and_not_the_content(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder)
    straight = everything(builder.write(tmp_path / "a.sqlite"))
    mixed = everything(builder.write(tmp_path / "b.sqlite", shuffle=1))
    again = everything(builder.write(tmp_path / "c.sqlite", shuffle=1))
    assert mixed == again
    assert mixed.keys() == straight.keys()
    for table, rows in straight.items():
        assert sorted(mixed[table], key=repr) == sorted(rows, key=repr), table
    for table in ("CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS"):
        assert mixed[table] != straight[table], table


def test_tables_and_columns_can_be_dropped(tmp_path: Path) -> None:
    path = full_trace().write(
        tmp_path / "t.sqlite",
        drop_tables=["NVTX_EVENTS", "TARGET_INFO_GPU"],
        drop_columns={"CUPTI_ACTIVITY_KIND_KERNEL": ["graphNodeId", "greenContextId"]},
    )
    assert tables(path) == SCHEMA.keys() - {"NVTX_EVENTS", "TARGET_INFO_GPU"}
    kept = [
        name
        for name in REAL_COLUMNS["CUPTI_ACTIVITY_KIND_KERNEL"].split()
        if name not in {"graphNodeId", "greenContextId"}
    ]
    assert columns(path, "CUPTI_ACTIVITY_KIND_KERNEL") == kept
    assert query(path, "select start, streamId from CUPTI_ACTIVITY_KIND_KERNEL") == [
        (100_000, 7),
        (120_000, 7),
    ]
    with pytest.raises(ValueError, match="no such table"):
        full_trace().write(path, drop_tables=["NVTX_EVENT"])
    with pytest.raises(ValueError, match="no column"):
        full_trace().write(path, drop_columns={"NVTX_EVENTS": ["jsontext"]})


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("late", [None, {1: 3_000, 2: 500}])
def test_decode_loop_is_what_its_docstring_says(tmp_path: Path, graph: bool, late: dict[int, int] | None) -> None:
    builder = TraceBuilder()
    processes = decode_loop(builder, late=late, graph=graph, steps=3, layers=2)
    path = builder.write(tmp_path / "t.sqlite", shuffle=7)
    kernels = query(
        path,
        """select k.start, k.end, globalPid, deviceId, s.value, graphNodeId, correlationId
           from CUPTI_ACTIVITY_KIND_KERNEL k join StringIds s on s.id = shortName order by k.start""",
    )
    slack = 3_000 if late else 0
    period = 2 * (10_000 + slack + 8_000) + 2_000
    by_rank = defaultdict(list)
    for kernel in kernels:
        by_rank[kernel[2]].append(kernel)
    ends = set()
    for rank, process in enumerate(processes):
        mine = by_rank[process.global_pid]
        delay = (late or {}).get(rank, 0)
        assert [kernel[4] for kernel in mine] == [COMPUTE_KERNEL, ALLREDUCE_KERNEL] * 6
        assert {kernel[3] for kernel in mine} == {rank}
        assert [mine[4 * step][0] for step in range(3)] == [1_000_000 + step * period for step in range(3)]
        compute, reduce = mine[0::2], mine[1::2]
        assert {end - start for start, end, *_ in compute} == {10_000 + delay}
        assert {end - start for start, end, *_ in reduce} == {8_000 + slack - delay}
        idle = [after[0] - before[1] for before, after in pairwise(mine)]
        assert idle == [0, 0, 0, 2_000] * 2 + [0, 0, 0]
        assert mine[-1][1] - mine[0][0] == 3 * period - 2_000
        ends.add(tuple(kernel[1] for kernel in reduce))
        nodes = [kernel[5] for kernel in mine]
        assert nodes == ([(2 << 32) + index for index in range(4)] * 3 if graph else [None] * 12)
        assert len({kernel[6] for kernel in mine}) == (3 if graph else 12)
    assert len(ends) == 1
    calls = query(path, LAUNCHES)
    assert len(calls) == len(kernels) == 48
    if not graph:
        # Those of a step one after the other, before its first kernel.
        assert min(start - called for start, called, *_ in calls) == 10_000


@pytest.mark.parametrize("graph", [False, True])
def test_decode_loop_calls_lie_in_their_ranges_and_never_overlap(tmp_path: Path, graph: bool) -> None:
    builder = TraceBuilder()
    decode_loop(builder, compute_ns=4_000, wire_ns=4_000, gap_ns=0, late={0: 700}, graph=graph, layers=60)
    path = builder.write(tmp_path / "t.sqlite")
    overlaps = """
        select count(*) from (
            select start, lag("end") over (partition by globalTid order by start) as before from ({rows}))
        where before > start"""
    steps = "select * from NVTX_EVENTS where text like 'decode_step_%'"
    reduces = "select n.* from NVTX_EVENTS n join StringIds s on s.id = textId where value = 'ncclAllReduce'"
    for rows in ("select * from CUPTI_ACTIVITY_KIND_RUNTIME", steps, reduces):
        assert query(path, overlaps.format(rows=rows)) == [(0,)]
    inside = """
        select count(*), count(distinct r.rowid) from CUPTI_ACTIVITY_KIND_RUNTIME r
        join ({ranges}) n on n.globalTid = r.globalTid and n.start <= r.start and r."end" <= n."end" """
    launches = 4 * 4 * (1 if graph else 120)
    assert query(path, inside.format(ranges=steps)) == [(launches, launches)]
    captured = 4 * 60 if graph else 4 * 4 * 60
    assert query(path, inside.format(ranges=reduces)) == [(captured, captured)]


def test_graph_capture_leads_from_a_replayed_node_to_its_message(tmp_path: Path) -> None:
    builder = TraceBuilder()
    processes = decode_loop(builder, ranks=2, steps=1, layers=2, graph=True, message_bytes=4096)
    path = builder.write(tmp_path / "t.sqlite")
    found = query(
        path,
        """select s.value, jsonText from CUPTI_ACTIVITY_KIND_KERNEL k
           join StringIds s on s.id = k.shortName
           join CUDA_GRAPH_NODE_EVENTS clone on clone.graphNodeId = k.graphNodeId
             and clone.originalGraphNodeId is not null and (clone.globalTid & -16777216) = k.globalPid
           join CUDA_GRAPH_NODE_EVENTS captured on captured.graphNodeId = clone.originalGraphNodeId
             and captured.globalTid = clone.globalTid
           left join NVTX_EVENTS n on n.globalTid = captured.globalTid and n.jsonText is not null
             and n.start <= captured.start and captured.start <= n.end""",
    )
    assert len(found) == 2 * 2 * 2
    for name, payload in found:
        if name == ALLREDUCE_KERNEL:
            assert json.loads(payload)["Message size [bytes]"] == 4096
        else:
            assert payload is None
    latest = query(path, "select max(start) from CUDA_GRAPH_NODE_EVENTS")[0][0]
    launch = query(path, "select min(start) from NVTX_EVENTS where text = 'decode_step_0'")[0][0]
    assert latest < launch
    assert [process.pid for process in processes] == [1000, 1001]


def test_graph_level_tracing_has_one_row_per_replay(tmp_path: Path) -> None:
    builder = TraceBuilder(graph_mode="Graph")
    decode_loop(builder, ranks=2, steps=3, layers=2, graph=True, nvtx=False, message_bytes=None)
    path = builder.write(tmp_path / "t.sqlite")
    assert tables(path).isdisjoint({"CUPTI_ACTIVITY_KIND_KERNEL", "CUDA_GRAPH_NODE_EVENTS", "NVTX_EVENTS"})
    replays = query(path, "select start, end from CUPTI_ACTIVITY_KIND_GRAPH_TRACE where deviceId = 1 order by 1")
    assert replays == [(1_000_000 + 38_000 * step, 1_036_000 + 38_000 * step) for step in range(3)]


def test_masked_devices_are_told_apart_only_by_the_process(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, same_device=True)
    path = builder.write(tmp_path / "t.sqlite")
    assert query(path, "select distinct deviceId from CUPTI_ACTIVITY_KIND_KERNEL") == [(0,)]
    assert query(path, "select gpuId, cudaId, pid from TARGET_INFO_CUDA_DEVICE") == [
        (0, 0, 1000),
        (1, 0, 1001),
    ]
    assert query(path, "select id from TARGET_INFO_GPU") == [(0,), (1,)]


@pytest.mark.parametrize("late", [{4: 1_000}, {0: -1}])
def test_decode_loop_refuses_a_wrong_rank_or_delay(late: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="late"):
        decode_loop(TraceBuilder(), late=late)


def test_decode_loop_refuses_kernels_too_short_to_launch_apart() -> None:
    with pytest.raises(ValueError, match="4_000"):
        decode_loop(TraceBuilder(), compute_ns=3_000)
