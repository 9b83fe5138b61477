"""People and machines that the original names, read from it anew: what no output of it may hold."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nsysan.budgets import REDACTED_VALUE, SQLITE_LEAST_ROW, SQLITE_OPCODES
from nsysan.redact.common_words import GENERIC, OURS, SETTINGS, may_be_glued
from nsysan.trace.guard import STEP, Guard, read_only_uri
from nsysan.trace.sql import quoted
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.store import damaged

_HOSTS = ("HOSTNAME", "HOST", "NODENAME", "COMPUTERNAME", "SLURMD_NODENAME", "EXPORT_HOST")
_USERS = ("USER", "USERNAME", "LOGNAME", "SUDO_USER", "SLURM_JOB_USER", "EXPORT_USER", "USER_NAME")
_SECRETS = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIALS")
_COMMON = GENERIC | SETTINGS | OURS
_NAMED = ("host name", "user name")
_WORD = re.compile(r"[^\W_]+")
_NUMBERS = frozenset(("INTEGER", "REAL"))
_HOME = ("/home/", "/Users/", "\\Users\\")
_ORIGIN = re.compile(r"(?:\x1b\[[\d;]*m|(?<![\w.-]))([\w.-]+):\d+:\d+ (?:\[\d|NCCL )")
#: Names that are looked for one by one; of more, those that begin as something in the text does.
_FEW = 32
_BEGINS = (3, 10)
#: Pairs of texts that are remembered, and their letters.
_REMEMBERED, _SHORT = 100_000, 512
_ENDS = re.compile(r"[^\w.@-]")


@dataclass(frozen=True)
class Names:
    """Names in lower case by what they are; a name counts where it stands as words of its own, and, of a user or host
    that tells by itself, within words.

    stems: letters of hosts' names, which with another number are the hosts beside.
    """

    kinds: dict[str, str]
    stems: frozenset[str] = frozenset()

    def within(self, text: str) -> Iterator[str]:
        """The kinds of the names that a text holds."""
        lowered = text.lower()
        if len(self.kinds) <= _FEW and not any(name in lowered for name in (*self.kinds, *self.stems)):
            return
        for name in self._beginning_in(lowered):
            if _stands_in(name, lowered, self.kinds[name]):
                yield self.kinds[name]
        words_of_it = set(_WORD.findall(lowered)) if self.stems else set()
        for word in words_of_it | {word.rstrip("0123456789") for word in words_of_it}:
            for stem in self._stems_by_word.get(word, ()):
                if any(_is_number(part) for part in lowered.split(stem)[1:]):
                    yield "host name"

    def _beginning_in(self, text: str) -> Iterator[str]:
        """Names of which the text has the beginning."""
        index = self._by_begin
        if len(index) <= len(text):
            begins: Iterable[str] = (begin for begin in index if begin in text)
        else:
            begins = {text[i : i + size] for size in _BEGINS for i in range(len(text) - size + 1)} & index.keys()
        return (name for begin in begins for name in index[begin])

    @cached_property
    def _by_begin(self) -> dict[str, list[str]]:
        """Thousands of names need not be looked for in each text."""
        found: dict[str, list[str]] = {}
        for name in self.kinds:
            found.setdefault(name[: max(size for size in _BEGINS if size <= max(len(name), 3))], []).append(name)
        return found

    @cached_property
    def _stems_by_word(self) -> dict[str, list[str]]:
        return _by_first_word(self.stems)

    def __or__(self, other: Names) -> Names:
        return Names(self.kinds | other.kinds, self.stems | other.stems)


def _by_first_word(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by their first word."""
    found: dict[str, list[str]] = {}
    for name in names:
        if (word := _WORD.search(name)) is not None:
            found.setdefault(word[0], []).append(name)
    return found


def _stands_in(name: str, text: str, kind: str) -> bool:
    if kind in _NAMED and may_be_glued(name, text):
        return name in text
    at = text.find(name)
    while at >= 0:
        around = text[max(0, at - 1) : at], text[at + len(name) : at + len(name) + 1]
        if not any(_WORD.fullmatch(side) for side in around):
            return True
        at = text.find(name, at + 1)
    return False


def _is_number(rest: str) -> bool:
    """Whether a text begins with a number of a host and no more."""
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return 0 < digits < 7 and not _WORD.fullmatch(rest[digits : digits + 1])


def names_of(source: Path) -> Names:
    """The names in an export: of its host and user, of homes in any of its texts, and secrets of its environment.

    NsysanError where it cannot be read.
    """
    if source.is_dir():
        return _collected(_texts_of_folder(source))
    file = SqliteFile(source)
    tables = file.tables
    file.close()
    try:
        with closing(sqlite3.connect(read_only_uri(source), uri=True)) as connection:
            return _collected(_texts(connection, tables, source.stat().st_size))
    except (sqlite3.Error, UnicodeError) as error:
        raise file.damaged(str(error)) from error


