"""The JSON document of a report, read back: of this schema and of those before, or refused in one line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nsysan import notebook
from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import REPORT_BYTES
from nsysan.file_content import content_of
from nsysan.report.json_values import Fields, UnusableJson, parse
from nsysan.report.kernel_read_back import KernelFigures, kernel_groups_from, kernels_from
from nsysan.report.nccl_read_back import NcclSays, nccl_from
from nsysan.report.pace_read_back import (
    ANY,
    Caused,
    Late,
    LateRank,
    caused_from,
    durations,
    late_from,
    replay_error_from,
    straggler_from,
    what_if_from,
)
from nsysan.report.replica_read_back import Periods, each_replica, headline_of, place_of
from nsysan.report.steps_read_back import steady_periods
from nsysan.text import counted, plain

#: What documents of older schemas call a key of this one (see Fields.names), by the schema's number.
_OLD_NAMES: dict[int, dict[str, str]] = {
    1: {"findings[].saves_ns": "saving_ns"},
    2: {},
}
_SCHEMA = re.compile(r"nsysan\.report/([1-9]\d{0,8})")
_HOW = "write one with `nsysan report TRACE --json FILE`"


@dataclass(frozen=True)
class Input:
    """A trace that was read. session_start: None where it is not told."""

    name: str
    nsys_version: str | None
    graph_trace: str
    session_start: int | None


@dataclass(frozen=True)
class Spread:
    """Percentiles, ns."""

    p50: int
    p95: int
    p99: int
    max: int

    def at(self, percentile: str) -> int:
        """By name: p50, p95, p99 or max."""
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99, "max": self.max}[percentile]


@dataclass(frozen=True)
class RankFigures:
    """A rank's medians over the steady steps. ns: by ledger line or other figure, such as wire, period and overlap;
    None where it was not measured."""

    rank: int
    ns: Mapping[str, int | None]


@dataclass(frozen=True)
class Collective:
    """Calls of one kernel, size and number of ranks, in steps of one population (None in documents before).

    bytes: None where not known; wire_ns and wait_ns: of the ranks' matched calls, None where none matched.
    """

    name: str
    kind: str | None
    library: str | None
    class_: str
    bytes: int | None
    ranks: int
    count: int
    matched: int
    unmatched: int
    rejected: int
    floor_ns: int | None
    wire_ns: Spread | None
    wait_ns: Spread | None
    population: str | None = None
    replica: int | None = None


@dataclass(frozen=True)
class Finding:
    """What to change. saves_ns: a step, None where it cannot be told."""

    id: str
    severity: str
    title: str
    saves_ns: int | None


@dataclass(frozen=True, repr=False)
class ReportDocument:
    """What is read of a report's JSON, named as in its schema (nsysan/data/report.schema.json).

    schema: its number. population: id of the steps that it is of, period: of these, None where it does not tell.
    kernels, kernel_groups: of these steps, those that take most first; empty in documents before.
    gpu_models: of each rank. steps, steady: how many there are. what_if: ns a step by what is taken
    away (period: nothing), None where it cannot be told; empty without a steady step. late: also ranks that are late
    together; empty in documents before the replay, as replay_error is None in these. quality: status by id. nccl: what
    NCCL's log says, None without one. digest: the same for documents of the same content. workload: what the steps
    are, None in documents before. step_periods: ns of
    the steady steps by number. replica, ranks, layout: of what it heads with, as all that is of one replica; per_rank
    and collectives are of all. replicas: the same of each, where there are several; is_headline: whether it
    is what the report heads with, which findings, quality and nccl are of. late_in_others: the late ranks of other
    kinds of steps that take much of the time, by population.
    """

    schema: int
    nsysan_version: str
    inputs: list[Input]
    gpu_models: list[str | None]
    steps_source: str
    steps: int
    steady: int
    population: str | None
    period: Periods | None
    per_rank: list[RankFigures]
    collectives: list[Collective]
    kernels: list[KernelFigures]
    kernel_groups: list[KernelFigures]
    straggler: LateRank | None
    late: list[Late]
    caused: Caused | None
    replay_error: float | None
    what_if: Mapping[str, int | None]
    verdict: str
    verdict_reason: str
    findings: list[Finding]
    quality: Mapping[str, str]
    nccl: NcclSays | None
    digest: str
    workload: str | None = None
    step_periods: Mapping[int, int] = field(default_factory=dict)
    replica: int | None = None
    ranks: tuple[int, ...] = ()
    layout: str | None = None
    replicas: tuple[ReportDocument, ...] = ()
    is_headline: bool = True
    late_in_others: Mapping[str, list[int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        of = notebook.names(source.name for source in self.inputs)
        told = (
            f"{counted(len(self.gpu_models), 'rank')}, {plain(self.verdict, 40)}, {counted(self.steady, 'steady step')}"
        )
        return f"<nsysan.ReportDocument of {of}: {told}>"


def read_report(path: str | Path) -> ReportDocument:
    """The document that `nsysan report --json` wrote to a file; NsysanError names what cannot be used, and where."""
    path = Path(path)
    try:
        return report_document(parse(content_of(path, REPORT_BYTES)), str(path))
    except UnusableJson as error:
        raise NsysanError(f"{path}: {error}; {_HOW}", ExitCode.DAMAGED) from error


def report_document(values: object, name: str) -> ReportDocument:
    """The document of these values of JSON; UnusableJson for what cannot be used, NsysanError for no report's."""
    told = values.get("schema") if isinstance(values, dict) else None
    schema = _schema(told, name)
    assert isinstance(values, dict)
    fields = Fields(values, "", _OLD_NAMES[schema])
    replica, population = headline_of(fields)
    steps, verdict = fields.below("steps"), fields.below("verdict")
    document = ReportDocument(
        schema=schema,
        nsysan_version=fields.text("nsysan_version"),
        inputs=[_input(row) for row in fields.rows("inputs", least=1)],
        gpu_models=[row.text_or_none("gpu_model") for row in fields.rows("ranks", least=1)],
        steps_source=steps.text("source"),
        steps=steps.whole("count"),
        steady=steps.whole("steady"),
        population=population,
        period=None,
        per_rank=_ranks(fields.rows("per_rank")),
        collectives=[_collective(row) for row in fields.rows("collectives")],
        kernels=kernels_from(fields, replica, population),
        kernel_groups=kernel_groups_from(fields, replica, population),
        straggler=straggler_from(fields.below_or_none("straggler")),
        late=[late_from(row) for row in fields.rows("late")] if fields.values.get("late") is not None else [],
        caused=caused_from(fields),
        replay_error=replay_error_from(fields.below_or_none("what_if")),
        what_if=what_if_from(fields.below_or_none("what_if")),
        verdict=_KINDS.get(kind := verdict.text("kind"), kind),
        verdict_reason=verdict.text("reason"),
        findings=[_finding(row) for row in fields.rows("findings")],
        quality={row.text("id"): row.text("status") for row in fields.rows("quality")},
        nccl=nccl_from(fields),
        digest=_digest(values),
        workload=verdict.text_or_none("workload") if "workload" in verdict.values else None,
        step_periods=steady_periods(fields, replica, population),
    )
    document = replace(document, **place_of(fields, replica))
    each = tuple(replace(document, **own) for own in each_replica(fields))
    return replace(document, replicas=each)


