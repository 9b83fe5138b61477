"""SQLite files of strangers: opened so that nothing is written, and read within bounds that the caller sets."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from nsysan.budgets import SQLITE_PACE, SQLITE_SECONDS

#: Instructions of a step, by which statements are bounded, and between two looks at what is left of them.
STEP = 1_000_000
_LOOK = 1_000


def read_only_uri(path: Path) -> str:
    """URI under which SQLite neither writes to the file nor beside it, nor waits for a lock."""
    # immutable: no lock, no -wal or -shm file beside the trace, whatever its journal mode.
    return f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"


def allowance(size: int, pace: int = SQLITE_PACE) -> float:
    """Seconds of a processor for a file of `size` bytes, of which an honest one gives `pace` a second."""
    return SQLITE_SECONDS + size / pace


class Guard:
    """Bounds of a connection: nothing in a schema runs code of its own, no value is longer than `max_value` bytes, and
    a statement takes no more instructions, and gives no more text, than `allow` said before it.

    size: of the file; all statements together take no longer than one of this size needs. pace: bytes of it a second.
    """

    def __init__(self, connection: sqlite3.Connection, max_value: int, size: int, pace: int = SQLITE_PACE) -> None:
        self._left = STEP // _LOOK
        self._seconds = allowance(size, pace)
        self._since = time.thread_time()
        self._text_left: int | None = None
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_value)
        connection.text_factory = self._text
        connection.set_progress_handler(self._step, _LOOK)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")

    def allow(self, steps: int, text: int | None = None) -> None:
        """The next statement may take `steps` times STEP instructions, and give `text` bytes of text (None: any)."""
        self._left, self._text_left = steps * (STEP // _LOOK), text
        self._since = time.thread_time()

    def _step(self) -> bool:
        now = time.thread_time()
        self._seconds -= now - self._since
        self._since = now
        self._left -= 1
        return self._left < 0 or self._seconds < 0

    def _text(self, raw: bytes) -> str:
        """nsys writes host strings as they are, in whatever code page the host had."""
        if self._text_left is not None:
            self._text_left -= len(raw)
            if self._text_left < 0:
                raise sqlite3.DataError("more text than the file can hold")
        return raw.decode("utf-8", "replace")
