"""The page: figures with data, nothing from a trace that acts, a timeline that agrees with the ledger."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import sqlite3
import statistics
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
import pytest

import nsysan
from nsysan.page import charts, sections
from nsysan.page.glossary import linked
from nsysan.page.html import to_html
from nsysan.page.lanes import decimation_note
from nsysan.page.palette import GROUP_COLOURS
from nsysan.report.build import build_report
from nsysan.report.key_numbers import KeyNumber, key_numbers
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.step_slices import Slices
from nsysan.report.tail_sentences import tail_sentence
from nsysan.report.terminal import to_text
from nsysan.report.timeline import Timeline, decimated, fair_limit
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.page.columns import with_columns
from tests.tracebuilder import TraceBuilder, decode_loop

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "&lt;b&gt; ${policy} $figures %s {0} alert(1)",
    "a\x00b\x07c\x1b[31m\u202ealert(1)",
    "<!-- alert(1) --><![CDATA[<b>",
    "alert(1)" + "A" * 10_000,
    "javascript:alert(1)",
    "\u2028alert(1)\u2029 ' onmouseover='alert(1)",
    "</title></style></textarea><svg/onload=alert(1)>",
)


class Page(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self.styles: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._inside == "style":
            self.styles.append(data)
        else:
            self.text.append(data.replace("\xa0", " "))

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the page's own script unpacks: figures, and the report for the timeline."""
        unpacked: dict[str, Any] = json.loads(self._unpacked("data"))
        if unpacked["report"] is not None:
            with_columns(unpacked["report"], self._content("columns"))
        return unpacked

    @property
    def figures(self) -> dict[str, Any]:
        return {f"figure-{name}": figure for name, figure in self.data["figures"].items()}

    @cached_property
    def programs(self) -> list[str]:
        """The scripts that run: the page's own, and plotly.js as it is unpacked."""
        return [*(text for attributes, text in self.scripts if "type" not in attributes), self._unpacked("plotly")]

    def _unpacked(self, name: str) -> str:
        return self._content(name).decode()

    def _content(self, name: str) -> bytes:
        (text,) = (text for attributes, text in self.scripts if attributes.get("id") == name)
        return gzip.decompress(base64.b64decode(text, validate=True))

    @property
    def policy(self) -> str:
        (content,) = (
            attributes["content"]
            for tag, attributes in self.elements
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )
        return str(content)


def report_of(trace: Path, steps: str | None = None) -> Report:
    return build_report(nsysan.analyze(nsysan.open_trace(trace), steps), nsysan.__version__)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_of(paper_trace(tmp_path_factory.mktemp("html") / "paper.sqlite"))


@pytest.fixture(scope="module")
def paper_page(paper: Report) -> Page:
    return Page(to_html(paper))


def attacked(folder: Path) -> Report:
    """A trace whose every name is an attack."""
    builder = TraceBuilder()
    for rank, process in enumerate(decode_loop(builder, ranks=2, steps=6, nvtx=False)):
        builder.gpu(rank, name=HOSTILE[rank])
        for step in range(6):
            begin = 1_000_000 + step * 38_000
            process.nvtx(f"decode {HOSTILE[step]}", begin - 11_000, begin + 20_000)
            for number, name in enumerate(HOSTILE):
                process.kernel(f"{name} allreduce", begin + 100 * number, begin + 100 * number + 90, stream=9)
        builder.diagnostic(f"were lost {HOSTILE[0]}", process=process)
    trace = builder.write(folder / "<b>&alert(1).sqlite")
    with closing(sqlite3.connect(trace)) as connection, connection:
        connection.execute("UPDATE META_DATA_EXPORT SET value = ? WHERE name LIKE '%VERSION'", (HOSTILE[1],))
        # And every other text of the trace, but the keys by which nsys names its own values.
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.startswith("TEXT") and not (table.startswith("META_DATA") and column == "name"):
                    connection.execute(f"UPDATE {table} SET {column} = {column} || ?", (HOSTILE[-1],))
    return report_of(trace, "decode")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return attacked(tmp_path_factory.mktemp("html"))


@pytest.fixture(scope="module")
def hostile_page(hostile: Report) -> Page:
    return Page(to_html(hostile))


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from strings(key)
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)


# ---- figures


