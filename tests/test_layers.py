"""Data flows one way through the rooms: what reads a trace knows nothing of what is made of it.

Every import counts, also one that only types need and one inside a function.
"""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import nsysan

ROOT = Path(nsysan.__file__).parent
#: What each room may import from, beside itself and the modules at the top: rooms above it in this table alone.
ROOMS: dict[str, set[str]] = {
    "columns": set(),
    "trace": {"columns"},
    "model": {"columns", "trace"},
    "metrics": {"columns", "trace", "model"},
    "run": {"columns", "trace", "model", "metrics"},
    "replay": {"columns", "trace", "model", "metrics", "run"},
    "light": {"columns", "trace", "model", "metrics", "run"},
    "workers": {"columns", "trace", "model", "run"},
    "diagnosis": {"trace", "model", "metrics", "run", "replay", "light"},
    "report": {"columns", "trace", "model", "metrics", "run", "replay", "light", "diagnosis"},
    "page": {"columns", "metrics", "replay", "light", "diagnosis", "report"},
    "compare": {"trace", "model", "metrics", "run", "replay", "light", "diagnosis", "report", "page"},
    "check": {"metrics", "diagnosis", "report"},
    "history": {"metrics", "report", "check", "page"},
    "perfetto": {"columns", "trace", "model", "metrics", "run"},
    "ask": {"model", "run", "replay", "light"},
    "info": {"trace", "model", "metrics", "run", "diagnosis"},
    "capture": {"trace", "model"},
    "redact": {"trace", "model", "metrics", "run", "report", "page"},
    "data": set(),
}
#: Modules at the top, which everything may use and which use nothing but each other.
COMMON = {
    "_errors",
    "_version",
    "budgets",
    "file_content",
    "notebook",
    "output",
    "progress",
    "scratch",
    "styled",
    "text",
    "timings",
}
#: Commands are above all rooms; the package's own module is what a notebook imports.
ABOVE = {"cli", "__main__", "nsysan"}
MOST_LINES = 300
MOST_SHARE = 0.15
LONGEST_CHAIN = 19
#: A command is called as what it does.
SAME_NAME = {"doctor", "info", "report", "whatif"}


def _modules() -> dict[str, Path]:
    """Every module of the product by its dotted name, without the package's."""
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
    return {name.removesuffix("__init__").rstrip(".") or "nsysan": path for name, path in found.items()}


MODULES = _modules()


@cache
def imported(module: str) -> frozenset[str]:
    """The modules of nsysan that one imports."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("nsysan.") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            source = (node.module or "").removeprefix("nsysan.")
            inside = "" if source == "nsysan" else f"{source}."
            names = {f"{inside}{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else source for name in names}
        elif isinstance(node, ast.ImportFrom):
            found.add(f"relative import in {module}")
    return frozenset(name for name in found if name in MODULES or name.startswith("relative")) - {module}


def room(module: str) -> str:
    """The room that a module is in; a module at the top is called as it is."""
    return module.partition(".")[0]


@cache
def chain(module: str) -> tuple[str, ...]:
    """The longest way down from a module; a circle would have no end."""
    return (module, *max((chain(other) for other in imported(module)), key=len, default=()))


def test_every_module_is_in_a_room_of_the_table() -> None:
    assert {room(module) for module in MODULES} == ROOMS.keys() | COMMON | ABOVE


def test_no_arrow_of_the_table_runs_back_up() -> None:
    rooms = list(ROOMS)
    assert [name for number, name in enumerate(rooms) if not ROOMS[name] <= set(rooms[:number])] == []


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_from_those_that_it_may(name: str) -> None:
    own = [module for module in MODULES if room(module) == name]
    assert own
    others = {
        module: {other for other in imported(module) if room(other) not in ROOMS[name] | COMMON | {name}}
        for module in own
    }
    assert {module: found for module, found in others.items() if found} == {}


def test_what_everything_uses_uses_nothing() -> None:
    assert {name: imported(name) - COMMON for name in COMMON if imported(name) - COMMON} == {}


def test_no_way_down_is_long() -> None:
    longest = max((chain(module) for module in MODULES), key=len)
    assert len(longest) <= LONGEST_CHAIN, " > ".join(longest)


def test_no_module_is_large() -> None:
    files = [*MODULES.values(), *ROOT.rglob("*.js"), *ROOT.rglob("*.css")]
    lines = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_room_is_most_of_the_house() -> None:
    lines: Counter[str] = Counter()
    for module, file in MODULES.items():
        lines[room(module)] += len(file.read_text("utf-8").splitlines())
    largest, count = lines.most_common(1)[0]
    assert count < MOST_SHARE * lines.total(), f"{largest}: {count} of {lines.total()} lines"


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.stem for path in MODULES.values() if path.stem != "__init__")
    assert {name for name, count in names.items() if count > 1} <= SAME_NAME
    assert all(f"cli.{name}" in MODULES and names[name] <= 2 for name in SAME_NAME)


def test_tests_mirror_the_rooms() -> None:
    tests = Path(__file__).parent
    folders = {path.parent.name for path in tests.glob("*/test_*.py")}
    # The simulator judges the product from outside: it is tested itself, and is no room.
    assert folders - {"simulator"} == (set(ROOMS) | {"cli"}) - {"data"}
    # At the top is only what is about no room of its own.
    whole = {"api", "budgets", "definitions", "docs", "fuzz", "grow_trace", "layers", "tables", "tracebuilder"}
    assert {path.stem.removeprefix("test_") for path in tests.glob("test_*.py")} == whole
