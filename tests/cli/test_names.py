"""Files whose names are no text in UTF-8: what every command makes of them can be read back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.clitools import paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]


def test_a_name_in_latin_1_is_text_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9.sqlite")
    paper_trace(Path(name))
    gone = os.fsdecode(b"n\xe9.sqlite")
    assert run_cli(capsys, "check", name, "--fail-on", "period>1s").code == 0
    assert run_cli(capsys, "report", name, gone, "--json", "r.json").code == 0
    told = json.loads(Path("r.json").read_text("utf-8"))
    assert told["inputs"][0]["name"] == told["ranks"][0]["report"] == "caf\ufffd.sqlite"
    assert {row["id"]: row["reason"] for row in told["quality"]}["reports"].endswith("n\ufffd.sqlite: no such file")
    assert run_cli(capsys, "check", "r.json", "--fail-on", "period>1s").code == 0
    assert run_cli(capsys, "whatif", name, "--json", "w.json", "-q").code == 0
    assert json.loads(Path("w.json").read_text("utf-8"))["inputs"] == [{"name": "caf\ufffd.sqlite"}]
    # The page that is linked has such a name, too.
    assert run_cli(capsys, "report", name).code == 0
    words = ("--tag", name, "--name", name, "--workload", name)
    assert run_cli(capsys, "history", "add", name, "--db", "h.db", *words).code == 0
    listed = run_cli(capsys, "history", "list", "--db", "h.db", "--tag", name, "--format", "json")
    (row,) = json.loads(listed.out)
    assert row["trace"] == row["name"] == row["workload"] == "caf\ufffd.sqlite"
    assert row["tags"] == ["caf\ufffd.sqlite"]
    assert run_cli(capsys, "history", "plot", "--db", "h.db").code == 0
