"""What a trace tells of people, machines and places, as a list to mask by and to search the copy for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from nsysan.redact.common_words import GENERIC, LONG_MANGLED, OURS, SETTINGS, may_be_glued

ENVIRONMENT, HOST, USER, PLACE = "environment value", "host name", "user name", "path"
PROCESS, DEVICE = "process name", "device name"
#: Letters of a host's name, to which other hosts have other numbers.
SIBLINGS = "host name by its letters"
_FOLDED = (HOST, USER, SIBLINGS)

_SECRET = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|AUTH|CRED|USER|LOGNAME|HOST|HOME|MAIL|ACCOUNT|NODENAME|NODELIST|MASTER_ADDR",
    re.IGNORECASE,
)
#: Words, and what every host calls its network cards.
_ANY_WORD = re.compile(r"[A-Za-z][a-z]+|(?:mlx\d|hfi\d|eth|ib|bond)[_-]?\d{0,3}")
_WORDLIKE = re.compile(r"\w+")
_NUMBER = re.compile(r"[\d.,:;+-]*")
_LONG_WORD = 6
_BEGINS = (3, 10)  # characters; no secret is shorter
_SHORTEST = {HOST: 3, USER: 3}
_HOME = re.compile(r"(?:/home/|/Users/|[A-Za-z]:[\\/]Users[\\/])([^\s/\\\"':;,]+)")
_ENTRY = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Secret:
    """A text that must not be in a copy, and of what kind it is."""

    text: str
    kind: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The text as such; a word only where it is not part of a longer one, unless it tells all the same."""
        literal = re.escape(self.text)
        if self.kind == PLACE:
            literal = rf"(?<![\w.-]){literal}(?![\w-])"
        elif self.kind == SIBLINGS:
            literal = rf"(?<![^\W_]){literal}\d{{1,6}}(?![^\W_])"
        elif _WORDLIKE.fullmatch(self.text) and not self._is_telling:
            literal = rf"(?<![^\W_]){literal}(?![^\W_])"
        return re.compile(literal, re.IGNORECASE if self.kind in _FOLDED else 0)

    @property
    def _is_telling(self) -> bool:
        mixed = any(c.isdigit() for c in self.text) and any(c.isalpha() for c in self.text)
        return len(self.text) >= 10 and mixed

    def pattern_in(self, text: str) -> re.Pattern[str]:
        """What to look for in a text."""
        if self.kind in (HOST, USER):
            return self._glued if may_be_glued(self.text, text) else self.pattern
        return self._glued if len(self.text) >= LONG_MANGLED and text.startswith("_Z") else self.pattern

    @cached_property
    def _glued(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.text), re.IGNORECASE)

    def is_in(self, text: str, lowered: str) -> bool:
        """Whether the text, of which `lowered` is the lower case, holds the secret."""
        found = self.text.lower() in lowered if self.kind in _FOLDED else self.text in text
        return found and self.pattern_in(text).search(text) is not None


