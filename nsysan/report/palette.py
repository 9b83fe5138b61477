"""One colour a class, everywhere. From Okabe and Ito's palette, which colour-blind readers can tell apart."""

from __future__ import annotations

COLOURS = {
    "compute": "#0072B2",
    "wait": "#E69F00",
    "fused": "#CC79A7",
    "wire": "#D55E00",
    "comm_unsplit": "#A6761D",
    "copy": "#009E73",
    "graph": "#56B4E9",
    "idle": "#B8BCC2",
    "launch": "#7F8790",
    "last": "#111111",
}

NAMES = {
    "compute": "compute",
    "wait": "wait (for the last rank)",
    "fused": "fused (communication with compute)",
    "wire": "wire (moving data)",
    "comm_unsplit": "communication, not split",
    "copy": "copy",
    "graph": "graph replay, contents not traced",
    "idle": "idle",
    "launch": "API call that launched it (host)",
    "last": "last rank to arrive",
}

GAP_COLOURS = {
    "between_steps": "#44AA99",
    "host_late": "#882255",
    "launch": "#CC6677",
    "graph": "#88CCEE",
    "dependency": "#DDCC77",
    "sync": "#117733",
    "unknown": "#999999",
}