@pytest.mark.parametrize("kind", ["paper", "one_rank", "graph_level", "hostile"])
def test_every_plot_has_a_figure_with_data(tmp_path: Path, paper_page: Page, hostile_page: Page, kind: str) -> None:
    if kind == "one_rank":
        page = Page(to_html(report_of(paper_trace(tmp_path / "t.sqlite", ranks=1))))
    elif kind == "graph_level":
        page = Page(to_html(report_of(graph_level_trace(tmp_path / "t.sqlite"))))
    else:
        page = paper_page if kind == "paper" else hostile_page
    plots = [attributes["data-figure"] for tag, attributes in page.elements if "data-figure" in attributes]
    assert len(plots) >= 3
    assert sorted(f"figure-{name}" for name in plots) == sorted(page.figures)
    for figure in page.figures.values():
        go.Figure(figure)  # which refuses what plotly has no attribute for
        assert figure["data"]
        for series in figure["data"]:
            assert len(series["x"]) > 0
            if series["type"] == "heatmap":
                assert [len(row) for row in series["z"]] == [len(series["x"])] * len(series["y"])
            else:
                assert len(series["x"]) == len(series["y"])


def test_an_id_is_of_one_element(paper_page: Page, hostile_page: Page) -> None:
    for page in (paper_page, hostile_page):
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert {one for one in ids if ids.count(one) > 1} == set()


def test_ledger_figure_shows_the_ledger(paper_page: Page) -> None:
    bars = {series["name"]: series for series in paper_page.figures["figure-ledger"]["data"]}
    assert {name: series["x"] for name, series in bars.items()} == {
        "compute": [20.0, 26.0, 20.0, 20.0],
        "wait (for the last rank)": [6.0, 0.0, 6.0, 6.0],
        "wire (moving data)": [16.0, 16.0, 16.0, 16.0],
        "idle": [2.0, 2.0, 2.0, 2.0],
    }
    assert bars["idle"]["y"] == ["rank 0", "rank 1", "rank 2", "rank 3"]


def test_page_and_summary_open_with_the_same_sentence(paper: Report, paper_page: Page) -> None:
    sentence = next(line for line in to_text(paper).splitlines() if line.startswith("period"))
    assert sentence.removeprefix("period").strip() in "".join(paper_page.text)


def test_what_becomes_of_the_waiting_is_told(reported: Callable[[str], Report]) -> None:
    for name, told in (
        (
            "tp4_eager",
            "Put the late ranks right, and the step is at most 49.0 % shorter: the rest of the 89.6 % waited stays, as "
            "the other hosts need 9,280 µs, too.",
        ),
        ("tp4_slow", "Put the late rank right, and the step is 61.8 % shorter, nearly all of the waiting."),
    ):
        assert told in to_html(replace(reported(name), timelines=[]), "cdn").replace("&nbsp;", " ")


def test_why_steps_are_left_out_and_what_is_not_checked(reported: Callable[[str], Report]) -> None:
    report = replace(reported("tp2_graph"), timelines=[])
    page = to_html(report, "cdn").replace("\xa0", " ")
    assert "12 steps (11 steady) by" in page
    assert "gaps between a graph's kernels" in unescape(page)
    for text in (page, to_text(report), to_markdown(report)):
        assert "Left out: 1 of 12 steps (1 start-up). Not measured here: what tracing costs; time a step " in text
        # Of 11 steps no percentile is another than the longest, and one median is enough.
        tail = text.partition("mean 2,247")[2]
        assert tail
        assert "p99" not in tail.partition("longest")[0]
        assert "(median" not in tail.partition("longest")[0]
    many = replace(report, steps=replace(report.steps, steady=list(range(100))))
    assert ", p99 2,251.1 µs, longest" in tail_sentence(many)


def test_the_top_tells_the_first_findings_saving(reported: Callable[[str], Report]) -> None:
    for name, value, text in (
        (
            "tp4_late1",
            "at most 686 µs (27.5 %)",
            "of a step to gain: rank 1 comes late: its host launches late",
        ),
        (
            "tp4_graph_node",
            "not known",
            "what there is to gain: less than the 1,320 µs (73.1 %) that kernels compute",
        ),
        (
            "tp4_fused",
            "not known",
            "what there is to gain: less than the 446 µs (81.9 %) that kernels compute",
        ),
        ("rank_0", "not known", "what could be gained: this trace cannot tell"),
    ):
        report = reported(name)
        saving = key_numbers(report)[2]
        assert saving.value.startswith(value)
        assert saving.of.startswith(text)
    report = reported("tp4_late1")
    untold = [replace(finding, saving=None) for finding in report.findings]
    assert key_numbers(replace(report, findings=untold))[2] == KeyNumber(
        "not known", f"what there is to gain, as no trace tells it: {report.findings[0].title}"
    )


