"""Printable runs in bytes, and which of them are values that are searched as such."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

#: Bytes of a file, or of a value.
Content = bytes | mmap.mmap

LEAST = 6  # characters; shorter runs of letters are in any file of numbers
#: By encoding: the run, and where its letters are in it.
_RUNS = {
    "ascii": (re.compile(rb"[\x20-\x7e]{%d,}" % LEAST), slice(None)),
    "utf-16-le": (re.compile(rb"(?:[\x20-\x7e]\x00){%d,}" % LEAST), slice(0, None, 2)),
    "utf-16-be": (re.compile(rb"(?:\x00[\x20-\x7e]){%d,}" % LEAST), slice(1, None, 2)),
}
_PLAIN, _ = _RUNS["ascii"]
_MOST_OF_A_ROW = 500  # bytes of a run that is taken apart into values


class Values:
    """The values of a file, as runs of its bytes show them."""

    def __init__(self) -> None:
        self._pieces: set[bytes] = set()
        self._long: list[bytes] = []

    def add(self, value: bytes) -> None:
        """A value that is searched by itself."""
        self._pieces.update(_PLAIN.findall(value))
        if 2 < len(value) < LEAST:
            self._pieces.add(value)
        if len(value) > _MOST_OF_A_ROW:  # it may lie in pieces on several pages
            self._long.append(value)

    def runs_beside(self, content: Content) -> Iterator[str]:
        """Printable runs, each once, but those that are values: in pages that nothing refers to, and beside."""
        long = b"\n".join(self._long)
        for encoding, (pattern, _) in _RUNS.items():
            for run in set(pattern.findall(content)):
                if encoding != "ascii" or not self._made(run, long):
                    yield run.decode(encoding)

    def _made(self, run: bytes, long: bytes) -> bool:
        """Whether a run is made of values, as those of a row follow each other; numbers beside may read as letters."""
        if any(run[begin : len(run) - end] in self._pieces for begin in range(4) for end in range(3)):
            return True
        if len(run) > _MOST_OF_A_ROW:
            return run in long
        return any(len(run) - self._after(run, begin) < 3 for begin in range(4))

    def _after(self, run: bytes, at: int) -> int:
        """Where the values end that stand in a run from `at` on."""
        while at < len(run):
            end = next((end for end in range(len(run), at, -1) if run[at:end] in self._pieces), at)
            if end == at:
                return at
            at = end
        return at


def runs(content: Content) -> Iterator[str]:
    """All printable runs, each once."""
    return Values().runs_beside(content)


def is_plain(value: bytes) -> bool:
    """Whether a value is one printable run, or too short for any."""
    return len(value) < LEAST or _PLAIN.fullmatch(value) is not None


def places(content: Content, texts: set[str]) -> Iterator[tuple[int, int, slice]]:
    """Where the runs begin and end that read as one of the texts, and where the letters are in each."""
    for encoding, (pattern, letters) in _RUNS.items():
        wanted = {text.encode(encoding) for text in texts}
        for match in pattern.finditer(content):
            if match[0] in wanted:
                yield match.start(), match.end(), letters
