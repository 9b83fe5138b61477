"""Texts without what they tell of people, machines and places; each treatment of plan.TABLES is a method."""

from __future__ import annotations

import json
import re
import struct

from nsysan.model.binary import BYTES, COMMUNICATOR, DEVICE, RANK, RANKS
from nsysan.redact.secrets import HOST, PLACE, USER, Secrets

_NAME = r"[\w.+@%~=#,-]+"
_ROOTS = (
    "home|Users|root|mnt|media|data|scratch|lustre|gpfs|nfs|opt|usr|var|tmp|workspace|content|srv|etc|proc|app|run|"
    "lib|lib64|fsx|shared|projects?|work|dev|sys|bin|private|Volumes"
)
_ROOTED = re.compile(rf"(?<![\w./>)\]])/(?:{_ROOTS})(?:/{_NAME})+/?")
#: What is masked in any text but names of code: pattern, placeholder, kind.
_TELLING = (
    (re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'<>]+"), "<url>", "URL"),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]+"), "<mail>", "mail address"),
    (re.compile(r"(?<![A-Za-z0-9])[A-Za-z]:[\\/][^\"'<>|*?\n]+"), "<path>", PLACE),
    (re.compile(r"\\\\[\w.-]+\\[^\"'<>|*?\n\s]+"), "<path>", PLACE),
    (re.compile(rf"(?<![\w./>)\]])~?/(?:{_NAME}/)+(?:{_NAME})?"), "<path>", PLACE),
    (re.compile(rf"(?<![\w./>)\]])~/{_NAME}"), "<path>", PLACE),
    (re.compile(rf"(?<![\w./>)\]])/(?:{_ROOTS})(?![\w/])"), "<path>", PLACE),
    (
        re.compile(r"(?<![\w./-])(?:[\w.-]+/)+[\w-]+\.(?:py|pyc|sh|so|cpp|cc|cu|cuh|h|json|ya?ml|toml|txt|log|rs)\b"),
        "<path>",
        PLACE,
    ),
    (
        re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"),
        "<uuid>",
        "UUID",
    ),
    (re.compile(r"(?<![\w:-])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?![\w:-])"), "<mac>", "MAC address"),
    (
        re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])"),
        "<ip>",
        "IP address",
    ),
    (
        re.compile(
            r"(?<![\w:])(?:fe80::[0-9A-Fa-f:]+|(?:[0-9A-Fa-f]{1,4}:){2,6}:[0-9A-Fa-f:]*|(?:[0-9A-Fa-f]{1,4}:){5,7}[0-9A-Fa-f]{1,4})(?![\w:])"
        ),
        "<ip>",
        "IP address",
    ),
)
#: Every text that _TELLING finds has one of these.
_HINT = re.compile(r"[/\\@:.-]")
_MARKS = {HOST: "<host>", USER: "<user>", PLACE: "<path>"}
_PROGRAM = re.compile(
    r"python[\d.]*|torchrun|mpirun|mpiexec|srun|orted|prted|vllm|trtllm-\w+|sglang\S*|pt_main_thread|"
    r"VLLM::\w+|ray::\w+|sglang::\w+"
)
_PAYLOAD_LABELS = frozenset(
    (
        BYTES,
        RANK,
        RANKS,
        DEVICE,
        "Reduction operation",
        "Root",
        "Peer rank",
        "Color",
        "Key",
        "count",
        "rank",
        "dataType",
        "commHash",
        "commRank",
        "nRanks",
        "seqNumber",
        "operationClass",
        "operationId",
    )
)
_SHORT_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15}")
_HEADER = struct.Struct("<IIIIQQ")
_MAX_PAYLOAD = 64  # NCCL's longest has 40 bytes
_TEXT_IN_BYTES = re.compile(rb"[\x20-\x7e]{12,}")
#: What messages of the profiler begin with that a report may quote; others are for its own developers.
_MESSAGES = re.compile(
    r"(?:Not all|No) (?:NVTX|CUDA|OS runtime libraries|OpenGL) events|Number of |Some events|"
    r"Profiling (?:has|started) |Couldn't allocate CUPTI|Reached the size limit|Wrong event order|"
    r"CUDA (?:profiling|hardware|injection)|NVTX injection|Common injection|Buffers holding CUDA|"
    r"The cudaProfilerSt|The system is running in Protected|Installed CUDA driver|GPU Metrics|"
    r"Timeout while waiting for injected|Unable to (?:configure|collect)|Enabling trace"
)
_EVENT_LOSS = ("were lost", "size limit on recording", "Not all CUDA events")
REMOVED_MESSAGE = "<message>"
REMOVED_PROGRAM = "<process>"


