"""One nsys export as frames in one vocabulary, whatever nsys version wrote it.

Nothing behind this module knows table or column names of nsys. Times are int64 nanoseconds as exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.codes import looked_up
from nsysan.columns.rows import kept
from nsysan.columns.threads import each_of
from nsysan.trace.calls import Calls, calls_of
from nsysan.trace.globals import PROCESS_MASK, process_of
from nsysan.trace.store import Store, Where

_I64 = pl.Int64()
#: Of numbers that are mostly small; Int64 where one is not.
_SMALL = pl.Int32()
_TEXT = pl.String()
_BYTES = pl.Binary()
#: Few names, and millions of rows that have one.
_NAME = pl.Categorical()
_MAX_TIME = 1 << 61  # 73 years in ns; sums and differences of such times stay within int64
#: What no recording holds: an operation of the GPU of more than an hour, or a hundred days away from the others.
_LONGEST_NS = 3_600 * 10**9
_WIDEST_NS = 100 * 86_400 * 10**9
_MOST_DEVICES = 1 << 8
#: With a larger share of unusable rows, the rest is no account of the run.
_MAX_UNUSABLE = 0.01
_NVTX_DOMAIN_CREATE = 75
_NVTX_RANGES = (59, 60)
_MEMCPY_KINDS = {1: "HtoD", 2: "DtoH", 8: "DtoD", 10: "PtoP"}
_KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
_MEMCPY = "CUPTI_ACTIVITY_KIND_MEMCPY"
_MEMSET = "CUPTI_ACTIVITY_KIND_MEMSET"
_GRAPH_TRACE = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
_RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
_NVTX = "NVTX_EVENTS"
_GPU_METRICS = "GPU_METRICS"
_CUDA_API_CLASSES = (0, 1)  # runtime and driver; other rows of the table share their correlation ids
#: Calls that give work to a GPU or wait for it. The rest, nine of ten in eager PyTorch, asks for events and devices.
_CALLS_OF_INTEREST = r"^cu(da)?\w*(Launch|Memcpy|Memset|Memory2D|Synchronize|Prefetch|BatchMemOp|Value32|Value64)"
_GPU_MASK = 0xFF  # a typeId of GPU_METRICS ends in nsys' own number of the GPU
#: Stands for the name of a kernel whose name is not in the export.
UNNAMED = "?"
_NSYS_TABLES = frozenset(
    (
        "ANALYSIS_DETAILS",
        "ANALYSIS_FILE",
        "EXPORT_META_DATA",
        "META_DATA_EXPORT",
        "META_DATA_CAPTURE",
        "TARGET_INFO_GPU",
        "TARGET_INFO_SYSTEM_ENV",
        "TARGET_INFO_SESSION_START_TIME",
        "DIAGNOSTIC_EVENT",
        _KERNELS,
        _MEMCPY,
        _RUNTIME,
        _NVTX,
        _GRAPH_TRACE,
    )
)

#: Columns of every frame of GPU work; `type` is kernel, memcpy, memset or graph. Texts are categories.
WORK = {
    "start": _I64,
    "end": _I64,
    "process": _I64,
    "device": _I64,
    "context": _I64,
    "stream": _I64,
    "correlation": _I64,
    "graph_node": _I64,
    "graph": _I64,
    "name": _NAME,
    "demangled": _NAME,
    "bytes": _I64,
    "type": _NAME,
}
_WORK_SOURCE: dict[str, pl.DataType] = {
    "start": _I64,
    "end": _I64,
    "globalPid": _I64,
    "deviceId": _SMALL,
    "contextId": _SMALL,
    "streamId": _SMALL,
    "correlationId": _SMALL,
    "graphNodeId": _SMALL,
}
_WORK_NAMES = {
    "globalPid": "process",
    "deviceId": "device",
    "contextId": "context",
    "streamId": "stream",
    "correlationId": "correlation",
    "graphNodeId": "graph_node",
}


@dataclass(frozen=True)
class Diagnostic:
    """A message of the profiler; severity 1 info, 2 warning, 3 error; process is a globalPid."""

    severity: int
    text: str
    process: int | None


class Trace:
    """One open nsys export. Frames are read when first asked for, and kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        if not _NSYS_TABLES & self._file.tables.keys():
            self._file.close()
            raise NsysanError(
                f"{path}: not an nsys export (no table of nsys in it); make one with "
                f"`nsys export --type sqlite REPORT.nsys-rep`",
                ExitCode.NOT_NSYS,
            )
        self._unusable: dict[str, int] = {}
        self._begin: int | None = None
        self._end: int | None = None

    def narrow(self, begin: int | None = None, end: int | None = None) -> None:
        """Read only GPU work that starts from `begin` to before `end` (ns)."""
        if (begin, end) == (self._begin, self._end):
            return
        self._begin, self._end = begin, end
        self._forget("_kernel_rows", "kernels", "copies", "graph_replays", "calls")

    def extent(self) -> tuple[int, int] | None:
        """Start of the first kernel or replay, and of the last, whatever `narrow` says; None without any (ns)."""
        starts = pl.concat([self._file.read(table, {"start": _I64}) for table in (_KERNELS, _GRAPH_TRACE)])["start"]
        first, last = starts.min(), starts.max()
        return None if first is None or last is None else (int(first), int(last))  # type: ignore[arg-type]

    def _work_wanted(self) -> list[Where]:
        whole = self._begin is None and self._end is None
        return [] if whole else [Where("start", at_least=self._begin, below=self._end)]

    @property
    def unusable_rows(self) -> dict[str, int]:
        """Rows of the frames read so far that are left out, by what they would be: their times or ids cannot be."""
        return {what: n for what, n in self._unusable.items() if n}

    def damaged(self, what: str) -> NsysanError:
        """The error for content that cannot be what nsys wrote."""
        return self._file.damaged(what)

    def leave_out(self, what: str, rows: int) -> None:
        """Count rows that a reader of the frames leaves out."""
        self._unusable[what] = rows

    @property
    def lacking(self) -> list[str]:
        """What GPU work does not tell of itself, having lost the column: process, device, stream, graph_node."""
        columns = self._file.tables.get(_KERNELS) or self._file.tables.get(_GRAPH_TRACE, tuple(_WORK_NAMES))
        wanted = ("globalPid", "deviceId", "streamId", *(("graphNodeId",) if _KERNELS in self._file.tables else ()))
        return [_WORK_NAMES[name] for name in wanted if name not in columns]

    @property
    def has_launch_calls(self) -> bool:
        """Whether CUDA API calls are in the export at all."""
        return _RUNTIME in self._file.tables

    @property
    def has_messages(self) -> bool:
        """Whether messages of the profiler are in the export; every recording has some."""
        return "DIAGNOSTIC_EVENT" in self._file.tables

    @property
    def has_ranges(self) -> bool:
        """Whether NVTX events are in the export at all."""
        return _NVTX in self._file.tables

    @property
    def name(self) -> str:
        """The file's name without its folder, which may say more than a report should."""
        return self.path.name

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables in the export."""
        return tuple(self._file.tables)

    def row_count(self, table: str) -> int:
        """Number of rows of one of `tables`."""
        return self._file.count(table)

    @cached_property
    def export_info(self) -> dict[str, str]:
        """What nsys says of the export itself, by its own keys; empty for exports of 2021 and older."""
        old, new = "EXPORT_META_DATA", "META_DATA_EXPORT"
        frame = self._file.read(new if new in self._file.tables else old, {"name": _TEXT, "value": _TEXT})
        return {name: value or "" for name, value in frame.iter_rows() if name}

    @property
    def nsys_version(self) -> str | None:
        """Version of the nsys that exported; it can differ from the one that recorded."""
        return self.export_info.get("EXPORT_PRODUCT_VERSION")

    @property
    def schema_version(self) -> str | None:
        """Version of the export's schema, as nsys numbers it."""
        return self.export_info.get("EXPORT_SCHEMA_VERSION")

    @cached_property
    def capture_options(self) -> list[tuple[str, str]]:
        """Name and value of each capture option, in file order, the environment left out; names repeat."""
        return [(name, value) for name, value in self._capture_rows if "ENVIRONMENT" not in name]

    @cached_property
    def environment(self) -> dict[str, str]:
        """Environment of the launched command. It may hold secrets: never print it whole."""
        entries = [value for name, value in self._capture_rows if name.endswith("ENVIRONMENT_VARIABLE")]
        pairs = (entry.partition("=") for entry in entries)
        return {name: value.strip('"') for name, _, value in pairs}

    @cached_property
    def _capture_rows(self) -> list[tuple[str, str]]:
        frame = self._file.read("META_DATA_CAPTURE", {"name": _TEXT, "value": _TEXT})
        return [(name or "", value or "") for name, value in frame.iter_rows()]

    @cached_property
    def graph_mode(self) -> str:
        """How CUDA graphs were traced: "node", "graph", or "none" where no replay is in the trace."""
        if _GRAPH_TRACE in self._file.tables:
            return "graph"
        has_nodes = self.kernels["graph_node"].is_not_null().any() or self.copies["graph_node"].is_not_null().any()
        return "node" if has_nodes else "none"

    @cached_property
    def session_start_utc_ns(self) -> int | None:
        """UTC of the trace's time 0, in ns since 1970."""
        frame = self._file.read("TARGET_INFO_SESSION_START_TIME", {"utcEpochNs": _I64})
        return frame["utcEpochNs"][0] if len(frame) else None

    @cached_property
    def kernels(self) -> pl.DataFrame:
        """Every kernel: the columns of WORK, `name` being nsys' short name."""
        frame = self._kernel_rows
        self._forget("_kernel_rows")
        _ = self._strings  # once, for both
        named = each_of(lambda id_: self._named(frame[id_]), ("shortName", "demangledName"))
        kernels = frame.rename(_WORK_NAMES).with_columns(name=named[0], demangled=named[1])
        return kernels.pipe(self._with_short_names).pipe(self._as_work, kind="kernel")

    @cached_property
    def _kernel_rows(self) -> pl.DataFrame:
        source = {**_WORK_SOURCE, "shortName": _SMALL, "demangledName": _SMALL}
        return self._file.read(_KERNELS, source, self._work_wanted())

    def read_work(self) -> None:
        """Read from the file what `kernels`, `copies` and `graph_replays` are made of."""
        _ = self.copies, self.graph_replays, self._strings, self._kernel_rows

    @cached_property
    def copies(self) -> pl.DataFrame:
        """Every memory copy and memory set: the columns of WORK."""
        copies = self._file.read(_MEMCPY, {**_WORK_SOURCE, "bytes": _I64, "copyKind": _I64}, self._work_wanted())
        direction = pl.col("copyKind").replace_strict(_MEMCPY_KINDS, default="other", return_dtype=pl.String)
        copies = copies.with_columns(name=(pl.lit("memcpy ") + direction).cast(_NAME))
        sets = self._file.read(_MEMSET, {**_WORK_SOURCE, "bytes": _I64}, self._work_wanted())
        sets = sets.with_columns(name=pl.lit("memset", _NAME))
        return pl.concat(
            (
                copies.rename(_WORK_NAMES).pipe(self._as_work, kind="memcpy"),
                sets.rename(_WORK_NAMES).pipe(self._as_work, kind="memset"),
            ),
            how="vertical_relaxed",
        )

    @cached_property
    def graph_replays(self) -> pl.DataFrame:
        """CUDA graph replays recorded as one block (graph-level tracing): the columns of WORK."""
        source = {name: dtype for name, dtype in _WORK_SOURCE.items() if name != "graphNodeId"}
        frame = self._file.read(_GRAPH_TRACE, {**source, "graphId": _I64, "graphExecId": _I64}, self._work_wanted())
        return (
            frame.rename({old: new for old, new in _WORK_NAMES.items() if old in source})
            .with_columns(graph=pl.coalesce("graphExecId", "graphId"), name=pl.lit("CUDA graph replay", _NAME))
            .pipe(self._as_work, kind="graph")
        )

    @property
    def launches(self) -> pl.DataFrame:
        """CUDA API calls that give work to a GPU or wait for it: start, end, process, thread, correlation, name (a
        category).

        (process, correlation) names one call; what else nsys files under the same correlation (backtraces
        of schema 2) is left out.
        """
        return self.calls.frame()

    @cached_property
    def calls(self) -> Calls:
        """The same calls in fewer bytes."""
        columns = {"start": _I64, "end": _I64, "globalTid": _I64, "correlationId": _SMALL, "nameId": _SMALL}
        calls = self._strings.filter(pl.col("value").str.contains(_CALLS_OF_INTEREST))["id"].sort().to_list()
        # Without names a call is still known by the work that it gave. First what drops most rows.
        wanted = [Where("nameId", one_of=calls)] if len(self._strings) else []
        wanted += [Where("eventClass", one_of=_CUDA_API_CLASSES)]
        # Work may have been launched long before it starts, but not after.
        wanted += [Where("start", below=self._end)] if self._end is not None else []
        frame = self._file.read(_RUNTIME, columns, wanted)
        return calls_of(
            frame.rename({"globalTid": "thread", "correlationId": "correlation"})
            .with_columns(name=self._named(frame["nameId"], pl.col("value").str.replace(r"_v\d+$", "")))
            .pipe(self._timed, "launch calls")
        )

    @cached_property
    def synchronise_calls(self) -> pl.DataFrame:
        """CUDA API calls in which the host waits for a GPU: the columns of `launches`."""
        return self.calls.frame(pl.col("name").cast(_TEXT).str.contains("Synchronize"))

    @cached_property
    def ranges(self) -> pl.DataFrame:
        """Closed NVTX ranges: start, end, process, thread, end_thread, domain (null: default), name, json, binary.

        json: the payload in words, a category; binary: as bytes where there are no words. Null where there is none.
        """
        events = self._nvtx
        domains = (
            events.filter((pl.col("eventType") == _NVTX_DOMAIN_CREATE) & (pl.col("domainId") != 0))
            .select("process", "domainId", domain="name")
            .unique(["process", "domainId"], keep="first", maintain_order=True)
        )
        ranges = events.filter(pl.col("eventType").is_in(_NVTX_RANGES) & pl.col("end").is_not_null())
        # A capture range that opens late, and a trimmed file, lack the row that names NCCL's domain.
        by_prefix = pl.when((pl.col("domainId") != 0) & pl.col("name").str.contains(r"^nccl[A-Z]")).then(pl.lit("NCCL"))
        return (
            ranges.pipe(self._timed, "NVTX ranges")
            .join(domains, on=["process", "domainId"], how="left")
            .with_columns(
                domain=pl.coalesce("domain", by_prefix),
                json=pl.col("json").cast(_NAME),
                binary=pl.when(pl.col("json").fill_null("") == "").then("binary"),
            )
            .select("start", "end", "process", "thread", "end_thread", "domain", "name", "json", "binary")
        )

    @cached_property
    def open_range_count(self) -> int:
        """NVTX ranges that never ended within the capture."""
        is_range = pl.col("eventType").is_in(_NVTX_RANGES)
        return self._nvtx.filter(is_range & pl.col("end").is_null()).height

    @cached_property
    def _nvtx(self) -> pl.DataFrame:
        columns = {
            "start": _I64,
            "end": _I64,
            "eventType": _SMALL,
            "text": _TEXT,
            "textId": _SMALL,
            "globalTid": _I64,
            "endGlobalTid": _I64,
            "domainId": _SMALL,
            "jsonText": _TEXT,
            "binaryData": _BYTES,
        }
        frame = self._file.read(_NVTX, columns)
        registered = looked_up(frame["textId"], self._strings["id"], self._strings["value"])
        return frame.with_columns(
            name=pl.coalesce("text", registered),
            process=process_of("globalTid"),
            domainId=pl.col("domainId").fill_null(0),
        ).rename({"globalTid": "thread", "endGlobalTid": "end_thread", "jsonText": "json", "binaryData": "binary"})

    @cached_property
    def payload_entries(self) -> pl.DataFrame:
        """What NVTX payloads are made of: domain, schema, index, type, label, offset; processes are not told apart."""
        names = {
            "domainId": "domain",
            "schemaId": "schema",
            "idx": "index",
            "type": "type",
            "name": "label",
            "offset": "offset",
        }
        columns = {name: _TEXT if name == "name" else _I64 for name in names}
        return self._file.read("NVTX_PAYLOAD_SCHEMA_ENTRIES", columns).rename(names).unique(maintain_order=True)

    @cached_property
    def graph_nodes(self) -> pl.DataFrame:
        """Creation of CUDA graph nodes: created, process, thread, node, original (the node it was cloned from)."""
        columns = {"start": _I64, "globalTid": _I64, "graphNodeId": _I64, "originalGraphNodeId": _I64}
        source = "CUDA_GRAPH_NODE_EVENTS"
        if source not in self._file.tables and "graphNodeId" in self._file.tables.get("CUDA_GRAPH_EVENTS", ()):
            source = "CUDA_GRAPH_EVENTS"  # schema 2 kept node events under this name
        return (
            self._file.read(source, columns)
            .rename(
                {"start": "created", "globalTid": "thread", "graphNodeId": "node", "originalGraphNodeId": "original"}
            )
            .with_columns(process=process_of("thread"))
            .pipe(self._timed, "graph nodes", begin="created", end="created")
        )

    @cached_property
    def gpus(self) -> pl.DataFrame:
        """GPUs of the host: gpu (nsys' own number), cuda_device (0 everywhere in old recordings), model, bus,
        chip, memory_bandwidth (bytes/s), sms; the last three are null or 0 in old recordings.
        """
        names = {
            "id": "gpu",
            "cuDevice": "cuda_device",
            "name": "model",
            "busLocation": "bus",
            "chipName": "chip",
            "memoryBandwidth": "memory_bandwidth",
            "smCount": "sms",
        }
        texts = ("name", "busLocation", "chipName")
        columns = {name: _TEXT if name in texts else _I64 for name in names}
        return self._file.read("TARGET_INFO_GPU", columns).rename(names)

    @cached_property
    def cuda_devices(self) -> pl.DataFrame:
        """Which GPU a CUDA ordinal means in a process: pid, device, gpu."""
        columns = {"pid": _I64, "cudaId": _I64, "gpuId": _I64}
        frame = self._file.read("TARGET_INFO_CUDA_DEVICE", columns)
        return frame.rename({"cudaId": "device", "gpuId": "gpu"}).unique(maintain_order=True)

    @cached_property
    def gpu_metrics(self) -> pl.DataFrame:
        """Sampled counters that the export names: gpu (nsys' own number), metric, and the ids of its samples.

        nsys does not keep metric ids from one version, or one GPU, to the next: a metric is known by its name.
        """
        frame = self._file.read("TARGET_INFO_GPU_METRICS", {"typeId": _I64, "metricId": _I64, "metricName": _TEXT})
        if _GPU_METRICS not in self._file.tables:
            frame = frame.clear()
        return (
            frame.drop_nulls()
            .rename({"typeId": "type_id", "metricId": "metric_id", "metricName": "metric"})
            .select("type_id", "metric_id", "metric", gpu=pl.col("type_id") & pl.lit(_GPU_MASK, dtype=pl.Int64))
            .unique(["type_id", "metric_id"], keep="first", maintain_order=True)
        )

    @property
    def gpu_metrics_rate(self) -> int | None:
        """Samples a second of the GPU metrics, as the capture was asked for."""
        asked = [value for name, value in self._capture_rows if name.endswith("GPU_METRICS_OPTIONS:SAMPLING_FREQUENCY")]
        return int(asked[0]) if asked and asked[0].isdecimal() and int(asked[0]) > 0 else None

    def gpu_metric_samples(self, wanted: pl.DataFrame, begin: int, end: int) -> pl.DataFrame:
        """Samples of some rows of `gpu_metrics` with begin <= time < end: gpu, metric, time, value; by time.

        Only these rows leave the file, which may hold tens of millions.
        """
        columns = {"timestamp": _I64, "typeId": _I64, "metricId": _I64, "value": _I64}
        schema = {"gpu": _I64, "metric": _TEXT, "time": _I64, "value": _I64}
        if wanted.is_empty() or not columns.keys() <= set(self._file.tables.get(_GPU_METRICS, ())):
            return pl.DataFrame(schema=schema)
        frame = self._file.read(
            _GPU_METRICS,
            columns,
            [
                Where("timestamp", at_least=begin, below=end),
                Where("metricId", one_of=wanted["metric_id"].unique().sort().to_list()),
                Where("typeId", one_of=wanted["type_id"].unique().sort().to_list()),
            ],
        )
        return (
            frame.rename({"timestamp": "time", "typeId": "type_id", "metricId": "metric_id"})
            .join(wanted, on=["type_id", "metric_id"], how="inner")
            .select(list(schema))
            .sort("gpu", "metric", "time")
        )

    @cached_property
    def process_names(self) -> dict[int, str]:
        """Name of the program behind each globalPid."""
        frame = self._file.read("PROCESSES", {"globalPid": _I64, "name": _TEXT})
        return {process: name or "" for process, name in frame.iter_rows()}

    @cached_property
    def diagnostics(self) -> list[Diagnostic]:
        """Messages of the profiler in file order."""
        frame = self._file.read("DIAGNOSTIC_EVENT", {"severity": _I64, "text": _TEXT, "globalPid": _I64})
        return [Diagnostic(severity or 1, text or "", process) for severity, text, process in frame.iter_rows()]

    def _as_work(self, frame: pl.DataFrame, kind: str) -> pl.DataFrame:
        """The columns of WORK; rows whose time or device cannot be are left out, NsysanError if they are many."""
        blank = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in WORK.items() if name not in frame.columns]
        frame = frame.with_columns(blank)
        # A column that is missing, or empty throughout, is a lesser export; a gap in one is damage.
        told = [name for name in ("process", "device") if frame[name].null_count() < len(frame)]
        ids = [_is_id(name) for name in told]
        usable = self._timed(kept(frame, *ids) if ids else frame, f"{kind} rows", _LONGEST_NS)
        if len(usable):
            middle = pl.col("start").median().cast(_I64)
            usable = kept(usable, (pl.col("start") - middle).abs() < _WIDEST_NS)
        lost = self._unusable[f"{kind} rows"] = len(frame) - len(usable)
        if lost > _MAX_UNUSABLE * len(frame):
            raise self._file.damaged(f"{lost} of {len(frame)} {kind} rows have impossible times, processes or devices")
        return usable.with_columns(
            pl.col("process").fill_null(self._lone_process if "process" not in told and len(frame) else 0),
            pl.col("device").fill_null(0),
            type=pl.lit(kind, _NAME),
            name=pl.col("name").fill_null(pl.lit(UNNAMED, _NAME)),
        ).select(list(WORK))

    def _timed(
        self, frame: pl.DataFrame, what: str, longest: int | None = None, begin: str = "start", end: str = "end"
    ) -> pl.DataFrame:
        """The rows that begin and end at times that a clock can show; the others are counted as `what`."""
        possible = pl.all_horizontal(pl.col(begin, end).is_between(-_MAX_TIME, _MAX_TIME))
        lasted = pl.col(end) - pl.col(begin)
        usable = kept(kept(frame, possible), lasted >= 0, lasted <= (2 * _MAX_TIME if longest is None else longest))
        self._unusable[what] = len(frame) - len(usable)
        return usable

    @cached_property
    def _lone_process(self) -> int:
        """The process of the CUDA calls if they are of one, else 0: GPU work that names no process may be its."""
        processes = self.calls.callers["process"].unique()
        return int(processes[0]) if len(processes) == 1 else 0

    def _named(self, ids: pl.Series, form: pl.Expr | None = None) -> pl.Series:
        """The strings (in that form of `value`) that have these ids, as categories."""
        used = self._strings.filter(pl.col("id").is_in(ids.unique().to_list()))
        values = used.select((form if form is not None else pl.col("value")).cast(_NAME)).to_series()
        return looked_up(ids, used["id"], values)

    def _with_short_names(self, kernels: pl.DataFrame) -> pl.DataFrame:
        """Kernels without a short name get it from the demangled one."""
        if not kernels["name"].null_count():
            return kernels
        bare = pl.col("value").str.replace_all("(anonymous namespace)::", "", literal=True)
        bare = bare.str.replace(r"[<(].*$", "").str.extract(r"(\w+)\s*$")
        short = self._named(kernels["demangledName"], bare)
        return kernels.with_columns(name=pl.coalesce("name", short))

    def release(self, *frames: str) -> None:
        """Forget these frames; they are read again if asked for again."""
        if "ranges" in self.__dict__:
            _ = self.open_range_count
            self._forget("_nvtx")
        self._forget(*frames)

    def _forget(self, *frames: str) -> None:
        for name in frames:
            self.__dict__.pop(name, None)

    @cached_property
    def _strings(self) -> pl.DataFrame:
        return self._file.read("StringIds", {"id": _I64, "value": _TEXT}).drop_nulls("id").unique("id", keep="first")


def _open(path: Path) -> Store:
    if path.is_dir():
        from nsysan.trace.columnar import ColumnarFolder

        return ColumnarFolder(path)
    from nsysan.trace.sqlite import SqliteFile

    return SqliteFile(path)


def _is_id(name: str) -> pl.Expr:
    """Whether a column holds what nsys writes for a process (a globalPid) or a device (a small number)."""
    if name == "process":
        return pl.col(name).is_not_null() & (pl.col(name) & pl.lit(~PROCESS_MASK, dtype=_I64) == 0)
    return pl.col(name).is_between(0, _MOST_DEVICES - 1)
