"""`nsysan check`: rules, their grammar, and exit codes 0, 1 and 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nsysan import ExitCode
from nsysan.report.check import METRICS, check, metric_of, parse_rule
from tests.clitools import graph_level_trace, paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---- grammar


@pytest.mark.parametrize(
    ("text", "metric", "operator", "limit", "relative"),
    [
        ("period>2.0ms", "period", ">", 2e6, False),
        (" period >= 2 ms ", "period", ">=", 2e6, False),
        ("wire_p99<.5us", "wire_p99", "<", 500, False),
        ("caused>100ns", "caused", ">", 100, False),
        ("idle>1s", "idle", ">", 1e9, False),
        ("wait_share>20%", "wait_share", ">", 20, False),
        ("tokens<500", "tokens", "<", 500, False),
        ("wire_p50>+15%", "wire_p50", ">", 15, True),
        ("tokens<-5%", "tokens", "<", -5, True),
        ("wait_share>+2.5%", "wait_share", ">", 2.5, True),
        ("straggler", "straggler", "", 0, False),
    ],
)
def test_rule(text: str, metric: str, operator: str, limit: float, relative: bool) -> None:
    rule = parse_rule(text)
    assert (rule.metric, rule.operator, rule.limit, rule.relative) == (metric, operator, limit, relative)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no rule"),
        ("period", "is no rule"),
        ("period=2ms", "is no rule"),
        ("period>-2ms", "in per cent"),
        ("period>2", "period is in ns, us, ms or s"),
        ("period>20%", r"of a baseline, like \+15%"),
        ("wait_share>2ms", "per cent of the period"),
        ("tokens<5ms", "tokens a second"),
        ("straggler>3", "no metric 'straggler'"),
        ("speed>3ms", "no metric 'speed'"),
        ("wire_p42>3ms", "no metric"),
        ("period>1e3ms", "is no rule"),
        ("period>2ms; rm", "is no rule"),
    ],
)
def test_what_is_no_rule_is_a_usage_error(tmp_path: Path, capsys: Capsys, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rule(text)
    result = run_cli(capsys, "check", paper_trace(tmp_path / "t.sqlite", steps=8), "--fail-on", text)
    assert (result.code, result.out) == (2, "")
    assert "Usage:" in result.err


def test_a_rule_is_required(tmp_path: Path, capsys: Capsys) -> None:
    assert run_cli(capsys, "check", paper_trace(tmp_path / "t.sqlite", steps=8)).code == 2


# ---- figures


def test_figures_of_the_paper_trace(tmp_path: Path, capsys: Capsys) -> None:
    document = json.loads(run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite", steps=8), "--json", "-").out)
    told = {name: metric_of(document, name) for name in METRICS}
    # Rank 1 is 3 us late in both layers of 44 us steps; figures are medians over four ranks.
    assert {name: value for name, value in told.items() if value} == {
        "period": 44_000,
        "compute": 20_000,
        "wait": 6_000,
        "wire": 16_000,
        "idle": 2_000,
        "comm": 22_000,
        "caused": 6_000,
        **dict.fromkeys(("wire_p50", "wire_p95", "wire_p99", "wire_max"), 8_000),
        **dict.fromkeys(("wait_p50", "wait_p95", "wait_p99", "wait_max"), 3_000),
        "compute_share": pytest.approx(100 * 20 / 44),
        "wait_share": pytest.approx(100 * 6 / 44),
        "wire_share": pytest.approx(100 * 16 / 44),
        "idle_share": pytest.approx(100 * 2 / 44),
        "comm_share": pytest.approx(50),
        "caused_share": pytest.approx(100 * 6 / 44),
        "tokens": pytest.approx(1e9 / 44_000),
    }


def test_the_hottest_collective_is_that_with_most_transfer() -> None:
    def row(p50: int, matched: int) -> dict[str, Any]:
        return {"matched": matched, "wire_ns": {"p50": p50}, "wait_ns": {"p50": 1}}

    document = {"collectives": [row(10, 100), row(900, 2), {"matched": 0, "wire_ns": None, "wait_ns": None}]}
    assert metric_of(document, "wire_p50") == 900


@pytest.mark.parametrize(
    ("rule", "before", "verdict", "change"),
    [
        ("wire_p50>+15%", 1_000, "pass", "+15.0 %"),
        ("wire_p50>=+15%", 1_000, "fail", "+15.0 %"),
        ("wire_p50>+14.9%", 1_000, "fail", "+15.0 %"),
        ("wire_p50<-5%", 1_000, "pass", "+15.0 %"),
        ("wire_p50<-5%", 2_000, "fail", "-42.5 %"),
        ("wire_p50>+15%", 0, "fail", "+inf %"),
    ],
)
def test_changes_against_a_baseline(rule: str, before: int, verdict: str, change: str) -> None:
    def document(p50: int) -> dict[str, Any]:
        return {"collectives": [{"matched": 1, "wire_ns": {"p50": p50}, "wait_ns": {"p50": 0}}]}

    outcome = check(parse_rule(rule), document(1_150), document(before))
    assert outcome.verdict == verdict
    assert change in outcome.line


# ---- exit codes


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (["period>45us"], 0),
        (["period>43us"], 1),
        (["period<45us"], 1),
        (["wait_share>13.6%"], 1),
        (["wait_share>13.7%"], 0),
        (["straggler"], 1),
        (["tokens<22727"], 0),
        (["tokens<22728"], 1),
        (["wire_p50>+15%"], 2),
        (["period>45us", "wire_p50>+15%"], 2),
        (["period>43us", "wire_p50>+15%"], 1),
    ],
)
def test_exit_code_is_that_of_the_worst_rule(tmp_path: Path, capsys: Capsys, rules: list[str], code: int) -> None:
    options = [part for rule in rules for part in ("--fail-on", rule)]
    result = run_cli(capsys, "check", paper_trace(tmp_path / "t.sqlite", steps=8), *options)
    assert result.code == code
    assert len(result.out.splitlines()) == len(rules)
    for line, rule in zip(result.out.splitlines(), rules, strict=True):
        assert rule in line


def test_lines_hold_both_numbers(tmp_path: Path, capsys: Capsys) -> None:
    run_cli(capsys, "report", paper_trace(tmp_path / "a.sqlite", steps=8), "--json", "a.json")
    rules = ("--fail-on", "wire_p50>+15%", "--fail-on", "period>43us", "--fail-on", "straggler")
    result = run_cli(capsys, "check", "a.sqlite", *rules, "--baseline", "a.json")
    assert result.code == 1
    assert result.out.splitlines() == [
        "pass         wire_p50>+15%: wire_p50 is 8.0 us, +0.0 % against 8.0 us",
        "fail         period>43us: period is 44.0 us",
        "fail         straggler: rank 1 arrives last and costs the others 6.0 us a step (14%); cause compute",
    ]
    quiet = run_cli(capsys, "check", "a.sqlite", *rules, "--baseline", "a.json", "-q")
    assert quiet.out.splitlines() == result.out.splitlines()[1:]


def test_a_report_stands_for_its_trace(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "a.sqlite", steps=8)
    run_cli(capsys, "report", trace, "--json", "a.json")
    rules = ("--fail-on", "wire_p50>1us", "--fail-on", "period>1ms")
    assert run_cli(capsys, "check", "a.json", *rules) == run_cli(capsys, "check", trace, *rules)
    assert run_cli(capsys, "check", "a.json", trace, *rules).code == ExitCode.NOT_ONE_RUN


def test_what_a_trace_cannot_tell_is_neither(tmp_path: Path, capsys: Capsys) -> None:
    trace = graph_level_trace(tmp_path / "g.sqlite")
    assert run_cli(capsys, "check", trace, "--fail-on", "period>1s").code == 0
    for rule in ("wire_p50>1us", "wait>1us", "wait_share>1%", "caused>1us", "straggler"):
        result = run_cli(capsys, "check", trace, "--fail-on", rule)
        assert (result.code, result.out[:11]) == (2, "cannot tell")


def test_a_baseline_without_the_figure_cannot_tell(tmp_path: Path, capsys: Capsys) -> None:
    run_cli(capsys, "report", graph_level_trace(tmp_path / "g.sqlite"), "--json", "g.json")
    trace = paper_trace(tmp_path / "t.sqlite", steps=8)
    result = run_cli(capsys, "check", trace, "--fail-on", "wire_p50>+5%", "--baseline", "g.json")
    assert (result.code, "not known in the baseline" in result.out) == (2, True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", ExitCode.DAMAGED),
        ('{"a": 1}', ExitCode.NOT_NSYS),
        ('{"schema": "nsysan.report/1"}', ExitCode.DAMAGED),
        ("[]", ExitCode.NOT_NSYS),
        (None, ExitCode.NO_SUCH_FILE),
    ],
)
def test_what_is_no_baseline(tmp_path: Path, capsys: Capsys, text: str | None, code: ExitCode) -> None:
    if text is not None:
        Path("b.json").write_text(text)
    trace = paper_trace(tmp_path / "t.sqlite", steps=8)
    result = run_cli(capsys, "check", trace, "--fail-on", "period>+5%", "--baseline", "b.json")
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)


def test_real_traces(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    run_cli(capsys, "report", real_trace("tp4_graph_node"), "--json", "base.json")
    rules = ("--fail-on", "wire_p50>+15%", "--fail-on", "straggler", "--fail-on", "period>+15%")
    result = run_cli(capsys, "check", real_trace("tp4_slow"), *rules, "--baseline", "base.json")
    assert [line.split()[0] for line in result.out.splitlines()] == ["pass", "fail", "fail"]
    assert run_cli(capsys, "check", "base.json", *rules, "--baseline", "base.json").code == 0
