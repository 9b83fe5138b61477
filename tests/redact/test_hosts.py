"""Host names however they are written, exports of another encoding, and copies of reports of several machines."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nsysan.diagnosis.findings.communication import CommunicationFinding
from nsysan.redact.secrets import HOST, Secrets
from tests.clitools import paper_trace, run_cli
from tests.smallserver import Op, Part, run, write
from tests.tracebuilder import ALLREDUCE_KERNEL

Capsys = pytest.CaptureFixture[str]


@pytest.mark.parametrize("text", ["zeppelin_gpu17", "zeppelingpu17", "zeppelin-gpu17", "x=ZEPPELIN_GPU17;"])
def test_a_host_is_found_however_it_is_written(text: str) -> None:
    secrets = Secrets()
    secrets.add(HOST, "zeppelin-gpu17")
    assert secrets.within(text)


def test_an_export_in_wide_letters_is_refused_for_what_it_is(tmp_path: Path, capsys: Capsys) -> None:
    source = paper_trace(tmp_path / "narrow.sqlite")
    wide = tmp_path / "wide.sqlite"
    with closing(sqlite3.connect(source)) as narrow, closing(sqlite3.connect(wide)) as copy:
        copy.execute("PRAGMA encoding = 'UTF-16le'")
        copy.executescript("\n".join(narrow.iterdump()))
    result = run_cli(capsys, "redact", wide, "-o", tmp_path / "copy.sqlite")
    assert result.code != 0
    assert "its texts are in UTF-16le" in result.err
    assert not (tmp_path / "copy.sqlite").exists()


def test_reports_that_name_no_host_are_not_taken_for_one_machine(tmp_path: Path, capsys: Capsys) -> None:
    """TP=4 over two machines: all-reduces of 8 KiB take 30 us, as over a network."""
    layer = [Op("compute", lambda *_: 20_000), Op("sum", lambda *_: 30_000, 7, (), ALLREDUCE_KERNEL, "ncclAllReduce")]
    done = run([Part(lambda *_: 10_000, layer)])
    traces = [
        write(tmp_path / f"node{node}.sqlite", done, (2 * node, 2 * node + 1), f"machine{node}") for node in range(2)
    ]
    copies = [tmp_path / f"copy{number}.sqlite" for number in range(2)]
    for trace, copy in zip(traces, copies, strict=True):
        assert run_cli(capsys, "redact", trace, "-o", copy).code == 0
    found = {}
    for name, paths in (("as they are", traces), ("redacted", copies)):
        assert run_cli(capsys, "report", *paths, "--json", tmp_path / "r.json", "--force").code == 0
        found[name] = {one["id"]: one for one in json.loads((tmp_path / "r.json").read_text())["findings"]}
    wrong = CommunicationFinding.WRONG_WIRE
    assert wrong not in found["as they are"]
    told = found["redacted"][wrong]
    assert (told["severity"], told["saves_ns"]) == ("medium", None)
    assert "or between machines: no report names its host" in told["title"]
