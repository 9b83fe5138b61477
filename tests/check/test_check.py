"""`nsysan check`: rules, their grammar, and exit codes 0, 1 and 2."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nsysan import ExitCode
from nsysan.check.judge import check, metric_of
from nsysan.check.rules import KINDS, METRICS, Address, parse_rule
from nsysan.model.classes import load_catalogue
from nsysan.report.read_back import Collective, ReportDocument, Spread, read_report
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.diagnosis.test_uneven_load import written
from tests.tracebuilder import TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]
OLD = Path(__file__).parent.parent / "data" / "report_schema_1.json"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


#: The collective of the paper traces.
CALL = "all_reduce of 8 KiB over 4 ranks [ncclDevKernel_AllReduce_Sum_bf16_RING_LL]"


# ---- grammar


@pytest.mark.parametrize(
    ("text", "metric", "operator", "limit", "relative"),
    [
        ("period>2.0ms", "period", ">", 2e6, False),
        (" period >= 2 ms ", "period", ">=", 2e6, False),
        ("wire_p99<.5us", "wire_p99", "<", 500, False),
        ("caused>100ns", "caused", ">", 100, False),
        ("idle>1s", "idle", ">", 1e9, False),
        ("graph>1.5ms", "graph", ">", 1.5e6, False),
        ("graph_share>90%", "graph_share", ">", 90, False),
        ("wait_share>20%", "wait_share", ">", 20, False),
        ("tokens<500", "tokens", "<", 500, False),
        ("wire_p50>+15%", "wire_p50", ">", 15, True),
        ("tokens<-5%", "tokens", "<", -5, True),
        ("wait_share>+2.5%", "wait_share", ">", 2.5, True),
        ("straggler", "straggler", "", 0, False),
        ("kernel[~attn].ns>50us", "ns", ">", 50_000, False),
        (" kernel[~flash|fmha[0-9]>].ns >= +5%", "ns", ">=", 5, True),
        ("kernel[gemm].share>20%", "share", ">", 20, False),
        ("kernel[rms_norm_kernel].calls<32", "calls", "<", 32, False),
        ("kernel[moe].call_ns>1ms", "call_ns", ">", 1e6, False),
    ],
)
def test_rule(text: str, metric: str, operator: str, limit: float, relative: bool) -> None:
    rule = parse_rule(text)
    assert (rule.metric, rule.operator, rule.limit, rule.relative) == (metric, operator, limit, relative)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("all_reduce.wire_p50>+15%", Address("all_reduce", None)),
        (" all_reduce[8192].wire_p50 > 12us", Address("all_reduce", 8192)),
        ("all_gather[0].wait_max<-3%", Address("all_gather", 0)),
        ("wire_p50>+15%", None),
    ],
)
def test_a_rule_may_name_a_collective(text: str, address: Address | None) -> None:
    assert parse_rule(text).address == address


def test_every_kind_of_the_catalogue_can_be_named() -> None:
    assert set(KINDS) == {kernel.kind for kernel in load_catalogue().rows if kernel.kind} - {"unknown"}


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
        ("all_reduce.period>2ms", "period is not of one collective"),
        ("allreduce.wire_p50>2us", "no collective 'allreduce'; there are all_reduce, all_gather"),
        ("all_reduce[8k].wire_p50>2us", "is no rule"),
        ("all_reduce[].wire_p50>2us", "is no rule"),
        ("all_reduce.straggler", "is no rule"),
        ("kernel[~(].ns>1us", "no regular expression"),
        ("kernel[gemm].wire>1us", "kernels have no 'wire'; they have ns, call_ns, calls, share"),
        ("kernel[gemm].ns>3", "ns is in ns, us, ms or s"),
        ("kernel[gemm].calls>3us", "a number, like 32"),
        ("kernel[gemm].share>3", "per cent of the period"),
        ("kernel[].ns>3us", "is no rule"),
        ("kernel.ns>3us", "no metric 'ns'"),
        ("period>nanms", "is no rule"),
        ("period>infms", "is no rule"),
        ("wire_p50>+inf%", "is no rule"),
        pytest.param(f"period>{'9' * 400}ms", "no limit is as large", id="beyond floats"),
        pytest.param(f"tokens<{'9' * 16}", "no limit is as large", id="beyond whole numbers"),
        pytest.param(f"wire_p50>+1{'0' * 309}%", "no limit is as large", id="a change beyond floats"),
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
    run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite", steps=8), "--json", "t.json")
    document = read_report("t.json")
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
        # The last step, which is without the 2 us to a next one, is not in it: there is no tail.
        "mean": 44_000,
        **dict.fromkeys(("p90", "p99", "longest"), 44_000),
        "tokens": pytest.approx(1e9 / 44_000),
    }


def row(
    p50: int,
    *,
    matched: int = 32,
    kind: str = "all_reduce",
    bytes: int | None = 8192,
    ranks: int = 4,
    name: str = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL",
    library: str | None = "NCCL",
) -> Collective:
    times = Spread(p50, p50, p50, p50)
    return Collective(
        name=name,
        kind=kind,
        library=library,
        class_="collective",
        bytes=bytes,
        ranks=ranks,
        count=matched,
        matched=matched,
        unmatched=0,
        rejected=0,
        floor_ns=p50,
        wire_ns=times,
        wait_ns=times,
    )


def unsplit(p50: int) -> Collective:
    return replace(row(p50), matched=0, wire_ns=None, wait_ns=None)


def document(*collectives: Collective) -> ReportDocument:
    return replace(read_report(OLD), collectives=list(collectives))


def test_the_hottest_collective_is_that_with_most_transfer() -> None:
    assert metric_of(document(row(10, matched=100), row(900, matched=2), unsplit(9)), "wire_p50") == 900


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
    outcome = check(parse_rule(rule), document(row(1_150)), document(row(before)))
    assert outcome.verdict == verdict
    assert change in outcome.line


# ---- of one collective, against the same one


def told(rule: str, now: list[Collective], before: list[Collective] | None = None) -> tuple[str, str]:
    """Verdict, and what is told behind the rule."""
    base = None if before is None else document(*before)
    outcome = check(parse_rule(rule), document(*now), base)
    return outcome.verdict, outcome.line.split(": ", 1)[1]


LARGE = row(60_000, bytes=262_144)
GATHER = row(5_000, kind="all_gather", name="ncclDevKernel_AllGather_RING_LL")
SYMM = row(7_000, bytes=None, name="one_shot_all_reduce_kernel", library="PyTorch")


def test_the_hot_collective_is_held_against_the_same_one() -> None:
    # The hottest of the baseline is another size, and slower than anything here.
    verdict, line = told("wire_p50>+15%", [row(12_000)], [LARGE, row(10_000), GATHER])
    assert (verdict, line) == ("fail", f"wire_p50 of {CALL} is 12.0 µs, +20.0 % against 10.0 µs")
    assert told("wire_p50>+15%", [row(11_000)], [LARGE, row(10_000)])[0] == "pass"


@pytest.mark.parametrize(
    ("before", "other"),
    [
        (LARGE, "all_reduce of 256 KiB over 4 ranks [ncclDevKernel_AllReduce_Sum_bf16_RING_LL]"),
        (GATHER, "all_gather of 8 KiB over 4 ranks [ncclDevKernel_AllGather_RING_LL]"),
        (row(6_000, ranks=2), "all_reduce of 8 KiB over 2 ranks [ncclDevKernel_AllReduce_Sum_bf16_RING_LL]"),
        (SYMM, "all_reduce of unknown size over 4 ranks [one_shot_all_reduce_kernel]"),
        (row(6_000, name="cross_device_reduce_1stage", library="vLLM"), "all_reduce of 8 KiB over 4 ranks [cross_"),
    ],
)
@pytest.mark.parametrize("rule", ["wire_p50>+15%", "wire_p50<+900%", "all_reduce[8192].wire_p50>+15%"])
def test_another_collective_is_no_baseline(rule: str, before: Collective, other: str) -> None:
    verdict, line = told(rule, [row(9_000)], [before])
    assert verdict == "cannot tell"
    assert line.startswith(f"wire_p50 of {CALL} is 9.0 µs; the baseline has no such call; its hottest is {other}")


def test_a_kernel_of_the_same_library_is_the_same_but_the_same_kernel_goes_first() -> None:
    float32 = row(20_000, name="ncclDevKernel_AllReduce_Sum_f32_RING_LL")
    assert "+100.0 % against 5.0 µs" in told("wire_p50>+15%", [row(10_000)], [float32, row(5_000)])[1]
    assert "-50.0 % against 20.0 µs" in told("wire_p50>+15%", [row(10_000)], [float32])[1]
    # Of unknown size only the kernel itself is known to do the same.
    other = row(7_000, bytes=None, name="two_shot_all_reduce_kernel", library="PyTorch")
    assert told("wire_p50>+15%", [SYMM], [other])[0] == "cannot tell"
    assert told("wire_p50>+15%", [SYMM], [SYMM]) == (
        "pass",
        "wire_p50 of all_reduce of unknown size over 4 ranks [one_shot_all_reduce_kernel] is 7.0 µs, "
        "+0.0 % against 7.0 µs",
    )


def test_a_baseline_that_is_not_split_says_so() -> None:
    assert told("wire_p50>+15%", [row(9_000)], [unsplit(1)]) == (
        "cannot tell",
        f"wire_p50 of {CALL} is 9.0 µs; the baseline's {CALL} is not split into wait and wire",
    )
    assert told("wire_p50>+15%", [row(9_000)], [])[1].endswith("no collective that is split into wait and wire")


def test_a_rule_finds_the_collective_that_it_names() -> None:
    now = [LARGE, row(9_000), GATHER]
    assert told("wire_p50>12us", now)[0] == "fail"
    assert told("all_reduce.wire_p50>12us", now)[0] == "fail"
    assert told("all_reduce[8192].wire_p50>12us", now) == ("pass", f"wire_p50 of {CALL} is 9.0 µs")
    assert told("all_gather.wait_p99>4us", now)[0] == "fail"
    assert told("all_gather.wire_p50>+15%", now, [LARGE, row(1), row(4_000, kind="all_gather")])[1].endswith(
        "+25.0 % against 4.0 µs"
    )
    verdict, line = told("reduce_scatter[64].wire_p50>1us", [GATHER])
    assert (verdict, line) == (
        "cannot tell",
        "wire_p50 of reduce_scatter of 64 B is not known in this run; there is all_gather of 8 KiB over 4 ranks "
        "[ncclDevKernel_AllGather_RING_LL]",
    )


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("all_reduce[8192].wire_p50>+15%", 0),
        ("all_reduce[8192].wire_p50>7us", 1),
        ("all_reduce[4096].wire_p50>7us", 2),
        ("all_gather.wire_p50>7us", 2),
    ],
)
def test_exit_codes_of_rules_on_a_collective(tmp_path: Path, capsys: Capsys, rule: str, code: int) -> None:
    trace = paper_trace(tmp_path / "t.sqlite", steps=8)
    run_cli(capsys, "report", trace, "--json", "base.json")
    assert run_cli(capsys, "check", trace, "--fail-on", rule, "--baseline", "base.json").code == code


def test_another_size_in_the_baseline_is_told_from_a_slower_link(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=8, message_bytes=65_536, wire_ns=24_000)
    run_cli(capsys, "report", builder.write(tmp_path / "b.sqlite"), "--json", "base.json")
    trace = paper_trace(tmp_path / "t.sqlite", steps=8)
    result = run_cli(capsys, "check", trace, "--fail-on", "wire_p50>+15%", "--baseline", "base.json")
    assert result.code == 2
    assert CALL in result.out
    assert "its hottest is all_reduce of 64 KiB over 4 ranks" in result.out


def test_kernels_are_held_by_pattern_by_group_and_by_name(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    report = Path("r.json")
    run_cli(capsys, "report", real_trace("tp2_late1"), "--json", report)
    rules = {
        "kernel[~LAYER_norm].calls>0": "calls of kernels like LAYER_norm is",
        "kernel[gemm].ns>+1%": ", +0.0 % against ",
        "kernel[norm].call_ns>1s": "call_ns of norm is",
        "kernel[~mystery].ns>1us": "is not known in this run; there is gemm",
        "kernel[splitKreduce_kernel].share>0.1%": "share of splitKreduce_kernel is",
    }
    options = [word for rule in rules for word in ("--fail-on", rule)]
    found = run_cli(capsys, "check", report, *options, "--baseline", report)
    lines = found.out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["fail", "pass", "pass", "cannot tell", "fail"]
    assert [said in line for said, line in zip(rules.values(), lines, strict=True)] == [True] * len(rules)
    # A document of before kernels were told says so.
    old = run_cli(capsys, "check", OLD, "--fail-on", "kernel[gemm].ns>1us")
    assert (old.code, "not known in this run" in old.out) == (2, True)


def test_help_names_the_rule_of_one_collective(capsys: Capsys) -> None:
    assert "--fail-on 'all_reduce[8192].wire_p50>+15%'" in run_cli(capsys, "check", "--help").out


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
        (["tokens<22876"], 1),
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
        f"pass         wire_p50>+15%: wire_p50 of {CALL} is 8.0 µs, +0.0 % against 8.0 µs",
        "fail         period>43us: period is 44.0 µs",
        "fail         straggler: rank 1 is late; put right it saves 6.0 µs a step (13.6 %); cause compute",
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


@pytest.mark.parametrize(("rule", "code"), [("graph_share>50%", 1), ("graph_share>99%", 0), ("graph<1ns", 0)])
def test_replays_that_are_blocks_have_a_limit(tmp_path: Path, capsys: Capsys, rule: str, code: int) -> None:
    trace = graph_level_trace(tmp_path / "t.sqlite")
    assert run_cli(capsys, "check", trace, "--fail-on", rule).code == code


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


@pytest.mark.parametrize(
    ("rule", "code"), [("all_reduce[8192].wire_p50>12us", 0), ("wire_p50>5us", 1), ("all_gather.wire_p50>1us", 2)]
)
def test_exit_codes_of_a_real_trace(capsys: Capsys, real_trace: Callable[[str], Path], rule: str, code: int) -> None:
    assert run_cli(capsys, "check", real_trace("tp4_graph_node"), "--fail-on", rule).code == code


def test_another_library_cannot_be_told_from_a_faster_link(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    run_cli(capsys, "report", real_trace("tp4_graph_node"), "--json", "base.json")
    rule = ("--fail-on", "wire_p50>+15%", "--baseline", "base.json")
    result = run_cli(capsys, "check", real_trace("tp4_symm"), *rule)
    assert result.code == 2
    assert "[one_shot_all_reduce_kernel] is 7.4 µs; the baseline has no such call" in result.out
    assert CALL in result.out


def test_sizes_that_a_trace_does_not_hold_can_be_given(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    run_cli(capsys, "report", real_trace("tp4_graph_node"), "--json", "base.json")
    rule = ("--fail-on", "wire_p50>+15%", "--baseline", "base.json")
    # Its grids tell the size, but not without their columns.
    assert run_cli(capsys, "check", real_trace("tp4_slow"), *rule).code == 0
    less = Path("less.sqlite")
    less.write_bytes(real_trace("tp4_slow").read_bytes())
    with closing(sqlite3.connect(less)) as database, database:
        database.execute("alter table CUPTI_ACTIVITY_KIND_KERNEL drop column gridX")
    result = run_cli(capsys, "check", less, *rule)
    assert (result.code, "unknown size" in result.out, "--message-bytes" in result.out) == (2, True, True)
    run_cli(capsys, "report", less, "--message-bytes", "8192", "--json", "slow.json")
    assert run_cli(capsys, "check", "slow.json", *rule).code == 0


def test_real_traces(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    run_cli(capsys, "report", real_trace("tp4_graph_node"), "--json", "base.json")
    rules = ("--fail-on", "wire_p50>+15%", "--fail-on", "straggler", "--fail-on", "period>+15%")
    result = run_cli(capsys, "check", real_trace("tp4_slow3"), *rules, "--baseline", "base.json")
    assert [line.split()[0] for line in result.out.splitlines()] == ["pass", "fail", "fail"]
    assert run_cli(capsys, "check", "base.json", *rules, "--baseline", "base.json").code == 0


def test_ranks_that_are_late_together_are_caused_together(tmp_path: Path, capsys: Capsys) -> None:
    """Either of two that are late by 60 us alone saves nothing: the other is waited for."""
    trace = written(tmp_path / "t.sqlite", (16, 4))
    run_cli(capsys, "report", trace, "--json", "t.json")
    assert metric_of(read_report("t.json"), "caused") == 60_000
    assert metric_of(read_report("t.json"), "caused_share") == pytest.approx(50)
    assert run_cli(capsys, "check", "t.json", "--fail-on", "caused_share>45%").code == 1
    result = run_cli(capsys, "check", "t.json", "--fail-on", "straggler")
    assert result.code == 1
    assert "ranks 0 and 1 are late; put right together they save 60.0 µs a step (50.0 %); cause compute" in result.out
