"""Whether a critical path can be told, and drawn."""

from __future__ import annotations

import polars as pl

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.verdict import LAUNCH, VerdictKind
from nsysan.metrics.causes import GapCause
from nsysan.replay.results import MAX_ERROR

_OF_LAUNCH = (GapCause.GRAPH, GapCause.LAUNCH)


def in_graphs(gaps: pl.DataFrame) -> bool:
    """Whether the GPUs idle rather between the kernels of a graph than for launches. gaps: rank, cause, ns a step."""
    between, launching = (gaps.filter(pl.col("cause") == cause)["ns"].sum() for cause in _OF_LAUNCH)
    return bool(between > launching)


def of_hosts(diagnosis: Diagnosis) -> float:
    """Share of the critical path that is the hosts', without what lies between a graph's kernels."""
    share = diagnosis.verdict.shares.get(VerdictKind.HOST) or 0.0
    whole = sum(diagnosis.path.values())
    if not whole or not in_graphs(diagnosis.gaps):
        return share
    return share - sum(ns for (name, _), ns in diagnosis.path.items() if name == LAUNCH) / whole


def why_no_path(diagnosis: Diagnosis) -> str:
    """Why nothing tells what a step had to wait for; "" where a replay does."""
    if diagnosis.verdict.kind == VerdictKind.INCONCLUSIVE:
        return "the verdict is inconclusive, and a path would rest on what is missing"
    what, pace = diagnosis.what_if, diagnosis.pace
    if what is None or pace is None:
        return what.why if what is not None and what.why else "there is no steady decode step that can be replayed"
    missed = what.error is not None and what.error > MAX_ERROR
    if not diagnosis.path or missed or not pace.exact:
        return what.why or "the steps could not be replayed"
    return ""
