"""Hold a run against rules: limits on its figures, absolute or against another run's.

Figures are read from the JSON document, so that a run and a baseline are read alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median

from nsysan.check.collective import collective_words, hot_collective, is_alike, of_steps, percentile, same_collective
from nsysan.check.kernel_rules import UNITS as KERNEL_UNITS
from nsysan.check.kernel_rules import KernelAddress, kernel_figure, named_kernels
from nsysan.check.late_told import caused_of, late_is_told, late_of
from nsysan.check.rules import PERCENTILES, SHARES, SPREAD, STRAGGLER, TAIL, TOKENS, Rule
from nsysan.diagnosis.workload import Workload
from nsysan.report.read_back import Collective, ReportDocument
from nsysan.text import counted, duration, listed, numbered


class RuleVerdict(StrEnum):
    """What became of a rule, the worst first."""

    FAIL = "fail"
    CANNOT_TELL = "cannot tell"
    PASS = "pass"


#: Exit codes by verdict; the worst rule decides, and a failure is worse than what cannot be told.
EXIT_CODES = {RuleVerdict.PASS: 0, RuleVerdict.FAIL: 1, RuleVerdict.CANNOT_TELL: 2}

_COMPARE = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}
_SIZES = "`nsysan report --message-bytes N --json FILE` gives a trace the sizes that it does not hold"


@dataclass(frozen=True)
class Outcome:
    """What became of one rule; what: for people, with both numbers."""

    rule: Rule
    verdict: RuleVerdict
    what: str

    @property
    def line(self) -> str:
        """One line for people."""
        return f"{self.verdict:<11}  {self.rule.text}: {self.what}"


def check(rule: Rule, document: ReportDocument, baseline: ReportDocument | None) -> Outcome:
    """Hold a run against the rule: each of its replicas, of which the worst outcome counts, the headline's first."""
    if not document.replicas:
        return _check(rule, document, baseline)
    before = {} if baseline is None else {one.replica: one for one in baseline.replicas}
    pairs = len(before) == len(document.replicas)
    found = [
        (_check(rule, one, before.get(one.replica) if pairs else baseline), one)
        for one in sorted(document.replicas, key=lambda one: one.replica != document.replica)
    ]
    worst, own = min(found, key=lambda told: list(RuleVerdict).index(told[0].verdict))
    return replace(worst, what=f"in replica {own.replica} ({numbered('rank', own.ranks, most=8)}), {worst.what}")


def _check(rule: Rule, document: ReportDocument, baseline: ReportDocument | None) -> Outcome:
    if why := _of_no_decoding(rule, document):
        return Outcome(rule, RuleVerdict.CANNOT_TELL, why)
    if rule.relative and baseline is not None and (why := _unlike(document, baseline)):
        return Outcome(rule, RuleVerdict.CANNOT_TELL, why)
    if rule.metric == STRAGGLER:
        return _check_straggler(rule, document)
    if rule.kernel is not None:
        return _check_kernels(rule, rule.kernel, document, baseline)
    if rule.metric in PERCENTILES:
        return _check_collective(rule, document, baseline)
    before = None if baseline is None else metric_of(baseline, rule.metric)
    why = "it is not known in the baseline"
    return _judged(rule, rule.metric, metric_of(document, rule.metric), before, why if baseline is not None else None)


def _of_no_decoding(rule: Rule, document: ReportDocument) -> str:
    """Why the steps are not what a rule is about; "" where nothing speaks against them."""
    if document.workload == Workload.TRAINING and rule.metric == TOKENS:
        return f"the run {Workload.TRAINING.words}: its steps make no tokens"
    if document.workload != Workload.OTHER:
        return ""
    return (
        f"the run {Workload.OTHER.words}, so its steps may be anything's; name the ranges that are its steps by "
        f"--steps of the `nsysan report --json` that is checked"
    )


