"""Rules that a run has to keep: limits on its figures, absolute or against another run's.

A rule says when to fail: `period>2.0ms`, `wait_share>20%`, `wire_p50>+15%` (against the baseline), `straggler`.
Figures are read from the JSON document, so that a run and a baseline are read alike.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell"
#: Exit codes by verdict; the worst rule decides, and a failure is worse than what cannot be told.
EXIT_CODES = {PASS: 0, FAIL: 1, CANNOT_TELL: 2}

_LINES = ("compute", "wait", "wire", "fused", "comm_unsplit", "copy", "idle", "comm", "overlap")
_PERCENTILES = tuple(f"{what}_{q}" for what in ("wire", "wait") for q in ("p50", "p95", "p99", "max"))
DURATIONS = ("period", *_LINES, *_PERCENTILES, "caused")
SHARES = tuple(f"{name}_share" for name in (*_LINES, "caused"))
TOKENS = "tokens"
STRAGGLER = "straggler"
METRICS = (*DURATIONS, *SHARES, TOKENS)

_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_RULE = re.compile(
    r"\s*(?P<metric>[a-z][a-z0-9_]*)\s*(?P<operator>>=|<=|>|<)\s*"
    r"(?P<sign>[+-]?)(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>%|ns|us|ms|s|)\s*"
)
_COMPARE = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


@dataclass(frozen=True)
class Rule:
    """When to fail: metric beyond `limit`, which is in ns, per cent or tokens/s; or, relative, per cent of change."""

    text: str
    metric: str
    operator: str
    limit: float
    relative: bool


@dataclass(frozen=True)
class Outcome:
    """What became of one rule; line: one line for people, with both numbers."""

    rule: Rule
    verdict: str
    line: str


def parse_rule(text: str) -> Rule:
    """The rule; ValueError says what is wrong with it."""
    if text.strip() == STRAGGLER:
        return Rule(STRAGGLER, STRAGGLER, "", 0.0, relative=False)
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no rule; rules are like 'wire_p50>+15%', 'period>2.0ms' or 'straggler'")
    metric, sign, unit = found["metric"], found["sign"], found["unit"]
    if metric not in METRICS:
        raise ValueError(f"{text!r}: there is no metric {metric!r}; there are {', '.join(METRICS)} and {STRAGGLER}")
    number = float(found["number"])
    if sign:
        if unit != "%":
            raise ValueError(f"{text!r}: a change against the baseline is in per cent, like +15%")
        return Rule(text.strip(), metric, found["operator"], -number if sign == "-" else number, relative=True)
    units = {"%"} if metric in SHARES else {""} if metric == TOKENS else set(_NS)
    if unit not in units:
        wanted = {"%": "per cent of the period, like 20%", "": "tokens a second, like 500"}
        hint = wanted.get(next(iter(units)), "ns, us, ms or s, like 2.0ms; of a baseline, like +15%")
        raise ValueError(f"{text!r}: {metric} is in {hint}")
    return Rule(text.strip(), metric, found["operator"], number * _NS.get(unit, 1.0), relative=False)


def check(rule: Rule, document: dict[str, Any], baseline: dict[str, Any] | None) -> Outcome:
    """Hold the document against the rule."""
    if rule.metric == STRAGGLER:
        return _check_straggler(rule, document)
    value = metric_of(document, rule.metric)
    if value is None:
        return _outcome(rule, CANNOT_TELL, f"{rule.metric} is not known in this run")
    shown = show_value(rule.metric, value)
    if not rule.relative:
        failed = _COMPARE[rule.operator](value, rule.limit)
        return _outcome(rule, _verdict(failed), f"{rule.metric} is {shown}")
    if baseline is None:
        return _outcome(rule, CANNOT_TELL, f"{rule.metric} is {shown}; there is no --baseline to hold it against")
    before = metric_of(baseline, rule.metric)
    if before is None:
        return _outcome(rule, CANNOT_TELL, f"{rule.metric} is {shown}; it is not known in the baseline")
    change = _change(before, value)
    failed = _COMPARE[rule.operator](change, rule.limit)
    return _outcome(
        rule, _verdict(failed), f"{rule.metric} is {shown}, {change:+.1f} % against {show_value(rule.metric, before)}"
    )


def exit_code(outcomes: list[Outcome]) -> int:
    """0 if all rules pass, 1 if one fails, else 2."""
    verdicts = {outcome.verdict for outcome in outcomes}
    worst = next(v for v in (FAIL, CANNOT_TELL, PASS) if v in verdicts or v == PASS)
    return EXIT_CODES[worst]


def metric_of(document: dict[str, Any], name: str) -> float | None:
    """A figure of a report's document by its name: ns, per cent of the period, or tokens/s; None if not known.

    Ledger lines are medians over the ranks; percentiles are those of the hot collective (see hot_collective).
    """
    if name == TOKENS:
        period = _median(document, "period")
        return 1e9 / period if period else None
    if name in SHARES:
        part, period = metric_of(document, name.removesuffix("_share")), _median(document, "period")
        return 100 * part / period if part is not None and period else None
    if name == "caused":
        return _caused(document)
    if name in _PERCENTILES:
        what, _, percentile = name.rpartition("_")
        hot = hot_collective(document)
        return None if hot is None else _number(hot[f"{what}_ns"].get(percentile))
    return _median(document, name)


def hot_collective(document: dict[str, Any]) -> dict[str, Any] | None:
    """The collective with most time after the last arrival, among those that matched across the ranks."""
    split = [row for row in document.get("collectives") or [] if row.get("wire_ns") and row.get("wait_ns")]
    return max(split, key=lambda row: row["matched"] * row["wire_ns"]["p50"], default=None)


def show_value(metric: str, value: float) -> str:
    """A figure with its unit."""
    if metric in SHARES:
        return f"{value:.1f} %"
    if metric == TOKENS:
        return f"{value:,.1f} tokens/s"
    return f"{value / 1e3:,.1f} us" if value < 1e6 else f"{value / 1e6:,.3f} ms"


def _outcome(rule: Rule, verdict: str, what: str) -> Outcome:
    return Outcome(rule, verdict, f"{verdict:<11}  {rule.text}: {what}")


def _verdict(failed: bool) -> str:
    return FAIL if failed else PASS


def _change(before: float, now: float) -> float:
    """Per cent; what was nothing before and is not now has grown without bound."""
    if before == 0:
        return 0.0 if now == 0 else math.inf
    return 100 * (now - before) / before


def _check_straggler(rule: Rule, document: dict[str, Any]) -> Outcome:
    late = document.get("straggler")
    if late:
        cost = f"costs the others {late['caused_ns'] / 1e3:,.1f} us a step ({late['share']:.0%})"
        return _outcome(rule, FAIL, f"rank {late['rank']} arrives last and {cost}; cause {late['cause']}")
    if _status(document, "straggler") != "ok":
        return _outcome(rule, CANNOT_TELL, "whether a rank is late is not known in this run")
    return _outcome(rule, PASS, "no rank is late")


def _caused(document: dict[str, Any]) -> float | None:
    late = document.get("straggler")
    if late:
        return _number(late.get("caused_ns"))
    return 0.0 if _status(document, "straggler") == "ok" else None


def _status(document: dict[str, Any], aspect: str) -> str | None:
    return next((row["status"] for row in document.get("quality") or [] if row.get("id") == aspect), None)


def _median(document: dict[str, Any], line: str) -> float | None:
    """Median over the ranks of what a rank's median step has of this line."""
    values = sorted(
        value
        for value in (_number(row.get(f"{line}_ns")) for row in document.get("per_rank") or [])
        if value is not None
    )
    if not values:
        return None
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
