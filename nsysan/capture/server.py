"""Where a server that a command starts will listen, and whether it answers yet."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.started import Workload

#: Of a server whose engine is not known.
_USUAL_PORT = 8000
#: Addresses that mean every one of the machine.
_ANY = {"0.0.0.0", "::", "", "*"}
_PORT = re.compile(r"[0-9]{1,5}")
_ANSWER_S = 5.0
#: vLLM's stop of its profiler waits for every worker.
_DONE_S = 120.0
_MOST = 1 << 20

#: Nobody's proxy stands between a machine and itself.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address_of(workload: Workload) -> str:
    """The base URL that the server of a command answers at, as seen from this machine."""
    port = _value(workload.words, "--port", "--http-port")
    host = _value(workload.words, "--host") or ""
    usual = workload.engine.port if workload.engine is not None else None
    number = int(port) if port and _PORT.fullmatch(port) and 0 < int(port) < 1 << 16 else usual or _USUAL_PORT
    shown = "127.0.0.1" if host in _ANY else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{number}"


def key_of(workload: Workload, environment: Mapping[str, str]) -> str | None:
    """The key that the server was given, by its command or environment; never to be printed."""
    key = _value(workload.words, "--api-key")
    if key is None and workload.engine is not None:
        key = {**environment, **workload.assigned}.get(workload.engine.key)
    # An error about a header would show what is in it.
    return key if key and key.isascii() and key.isprintable() else None


def profiler_of(workload: Workload) -> tuple[str, str] | None:
    """Routes that turn the server's own profiler on and off, where that marks its steps with NVTX ranges."""
    engine = workload.engine
    if engine is None or engine.profiler is None or not engine.named.search(" ".join(workload.words)):
        return None
    return engine.profiler


def checked_address(url: str) -> str:
    """The URL without a slash at its end; NsysanError unless it is one of HTTP."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NsysanError(f"--url takes http://HOST:PORT, not {url!r}", ExitCode.NO_REPORT)
    return url.rstrip("/")


def answers(base: str) -> bool:
    """Whether the server says that it is ready: its health is well, or it has none and serves models."""
    status = _status(f"{base}/health")
    return status == 200 or (status == 404 and _status(f"{base}/v1/models") == 200)


def headers_of(key: str | None) -> dict[str, str]:
    """What a server that wants a key is shown."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def get(url: str, key: str | None = None) -> bytes:
    """The first MiB of what the server says; OSError where it says nothing."""
    with _OPENER.open(urllib.request.Request(url, headers=headers_of(key)), timeout=_ANSWER_S) as answer:
        return bytes(answer.read(_MOST))


def post(url: str, key: str | None = None) -> None:
    """Ask the server for something that takes no words; OSError where it refuses."""
    asked = urllib.request.Request(url, data=b"", headers=headers_of(key), method="POST")
    with _OPENER.open(asked, timeout=_DONE_S) as answer:
        answer.read(_MOST)


def _status(url: str) -> int:
    try:
        with _OPENER.open(url, timeout=_ANSWER_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError, http.client.HTTPException):
        return 0


def _value(command: Sequence[str], *options: str) -> str | None:
    for place, word in enumerate(command):
        name, _, value = word.partition("=")
        if name in options:
            return value or (command[place + 1] if place + 1 < len(command) else None)
    return None
