"""What a redacted copy keeps: a list of tables and columns, and how the content of each column is treated.

Whatever is not listed is not copied, so a table or column that nsys adds tomorrow is left out until it is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from nsysan.model.launchers import VARIABLES

#: Treatments of a column. A number is copied as it is; all others pass through a function of scrub.Scrubber.
NUMBER, CODE_ID, LABEL_ID = "number", "code_id", "label_id"
LABEL, WORD, PROGRAM, MODEL, PAYLOAD, BLOB = "label", "word", "program", "model", "payload", "blob"

STRINGS: Final = "StringIds"
CAPTURE: Final = "META_DATA_CAPTURE"
EXPORTS: Final = ("META_DATA_EXPORT", "EXPORT_META_DATA")
DIAGNOSTICS: Final = "DIAGNOSTIC_EVENT"
NVTX: Final = "NVTX_EVENTS"
PROCESSES: Final = "PROCESSES"
GPU_WORK: Final = tuple(f"CUPTI_ACTIVITY_KIND_{kind}" for kind in ("KERNEL", "MEMCPY", "MEMSET", "GRAPH_TRACE"))
API: Final = "CUPTI_ACTIVITY_KIND_RUNTIME"

_WORK = "start end deviceId contextId greenContextId streamId correlationId globalPid"
_CALL = "start end eventClass globalTid correlationId nameId:code_id returnValue overheadType"
_ENUM = "id name:word label:word"


def _columns(text: str) -> dict[str, str]:
    return {name: kind or NUMBER for name, _, kind in (word.partition(":") for word in text.split())}


#: Table to column to treatment.
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "CUPTI_ACTIVITY_KIND_KERNEL": _columns(
        f"""{_WORK} demangledName:code_id shortName:code_id launchType cacheConfig
        registersPerThread gridX gridY gridZ blockX blockY blockZ staticSharedMemory dynamicSharedMemory
        localMemoryPerThread localMemoryTotal gridId sharedMemoryExecuted graphNodeId sharedMemoryLimitConfig
        qmdBulkReleaseDone qmdPreexitDone qmdLastCtaDone graphId clusterX clusterY clusterZ
        clusterSchedulingPolicy maxPotentialClusterSize maxActiveClusters sharedMemoryRequestedPercentage"""
    ),
    "CUPTI_ACTIVITY_KIND_MEMCPY": _columns(
        f"""{_WORK} bytes copyKind deprecatedSrcId srcKind dstKind srcDeviceId srcContextId dstDeviceId
        dstContextId migrationCause graphNodeId copyCount"""
    ),
    "CUPTI_ACTIVITY_KIND_MEMSET": _columns(f"{_WORK} value bytes graphNodeId memKind"),
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": _columns(f"{_WORK} graphId graphExecId"),
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": _columns(f"{_WORK} deprecatedSyncType syncType eventId eventSyncId"),
    "CUPTI_ACTIVITY_KIND_CUDA_EVENT": _columns(f"{_WORK} eventId eventSyncId timestamp"),
    API: _columns(_CALL),
    "OSRT_API": _columns("start end eventClass globalTid nameId:code_id nestingLevel"),
    "CUPTI_ACTIVITY_KIND_OVERHEAD": _columns(_CALL),
    "PROFILER_OVERHEAD": _columns(_CALL),
    "CUBLAS_EVENTS": _columns(_CALL),
    "CUDNN_EVENTS": _columns(_CALL),
    "CUDA_GRAPH_NODE_EVENTS": _columns(f"{_CALL} graphNodeId originalGraphNodeId"),
    "CUDA_GRAPH_EVENTS": _columns(f"{_CALL} graphId originalGraphId graphExecId graphNodeId originalGraphNodeId"),
    NVTX: _columns(
        """start end eventType rangeId category color text:label globalTid endGlobalTid textId:label_id domainId
        jsonText:payload binaryData:blob"""
    ),
    "NVTX_PAYLOAD_SCHEMAS": _columns("domainId schemaId name:word type flags numEntries payloadSize alignTo"),
    "NVTX_PAYLOAD_SCHEMA_ENTRIES": _columns("domainId schemaId idx flags type name:word arrayOrUnionDetail offset"),
    "NVTX_PAYLOAD_ENUMS": _columns("domainId schemaId name:word numEntries size"),
    "NVTX_PAYLOAD_ENUM_ENTRIES": _columns("domainId schemaId idx name:word value isFlag"),
    PROCESSES: _columns("globalPid pid name:program"),
    "TARGET_INFO_GPU": _columns(
        """vmId id name:model isDiscrete l2CacheSize totalMemory memoryBandwidth clockRate smCount pwGpuId
        chipName:model cuDevice constantMemory maxIPC maxRegistersPerBlock maxShmemPerBlock maxShmemPerBlockOptin
        maxShmemPerSm maxRegistersPerSm threadsPerWarp asyncEngines maxWarpsPerSm maxBlocksPerSm
        maxThreadsPerBlock computeMajor computeMinor smMajor smMinor"""
    ),
    "TARGET_INFO_CUDA_DEVICE": _columns("gpuId cudaId pid numMultiprocessors"),
    "TARGET_INFO_CUDA_CONTEXT_INFO": _columns(
        "nullStreamId hwId vmId processId deviceId contextId parentContextId isGreenContext numMultiprocessors"
    ),
    "TARGET_INFO_CUDA_NULL_STREAM": _columns("streamId hwId vmId processId deviceId contextId"),
    "TARGET_INFO_CUDA_STREAM": _columns("streamId hwId vmId processId contextId priority flag"),
    "TARGET_INFO_SESSION_START_TIME": _columns("utcEpochNs"),
    "TARGET_INFO_GPU_METRICS": _columns("typeId sourceId typeName:word metricId metricName:word"),
    "GPU_METRICS": _columns("rawTimestamp timestamp typeId metricId value"),
    "ANALYSIS_DETAILS": _columns("globalVid duration startTime stopTime"),
    **{
        f"ENUM_{name}": _columns(_ENUM)
        for name in (
            "CUDA_MEMCPY_OPER",
            "CUDA_MEM_KIND",
            "CUDA_KERNEL_LAUNCH_TYPE",
            "CUDA_FUNC_CACHE_CONFIG",
            "CUDA_SHARED_MEM_LIMIT_CONFIG",
            "CUPTI_SYNC_TYPE",
            "CUPTI_STREAM_TYPE",
            "CUPTI_OVERHEAD_TYPE",
            "NSYS_EVENT_CLASS",
            "NSYS_EVENT_TYPE",
        )
    },
}

#: Columns that say whose a row is; processId is a pid, the others hold it in their upper bits.
OWNERS: Final = ("globalPid", "globalTid")
PIDS: Final = ("pid", "processId")

#: NVTX events that analysis needs: ranges, and the creation of the domains that they name.
NVTX_EVENT_TYPES: Final = (59, 60, 75)

#: Environment entries that number a rank; kept where the value is a small whole number.
RANK_VARIABLES: Final = ("LOCAL_RANK", *sorted(VARIABLES))

#: Capture options that say how was traced, not what; the prefix PROCESS_0: went in 2026.
CAPTURE_NAMES: Final = re.compile(
    r"(?:PROCESS_\d+:)?(?:CAPTURE_EVENT_TYPE|RATE_HZ|START_TRIGGER|STOP_TRIGGER|START_DELAY_MS|RUN_DURATION_MS|"
    r"CUDA_[A-Z_]+(?::[A-Z_]+)?|COLLECT_[A-Z0-9_]+|GPU_METRICS_OPTIONS:SAMPLING_FREQUENCY|"
    r"TRACE_AFTER_FORK_BEFORE_EXEC)"
)
EXPORT_NAMES: Final = re.compile(
    r"EXPORT_(?:PRODUCT_(?:NAME|VERSION|DATE)|SCHEMA_VERSION(?:_(?:MAJOR|MINOR|MICRO|CKSUM))?|PLATFORM|ARCH|"
    r"PARAM_(?:LAZY|INCLUDE_JSON|INCLUDE_BLOBS|TIME_NORMALIZE|TIME_SHIFT))"
)
#: A value of these options: yes or no, a number, a version, or one of the words that nsys has for it.
META_VALUE: Final = re.compile(
    r"|true|false|[0-9]{1,12}(?:[ .-][0-9]{1,15}){0,4}(?:-[0-9]{1,12}v[0-9]{1,4})?|NVIDIA Nsight Systems|x64|"
    r"x86_64|arm64|aarch64|sbsa|(?:linux|windows|qnx|macos)(?:-[a-z]{1,10})?|Node|Graph|Immediate|Delayed|Manual|None|Off|On|Auto|"
    r"ProcessTree|SystemWide|System|Process|NvtxEvents|Cuda|CpuCycles|OSRuntime|Graphics|Nvtx|CudaProfilerApi|HotKey"
)


def vocabulary() -> frozenset[str]:
    """The words, in lower case, that any copy holds: names of tables, columns and options."""
    words = " ".join((*TABLES, *(c for columns in TABLES.values() for c in columns), *RANK_VARIABLES, *EXPORTS))
    words += f" {STRINGS} {CAPTURE} {DIAGNOSTICS} {CAPTURE_NAMES.pattern} {EXPORT_NAMES.pattern} timestampType severity"
    return frozenset(part for word in re.findall(r"\w+", words.lower()) for part in (word, *word.split("_")))
