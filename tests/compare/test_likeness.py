"""Like with like: one population, one unit of work, one model; and means in which few long steps count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan import ExitCode
from nsysan.compare.as_json import to_document
from nsysan.compare.as_text import to_text
from nsysan.compare.changes import compare
from nsysan.compare.compared_run import compared_runs, letters
from nsysan.compare.comparison import Comparison, Measured
from nsysan.compare.likeness import common_population, refusal
from nsysan.metrics.change_rule import ChangeVerdict
from tests.clitools import run_cli
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder, decode_loop


def compared(*paths: Path) -> Comparison:
    runs = [nsysan.analyze(nsysan.open_trace(path)) for path in paths]
    sides = [compared_runs(label, run, nsysan.__version__) for label, run in zip(letters(len(runs)), runs, strict=True)]
    return compare(common_population(sides), nsysan.__version__)


def batches(path: Path, *, in_a_step: int, takes: int) -> Path:
    """A loop of `takes` ns a batch, 30 us of it three kernels; a range marks so many batches."""
    builder = TraceBuilder()
    process = builder.process(1)
    at = 1_000_000
    for step in range(12):
        process.nvtx(f"train_step_{step}", at - 12_000, at + (in_a_step - 1) * takes + 15_000)
        for _ in range(in_a_step):
            for number, name in enumerate(("forward", "backward", "update")):
                process.kernel(name, at + 10_000 * number, at + 10_000 * (number + 1))
            at += takes
    return builder.write(path)


def test_a_step_of_two_batches_is_held_by_its_batches(tmp_path: Path) -> None:
    one = batches(tmp_path / "a.sqlite", in_a_step=1, takes=100_000)
    two = batches(tmp_path / "b.sqlite", in_a_step=2, takes=75_000)
    runs = [nsysan.analyze(nsysan.open_trace(path), "train_step") for path in (one, two)]
    for order, word, percent in (((0, 1), "faster", -25.0), ((1, 0), "slower", 100 / 3)):
        sides = [compared_runs("AB"[n], runs[side], "0")[0] for n, side in enumerate(order)]
        comparison = compare(sides, "0")
        assert comparison.figure("ledger.period").changes[0].percent == pytest.approx(percent)
        assert comparison.figure("ledger.compute").values == [30_000, 30_000]
        assert f"vs A    {word}, " in to_text(comparison)
        assert [side.units for side in comparison.sides] == [1 + n for n in order]
        assert any("does the work of 2 of the others" in note for note in comparison.notes)
        assert comparison.refused == {}


def test_other_layers_are_refused_by_name(tmp_path: Path) -> None:
    paths = []
    for layers in (4, 2):
        builder = TraceBuilder()
        decode_loop(builder, ranks=2, steps=12, layers=layers)
        paths.append(builder.write(tmp_path / f"{layers}.sqlite"))
    comparison = compared(*paths)
    reason = "other calls a step, so other layers or another model: A 4 all_reduce, B 2"
    assert comparison.refused == {"B": reason}
    assert f"B vs A    refused: {reason}" in to_text(comparison)
    assert {change.verdict for figure in comparison.figures for change in figure.changes} == {
        ChangeVerdict.NOT_COMPARABLE
    }
    assert to_document(comparison)["refused"] == [{"side": "B", "reason": reason}]


def model(path: Path, layers: int) -> Path:
    """One rank: kernels of each layer, and three that come once a step."""
    builder = TraceBuilder()
    process = builder.process(1)
    at = 1_000_000
    for step in range(12):
        process.nvtx(f"decode_step_{step}", at - 12_000, at + 10_000 * layers + 20_000)
        names = ["embed", *["attention", "mlp"] * layers, "head", "sample"]
        for name in names:
            process.kernel(name, at, at + 5_000)
            at += 5_000
        at += 5_000
    return builder.write(path)


def test_other_layers_without_communication(tmp_path: Path) -> None:
    comparison = compared(model(tmp_path / "a.sqlite", 8), model(tmp_path / "b.sqlite", 4))
    assert comparison.refused == {"B": "other layers: attention runs 8 times a step in A, 4 in B"}


def test_one_model_is_not_refused(tmp_path: Path) -> None:
    comparison = compared(model(tmp_path / "a.sqlite", 8), model(tmp_path / "b.sqlite", 8))
    assert comparison.refused == {}
    document = to_document(comparison)
    assert document["refused"] is None
    # Of one sequence, as nothing tells how many there are: that is no fact of the run.
    assert [side["batch_source"] for side in document["sides"]] == ["assumed"] * 2
    assert ", batch not told, " in to_text(comparison)
    assert "nothing tells the batch of A and B: tokens/s are of one sequence; give --batch" in comparison.notes


def test_work_that_no_division_over_ranks_explains(tmp_path: Path) -> None:
    """Products of 16 us at TP=2 take 16 to 32 us at TP=1, and half as much again either way by other kernels."""
    sides = []
    for label, ranks in (("A", 2), ("B", 1)):
        builder = TraceBuilder()
        decode_loop(builder, ranks=ranks, steps=10, layers=1, compute_ns=16_000)
        run = nsysan.analyze(builder.write(tmp_path / f"{label}.sqlite"))
        sides += compared_runs(label, run, nsysan.__version__)
    first, one = sides
    assert first.value("compute.gemm") == one.value("compute.gemm") == 16_000

    def refused(takes: int, *, batch_stated: bool = False) -> str | None:
        work = {"compute.gemm": Measured(takes, one.figures["compute.gemm"].steps)}
        return refusal(first, replace(one, figures=one.figures | work, batch_stated=batch_stated))

    assert [refused(takes) is not None for takes in (10_000, 11_000, 47_000, 49_000)] == [True, False, False, True]
    told = (
        "gemm takes 49.0 µs over 1 rank (B) and 16.0 µs over 2 (A), which dividing by no more than 2 does not explain"
    )
    assert told in str(refused(49_000))
    assert refused(49_000, batch_stated=True) is None


# ---- populations


def served(process: Process, at: int, batch: int, takes: int) -> int:
    process.nvtx(f"execute_context_0(0)_generation_{batch}({batch})", at - 20_000, at - 5_000)
    process.kernel(COMPUTE_KERNEL, at, at + takes - 20_000, launch=at - 19_000)
    return at + takes


def server(path: Path, *counts: tuple[int, int, int]) -> Path:
    """Steps of (batch, how many, ns each)."""
    builder = TraceBuilder()
    process = builder.process(1)
    at = 1_000_000
    for batch, count, takes in counts:
        for _ in range(count):
            at = served(process, at, batch, takes)
    return builder.write(path)


def test_batches_are_held_against_the_same_batch(tmp_path: Path) -> None:
    a = server(tmp_path / "a.sqlite", (8, 20, 148_000), (4, 10, 100_000))
    b = server(tmp_path / "b.sqlite", (8, 10, 148_000), (4, 30, 110_000))
    comparison = compared(a, b)
    # By default A is of batch 8 and B of batch 4; A has more of batch 8.
    assert [side.population.id for side in comparison.sides] == ["decode_8", "decode_8"]
    assert comparison.figure("ledger.period").values == [148_000, 148_000]
    assert [side.batch for side in comparison.sides] == [8, 8]
    assert {pair.name: list(pair.sides) for pair in comparison.populations} == {
        "decode of batch 8": ["A", "B"],
        "decode of batch 4": ["A", "B"],
    }
    text = to_text(comparison)
    # The last step of each, which ends with its work, 20 us before another would begin, makes no mean shorter.
    assert "decode of batch 4  A 100.0 µs (mean 100.0 µs, 10 steps), B 110.0 µs (mean 110.0 µs, 30 steps)" in text
    assert {side["batch_source"] for side in to_document(comparison)["sides"]} == {"by the steps"}
    sides = to_document(comparison)["populations"][1]["sides"]
    assert (sides["A"]["p50_ns"], sides["B"]["p50_ns"]) == (100_000, 110_000)


def test_batches_of_which_none_is_the_same_are_told(tmp_path: Path) -> None:
    a = server(tmp_path / "a.sqlite", (8, 12, 148_000))
    b = server(tmp_path / "b.sqlite", (4, 12, 100_000))
    comparison = compared(a, b)
    assert "not the same batch: A 8, B 4" in comparison.notes
    assert comparison.populations == []


# ---- rare pauses


def paused(path: Path, pauses: set[int]) -> Path:
    """Three ranks, 100 us a step; the host of rank 1 sleeps for 400 us before some."""
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(3)]
    at = 1_000_000
    for step in range(42):
        pause = 400_000 if step in pauses else 0
        for rank, process in enumerate(processes):
            begin = at + (pause if rank == 1 else 0)
            process.nvtx(f"decode_step_{step}", begin - 5_500, begin - 4_000)
            process.kernel(COMPUTE_KERNEL, begin, begin + 70_000, launch=(begin - 5_000, begin - 4_900))
            process.kernel(ALLREDUCE_KERNEL, begin + 70_000, at + pause + 80_000, launch=(begin - 4_800, begin - 4_700))
        at += pause + 100_000
    return builder.write(path)


def test_a_pause_in_every_tenth_step_is_not_the_same_within_noise(tmp_path: Path) -> None:
    comparison = compared(paused(tmp_path / "a.sqlite", set()), paused(tmp_path / "b.sqlite", {6, 16, 26, 36}))
    found = {figure.id: figure.changes[0] for figure in comparison.figures if figure.group == "step"}
    assert found["ledger.period"].verdict == ChangeVerdict.NOISE
    # 4 x 400 us in the 40 steps of 100 that another follows.
    assert found["throughput.mean"].difference == 40_000
    assert found["throughput.tokens"].percent == pytest.approx(100 * (100 / 140 - 1))
    assert found["throughput.mean"].verdict == found["throughput.tokens"].verdict == ChangeVerdict.CHANGED
    text = to_text(comparison)
    assert "slower in the mean, 100.0 µs to 140.0 µs a token (+40.0 %, tokens/s -28.6 %) in B: " in text
    assert "in B: rank 1, host 40.0 µs" in text
    assert "the same within noise" not in text


def test_one_pause_tells_nothing(tmp_path: Path) -> None:
    comparison = compared(paused(tmp_path / "a.sqlite", set()), paused(tmp_path / "b.sqlite", {16, 26}))
    assert comparison.figure("throughput.mean").changes[0].verdict == ChangeVerdict.NOISE
    # Nor that they are the same: 2 x 400 us in 40 steps of 100 were lost.
    text = to_text(comparison)
    assert "not told from chance" in text
    assert "B takes 20.0 % more than A in the mean (100.0 µs and 120.0 µs), which steps that vary so much do" in text


# ---- rules


def test_rules_see_the_tail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = ("tokens<9000", "mean>120us", "p90>101us", "p99>300us", "longest>300us", "tail>20us", "tail_share>5%")
    options = [word for rule in rules for word in ("--fail-on", rule)]
    even = run_cli(capsys, "check", paused(tmp_path / "a.sqlite", set()), *options)
    assert (even.code, even.out.count("pass")) == (0, 7)
    trace = paused(tmp_path / "b.sqlite", {5, 6, 16, 26, 36})
    late = run_cli(capsys, "check", trace, *options, "--fail-on", "period>101us")
    assert (late.code, late.out.count("fail  ")) == (1, 7)
    assert "pass         period>101us" in late.out


def test_rules_on_one_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = server(tmp_path / "a.sqlite", (8, 20, 148_000), (4, 10, 100_000))
    rule = ("--fail-on", "period>120us")
    assert run_cli(capsys, "check", trace, *rule).code == 1
    for option in (("--batch", "4"), ("--population", "decode_4")):
        assert run_cli(capsys, "check", trace, *rule, *option).code == 0
    written = tmp_path / "a.json"
    assert run_cli(capsys, "report", trace, "-q", "--json", written, "--batch", "4").code == 0
    assert json.loads(written.read_text())["what_if"]["period_ns"] == 100_000
    assert run_cli(capsys, "check", written, *rule, "--batch", "4").code == 0
    refused = run_cli(capsys, "check", written, *rule, "--batch", "8")
    assert (refused.code, "is of decode_4, not of decode_8" in refused.err) == (ExitCode.NO_STEPS, True)


# ---- workloads


def no_decoding(path: Path, *names: str) -> Path:
    """One rank that runs the same kernels over and over, 50 us each time, and nothing says what for."""
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(12):
        at = 1_000_000 + 50_000 * step
        for number, name in enumerate(names):
            process.kernel(name, at + 10_000 * number, at + 10_000 * (number + 1))
    return builder.write(path)


def tp4(path: Path) -> Path:
    builder = TraceBuilder()
    decode_loop(builder, ranks=4, steps=12)
    return builder.write(path)


UNSHOWN = "does not show that it decodes (no engine's range, no graph replays, no kernels of a language model)"


@pytest.mark.parametrize(
    ("names", "words"),
    [(("saxpy", "jacobi", "residual"), UNSHOWN), (("gemm", "layer_norm_backward", "fused_adam"), "trains")],
)
def test_what_does_not_decode_tells_no_degree(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    one, four = no_decoding(tmp_path / "one.sqlite", *names), tp4(tmp_path / "four.sqlite")
    for paths, told in (((one, four), f"A {words}, B decodes"), ((four, one), f"A decodes, B {words}")):
        comparison = compared(*paths)
        assert comparison.refused["B"].startswith(f"another workload: {told}; ")
        assert comparison.scaling is None
        assert "nothing can be held against A" in to_text(comparison)


def test_runs_that_do_not_decode_are_held_against_each_other_without_advice(tmp_path: Path) -> None:
    a = no_decoding(tmp_path / "a.sqlite", "saxpy", "jacobi", "residual")
    b = no_decoding(tmp_path / "b.sqlite", "saxpy", "jacobi", "residual")
    runs = [nsysan.analyze(nsysan.open_trace(path)) for path in (a, b)]
    first, side = (compared_runs(label, run, "0")[0] for label, run in zip("AB", runs, strict=True))
    comparison = compare([first, replace(side, ranks=4)], "0", [8])
    assert comparison.refused == {}
    assert comparison.scaling is None
    (prediction,) = comparison.predictions
    assert prediction.reason == f"A {UNSHOWN}; B {UNSHOWN}"
    assert comparison.figure("throughput.tokens").values == [None, None]
    assert f"what more GPUs buy is not told: A {UNSHOWN}; B {UNSHOWN}" in comparison.notes
    text = to_text(comparison)
    assert "50.0 µs to 50.0 µs a step " in text
    assert not [word for word in ("pays", "stay at", "replicas", "a token") if word in text]


def test_other_work_that_does_not_decode_is_refused(tmp_path: Path) -> None:
    a = no_decoding(tmp_path / "a.sqlite", "saxpy", "jacobi", "residual")
    b = no_decoding(tmp_path / "b.sqlite", "sort", "scan", "reduce")
    told = compared(a, b).refused["B"]
    assert told.startswith("another workload: no kernel runs in both (A ")


def test_graphs_that_are_blocks_over_one_rank_are_held_by_what_they_take(tmp_path: Path) -> None:
    """A TP=1 loop whose replays take 30 times what each of four GPUs computes is no share of it."""
    for times, refused in ((4, False), (30, True)):
        builder = TraceBuilder(graph_mode="Graph")
        decode_loop(builder, ranks=1, steps=12, layers=1, compute_ns=times * 20_000, wire_ns=0, graph=True)
        comparison = compared(builder.write(tmp_path / f"{times}.sqlite"), tp4(tmp_path / f"four_{times}.sqlite"))
        assert ("B" in comparison.refused) is refused
        assert (comparison.scaling is None) is refused
    told = comparison.refused["B"]
    assert told.startswith(
        "another batch, context or model: what the GPUs do takes 600.0 µs over 1 rank (A) and 20.0 µs"
    )


def test_degrees_on_other_gpus_tell_nothing_of_more(tmp_path: Path) -> None:
    paths = []
    for ranks, gpu in ((2, "NVIDIA A100-SXM4-80GB"), (4, "NVIDIA H200")):
        builder = TraceBuilder()
        for index in range(ranks):
            builder.gpu(index, name=gpu)
        decode_loop(builder, ranks=ranks, steps=12)
        paths.append(builder.write(tmp_path / f"{ranks}.sqlite"))
    comparison = compared(*paths)
    assert (comparison.refused, comparison.scaling) == ({}, None)
    why = "not the same GPU: A NVIDIA A100-SXM4-80GB, B NVIDIA H200"
    assert f"what more GPUs buy is not told: {why}" in comparison.notes
    assert "stay at TP=" not in to_text(comparison)


def test_a_batch_that_one_side_tells_is_not_held_against_one_that_nobody_does(tmp_path: Path) -> None:
    served_, untold = server(tmp_path / "a.sqlite", (8, 12, 148_000)), model(tmp_path / "b.sqlite", 8)
    reason = (
        "another batch, or none that is told: A 8, and nothing tells that of B; --batch for each compares them all "
        "the same"
    )
    assert compared(served_, untold).refused == {"B": reason}
    single = server(tmp_path / "c.sqlite", (1, 12, 148_000))
    assert compared(single, untold).refused == {}
    runs = [nsysan.analyze(nsysan.open_trace(path)) for path in (served_, untold)]
    sides = [compared_runs(label, run, "0", 8)[0] for label, run in zip("AB", runs, strict=True)]
    assert compare(sides, "0").refused == {}


def test_rules_on_what_does_not_decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = ("--fail-on", "tokens<1", "--fail-on", "period>1ms", "--fail-on", "straggler")
    other = run_cli(capsys, "check", no_decoding(tmp_path / "a.sqlite", "saxpy", "jacobi", "residual"), *rules)
    assert (other.code, other.out.count("cannot tell  ")) == (2, 3)
    assert f"the run {UNSHOWN}" in other.out
    trains = run_cli(capsys, "check", no_decoding(tmp_path / "b.sqlite", "gemm", "norm_backward", "fused_adam"), *rules)
    assert (trains.code, trains.out.count("pass  ")) == (2, 2)
    assert "cannot tell  tokens<1: the run trains: its steps make no tokens" in trains.out
