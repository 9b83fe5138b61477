"""What a script that a command names would start: small text files alone are looked into."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

_MOST = 1 << 18
_MOST_COMMANDS = 500
_LONGEST_VALUE = 10_000
_ASSIGNMENT = re.compile(r"""(?:export\s+|local\s+)?([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S*)(?:\s*#.*)?""")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")
_KEYWORDS = frozenset({"if", "then", "else", "elif", "fi", "do", "done", "while", "for", "{", "}", "!", "export", "("})
_IMPORT = r"^\s*(?:from|import)\s+{module}\b"
_GUARD = re.compile(r"__name__\s*==\s*['\"]__main__['\"]")
_OPTION_IN_CODE = re.compile(
    r"\b(tensor_parallel_size|pipeline_parallel_size|data_parallel_size|tp_size|pp_size|dp_size)\s*=\s*(\d{1,5})\b"
)
_OPTION_IN_YAML = re.compile(
    r"^\s*((?:tensor|pipeline|data)[-_]parallel[-_]size|(?:tp|pp|dp)(?:[-_]size)?)\s*:\s*(\d{1,5})\s*(?:#.*)?$",
    re.MULTILINE,
)
_ADDRESS_IN_YAML = re.compile(r"^(host|port)\s*:\s*['\"]?([\w.:-]{1,255})['\"]?\s*(?:#.*)?$", re.MULTILINE)


def text_of(path: Path) -> str | None:
    """The text of a small file; None where it is no file, large, or no text."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST:
            return None
        with path.open("rb") as file:
            raw = file.read(_MOST)
    except (OSError, ValueError):
        return None
    return None if b"\0" in raw else raw.decode("utf-8", "replace")


def is_shell(path: Path, text: str) -> bool:
    """Whether a shell would run it."""
    first = text.partition("\n")[0]
    return bool(re.match(r"#!.*\b(?:ba|da|z|k)?sh\b", first)) or path.suffix in (".sh", ".bash", ".slurm", ".sbatch")


def is_python(path: Path, text: str) -> bool:
    """Whether Python would run it."""
    return path.suffix == ".py" or bool(re.match(r"#!.*\bpython", text.partition("\n")[0]))


def imports(text: str, module: str) -> bool:
    """Whether a Python script imports the module."""
    return re.search(_IMPORT.format(module=re.escape(module)), text, re.MULTILINE) is not None


def is_guarded(text: str) -> bool:
    """Whether a Python script can be imported by the workers that it spawns."""
    return _GUARD.search(text) is not None


def options_in_code(text: str) -> dict[str, int]:
    """Parallel sizes that a Python script states as numbers; none that it states twice, differently."""
    return _only(_OPTION_IN_CODE.findall(text))


def options_in_yaml(text: str) -> dict[str, int]:
    """Parallel sizes in an engine's configuration."""
    return _only(_OPTION_IN_YAML.findall(text))


def address_in_yaml(text: str) -> list[str]:
    """Where a server listens by its configuration, as options of its command."""
    return [f"--{name}={value}" for name, value in _ADDRESS_IN_YAML.findall(text)]


def _only(found: list[tuple[str, str]]) -> dict[str, int]:
    values: dict[str, set[int]] = {}
    for name, number in found:
        values.setdefault(name.replace("_", "-"), set()).add(int(number))
    return {name: own.pop() for name, own in values.items() if len(own) == 1}


def commands_in(text: str, arguments: list[str], environment: Mapping[str, str]) -> Iterator[list[str]]:
    """The simple commands of a shell script, with the variables that it sets, and its arguments, put in."""
    known = {**environment, **{str(i): word for i, word in enumerate(arguments, 1)}}
    for i, line in enumerate(re.sub(r"\\\n", " ", text).splitlines()):
        if i >= _MOST_COMMANDS:
            return
        told = _ASSIGNMENT.fullmatch(line.strip())
        if told:
            known[told[1]] = _filled(told[2].strip("\"'"), known)[:_LONGEST_VALUE]
            continue
        yield from _simple(line, arguments, known)


def _simple(line: str, arguments: list[str], known: dict[str, str]) -> Iterator[list[str]]:
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:  # a quotation that goes on in the next line
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if word and set(word) <= set(";&|()"):
            told = [_ASSIGNMENT.fullmatch(word) for word in command]
            if all(told):
                # `export TP=4;` of what comes after it.
                known |= {one[1]: one[2][:_LONGEST_VALUE] for one in told if one}
            else:
                yield command
            command = []
        elif word in ("$@", "$*", "${@}"):
            command += arguments
        elif _VARIABLE.fullmatch(word):
            # A whole command, or several options, are often kept in one.
            command += _filled(word, known).split()
        elif command or word not in _KEYWORDS:
            command.append(_filled(word, known))


def _filled(word: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda m: known.get(m[1] or m[3], "") or (m[2] or ""), word)
