"""What the words of the report mean: shown on hover, and listed at the end of the page."""

from __future__ import annotations

import re
from html import unescape

from nsysan.diagnosis.evidence import Status
from nsysan.diagnosis.pipelines import WAITING
from nsysan.metrics.lines import BESIDE, LEDGER, LINES, Line
from nsysan.metrics.scenarios import SCENARIOS
from nsysan.page.elements import safe, said

#: What the scenarios take away, by its name without an article.
_LOSSES = {row.loss.removeprefix("the "): row for row in SCENARIOS.values() if row.loss is not None}
#: Definitions by term: DEFINITIONS.md in the words of a reader.
GLOSSARY: dict[str, str] = {
    "decode step": (
        "The work of one token on all ranks: from a rank's first GPU work of the step to its first of the next, so the "
        "host's gap between tokens is in it. Figures are medians over the steady steps: start-up, prefill and steps "
        "with other work are left out, and listed under Steps."
    ),
    "period": "Duration of a decode step on one rank, the host's gap to the next included.",
    **{row.id: row.meaning for row in LEDGER},
    "comm": "Time in which some communication kernel is resident, waiting included.",
    "overlap": "Communication with compute beside it: hidden, not part of wait or wire.",
    "late": (
        "A rank's lateness at a collective is its arrival after the first rank's. A rank is named late if by replay "
        "its excess over what the other ranks take costs 3 % of the period, or of its tail, once all other late ranks "
        "are right."
    ),
    "saves": "What a step would take less, by replay, if this rank, or this set of ranks, alone were put right.",
    "costs": "What a step would take less, by replay, if it were put right after all other late ranks.",
    "critical path": (
        "The chain of work, launches and waiting for calls that ends a step: each link is what the next one had to "
        "wait for longest. Its ns sum to the period. Host is what a host (CPU) takes by itself, what launches and the "
        "gaps between kernels take (launch), and what a synchronise call takes to return (sync); gaps between the "
        "kernels of a CUDA graph, which no host launches, are told apart."
    ),
    "replay": (
        "The steps put together anew from what each operation, call and stretch of a host takes, by what has to wait "
        "for what, with one thing changed. How far it misses the measured period is tested with what launches and gaps "
        "usually take in other steps."
    ),
    "caused": (
        "The waiting that would go if this rank alone had arrived with the second last. Sums over a step's collectives."
    ),
    "floor": "The least that such a call takes in this trace: 5th percentile of the wire of such calls.",
    "algbw": "Size by time after the last arrival, GB/s (1e9 bytes), as nccl-tests has it. Never from residency.",
    "busbw": (
        "algbw by the factor of nccl-tests, so that it can be held against the link: all-reduce 2(n-1)/n; all-gather, "
        "reduce-scatter and all-to-all (n-1)/n; others 1."
    ),
    "of peak": "busbw by the link's peak per GPU and direction; shown from 1 MB up, as small messages are latency.",
    **{loss: row.loss_meaning for loss, row in _LOSSES.items()},
    **{row.title: row.meaning for row in SCENARIOS.values()},
    WAITING: (
        "Time in which a rank of a pipeline waits at a call between stages, or idles while another stage works, which "
        "then hands over."
    ),
    "matched": "A collective is the same call on every rank; matched calls were found on all of their ranks.",
    "rejected": "Calls paired up although one rank ended before another had begun: not believed, and left unsplit.",
}

#: What a status of the evidence is called.
STATUS = {Status.OK: "measured", Status.ESTIMATED: "estimated", Status.NOT_MEASURABLE: "not measurable"}


def term(name: str, shown: str = "") -> str:
    """HTML: a word with its definition, on hover and one click away."""
    return f'<a class="term" href="#def-{anchor(name)}" title="{safe(GLOSSARY[name])}">{safe(shown or name)}</a>'


#: Terms that sentences use, by how they say them, longest first; each is told once a sentence.
_TERMS = (
    *(row.title for row in SCENARIOS.values()),
    WAITING,
    *_LOSSES,
    *(Line.COMM_UNSPLIT, Line.WAIT, Line.IDLE),
)
_IN_SENTENCES = {safe(name): name for name in sorted(_TERMS, key=len, reverse=True)}
_IN_SENTENCES |= {"by replay": "replay", "replay of the steps": "replay"}
_SAID = re.compile("|".join(rf"(?<![\w-]){re.escape(said)}(?![\w-])" for said in _IN_SENTENCES))


def linked(text: str) -> str:
    """HTML: a sentence, each of its terms once with its definition."""
    told: set[str] = set()

    def once(match: re.Match[str]) -> str:
        name = _IN_SENTENCES[match.group()]
        if name in told:
            return match.group()
        told.add(name)
        return term(name, unescape(match.group()))

    return _SAID.sub(once, said(text))


def anchor(name: str) -> str:
    """A term's name in addresses."""
    return name.replace(" ", "-").replace("_", "-").replace("'", "")


def definitions() -> str:
    """HTML: all terms with their definitions."""
    entries = "".join(
        f'<dt id="def-{anchor(name)}">{safe(name)}</dt><dd>{safe(text)}</dd>' for name, text in GLOSSARY.items()
    )
    return f"<dl>{entries}</dl>"


#: Column heads by their text, as links to their definitions.
HEADS = {
    **{name: term(name) for name in ("period", *LINES, *BESIDE)},
    **{name: term(name) for name in ("caused", "floor", "matched", "rejected", "of peak")},
    "after last arrival p50": term("wire", "after last arrival p50"),
    "wait p50": term("wait", "wait p50"),
    "wire p50": term("wire", "wire p50"),
    "algbw GB/s": term("algbw", "algbw GB/s"),
    "busbw GB/s": term("busbw", "busbw GB/s"),
    "costs the others": term("caused", "costs the others"),
    "last to arrive": term("late", "last to arrive"),
    "wire p99": term("wire", "wire p99"),
    "wait p99": term("wait", "wait p99"),
}
