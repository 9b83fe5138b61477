"""Compression inside the page: gzip in base64, which any browser since 2023 unpacks by itself."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import cache

from plotly.offline import get_plotlyjs, get_plotlyjs_version

INLINE, CDN = "inline", "cdn"


@dataclass(frozen=True)
class Library:
    """plotly.js for a page: its script element, and what the content security policy allows for it."""

    element: str
    allowed: str


def packed(text: str) -> str:
    """Text as base64 of its gzip: the same bytes for the same text, and no character that means anything in HTML."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def source_hash(script: str, algorithm: str = "sha256") -> str:
    """A script's hash as content security policies and integrity attributes spell it."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, script.encode()).digest()).decode()}"


@cache
def library(source: str) -> Library:
    """plotly.js compressed inside the file (INLINE), or by an address whose answer must have the known hash (CDN)."""
    plotly = get_plotlyjs()
    if source == CDN:
        url = f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js"
        integrity = source_hash(plotly, "sha384")
        return Library(f'<script src="{url}" integrity="{integrity}" crossorigin="anonymous" defer></script>', url)
    # The page's own script unpacks it into a script element, which the policy then knows by the hash of its text.
    return Library(f'<script type="text/plain" id="plotly">{packed(plotly)}</script>', f"'{source_hash(plotly)}'")
