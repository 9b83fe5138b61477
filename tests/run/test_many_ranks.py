"""scripts/bench_many.py: a trace a rank of a run of several nodes, made of the fixtures, is that run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nsysan.run.analyze import analyze

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "bench_many.py"
NODE = 2


@pytest.fixture(scope="module")
def bench_many() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_many", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_many"] = module
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


@pytest.mark.parametrize("groups", [False, True])
def test_ranks_of_several_nodes_meet_over_all_of_them_or_node_by_node(
    bench_many: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: bool
) -> None:
    monkeypatch.setattr(bench_many, "PER_NODE", NODE)
    ranks = 2 * NODE
    run = analyze(bench_many.made(tmp_path, ranks, 1, groups=groups))
    assert [(rank.rank, rank.host) for rank in run.ranks] == [(0, 0), (1, 0), (2, 1), (3, 1)]
    assert sorted(run.steps_of) == ([(0, 1), (2, 3)] if groups else [(0, 1, 2, 3)])
    assert run.collectives["members"].max() == (NODE if groups else ranks)
    assert (run.collectives["verdict"] == "matched").mean() == 1.0