class Scrubber:
    """Masks secrets, and counts by kind what was masked (in distinct texts)."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets
        self.masked: dict[str, int] = {}
        self._known: dict[tuple[str, str], str] = {}

    def label(self, text: str) -> str:
        """Text of a range or message: paths, addresses and secrets become placeholders."""
        return self._cached("label", text)

    def code(self, text: str) -> str:
        """Name of a kernel or call: C++ has slashes and colons of its own, so only rooted paths and secrets go."""
        return self._cached("code", text)

    def word(self, text: str) -> str:
        """A name that nsys, CUDA or NCCL gives; treated as a label."""
        return self.label(text)

    def model(self, text: str) -> str:
        """Name of a GPU or chip."""
        return self.label(text)

    def program(self, text: str) -> str:
        """Name of a process: known launchers and interpreters without their folder, others not at all."""
        name = re.split(r"[\\/]", text)[-1]
        if _PROGRAM.fullmatch(name):
            return self.label(name)
        self._count("process name")
        return REMOVED_PROGRAM

    def payload(self, text: str) -> str | None:
        """The entries of an NVTX payload that NCCL makes, as JSON; None where there are none."""
        try:
            payload = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(payload, dict):
            return None
        kept = {label: value for label, value in payload.items() if _is_ncclish(label, value)}
        return json.dumps(kept, separators=(",", ":")) if kept else None

    def blob(self, raw: bytes) -> bytes | None:
        """A payload as bytes, if it is short and holds numbers only."""
        data = bytes.fromhex(raw.decode("ascii")) if re.fullmatch(rb"(?:[0-9A-Fa-f]{2})+", raw) else raw
        if len(data) < _HEADER.size:
            return None
        size = _HEADER.unpack_from(data)[4]
        fits = size <= _MAX_PAYLOAD and len(data) == _HEADER.size + size
        return raw if fits and not _TEXT_IN_BYTES.search(data) else None

    def message(self, text: str) -> str:
        """A message of the profiler; one that is not known to be harmless goes whole."""
        if _MESSAGES.match(text) or any(part in text for part in _EVENT_LOSS):
            return self.label(text)
        self._count("message")
        return REMOVED_MESSAGE

    def _cached(self, how: str, text: str) -> str:
        key = (how, text)
        if key not in self._known:
            self._known[key] = self._mask(text, code=how == "code")
        return self._known[key]

    def _mask(self, text: str, *, code: bool) -> str:
        # Anything that hides behind a NUL is not part of a name.
        text = text.partition("\0")[0] if code else text.replace("\0", " ")
        if code:
            text = self._replace(_ROOTED, "<path>", PLACE, text)
        else:
            for pattern, mark, kind in _TELLING if _HINT.search(text) else ():
                text = self._replace(pattern, mark, kind, text)
        for secret in self.secrets.within(text):
            text = self._replace(secret.pattern, _MARKS.get(secret.kind, "<removed>"), secret.kind, text)
        return text

    def _replace(self, pattern: re.Pattern[str], mark: str, kind: str, text: str) -> str:
        masked, times = pattern.subn(mark, text)
        if times:
            self._count(kind)
        return masked

    def _count(self, kind: str) -> None:
        self.masked[kind] = self.masked.get(kind, 0) + 1


def telling_kind(text: str, *, code: bool) -> str | None:
    """What kind of place or address a text holds, if any; `code`: it is the name of a kernel or call."""
    if code:
        return PLACE if _ROOTED.search(text) else None
    if not _HINT.search(text):
        return None
    return next((kind for pattern, _, kind in _TELLING if pattern.search(text)), None)


def _is_ncclish(label: str, value: object) -> bool:
    if label not in _PAYLOAD_LABELS and not re.fullmatch(re.escape(COMMUNICATOR) + r"[A-Za-z0-9 ()\[\]]{0,24}", label):
        return False
    return isinstance(value, int | float) or (isinstance(value, str) and _SHORT_WORD.fullmatch(value) is not None)
