"""scripts/plant.py for tests: its kinds, and one planted trace for all of them."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from nsysan.redact.scan import Names

SCRIPTS = Path(__file__).parent.parent / "scripts"


@cache
def plant_module(name: str = "plant") -> ModuleType:
    """One of the scripts that plant, as a module."""
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    return importlib.import_module(name)


def kinds(seed: int = 0) -> list[Any]:
    """The kinds of plant_kinds: name, text, tells."""
    return list(plant_module("plant_kinds").kinds(seed))


def names() -> Names:
    """What a planted trace says of its machine and user."""
    told = plant_module("plant_kinds")
    hosts = (told.HOST, told.DOMAIN, f"{told.HOST}.{told.DOMAIN}")
    return Names(
        dict.fromkeys(hosts, "host name") | {told.USER: "user name"}, frozenset({told.HOST.rstrip("0123456789")})
    )


def left_in(content: bytes, seed: int = 0) -> list[str]:
    """The kinds whose secrets are in the bytes, letter by letter."""
    return list(plant_module().look(content, seed))
