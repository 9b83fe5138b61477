"""What hosts do by their calls into the operating system, in words."""

from __future__ import annotations

from nsysan.page.shown_names import NAME_WIDTH
from nsysan.replay.hosts_meet import MEETS
from nsysan.replay.told_waits import Until
from nsysan.text import plain


def whom_words(rank: int, until: int, call: str) -> str:
    """What a host waits for, by whom and until when; call: of that host, or its work."""
    name = plain(call, NAME_WIDTH)
    if until == Until.RESULTS:
        return f"rank {rank}: until its work {name} ends"
    if until == Until.TELLS:
        return f"rank {rank}: until it calls the operating system between its CUDA calls"
    if call == MEETS:
        return f"rank {rank}: until it comes to where hosts meet"
    return f"rank {rank}: until its call {name} {'ends' if until == Until.ENDS else 'begins'}"
