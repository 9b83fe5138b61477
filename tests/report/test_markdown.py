"""`nsysan report --markdown`: the figures, and text that stays text wherever it is rendered."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

import nsysan
from nsysan import ExitCode
from nsysan.report.build import build_report
from nsysan.report.markdown import to_markdown
from nsysan.report.markup import code, escaped, rows
from nsysan.report.report import Report
from tests.clitools import paper_trace, run_cli
from tests.tracebuilder import TraceBuilder, decode_loop

HOSTILE = "a|b`c``d\n| x | <script>alert(1)</script> ![i](http://e.x/i) [l](u) **b** @all #12 $x$ www.e.x &amp; \\"


def markdown_of(path: Path) -> str:
    return to_markdown(build_report(nsysan.analyze(nsysan.open_trace(path)), "0.0.0"))


def section(markdown: str, title: str) -> list[str]:
    """The lines under a heading that are not empty."""
    _, _, rest = markdown.partition(f"#### {title}\n")
    return [line for line in rest.partition("\n#### ")[0].splitlines() if line]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def rendered(markdown: str) -> str:
    """As GitHub's own parser has it, HTML passed through, as the worst of renderers would."""
    cmarkgfm = pytest.importorskip("cmarkgfm", reason="needs PyPI cmarkgfm, GitHub's parser")
    return str(cmarkgfm.github_flavored_markdown_to_html(markdown, cmarkgfm.Options.CMARK_OPT_UNSAFE))


def test_ledger_and_what_if_hold_the_paper_figures(tmp_path: Path) -> None:
    markdown = markdown_of(paper_trace(tmp_path / "t.sqlite"))
    ledger = section(markdown, "Ledger, µs a step")
    assert cells(ledger[0]) == ["rank", "period", "compute", "wait", "wire", "idle"]
    assert cells(ledger[2]) == ["0", "44.0", "20.0", "6.0", "16.0", "2.0"]
    assert cells(ledger[3]) == ["1", "44.0", "26.0", "0.0", "16.0", "2.0"]
    without_skew = next(line for line in section(markdown, "What if") if line.startswith("| without skew"))
    assert cells(without_skew) == ["without skew", "38.0 µs", "6.0", "13.6 %"]


def test_the_answer_comes_first(tmp_path: Path) -> None:
    # Rank 1 is 20 us late in each of two layers of 38 us, and the host takes 2 us more: 40 of 78 us.
    builder = TraceBuilder()
    decode_loop(builder, steps=12, late={1: 20_000})
    lines = markdown_of(builder.write(tmp_path / "t.sqlite")).splitlines()
    assert lines[0] == "### nsysan: `t.sqlite`"
    assert lines[2].startswith("**skew**: ")
    assert lines[4].startswith("**do next**: Check whether rank 1 has more work than the others, mostly the kernel ")
    assert "That saves 40.0 µs a step (51.3 %), if it takes as long as the others then; about 30.0 µs if" in lines[4]
    assert lines[6] == "- **78.0 µs** per decode step: the median over 11 steady steps, then over 4 ranks"
    assert lines[7] == "- **51.3 %** of a step is lost to waiting for rank 1 (40.0 µs)"
    assert any(line.startswith("- late: rank 1 put right saves 40.0 µs a step") for line in lines)


def test_findings_have_evidence_and_fix(reported: Callable[[str], Report]) -> None:
    report = reported("tp4_slow")
    lines = section(to_markdown(report), "Findings")
    assert len(lines) == 3 * len(report.findings) >= 3
    for number, finding in enumerate(report.findings):
        title, evidence, fix = lines[3 * number : 3 * number + 3]
        assert title.startswith(f"{number + 1}. **{finding.severity}**: ")
        assert evidence == f"    - evidence: {escaped(finding.evidence)}"
        assert fix == f"    - fix: {escaped(finding.fixes)}"


@pytest.mark.parametrize(
    "name", ["tp4_slow", "tp4_graph_graph", "rank_0", "tp2_metrics", "rank_0 rank_1 rank_2 rank_3"]
)
def test_real_traces_give_markdown_without_html(reported: Callable[[str], Report], name: str) -> None:
    markdown = to_markdown(reported(name))
    assert not re.search(r"<\w", markdown)
    assert "nan" not in markdown.lower().split()
    assert "None" not in markdown
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert tables
    for table in tables:
        assert len({len(cells(line)) for line in table.splitlines()}) == 1


def test_what_cannot_be_measured_is_a_dash_with_its_reason(reported: Callable[[str], Report]) -> None:
    markdown = to_markdown(reported("tp4_graph_graph"))
    ledger = section(markdown, "Ledger, µs a step")
    assert cells(ledger[0])[-2:] == ["graph", "idle"]
    assert any("traced as one block" in line for line in section(markdown, "Read with care"))
    assert section(markdown, "What if") == []


def test_hostile_kernel_names_stay_text(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, late={1: 3_000}):
        for step in range(4):
            at = 1_000_000 + 44_000 * step + 43_000
            process.kernel(f"allreduce_{HOSTILE}", at, at + 500)
    trace = builder.write(tmp_path / "h|`<b>@all.sqlite")
    markdown = markdown_of(trace)
    assert "alert" in markdown
    html = rendered(markdown)
    assert not re.search(r"<(script|img|b)\b", html)
    assert "@all" not in re.sub(r"<code>.*?</code>", "", html)
    assert not re.search(r"<a\b", html)
    assert "<code>h|`&lt;b&gt;@all.sqlite</code>" in html


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "- no list", "1. nor this", "# nor that", "a_b _c_ __d__", "~~x~~ x", "http://e.x/ and e@e.x", "a\\"],
)
def test_escaped_and_code_render_as_what_they_say(text: str) -> None:
    shown = " ".join(text.split())
    for block in (escaped(text), f"- {escaped(text)}", code(text, 200)):
        html = rendered(block).replace("\u2060", "")
        assert " ".join(unescape(re.sub(r"</?(p|ul|li|code)>", "", html)).split()) == shown
    table = rendered("\n".join(rows(["name", "n"], [[code(text, 200, cell=True), "1"], [escaped(text), "2"]])))
    found = re.findall(r"<td>(?:<code>)?(.*?)(?:</code>)?</td>\s*<td[^>]*>(\d)</td>", table.replace("\u2060", ""))
    assert [(" ".join(unescape(cell).split()), n) for cell, n in found] == [(shown, "1"), (shown, "2")]


def test_option_writes_a_file_or_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trace, output = paper_trace(tmp_path / "t.sqlite"), tmp_path / "t.md"
    result = run_cli(capsys, "report", trace, "--markdown", output)
    assert result.code == 0
    assert f"\nwrote {output}\nverdict " in result.out
    assert run_cli(capsys, "report", trace, "--markdown", "-").out == output.read_text("utf-8")
    assert not (tmp_path / "t.html").exists()
    assert run_cli(capsys, "report", trace, "--markdown", output).code == ExitCode.OUTPUT_EXISTS
    assert run_cli(capsys, "report", trace, "--markdown", output, "--force", "-q").out == ""
    both = run_cli(capsys, "report", trace, "--markdown", "-", "--json", "-")
    assert both.code == 2
    assert "--json and --markdown both name standard output" in both.err
    same = run_cli(capsys, "report", trace, "--markdown", "x", "--json", "x")
    assert "--json and --markdown both name x" in same.err
