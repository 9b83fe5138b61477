"""Small Nsight Systems SQLite exports whose answer is known on paper.

The tables have the columns and declared types of a real export (nsys 2025.3.2, schema 3.20.3) and, as
in a real export, a table without rows does not exist.
"""

from __future__ import annotations

import json as jsonlib
import random
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

Value = int | float | str | None
Launch = int | tuple[int, int] | None

DEFAULT_LAUNCH: Final = -1
"""Stands for "the usual API call": from 10 us to 8 us before the work starts. A call that really starts
at -1 ns is written as a tuple."""

COMPUTE_KERNEL: Final = "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_NNT"
ALLREDUCE_KERNEL: Final = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL"
ALLREDUCE_DEMANGLED: Final = f"{ALLREDUCE_KERNEL}(ncclDevKernelArgsStorage<(unsigned long)4096>)"

_VM: Final = 1 << 48
_GPU_METRICS: Final = _VM | 1 << 32  # a typeId is this and nsys' number of the GPU
_SESSION_PID: Final = -144115188075855872  # what nsys writes for messages about the session as a whole
_NOTHING: Final = 4294967295
"""Of a synchronisation that is of no event or no stream."""
_MEMCPY_KINDS: Final[Mapping[int, tuple[int, int]]] = {1: (0, 2), 2: (2, 0), 8: (2, 2), 10: (2, 2)}
_ALWAYS: Final = frozenset(
    {
        "META_DATA_EXPORT",
        "META_DATA_CAPTURE",
        "StringIds",
        "TARGET_INFO_GPU",
        "TARGET_INFO_SESSION_START_TIME",
    }
)

_GPU_LIMITS: Final[Mapping[str, Value]] = {
    "isDiscrete": 1,
    "l2CacheSize": 62_914_560,
    "totalMemory": 150_109_880_320,
    "memoryBandwidth": 4_814_304_000_000,
    "clockRate": 1_980_000_000,
    "smCount": 132,
    "luid": 0,
    "chipName": "GH100",
    "ctxswDevPath": "",
    "ctrlDevPath": "",
    "revision": 161,
    "nodeMask": 0,
    "constantMemory": 65_536,
    "maxIPC": 0,
    "maxRegistersPerBlock": 65_536,
    "maxShmemPerBlock": 49_152,
    "maxShmemPerBlockOptin": 232_448,
    "maxShmemPerSm": 233_472,
    "maxRegistersPerSm": 65_536,
    "threadsPerWarp": 32,
    "asyncEngines": 3,
    "maxWarpsPerSm": 64,
    "maxBlocksPerSm": 32,
    "maxThreadsPerBlock": 1024,
    "maxBlockDimX": 1024,
    "maxBlockDimY": 1024,
    "maxBlockDimZ": 64,
    "maxGridDimX": 2_147_483_647,
    "maxGridDimY": 65_535,
    "maxGridDimZ": 65_535,
    "computeMajor": 9,
    "computeMinor": 0,
    "smMajor": 9,
    "smMinor": 0,
}


def _columns(text: str) -> dict[str, str]:
    """{column: declared type} of "name name! name:REAL name:TEXT!"; INTEGER untold, ! is NOT NULL."""
    found: dict[str, str] = {}
    for word in text.split():
        name, _, kind = word.rstrip("!").partition(":")
        found[name] = (kind or "INTEGER") + (" NOT NULL" if word.endswith("!") else "")
    return found


