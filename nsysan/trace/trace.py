"""One nsys export as frames in one vocabulary, whatever nsys version wrote it.

Nothing behind this room knows table or column names of nsys. Times are int64 nanoseconds as exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import polars as pl

from nsysan import notebook
from nsysan._errors import NsysanError
from nsysan.text import counted, encodable
from nsysan.trace import calls as host_calls
from nsysan.trace import flushes, gpu_work, machine, nvtx, os_calls, provenance
from nsysan.trace.calls import QUERIES, RUNTIME, SYNCHRONISES, Calls, graph_nodes, read_calls
from nsysan.trace.graph_mode import GraphMode
from nsysan.trace.opening import open_store
from nsysan.trace.tables import Tables


class Trace:
    """One open nsys export. Frames are read when first asked for, and kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_store(path)
        self._tables = Tables(self._file)
        self._begin: int | None = None
        self._end: int | None = None
        self._shapes = False

    def __repr__(self) -> str:
        return f"<nsysan.Trace {notebook.names([self.name])}: {counted(len(self.tables), 'table')}>"

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; frames that were read stay valid, others cannot be read any more."""
        self._file.close()

    def limit(self, begin: int | None = None, end: int | None = None, *, shapes: bool = False) -> None:
        """Read only GPU work that starts from `begin` to before `end` (ns); shapes: of kernels SHAPE, too."""
        if (begin, end, shapes) == (self._begin, self._end, self._shapes):
            return
        self._begin, self._end, self._shapes = begin, end, shapes
        self._forget("_kernel_rows", "kernels", "copies", "graph_replays", "calls")

    def extent(self) -> tuple[int, int] | None:
        """Start of the first kernel or replay, and of the last, whatever `limit` says; None without any (ns)."""
        return gpu_work.extent(self._tables)

    @property
    def name(self) -> str:
        """The file's name, as text, without its folder, which may say more than a report should."""
        return encodable(self.path.name)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables in the export."""
        return tuple(self._file.tables)

    def row_count(self, table: str) -> int:
        """Number of rows of one of `tables`."""
        return self._file.count(table)

    @property
    def unusable_rows(self) -> dict[str, int]:
        """Rows of the frames read so far that are left out, by what they would be: their times or ids cannot be."""
        return {what: n for what, n in self._tables.unusable.items() if n}

    def damaged(self, what: str) -> NsysanError:
        """The error for content that cannot be what nsys wrote."""
        return self._file.damaged(what)

    def leave_out(self, what: str, rows: int) -> None:
        """Count rows that a reader of the frames leaves out."""
        self._tables.unusable[what] = rows

    @property
    def lacking(self) -> list[str]:
        """What GPU work does not tell of itself, having lost the column: process, device, stream, graph_node."""
        return gpu_work.lacking(self._tables)

    @property
    def has_launch_calls(self) -> bool:
        """Whether CUDA API calls are in the export at all."""
        return RUNTIME in self._tables

    @property
    def has_messages(self) -> bool:
        """Whether messages of the profiler are in the export; every recording has some."""
        return provenance.DIAGNOSTICS in self._tables

    @property
    def has_ranges(self) -> bool:
        """Whether NVTX events are in the export at all."""
        return nvtx.EVENTS in self._tables

    @cached_property
    def export_info(self) -> dict[str, str]:
        """What nsys says of the export itself, by its own keys; empty for exports of 2021 and older."""
        return provenance.export_info(self._tables)

    @property
    def nsys_version(self) -> str | None:
        """Version of the nsys that exported; it can differ from the one that recorded."""
        return self.export_info.get("EXPORT_PRODUCT_VERSION")

    @property
    def schema_version(self) -> str | None:
        """Version of the export's schema, as nsys numbers it."""
        return self.export_info.get("EXPORT_SCHEMA_VERSION")

    @cached_property
    def _capture_rows(self) -> list[tuple[str, str]]:
        return provenance.capture_rows(self._tables)

    @cached_property
    def capture_options(self) -> list[tuple[str, str]]:
        """Name and value of each capture option, in file order, the environment left out; names repeat."""
        return [(name, value) for name, value in self._capture_rows if "ENVIRONMENT" not in name]

    @cached_property
    def environment(self) -> dict[str, str]:
        """Environment of the launched command. It may hold secrets: never print it whole."""
        return provenance.environment(self._capture_rows)

    @cached_property
    def session_start_utc_ns(self) -> int | None:
        """UTC of the trace's time 0, in ns since 1970."""
        return provenance.session_start_utc_ns(self._tables)

    @cached_property
    def host_name(self) -> str | None:
        """Name of the machine, None where none is told. Never print it: reports number machines."""
        return provenance.host_name(self._tables)

    @cached_property
    def process_names(self) -> dict[int, str]:
        """Name of the program behind each globalPid."""
        return provenance.process_names(self._tables)

    @cached_property
    def diagnostics(self) -> list[provenance.Diagnostic]:
        """Messages of the profiler in file order."""
        return provenance.diagnostics(self._tables)

    # ---- GPU work

    @cached_property
    def graph_mode(self) -> GraphMode:
        """How CUDA graphs were traced."""
        if gpu_work.GRAPH_TRACE in self._tables:
            return GraphMode.GRAPH
        has_nodes = self.kernels["graph_node"].is_not_null().any() or self.copies["graph_node"].is_not_null().any()
        return GraphMode.NODE if has_nodes else GraphMode.NONE

    def read_work(self) -> None:
        """Read from the file what `kernels`, `copies` and `graph_replays` are made of."""
        _ = self.copies, self.graph_replays, self._tables.strings, self._kernel_rows

    @cached_property
    def _kernel_rows(self) -> pl.DataFrame:
        return gpu_work.kernel_rows(self._tables, gpu_work.within(self._begin, self._end), shapes=self._shapes)

    @cached_property
    def kernels(self) -> pl.DataFrame:
        """Every kernel: the columns of vocabulary.WORK, `name` being nsys' short name, and SHAPE if `limit` says so."""
        rows = self._kernel_rows
        self._forget("_kernel_rows")
        return gpu_work.kernels(self._tables, rows, self._lone_process)

    @cached_property
    def copies(self) -> pl.DataFrame:
        """Every memory copy and memory set: the columns of vocabulary.WORK."""
        return gpu_work.copies(self._tables, gpu_work.within(self._begin, self._end), self._lone_process)

    @cached_property
    def graph_replays(self) -> pl.DataFrame:
        """CUDA graph replays recorded as one block (graph-level tracing): the columns of vocabulary.WORK."""
        return gpu_work.graph_replays(self._tables, gpu_work.within(self._begin, self._end), self._lone_process)

    def kernel_shapes(self, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
        """Grid and blocks of kernels (see gpu_work.kernel_shapes)."""
        return gpu_work.kernel_shapes(self._tables, spans)

    def _lone_process(self) -> int:
        """The process of the CUDA calls if they are of one, else 0: GPU work that names no process may be its."""
        processes = self.calls.callers["process"].unique()
        return int(processes[0]) if len(processes) == 1 else 0

    # ---- what the host did

    @property
    def launches(self) -> pl.DataFrame:
        """CUDA API calls that give work to a GPU or wait for it: start, end, process, thread, correlation, name.

        (process, correlation) names one call, without what else nsys files under it (backtraces of schema 2).
        """
        return self.calls.of(~QUERIES).frame()

    @cached_property
    def calls(self) -> Calls:
        """The same calls in fewer bytes."""
        return read_calls(self._tables, self._end)

    @cached_property
    def waiting_calls(self) -> Calls:
        """CUDA API calls in which the host waits for a GPU, or asks whether it is done."""
        return self.calls.of(SYNCHRONISES | QUERIES)

    @cached_property
    def synchronise_calls(self) -> pl.DataFrame:
        """Those in which it waits."""
        return self.waiting_calls.of(SYNCHRONISES).frame()

    def event_records(self, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
        """Records of CUDA events (see calls.event_records); none where the trace has no such table."""
        return host_calls.event_records(self._tables, spans)

    def synchronizations(self, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
        """What calls wait for (see calls.synchronizations); none where the trace has no such table."""
        return host_calls.synchronizations(self._tables, spans)

    def os_calls(self, threads: Sequence[int], begin: int, end: int) -> pl.DataFrame:
        """Calls of threads into the operating system (see os_calls.read_os_calls); none where they were not traced."""
        return os_calls.read_os_calls(self._tables, threads, begin, end)

    @cached_property
    def flushes(self) -> pl.DataFrame:
        """When nsys stopped threads for its buffers (see flushes.read_flushes)."""
        return flushes.read_flushes(self._tables)

    @cached_property
    def graph_nodes(self) -> pl.DataFrame:
        """Creation of CUDA graph nodes: created, process, thread, node, original (the node it was cloned from)."""
        return graph_nodes(self._tables)

    @cached_property
    def _nvtx(self) -> pl.DataFrame:
        return nvtx.read_events(self._tables)

    @cached_property
    def ranges(self) -> pl.DataFrame:
        """Closed NVTX ranges (see nvtx.ranges_of)."""
        return nvtx.ranges_of(self._nvtx, self._tables)

    @cached_property
    def open_range_count(self) -> int:
        """NVTX ranges that never ended within the capture."""
        return nvtx.open_count(self._nvtx)

    @cached_property
    def payload_entries(self) -> pl.DataFrame:
        """What NVTX payloads are made of: domain, schema, index, type, label, offset; processes are not told apart."""
        return nvtx.payload_entries(self._tables)

    @cached_property
    def gpus(self) -> pl.DataFrame:
        """GPUs of the host, by nsys' own numbers (see machine.gpus)."""
        return machine.gpus(self._tables)

    @cached_property
    def cuda_devices(self) -> pl.DataFrame:
        """Which GPU a CUDA ordinal means in a process: pid, device, gpu."""
        return machine.cuda_devices(self._tables)

    @cached_property
    def gpu_metrics(self) -> pl.DataFrame:
        """Sampled counters that the export names: gpu (nsys' own number), metric, and the ids of its samples."""
        return machine.gpu_metrics(self._tables)

    @property
    def gpu_metrics_rate(self) -> int | None:
        """Samples a second of the GPU metrics, as the capture was asked for."""
        return provenance.metrics_rate(self._capture_rows)

    def gpu_metric_samples(self, wanted: pl.DataFrame, begin: int, end: int) -> pl.DataFrame:
        """Samples of some rows of `gpu_metrics` with begin <= time < end: gpu, metric, time, value; by time."""
        return machine.gpu_metric_samples(self._tables, wanted, begin, end)

    def release(self, *frames: str) -> None:
        """Forget these frames; they are read again if asked for again."""
        if "ranges" in self.__dict__:
            _ = self.open_range_count
            self._forget("_nvtx")
        self._forget(*frames)

    def _forget(self, *frames: str) -> None:
        for name in frames:
            self.__dict__.pop(name, None)
