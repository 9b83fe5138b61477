"""What a run needs to know of each of its traces besides operations: small, and free of the file itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from nsysan.model.launchers import VARIABLES
from nsysan.model.payloads import CommunicatorRank, communicator_ranks
from nsysan.trace.graph_mode import GraphMode
from nsysan.trace.nccl_files import read_logs_beside
from nsysan.trace.os_calls import were_asked_for
from nsysan.trace.provenance import Diagnostic
from nsysan.trace.topology import Topology, read_topology
from nsysan.trace.trace import Trace

if TYPE_CHECKING:
    from nsysan.trace.nccl_log import NcclLog


@dataclass(frozen=True)
class TraceMetadata:
    """One trace of a run: as Trace has them by the same names, once its operations are read.

    path: where it was read. environment: of it, which may hold secrets, what launchers tell of ranks. host: the
    machine's name, for comparing only. inits: the places of its processes in communicators. replays: CUDA graph replays
    that were traced as one block. topology, nccl_log: what was recorded beside the trace.
    """

    name: str
    path: str
    nsys_version: str | None
    schema_version: str | None
    graph_mode: GraphMode
    session_start_utc_ns: int | None
    host: str | None
    environment: dict[str, str]
    diagnostics: list[Diagnostic]
    unusable_rows: dict[str, int]
    lacking: list[str]
    has_messages: bool
    has_launch_calls: bool
    has_ranges: bool
    os_calls_asked: bool
    gpus: pl.DataFrame
    inits: list[CommunicatorRank]
    replays: int
    topology: Topology | None
    nccl_log: NcclLog | None


def metadata_of(trace: Trace) -> TraceMetadata:
    """The facts of a trace whose operations were read."""
    return TraceMetadata(
        name=trace.name,
        path=str(trace.path),
        nsys_version=trace.nsys_version,
        schema_version=trace.schema_version,
        graph_mode=trace.graph_mode,
        session_start_utc_ns=trace.session_start_utc_ns,
        host=trace.host_name,
        environment={name: value for name, value in trace.environment.items() if name in VARIABLES},
        diagnostics=trace.diagnostics,
        unusable_rows=trace.unusable_rows,
        lacking=trace.lacking,
        has_messages=trace.has_messages,
        has_launch_calls=trace.has_launch_calls,
        has_ranges=trace.has_ranges,
        os_calls_asked=were_asked_for(trace.capture_options),
        gpus=trace.gpus,
        inits=communicator_ranks(trace.ranges, trace.payload_entries),
        replays=trace.graph_replays.height,
        topology=read_topology(trace.path),
        nccl_log=read_logs_beside(trace.path),
    )
