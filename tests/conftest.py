"""Fixtures: the real traces of fixtures/, unpacked once a session."""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent.parent / "fixtures"
#: Traces with kernels inside their steps.
REAL_TRACES = (
    "tp4_graph_node",
    "tp4_eager",
    "tp4_slow",
    "tp2_graph",
    "tp4_symm",
    "tp4_fused",
    "rank_0",
    "rank_1",
    "rank_2",
    "rank_3",
)


@pytest.fixture(scope="session")
def real_trace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a real trace by its name, e.g. real_trace("tp4_eager")."""
    folder = tmp_path_factory.mktemp("traces")

    def unpack(name: str) -> Path:
        target = folder / f"{name}.sqlite"
        if not target.exists():
            plain = FIXTURES / f"{name}.sqlite"
            packed = FIXTURES / f"{name}.sqlite.xz"
            if plain.exists():
                shutil.copyfile(plain, target)
            else:
                target.write_bytes(lzma.decompress(packed.read_bytes()))
        return target

    return unpack