def _unlike(document: ReportDocument, baseline: ReportDocument) -> str:
    """Why changes against a baseline would be of something else; "" where nothing speaks against them."""
    own, before = document.population, baseline.population
    if None not in (own, before) and own != before:
        return (
            f"the baseline's steps are of {before}, this run's of {own}: ask both for the same (--population, here and "
            f"of the `nsysan report` that wrote the baseline)"
        )
    many = [len(one.ranks) for one in (document, baseline)]
    if all(many) and many[0] != many[1]:
        return f"the baseline is of {counted(many[1], 'rank')}, this run of {many[0]}"
    gpus = [set(one.gpu_models) for one in (document, baseline)]
    if None not in gpus[0] | gpus[1] and gpus[0] != gpus[1]:
        names = [listed(sorted(map(str, models))) for models in gpus]
        return f"the baseline is of {names[1]}, this run of {names[0]}: changes of other GPUs tell nothing of this one"
    return ""


def _judged(rule: Rule, what: str, value: float | None, before: float | None, why_not: str | None) -> Outcome:
    """why_not: why there is no figure before, None for no baseline."""
    if value is None:
        return Outcome(rule, RuleVerdict.CANNOT_TELL, f"{what} is not known in this run")
    told = f"{what} is {show_value(rule.metric, value)}"
    if not rule.relative:
        return Outcome(rule, _verdict(_COMPARE[rule.operator](value, rule.limit)), told)
    if before is None:
        why = why_not or "there is no --baseline to hold it against"
        return Outcome(rule, RuleVerdict.CANNOT_TELL, f"{told}; {why}")
    change = _change(*_of_tail(rule.metric, before, value))
    failed = _COMPARE[rule.operator](change, rule.limit)
    return Outcome(rule, _verdict(failed), f"{told}, {change:+.1f} % against {show_value(rule.metric, before)}")


def _check_collective(rule: Rule, document: ReportDocument, baseline: ReportDocument | None) -> Outcome:
    """A call of the hottest collective, or of the one that the rule names, against the same one's in the baseline."""
    row = hot_collective(document, rule.address)
    if row is None:
        which = f" of {rule.address.words}" if rule.address else ""
        there = ", ".join(dict.fromkeys(collective_words(r) for r in of_steps(document)[:4]))
        among = f"; there is {there}" if there and rule.address else ""
        return Outcome(rule, RuleVerdict.CANNOT_TELL, f"{rule.metric}{which} is not known in this run{among}")
    what = f"{rule.metric} of {collective_words(row)}"
    value = percentile(row, rule.metric)
    if baseline is None:
        return _judged(rule, what, value, None, None)
    same = same_collective(row, baseline)
    before = None if same is None else percentile(same, rule.metric)
    return _judged(rule, what, value, before, _why_no_other(row, rule, baseline))


def _check_kernels(
    rule: Rule, which: KernelAddress, document: ReportDocument, baseline: ReportDocument | None
) -> Outcome:
    """The kernels that the rule names, against those of the same names in the baseline."""
    what = f"{rule.metric} of {which.words}"
    value = kernel_figure(document, which, rule.metric)
    if value is None:
        there = named_kernels(document)
        among = f"; {there}" if there else ""
        return Outcome(rule, RuleVerdict.CANNOT_TELL, f"{what} is not known in this run{among}")
    before = None if baseline is None else kernel_figure(baseline, which, rule.metric)
    return _judged(rule, what, value, before, None if baseline is None else "the baseline has no such kernel")


def _why_no_other(row: Collective, rule: Rule, baseline: ReportDocument) -> str:
    alike = next((other for other in baseline.collectives if is_alike(row, other)), None)
    if alike is not None:
        return f"the baseline's {collective_words(alike)} is not split into wait and wire"
    hottest = hot_collective(baseline, rule.address) or hot_collective(baseline)
    if hottest is None:
        return "it is not known in the baseline, which has no collective that is split into wait and wire"
    one_size = (row.bytes is None) != (hottest.bytes is None)
    hint = f"; {_SIZES}" if one_size and row.kind == hottest.kind else ""
    return f"the baseline has no such call; its hottest is {collective_words(hottest)}{hint}"


