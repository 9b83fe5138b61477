"""What tests of captures share: an export that the stand-in for nsys gives, and a desk with that stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.capture.desk import Desk, desk_in, until
from tests.clitools import paper_trace
from tests.fakensys import fake_nsys


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paper_trace(tmp_path_factory.mktemp("export") / "t.sqlite")


@pytest.fixture
def nsys_version() -> str:
    """Of the stand-in."""
    return "2024.2.3"


@pytest.fixture
def desk(tmp_path: Path, export: Path, nsys_version: str) -> Iterator[Desk]:
    desk = desk_in(tmp_path)
    desk.environment["NSYSAN_NSYS"] = str(fake_nsys(tmp_path, nsys_version, export=export))
    with closing(desk):
        yield desk
        until(lambda: desk.processes() == [])
