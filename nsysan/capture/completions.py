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
from nsysan.capture.server import get

_PROMPT = "Tell me of the sea, of ships and of those who sail them, at length. " * 4
_MOST_TOKENS = 4096
_FEWEST_TOKENS = 64
_LEAST_TOKENS = 16
#: Arrivals of a stream that are kept: minutes of decoding.
_KEPT = 50_000
_READ_S = 120.0
_LONGEST_LINE = 1 << 20
#: Tokens of each stream that are over before decoding counts as steady: prefills of all are done by then.
SETTLED = 8


@dataclass
class Stream:
    """One request that is answered token by token; a new one follows it when it ends.

    arrivals: the monotonic time of each piece of text, and how many tokens came by then.
    """

    arrivals: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    failure: str = ""

    @property
    def tokens(self) -> int:
        return self.arrivals[-1][1] if self.arrivals else 0


class Load:
    """`requests` streams at once against the server at `base`, from start() to stop()."""

    def __init__(self, base: str, requests: int, model: str | None = None) -> None:
        self.base, self.model = base, model
        self.streams = [Stream() for _ in range(requests)]
        self._length = _MOST_TOKENS
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._serve, args=(one,), daemon=True) for one in self.streams]

    def start(self) -> None:
        """Begin; NsysanError where the server names no model."""
        self.model = self.model or first_model(self.base)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the streams; what the server still computes for them is its own."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=2.0)

    @property
    def failure(self) -> str:
        """Why no stream gets anything, "" while one does."""
        failures = [one.failure for one in self.streams if one.failure]
        return failures[0] if len(failures) == len(self.streams) else ""

    @property
    def steady(self) -> bool:
        """Whether every stream that works decodes."""
        working = [one for one in self.streams if not one.failure]
        return bool(working) and all(one.tokens >= SETTLED for one in working)

    @property
    def tokens(self) -> int:
        """Tokens that the stream that is furthest behind has got."""
        return min((one.tokens for one in self.streams if not one.failure), default=0)

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
        body = {
            "model": self.model,
            "prompt": _PROMPT,
            "max_tokens": self._length,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", f"{parts.path}/v1/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            if answer.status != 200:
                said = answer.read(300).decode("utf-8", "replace")
                if answer.status == 400 and self._length > _FEWEST_TOKENS:
                    # The model's context may be shorter.
                    self._length = max(self._length // 2, _FEWEST_TOKENS)
                    return
                raise ValueError(f"the server answers {answer.status}: {' '.join(said.split())}")
            self._follow(answer, one)
        finally:
            connection.close()

    def _follow(self, answer: http.client.HTTPResponse, one: Stream) -> None:
        """Count the tokens of one answer on top of those of the requests before it."""
        before, pieces = one.tokens, 0
        while not self._over.is_set():
            line = answer.readline(_LONGEST_LINE)
            if not line:
                return
            if not line.startswith(b"data:") or line[5:].strip() in (b"", b"[DONE]"):
                continue
            pieces += 1
            one.arrivals.append((time.monotonic(), before + max(_told(line[5:]), pieces)))


def first_model(base: str) -> str:
    """The model that a server serves."""
    try:
        models = json.loads(get(f"{base}/v1/models"))["data"]
        return str(models[0]["id"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, http.client.HTTPException) as error:
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
