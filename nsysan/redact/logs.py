"""Logs of NCCL and answers of nvidia-smi: text files that lie beside traces, masked line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import NCCL_BYTES, NCCL_LINES, REDACTED_LINE
from nsysan.redact.scrub import Scrubber
from nsysan.redact.secrets import HOST, Secrets
from nsysan.redact.topology_copy import topology_text
from nsysan.trace.topology import parse_topology

#: How each line of NCCL's log begins: host, process, thread; engines put times and names before it, and colours.
_ORIGIN = re.compile(r"(?<![\w.-])(?:\x1b\[[\d;]{0,16}[A-Za-z])?([\w.-]{1,253}):(\d{1,9}):(\d{1,9}) (?=\[|NCCL)")
#: Letters of a line in which it begins.
_HEAD = 4_096
_NCCL = re.compile(r"NCCL (?:INFO|WARN|TRACE|ABORT|VERSION)|NCCL version ")


def is_log(path: Path) -> bool:
    """Whether a file is one that mask_file takes: a log of NCCL, or the topology that a capture records."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return b"\0" not in head and (
        _NCCL.search(text := head.decode("utf-8", "replace")) is not None or _is_topology(text)
    )


def mask_file(path: Path) -> tuple[str, dict[str, int]]:
    """The text of a log or topology without what it tells, and how many lines were masked, by kind.

    NsysanError where it cannot be read, or is larger than what a report reads of a log.
    """
    try:
        with path.open("rb") as file:
            content = file.read(NCCL_BYTES + 1)
    except OSError as error:
        raise NsysanError(f"{path}: cannot be read: {error.strerror}", ExitCode.NO_SUCH_FILE) from error
    if len(content) > NCCL_BYTES or content.count(b"\n") > NCCL_LINES:
        raise NsysanError(
            f"{path}: is larger than what a report reads of a log ({NCCL_BYTES // 10**6} MB, {NCCL_LINES:,} lines); "
            f"cut it there: head -c {NCCL_BYTES} {path.name} | head -n {NCCL_LINES}",
            ExitCode.DAMAGED,
        )
    text = content.decode("utf-8", "replace")
    if _is_topology(text):
        return topology_text(parse_topology(text)), {}
    lines = text.removesuffix("\n").split("\n")
    scrubber = Scrubber(_hosts(lines))
    return "\n".join(_masked(lines, scrubber)) + "\n", scrubber.masked


def _is_topology(text: str) -> bool:
    return bool(parse_topology(text).pairs) and _NCCL.search(text) is None


def _hosts(lines: Iterable[str]) -> Secrets:
    secrets = Secrets()
    for host in {match[1] for line in lines for match in _ORIGIN.finditer(line, 0, _HEAD)}:
        secrets.add(HOST, host)
    return secrets


def _masked(lines: Iterable[str], scrubber: Scrubber) -> Iterable[str]:
    in_key = False
    for line in lines:
        # A certificate has many lines, of which the first alone says what they are.
        in_key = in_key or "-----BEGIN" in line
        if in_key:
            yield "<key>"
            in_key = "-----END" not in line
            continue
        origin = _ORIGIN.search(line, 0, _HEAD)
        if origin is None:
            yield scrubber.label(line[:REDACTED_LINE])
            continue
        before = scrubber.label(line[: origin.start()]) if origin.start() else ""
        yield f"{before}<host>:{origin[2]}:{origin[3]} {scrubber.label(line[origin.end() :][:REDACTED_LINE])}"