def exit_code(outcomes: list[Outcome]) -> int:
    """0 if all rules pass, 1 if one fails, else 2."""
    verdicts = {outcome.verdict for outcome in outcomes}
    worst = next((verdict for verdict in RuleVerdict if verdict in verdicts), RuleVerdict.PASS)
    return EXIT_CODES[worst]


def _share(document: ReportDocument, name: str) -> float | None:
    """In per cent of the period; of what late ranks cause, of that of the step of which it is told."""
    if name == "caused":
        found = caused_of(document)
        return None if found is None else 100 * found[1]
    part, period = metric_of(document, name), _median(document, "period")
    return 100 * part / period if part is not None and period else None


def metric_of(document: ReportDocument, name: str) -> float | None:
    """A figure of a report's document by its name: ns, per cent of the period, or tokens/s; None if not known.

    Ledger lines are medians over the ranks, tokens/s from the mean step; percentiles of calls are those of the hot
    collective (see hot_collective).
    """
    if name == TOKENS:
        mean = _of_spread(document, "mean")
        return 1e9 / mean if mean else None
    if name in SPREAD:
        return _of_spread(document, name)
    if name in SHARES:
        return _share(document, name.removesuffix("_share"))
    if name == "caused":
        found = caused_of(document)
        return None if found is None else float(found[0])
    if name in PERCENTILES:
        hot = hot_collective(document)
        return None if hot is None else percentile(hot, name)
    return _median(document, name)


def show_value(metric: str, value: float) -> str:
    """A figure with its unit."""
    if metric in SHARES or KERNEL_UNITS.get(metric) == "%":
        return f"{value:.1f} %"
    if metric == TOKENS:
        return f"{value:,.1f} tokens/s"
    if KERNEL_UNITS.get(metric) == "":
        return f"{value:,g}"
    return duration(value)


def _verdict(failed: bool) -> RuleVerdict:
    return RuleVerdict.FAIL if failed else RuleVerdict.PASS


def _of_tail(metric: str, before: float, now: float) -> tuple[float, float]:
    """The figures, of which a tail that is none (a mean below the median) is nothing."""
    return (max(before, 0.0), max(now, 0.0)) if metric in TAIL else (before, now)


def _change(before: float, now: float) -> float:
    """Per cent; what was nothing before and is not now has grown without bound."""
    if before == 0:
        return 0.0 if now == 0 else math.inf
    return 100 * (now - before) / before


def _check_straggler(rule: Rule, document: ReportDocument) -> Outcome:
    found = late_of(document)
    if found is not None:
        return Outcome(rule, RuleVerdict.FAIL, found.words)
    if document.late_in_others:
        told = [
            f"in steps of {kind}, {numbered('rank', own, most=16)}" for kind, own in document.late_in_others.items()
        ]
        return Outcome(rule, RuleVerdict.FAIL, f"late {'; '.join(told)}")
    if not late_is_told(document):
        return Outcome(rule, RuleVerdict.CANNOT_TELL, "whether a rank is late is not known in this run")
    turns = caused_of(document)
    in_turn = (
        f" by itself; ranks are late in turn, which costs {duration(turns[0])} a step" if turns and turns[0] else ""
    )
    return Outcome(rule, RuleVerdict.PASS, f"no rank is late{in_turn}")


def _of_spread(document: ReportDocument, name: str) -> float | None:
    """A figure of the periods of the steady steps; documents of schema 1 have none."""
    spread = document.period
    if spread is None:
        return None
    found = {"mean": spread.mean, "p90": spread.p90, "p99": spread.p99, "longest": spread.max}
    return float(spread.mean - spread.p50 if name == "tail" else found[name])


def _median(document: ReportDocument, line: str) -> float | None:
    """Median over the ranks of what a rank's median step has of this line."""
    own = [row for row in document.per_rank if not document.ranks or row.rank in document.ranks]
    values = [ns for row in own if (ns := row.ns.get(line)) is not None]
    return float(median(values)) if values else None
