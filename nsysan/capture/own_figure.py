"""What a workload says of its own pace, without nsys: so that what tracing costs is measured, not guessed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TextIO

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.processes import handing_on

#: A whole number as English, C and Python print it, with thousands or an exponent; no part of what is none.
_PLAIN, _GROUPED = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", r"[0-9]{1,3}(?:[,_][0-9]{3})+(?:\.[0-9]+)?"
_NUMBER = rf"(?<![\w.,+-])({_GROUPED}|{_PLAIN})(?![.,_]?[0-9]|[eE][+-]?[0-9])"
#: How engines and their benchmarks print the time of a step, as a request sees it: pattern, ns of its unit (negative:
#: of its inverse), what it is. The first that is found counts, and of several times the last; a line that tells two
#: times tells none, but for what stands in parentheses.
_LINES: tuple[tuple[re.Pattern[str], float, str], ...] = tuple(
    (re.compile(pattern), unit, what)
    for pattern, unit, what in (
        # sglang.bench_one_batch
        (rf"Decode\.\s+median latency:\s*{_NUMBER} s", 1e9, "median decode latency"),
        # vllm bench serve, sglang.bench_serving
        (rf"Median ITL \(ms\):\s*{_NUMBER}", 1e6, "median ITL"),
        (rf"Median TPOT \(ms\):\s*{_NUMBER}", 1e6, "median TPOT"),
        (rf"Mean ITL \(ms\):\s*{_NUMBER}", 1e6, "mean ITL"),
        (rf"Mean TPOT \(ms\):\s*{_NUMBER}", 1e6, "mean TPOT"),
        # trtllm-bench
        (rf"\[TPOT\] P50\s*:\s*{_NUMBER}", 1e6, "median TPOT"),
        (rf"\[TPOT\] \(ms\):\s*{_NUMBER}", 1e6, "mean TPOT"),
        (rf"Per User Output Speed \S* ?\((?:tps|tokens/sec)/user\):\s*{_NUMBER}", -1e9, "tokens a second and user"),
        # loops of one's own
        (rf"{_NUMBER}\s*(?:ms|milliseconds)\s*(?:/|a|per)\s*(?:output )?(?:token|step)\b", 1e6, "ms a token"),
        (rf"{_NUMBER}\s*(?:us|µs)\s*(?:/|a|per)\s*(?:output )?(?:token|step)\b", 1e3, "us a token"),
    )
)
#: The same in a line of JSON.
_KEYS: tuple[tuple[str, float], ...] = (
    ("host_us_a_step", 1e3),
    ("us_a_step", 1e3),
    ("ms_a_step", 1e6),
    ("ms_a_token", 1e6),
    ("median_itl_ms", 1e6),
    ("median_tpot_ms", 1e6),
    ("mean_itl_ms", 1e6),
    ("mean_tpot_ms", 1e6),
)
#: vllm bench latency: of whole requests.
_LATENCY = re.compile(rf"Avg latency:\s*{_NUMBER} seconds")
_LATENCY_TOKENS = 128
#: Between these a step is one: a microsecond, and a minute.
_PLAUSIBLE_NS = (1_000, 60_000_000_000)
_LONGEST_LINE = 1 << 16
_END_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True)
class OwnFigure:
    """ns of a step, and by which figure of the workload."""

    ns: int
    what: str


class Listener:
    """Listens to the lines of a workload for the time of a step.

    tokens: how many tokens each request of its latency benchmark gives, None where it runs none.
    """

    def __init__(self, tokens: int | None = None) -> None:
        self._tokens = tokens
        self._found: dict[int, OwnFigure] = {}

    def hear(self, line: str) -> None:
        """One line of its output."""
        for rank, (name, unit) in enumerate(_KEYS):
            value = _of_json(line, name) if name in line else None
            if value is not None:
                self._note(rank, value * unit, name)
        for rank, (pattern, unit, what) in enumerate(_LINES, len(_KEYS)):
            value = _of_line(line, pattern)
            if value:
                self._note(rank, value * unit if unit > 0 else -unit / value, what)

        latency = _of_line(line, _LATENCY) if self._tokens else None
        if self._tokens and latency is not None:
            what = f"average latency by its {self._tokens} tokens, prefill among them"
            self._note(len(_KEYS) + len(_LINES), latency * 1e9 / self._tokens, what)

    def _note(self, rank: int, ns: float, what: str) -> None:
        if _PLAUSIBLE_NS[0] <= ns <= _PLAUSIBLE_NS[1]:
            self._found[rank] = OwnFigure(round(ns), what)

    @property
    def figure(self) -> OwnFigure | None:
        """The most telling figure, as it was said last; None where none was."""
        return self._found[min(self._found)] if self._found else None


def untraced(
    command: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None], *, kill_after: float = _END_S
) -> OwnFigure | None:
    """Run the workload once without nsys, its output passed on; what it says of its step, None where it says nothing.

    NsysanError where it fails: under nsys it would fail too.
    """
    say("running the command without nsys first")
    try:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise NsysanError(f"{command[0]}: cannot be run: {error.strerror}", ExitCode.NO_REPORT) from error
    listener = Listener(tokens_of_latency(command))
    readers = [
        threading.Thread(target=_pass_on, args=(source, target, listener), daemon=True)
        for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        if source is not None
    ]
    for reader in readers:
        reader.start()
    try:
        with handing_on(lambda: [process.pid]):
            # A signal that comes to the thread of a reader does not end a wait.
            while (code := process.poll()) is None:
                time.sleep(_POLL_S)
    except BaseException:
        _end(process, kill_after)
        raise
    for reader in readers:
        reader.join(timeout=1.0)
    _end(process, kill_after)
    if code:
        raise NsysanError(
            f"without nsys the command ended with {'signal' if code < 0 else 'exit code'} {abs(code)}, so nothing was "
            "captured",
            ExitCode.NO_REPORT,
        )
    figure = listener.figure
    if figure is None:
        say(
            "the command tells no time of a token or step (ms a token, ITL, TPOT), or two in a line: nothing to compare"
        )
    return figure


def tokens_of_latency(command: Sequence[str]) -> int | None:
    """Tokens of each request of vLLM's latency benchmark, as its command and its defaults have it."""
    if "latency" not in " ".join(command):
        return None
    told = re.search(r"--output[-_]len[= ](\d{1,6})\b", " ".join(command))
    return int(told[1]) if told else _LATENCY_TOKENS


