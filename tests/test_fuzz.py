"""Damaged exports and hostile inputs of every kind, a few of each; scripts/fuzz.py runs thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attempt import attempt, unpack
from tests.hostile.kinds import KINDS
from tests.hostile.sources import make_sources
from tests.hostile.trial import trial
from tests.mutations import MUTATIONS, mutate, mutate_folder

#: By number, what found a defect once.
FOUND = {
    27: "redact: a table of options without the column of their names",
    1899: "offsets of an Arrow file that lie outside of its text",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    unpack(folder)
    return folder


def tried(sources: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.chdir(folder)
    outcome = attempt(sources, folder, number)
    assert outcome.trouble is None, f"{number}: {outcome.mutation}: {outcome.trouble}"


@pytest.mark.parametrize("number", range(2 * len(MUTATIONS)))
def test_damage_gives_a_report_or_one_line(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    tried(sources, tmp_path, monkeypatch, number)


@pytest.mark.parametrize("number", FOUND, ids=FOUND.values())
def test_what_failed_once(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    tried(sources, tmp_path, monkeypatch, number)


@pytest.fixture(scope="module")
def hostile_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    make_sources(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_input_gives_a_report_or_one_line(
    hostile_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = trial(hostile_sources, tmp_path, kind, 5 if kind in ("nccl", "surroundings", "predict") else 1)
    assert outcome.trouble is None, f"{kind}: {outcome.mutation}: {outcome.trouble}"


def test_what_is_left_of_a_step_that_begins_nowhere_is_not_replayed(
    hostile_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = trial(hostile_sources, tmp_path, "replay", 5_006)
    assert outcome.trouble is None, f"{outcome.mutation}: {outcome.trouble}"


def test_a_number_always_does_the_same(sources: Path, tmp_path: Path) -> None:
    for number in range(len(MUTATIONS)):
        source = sources / "tp2_graph.sqlite"
        said = [mutate(source, tmp_path / name, number) for name in ("a", "b")]
        assert said[0] == said[1]
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    said = [mutate_folder(sources / "tp2_pqtdir", tmp_path / name, 7) for name in ("c", "d")]
    assert said[0] == said[1]
    files = [sorted((f.name, f.read_bytes()) for f in (tmp_path / name).iterdir()) for name in ("c", "d")]
    assert files[0] == files[1]