class Secrets:
    """Collects secrets from the texts of a trace; `code` holds names of kernels and calls, whose words tell nothing."""

    def __init__(self, code: Iterable[str] = ()) -> None:
        self._code = "\n".join(code)
        self._found: dict[str, Secret] = {}
        self._by_begin: dict[str, list[Secret]] = {}

    def add(self, kind: str, text: str) -> None:
        """Take a host, user, path or name; what is too short or too common to tell anything is left out."""
        text = text.strip().strip("\"'").strip("\0")
        lowered = text.lower()
        if len(text) < _SHORTEST.get(kind, 4) or (_NUMBER.fullmatch(text) and len(text) < 6):
            return
        # Somebody may be called step: then step_3 stays a step, and only the folder of that name goes.
        if lowered in GENERIC or lowered in OURS or (kind in (USER, HOST) and lowered in SETTINGS):
            return
        self._found.setdefault(text, Secret(text, kind))
        self._by_begin = {}
        if kind == HOST:
            self._add_relatives(text)

    def _add_relatives(self, host: str) -> None:
        """The host without its domain, the domain without its host, both as programs and variables write them, and its
        letters, that those beside share.
        """
        name, _, domain = host.partition(".")
        if domain:
            self.add(HOST, name)
        if "." in domain:
            self.add(HOST, domain)
        for other in ("_", "-", ""):
            written = re.sub(r"[-.]", other, host)
            if written != host and len(written) >= _LONG_WORD:
                self._found.setdefault(written, Secret(written, HOST))
        stem = name.rstrip("0123456789")
        told = stem.strip("-_").lower()
        if stem != name and len(told) >= 4 and told not in SETTINGS | GENERIC | OURS:
            self._found.setdefault(stem, Secret(stem, SIBLINGS))

    def add_setting(self, name: str, value: str) -> None:
        """Take the value of an environment variable, unless it is a word that the code itself uses."""
        value = value.strip().strip("\"'")
        self.add_homes(value)
        if re.fullmatch(r"HOST(?:NAME)?|COMPUTERNAME|SLURMD_NODENAME", name, re.IGNORECASE):
            self.add(HOST, value)
        elif re.fullmatch(r"USER(?:NAME)?|LOGNAME|SUDO_USER|SLURM_JOB_USER", name, re.IGNORECASE):
            self.add(USER, value)
        elif _SECRET.search(name) or not self._is_common(value):
            self.add(ENVIRONMENT, value)
            # Lists of paths leak each entry.
            for part in re.split(r"[:;,]", value):
                if part != value and "/" in part and len(part) >= 8 and not self._is_common(part):
                    self.add(PLACE, part)

    def add_name(self, kind: str, name: str) -> None:
        """Take the name of a program, device or folder, unless the code uses that word, or any text may: workload."""
        if len(name) >= 6 and not self._is_common(name) and not _ANY_WORD.fullmatch(name):
            self.add(kind, name)

    def add_homes(self, text: str) -> None:
        """Take the user names that home directories in the text tell."""
        for name in _HOME.findall(text):
            self.add(USER, name)

    def add_environment(self, text: str) -> int:
        """Take the values of an environment kept as one text, entries parted by NUL, line ends or blanks; how many."""
        entries = [_ENTRY.fullmatch(entry.strip()) for entry in re.split(r"[\0\n]|[\s;](?=[A-Za-z_]\w*=)", text)]
        pairs = [(match[1], match[2]) for match in entries if match]
        for name, value in pairs:
            self.add_setting(name, value)
        return len(pairs)

    def __iter__(self) -> Iterator[Secret]:
        return iter(self._found.values())

    def within(self, text: str) -> list[Secret]:
        """The secrets that a text holds, longest first: one within another must not leave its rest behind."""
        lowered, index = text.lower(), self._index
        if len(index) <= len(lowered):
            begins: Iterable[str] = (begin for begin in index if begin in lowered)
        else:
            begins = {lowered[i : i + size] for size in _BEGINS for i in range(len(lowered) - size + 1)} & index.keys()
        found = [secret for begin in begins for secret in index[begin] if secret.is_in(text, lowered)]
        return sorted(found, key=_longest_first)

    @property
    def _index(self) -> dict[str, list[Secret]]:
        """Secrets by how they begin: thousands of them need not be looked for in each of a million texts."""
        if not self._by_begin:
            for secret in self:
                size = max(size for size in _BEGINS if size <= len(secret.text.lower()) or size == min(_BEGINS))
                self._by_begin.setdefault(secret.text.lower()[:size], []).append(secret)
        return self._by_begin

    def _is_common(self, value: str) -> bool:
        if _NUMBER.fullmatch(value):
            return True
        words = re.findall(r"[^\W_]+", value.lower())
        if all(word in SETTINGS or word in GENERIC for word in words):
            return True
        return _WORDLIKE.fullmatch(value) is not None and value in self._code


def _longest_first(secret: Secret) -> tuple[int, str]:
    return -len(secret.text), secret.text