def _of_line(line: str, pattern: re.Pattern[str]) -> float | None:
    """The number that a line tells, None where it tells none or several; what stands in parentheses is an aside."""
    told: dict[bool, set[float]] = {True: set(), False: set()}
    for match in pattern.finditer(line):
        aside = line.count("(", 0, match.start()) > line.count(")", 0, match.start())
        told[aside].add(float(match[1].replace(",", "")))
    numbers = told[False] or told[True]
    return numbers.pop() if len(numbers) == 1 else None


def _of_json(line: str, name: str) -> float | None:
    begin = line.find("{")
    if begin < 0 or len(line) > _LONGEST_LINE:
        return None
    try:
        value = json.loads(line[begin:])[name]
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _pass_on(source: IO[bytes], target: TextIO, listener: Listener) -> None:
    """Pass the stream on as it comes, and let the listener hear its lines."""
    rest = b""
    with source, contextlib.suppress(OSError, ValueError):
        while chunk := os.read(source.fileno(), _LONGEST_LINE):
            with contextlib.suppress(OSError):
                target.buffer.write(chunk)
                target.buffer.flush()
            *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                listener.hear(line[:_LONGEST_LINE].decode("utf-8", "replace"))
    listener.hear(rest.decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes], kill_after: float) -> None:
    """End what is left of it: politely while it runs, then all of its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=kill_after)
