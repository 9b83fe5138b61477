"""Texts without what they tell of people, machines and places; each treatment of plan.TABLES is a method."""

from __future__ import annotations

import json
import re
import struct

from nsysan.model.binary import BYTES, COMMUNICATOR, DEVICE, RANK, RANKS
from nsysan.redact.masks import asks_for_numbers, form_of, masked
from nsysan.redact.secrets import HOST, PLACE, SIBLINGS, USER, Secrets

_MARKS = {HOST: "<host>", SIBLINGS: "<host>", USER: "<user>", PLACE: "<path>"}
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
#: The words that NCCL gives as values: operations and types of data.
_VALUE = re.compile(
    r"(?:nccl)?(?:sum|prod|min|max|avg|premulsum|sumpostdiv|(?:u?int|float|bfloat)\d{1,2}|u?int|char|half|float|double|"
    r"float8e[45]m[23])",
    re.IGNORECASE,
)
_COMMUNICATOR = re.compile(rf"(?:Parent )?{re.escape(COMMUNICATOR)}(?: \((?:new|parent|child|split)\))?")
_HEADER = struct.Struct("<IIIIQQ")
_MAX_PAYLOAD = 64  # NCCL's longest has 40 bytes
_MOST_BYTES = 1 << 40  # no message is larger; five letters are
_MOST_COUNT = 1 << 24
_MINUS_ONE = 0xFFFF_FFFF
_TEXT_IN_BYTES = re.compile(rb"[\x20-\x7e]{6,}")
#: What messages of the profiler begin with that a report may quote; others are for its own developers.
_MESSAGES = re.compile(
    r"(?:Not all|No) (?:NVTX|CUDA|OS runtime libraries|OpenGL) events|Number of |Some events|"
    r"Profiling (?:has|started) |Couldn't allocate CUPTI|Reached the size limit|Wrong event order|"
    r"CUDA (?:profiling|hardware|injection)|NVTX injection|Common injection|Buffers holding CUDA|"
    r"The cudaProfilerSt|The system is running in Protected|Installed CUDA driver|GPU Metrics|"
    r"Timeout while waiting for injected|Unable to (?:configure|collect)|Enabling trace"
)
_EVENT_LOSS = ("were lost", "size limit on recording", "Not all CUDA events")
#: Letters of a text that others may differ from by numbers alone.
_LINE = 1_024
REMOVED_MESSAGE = "<message>"
REMOVED_PROGRAM = "<process>"


class Scrubber:
    """Masks secrets, and counts by kind what was masked (in distinct texts)."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets
        self.masked: dict[str, int] = {}
        self._done: dict[tuple[str, str], str] = {}
        #: Whether nothing is masked in texts of a form, asked when there is a second one.
        self._forms: dict[tuple[bool, str], bool | None] = {}

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
        header, payload = data[: _HEADER.size], data[_HEADER.size :]
        return raw if fits and _holds_numbers(payload) and not _TEXT_IN_BYTES.search(header) else None

    def message(self, text: str) -> str:
        """A message of the profiler; one that is not known to be harmless goes whole."""
        if _MESSAGES.match(text) or any(part in text for part in _EVENT_LOSS):
            return self.label(text)
        self._count("message")
        return REMOVED_MESSAGE

    def _cached(self, how: str, text: str) -> str:
        key = (how, text)
        if key not in self._done:
            self._done[key] = self._mask(text, code=how == "code")
        return self._done[key]

    def _mask(self, text: str, *, code: bool) -> str:
        # Anything that hides behind a NUL is not part of a name.
        text = text.partition("\0")[0]
        if len(text) <= _LINE and self._tells_nothing(form_of(text), code=code) and not self.secrets.within(text):
            return text
        done, kinds = masked(text, self._known, code=code)
        for kind in kinds:
            self._count(kind)
        return done

    def _tells_nothing(self, form: str, *, code: bool) -> bool:
        key = (code, form)
        if key not in self._forms:
            self._forms[key] = None
            return False
        told = self._forms[key]
        if told is None:
            told = not asks_for_numbers(form) and masked(form, self._known, code=code) == (form, [])
            self._forms[key] = told
        return told

    def _known(self, text: str) -> tuple[str, list[str]]:
        """The text without what the trace itself tells of people and machines."""
        kinds = []
        for secret in self.secrets.within(text):
            text, times = secret.pattern_in(text).subn(_MARKS.get(secret.kind, "<removed>"), text)
            kinds += [secret.kind] * bool(times)
        return text, kinds

    def _count(self, kind: str) -> None:
        self.masked[kind] = self.masked.get(kind, 0) + 1


def _holds_numbers(payload: bytes) -> bool:
    """Whether a payload can be NCCL's: identifiers of communicators, and numbers of the size of counts and messages."""
    for at in range(0, len(payload), 8):
        word = payload[at : at + 8].ljust(8, b"\0")
        low, high = struct.unpack("<II", word)
        counts = all(half < _MOST_COUNT or half == _MINUS_ONE for half in (low, high))
        if not counts and int.from_bytes(word, "little") >= _MOST_BYTES and (at > 8 or _TEXT_IN_BYTES.search(word)):
            return False
    return True


def _is_ncclish(label: str, value: object) -> bool:
    if label not in _PAYLOAD_LABELS and not _COMMUNICATOR.fullmatch(label):
        return False
    if isinstance(value, str):
        return _VALUE.fullmatch(value) is not None
    return isinstance(value, int) and abs(value) < 1 << 64
