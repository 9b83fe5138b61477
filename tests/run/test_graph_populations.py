"""Kinds of steps where no range tells them, but steps replay CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nsysan
from nsysan.run.run import Run
from tests.tracebuilder import Process, TraceBuilder

GAP = 10_000
DECODE = ("attention", "mlp")


def replayed(process: Process, graph: int, begin: int, each: int) -> int:
    """One replay of a graph of two kernels; its end."""
    launch = process.graph_launch(begin - 9_000)
    for number, name in enumerate(DECODE):
        start, node = begin + each * number, (graph << 32) + number
        process.kernel(name, start, start + each, launch=None, correlation=launch, graph_node=node)
    return begin + 2 * each


def eager(process: Process, begin: int, each: int, launch: int) -> int:
    """Two kernels that no graph holds; the end of the last."""
    for number, name in enumerate(("flash_prefill", "large_gemm")):
        called = launch + 1_000 * number
        process.kernel(name, begin + each * number, begin + each * (number + 1), launch=(called, called + 500))
    return begin + 2 * each


def loop(
    tmp_path: Path, steps: str, work: Callable[[Process, int, str, int, int], int], *, ranges: bool = False
) -> Run:
    """Two ranks, a letter a step. work: of a process, its rank, the letter, its place and when it begins: the end."""
    builder = TraceBuilder()
    for rank in range(2):
        process, at = builder.process(100 + rank, device=rank), 1_000_000
        for place, letter in enumerate(steps):
            if ranges:
                process.nvtx(f"decode_step_{place}", at - 9_500, at - 5_000)
            at = work(process, rank, letter, place, at) + GAP
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))


def populations(run: Run, steps: str) -> dict[str, str]:
    """The letters of each population's steps, the headline first."""
    return {one.id: "".join(sorted({steps[step] for step in one.steps})) for one in run.steps.populations}


def test_a_replay_of_another_graph_is_another_kind_of_decode(tmp_path: Path) -> None:
    # 12 of 130, 12 of 50 and 16 of 40 us, in the same kernels: the first takes most time though it has not most steps.
    steps = ("a" * 3 + "b" * 3 + "c" * 4) * 4
    each = {"a": 60_000, "b": 20_000, "c": 15_000}

    def work(process: Process, rank: int, letter: str, place: int, at: int) -> int:
        # Ids of graphs are of a rank's own, and here all graphs are instantiated again halfway.
        graph = 2 + 10 * rank + "abc".index(letter) + (100 if 2 * place >= len(steps) else 0)
        return replayed(process, graph, at, each[letter])

    run = loop(tmp_path, steps, work)
    assert run.steps.method == "graph"
    assert populations(run, steps) == {"decode.2": "a", "decode": "c", "decode.3": "b"}
    assert [len(one.steps) for one in run.steps.populations] == [12, 16, 12]
    assert [one.why for one in run.steps.populations] == ["", *["different work: another CUDA graph"] * 2]


def test_a_graph_made_anew_for_each_step_tells_no_kinds_apart(tmp_path: Path) -> None:
    steps = "a" * 12
    # Each replay takes 15 % longer or less than most, in turn.
    run = loop(tmp_path, steps, lambda p, _, _l, n, at: replayed(p, 2 + n, at, (20_000, 23_000, 17_000)[n % 3]))
    assert [len(one.steps) for one in run.steps.populations] == [12]


def test_a_long_step_without_a_replay_among_replays_is_prefill(tmp_path: Path) -> None:
    # Other kernels than those of decoding, so that no usual of their own tells that they are long. Of 40 us usually:
    # 120 without a replay, 120 beside one; not so 50 without one, as of a batch without a graph, nor 20 beside one.
    kinds = {"a": "decode", "p": "prefill", "m": "mixed", "e": "decode", "s": "decode"}
    longer = {"p": 60_000, "m": 60_000, "e": 25_000, "s": 10_000}
    steps = "aaapaaaapaaamaaaaesaaaa"

    def work(process: Process, _rank: int, letter: str, _place: int, at: int) -> int:
        end = at if letter in "pe" else replayed(process, 2, at, 20_000)
        return eager(process, end, longer[letter], at - 7_500) if letter in longer else end

    run = loop(tmp_path, steps, work, ranges=True)
    assert run.steps.method == "nvtx"
    assert {steps[step]: one.kind.value for one in run.steps.populations for step in one.steps} == kinds
    assert run.steps.populations[0].steps[0] == 0


def test_prefill_between_replays_is_in_no_decode_step(tmp_path: Path) -> None:
    steps = "".join("a" * a + "b" * b for a, b in ((7, 8), (12, 9), (9, 14), (15, 12), (10, 13), (8, 17)))
    last = [step for step, letter in enumerate(steps) if letter == "b" and steps[step + 1 : step + 2] == "a"]

    def work(process: Process, _rank: int, letter: str, place: int, at: int) -> int:
        end = replayed(process, 2 + (letter == "b"), at, 20_000 if letter == "a" else 12_000)
        return eager(process, end + GAP, 400_000, end) if place in last else end

    run = loop(tmp_path, steps, work)
    assert run.steps.method == "graph"
    found = {one.id: one.steps for one in run.steps.populations}
    assert found["mixed"] == tuple(last)
    assert {id_: {steps[step] for step in own} for id_, own in found.items() if id_ != "mixed"} == {
        "decode": {"b"},
        "decode.2": {"a"},
    }