SCHEMA: Final[Mapping[str, Mapping[str, str]]] = {
    "StringIds": {"id": "INTEGER NOT NULL PRIMARY KEY", "value": "TEXT NOT NULL"},
    "TARGET_INFO_SESSION_START_TIME": _columns("utcEpochNs utcTime:TEXT localTime:TEXT"),
    "DIAGNOSTIC_EVENT": _columns("timestamp! timestampType! source! severity! text:TEXT! globalPid"),
    "CUPTI_ACTIVITY_KIND_RUNTIME": _columns(
        "start! end! eventClass! globalTid correlationId nameId! returnValue! callchainId"
    ),
    "NVTX_EVENTS": _columns(
        """start! end eventType! rangeId category color text:TEXT globalTid endGlobalTid textId domainId
        uint64Value int64Value doubleValue:REAL uint32Value int32Value floatValue:REAL jsonTextId
        jsonText:TEXT binaryData:TEXT"""
    ),
    "CUPTI_ACTIVITY_KIND_MEMSET": _columns(
        """start! end! deviceId! contextId! greenContextId streamId! correlationId globalPid value! bytes!
        graphNodeId memKind"""
    ),
    "CUPTI_ACTIVITY_KIND_MEMCPY": _columns(
        """start! end! deviceId! contextId! greenContextId streamId! correlationId globalPid bytes! copyKind!
        deprecatedSrcId srcKind dstKind srcDeviceId srcContextId dstDeviceId dstContextId migrationCause
        graphNodeId virtualAddress copyCount"""
    ),
    "CUPTI_ACTIVITY_KIND_KERNEL": _columns(
        """start! end! deviceId! contextId! greenContextId streamId! correlationId globalPid demangledName!
        shortName! mangledName launchType cacheConfig registersPerThread! gridX! gridY! gridZ! blockX!
        blockY! blockZ! staticSharedMemory! dynamicSharedMemory! localMemoryPerThread! localMemoryTotal!
        gridId! sharedMemoryExecuted graphNodeId sharedMemoryLimitConfig"""
    ),
    "CUDA_GRAPH_NODE_EVENTS": _columns("start! end! eventClass! globalTid nameId! graphNodeId! originalGraphNodeId"),
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": _columns(
        """start! end! deviceId! contextId! greenContextId streamId! correlationId globalPid graphId!
        graphExecId!"""
    ),
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": _columns(
        """start! end! deviceId! contextId! greenContextId streamId! correlationId globalPid deprecatedSyncType
        syncType! eventId! eventSyncId"""
    ),
    "CUPTI_ACTIVITY_KIND_CUDA_EVENT": _columns(
        "deviceId! contextId! greenContextId streamId! correlationId globalPid eventId! eventSyncId"
    ),
    "OSRT_API": _columns("start! end! eventClass! globalTid nameId! returnValue! nestingLevel callchainId!"),
    "TARGET_INFO_GPU_METRICS": _columns("typeId! sourceId! typeName:TEXT! metricId! metricName:TEXT!"),
    "GPU_METRICS": _columns("rawTimestamp! timestamp! typeId! metricId! value!"),
    "PROCESSES": _columns("globalPid pid name:TEXT"),
    "TARGET_INFO_GPU": _columns(
        """vmId! id! name:TEXT busLocation:TEXT isDiscrete l2CacheSize totalMemory memoryBandwidth clockRate
        smCount pwGpuId uuid:TEXT luid chipName:TEXT cuDevice ctxswDevPath:TEXT ctrlDevPath:TEXT revision
        nodeMask constantMemory maxIPC maxRegistersPerBlock maxShmemPerBlock maxShmemPerBlockOptin
        maxShmemPerSm maxRegistersPerSm threadsPerWarp asyncEngines maxWarpsPerSm maxBlocksPerSm
        maxThreadsPerBlock maxBlockDimX maxBlockDimY maxBlockDimZ maxGridDimX maxGridDimY maxGridDimZ
        computeMajor computeMinor smMajor smMinor"""
    ),
    "TARGET_INFO_SYSTEM_ENV": _columns("globalVid devStateName:TEXT! name:TEXT! nameEnum! value:TEXT!"),
    "TARGET_INFO_CUDA_DEVICE": _columns("gpuId cudaId! pid!"),
    "META_DATA_CAPTURE": _columns("name:TEXT! value:TEXT"),
    "META_DATA_EXPORT": _columns("name:TEXT! value:TEXT"),
}


@dataclass(frozen=True)
class _Gpu:
    index: int
    id: int
    name: str


