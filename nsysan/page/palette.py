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
    "nvtx": "#9C89B8",
    # Stands for the colour of the text, in the light theme as in the dark one.
    "last": "#111111",
}

#: Ends of the scale of heat maps; the page swaps them for others in its dark theme.
HEAT_LOW, HEAT_HIGH = "#F3EAD8", "#7A2E00"

NAMES = {
    "compute": "compute",
    "wait": "wait (for the last rank)",
    "fused": "fused (communication with compute)",
    "wire": "wire (moving data)",
    "comm_unsplit": "communication, not split",
    "copy": "copy",
    "graph": "graph replay, contents not traced",
    "idle": "idle",
    "launch": "launch calls (host)",
    "nvtx": "NVTX ranges (host)",
    "last": "last rank to arrive",
}

COUNTER_COLOURS = {
    "RX": "#6A5ACD",
    "TX": "#AA4499",
    "read": "#6A5ACD",
    "write": "#AA4499",
    "active": "#8A8D00",
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

#: For lines that are no class: told apart by every reader, in this order.
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: Sides of a comparison, in order: Tol's bright palette, which is apart from that of the classes.
SIDE_COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
