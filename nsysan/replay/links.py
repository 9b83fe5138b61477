"""Edges between lanes, by what they stand for."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from nsysan.replay.engine import I64


class Link(IntEnum):
    """What an edge between lanes stands for."""

    LAUNCH = 0  # a launch call begins, its work starts
    ARRIVAL = 1  # a rank's kernel of a call starts, the call has its last rank
    WIRE = 2  # all ranks are there, a rank's kernel ends
    ORDER = 3  # work ends, work of another stream starts
    SYNC = 4  # work ends, the call that waits for it ends
    MAYBE = 6  # an order that is never broken and never shows
    ASKED = 7  # work ends, a query that always found it done ends: whether it would have been asked again is not told
    TURN = 8  # the last stage of a pipeline ends a step, the first begins one
    TOLD = 9  # a host that waited goes on, another begins a step: may be
    HOST = 10  # a host comes to where all meet, another leaves
    HELD = 5  # work starts or ends, a launch call that had to wait until then ends


#: Numbers of the nodes from which and to which edges go, and what they are.
Part = tuple[I64, I64, I64]


def part(source: I64, target: I64, link: Link) -> Part:
    """Edges of one sort."""
    return source.astype(np.int64), target.astype(np.int64), np.full(len(source), link, dtype=np.int64)