class TraceBuilder:
    """Collects rows and writes them as one export. It can be written more than once."""

    def __init__(
        self,
        *,
        nsys_version: str = "2025.3.2.0",
        schema_version: str = "3.20.3",
        graph_mode: str | None = "Node",
        utc_epoch_ns: int = 1_795_224_063_000_000_000,
    ) -> None:
        self.nsys_version = nsys_version
        self.schema_version = schema_version
        self.graph_mode = graph_mode
        self.utc_epoch_ns = utc_epoch_ns
        self._rows: dict[str, list[tuple[Value, ...]]] = {}
        self._strings: dict[str, int] = {"GpuMetrics": 0, "SocMetrics": 1}
        self._processes: dict[int, Process] = {}
        self._gpus: list[_Gpu] = []
        self._metrics: dict[tuple[int, str], int] = {}

    def process(
        self,
        pid: int,
        *,
        device: int = 0,
        name: str = "python",
        tid: int | None = None,
        gpu_id: int | None = None,
    ) -> Process:
        """A new process. gpu_id: it sees only this GPU, under the ordinal `device` (its
        CUDA_VISIBLE_DEVICES is masked); None: it sees every GPU of the trace."""
        if pid in self._processes:
            raise ValueError(f"process {pid} exists already")
        process = Process(self, pid, device, name, pid if tid is None else tid, gpu_id)
        self._processes[pid] = process
        return process

    def env(self, name: str, value: str) -> None:
        self.row("META_DATA_CAPTURE", name="PROCESS_0:ENVIRONMENT_VARIABLE", value=f'{name}="{value}"')

    def host(self, name: str) -> None:
        """The name of the machine."""
        told: dict[str, int | str] = {"devStateName": "Local (CLI)", "name": "Hostname", "nameEnum": 619, "value": name}
        self.row("TARGET_INFO_SYSTEM_ENV", globalVid=_VM, **told)

    def diagnostic(self, text: str, *, severity: int = 2, process: Process | None = None, at: int = 0) -> None:
        """A message of the profiler at a time in ns; severity 1 info, 2 warning, 3 error."""
        self.row(
            "DIAGNOSTIC_EVENT",
            timestamp=at,
            timestampType=2,
            source=3,
            severity=severity,
            text=text,
            globalPid=_SESSION_PID if process is None else process.global_pid,
        )

    def gpu(self, index: int, *, name: str = "NVIDIA H200", id: int | None = None) -> None:
        """A GPU with CUDA ordinal `index`; id is nsys' own number of it. One call turns off the rows
        that are otherwise made up for the devices of the processes."""
        self._gpus.append(_Gpu(index, index if id is None else id, name))

    def gpu_metric(self, gpu: int, name: str, samples: Iterable[tuple[int, int]]) -> None:
        """Samples (time, value) of a counter; gpu is nsys' own number. A metric's id differs from GPU to GPU."""
        type_id = _GPU_METRICS | gpu
        if (gpu, name) not in self._metrics:
            self._metrics[gpu, name] = gpu + sum(known == gpu for known, _ in self._metrics)
            self.row(
                "TARGET_INFO_GPU_METRICS",
                typeId=type_id,
                sourceId=_GPU_METRICS,
                typeName="",
                metricId=self._metrics[gpu, name],
                metricName=name,
            )
        metric_id = self._metrics[gpu, name]
        self._rows.setdefault("GPU_METRICS", []).extend(
            (time, time, type_id, metric_id, value) for time, value in samples
        )

    def row(self, table: str, **values: Value) -> None:
        """One raw row; columns that are not given are NULL."""
        columns = SCHEMA[table]
        if unknown := values.keys() - columns.keys():
            raise KeyError(f"{table} has no column {sorted(unknown)}")
        self._rows.setdefault(table, []).append(tuple(values.get(column) for column in columns))

    def string_id(self, value: str) -> int:
        return self._strings.setdefault(value, len(self._strings))

    def write(
        self,
        path: str | Path,
        *,
        shuffle: int | None = None,
        drop_tables: Iterable[str] = (),
        drop_columns: Mapping[str, Iterable[str]] | None = None,
    ) -> Path:
        """Writes the export over whatever is at `path`. shuffle: seed of the order of the rows."""
        target = Path(path)
        without_tables = set(drop_tables)
        without_columns = {table: set(columns) for table, columns in (drop_columns or {}).items()}
        _check_names(without_tables, without_columns)
        tables = self._all_rows()
        rng = None if shuffle is None else random.Random(shuffle)
        target.unlink(missing_ok=True)
        with closing(sqlite3.connect(target)) as connection, connection:
            # A trace that a crash of the machine damages is written again: nobody waits for its disk.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")
            for table, columns in SCHEMA.items():
                rows = tables.get(table, [])
                if rng is not None:
                    rng.shuffle(rows)
                if table in without_tables or not (rows or table in _ALWAYS):
                    continue
                dropped = without_columns.get(table, set())
                kept = [i for i, column in enumerate(columns) if column not in dropped]
                names = list(columns)
                declared = ", ".join(f'"{names[i]}" {columns[names[i]]}' for i in kept)
                connection.execute(f'CREATE TABLE "{table}" ({declared})')
                connection.executemany(
                    f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(kept))})',
                    [[values[i] for i in kept] for values in rows],
                )
        return target

    def _all_rows(self) -> dict[str, list[tuple[Value, ...]]]:
        """The collected rows in new lists, and those that follow from them."""
        whole = TraceBuilder(utc_epoch_ns=self.utc_epoch_ns)
        whole._rows = {table: list(rows) for table, rows in self._rows.items()}
        whole._rows["StringIds"] = [(number, value) for value, number in self._strings.items()]
        self._add_meta(whole)
        gpus = self._gpus or self._default_gpus()
        for gpu in gpus:
            whole.row(
                "TARGET_INFO_GPU",
                vmId=_VM,
                id=gpu.id,
                name=gpu.name,
                busLocation=f"0000:00:{6 + gpu.id:02x}.0",
                pwGpuId=gpu.id,
                uuid=f"00000000-0000-0000-0000-{gpu.id:012d}",
                cuDevice=gpu.index,
                **_GPU_LIMITS,
            )
        for process in self._processes.values():
            whole.row("PROCESSES", globalPid=process.global_pid, pid=process.pid, name=process.name)
            # nsys lists every GPU that a process can see, not only those that it uses.
            seen = (
                [(gpu.id, gpu.index) for gpu in gpus] if process.gpu_id is None else [(process.gpu_id, process.device)]
            )
            for gpu_id, ordinal in seen:
                whole.row("TARGET_INFO_CUDA_DEVICE", gpuId=gpu_id, cudaId=ordinal, pid=process.pid)
        return whole._rows

    def _add_meta(self, whole: TraceBuilder) -> None:
        micro = [*self.schema_version.split("."), "0", "0"]
        exported = {
            "EXPORT_PRODUCT_NAME": "NVIDIA Nsight Systems",
            "EXPORT_PRODUCT_VERSION": self.nsys_version,
            "EXPORT_SCHEMA_VERSION": self.schema_version,
            "EXPORT_SCHEMA_VERSION_MAJOR": micro[0],
            "EXPORT_SCHEMA_VERSION_MINOR": micro[1],
            "EXPORT_SCHEMA_VERSION_MICRO": micro[2],
        }
        for name, value in exported.items():
            whole.row("META_DATA_EXPORT", name=name, value=value)
        if self.graph_mode is not None:
            # The key lost its prefix in 2026.
            prefix = "" if int(self.nsys_version.split(".")[0]) >= 2026 else "PROCESS_0:"
            key = f"{prefix}CUDA_GRAPH_TRACE_OPTIONS:MODE"
            whole.row("META_DATA_CAPTURE", name=key, value=self.graph_mode)
        utc = datetime.fromtimestamp(self.utc_epoch_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        whole.row("TARGET_INFO_SESSION_START_TIME", utcEpochNs=self.utc_epoch_ns, utcTime=utc, localTime=utc)

    def _default_gpus(self) -> list[_Gpu]:
        numbers: set[int] = set()
        for process in self._processes.values():
            numbers |= process.devices if process.gpu_id is None else {process.gpu_id}
        return [_Gpu(number, number, "NVIDIA H200") for number in sorted(numbers)]


def _check_names(tables: set[str], columns: Mapping[str, set[str]]) -> None:
    """A misspelt name would silently drop nothing, and the test would pass for nothing."""
    if unknown := (tables | columns.keys()) - SCHEMA.keys():
        raise ValueError(f"no such table: {sorted(unknown)}")
    for table, names in columns.items():
        if missing := names - SCHEMA[table].keys():
            raise ValueError(f"{table} has no column {sorted(missing)}")


@dataclass(eq=False)
class Process:
    """One process of a trace. Times are ns from the start of the session."""

    builder: TraceBuilder = field(repr=False)
    pid: int
    device: int
    name: str
    tid: int
    gpu_id: int | None = None
    devices: set[int] = field(default_factory=set, repr=False)
    _correlations: set[int] = field(default_factory=set, repr=False)
    _next_correlation: int = field(default=1, repr=False)
    _domains: dict[str, int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.devices.add(self.device)

    @property
    def global_pid(self) -> int:
        return _VM | self.pid << 24

    @property
    def global_tid(self) -> int:
        return self.thread(self.tid)

    def thread(self, tid: int | None) -> int:
        """globalTid of a thread; None is the main thread."""
        return self.global_pid | (self.tid if tid is None else tid)

    def kernel(
        self,
        name: str,
        start: int,
        end: int,
        *,
        launch: Launch = DEFAULT_LAUNCH,
        stream: int = 7,
        device: int | None = None,
        context: int = 1,
        correlation: int | None = None,
        graph_node: int | None = None,
        demangled: str | None = None,
        tid: int | None = None,
        driver_api: bool = False,
        grid: tuple[int, int, int] = (132, 1, 1),
        block: tuple[int, int, int] = (256, 1, 1),
    ) -> int:
        """A kernel and the call that launched it; the correlation id of both.

        launch: DEFAULT_LAUNCH, (start, end), the start of a call of 2 us, or None for no call.
        """
        api, event_class = ("cuLaunchKernelEx", 1) if driver_api else ("cudaLaunchKernel_v7000", 0)
        correlation = self._launched_by(api, event_class, start, launch, correlation, tid=tid)
        name_id = self.builder.string_id(name)
        self._work(
            "CUPTI_ACTIVITY_KIND_KERNEL",
            start,
            end,
            device,
            contextId=context,
            streamId=stream,
            correlationId=correlation,
            shortName=name_id,
            demangledName=name_id if demangled is None else self.builder.string_id(demangled),
            mangledName=name_id,
            launchType=1,
            cacheConfig=1,
            registersPerThread=32,
            gridX=grid[0],
            gridY=grid[1],
            gridZ=grid[2],
            blockX=block[0],
            blockY=block[1],
            blockZ=block[2],
            staticSharedMemory=0,
            dynamicSharedMemory=0,
            localMemoryPerThread=0,
            localMemoryTotal=0,
            gridId=correlation,
            sharedMemoryExecuted=32_768,
            graphNodeId=graph_node,
            sharedMemoryLimitConfig=0,
        )
        return correlation

    def memcpy(
        self,
        start: int,
        end: int,
        *,
        bytes: int = 8,
        kind: int = 8,
        stream: int = 7,
        launch: Launch = DEFAULT_LAUNCH,
        graph_node: int | None = None,
        correlation: int | None = None,
        tid: int | None = None,
    ) -> int:
        """A copy and its call, as in kernel(); kind 1 HtoD, 2 DtoH, 8 DtoD, 10 PtoP."""
        correlation = self._launched_by("cudaMemcpyAsync_v3020", 0, start, launch, correlation, tid=tid)
        source, destination = _MEMCPY_KINDS.get(kind, (None, None))
        self._work(
            "CUPTI_ACTIVITY_KIND_MEMCPY",
            start,
            end,
            None,
            contextId=1,
            streamId=stream,
            correlationId=correlation,
            bytes=bytes,
            copyKind=kind,
            srcKind=source,
            dstKind=destination,
            graphNodeId=graph_node,
            copyCount=1,
        )
        return correlation

    def memset(
        self,
        start: int,
        end: int,
        *,
        bytes: int = 8,
        stream: int = 7,
        launch: Launch = DEFAULT_LAUNCH,
        graph_node: int | None = None,
        correlation: int | None = None,
        tid: int | None = None,
    ) -> int:
        """A memset and its call, as in kernel()."""
        correlation = self._launched_by("cudaMemsetAsync_v3020", 0, start, launch, correlation, tid=tid)
        self._work(
            "CUPTI_ACTIVITY_KIND_MEMSET",
            start,
            end,
            None,
            contextId=1,
            streamId=stream,
            correlationId=correlation,
            value=0,
            bytes=bytes,
            graphNodeId=graph_node,
            memKind=2,
        )
        return correlation

    def graph_launch(self, start: int, end: int | None = None, *, tid: int | None = None) -> int:
        """The call that replays a graph. Everything in the replay carries its correlation id: give it
        on as correlation= with launch=None."""
        return self.api("cudaGraphLaunch_v10000", start, start + 2_000 if end is None else end, tid=tid)

    def graph_trace(
        self,
        start: int,
        end: int,
        *,
        correlation: int,
        graph_id: int = 1,
        graph_exec_id: int = 2,
        stream: int = 7,
    ) -> None:
        """A whole replay as one row, which is all that tracing at the level of graphs gives."""
        self._work(
            "CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
            start,
            end,
            None,
            contextId=1,
            streamId=stream,
            correlationId=correlation,
            graphId=graph_id,
            graphExecId=graph_exec_id,
        )

    def graph_node(
        self, node_id: int, *, original: int | None = None, created: int = 0, tid: int | None = None
    ) -> None:
        """The creation of a node; node_id is (graph number << 32) | index."""
        self.builder.row(
            "CUDA_GRAPH_NODE_EVENTS",
            start=created,
            end=created,
            eventClass=77,
            globalTid=self.thread(tid),
            nameId=self.builder.string_id("Graph Node Creation"),
            graphNodeId=node_id,
            originalGraphNodeId=original,
        )

    def event_record(self, *, correlation: int, event: int, record: int, stream: int = 7) -> None:
        """An event that the call with this correlation id records. `record` numbers the records of a process: by it
        synchronisations say which of an event's records they are about."""
        self.builder.row(
            "CUPTI_ACTIVITY_KIND_CUDA_EVENT",
            deviceId=self.device,
            contextId=1,
            greenContextId=0,
            streamId=stream,
            correlationId=correlation,
            globalPid=self.global_pid,
            eventId=event,
            eventSyncId=record,
        )

    def synchronization(
        self,
        start: int,
        end: int,
        kind: int,
        *,
        correlation: int,
        stream: int | None = None,
        event: int | None = None,
        record: int | None = None,
    ) -> None:
        """What a call synchronises: kind 1 the host with an event (a query too), 2 a stream with an event, 3 the host
        with a stream, 4 with the whole device."""
        self.builder.row(
            "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION",
            start=start,
            end=end,
            deviceId=self.device,
            contextId=1,
            streamId=_NOTHING if stream is None else stream,
            correlationId=correlation,
            globalPid=self.global_pid,
            syncType=kind,
            eventId=_NOTHING if event is None else event,
            eventSyncId=_NOTHING if record is None else record,
        )

    def nvtx(
        self,
        name: str,
        start: int,
        end: int | None,
        *,
        domain: str | None = None,
        registered: bool = False,
        tid: int | None = None,
        json: str | None = None,
        event_type: int = 59,
    ) -> None:
        """An NVTX range (end None: never closed). Domains are numbered from 1 in every process, in the
        order of their first use here; None is the default domain, 0."""
        self.builder.row(
            "NVTX_EVENTS",
            start=start,
            end=end,
            eventType=event_type,
            text=None if registered else name,
            textId=self.builder.string_id(name) if registered else None,
            globalTid=self.thread(tid),
            domainId=0 if domain is None else self._domain(domain, start, tid),
            jsonText=json,
        )

    def nccl(
        self,
        call: str,
        start: int,
        end: int | None,
        *,
        bytes: int | None = None,
        comm: int | None = None,
        peer: int | None = None,
        tid: int | None = None,
    ) -> None:
        """The NVTX range of an NCCL call; without bytes and comm it has no payload, as in old NCCLs."""
        payload: dict[str, Value] = {}
        if comm is not None:
            payload["NCCL communicator ID"] = comm
        if bytes is not None:
            payload["Message size [bytes]"] = bytes
        if peer is not None:
            payload["Peer rank"] = peer
        if payload and "Reduce" in call:
            payload["Reduction operation"] = "Sum"
        self._nccl_range(call, start, end, payload, tid)

    def comm_init(
        self,
        *,
        comm: int,
        nranks: int,
        rank: int,
        device: int,
        start: int = 0,
        end: int = 1000,
        tid: int | None = None,
    ) -> None:
        """The only place where a trace says which rank a process is."""
        payload: dict[str, Value] = {
            "NCCL communicator ID": comm,
            "No. of ranks": nranks,
            "Rank": rank,
            "CUDA device": device,
        }
        self._nccl_range("ncclCommInitRankConfig", start, end, payload, tid)

    def api(
        self,
        name: str,
        start: int,
        end: int,
        *,
        correlation: int | None = None,
        event_class: int = 0,
        tid: int | None = None,
    ) -> int:
        """Any CUDA API call; event_class 0 runtime, 1 driver, 67 the backtrace double of a call."""
        correlation = self._correlation(correlation)
        self.builder.row(
            "CUPTI_ACTIVITY_KIND_RUNTIME",
            start=start,
            end=end,
            eventClass=event_class,
            globalTid=self.thread(tid),
            correlationId=correlation,
            nameId=self.builder.string_id(name),
            returnValue=0,
        )
        return correlation

    def os_call(self, name: str, start: int, end: int, *, tid: int | None = None) -> None:
        """A call into the operating system."""
        self.builder.row(
            "OSRT_API",
            start=start,
            end=end,
            eventClass=27,
            globalTid=self.thread(tid),
            nameId=self.builder.string_id(name),
            returnValue=0,
            nestingLevel=0,
            callchainId=0,
        )

    def _nccl_range(
        self, call: str, start: int, end: int | None, payload: Mapping[str, Value], tid: int | None
    ) -> None:
        json = jsonlib.dumps(payload, separators=(",", ":")) if payload else None
        self.nvtx(call, start, end, domain="NCCL", registered=True, tid=tid, json=json)

    def _correlation(self, given: int | None) -> int:
        if given is None:
            while self._next_correlation in self._correlations:
                self._next_correlation += 1
            given = self._next_correlation
        self._correlations.add(given)
        return given

    def _launched_by(
        self,
        api: str,
        event_class: int,
        start: int,
        launch: Launch,
        correlation: int | None,
        *,
        tid: int | None,
    ) -> int:
        correlation = self._correlation(correlation)
        if launch is None:
            return correlation
        if launch == DEFAULT_LAUNCH:
            launch = start - 10_000
        called, returned = (launch, launch + 2_000) if isinstance(launch, int) else launch
        return self.api(api, called, returned, correlation=correlation, event_class=event_class, tid=tid)

    def _work(self, table: str, start: int, end: int, device: int | None, **values: Value) -> None:
        device = self.device if device is None else device
        self.devices.add(device)
        self.builder.row(
            table,
            start=start,
            end=end,
            deviceId=device,
            greenContextId=0,
            globalPid=self.global_pid,
            **values,
        )

    def _domain(self, name: str, start: int, tid: int | None) -> int:
        if name not in self._domains:
            self._domains[name] = len(self._domains) + 1
            self.builder.row(
                "NVTX_EVENTS",
                start=start,
                eventType=75,
                text=name,
                globalTid=self.thread(tid),
                domainId=self._domains[name],
            )
        return self._domains[name]


def decode_loop(
    builder: TraceBuilder,
    *,
    ranks: int = 4,
    steps: int = 4,
    layers: int = 2,
    compute_ns: int = 10_000,
    wire_ns: int = 8_000,
    gap_ns: int = 2_000,
    late: Mapping[int, int] | None = None,
    nvtx: bool = True,
    message_bytes: int | None = 8192,
    same_device: bool = False,
    graph: bool = False,
    start_ns: int = 1_000_000,
    first_pid: int = 1000,
    comm: int = 0x1234_5678_9ABC,
    ahead: bool = True,
) -> list[Process]:
    """A decode run of `ranks` processes in lockstep; rank r is the r-th of the list.

    In every layer of every step each rank runs one compute kernel and then, without a pause, one
    all-reduce. Rank r computes for compute_ns + late[r] (0 where late does not name it); an all-reduce
    can finish only after the last rank has come, so it ends everywhere at the same time, wire_ns after
    the last rank's has started. The next layer starts there; the next step starts gap_ns later.
    With slack = max(late[r] over all ranks), per rank r and step:

        period   layers * (compute_ns + slack + wire_ns) + gap_ns        (step s starts at
                                                                          start_ns + s * period)
        compute  layers * (compute_ns + late[r])
        wait     layers * (slack - late[r])      the part of its all-reduces before the last rank came
        wire     layers * wire_ns                the part of them after that
        idle     gap_ns                          (none after the last step)

    compute + wait + wire + idle = period. One all-reduce of rank r lasts slack - late[r] + wire_ns, and
    `steps` steps cover steps * period - gap_ns from the first kernel's start to the last one's end.
    With the defaults: period 38_000, compute 20_000, wait 0, wire 16_000, idle 2_000. With
    late={1: 3_000}: period 44_000; rank 1 computes 26_000 and waits 0, the others 20_000 and 6_000.

    Hosts run a step ahead: those of step s launch it, in calls of 2_000 ns that begin every 3_000, once step s - 2
    has ended, for which cudaEventSynchronize waits (it returns 300 ns later, and the first call begins 200 after that).
    Those of the first two steps have nothing to wait for; the first call begins 10_000 ns before the first kernel.
    Not ahead: each call begins 10_000 ns before its kernel, and nothing says what its host waited for.
    nvtx: a range decode_step_<s> on every rank, from 100 ns before its first call to its last one's end.
    message_bytes: one range ncclCommInitRankConfig per rank and ncclAllReduce around each all-reduce's
    call; None: no NCCL ranges. same_device: CUDA_VISIBLE_DEVICES is masked for every rank,
    so all are device 0. graph: a step is one cudaGraphLaunch;
    the calls that capture the nodes, and the ncclAllReduce ranges, are there once, before the first
    step, and node (2 << 32) + i is the clone of the captured node (1 << 32) + i, i = 2 * layer for
    compute and 2 * layer + 1 for the all-reduce. If the builder's graph_mode is "Graph", a replay is one
    GRAPH_TRACE row from its first start to its last end, and there are no kernels and no nodes.
    """
    delays = _delays(late or {}, ranks)
    if not graph and min(compute_ns, wire_ns) < 4_000:
        raise ValueError("kernels shorter than 4_000 ns: the launch calls of a thread would overlap")
    processes = [
        builder.process(first_pid + rank, device=0 if same_device else rank, gpu_id=rank if same_device else None)
        for rank in range(ranks)
    ]
    slack = max(delays)
    layer_ns = compute_ns + slack + wire_ns
    period = layers * layer_ns + gap_ns
    launching = 3_000 * (1 if graph else 2 * layers)
    begins = [start_ns + step * period for step in range(steps)]
    calls_of = _a_step_ahead(begins, gap_ns, launching) if ahead else [(begin - 10_000, None) for begin in begins]
    setup = start_ns - 100_000 - (10_000 * layers if graph else 0)
    for rank, process in enumerate(processes):
        if message_bytes is not None:
            process.comm_init(comm=comm, nranks=ranks, rank=rank, device=process.device, start=setup, end=setup + 1_000)
        if graph:
            _capture(process, layers, setup + 10_000, message_bytes, comm)
        for step in range(steps):
            begin = start_ns + step * period
            ready = [begin + layer * layer_ns for layer in range(layers)]
            arrival = [at + compute_ns + delays[rank] for at in ready]
            done = [at + layer_ns for at in ready]
            call, waits = calls_of[step]
            if waits is not None:
                process.api("cudaEventSynchronize_v3020", *waits)
            at = (
                range(call, call + launching, 3_000)
                if ahead
                else [t - 10_000 for pair in zip(ready, arrival, strict=True) for t in pair]
            )
            launches = [None] * 2 * layers if graph else [(start, start + 2_000) for start in at]
            last_call = call if graph else at[-1]
            if graph:
                replay = process.graph_launch(call)
            if graph and builder.graph_mode == "Graph":
                process.graph_trace(begin, done[-1], correlation=replay)
            else:
                for layer in range(layers):
                    node = (2 << 32) + 2 * layer if graph else None
                    launch = launches[2 * layer + 1]
                    process.kernel(
                        COMPUTE_KERNEL,
                        ready[layer],
                        arrival[layer],
                        launch=launches[2 * layer],
                        correlation=replay if graph else None,
                        graph_node=node,
                    )
                    process.kernel(
                        ALLREDUCE_KERNEL,
                        arrival[layer],
                        done[layer],
                        launch=launch,
                        correlation=replay if graph else None,
                        graph_node=None if node is None else node + 1,
                        demangled=ALLREDUCE_DEMANGLED,
                        driver_api=True,
                        grid=(1, 1, 1),
                    )
                    if launch is not None and message_bytes is not None:
                        process.nccl("ncclAllReduce", launch[0] - 500, launch[1] + 500, bytes=message_bytes, comm=comm)
            if nvtx:
                process.nvtx(f"decode_step_{step}", call - 100, last_call + 2_000)
    return processes


def _delays(late: Mapping[int, int], ranks: int) -> list[int]:
    delays = [late.get(rank, 0) for rank in range(ranks)]
    if late.keys() - set(range(ranks)) or min(delays) < 0:
        raise ValueError("late names a rank that is not there, or a negative delay")
    return delays


def _a_step_ahead(begins: list[int], gap: int, launching: int) -> list[tuple[int, tuple[int, int] | None]]:
    """When the first call of each step begins, and from when to when its host waits before, if it does.

    launching: ns that the calls of a step take, and a pause after them.
    """
    found: list[tuple[int, tuple[int, int] | None]] = [(begins[0] - 10_000, None)]
    for step in range(1, len(begins)):
        # Of a short step the second is launched once the first is.
        ended, free = begins[step - 1] - gap, found[-1][0] + launching
        waits = (free - 500, ended + 300) if step > 1 and ended > free else None
        found.append((max(ended + 500, free), waits))
    return found


def _capture(process: Process, layers: int, start: int, message_bytes: int | None, comm: int) -> None:
    """The capture and instantiation of a step: calls without kernels, 4 us apart."""
    for index in range(2 * layers):
        at = start + 4_000 * index
        allreduce = index % 2 == 1
        if allreduce:
            process.api("cuLaunchKernelEx", at, at + 2_000, event_class=1)
        else:
            process.api("cudaLaunchKernel_v7000", at, at + 2_000)
        if allreduce and message_bytes is not None:
            process.nccl("ncclAllReduce", at - 500, at + 2_500, bytes=message_bytes, comm=comm)
        if process.builder.graph_mode != "Node":
            continue
        cloned = start + 8_000 * layers + 1_000 * index
        process.graph_node((1 << 32) + index, created=at + 1_000)
        # A real export has every cloned node twice, and only one of the rows names its original.
        process.graph_node((2 << 32) + index, created=cloned)
        process.graph_node((2 << 32) + index, original=(1 << 32) + index, created=cloned + 500)
