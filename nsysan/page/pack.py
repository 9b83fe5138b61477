"""Compression inside the page: gzip in base64, which any browser since 2023 unpacks by itself."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue

from nsysan.columns.threads import Beside
from nsysan.page.plotly_parts import used_parts

INLINE, CDN = "inline", "cdn"
#: One more takes up to twice as long for 1 to 5 % less.
_LEVEL = 5
#: Columns, which repeat step by step, get up to 18 % smaller by it.
_OF_COLUMNS = 6


@dataclass(frozen=True)
class Library:
    """plotly.js for a page: its script element, and what the content security policy allows for it."""

    element: str
    allowed: str


def packed(content: bytes) -> str:
    """Base64 of the gzip of bytes: the same for the same bytes, and no character that means anything in HTML."""
    return base64.b64encode(gzip.compress(content, _LEVEL, mtime=0)).decode()


class Packing:
    """`packed` of bytes that come in parts, which are compressed beside what makes them."""

    def __init__(self, beside: Beside) -> None:
        self._parts: SimpleQueue[bytes | None] = SimpleQueue()
        self._packed = beside.begin(self._pack)

    def __enter__(self) -> Packing:
        return self

    def __exit__(self, *_: object) -> None:
        # The thread ends where its bytes do not come, too.
        self._parts.put(None)

    def add(self, part: bytes) -> None:
        """The next of the bytes."""
        self._parts.put(part)

    def packed(self) -> str:
        """All of them, after the last."""
        self._parts.put(None)
        return self._packed()

    def _pack(self) -> str:
        # gzip's header, without the time.
        compress = zlib.compressobj(_OF_COLUMNS, wbits=31)
        found = [compress.compress(part) for part in iter(self._parts.get, None)]
        return base64.b64encode(b"".join([*found, compress.flush()])).decode()


def source_hash(script: str, algorithm: str = "sha256") -> str:
    """A script's hash as content security policies and integrity attributes spell it."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, script.encode()).digest()).decode()}"


def template() -> str:
    """What plotly's figures look like where they do not say it, as JSON."""
    return json.dumps(json.loads(_of_plotly("templates/plotly.json")), separators=(",", ":"))


def _of_plotly(name: str) -> str:
    """A file that plotly.py brings; to import plotly takes longer than to read it."""
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'plotly'")
    return Path(found.submodule_search_locations[0], "package_data", name).read_text("utf-8")


@cache
def carried() -> str:
    """What a page carries of plotly.js."""
    return used_parts(_of_plotly("plotly.min.js"))


@cache
def library(source: str) -> Library:
    """What charts use of plotly.js, compressed inside the file (INLINE), or the address of all of it, whose answer must
    have the known hash (CDN).
    """
    if source == CDN:
        from plotly.offline import get_plotlyjs_version

        url = f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js"
        integrity = source_hash(_of_plotly("plotly.min.js"), "sha384")
        return Library(f'<script src="{url}" integrity="{integrity}" crossorigin="anonymous" defer></script>', url)
    plotly = carried()
    # The page's own script unpacks it and runs it, which the policy allows to what has this hash.
    known = source_hash(plotly)
    element = f'<script type="text/plain" id="plotly" data-integrity="{known}">{packed(plotly.encode())}</script>'
    return Library(element, f"'{known}'")