def names_in(lines: Iterable[str]) -> Names:
    """The names in a log of NCCL, whose lines begin with host:process:thread, perhaps behind times and colours."""
    hosts = {match[1] for line in lines for match in _ORIGIN.finditer(line[:4_096])}
    return _with_stems(dict(_telling("host name", hosts)))


def _collected(rows: Iterable[tuple[str, str]]) -> Names:
    """Names from the texts of an export, each with the text that stands before it in its row."""
    found: dict[str, str] = {}
    for label, text in _once(rows):
        for entry in re.split(r"[\0\n]", text):
            found |= dict(_telling(*_kind(label, entry)))
            variable, equals, value = entry.partition("=")
            if equals:
                found |= dict(_telling(*_kind(variable.strip().rpartition(" ")[2], value)))
        for mark in _HOME:
            for part in text.split(mark)[1:]:
                found |= dict(_telling("user name", [_ENDS.split(part, 1)[0]]))
    return _with_stems(found)


def _once(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Pairs without those that were there before, as far as short ones are remembered."""
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if row in seen:
            continue
        if len(seen) < _REMEMBERED and sum(map(len, row)) <= _SHORT:
            seen.add(row)
        yield row


def _with_stems(kinds: dict[str, str]) -> Names:
    hosts = [name for name, kind in kinds.items() if kind == "host name" and "." not in name and name[-1].isdigit()]
    stems = {host.rstrip("0123456789") for host in hosts}
    return Names(kinds, frozenset(stem for stem in stems if len(stem) > 4 and stem.strip("-_") not in _COMMON))


def _kind(label: str, value: str) -> tuple[str, list[str]]:
    name, value = label.rpartition(":")[2].upper(), value.strip().strip("\"'")
    if not value or re.fullmatch(r"\w{2,80}", name) is None:
        return "", []
    if name in _HOSTS:
        return "host name", [value, value.partition(".")[0], value.partition(".")[2]]
    if name in _USERS:
        return "user name", [value]
    if name == "HOME":
        return "user name", [re.split(r"[/\\]", value)[-1]]
    if any(f"_{name}_".find(f"_{word}_") >= 0 for word in _SECRETS) and len(value) >= 8:
        return "secret of the environment", [value, value.split()[0]]
    return "", []


def _telling(kind: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        lowered = name.lower().strip(".")
        if kind == "host name" and "." not in name and len(lowered) < 3:
            continue
        if 3 <= len(lowered) <= 4_096 and not lowered.replace(".", "").isdigit() and lowered not in _COMMON:
            yield lowered, kind


def _texts(connection: sqlite3.Connection, tables: Mapping[str, Sequence[str]], size: int) -> Iterator[tuple[str, str]]:
    """Each text with the text before it in its row, which may be its name."""
    guard = Guard(connection, REDACTED_VALUE, size)
    steps = size // SQLITE_LEAST_ROW * SQLITE_OPCODES // STEP + 10
    for table, columns in tables.items():
        guard.allow(steps)
        kinds = {row[1]: row[2].upper() for row in connection.execute(f"PRAGMA table_info({quoted(table)})")}
        texts = [quoted(column) for column in columns if kinds[column] not in _NUMBERS]
        if texts:
            guard.allow(steps * 2 * len(texts))
            told = " OR ".join(f"typeof({column}) IN ('text', 'blob')" for column in texts)
            for row in connection.execute(f"SELECT {', '.join(texts)} FROM {quoted(table)} WHERE {told}"):
                yield from _pairs(row)


def _texts_of_folder(folder: Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa

    from nsysan.trace.columnar import SUFFIXES, opened_table

    for file in sorted(folder.iterdir()):
        if file.suffix not in SUFFIXES or not file.is_file():
            continue
        try:
            with opened_table(file) as (schema, batches):
                told = [not (pa.types.is_primitive(field.type) or pa.types.is_null(field.type)) for field in schema]
                kept = [number for number, tells in enumerate(told) if tells]
                for batch in batches:
                    held = [number for number in kept if batch.column(number).null_count < batch.num_rows]
                    columns = [batch.column(number).cast(pa.large_binary()) for number in held]
                    for column in columns:
                        column.validate(full=True)
                    # Once each: a small file can hold one row millions of times.
                    for row in dict.fromkeys(zip(*(column.to_pylist() for column in columns), strict=True)):
                        yield from _pairs(row)
        except (pa.ArrowException, OSError, ValueError) as error:
            said = str(error).splitlines()
            what = f"table {file.stem}: {said[0] if said else type(error).__name__}"
            raise damaged(folder, what, "parquetdir or arrowdir") from error


def _pairs(row: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    before = ""
    for value in row:
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")  # noqa: PLW2901
        if isinstance(value, str):
            yield before, value
            before = value
