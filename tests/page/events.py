"""Events as no hand makes them, thousands of them, at all that a page reacts to."""

from __future__ import annotations

from pathlib import Path

from tests.browser import Opened

_HERE = Path(__file__).parent
_FIRE = (_HERE / "events.js").read_text("utf-8")
#: A script to run before the page's: events come before it is ready.
EARLY = (_HERE / "early_events.js").read_text("utf-8")


def fire(page: Opened, count: int, seed: int, within: str = "*") -> None:
    """So many random events at random elements; within: a selector of where they go."""
    page.page.evaluate(_FIRE, [count, seed, within])
    page.settle()
