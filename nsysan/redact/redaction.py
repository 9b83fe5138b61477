"""Reports and exports that can be given away: made of redacted copies, and searched before they are written."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import Self

from nsysan._errors import ExitCode, NsysanError
from nsysan.redact.export_copy import copy_export
from nsysan.redact.nccl_log_copy import copy_nccl_logs
from nsysan.redact.scan import Names, check_clean, names_of, scan_bytes
from nsysan.redact.topology_copy import copy_topology
from nsysan.run.failure import Failure
from nsysan.scratch import scratch
from nsysan.trace.provenance import HOST_NAME, MACHINE
from nsysan.trace.trace import Trace

_RANK = re.compile(r"rank[_.-]?(\d{1,6})", re.IGNORECASE)


class Redaction:
    """Redacted copies of the traces of a run, in a folder that is gone afterwards, under names that are numbers.

    What is made of them cannot hold what they do not, and needs no masking of its own.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch(Path(gettempdir())))
        self._names = Names({})
        self._given: list[str] = []
        self._hosts: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def copy(self, path: Path, export: Path) -> Path:
        """The copy of an export, which the user knows as `path`; NsysanError where it cannot be read or written."""
        copy = self._folder / self._name(path)
        host = Trace(export).host_name
        self._names |= names_of(export)
        try:
            copy_export(export, copy, as_file=True)
            copy_topology(export, copy)
            copy_nccl_logs(export, copy)
            if host is not None:
                _name_host(copy, self._hosts.setdefault(host, len(self._hosts)))
        except OSError as error:
            raise NsysanError(
                f"{path}: no room for a copy of it in {copy.parent.parent}: {error.strerror}; set TMPDIR",
                ExitCode.OUTPUT_UNWRITABLE,
            ) from error
        return copy

    def masked(self, failure: Failure) -> Failure:
        """What is left of a failure in a report that is given away."""
        code = ExitCode(failure.error.exit_code)
        name = Path(failure.path).name if self._is_ours(failure.path) else self._name(Path(failure.path))
        words = "a copy of another trace" if failure.is_copy else code.words
        return Failure(name, name, NsysanError(words, code), failure.is_copy)

    def check(self, outputs: Mapping[str, str | bytes]) -> None:
        """NsysanError if a search finds anything in one of the outputs, by name; `outputs` are not written yet."""
        for name, content in outputs.items():
            data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
            check_clean(scan_bytes(data, self._names), name)

    def _name(self, path: Path) -> str:
        if str(path) not in self._given:
            self._given.append(str(path))
        # Where nothing else tells the rank, the name of its file does.
        rank = _RANK.search(path.name)
        return f"trace {self._given.index(str(path)) + 1}{f' (rank_{rank[1]})' if rank else ''}"

    def _is_ours(self, path: str) -> bool:
        return Path(path).parent == self._folder


def _name_host(copy: Path, number: int) -> None:
    """Call the machine by its number, so that the copies of one run still tell which ranks share a machine."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(f"CREATE TABLE {MACHINE} (name TEXT, value TEXT)")
        connection.execute(f"INSERT INTO {MACHINE} VALUES (?, ?)", (HOST_NAME, str(number)))
