"""A load of our own for an OpenAI-style server: streams of tokens, counted and timed as they come."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from urllib.parse import urlsplit

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.server import get, headers_of

_PROMPT = "Tell me of the sea, of ships and of those who sail them, at length. " * 4
#: Tokens of a request: minutes of decoding for most models, and no more than a server's cache holds for each stream.
_MOST_TOKENS = 8192
_FEWEST_TOKENS = 64
#: What the prompt takes of a model's context by a usual tokenizer; each of its characters is a token at the most.
_PROMPT_TOKENS = 96
_LEAST_TOKENS = 16
#: Arrivals of a stream that are kept: minutes of decoding.
_KEPT = 50_000
_READ_S = 120.0
#: What hangs then ends with us.
_END_S = 2.0
_LONGEST_LINE = 1 << 20
#: Tokens of each stream that are over before decoding counts as steady: prefills of all are done by then.
SETTLED = 8


@dataclass
class Stream:
    """Requests that are answered token by token, one after the other.

    arrivals: the monotonic time of each piece of text, and how many tokens came by then. begun: when the first piece of
    each request came. answered: tokens of the present request. round: when it began, in renewals of the load.
    """

    arrivals: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    begun: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    answered: int = 0
    round: int = -1
    failure: str = ""

    @property
    def tokens(self) -> int:
        return self.arrivals[-1][1] if self.arrivals else 0


class Load:
    """`requests` streams at once against the server at `base`, from start() to stop().

    length: tokens that each request asks for: what the model's context takes, or else what the server did not refuse.
    """

    def __init__(self, base: str, requests: int, model: str | None = None, key: str | None = None) -> None:
        self.base, self.model, self._key = base, model, key
        self.streams = [Stream() for _ in range(requests)]
        self._lengths = request_lengths(None)
        self._shorter = threading.Lock()
        self._round = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._serve, args=(one,), daemon=True) for one in self.streams]

    def start(self) -> None:
        """Begin; NsysanError where the server names no model."""
        served, context = served_model(self.base, self._key)
        self.model, self._lengths = self.model or served, request_lengths(context)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the streams; what the server still computes for them is its own."""
        self._over.set()
        until = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(timeout=max(until - time.monotonic(), 0.0))

    def renew(self) -> None:
        """Let every stream leave its request and begin another, all at once."""
        self._round += 1

    @property
    def length(self) -> int:
        return self._lengths[0]

    @property
    def failure(self) -> str:
        """Why no stream gets anything, "" while one does."""
        failures = [one.failure for one in self.streams if one.failure]
        return failures[0] if len(failures) == len(self.streams) else ""

    @property
    def steady(self) -> bool:
        """Whether every stream that works decodes."""
        working = self._working()
        return bool(working) and all(one.round == self._round and one.answered >= SETTLED for one in working)

    @property
    def tokens(self) -> int:
        """Tokens that the stream that is furthest behind has got."""
        return min((one.tokens for one in self._working()), default=0)

    @property
    def left(self) -> int:
        """Tokens until the first of the requests ends."""
        return min((self.length - one.answered for one in self._working()), default=0)

    def begun(self, begin: float, end: float) -> int:
        """Requests whose first token came between two monotonic times."""
        return sum(begin <= at <= end for one in self.streams for at in tuple(one.begun))

    def interval_ns(self, begin: float, end: float) -> int | None:
        """The median over the streams of the time a token takes, in ns, by what came between two monotonic times.

        None where no stream got enough tokens in between.
        """
        found = []
        for one in self.streams:
            inside = [(at, n) for at, n in tuple(one.arrivals) if begin <= at <= end]
            if inside and (count := inside[-1][1] - inside[0][1]) >= _LEAST_TOKENS:
                found.append((inside[-1][0] - inside[0][0]) / count)
        return round(median(found) * 1e9) if found else None

    def _working(self) -> list[Stream]:
        return [one for one in self.streams if not one.failure]

    def _serve(self, one: Stream) -> None:
        while not self._over.is_set():
            try:
                self._one_request(one)
                one.failure = ""
            except (OSError, ValueError, http.client.HTTPException) as error:
                one.failure = str(error) or type(error).__name__
                self._over.wait(1.0)

    def _one_request(self, one: Stream) -> None:
        parts = urlsplit(self.base)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_READ_S)
        length = self.length
        one.answered, one.round = 0, self._round
        body = {
            "model": self.model,
            "prompt": _PROMPT,
            "max_tokens": length,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        headers = {"Content-Type": "application/json", **headers_of(self._key)}
        try:
            connection.request("POST", f"{parts.path}/v1/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            if answer.status != 200:
                said = answer.read(300).decode("utf-8", "replace")
                if answer.status == 400 and self._shorten(length):
                    return
                raise ValueError(f"the server answers {answer.status}: {' '.join(said.split())}")
            self._follow(answer, one)
        finally:
            connection.close()

    def _shorten(self, refused: int) -> bool:
        """Ask for less from now on; False where nothing less is left to ask for. Streams that saw one refusal, once."""
        with self._shorter:
            if self.length == refused and len(self._lengths) > 1:
                self._lengths = self._lengths[1:]
            return self.length < refused

    def _follow(self, answer: http.client.HTTPResponse, one: Stream) -> None:
        """Count the tokens of one answer on top of those of the requests before it."""
        before, pieces = one.tokens, 0
        while not self._over.is_set() and one.round == self._round:
            line = answer.readline(_LONGEST_LINE)
            if not line:
                return
            if not line.startswith(b"data:") or line[5:].strip() in (b"", b"[DONE]"):
                continue
            pieces += 1
            one.answered = max(_told(line[5:]), pieces)
            now = time.monotonic()
            if pieces == 1:
                one.begun.append(now)
            one.arrivals.append((now, before + one.answered))


def request_lengths(context: int | None) -> list[int]:
    """What to ask for, longest first, of a model whose context takes so many tokens, None where that is not known."""
    lengths = [_MOST_TOKENS >> k for k in range(_MOST_TOKENS.bit_length()) if _MOST_TOKENS >> k >= _FEWEST_TOKENS]
    if context is None:
        return lengths
    likely, sure = (max(min(context - prompt, _MOST_TOKENS), 1) for prompt in (_PROMPT_TOKENS, len(_PROMPT)))
    return sorted({likely, sure, *(n for n in lengths if n < sure)}, reverse=True)


def served_model(base: str, key: str | None = None) -> tuple[str, int | None]:
    """The model that a server serves, and how many tokens its context takes; None where it does not tell."""
    try:
        model = json.loads(get(f"{base}/v1/models", key))["data"][0]
        context = model.get("max_model_len")
        return str(model["id"]), context if isinstance(context, int) and context > 0 else None
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, http.client.HTTPException) as error:
        raise NsysanError(
            f"{base}/v1/models names no model ({error}): is it an OpenAI-style server? Else give the load yourself, "
            "with --load COMMAND",
            ExitCode.NO_REPORT,
        ) from error


def _told(line: bytes) -> int:
    """How many tokens the server says that this answer has by now, 0 where it does not say."""
    if b"completion_tokens" not in line:
        return 0
    try:
        usage = json.loads(line).get("usage") or {}
        return int(usage.get("completion_tokens") or 0)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return 0