def test_what_lateness_costs_is_of_the_steady_steps(reported: Callable[[str], Report]) -> None:
    report = reported("tp4_late1")
    steady = report.diagnosis.caused.filter(pl.col("step").is_in(report.steps.steady))
    # As many steps of start-up, in which every rank costs a second.
    others = steady.with_columns(pl.col("step") + 1_000, ns=pl.lit(1_000_000_000, dtype=pl.Int64))
    long = replace(report.diagnosis, caused=pl.concat([steady, others, others.with_columns(pl.col("step") + 1_000)]))
    assert "1,000,000.0" not in sections.lateness(replace(report, diagnosis=long))


def test_heat_maps_are_dark_for_what_is_large(reported: Callable[[str], Report]) -> None:
    quiet = reported("tp2_graph")
    figure = charts.caused_by_step(quiet)
    assert figure is not None
    # 1 % of a step of 2.247 ms, whatever start-up took.
    assert figure.data[0]["zmax"] == pytest.approx(22.47, abs=0.3)
    page = Page(to_html(quiet))
    assert "figure-caused" in page.figures
    assert not [name for name in page.figures if name.startswith("figure-lateness")]
    late = Page(to_html(reported("tp4_late1")))
    (scale,) = {round(late.figures[name]["data"][0]["zmax"]) for name in ("figure-lateness-0",)}
    assert scale > 600


def test_speed_is_drawn_against_size_where_there_are_sizes(reported: Callable[[str], Report]) -> None:
    report = reported("tp4_late1")
    assert charts.speed_by_size(report) is None
    family = next(family for family in report.collectives if family.message_bytes)
    sizes = [replace(family, message_bytes=size) for size in (8_192, 16_384)]
    figure = charts.speed_by_size(replace(report, collectives=sizes))
    assert figure is not None
    assert figure.data[0]["x"] == [8_192, 16_384]


def test_terms_are_links_once_a_sentence() -> None:
    text = linked("skew <b> skew; without skew 1 ms, late hosts, awaited")
    assert text.count("def-skew") == 1
    assert text.count("def-without-skew") == 1
    assert "&lt;b&gt; skew;" in text
    assert "def-wait" not in text


def test_a_steps_windows_are_those_of_its_ranks(reported: Callable[[str], Report]) -> None:
    report = reported("tp4_late1")
    for timeline in report.timelines[:2]:
        own = report.per_step.filter(pl.col("step") == timeline.step).sort("rank")
        assert [end - begin for _, begin, end in timeline.windows] == own["period_ns"].to_list()
        assert timeline.period == round(statistics.median(own["period_ns"].to_list()))
        # Rank 1 begins a step 0.7 ms after the others.
        assert timeline.windows[1][1] > 600_000


# ---- nothing from the trace acts


def test_policy_allows_the_pages_own_scripts_and_nothing_else(paper_page: Page, hostile_page: Page) -> None:
    for page in (paper_page, hostile_page):
        allowed = set(re.findall(r"'sha256-([^']+)'", page.policy))
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.programs]
        assert sorted(hashes) == sorted(allowed)
        assert len(hashes) == 2
        directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
        assert directives["default-src"] == "'none'"
        assert "unsafe" not in directives["script-src"]
    # A trace cannot add a script, so both pages run the same ones.
    assert paper_page.programs == hostile_page.programs


def test_hostile_names_make_no_elements(paper_page: Page, hostile_page: Page) -> None:
    assert {tag for tag, _ in hostile_page.elements} <= {tag for tag, _ in paper_page.elements}
    for tag, attributes in hostile_page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        if tag != "meta":
            assert "alert(" not in "".join(v or "" for name, v in attributes.items() if name != "title")


def test_hostile_names_are_in_the_page_as_text(hostile_page: Page) -> None:
    # The other tests would hold for a page that shows no names at all.
    shown = "".join(hostile_page.text)
    assert "</script><script>alert(1)</script> allreduce" in shown
    assert "<img src=x onerror=alert(1)>" in shown
    assert "nsysan: <b>&alert(1).sqlite" in shown


