"""The package as a notebook uses it: names, types, what is shown of an object, what is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import assert_type

import pandas as pd
import polars as pl
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.tracebuilder import TraceBuilder, decode_loop


class Tags(HTMLParser):
    """The tags of a piece of HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert attrs == []
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def html_of(shown: nsysan.Run | nsysan.Report) -> str:
    """The text of what a notebook shows, which is well-formed and has no tags but these."""
    html = shown._repr_html_()
    tags = Tags(html)
    assert tags.open == []
    assert tags.seen <= {"div", "b", "br", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert len(html) < 20_000
    return tags.text


@pytest.fixture
def run(tmp_path: Path) -> nsysan.Run:
    return nsysan.analyze(str(paper_trace(tmp_path / "t.sqlite", steps=8)))


# ---- names and types


def test_all_names_are_there_before_anything_is_loaded() -> None:
    script = "import nsysan, sys; print(sorted(set(nsysan.__all__) - set(dir(nsysan))), 'polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"
    assert all(getattr(nsysan, name) is not None for name in nsysan.__all__)
    assert all(getattr(nsysan, name).__doc__ for name in nsysan.__all__ if name != "__version__")


def test_types_are_those_of_the_objects(run: nsysan.Run, tmp_path: Path) -> None:
    report = nsysan.build_report(run)
    nsysan.write_json(report, tmp_path / "r.json")
    document = nsysan.read_report(tmp_path / "r.json")
    assert_type(run.ledger, pl.DataFrame)
    assert_type(report.headline["period_ns"], int | None)
    assert_type(document.per_rank[0].ns["wait"], int | None)
    for found, kind in ((run, nsysan.Run), (report, nsysan.Report), (document, nsysan.ReportDocument)):
        assert isinstance(found, kind)


def test_a_type_checker_sees_them(run: nsysan.Run) -> None:
    # Held by mypy, which says where an `ignore` below is not needed.
    assert (Path(nsysan.__file__).parent / "py.typed").read_bytes() == b""
    mistake: int = nsysan.to_text(nsysan.build_report(run))  # type: ignore[assignment]
    assert mistake
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = nsysan.no_such_name  # type: ignore[attr-defined]


# ---- from a trace to figures


def test_a_trace_can_be_named_in_every_way(tmp_path: Path) -> None:
    path = paper_trace(tmp_path / "t.sqlite", steps=8)
    with nsysan.open_trace(str(path)) as trace:
        expected = nsysan.analyze(trace).ledger
        for named in (path, str(path), [path], [str(path)], (trace,)):
            assert nsysan.analyze(named).ledger.equals(expected)
    with pytest.raises(NsysanError):
        trace.row_count("StringIds")
    assert len(expected) == 32


def test_no_trace_is_nothing_to_analyse() -> None:
    with pytest.raises(NsysanError) as refused:
        nsysan.analyze([])
    assert refused.value.exit_code == ExitCode.NOTHING_TO_ANALYSE


def test_a_part_of_a_run(tmp_path: Path) -> None:
    path = paper_trace(tmp_path / "t.sqlite", steps=8)
    run = nsysan.analyze(path, selection=nsysan.Selection(steps=(2, 4)))
    assert run.ledger["step"].unique().to_list() == [2, 3, 4]


def test_the_frames_have_the_shapes_that_are_told(run: nsysan.Run) -> None:
    lines = re.findall(r"^    (\w+)\S*.*?  a row an? [\w, ]+?  +(.*)$", nsysan.__doc__ or "", re.MULTILINE)
    assert [name for name, _ in lines] == ["ledger", "per_rank", "windows", "collectives", "gaps", "work"]
    for name, told in lines:
        frame: pl.DataFrame = getattr(run, name)
        columns = [re.sub(r"[:(].*", "", word).strip() for word in told.split(",")]
        assert [word for word in columns if re.fullmatch(r"\w+", word) and word not in frame.columns] == []
    assert run.kernels.columns == run.work.columns
    ranks, steps = 4, 8
    assert (len(run.ledger), len(run.windows), len(run.per_rank)) == (ranks * steps, ranks * steps, ranks)
    ledger = run.ledger
    assert {ledger[name].dtype for name in ledger.columns if name.endswith("_ns")} == {pl.Int64()}
    assert run.per_rank["wait_ns"].to_list() == [6_000, 0, 6_000, 6_000]
    as_pandas = ledger.to_pandas()
    assert isinstance(as_pandas, pd.DataFrame)
    assert as_pandas.groupby("rank")["wait_ns"].median().to_list() == [6_000, 0, 6_000, 6_000]


def test_a_report_is_that_of_the_command_line(
    run: nsysan.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--layers", "1", "--link-gbps", "450")
    run_cli(capsys, "report", "t.sqlite", "--json", "c.json", "--markdown", "c.md", "-o", "c.html", "-q", *options)
    summary = run_cli(capsys, "report", "t.sqlite", "-v", *options).out
    report = nsysan.build_report(run, layers=1, link_gbps=450.0)
    assert nsysan.to_json(report) == Path("c.json").read_text("utf-8")
    assert nsysan.to_markdown(report) == Path("c.md").read_text("utf-8")
    assert nsysan.to_html(report) == Path("c.html").read_text("utf-8")
    assert summary.startswith(nsysan.to_text(report))
    nsysan.write_html(report, "p.html", plotlyjs="cdn")
    assert Path("p.html").read_text("utf-8") == nsysan.to_html(report, "cdn")


def test_files_are_not_replaced_unasked(run: nsysan.Run, tmp_path: Path) -> None:
    report = nsysan.build_report(run, timelines=False)
    for write, name in ((nsysan.write_json, "r.json"), (nsysan.write_html, "r.html")):
        path = str(tmp_path / name)
        write(report, path)
        # A page that nobody touched is replaced (tests/cli/test_own_page.py); this one somebody did.
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("\n")
        with pytest.raises(NsysanError) as refused:
            write(report, path)
        assert refused.value.exit_code == ExitCode.OUTPUT_EXISTS
        write(report, path, force=True)
    assert json.loads((tmp_path / "r.json").read_text())["per_rank"][0]["period_ns"] == 44_000


@pytest.mark.parametrize("gbps", [0.0, -1.0, float("nan"), float("inf")])
def test_what_cannot_be_is_a_value_error(run: nsysan.Run, gbps: float) -> None:
    with pytest.raises(ValueError, match="GB/s"):
        nsysan.build_report(run, link_gbps=gbps)
    with pytest.raises(ValueError, match="model"):
        nsysan.build_report(run, model="hidden=many")


# ---- what is shown


def test_one_line_is_shown_of_each(run: nsysan.Run, tmp_path: Path) -> None:
    steps = "NVTX ranges 'decode_step_#' (decode range)"
    assert repr(run) == f"<nsysan.Run of t.sqlite: 4 ranks, 8 steps by {steps}, 7 steady>"
    report = nsysan.build_report(run, timelines=False)
    counted = f"{len(report.findings)} findings"
    assert repr(report) == f"<nsysan.Report of t.sqlite: 4 ranks, compute, 44.0 µs a step, rank 1 late, {counted}>"
    nsysan.write_json(report, tmp_path / "r.json")
    assert repr(nsysan.read_report(tmp_path / "r.json")) == (
        "<nsysan.ReportDocument of t.sqlite: 4 ranks, compute, 7 steady steps>"
    )
    tables = len(run.traces[0].tables)
    assert repr(run.traces[0]) == f"<nsysan.Trace t.sqlite: {tables} tables>"


def test_a_summary_is_shown_as_html(run: nsysan.Run) -> None:
    shown = html_of(run)
    assert "4 ranks, 8 steps by NVTX ranges" in shown
    # A row a rank, without the lines that no rank has.
    assert "rank\nperiod\ncompute\nwait\nwire\nidle\ncomm\n0\n44.0\n20.0\n6.0\n16.0\n2.0\n22.0\n1\n" in shown
    report = nsysan.build_report(run)
    shown = html_of(report)
    for words in (report.diagnosis.verdict.reason, "rank 1 put right saves", "a step now", report.findings[0].title):
        assert words in shown
    assert "rank\nperiod\ncompute\nwait\nwire\nidle\ncomm\n0\n44.0\n" in shown


def test_what_is_shown_of_a_trace_without_an_answer(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=1)
    for path in (graph_level_trace(tmp_path / "g.sqlite"), builder.write(tmp_path / "one.sqlite")):
        run = nsysan.analyze(path)
        report = nsysan.build_report(run)
        assert path.name in html_of(run)
        assert "verdict" in html_of(report)
        assert "\n" not in repr(run) + repr(report)


def test_names_from_outside_are_harmless(tmp_path: Path) -> None:
    evil = "</b><script>alert(1)<\x1b[31m\u202e\n.sqlite".replace("/", "\u2215")
    run = nsysan.analyze([paper_trace(tmp_path / evil), tmp_path / "none.sqlite"])
    report = nsysan.build_report(run, timelines=False)
    hostile = replace(report, findings=[replace(f, title="<img src=x onerror=alert(1)>") for f in report.findings])
    for shown in (run, hostile):
        assert "<script>alert(1)" in html_of(shown)
        assert not set("\n\x1b\u202e") & set(repr(shown))
        assert len(repr(shown)) < 400
    assert "<img" in html_of(hostile)
    assert "1 trace left out" in repr(run)


def test_real_runs_are_shown_in_little(
    analyzed: Callable[[str], nsysan.Run], reported: Callable[[str], nsysan.Report]
) -> None:
    for names in ("tp4_slow3", "tp4_graph_graph", "tp2_metrics", "rank_0 rank_1 rank_2 rank_3"):
        for shown in (analyzed(names), reported(names)):
            assert len(repr(shown)) < 250
            assert len(html_of(shown)) < 4_000
