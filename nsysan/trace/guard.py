"""SQLite files of strangers: opened so that nothing is written, and read within bounds that the caller sets."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

#: A cell of a leaf page takes this many bytes at least, so a file cannot hold more rows than that.
LEAST_ROW = 4
#: Instructions of SQLite's virtual machine for a row and column; a statement that needs more runs in circles.
OPCODES = 20
#: Instructions between two looks at what is left of them.
STEP = 1_000_000


def read_only_uri(path: Path) -> str:
    """URI under which SQLite neither writes to the file nor beside it, nor waits for a lock."""
    # immutable: no lock, no -wal or -shm file beside the trace, whatever its journal mode.
    return f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"


class Guard:
    """Bounds of a connection: nothing in a schema runs code of its own, no value is longer than `max_value` bytes, and
    a statement takes no more instructions, and gives no more text, than `allow` said before it."""

    def __init__(self, connection: sqlite3.Connection, max_value: int) -> None:
        self._steps = 1
        self._text_left: int | None = None
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_value)
        connection.text_factory = self._text
        connection.set_progress_handler(self._step, STEP)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")

    def allow(self, steps: int, text: int | None = None) -> None:
        """The next statement may take `steps` times STEP instructions, and give `text` bytes of text (None: any)."""
        self._steps, self._text_left = steps, text

    def _step(self) -> bool:
        self._steps -= 1
        return self._steps < 0

    def _text(self, raw: bytes) -> str:
        """nsys writes host strings as they are, in whatever code page the host had."""
        if self._text_left is not None:
            self._text_left -= len(raw)
            if self._text_left < 0:
                raise sqlite3.DataError("more text than the file can hold")
        return raw.decode("utf-8", "replace")
