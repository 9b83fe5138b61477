"""The grammar of the rules that a run has to keep.

A rule says when to fail: `period>2.0ms`, `wait_share>20%`, `wire_p50>+15%` (against the baseline), `straggler`; or,
of one collective, `all_reduce.wire_p50>+15%` and `all_reduce[8192].wire_p50>12us`; of kernels, `kernel[~attn].ns>50us`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nsysan.check.kernel_rules import UNITS as KERNEL_UNITS
from nsysan.check.kernel_rules import KernelAddress, kernel_address
from nsysan.metrics.lines import BESIDE, LINES
from nsysan.text import size

#: What a rank's ledger has beside the period.
OF_LEDGER = (*LINES, *BESIDE)
#: Figures of the calls of one collective.
PERCENTILES = tuple(f"{what}_{q}" for what in ("wire", "wait") for q in ("p50", "p95", "p99", "max"))
#: Of the periods of all steady steps; tail: mean less median.
SPREAD = ("mean", "p90", "p99", "longest", "tail")
DURATIONS = ("period", *SPREAD, *OF_LEDGER, *PERCENTILES, "caused")
TAIL = ("tail", "tail_share")
SHARES = tuple(f"{name}_share" for name in (*OF_LEDGER, "caused", "tail"))
TOKENS = "tokens"
STRAGGLER = "straggler"
METRICS = (*DURATIONS, *SHARES, TOKENS)
#: Kinds of collectives that a rule may name.
KINDS = (
    *("all_reduce", "all_gather", "reduce_scatter", "all_to_all"),
    *("broadcast", "reduce", "send_recv", "barrier"),
)

_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_OF_UNIT = {"%": {"%"}, "": {""}, "ns": set(_NS)}
_NUMBERS = {TOKENS: "tokens a second, like 500"}
#: Beyond it nothing could ever fail: 31 years in ns, and as far as whole numbers are exact.
_LARGEST = 1e15
_LIMIT = re.compile(
    r"(?P<subject>\s*kernel\[.*\]\.\w+)\s*(?P<operator>>=|<=|>|<)\s*"
    r"(?P<sign>[+-]?)(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>%|ns|us|ms|s|)\s*"
)
_RULE = re.compile(
    r"\s*(?:(?P<kind>[a-z_]+)(?:\[(?P<bytes>\d{1,18})\])?\.)?(?P<metric>[a-z][a-z0-9_]*)\s*(?P<operator>>=|<=|>|<)\s*"
    r"(?P<sign>[+-]?)(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>%|ns|us|ms|s|)\s*"
)


@dataclass(frozen=True)
class Address:
    """The collective that a rule is about: its kind, and bytes as the call passes them, None for any size."""

    kind: str
    bytes: int | None

    @property
    def words(self) -> str:
        """Such as "all_reduce of 8 KiB"."""
        return self.kind if self.bytes is None else f"{self.kind} of {size(self.bytes)}"


@dataclass(frozen=True)
class Rule:
    """When to fail: metric beyond `limit`, which is in ns, per cent or tokens/s; or, relative, per cent of change.

    address: of which collective; None for the hottest. kernel: of which kernels; metric is then a figure of theirs.
    """

    text: str
    metric: str
    operator: str
    limit: float
    relative: bool
    address: Address | None = None
    kernel: KernelAddress | None = None


def parse_rule(text: str) -> Rule:
    """The rule; ValueError says what is wrong with it."""
    if text.strip() == STRAGGLER:
        return Rule(STRAGGLER, STRAGGLER, "", 0.0, relative=False)
    of_kernel = _LIMIT.fullmatch(text)
    named = of_kernel and kernel_address(text, of_kernel["subject"].strip())
    if of_kernel and named:
        kernel, metric = named
        limit, relative = _limit(text, metric, of_kernel, _OF_UNIT[KERNEL_UNITS[metric]])
        return Rule(text.strip(), metric, of_kernel["operator"], limit, relative, kernel=kernel)
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no rule; rules are like 'wire_p50>+15%', 'period>2.0ms' or 'straggler'")
    metric = found["metric"]
    if metric not in METRICS:
        raise ValueError(f"{text!r}: there is no metric {metric!r}; there are {', '.join(METRICS)} and {STRAGGLER}")
    address = _address(text, metric, found["kind"], found["bytes"])
    units = _OF_UNIT["%" if metric in SHARES else "" if metric == TOKENS else "ns"]
    limit, relative = _limit(text, metric, found, units)
    return Rule(text.strip(), metric, found["operator"], limit, relative, address=address)


def _limit(text: str, metric: str, found: re.Match[str], units: set[str]) -> tuple[float, bool]:
    """The limit, and whether it is a change."""
    sign, unit, number = found["sign"], found["unit"], float(found["number"])
    if number > _LARGEST:
        raise ValueError(f"{text[:40]!r}: no limit is as large as that")
    if sign:
        if unit != "%":
            raise ValueError(f"{text!r}: a change against the baseline is in per cent, like +15%")
        return -number if sign == "-" else number, True
    if unit not in units:
        wanted = {"%": "per cent of the period, like 20%", "": _NUMBERS.get(metric, "a number, like 32")}
        hint = wanted.get(next(iter(units)), "ns, us, ms or s, like 2.0ms; of a baseline, like +15%")
        raise ValueError(f"{text!r}: {metric} is in {hint}")
    return number * _NS.get(unit, 1.0), False


def _address(text: str, metric: str, kind: str | None, bytes_: str | None) -> Address | None:
    if kind is None:
        return None
    if kind not in KINDS:
        raise ValueError(f"{text!r}: there is no collective {kind!r}; there are {', '.join(KINDS)}")
    if metric not in PERCENTILES:
        raise ValueError(f"{text!r}: {metric} is not of one collective; {', '.join(PERCENTILES)} are")
    return Address(kind, None if bytes_ is None else int(bytes_))
