"""What the words of the report mean: shown on hover, and listed at the end of the page."""

from __future__ import annotations

import re

from nsysan.diagnosis.evidence import ESTIMATED, NOT_MEASURABLE, OK
from nsysan.metrics.gaps import MEANING
from nsysan.page.elements import safe

#: Definitions by term: DEFINITIONS.md in the words of a reader.
GLOSSARY = {
    "decode step": (
        "The work of one token on all ranks: from a rank's first GPU work of the step to its first of the next, so the "
        "host's gap between tokens is in it. Figures are medians over the steady steps: start-up, prefill and steps "
        "with other work are left out, and listed under Steps."
    ),
    "period": "Duration of a decode step on one rank, the host's gap to the next included.",
    "compute": "A compute kernel runs. Communication at the same time is counted as overlap, and costs nothing.",
    "wait": (
        "A collective's kernel is resident, but the last rank has not arrived at it: it spins, and nothing can move. "
        "Who waits much is a victim; the rank that waits least is the one to look at."
    ),
    "wire": "A collective after its last rank has arrived: data moves. Compute beside it takes precedence.",
    "fused": "A kernel that communicates and computes in one, after the last rank has arrived.",
    "comm_unsplit": (
        "Communication whose calls could not be matched across the ranks (a rank is not in the trace), so that waiting "
        "and moving data cannot be told apart."
    ),
    "copy": "Memory copies and sets, where none of the above runs.",
    "graph": (
        "A CUDA graph replay that was traced as one block: the GPU is busy, with what cannot be told. Capture with "
        "--cuda-graph-trace=node."
    ),
    "idle": "Nothing runs on the rank's GPU. Each idle interval has one cause, see Idle time.",
    "comm": "Time in which some communication kernel is resident, waiting included.",
    "overlap": "Communication with compute beside it: hidden, not part of wait or wire.",
    "late": (
        "A rank's lateness at a collective is its arrival after the first rank's. A rank is named late if its arrivals "
        "cost, net of what the others cause, 3 % of the period in three of four steps."
    ),
    "caused": (
        "The waiting that would go if this rank alone had arrived with the second last. Sums over a step's collectives."
    ),
    "floor": "The least that such a call takes in this trace: 5th percentile of the shortest residency over the ranks.",
    "algbw": "Size by time after the last arrival, GB/s (1e9 bytes), as nccl-tests has it. Never from residency.",
    "busbw": (
        "algbw by the factor of nccl-tests, so that it can be held against the link: all-reduce 2(n-1)/n; all-gather, "
        "reduce-scatter and all-to-all (n-1)/n; others 1."
    ),
    "of peak": "busbw by the link's peak per GPU and direction; shown from 1 MB up, as small messages are latency.",
    "skew": (
        "What a step would save if no rank came late (see without skew), as a share of the period. Close to the wait "
        "of the median rank, but not the same: ranks also wait in turn for one another."
    ),
    "wire's excess": "What collectives take after the last arrival beyond their floor.",
    "late hosts": (
        "Hosts whose launch call for the next operation begins only after their GPU has run dry, within a step or "
        "between two."
    ),
    "without skew": "The period if every rank took, besides waiting, what the others take.",
    "wire at its floor": "The period if each collective took its floor after the last arrival.",
    "without late hosts": "The period if no GPU ran dry before the launch call of its next operation began.",
    "all three": "The period without skew, with the wire at its floor, and without late hosts.",
    "matched": "A collective is the same call on every rank; matched calls were found on all of their ranks.",
    "rejected": "Calls paired up although one rank ended before another had begun: not believed, and left unsplit.",
}

#: What a status of the evidence is called.
STATUS = {OK: "measured", ESTIMATED: "estimated", NOT_MEASURABLE: "not measurable"}
#: Causes of idle time, which have their definitions beside their figures.
CAUSES = {cause.replace("_", " "): meaning for cause, meaning in MEANING.items()}


def term(name: str, shown: str = "") -> str:
    """HTML: a word with its definition, on hover and one click away."""
    return f'<a class="term" href="#def-{anchor(name)}" title="{safe(GLOSSARY[name])}">{safe(shown or name)}</a>'


#: Terms that sentences use, by how they say them; each is told once a sentence.
_IN_SENTENCES = {
    "without skew": "without skew",
    "with the wire at its floor": "wire at its floor",
    "wire&#x27;s excess": "wire's excess",
    "without late hosts": "without late hosts",
    "late hosts": "late hosts",
    "all three": "all three",
    "skew": "skew",
    "unsplit": "comm_unsplit",
    "wait": "wait",
    "idle": "idle",
}
_SAID = re.compile("|".join(rf"(?<![\w-]){re.escape(said)}(?![\w-])" for said in _IN_SENTENCES))


def linked(text: str) -> str:
    """HTML: a sentence, each of its terms once with its definition."""
    told: set[str] = set()

    def once(match: re.Match[str]) -> str:
        said = match.group()
        if said in told:
            return said
        told.add(said)
        name = _IN_SENTENCES[said]
        return f'<a class="term" href="#def-{anchor(name)}" title="{safe(GLOSSARY[name])}">{said}</a>'

    return _SAID.sub(once, safe(text))


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
    **{name: term(name) for name in ("period", "compute", "wait", "wire", "fused", "copy", "graph", "idle", "comm")},
    **{name: term(name) for name in ("overlap", "caused", "floor", "matched", "rejected", "of peak")},
    "comm_unsplit": term("comm_unsplit", "communication, not split"),
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
