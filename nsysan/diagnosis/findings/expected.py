"""What the model should do, and steps that do something else."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from nsysan.diagnosis.expectation import EMBEDDING
from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.kinds import FindingId, Severity
from nsysan.text import counted, size

#: Above this share of steps with prefill or other work the medians describe a part of the run only.
MIXED_SHARE = 0.10
#: A step that computes for this many times the usual has more tokens in it than a decode step.
PREFILL_RATIO = 1.25


class ExpectedFinding(FindingId):
    """What may differ from what the model should do, and from decoding."""

    COUNT_DIFFERS = "count_differs"
    BYTES_DIFFER = "bytes_differ"
    PREFILL_MIXED_IN = "prefill_mixed_in"
    OTHER_STEPS = "other_steps"


def differing_from_model(case: Case) -> Iterator[Finding]:
    """All-reduces of another number or size than the user states."""
    compared = case.compared
    if compared is None:
        return
    if compared.calls_differ:
        yield Finding(
            ExpectedFinding.COUNT_DIFFERS,
            Severity.MEDIUM,
            f"{counted(compared.calls or 0, 'all-reduce')} a step, {compared.expected.calls} expected",
            f"{compared.expected.source} means {compared.expected.calls} a step, or {EMBEDDING} more with a split "
            f"embedding; the steady steps have {compared.calls}",
            "check that a step is one token (--steps), that all communication is in the catalogue "
            "(unknown_collectives), and whether the model has shared experts, draft steps or a fused all-reduce",
            figures={"expected": compared.expected.calls, "measured": compared.calls},
            thresholds={"more_allowed": EMBEDDING},
        )
    if compared.bytes_differ:
        told = ", ".join(f"{size(s)} ({counted(n, 'call')})" for s, n in sorted(compared.sizes.items())[:5])
        yield Finding(
            ExpectedFinding.BYTES_DIFFER,
            Severity.MEDIUM,
            f"all-reduces of {size(compared.usual_size)}, {size(compared.expected.message_bytes)} expected",
            f"{compared.expected.source} means {size(compared.expected.message_bytes)}; the trace has {told}",
            "check the batch (sequences decoding at once, padded to a captured graph's size), hidden size, data type",
            figures={"expected": compared.expected.message_bytes, "measured": compared.usual_size},
        )


def mixed_steps(case: Case) -> Iterator[Finding]:
    """Prefill among the decode steps, else steps of other work than the usual."""
    windows = case.run.windows.unique("step").sort("step")
    why = dict(windows.filter(pl.col("excluded").is_not_null()).select("step", "excluded").iter_rows())
    prefill = [step for step, reason in why.items() if reason.startswith(("prefill", "mixed"))]
    other = [step for step, reason in why.items() if reason.startswith("different work")]
    heavy = _heavy(case, other)
    limits = {"share": MIXED_SHARE, "compute_ratio": PREFILL_RATIO}
    mixed = sorted([*prefill, *heavy])
    if len(mixed) > MIXED_SHARE * len(windows):
        told = [f"{len(prefill)} by their range's name"] if prefill else []
        told += [f"{len(heavy)} by computing {PREFILL_RATIO:g} times the usual or more"] if heavy else []
        yield Finding(
            ExpectedFinding.PREFILL_MIXED_IN,
            Severity.MEDIUM,
            f"more than decoding in {counted(len(mixed), 'step')} of {len(windows)}",
            f"told {', '.join(told)}; they are left out of the medians, but tokens wait for them",
            "smaller prefill chunks (--max-num-batched-tokens, --chunked-prefill-size), prefill on other GPUs, or a "
            "capture of decoding alone; if these are decode steps of other batch sizes, analyse them apart (--steps)",
            steps=mixed,
            figures={"share": len(mixed) / len(windows)},
            thresholds=limits,
        )
    elif len(other) > MIXED_SHARE * len(windows):
        yield Finding(
            ExpectedFinding.OTHER_STEPS,
            Severity.LOW,
            f"{counted(len(other), 'step')} of {len(windows)} unlike the usual one",
            f"step {other[0]}: {why[other[0]]}; the medians are of the usual kind of step alone",
            "analyse each kind apart (--steps PATTERN); the collectives are listed by size for all of them",
            steps=other,
            figures={"share": len(other) / len(windows)},
            thresholds={"share": MIXED_SHARE},
        )


def _heavy(case: Case, steps: list[int]) -> list[int]:
    """Those of the steps that compute for longer than decoding does; none where nothing is computed."""
    per_step = case.run.ledger.group_by("step").agg(compute=pl.median("compute_ns"))
    usual = case.line("compute")
    more = per_step.filter(pl.col("step").is_in(steps) & (pl.col("compute") >= PREFILL_RATIO * usual))
    return more["step"].sort().to_list() if usual > 0 else []


FINDERS = (
    Finder(
        differing_from_model,
        (ExpectedFinding.COUNT_DIFFERS, ExpectedFinding.BYTES_DIFFER),
        of_steps=False,
        of_decode=False,
    ),
    Finder(
        mixed_steps, (ExpectedFinding.PREFILL_MIXED_IN, ExpectedFinding.OTHER_STEPS), of_steps=False, of_decode=False
    ),
)
