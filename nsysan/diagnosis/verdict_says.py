"""What a verdict says in plain words of late ranks, and of what hosts cost (DEFINITIONS.md, section 11)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.late_words import led, outermost, ranks_words, weight, why_late
from nsysan.metrics.causes import LateCause
from nsysan.metrics.lines import Line
from nsysan.metrics.scenarios import LATE_SHARE, Scenario
from nsysan.metrics.whatif import WhatIf
from nsysan.text import pct

_HOST = re.compile(r"\bhosts?\b")
#: What hosts cost beyond this share of the step is said with the verdict.
_HOSTS_WEIGH = 0.05
#: What to do where nothing can be concluded.
MARK = (
    "Capture some dozen decode steps and nothing else (nsysan capture -c cudaProfilerApi), or tell which NVTX ranges "
    "are the steps (--steps PATTERN)"
)
CAPTURE_OSRT = "capture with --trace=cuda,nvtx,osrt"
WITH_OSRT = "Capture again with --trace=cuda,nvtx,osrt, which tells what hosts wait for"
BY_NODE = "Capture again with --cuda-graph-trace=node (nsysan capture does)"
TOGETHER = "Capture all ranks in one session (nsysan capture -- LAUNCHER ...), or name all ranks' traces together"
#: What is launched by none: a graph's kernels follow one another on the GPU.
BETWEEN_NODES = "gaps between a graph's kernels"
_LISTED = 0.005
_ANY_RANK = "ranks arriving late bound the step"


def unpaced(error: float, *, os_traced: bool) -> str:
    """That a replay misses the steps by this share; os_traced: whether calls into the operating system are there."""
    rest = "trace, nor in what hosts call of the operating system" if os_traced else f"trace ({CAPTURE_OSRT})"
    return f"a replay of the steps misses their period by {pct(error)}: something paces them that is not in the {rest}"


def explained(sentence: str) -> str:
    """What a host is, where one is first spoken of."""
    return _HOST.sub(lambda found: f"{found[0]} ({'CPUs' if found[0] == 'hosts' else 'CPU'})", sentence, count=1)


def path_words(shares: Mapping[str, float], unsplit: float, in_graphs: float) -> str:
    """The critical path's shares by kind, largest first; in_graphs: of the hosts', what lies in graphs."""
    parts = dict(shares) | {"host": shares.get("host", 0.0) - in_graphs, BETWEEN_NODES: in_graphs}
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{kind} {pct(share)}" for kind, share in ordered if share >= _LISTED)
    return f"critical path: {listed}" + (f"; {Line.COMM_UNSPLIT} {pct(unsplit)} of the step" if unsplit else "")


def hosts_together(late: Sequence[Late], period: int) -> bool:
    """Whether all that are late are so by their hosts, and no one of them alone saves what counts as late."""
    alone = [one for one in late if len(one.ranks) == 1]
    return _by_hosts(late) and all((one.saves or 0) < LATE_SHARE * period for one in alone)


def _by_hosts(late: Sequence[Late]) -> bool:
    return bool(late) and all(one.cause == LateCause.HOST for one in late)


def skew(late: Sequence[Late], rotation: int, what: WhatIf, steps: int, *, host_paced: bool) -> str:
    """That late ranks bound the step: which, why, and what they cost together.

    host_paced: whether the critical path is mostly the hosts'.
    """
    every = outermost(late)
    if not every:
        share = f"which costs {pct((what.saves(Scenario.NO_SKEW) or 0) / what.period)} of the step"
        if rotation:
            return f"{_ANY_RANK}, another one in each step, {share}"
        tell = "step tells" if steps == 1 else "steps tell"
        return f"{_ANY_RANK}, and {steps} {tell} nothing of whether it is always the same"
    ranks = [f"{led(late, one)}, as {why_late(one)}" for one in every]
    launching = host_paced and _by_hosts(every) and _hosts_weigh(what)
    how = "hosts bound the step, and unevenly: " if launching else ""
    more = "; were all alike, hosts would still bound it" if launching else ""
    costs = "which together cost" if len(ranks) > 1 else "which costs"
    return (
        f"{how}the others wait for {'; and for '.join(ranks)}, {costs} {pct(skew_share(every, what))} of the step{more}"
    )


def skew_share(late: Sequence[Late], what: WhatIf) -> float:
    """The share of the step that late ranks cost together; of one, or one set, what that is said to cost elsewhere."""
    if len(late) == 1:
        told = weight(late[0], what.period)
        if not told.mean:
            return told.costs / told.of
    return (what.saves(Scenario.NO_SKEW) or 0) / what.period


def _hosts_weigh(what: WhatIf) -> bool:
    """Whether launching costs much on all hosts."""
    scenario = Scenario.NO_HOST_LATE if what[Scenario.GRAPHS] is None else Scenario.GRAPHS
    return (what.saves(scenario) or 0) >= _HOSTS_WEIGH * what.period


def besides(late: Sequence[Late], period: int) -> str:
    """Who is late too."""
    told = [
        f"{ranks_words(one.ranks)} {'are' if len(one.ranks) > 1 else 'is'} late, as {why_late(one)}, "
        f"which costs {pct(costs / of)} of {'the mean step' if mean else 'the step'}"
        for one in outermost(late)
        for _, costs, of, mean in (weight(one, period),)
    ]
    return f"; besides, {'; '.join(told)}" if told else ""