#: What nsysan called kinds of verdicts before.
_KINDS = {"launch": "host"}


def _digest(values: dict[str, object]) -> str:
    """The hash of the values as JSON with sorted keys, of which only a part is held at a time."""
    digest = hashlib.sha256()
    for number, key in enumerate(sorted(values)):
        digest.update(f"{', ' if number else '{'}{json.dumps(key)}: ".encode())
        digest.update(json.dumps(values[key], sort_keys=True).encode())
    digest.update(b"}")
    return digest.hexdigest()


def _schema(told: object, name: str) -> int:
    """Number of the schema; NsysanError where it is no report's, or of a later nsysan."""
    found = _SCHEMA.fullmatch(told) if isinstance(told, str) else None
    if found is None:
        raise NsysanError(f"{name}: is not a report of nsysan; {_HOW}", ExitCode.NOT_NSYS)
    number = int(found[1])
    if number not in _OLD_NAMES:
        known = " and ".join(map(str, _OLD_NAMES))
        later = f"is a report of schema {number}, and this nsysan reads {known}; use the one that wrote it, or {_HOW}"
        raise NsysanError(f"{name}: {later}", ExitCode.NOT_NSYS)
    return number


def _input(row: Fields) -> Input:
    start = row.whole_or_none("session_start_utc_ns") if "session_start_utc_ns" in row.values else None
    return Input(row.text("name"), row.text_or_none("nsys_version"), row.text("graph_trace"), start)


def _ranks(rows: list[Fields]) -> list[RankFigures]:
    found: dict[int, RankFigures] = {}
    for row in rows:
        row.whole("period_ns")
        rank = row.whole("rank")
        if rank in found:
            raise UnusableJson(f"{row.place} is of rank {rank}, as another row is")
        found[rank] = RankFigures(rank, durations(row, least=0))
    return list(found.values())


def _collective(row: Fields) -> Collective:
    return Collective(
        name=row.text("name"),
        kind=row.text_or_none("kind"),
        library=row.text_or_none("library"),
        class_=row.text("class"),
        bytes=row.whole_or_none("bytes"),
        ranks=row.whole("ranks", least=1),
        count=row.whole("count"),
        matched=row.whole("matched"),
        unmatched=row.whole("unmatched"),
        rejected=row.whole("rejected"),
        floor_ns=row.whole_or_none("floor_ns"),
        wire_ns=_spread(row.below_or_none("wire_ns")),
        wait_ns=_spread(row.below_or_none("wait_ns")),
        population=row.text_or_none("population") if "population" in row.values else None,
        replica=row.whole("replica") if "replica" in row.values else None,
    )


def _spread(row: Fields | None) -> Spread | None:
    return None if row is None else Spread(row.whole("p50"), row.whole("p95"), row.whole("p99"), row.whole("max"))


def _finding(row: Fields) -> Finding:
    return Finding(row.text("id"), row.text("severity"), row.text("title"), row.whole_or_none("saves_ns", least=ANY))