def test_hostile_names_are_escaped_for_plotlys_own_markup(hostile_page: Page) -> None:
    found = [text for figure in hostile_page.figures.values() for text in strings(figure) if "alert" in text]
    assert len(found) > len(HOSTILE)
    for text in found:
        assert not set("<>\"'") & set(text)
        assert not re.search(r"&(?!amp;|lt;|gt;|quot;|#x27;)", text)


def test_control_characters_and_endless_names_are_cut(hostile: Report, hostile_page: Page) -> None:
    texts = ["".join(hostile_page.text), to_text(hostile)]
    texts += [text for figure in hostile_page.figures.values() for text in strings(figure)]
    for text in texts:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
        assert "A" * 2_001 not in text
    assert "a?b?c?[31m?alert(1)" in texts[0]


def test_packed_data_cannot_end_their_element(hostile_page: Page) -> None:
    blocks = [text for attributes, text in hostile_page.scripts if attributes.get("type") == "text/plain"]
    assert len(blocks) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9+/]+=*", block) for block in blocks)
    assert "</script>" in json.dumps(hostile_page.data["report"]["names"])


def test_page_refers_to_nothing_outside(paper_page: Page, hostile_page: Page) -> None:
    for page in (paper_page, hostile_page):
        assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base", "img", "form"}
        for _, attributes in page.elements:
            assert not {"src", "srcset", "action", "data", "poster"} & attributes.keys()
            assert (attributes.get("href") or "#").startswith("#")
            assert not any("://" in (value or "") for value in attributes.values())
        style = "".join(page.styles)
        assert style
        assert not re.search(r"@import|url\(|https?:", style)
        # The page's own program; the other one is plotly.js.
        assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\(", min(page.programs, key=len))


# ---- the timeline


def check_lanes(timeline: Timeline) -> None:
    slices = timeline.slices
    assert not slices.is_empty()
    assert (slices["begin"] <= slices["end"]).all()
    work = slices.filter(~pl.col("line").is_in(["launch", "nvtx"]))
    assert (work["end"] > 0).all()
    assert (work["begin"] < timeline.finish - timeline.origin).all()
    assert (work["lane"].str.starts_with("stream")).all()
    assert (slices.filter(pl.col("line") == "launch")["lane"] == "launches").all()
    assert slices.filter(pl.col("line") == "nvtx")["lane"].str.starts_with("NVTX").all()
    # One lane is one stream: what runs in it runs one after the other.
    previous = work.sort("rank", "lane", "begin", "end").select(
        "begin", before=pl.col("end").shift(1).over("rank", "lane")
    )
    assert previous.filter(pl.col("begin") < pl.col("before")).is_empty()

    figure = charts.timeline(timeline)
    lanes = figure.layout["yaxis"]["categoryarray"]
    assert len(set(lanes)) == len(lanes)
    assert {lane for series in figure.data for lane in series["y"]} == set(lanes)
    marks = timeline.arrivals.filter(pl.col("last"))
    assert sum(len(series["y"]) for series in figure.data) == len(slices) + len(marks)


def test_slices_lie_in_their_lanes(tmp_path: Path, paper: Report, hostile: Report) -> None:
    graph_level = report_of(graph_level_trace(tmp_path / "g.sqlite"))
    for report in (paper, hostile, graph_level):
        assert report.timelines
        for timeline in report.timelines:
            check_lanes(timeline)


def test_slices_of_a_step_add_up_to_its_ledger(paper: Report) -> None:
    for timeline in paper.timelines:
        sums = (
            timeline.slices.filter(~pl.col("line").is_in(["launch", "nvtx"]))
            .group_by("rank", "line")
            .agg(ns=(pl.col("end") - pl.col("begin")).sum())
        )
        found = {(rank, line): ns for rank, line, ns in sums.iter_rows() if ns}
        ledger = paper.per_step.filter(pl.col("step") == timeline.step)
        expected = {
            (row["rank"], line): row[f"{line}_ns"]
            for row in ledger.iter_rows(named=True)
            for line in ("compute", "wait", "fused", "wire", "comm_unsplit", "copy", "graph")
            if row[f"{line}_ns"]
        }
        assert found == expected
        assert len(found) == 11  # compute and wire on four ranks, wait on all but the late one


def test_timelines_are_of_the_median_and_the_slowest_steady_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    # The first step is the slowest of all, but start-up.
    begin = 1_000_000
    for step, period in enumerate((200_000, 101_000, 130_000, 100_000, 102_000, 103_000)):
        process.kernel("work", begin, begin + 90_000)
        process.nvtx(f"step {step}", begin - 12_000, begin - 7_000)
        begin += period
    report = report_of(builder.write(tmp_path / "t.sqlite"))
    # The last step has no successor and lasts 90 us, so the median of 90, 100, 101, 102, 130 is step 1.
    assert [(timeline.role, timeline.step) for timeline in report.timelines] == [
        ("median", 1),
        ("p99 and slowest", 2),
        ("", 0),
        ("", 3),
        ("", 4),
        ("", 5),
    ]


def test_launch_slices_name_what_they_launch(paper: Report) -> None:
    launches = paper.timelines[0].slices.filter(pl.col("line") == "launch")
    assert len(launches) == 4 * 4
    assert (launches["end"] - launches["begin"]).to_list() == [2_000] * 16
    assert launches["begin"].min() == -42_000
    assert set(launches["name"]) == {"cudaLaunchKernel", "cuLaunchKernelEx"}


def test_plotlyjs_is_inside_unless_asked_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    sizes = {}
    for source in ("inline", "cdn"):
        output = tmp_path / f"{source}.html"
        assert run_cli(capsys, "report", trace, "-o", output, "--plotlyjs", source, "-q").code == 0
        text = output.read_text("utf-8")
        sizes[source] = len(text)
        assert ('<script src="https://cdn.plot.ly/plotly-' in text) == (source == "cdn")
    assert sizes["cdn"] < 200_000
    assert 500_000 < sizes["inline"] < 1_000_000


# ---- which slices, where not all


@pytest.mark.parametrize(
    ("sizes", "room", "limit"),
    [([10, 20, 30], 100, 30), ([10, 20, 30], 60, 30), ([10, 20, 30], 50, 20), ([40, 40], 50, 25), ([], 10, 0)],
)
def test_who_needs_less_leaves_room_to_the_others(sizes: list[int], room: int, limit: int) -> None:
    assert fair_limit(sizes, room) == limit
    assert sum(min(size, limit) for size in sizes) <= room


def test_decimation_keeps_what_is_long_and_of_the_rest_the_longest() -> None:
    begins = [1_000 * n for n in range(64)]
    lengths = [900 if n == 20 else 100 + n for n in range(64)]
    slices = pl.DataFrame(
        {
            "rank": [0] * 64,
            "lane": ["stream 7"] * 64,
            "line": ["compute"] * 64,
            "begin": begins,
            "end": [begin + length for begin, length in zip(begins, lengths, strict=True)],
            "name": [f"kernel {n}" for n in range(64)],
            "launch": [None] * 64,
        }
    )
    arrivals = pl.DataFrame(schema={"rank": pl.Int64, "lane": pl.String, "time": pl.Int64, "last": pl.Boolean})
    whole = Timeline(3, "decode", "median", 0, 64_000, Slices.of(slices), arrivals, 64, 0)
    assert decimated(whole, 64).slices.select(slices.columns).equals(slices.cast({"launch": pl.Int64}))
    few = decimated(whole, 16)
    # Stretches of 2,048 ns hold 2 or 3 kernels, of 4,096 ns 4 or 5: 16 of these, the long one being in its own.
    assert (few.merged, len(few.slices), few.total) == (4_096, 16, 64)
    assert "kernel 20" in few.slices["name"].to_list()
    # The later kernel is the longer one: of each stretch the last, and in that of kernels 17 to 20 the long one.
    assert few.slices["name"].to_list()[:3] == ["kernel 4", "kernel 8", "kernel 12"]
    assert decimation_note(whole) == ""
    assert decimation_note(few).startswith("16 of 64 slices are in this file: of those shorter than 4.1 µs")


def test_a_big_run_is_decimated_to_the_pages_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nsysan.report.slices.MAX_SLICES", 60)
    report = report_of(paper_trace(tmp_path / "t.sqlite"))
    assert [timeline.role for timeline in report.timelines] != []
    assert all(timeline.role for timeline in report.timelines)
    assert sum(len(timeline.slices) for timeline in report.timelines) <= 60
    assert all(len(timeline.slices) < timeline.total for timeline in report.timelines)
    page = Page(to_html(report))
    assert all("slices are in this file" in step["note"] for step in page.data["report"]["steps"])
    # The figures stay exact.
    assert page.figures["figure-ledger"]["data"][0]["x"] == [20.0, 26.0, 20.0, 20.0]


def test_nvtx_ranges_nest_in_lanes(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, ranks=2, steps=3, ahead=False):
        for step in range(3):
            begin = 1_000_000 + 38_000 * step - 10_000
            process.nvtx("layer 0", begin, begin + 9_000)
            process.nvtx("layer 1", begin + 9_000, begin + 12_000)
            process.nvtx("attention", begin + 1_000, begin + 4_000)
    timeline = report_of(builder.write(tmp_path / "t.sqlite")).timelines[0]
    ranges = timeline.slices.filter((pl.col("line") == "nvtx") & (pl.col("rank") == 1))
    lanes = {name: set(own["lane"]) for (name,), own in ranges.partition_by("name", as_dict=True).items()}
    assert lanes[f"decode_step_{timeline.step}"] == {"NVTX 1"}
    assert lanes["layer 0"] == lanes["layer 1"] == {"NVTX 2"}
    assert lanes["attention"] == {"NVTX 3"}


def test_the_pages_data_tell_the_timeline(paper: Report, paper_page: Page) -> None:
    data = paper_page.data["report"]
    step, timeline = data["steps"][0], paper.timelines[0]
    found = []
    for number, begin in enumerate(step["begin"]):
        rank, lane = step["lanes"][step["lane"][number]]
        line = data["lines"][step["line"][number]]["id"]
        name = data["names"][step["name"][number]]
        found.append((rank, lane, line, begin, step["end"][number], name))
    expected = timeline.slices.select("rank", "lane", "line", "begin", "end", "name").iter_rows()
    assert sorted(found) == sorted(expected)
    launch = [line["id"] for line in data["lines"]].index("launch")
    calls = [call for call, line in zip(step["launch"], step["line"], strict=True) if line == launch]
    joined = [call for call, line in zip(step["launch"], step["line"], strict=True) if line != launch and call >= 0]
    # 2 layers of a kernel and an all-reduce on each of 4 ranks, a call each.
    assert sorted(calls) == list(range(16))
    assert set(joined) == set(calls)
    assert data["ledger"]["values"][0][:4] == [44_000] * 4


def test_a_page_stays_small_whatever_the_trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = report_of(paper_trace(tmp_path / "t.sqlite"))
    monkeypatch.setattr("nsysan.page.charts.MAX_POINTS", 8)
    monkeypatch.setattr("nsysan.page.shown_names._MOST", 2)
    monkeypatch.setattr("nsysan.page.lanes._MAX_LEDGERS", 8)
    page = Page(to_html(report))
    # 4 ranks and 4 steps are 16 points, so every second step is shown, and the page says so.
    period = page.figures["figure-period"]
    assert [series["x"] for series in period["data"]] == [[0, 2]] * 4
    assert "one step in 2" in period["layout"]["title"]["text"]
    assert len(page.data["report"]["names"]) == 3
    assert page.data["report"]["names"][-1].startswith("(one of more names")
    assert set(page.data["report"]["ledger"]["step"]) == {0, 1}
    assert page.data["report"]["ledger"]["count"] == 4
    # What is left out of a chart is left out of no figure.
    assert page.figures["figure-ledger"]["data"][0]["x"] == [20.0, 26.0, 20.0, 20.0]


def test_kernels_are_folded_into_their_groups_and_layers_into_one(reported: Callable[[str], Report]) -> None:
    page = Page(to_html(reported("tp2_late1")))
    shown = "".join(page.text)
    bars = page.figures["figure-kernel-groups"]["data"]
    assert bars[0]["name"] == "gemm"
    assert [len(bar["x"]) for bar in bars] == [2] * len(bars)
    assert {bar["marker"]["color"] for bar in bars} <= set(GROUP_COLOURS.values())
    assert re.search(r"gemm: [\d,.]+ µs, \d+ kernels", shown)
    assert re.search(r"layers: \d+ x \d+ kernels, [\d.,]+ µs of compute each", shown)
    titles = [attributes.get("title") or "" for tag, attributes in page.elements if tag == "span"]
    assert any(title.startswith("void at::native::vectorized_elementwise_kernel<") for title in titles)
