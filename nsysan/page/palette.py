"""One colour a class, everywhere: those of the ledger's table, and those of what else a page shows."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.diagnosis.verdict_says import BETWEEN_NODES
from nsysan.metrics.causes import GAPS, GapCause
from nsysan.metrics.lines import LEDGER, Line

#: By ledger line, and of what a timeline shows beside the lines.
COLOURS: dict[str, str] = {
    **{row.id: row.colour for row in LEDGER},
    "launch": GAPS[GapCause.LAUNCH].colour,
    "nvtx": GAPS[GapCause.HOST_LATE].colour,
    "sync": GAPS[GapCause.SYNC].colour,
    # Stands for the colour of the text, in the light theme as in the dark one.
    "last": "#111111",
    "graph_gaps": GAPS[GapCause.GRAPH].colour,
    "host_wait": "#C2A878",
    "host_sleep": "#8FA6A0",
}
NAMES: dict[str, str] = {
    **{row.id: row.title for row in LEDGER},
    "launch": "launch calls (host)",
    "nvtx": "NVTX ranges (host)",
    "sync": "synchronise calls (host)",
    "last": "last rank to arrive",
    "graph_gaps": BETWEEN_NODES,
    "host_wait": "waits (host)",
    "host_sleep": "sleeps (host)",
}
#: Classes of the critical path in order, by what has their colour: a host's is that of its lanes.
PATH_COLOURS: dict[str, str] = {
    "compute": Line.COMPUTE,
    "fused": Line.FUSED,
    "wire": Line.WIRE,
    "copy": Line.COPY,
    "host": "nvtx",
    "launch": "launch",
    "sync": "sync",
    "other": Line.GRAPH,
}
#: Of text on the colour.
INKS: dict[str, str] = {
    **{row.id: row.ink for row in LEDGER},
    "launch": "#111",
    "nvtx": "#111",
    "sync": "#fff",
    "last": "#fff",
    "graph_gaps": "#111",
    "host_wait": "#111",
    "host_sleep": "#111",
}

#: By group of compute kernels: Tol's muted palette, apart from the lines' and told apart by every reader.
GROUP_COLOURS: dict[str, str] = {
    "gemm": "#332288",
    "attention": "#CC6677",
    "norm": "#44AA99",
    "activation": "#DDCC77",
    "rope_cache": "#88CCEE",
    "sampling": "#882255",
    "embedding": "#999933",
    "moe": "#AA4499",
    "quant": "#661100",
    "elementwise": "#6699CC",
    "other": "#888888",
}

#: Ends of the scale of heat maps.
HEAT_LOW, HEAT_HIGH = "#F3EAD8", "#7A2E00"


#: Between bars that lie side by side: stands for the colour of the page, in either theme.
PAPER = "#FFFFFE"
#: What lies on each colour on paper, which may be grey: nothing, or stripes one way or another.
_STRIPES = (None, 45, 135, 0, 90)


@dataclass(frozen=True)
class Themed:
    """A colour that is another on a dark page, where the least has to be dark, and the page's variable for both."""

    variable: str
    light: str
    dark: str


THEMED = (
    Themed("--heat-low", HEAT_LOW, "#262320"),
    Themed("--heat-high", HEAT_HIGH, "#ffe9c4"),
    Themed("--idle", COLOURS[Line.IDLE], "#565d65"),
)
#: What the page's script puts in place of colours of figures.
VARIABLES = {COLOURS["last"]: "--ink", PAPER: "--paper"} | {themed.light: themed.variable for themed in THEMED}


def style() -> str:
    """CSS: the variables of THEMED, and what is another on paper."""
    light = "".join(f"{themed.variable}:{themed.light};" for themed in THEMED)
    dark = "".join(f"{themed.variable}:{themed.dark};" for themed in THEMED)
    return f':root{{{light}}}\n:root[data-theme="dark"]{{{dark}}}\n{_on_paper()}'


def _on_paper() -> str:
    """CSS: stripes for what has the colour of a line, where it is printed."""
    rules = []
    for number, line in enumerate(COLOURS):
        angle = _STRIPES[number % len(_STRIPES)]
        if angle is not None:
            stripes = f"repeating-linear-gradient({angle}deg,rgba(255,255,255,.7) 0 1px,transparent 1px 4px)"
            painted = paint(line)
            rules.append(f'[style*="background:{painted}"]{{background-image:{stripes}!important}}')
    return f"@media print{{{''.join(rules)}}}\n"


def colour_of(shows: str) -> str:
    """Name among COLOURS of what a figure is of: a ledger line, or a kind of the critical path."""
    return PATH_COLOURS.get(shows, shows)


def paint(line: str) -> str:
    """CSS: the colour of a line in either theme."""
    colour = COLOURS[line]
    return f"var({VARIABLES[colour]})" if colour in VARIABLES else colour


COUNTER_COLOURS = {
    "RX": "#6A5ACD",
    "TX": "#AA4499",
    "read": "#6A5ACD",
    "write": "#AA4499",
    "active": "#8A8D00",
}

#: For what is no class, as lines of a chart and sides of a comparison, in order: Tol's bright palette, which every
#: reader can tell apart, and which is none of the classes'.
SERIES = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
