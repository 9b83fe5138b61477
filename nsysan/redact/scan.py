"""The proof of a copy: its values and its bytes are searched for everything that was to be left out."""

from __future__ import annotations

import mmap
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nsysan.redact import plan
from nsysan.redact.scrub import telling_kind
from nsysan.redact.secrets import PLACE, Secrets
from nsysan.redact.source import Guarded
from nsysan.trace.guard import read_only_uri
from nsysan.trace.sql import quoted

_LEAST = 6  # characters: shorter runs of letters are in any file of numbers
_RUN = re.compile(rb"[\x20-\x7e\x80-\xff]{%d,}" % _LEAST)
_WIDE_RUN = re.compile(rb"(?:[\x20-\x7e]\x00){%d,}" % _LEAST)
_WIDE_BIG_RUN = re.compile(rb"(?:\x00[\x20-\x7e]){%d,}" % _LEAST)
_ROOTED_BYTES = re.compile(r"/(?:home|Users|root|mnt|scratch|lustre|tmp|workspace|usr|var|opt|etc)/[\w.-]{3,}")


@dataclass(frozen=True)
class Leak:
    """A kind of secret and where it is left; never the secret itself."""

    kind: str
    where: str


def scan(copy: Path, secrets: Secrets, code_ids: frozenset[int]) -> list[Leak]:
    """Everything left in the file: in its values, its schema and its bytes, free pages and slack included."""
    found: dict[Leak, None] = {}
    for where, text, code in _values(copy, code_ids):
        found |= dict.fromkeys(_leaks(secrets, text, where, code=code))
    haystack = _printable(copy)
    lowered = haystack.lower()
    for secret in secrets:
        if len(secret.text) >= _LEAST and secret.is_in(haystack, lowered):
            found[Leak(secret.kind, "the bytes of the file")] = None
    if _ROOTED_BYTES.search(haystack):
        found[Leak(PLACE, "the bytes of the file")] = None
    return list(found)


def _leaks(secrets: Secrets, text: str, where: str, *, code: bool) -> Iterator[Leak]:
    for secret in secrets.within(text):
        yield Leak(secret.kind, where)
    # A version of four numbers reads like an address.
    if where not in plan.EXPORTS and (kind := telling_kind(text, code=code)) is not None:
        yield Leak(kind, where)


def _values(copy: Path, code_ids: frozenset[int]) -> Iterator[tuple[str, str, bool]]:
    """Table, text and whether it is code, of every text and blob."""
    with closing(sqlite3.connect(read_only_uri(copy), uri=True)) as connection:
        guarded = Guarded(connection, copy.stat().st_size)
        # The schema itself was made from the plan alone, and its bytes are searched with the file's.
        for (table,) in guarded.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in guarded.execute(f"PRAGMA table_info({quoted(table)})")]
            if table == plan.STRINGS:
                rows = guarded.execute(f"SELECT id, value FROM {plan.STRINGS}")
                yield from ((table, _text(value), number in code_ids) for number, value in rows)
                continue
            for column in map(quoted, columns):
                values = guarded.execute(
                    f"SELECT DISTINCT {column} FROM {quoted(table)} WHERE typeof({column}) IN ('text', 'blob')"
                )
                yield from ((table, _text(value), False) for (value,) in values)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _printable(copy: Path) -> str:
    """Every run of printable bytes in the file, once, as text; those of UTF-16 as well."""
    with copy.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        runs = {match.decode("utf-8", "replace") for match in _RUN.findall(content)}
        runs |= {match.decode("utf-16-le") for match in _WIDE_RUN.findall(content)}
        runs |= {match.decode("utf-16-be") for match in _WIDE_BIG_RUN.findall(content)}
    return "\n".join(runs)
