"""The JSON document: one object, keys stable within a schema number (DEFINITIONS.md, section 12).

Every key is in nsysan/data/report.schema.json, with its unit.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.expectation import Compared
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.next_step import NextStep
from nsysan.metrics.counters import STEP_FIGURES, Counter, SampleStats
from nsysan.metrics.ledger import FIGURES
from nsysan.metrics.link import THRESHOLDS as LINK_THRESHOLDS
from nsysan.report.diagnosis_values import (
    diagnosis_values,
    humps_values,
    tail_values,
    verdict_values,
)
from nsysan.report.indented_json import indented
from nsysan.report.kernel_values import kernel_values
from nsysan.report.light_json import light_values
from nsysan.report.nccl_json import nccl_values
from nsysan.report.pace_json import late_values, pace_values
from nsysan.report.replica import GroupRow, PopulationRow, Replica
from nsysan.report.report import Report
from nsysan.timings import stage

SCHEMA = "nsysan.report/2"
_PER_STEP = ("replica", "population", "step", "rank", "steady", "start_ns", *FIGURES, "collectives")
_PER_RANK = ("rank", *FIGURES, "collectives")


def to_document(report: Report) -> dict[str, Any]:
    """The report as JSON-ready data; durations in ns, null for what was not measured (see `quality`)."""
    return {
        "schema": SCHEMA,
        "nsysan_version": report.version,
        "inputs": [
            {
                "name": i.name,
                "nsys_version": i.nsys_version,
                "schema_version": i.schema_version,
                "graph_trace": i.graph_trace,
                "session_start_utc_ns": i.session_start,
            }
            for i in report.inputs
        ],
        "ranks": [
            {
                "rank": r.rank,
                "report": r.trace,
                "process": r.process,
                "pid": r.pid,
                "device": r.device,
                "gpu": r.gpu,
                "gpu_model": r.model,
                "host": r.host,
                "rank_source": r.source,
                "replica": replica.id,
                "groups": [group.id for group in report.groups if r.rank in group.ranks],
            }
            for replica in report.replicas
            for r in replica.ranks
        ],
        "groups": [_group(group) for group in report.groups],
        "steps": {
            "source": report.steps.source,
            "method": report.steps.method,
            "count": report.steps.count,
            "steady": len(report.steps.steady),
            "excluded": [{"step": step, "reason": why} for step, why in report.steps.excluded.items()],
            "coverage": _coverage(report.replicas[report.replica]),
        },
        "replicas": [_replica(replica, headline=replica.id == report.replica) for replica in report.replicas],
        "populations": [_population(one, r) for r in report.replicas for one in r.populations],
        "per_step": [row for r in report.replicas for row in _rows(_of_replica(r.per_step, r), _PER_STEP)],
        "per_rank": [row for r in report.replicas for row in _rows(r.per_rank, _PER_RANK)],
        "collectives": [_family(family, r.id) for r in report.replicas for family in r.collectives],
        **kernel_values(report.replicas),
        "link": {
            "model": report.link.model,
            "kind": report.link.kind,
            "looks_like": report.link.looks_like,
            "peak_gbps": report.link.peak_gbps,
            "source": report.link.source,
            "told": report.link.told,
            "against": report.link.against,
            "evidence": list(report.link.evidence),
            "thresholds": LINK_THRESHOLDS,
        },
        "nccl": nccl_values(report),
        "lookalikes": [{"name": k.name, "calls": k.calls, "share": k.share} for k in report.lookalikes],
        **diagnosis_values(report.diagnosis),
        "counters": [_counter(counter) for counter in report.counters],
        "light_speed": light_values(report.light),
        "expectation": _expectation(report.expectation),
        "next_step": _next_step(report.next_step),
        "findings": [_finding(finding, report.replica) for finding in report.findings],
        "quality": [{"id": q.id, "status": q.status, "reason": q.reason} for q in report.quality],
    }


def _next_step(step: NextStep) -> dict[str, Any]:
    return {
        "do": step.do,
        "saves": step.saves,
        "why": step.why,
        "finding": None if step.finding is None else step.finding.id,
        "saves_ns": None if step.finding is None else step.finding.saving,
    }


def _group(group: GroupRow) -> dict[str, Any]:
    return {
        "id": group.id,
        "kind": group.kind,
        "ranks": list(group.ranks),
        "size": group.size,
        "source": group.source,
        "calls_per_step": group.calls_per_step,
    }


def _coverage(replica: Replica) -> dict[str, Any] | None:
    found = replica.coverage
    return (
        None
        if found is None
        else {
            "span": found.span,
            "busy": found.busy,
            "rest": None
            if found.rest is None
            else [{"what": what, "share": share} for what, share in found.rest.items()],
        }
    )


def _replica(replica: Replica, *, headline: bool) -> dict[str, Any]:
    told, period = replica.diagnosis, replica.period
    return {
        "id": replica.id,
        "headline": headline,
        "ranks": [rank.rank for rank in replica.ranks],
        "layout": replica.layout.name,
        "stages": [list(stage) for stage in replica.layout.stages],
        "steps": replica.steps,
        "steady": replica.steady,
        "coverage": _coverage(replica),
        "pipeline": [
            {"stage": stage.number, "work_ns": stage.work, "bubble_share": stage.bubble}
            for stage in (told.bubble.stages if told.bubble else [])
        ],
        "stages_at_once": None if told.bubble is None else told.bubble.at_once,
        "bubble_share": None if told.bubble is None else told.bubble.share,
        "period_ns": period and asdict(period),
        **pace_values(told),
        "tail": tail_values(told),
        "humps": humps_values(told),
        "verdict": verdict_values(told.verdict),
    }


def _population(one: PopulationRow, replica: Replica) -> dict[str, Any]:
    told = {other.id: late_values(other.diagnosis) for other in replica.diagnosis.others}
    return {
        "replica": replica.id,
        "id": one.id,
        "kind": one.kind,
        "batch": one.batch,
        "count": one.count,
        "steady": one.steady,
        "period_ns": one.period and asdict(one.period),
        "tokens_per_s": one.tokens_per_s,
        "share_of_time": one.share_of_time,
        "headline": one.headline,
        "late": told.get(one.id),
    }


def _of_replica(frame: pl.DataFrame, replica: Replica) -> pl.DataFrame:
    return frame.with_columns(replica=pl.lit(replica.id, dtype=pl.Int64), steady="steady_of_its_kind")


def _expectation(compared: Compared | None) -> dict[str, Any] | None:
    if compared is None:
        return None
    return {
        "source": compared.expected.source,
        "all_reduces": {
            "expected": compared.expected.calls,
            "measured": compared.calls,
            "differs": compared.calls_differ,
        },
        "bytes": {
            "expected": compared.expected.message_bytes,
            "measured": [{"bytes": size, "calls": calls} for size, calls in compared.sizes.items()],
            "differs": compared.bytes_differ,
            "filled_in": compared.filled,
        },
    }


def _finding(finding: Finding, replica: int) -> dict[str, Any]:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "title": finding.title,
        "evidence": finding.evidence,
        "fix": finding.fixes,
        "saves_ns": finding.saving,
        "replica": replica,
        "saving_is": finding.saving_is if finding.saving is not None else None,
        "ranks": finding.ranks,
        "steps": finding.steps,
        "figures": finding.figures,
        "thresholds": finding.thresholds,
    }


@stage("JSON")
def to_json(report: Report) -> str:
    """The document as text, in ASCII: a name may hold what the terminal or UTF-8 cannot."""
    return indented(to_document(report)) + "\n"


def _rows(frame: pl.DataFrame, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    return frame.select(columns).to_dicts()


def _counter(counter: Counter) -> dict[str, Any]:
    named = (
        ("in_collectives_", counter.in_collectives),
        ("in_transfer_", counter.in_transfer),
        ("outside_", counter.outside),
    )
    return {
        "rank": counter.rank,
        "metric": counter.metric,
        "unit": counter.unit,
        "interval_ns": counter.interval,
        **_part("", counter.steps),
        **{key: value for prefix, part in named for key, value in _part(prefix, part).items()},
        "reason": counter.reason,
        "per_step": _rows(counter.per_step, ("step", "steady", *STEP_FIGURES)),
    }


def _part(prefix: str, part: SampleStats) -> dict[str, Any]:
    return {f"{prefix}mean": part.mean, f"{prefix}peak": part.peak, f"{prefix}samples": part.samples}


def _family(family: CollectiveFamily, replica: int) -> dict[str, Any]:
    return {
        "replica": replica,
        "population": family.population,
        "group": family.group,
        "name": family.name,
        "kind": family.kind,
        "library": family.library,
        "class": family.op_class,
        "bytes": family.message_bytes,
        "bytes_source": family.bytes_source,
        "ranks": family.ranks,
        "communicator_size": family.communicator_size,
        "nodes": family.nodes,
        "count": family.count,
        "matched": family.matched,
        "unmatched": family.unmatched,
        "rejected": family.rejected,
        "wire_ns": family.wire,
        "wait_ns": family.wait,
        "wait_clock_free_ns": family.wait_clock_free,
        "wait_error_ns": family.wait_error,
        "floor_ns": family.floor,
        "excess_ns": family.excess,
        "algbw_gbps": family.algbw,
        "busbw_gbps": family.busbw,
        "peak_share": family.peak_share,
    }
