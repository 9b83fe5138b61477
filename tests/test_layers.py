"""Data flows one way through the packages: what reads a trace knows nothing of what is made of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nsysan

ROOT = Path(nsysan.__file__).parent
#: What each package may import from, beside itself and the package's top.
BELOW: dict[str, set[str]] = {
    "trace": set(),
    "capture": {"trace", "model"},
    "model": {"trace"},
    "metrics": {"trace", "model"},
    "report": {"trace", "model", "metrics"},
    "workers": {"trace", "model"},
}


def imported(module: Path) -> set[str]:
    """The packages of nsysan that a module imports."""
    names = []
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = [name.split(".") for name in names if name.startswith("nsysan.")]
    return {part[1] for part in parts if (ROOT / part[1]).is_dir()}


@pytest.mark.parametrize("package", BELOW)
def test_a_package_imports_from_those_before_it(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    above = {str(module.relative_to(ROOT)): imported(module) - BELOW[package] - {package} for module in modules}
    assert {name: found for name, found in above.items() if found} == {}
