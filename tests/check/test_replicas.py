"""Limits hold for every replica, kind of step and tail that a run has; changes are of what is alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tests.liveserver as server
from nsysan.check.judge import metric_of
from nsysan.report.read_back import read_report
from tests.clitools import run_cli
from tests.liveserver import Kind, Told, run, write
from tests.tracebuilder import TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def two_replicas(path: Path, late: int, compute: int) -> Path:
    """TP=2 each: rank 1 of the first is late by `late` in each of four layers, the second computes for `compute`."""
    builder = TraceBuilder()
    shape = {"ranks": 2, "steps": 30, "layers": 4}
    decode_loop(builder, **shape, compute_ns=30_000, late={1: late}, first_pid=1_000, comm=0x11)  # type: ignore[arg-type]
    decode_loop(builder, **shape, compute_ns=compute, first_pid=2_000, comm=0x22)  # type: ignore[arg-type]
    return builder.write(path)


def told(capsys: Capsys, trace: Path, rule: str, *more: str) -> tuple[int, str]:
    result = run_cli(capsys, "check", trace, "--fail-on", rule, *more)
    return result.code, result.out


def test_a_rank_that_is_late_in_another_replica_than_the_headline(tmp_path: Path, capsys: Capsys) -> None:
    trace = two_replicas(tmp_path / "t.sqlite", 14_000, 45_000)
    code, text = told(capsys, trace, "straggler")
    assert code == 1
    assert "in replica 0 (ranks 0 and 1), rank 1 is late" in text
    assert told(capsys, trace, "caused_share>20%")[0] == 1
    assert told(capsys, trace, "wait_share>10%")[0] == 1
    assert told(capsys, trace, "wait_share>20%")[0] == 0


def test_figures_are_of_a_replica_and_of_no_mean_of_several(tmp_path: Path, capsys: Capsys) -> None:
    trace = two_replicas(tmp_path / "t.sqlite", 0, 45_000)
    run_cli(capsys, "report", trace, "--json", "t.json")
    document = read_report("t.json")
    # 4 x 30 + 34 and 4 x 45 + 34; half of both is of neither.
    assert [(one.replica, metric_of(one, "period")) for one in document.replicas] == [(0, 154_000), (1, 214_000)]
    assert metric_of(document, "period") == 214_000
    assert told(capsys, trace, "period>200us")[0] == 1


def test_the_hottest_call_is_of_the_steps_that_are_asked_for(tmp_path: Path, capsys: Capsys) -> None:
    large, small = Kind(8, [60_000] * 4, wire=8_000), Kind(4, [10_000] * 4, wire=30_000)
    trace = write(tmp_path / "t.sqlite", run(([large] * 6 + [small] * 4) * 6))
    assert told(capsys, trace, "wire_p50>20us", "--population", "decode_8")[0] == 0
    assert told(capsys, trace, "wire_p50>20us", "--population", "decode_4")[0] == 1


def test_changes_against_other_steps_or_ranks_cannot_be_told(tmp_path: Path, capsys: Capsys) -> None:
    """Every step became slower by 40 %, and more of them are of the smaller batch: the headline got faster."""
    before = ([Kind(8, [60_000] * 4)] * 6 + [Kind(4, [30_000] * 4)] * 3) * 6
    after = ([Kind(8, [84_000] * 4)] * 2 + [Kind(4, [42_000] * 4)] * 9) * 6
    base, now = (write(tmp_path / f"{name}.sqlite", run(kinds)) for name, kinds in (("base", before), ("now", after)))
    run_cli(capsys, "report", base, "--json", "base.json")
    code, text = told(capsys, now, "period>+0%", "--baseline", "base.json")
    assert code == 2
    assert "the baseline's steps are of decode_8, this run's of decode_4" in text
    same = ("--baseline", "base.json", "--population", "decode_8")
    assert told(capsys, now, "period>+20%", *same)[0] == 1
    wide = TraceBuilder()
    decode_loop(wide, ranks=4, steps=12)
    run_cli(capsys, "report", wide.write(tmp_path / "wide.sqlite"), "--json", "wide.json")
    narrow = TraceBuilder()
    decode_loop(narrow, ranks=2, steps=12)
    code, text = told(capsys, narrow.write(tmp_path / "n.sqlite"), "period>+0%", "--baseline", "wide.json")
    assert (code, "the baseline is of 4 ranks, this run of 2" in text) == (2, True)


def test_changes_against_another_gpu_cannot_be_told(tmp_path: Path, capsys: Capsys) -> None:
    trace = two_replicas(tmp_path / "t.sqlite", 0, 45_000)
    run_cli(capsys, "report", trace, "--json", "t.json")
    text = Path("t.json").read_text()
    for model, code in (("NVIDIA A100-SXM4-80GB", 2), ("NVIDIA H200", 0)):
        Path("base.json").write_text(text.replace('"gpu_model": "NVIDIA H200"', f'"gpu_model": "{model}"'))
        result = told(capsys, trace, "period>+15%", "--baseline", "base.json")
        assert result[0] == code
        assert ("the baseline is of NVIDIA A100-SXM4-80GB, this run of NVIDIA H200" in result[1]) == (code == 2)
    # A document need not tell the GPUs, and a limit is of no baseline.
    Path("base.json").write_text(text.replace('"gpu_model": "NVIDIA H200"', '"gpu_model": null'))
    assert told(capsys, trace, "period>+15%", "--baseline", "base.json")[0] == 0
    assert told(capsys, trace, "period>1s", "--baseline", "base.json")[0] == 0


def paused(path: Path, slower: float, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rank 0's host pauses for 400 us in every tenth step; rank 1 computes longer in all."""
    wait: Callable[..., None] = server._wait

    def only_rank_0(*given: object) -> None:
        wait(*given[:-1], 0)
        host = given[2]
        assert isinstance(host, dict)
        host[0] += given[-1]

    with monkeypatch.context() as patched:
        patched.setattr(server, "_wait", only_rank_0)
        steps = run([Kind(8, [40_000] * 6, slower=slower)] * 60, pause=lambda n: 400_000 if n % 10 == 5 else 0)
    return write(path, steps, Told.BY_ITSELF)


def test_a_tail_does_not_vanish_beside_a_rank_that_is_always_late(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the mean step; rank 1 costs 19 besides.
    for name, slower, saves in (("pause", 0.0, "42.1"), ("both", 0.08, "61.0")):
        trace = paused(tmp_path / f"{name}.sqlite", slower, monkeypatch)
        code, text = told(capsys, trace, "caused>30us")
        assert (code, f"caused is {saves} µs" in text) == (1, True)


def test_a_baseline_whose_mean_is_below_its_median_has_no_tail(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = write(tmp_path / "t.sqlite", run([Kind(8, [40_000] * 6)] * 60, jitter=0.01))
    run_cli(capsys, "report", healthy, "--json", "t.json")
    text = Path("t.json").read_text()
    mean = read_report("t.json").period
    assert mean is not None
    Path("low.json").write_text(text.replace(f'"mean": {mean.mean}', f'"mean": {mean.p50 - 300}'))
    trace = paused(tmp_path / "p.sqlite", 0.0, monkeypatch)
    assert told(capsys, trace, "tail>+50%", "--baseline", "low.json")[0] == 1


def test_a_report_says_who_is_late_in_the_other_replica(tmp_path: Path, capsys: Capsys) -> None:
    trace = two_replicas(tmp_path / "t.sqlite", 14_000, 45_000)
    (late,) = (line for line in run_cli(capsys, "report", trace).out.splitlines() if line.startswith("late "))
    assert "nobody" in late
    assert "in replica 0, rank 1" in late
