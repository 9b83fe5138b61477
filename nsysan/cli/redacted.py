"""What --redact makes of the traces that a command reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsysan.redact.redaction import Redaction


@contextmanager
def redaction_if(wanted: bool) -> Iterator[Redaction | None]:
    """What --redact asks for, in a folder that is gone afterwards."""
    if not wanted:
        yield None
        return
    from nsysan.redact.redaction import Redaction

    with Redaction() as redaction:
        yield redaction
