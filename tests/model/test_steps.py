"""Every way of finding decode steps, on traces whose steps are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.model.steps.engines import load_engines
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder, decode_loop

STEP_NS = 100_000
KERNEL_NS = 5_000
KERNELS = ("gemm", "attention", "norm")
#: The same, with a call that joins ranks.
MEETING = (*KERNELS[:-1], ALLREDUCE_KERNEL)


def run_step(
    process: Process,
    index: int,
    name: str | None,
    *,
    kernels: Sequence[str] = KERNELS,
    tid: int | None = None,
    range_tid: int | None = None,
) -> None:
    """Step `index` from index * STEP_NS on: kernels of 5 us, one after the other, and a range round their calls."""
    begin = index * STEP_NS
    for number, kernel in enumerate(kernels):
        start = begin + KERNEL_NS * number
        process.kernel(kernel, start, start + KERNEL_NS, tid=tid)
    if name is not None:
        process.nvtx(name, begin - 11_000, begin + KERNEL_NS * len(kernels) - 8_000, tid=range_tid)


def analyzed(
    tmp_path: Path, builder: TraceBuilder, pattern: str | None = None, *, use_nvtx: bool = True, name: str = "trace"
) -> Run:
    trace = nsysan.open_trace(builder.write(tmp_path / f"{name}.sqlite"))
    return nsysan.analyze(trace, pattern, use_nvtx=use_nvtx)


def bounds(run: Run, rank: int = 0) -> list[tuple[int, int]]:
    """begin and finish of the steps of one rank, in step order."""
    return list(run.windows.filter(pl.col("rank") == rank).sort("step").select("begin", "finish").iter_rows())


def excluded(run: Run) -> dict[int, str]:
    rows = run.windows.filter(pl.col("excluded").is_not_null()).select("step", "excluded").unique()
    return dict(rows.iter_rows())


def tiles(indices: Sequence[int], kernels: int = len(KERNELS)) -> list[tuple[int, int]]:
    begins = [index * STEP_NS for index in indices]
    return list(zip(begins, [*begins[1:], begins[-1] + KERNEL_NS * kernels], strict=True))


# ---- NVTX ranges


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        (["execute_context_0(0)_generation_8(8)"] * 3, "vLLM"),
        (["execute_new_0_cached_8"] * 3, "vLLM"),
        ([f"execute_{i}_context_0(0)_generation_8(8)" for i in range(3)], "vLLM"),
        (["gpu_model_runner: forward"] * 3, "vLLM model runner"),
        (["scheduler.run_batch"] * 3, "SGLang"),
        ([f"[Executor] _forward_step {i}: 0 ctx reqs, 32 gen reqs" for i in range(3)], "TensorRT-LLM"),
        ([f"decode_step_{i}" for i in range(3)], "decode range"),
        (["decode"] * 3, "decode range"),
        ([f"Step {i}" for i in range(3)], "step range"),
    ],
)
def test_ranges_of_known_engines(tmp_path: Path, names: list[str], engine: str) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index, name in enumerate(names):
        run_step(process, index, name)
    run = analyzed(tmp_path, builder)
    assert (run.steps.method, engine in run.steps.source) == ("nvtx", True)
    assert bounds(run) == tiles(range(3))
    assert excluded(run) == {}


@pytest.mark.parametrize(
    ("decode", "prefill"),
    [
        ("execute_context_0(0)_generation_8(8)", "execute_context_1(512)_generation_3(3)"),
        ("execute_new_0_cached_8", "execute_new_1_cached_3"),
        (
            "[Executor] _forward_step 17: 0 ctx reqs, 32 gen reqs",
            "[Executor] _forward_step 16: 1 ctx reqs, 31 gen reqs",
        ),
        (
            "[Executor] _forward_step 17: 0 ctx reqs, 0 ctx tokens, 32 gen reqs",
            "[Executor] _forward_step 16: 2 ctx reqs, 512 ctx tokens, 31 gen reqs",
        ),
    ],
)
def test_prefill_is_told_by_the_engines_range(tmp_path: Path, decode: str, prefill: str) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(8):
        # The same kernels, so that only the name can tell.
        run_step(process, index, prefill if index == 3 else decode)
    run = analyzed(tmp_path, builder)
    assert bounds(run) == tiles(range(8))
    assert excluded(run) == {0: "start-up: first of the capture", 3: "mixed: prefill and decode in one step"}
    assert {one.kind: one.steps for one in run.steps.populations} == {"decode": (0, 1, 2, 4, 5, 6, 7), "mixed": (3,)}


@pytest.mark.parametrize("engine", load_engines(), ids=lambda engine: str(engine.name))
def test_examples_of_an_engine_match_its_own_range_first(engine: object) -> None:
    own = next(e for e in load_engines() if e is engine)
    for example in own.examples:
        matching = [e.name for e in load_engines() if e.range.search(example)]
        assert matching[:1] == [own.name], example
    assert own.examples
    assert own.decode is None or any(own.decode.search(example) for example in own.examples)


@pytest.mark.parametrize(
    "name", ["decoder_layer_3", "decoding", "stepper", "my_step_3", "execute_model", "scheduler.run_batch_3"]
)
def test_no_engine_claims_an_ordinary_range(name: str) -> None:
    assert [engine.name for engine in load_engines() if engine.range.search(name)] == []


def test_a_range_round_the_loop_and_ranges_inside_a_step_are_no_steps(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    process.nvtx("decode", -50_000, 5 * STEP_NS)
    for index in range(5):
        run_step(process, index, f"decode_step_{index}")
        call = index * STEP_NS + KERNEL_NS - 10_000
        process.nvtx("decode_attention", call - 100, call + 2_100)
    run = analyzed(tmp_path, builder)
    assert bounds(run) == tiles(range(5))
    assert run.windows["label"].to_list() == [f"decode_step_{index}" for index in range(5)]


def test_ranges_that_overlap_without_nesting_are_each_a_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(5):
        begin = index * STEP_NS
        process.kernel("gemm", begin, begin + KERNEL_NS)
        process.nvtx(f"decode_step_{index}", begin - 11_000, begin + STEP_NS + 50_000, event_type=60)
    assert bounds(analyzed(tmp_path, builder)) == tiles(range(5), kernels=1)


def test_of_ranges_that_begin_together_the_longer_is_the_outer_one(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(4):
        begin = index * STEP_NS
        run_step(process, index, f"decode_step_{index}")
        process.nvtx("decode_attention", begin - 11_000, begin - 7_000)
    run = analyzed(tmp_path, builder)
    assert run.windows["label"].to_list() == [f"decode_step_{index}" for index in range(4)]


def test_a_pattern_of_the_user_goes_before_engines(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(4):
        run_step(process, index, f"decode_step_{index}")
    process.nvtx("token pair A", -20_000, STEP_NS + 20_000)
    process.nvtx("token pair B", 2 * STEP_NS - 20_000, 3 * STEP_NS + 20_000)
    run = analyzed(tmp_path, builder, r"^token pair [AB]$")
    assert bounds(run) == [(0, 2 * STEP_NS), (2 * STEP_NS, 3 * STEP_NS + 15_000)]
    assert "--steps" in run.steps.source


def test_one_range_is_enough_for_a_pattern_of_the_user(tmp_path: Path) -> None:
    builder = TraceBuilder()
    run_step(builder.process(1), 0, "the only token")
    assert bounds(analyzed(tmp_path, builder, "only")) == tiles([0])


def test_a_pattern_that_matches_nothing_names_the_ranges_there(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(3):
        run_step(process, index, f"iteration {index}")
    with pytest.raises(NsysanError, match=r"'decode_\\\\d'.*'iteration #'") as error:
        analyzed(tmp_path, builder, r"decode_\d")
    assert error.value.exit_code == ExitCode.NO_STEPS


def test_a_pattern_whose_ranges_launched_nothing_is_refused(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    run_step(process, 0, None)
    process.nvtx("load weights", -500_000, -400_000)
    with pytest.raises(NsysanError, match="'load weights'") as error:
        analyzed(tmp_path, builder, "load")
    assert error.value.exit_code == ExitCode.NO_STEPS


def test_a_pattern_that_is_no_regular_expression_is_refused(tmp_path: Path) -> None:
    builder = TraceBuilder()
    run_step(builder.process(1), 0, "step 1")
    with pytest.raises(NsysanError, match=r"--steps 'step \('") as error:
        analyzed(tmp_path, builder, "step (")
    assert error.value.exit_code == ExitCode.NO_STEPS


def test_nccl_ranges_are_no_steps(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, nvtx=False, steps=1)
    with pytest.raises(NsysanError, match="none outside NCCL"):
        analyzed(tmp_path, builder, "AllReduce")


def test_launches_of_another_thread_are_found_by_process(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(10 + rank, device=rank)
        for index in range(4):
            run_step(process, index, f"decode_step_{index}", tid=5000)
    run = analyzed(tmp_path, builder)
    assert [bounds(run, rank) for rank in range(2)] == [tiles(range(4))] * 2


def test_each_process_has_its_own_threads(tmp_path: Path) -> None:
    builder = TraceBuilder()
    main, engine = builder.process(10, device=0), builder.process(11, device=1)
    for index in range(4):
        run_step(main, index, f"decode_step_{index}")
        run_step(engine, index, f"decode_step_{index}", tid=5000)
    run = analyzed(tmp_path, builder)
    assert run.bystanders == []
    assert [bounds(run, rank) for rank in range(2)] == [tiles(range(4))] * 2


def test_work_of_another_thread_during_a_range_is_not_the_steps(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(4):
        run_step(process, index, f"decode_step_{index}")
        at = index * STEP_NS - 2_000
        process.kernel("prefetch", at, at + 500, launch=at - 1_000, tid=77, stream=9)
    run = analyzed(tmp_path, builder)
    assert bounds(run) == tiles(range(4))
    assert run.work.filter(pl.col("name") == "prefetch")["step"].null_count() == 4


def test_a_step_is_what_its_range_launched_wherever_it_ran(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    # The host is a whole step ahead of the GPU.
    for index in range(3):
        process.nvtx(f"decode_step_{index}", index * 10_000, index * 10_000 + 9_000)
        for number in range(2):
            start = 50_000 + index * 20_000 + number * 6_000
            process.kernel(
                "gemm", start, start + 6_000, launch=index * 10_000 + 3_000 * number + 500, stream=7 + number
            )
    run = analyzed(tmp_path, builder)
    assert bounds(run) == [(50_000, 70_000), (70_000, 90_000), (90_000, 102_000)]
    assert run.work.sort("begin")["step"].to_list() == [0, 0, 1, 1, 2, 2]


# ---- graph replays


def replay(process: Process, graph: int, begin: int, kernels: Sequence[str] = KERNELS) -> None:
    launch = process.graph_launch(begin - 10_000)
    for number, kernel in enumerate(kernels):
        start = begin + KERNEL_NS * number
        node = (graph << 32) + number
        process.kernel(kernel, start, start + KERNEL_NS, launch=None, correlation=launch, graph_node=node)


def test_one_replay_is_one_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, graph=True, nvtx=False, late={1: 3_000}, steps=5)
    run = analyzed(tmp_path, builder)
    assert run.steps.method == "graph"
    begins = [1_000_000 + 44_000 * step for step in range(6)]
    expected = list(zip(begins, [*begins[1:5], begins[5] - 2_000], strict=False))
    assert [bounds(run, rank) for rank in range(4)] == [expected] * 4


def test_one_block_of_a_graph_level_trace_is_one_step(tmp_path: Path) -> None:
    builder = TraceBuilder(graph_mode="Graph")
    decode_loop(builder, graph=True, nvtx=False, steps=3)
    run = analyzed(tmp_path, builder)
    assert run.steps.method == "graph"
    assert bounds(run) == [(1_000_000, 1_038_000), (1_038_000, 1_076_000), (1_076_000, 1_112_000)]


def test_sampling_between_replays_belongs_to_the_step_before_it(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(6):
        replay(process, 2, index * STEP_NS)
        process.kernel("sample", index * STEP_NS + 20_000, index * STEP_NS + 22_000)
    run = analyzed(tmp_path, builder)
    assert bounds(run)[:5] == tiles(range(6))[:5]
    assert run.work.filter(pl.col("name") == "sample")["step"].to_list()[:5] == [0, 1, 2, 3, 4]


def test_a_warm_up_replay_set_apart_by_other_work_is_no_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    replay(process, 2, -3 * STEP_NS)
    process.kernel("barrier", -2 * STEP_NS, -2 * STEP_NS + 4_000)
    for index in range(5):
        replay(process, 2, index * STEP_NS)
    run = analyzed(tmp_path, builder)
    assert bounds(run) == tiles(range(5))
    assert any("1 graph replay stands apart" in note for note in run.steps.notes)


def test_three_graphs_in_turn_are_one_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(4):
        begin = index * STEP_NS
        for piece in range(3):
            replay(process, 10 + piece, begin + 20_000 * piece, ["gemm"])
            if piece < 2:
                start = begin + 20_000 * piece + 8_000
                process.kernel("attention", start, start + 4_000)
    run = analyzed(tmp_path, builder)
    assert run.steps.method == "graph"
    assert "3 CUDA graph replays a step" in run.steps.source
    begins = [index * STEP_NS for index in range(4)]
    assert bounds(run) == list(zip(begins, [*begins[1:], begins[-1] + 45_000], strict=True))


@pytest.mark.parametrize(
    ("name", "steps"),
    [("tp4_graph_node", 12), ("tp4_slow", 12), ("tp4_symm", 12), ("tp2_graph", 12), ("tp4_fused", 16)],
)
def test_replays_give_the_same_steps_as_ranges(real_trace: Callable[[str], Path], name: str, steps: int) -> None:
    trace = nsysan.open_trace(real_trace(name))
    by_ranges, by_replays = nsysan.analyze(trace), nsysan.analyze(trace, use_nvtx=False)
    assert (by_ranges.steps.method, by_replays.steps.method) == ("nvtx", "graph")
    columns = ["step", "rank", "begin", "finish", "excluded"]
    assert by_replays.windows.select(columns).rows() == by_ranges.windows.select(columns).rows()
    assert by_ranges.windows["step"].n_unique() == steps


# ---- the period of the kernels


def eager_loop(builder: TraceBuilder, *, steps: int, layers: int, ranks: int = 1) -> None:
    """Steps 10 us apart: layers of compute and all-reduce, 5 us each without a pause, and one sampling kernel."""
    length = KERNEL_NS * (2 * layers + 1)
    for rank in range(ranks):
        process = builder.process(1 + rank, device=rank)
        for step in range(steps):
            names = [COMPUTE_KERNEL, ALLREDUCE_KERNEL] * layers + ["sample"]
            for number, name in enumerate(names):
                start = step * (length + 10_000) + KERNEL_NS * number
                process.kernel(name, start, start + KERNEL_NS)


@pytest.mark.parametrize(("steps", "layers"), [(3, 2), (5, 16), (12, 4)])
def test_the_period_is_the_step_and_not_the_layer(tmp_path: Path, steps: int, layers: int) -> None:
    builder = TraceBuilder()
    eager_loop(builder, steps=steps, layers=layers, ranks=2)
    run = analyzed(tmp_path, builder)
    assert run.steps.method == "period"
    length = KERNEL_NS * (2 * layers + 1)
    begins = [step * (length + 10_000) for step in range(steps)]
    expected = list(zip(begins, [*begins[1:], begins[-1] + length], strict=True))
    assert [bounds(run, rank) for rank in range(2)] == [expected] * 2
    assert run.ledger["collectives"].unique().to_list() == [layers]


def layer_loop(builder: TraceBuilder, gaps: list[int], *, rank: int = 0) -> list[int]:
    """Layers of two kernels of 5 us, so long apart (us); the begin of each."""
    process = builder.process(1 + rank, device=rank)
    begins, at = [], 0
    for gap in gaps:
        at += 1_000 * gap
        begins.append(at)
        for name in (COMPUTE_KERNEL, ALLREDUCE_KERNEL):
            process.kernel(name, at, at + KERNEL_NS)
            at += KERNEL_NS
    return begins


def test_steps_of_layers_alone_are_told_by_the_larger_gap_between_them(tmp_path: Path) -> None:
    builder = TraceBuilder()
    # Four layers a step; the capture opens at the last layer of one and closes at the second of another.
    gaps = [1, *[20, 2, 1, 3] * 5, 25, 1]
    begins = layer_loop(builder, gaps)
    layer_loop(builder, gaps, rank=1)
    run = analyzed(tmp_path, builder)
    assert (
        run.steps.source == "the repeating sequence of kernels, 4 repetitions a step by the larger gap before each step"
    )
    heads = begins[1::4]
    assert [bounds(run, rank) for rank in range(2)] == [list(itertools.pairwise(heads))] * 2
    assert run.ledger["collectives"].unique().to_list() == [4]


@pytest.mark.parametrize(
    "gaps",
    [
        pytest.param([1, 1, 1, 1] * 6, id="none stands out"),
        pytest.param([4, 2, 2, 2] * 6, id="twice the others"),
        pytest.param([20, 1, 1, 1] * 3 + [20, 1, 1] + [20, 1, 1, 1] * 2, id="once sooner"),
        pytest.param([20, 1, 1, 1] * 3 + [20, 1, 1, 30] + [20, 1, 1, 1] * 2, id="one more"),
        pytest.param([20, 1, 1, 1] * 3 + [1, 1, 1, 1] * 3, id="not throughout"),
        pytest.param([20, 1, 1, 1] * 2 + [20], id="too few"),
    ],
)
def test_larger_gaps_that_do_not_recur_evenly_part_no_steps(tmp_path: Path, gaps: list[int]) -> None:
    builder = TraceBuilder()
    begins = layer_loop(builder, gaps)
    run = analyzed(tmp_path, builder)
    assert run.steps.source == "the repeating sequence of kernels"
    assert run.windows["begin"].to_list() == begins


def parted_layers(builder: TraceBuilder, steps: int, *, first: int = 4, last: int = 4) -> list[int]:
    """Steps of 4 layers of two kernels and, after them, work that is never the same twice; when each step begins.

    The kernels follow each other but for 3 us before each step's first layer. first, last: layers of the first and the
    last step that the capture holds.
    """
    process = builder.process(1)
    begins, at = [], 0
    for step in range(steps):
        at += 3_000
        begins.append(at)
        layers = first if step == 0 else last if step == steps - 1 else 4
        rest = [] if step == steps - 1 and last < 4 else [f"attention_{step}", f"sample_{step}"]
        for name in [COMPUTE_KERNEL, ALLREDUCE_KERNEL] * layers + rest:
            process.kernel(name, at, at + KERNEL_NS)
            at += KERNEL_NS
    return begins


@pytest.mark.parametrize(("first", "last"), [(4, 4), (2, 4), (4, 1), (3, 2)])
def test_layers_with_holes_of_other_work_between_their_runs_are_no_steps(tmp_path: Path, first: int, last: int) -> None:
    builder = TraceBuilder()
    begins = parted_layers(builder, 7, first=first, last=last)
    run = analyzed(tmp_path, builder)
    assert run.steps.source.endswith("4 repetitions a step by the other work before each step")
    ends = [*begins[1:], begins[-1] + 10 * KERNEL_NS]
    whole = list(zip(begins, ends, strict=True))[0 if first == 4 else 1 : 7 if last == 4 else 6]
    # Nothing tells where the first step began: the work before it is not there to see.
    assert bounds(run, 0) in (whole, whole[1:])
    assert run.ledger["collectives"].unique().to_list() == [4]


def test_a_prefill_between_two_runs_of_steps_makes_no_step_of_them(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    at = 0
    for step in range(12):
        names = [COMPUTE_KERNEL, ALLREDUCE_KERNEL, *(["prefill"] if step in (3, 8) else [])]
        for name in names:
            process.kernel(name, at, at + KERNEL_NS)
            at += KERNEL_NS
        at += 2_000
    assert analyzed(tmp_path, builder).windows["step"].n_unique() == 12


@pytest.mark.parametrize("kind", [1, 2])
def test_repetitions_with_data_of_their_own_are_steps_whatever_gaps_there_are(tmp_path: Path, kind: int) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    begins, at = [], 0
    for step in range(12):
        # Two loaders take turns: every second batch is there at once.
        at += 2_000 if step % 2 else 200_000
        process.memcpy(at - 1_500, at - 500, kind=kind)
        begins.append(at)
        for name in (COMPUTE_KERNEL, "norm"):
            process.kernel(name, at, at + KERNEL_NS)
            at += KERNEL_NS
    run = analyzed(tmp_path, builder)
    assert run.steps.source == "the repeating sequence of kernels"
    assert run.windows["begin"].to_list() == begins


def test_copies_that_nobody_asked_for_make_no_other_work(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(8):
        at = 50_000 * step
        process.nvtx(f"decode_step_{step}", at - 15_000, at - 5_000)
        process.kernel(COMPUTE_KERNEL, at, at + 10_000)
        # Migrations of unified memory, as they come.
        for place in range(step % 3):
            process.memcpy(at + 20_000 + 2_000 * place, at + 21_000 + 2_000 * place, kind=1, launch=None)
    run = analyzed(tmp_path, builder)
    assert [population.id for population in run.steps.populations] == ["decode"]
    assert [population.steps for population in run.steps.populations] == [tuple(range(8))]


def test_ranks_that_disagree_on_the_larger_gaps_keep_the_repetition(tmp_path: Path) -> None:
    builder = TraceBuilder()
    layer_loop(builder, [20, 1, 1, 1] * 6)
    layer_loop(builder, [7, 5, 6, 5] * 6, rank=1)
    run = analyzed(tmp_path, builder)
    assert run.windows["step"].n_unique() == 24


def test_layers_of_one_rank_are_parted_like_the_steps_that_another_repeats(tmp_path: Path) -> None:
    # The second rank samples after its four layers, so that what it repeats is a step.
    builder = TraceBuilder()
    begins = layer_loop(builder, [20, 1, 1, 1] * 6)
    process = builder.process(2, device=1)
    for head in begins[::4]:
        for number, name in enumerate([COMPUTE_KERNEL, ALLREDUCE_KERNEL] * 4 + ["sample"]):
            process.kernel(name, head + KERNEL_NS * number, head + KERNEL_NS * (number + 1))
    run = analyzed(tmp_path, builder)
    assert run.windows["step"].n_unique() == 6
    assert [begin for begin, _ in bounds(run)] == begins[::4]


def test_an_eager_trace_has_no_larger_gap_between_its_steps(real_trace: Callable[[str], Path]) -> None:
    run = nsysan.analyze(nsysan.open_trace(real_trace("tp4_eager")), use_nvtx=False)
    assert run.steps.source == "the repeating sequence of kernels"


def test_a_capture_that_opens_within_a_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for number, kernel in enumerate(KERNELS[1:]):
        start = -STEP_NS + KERNEL_NS * (number + 1)
        process.kernel(kernel, start, start + KERNEL_NS)
    for index in range(5):
        run_step(process, index, None)
    run = analyzed(tmp_path, builder)
    assert run.steps.method == "period"
    assert bounds(run) == tiles(range(5))


def test_ranges_that_no_engine_knows_leave_the_period(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(4):
        run_step(process, index, f"iteration {index}")
    run = analyzed(tmp_path, builder)
    assert run.steps.method == "period"
    assert bounds(run) == tiles(range(4))


def test_without_any_repetition_the_capture_is_one_window(tmp_path: Path) -> None:
    builder = TraceBuilder()
    run_step(builder.process(1), 0, None, kernels=["a", "b", "c", "d"])
    run = analyzed(tmp_path, builder)
    assert run.steps.method == "window"
    assert bounds(run) == tiles([0], kernels=4)
    assert any("--steps" in note for note in run.steps.notes)


# ---- the same step on every rank, and which steps count


def test_ranks_that_miss_a_named_step_keep_the_numbers_of_the_others(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(10 + rank, device=rank)
        for index in range(5):
            if (rank, index) != (1, 2):
                run_step(process, index, f"decode_step_{index}", kernels=MEETING)
    run = analyzed(tmp_path, builder)
    assert run.windows.filter(pl.col("rank") == 1)["step"].to_list() == [0, 1, 3, 4]
    assert excluded(run)[2] == "seen on 1 of 2 ranks"


def test_steps_without_numbers_are_told_apart_by_time(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(10 + rank, device=rank)
        for index in range(rank, 6):
            run_step(process, index, "scheduler.run_batch", kernels=MEETING)
    run = analyzed(tmp_path, builder)
    assert run.windows.filter(pl.col("rank") == 1)["step"].to_list() == [1, 2, 3, 4, 5]
    assert bounds(run, 1) == tiles(range(1, 6))
    assert excluded(run)[0] == "seen on 1 of 2 ranks"


def test_as_many_steps_on_every_rank_need_not_be_the_same_steps(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(10 + rank, device=rank)
        for index in range(rank, 6 + rank):
            run_step(process, index, "scheduler.run_batch", kernels=["gemm", ALLREDUCE_KERNEL])
    run = analyzed(tmp_path, builder)
    assert bounds(run, 0) == tiles(range(6), kernels=2)
    assert bounds(run, 1) == tiles(range(1, 7), kernels=2)[:5]
    assert run.windows.filter(pl.col("rank") == 1)["step"].to_list() == [1, 2, 3, 4, 5]
    assert run.collectives.filter(pl.col("step") > 0)["verdict"].unique().to_list() == ["matched"]


def test_a_step_of_other_work_is_left_out(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(7):
        kernels = ["prefill_gemm", "flash_fwd", "flash_fwd", "norm"] if index == 4 else KERNELS
        run_step(process, index, f"step_{index}", kernels=kernels)
    run = analyzed(tmp_path, builder)
    assert excluded(run) == {
        0: "start-up: first of the capture",
        4: "different work: 4 operations (usually 3), 2 of flash_fwd (usually 0), 0 of attention (usually 1), "
        "and 2 more kernels",
    }
    assert run.steady_steps == [1, 2, 3, 5, 6]


def test_a_step_of_as_many_operations_is_told_by_its_kernel_and_message_size(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for index in range(6):
        at = 1_000_000 + 100_000 * index
        other = index == 3
        for number in range(3):
            start = at + 10_000 * number
            call = "ncclAllGather" if other else "ncclAllReduce"
            process.nccl(call, start - 50_000, start - 45_000, bytes=65_536 if other else 8_192, comm=7)
            kernel = ALLREDUCE_KERNEL.replace("AllReduce_Sum_bf16", "AllGather") if other else ALLREDUCE_KERNEL
            process.kernel(kernel, start, start + 5_000, launch=start - 48_000)
        process.nvtx(f"step_{index}", at - 60_000, at - 20_000)
    run = analyzed(tmp_path, builder)
    assert excluded(run)[3] == (
        "different work: 3 of ncclDevKernel_AllGather_RING_LL (usually 0), 0 of "
        "ncclDevKernel_AllReduce_Sum_bf16_RING_LL (usually 3), messages of 65536 bytes (usually 8192 bytes)"
    )


def test_a_missing_collective_makes_a_step_different_whatever_its_share(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    kernels = ["gemm"] * 14 + [ALLREDUCE_KERNEL]
    for index in range(6):
        run_step(process, index, f"step_{index}", kernels=kernels[:-1] if index == 3 else kernels)
    assert set(excluded(analyzed(tmp_path, builder))) == {0, 3}


def test_a_slow_step_is_a_decode_step_all_the_same(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    at = 0
    for index, period in enumerate([STEP_NS, STEP_NS, STEP_NS, 5 * STEP_NS, STEP_NS, STEP_NS]):
        process.nvtx(f"step_{index}", at - 12_000, at - 5_000)
        process.kernel("gemm", at, at + KERNEL_NS)
        at += period
    run = analyzed(tmp_path, builder)
    assert set(excluded(run)) == {0}


def test_steps_that_are_still_slow_at_the_start_are_left_out(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    at = 0
    for index, period in enumerate([9, 3, 2, 1, 1, 1, 1, 1, 1]):
        process.nvtx(f"step_{index}", at - 12_000, at - 5_000)
        process.kernel("gemm", at, at + KERNEL_NS)
        at += period * STEP_NS
    assert excluded(analyzed(tmp_path, builder)) == {
        0: "start-up: first of the capture",
        1: "start-up: still slow after the first",
        2: "start-up: still slow after the first",
    }
