"""`nsysan compare`: noise is called noise, a planted change is not, and more GPUs are told what they cost."""

from __future__ import annotations

import json
import math
import random
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nsysan
from nsysan import ExitCode
from nsysan.compare.as_markdown import to_markdown
from nsysan.compare.as_page import to_html
from nsysan.compare.as_text import to_text
from nsysan.compare.changes import compare
from nsysan.compare.compared_run import compared_run
from nsysan.compare.comparison import ComparedRun, Comparison, Figure
from nsysan.compare.families import match_families
from nsysan.compare.scaling_sentences import lost_sentence, replicas_sentence, widening_sentence
from nsysan.metrics import change_rule
from nsysan.metrics.change_rule import ChangeVerdict
from nsysan.metrics.significance import holm, mann_whitney
from nsysan.run.run import Run
from tests.clitools import graph_level_trace, run_cli
from tests.documents import document_of
from tests.page.test_html import HOSTILE, Page, strings
from tests.pipelines import pipeline
from tests.report.test_markdown import HOSTILE as MARKUP
from tests.report.test_markdown import rendered
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]
CHANGED, SMALL, NOISE, FEW, INCOMPARABLE = ChangeVerdict
Compared = Callable[[str], ComparedRun]
SYMMETRIC = "one_shot_all_reduce_kernel"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


EAGER = (
    "kernels are launched one by one, and tracing each launch inflates host time (threefold in a measured case): idle "
    "time, and waiting caused by a late host, are shorter without the profiler"
)


def side(path: Path, label: str = "A", batch: int = 1) -> ComparedRun:
    return compared_run(label, nsysan.analyze(nsysan.open_trace(path)), nsysan.__version__, batch)


def loop(
    path: Path,
    *,
    steps: int = 12,
    ranks: int = 4,
    compute_ns: int = 10_000,
    wire_ns: int = 8_000,
    late: dict[int, int] | None = None,
    message_bytes: int | None = 8192,
    gpu: str | None = None,
) -> Path:
    builder = TraceBuilder()
    for rank in range(ranks if gpu else 0):
        builder.gpu(rank, name=gpu or "")
    decode_loop(
        builder,
        steps=steps,
        ranks=ranks,
        compute_ns=compute_ns,
        wire_ns=wire_ns,
        late=late,
        message_bytes=message_bytes,
    )
    return builder.write(path)


def jittered(path: Path, rng: random.Random, *, jitter: float, slower: float = 1.0, steps: int = 14) -> Path:
    """Two ranks that compute for 100 us and reduce for 40 us in each of two layers, give or take `jitter`."""
    builder = TraceBuilder()
    processes = [builder.process(1000 + rank, device=rank) for rank in range(2)]
    time = 1_000_000
    for step in range(steps):
        for process in processes:
            process.nvtx(f"decode_step_{step}", time - 12_000, time + 200_000)
        for _ in range(2):
            computed = [time + round(100_000 * slower * (1 + jitter * rng.uniform(-1, 1))) for _ in processes]
            end = max(computed) + round(40_000 * (1 + jitter * rng.uniform(-1, 1)))
            for process, arrived in zip(processes, computed, strict=True):
                process.kernel(COMPUTE_KERNEL, time, arrived)
                process.kernel("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", arrived, end)
            time = end
        time += 5_000
    return builder.write(path)


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {figure.id: figure.changes[0].verdict for figure in comparison.figures}


def of_fixtures(compared: Compared, *names: str) -> Comparison:
    sides = [replace(compared(name), label="ABC"[i]) for i, name in enumerate(names)]
    return compare(sides, nsysan.__version__)


# ---- the test of significance


def test_rank_test_by_hand() -> None:
    # No pair in order: U = 0, mean 18, variance 6 * 6 * 13 / 12 = 39; (18 - 0.5) / sqrt(39) = 2.802.
    low, high = np.arange(6.0), np.arange(6.0) + 10
    assert mann_whitney(low, high) == pytest.approx(math.erfc(17.5 / math.sqrt(39) / math.sqrt(2)))
    assert mann_whitney(low, high) == mann_whitney(high, low)
    assert mann_whitney(low, low) == 1.0
    assert mann_whitney(np.ones(9), np.ones(9)) == 1.0
    assert mann_whitney(np.zeros(0), low) == 1.0


@pytest.mark.parametrize("count", [11, 23])
def test_rank_test_is_wrong_as_rarely_as_it_says(count: int) -> None:
    rng = np.random.default_rng(7)
    alarms = [mann_whitney(rng.normal(size=count), rng.normal(size=count)) < 0.01 for _ in range(4_000)]
    assert np.mean(alarms) < 0.013


def test_correction_for_asking_often_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


# ---- noise and change


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), jitter=st.floats(0, 0.3), steps=st.integers(3, 16))
def test_a_trace_against_itself_differs_in_nothing(tmp_path: Path, seed: int, jitter: float, steps: int) -> None:
    path = jittered(tmp_path / "t.sqlite", random.Random(seed), jitter=jitter, steps=steps)
    run = nsysan.analyze(nsysan.open_trace(path))
    one = compared_run("A", run, nsysan.__version__)
    comparison = compare([one, replace(one, label="B")], nsysan.__version__)
    # Of two steps nobody can be told late.
    late = next(row.status for row in one.report.quality if row.id == "straggler")
    figures = [figure for figure in comparison.figures if figure.id != "skew.caused" or late == "ok"]
    told = {change.verdict for figure in figures for change in figure.changes}
    assert told <= {NOISE, FEW}
    assert all(change.difference == 0 for figure in figures for change in figure.changes)
    assert "the same within noise" in to_text(comparison) or "nothing is told from noise" in to_text(comparison)


def test_two_captures_of_one_workload_differ_by_noise(tmp_path: Path) -> None:
    rng = random.Random(0)
    captures = [side(jittered(tmp_path / f"{number}.sqlite", rng, jitter=0.05)) for number in range(13)]
    # Each with the one before: a dozen comparisons.
    for before, after in pairwise(captures):
        found = verdicts(compare([before, replace(after, label="B")], nsysan.__version__))
        assert CHANGED not in found.values()


@pytest.mark.parametrize("slower", [1.03, 0.97])
def test_a_planted_change_of_three_per_cent_is_found(tmp_path: Path, slower: float) -> None:
    rng = random.Random(3)
    before = jittered(tmp_path / "a.sqlite", rng, jitter=0.005)
    after = jittered(tmp_path / "b.sqlite", rng, jitter=0.005, slower=slower)
    comparison = compare([side(before), side(after, "B")], nsysan.__version__)
    found = verdicts(comparison)
    assert found["ledger.period"] == found["ledger.compute"] == CHANGED
    assert found["ledger.wire"] == found["ledger.idle"] == NOISE
    change = comparison.figure("ledger.compute").changes[0]
    assert change.percent == pytest.approx(100 * (slower - 1), abs=0.5)
    assert ("slower" if slower > 1 else "faster") in to_text(comparison)


def test_few_steps_tell_nothing(tmp_path: Path) -> None:
    paths = [loop(tmp_path / f"{ns}.sqlite", steps=5, compute_ns=ns) for ns in (10_000, 20_000)]
    comparison = compare([side(paths[0]), side(paths[1], "B")], nsysan.__version__)
    assert set(verdicts(comparison).values()) == {FEW}
    assert "fewer than 8 steady steps" in to_text(comparison)


def test_figures_of_the_paper_loop(tmp_path: Path) -> None:
    """Period 38 us against 2 * (10 + 3 + 12) + 2 = 52: compute 20, wire 16 to 24, wait 0 to 6 on three of four."""
    a = loop(tmp_path / "a.sqlite")
    b = loop(tmp_path / "b.sqlite", wire_ns=12_000, late={1: 3_000})
    comparison = compare([side(a), side(b, "B", batch=4)], nsysan.__version__)

    def row(id_: str) -> tuple[Any, ...]:
        figure = comparison.figure(id_)
        change = figure.changes[0]
        return (*figure.values, change.difference, change.verdict)

    assert row("ledger.period") == (38_000, 52_000, 14_000, CHANGED)
    assert row("ledger.compute") == (20_000, 20_000, 0, NOISE)
    assert row("ledger.wire") == (16_000, 24_000, 8_000, CHANGED)
    assert row("ledger.wait") == (0, 6_000, 6_000, CHANGED)
    assert row("ledger.idle") == (2_000, 2_000, 0, NOISE)
    assert row("skew.caused") == (0, 6_000, 6_000, CHANGED)
    assert row("idle.between_steps") == (2_000, 2_000, 0, NOISE)
    assert row("whatif.no_skew") == (38_000, 46_000, 8_000, CHANGED)
    assert row("collective.0.per_call") == (8_000, 12_000, 4_000, CHANGED)
    assert row("collective.0.per_step") == (16_000, 24_000, 8_000, CHANGED)
    assert comparison.figure("ledger.wait").changes[0].percent is None
    tokens = comparison.figure("throughput.tokens").values
    # The last step, which is without the 2 us to a next one, makes no mean shorter.
    assert tokens == [pytest.approx(1e9 / 38_000), pytest.approx(4e9 / 52_000)]
    assert row("throughput.mean") == (38_000, 52_000, 14_000, CHANGED)
    assert comparison.scaling is None
    batch, link, eager = comparison.notes
    assert (batch, eager) == ("not the same batch: A 1, B 4", f"A, B: {EAGER}")
    assert "what B ran over cannot be told" in link


# ---- scaling


def widths(folder: Path) -> Comparison:
    """TP=1: 2 * 40 + 2 = 82 us. TP=2: 2 * (22 + 8) + 2 = 62. TP=4: 2 * (12 + 12) + 2 = 50."""
    builder = TraceBuilder()
    process = builder.process(1000)
    for step in range(12):
        begin = 1_000_000 + 82_000 * step
        process.nvtx(f"decode_step_{step}", begin - 11_000, begin + 70_000)
        process.kernel(COMPUTE_KERNEL, begin, begin + 80_000)
    one = builder.write(folder / "tp1.sqlite")
    two = loop(folder / "tp2.sqlite", ranks=2, compute_ns=22_000, wire_ns=8_000)
    four = loop(folder / "tp4.sqlite", ranks=4, compute_ns=12_000, wire_ns=12_000)
    return compare([side(four), side(one, "B"), side(two, "C")], nsysan.__version__)


def test_scaling_on_paper(tmp_path: Path) -> None:
    comparison = widths(tmp_path)
    found = comparison.scaling
    assert found is not None
    assert [(w.label, w.ranks, w.period) for w in found.widths] == [
        ("B", 1, 82_000),
        ("C", 2, 62_000),
        ("A", 4, 50_000),
    ]
    assert [w.speed_up for w in found.widths] == pytest.approx([1, 82 / 62, 82 / 50])
    assert [w.efficiency for w in found.widths] == pytest.approx([1, 82 / 124, 82 / 200])
    mean = [1e9 / period for period in (82_000, 62_000, 50_000)]
    per_gpu = [mean[0], mean[1] / 2, mean[2] / 4]
    assert [w.tokens_per_second_per_gpu for w in found.widths] == pytest.approx(per_gpu)
    first, second = found.steps
    assert first.changed == {"compute": -36_000, "wire": 16_000, "idle": 0}
    assert second.changed == {"compute": -20_000, "wire": 8_000, "idle": 0}
    # Half of the narrower run's is free; what is beyond is lost, and sums to what the period lacks.
    assert second.lost == {"compute": 2_000, "wire": 16_000, "idle": 1_000}
    assert sum(second.lost.values()) == second.wide.period - second.ideal == 50_000 - 31_000
    assert second.replicas == pytest.approx(per_gpu[1] / per_gpu[2])
    assert "the second pair of GPUs bought 20.0 µs (compute -20.0) and cost 8.0 µs (wire +8.0)" in widening_sentence(
        second
    )
    assert "19.0 µs above that are wire 16.0 µs (84.2 %), compute" in lost_sentence(second)
    assert "2 replicas of TP=2 serve 32,258 tokens/s (8,065 a GPU) against 20,000 (5,000 a GPU)" in replicas_sentence(
        second
    )
    assert "1.61x as many, and each token takes 12.0 µs longer" in replicas_sentence(second)
    # One rank does not communicate: no kernel to compare with, and the wire is all new.
    alone = comparison.figure("collective.0.per_call").changes[0]
    assert (alone.verdict, alone.reason) == (INCOMPARABLE, "B has no such all_reduce")
    assert comparison.figure("ledger.wire").values == [24_000, 0, 16_000]


@pytest.mark.parametrize(
    ("narrow", "wide", "words"), [(1, 2, "second GPU"), (2, 3, "1 more GPU "), (3, 5, "2 more GPUs")]
)
def test_what_is_bought_has_a_name(tmp_path: Path, narrow: int, wide: int, words: str) -> None:
    a, b = (loop(tmp_path / f"{n}.sqlite", ranks=n) for n in (narrow, wide))
    found = compare([side(a), side(b, "B")], nsysan.__version__).scaling
    assert found is not None
    assert words in widening_sentence(found.steps[0])
    assert "1.00x as fast" in widening_sentence(found.steps[0])


# ---- real traces


def test_two_gpus_against_four(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp2_graph", "tp4_graph_node")
    shown = {
        name: tuple(round((ns or 0) / 1e6, 3) for ns in comparison.figure(f"ledger.{name}").values)
        for name in ("period", "compute", "wire")
    }
    assert shown == {"period": (2.247, 1.799), "compute": (1.857, 1.301), "wire": (0.197, 0.285)}
    assert {verdicts(comparison)[f"ledger.{name}"] for name in shown} == {CHANGED}
    text = to_text(comparison)
    assert "the second pair of GPUs bought 556.4 µs (compute -556.4) and cost 108.1 µs (wire +88.0" in text
    assert "1.25x as fast, efficiency 62.5 %" in text
    assert "2 replicas of TP=2 serve 890 tokens/s (222 a GPU) against 556 (139 a GPU)" in text
    assert comparison.scaling is not None
    (step,) = comparison.scaling.steps
    assert sum(step.lost.values()) == pytest.approx(step.wide.period - step.ideal, rel=0.01)


@pytest.mark.parametrize("name", ["tp2_graph", "tp4_graph_node", "tp4_eager", "tp4_fused", "tp4_symm", "tp4_late1"])
def test_a_real_trace_against_itself(compared: Compared, name: str) -> None:
    assert set(verdicts(of_fixtures(compared, name, name)).values()) == {NOISE}


def test_communication_by_another_library_has_not_vanished(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp4_graph_node", "tp4_symm")
    (family,) = comparison.families
    nccl, symmetric = family.parts
    assert nccl is not None
    assert symmetric is not None
    assert (nccl.kernels, nccl.sizes) == (["ncclDevKernel_AllReduce_Sum_bf16_RING_LL"], [8192])
    assert (symmetric.kernels, symmetric.sizes) == (["one_shot_all_reduce_kernel"], [None])
    wire = comparison.figure("collective.0.per_step")
    assert wire.values == pytest.approx([290_145, 236_402], rel=0.001)
    assert wire.changes[0].percent == pytest.approx(-18.5, abs=0.1)
    for figure in comparison.figures:
        percent = figure.changes[0].percent
        assert percent is None or percent > -70, figure.id


def test_communication_fused_with_compute_has_not_vanished(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp4_graph_node", "tp4_fused")
    for line, where in (("wire", "in B communication is in the line fused"), ("fused", "in A communication is in")):
        change = comparison.figure(f"ledger.{line}").changes[0]
        assert (change.verdict, change.percent) == (INCOMPARABLE, None)
        assert where in str(change.reason)
    both = comparison.figure("ledger.transfer")
    assert all(both.values)
    # They are of models of 16 and 8 layers, which nothing makes like for like.
    assert both.changes[0].verdict == INCOMPARABLE
    assert "A 32 all_reduce, B 16" in comparison.refused["B"]


def test_kernels_that_the_catalogue_does_not_know_are_not_an_end_of_communication(tmp_path: Path) -> None:
    known = loop(tmp_path / "a.sqlite")
    unknown = loop(tmp_path / "b.sqlite")
    with closing(sqlite3.connect(unknown)) as connection, connection:
        connection.execute("UPDATE StringIds SET value = 'my_allreduce' WHERE value LIKE 'ncclDevKernel%'")
    comparison = compare([side(known), side(unknown, "B")], nsysan.__version__)
    change = comparison.figure("ledger.wire").changes[0]
    assert (change.verdict, change.percent) == (INCOMPARABLE, None)
    assert "no communication kernel of the catalogue runs in B, which has 4 ranks" in str(change.reason)


@pytest.mark.parametrize(
    ("other", "lines", "reason"),
    [
        ("tp4_graph_graph", {"compute", "wait", "wire", "comm", "idle", "graph"}, "--cuda-graph-trace=node"),
        ("rank_0", {"wait", "wire", "comm_unsplit"}, "only one rank of the communicator is in the trace"),
    ],
)
def test_what_one_side_does_not_tell_is_not_compared(
    compared: Compared, other: str, lines: set[str], reason: str
) -> None:
    comparison = of_fixtures(compared, "tp4_graph_node", other)
    found = {figure.id.removeprefix("ledger.") for figure in comparison.group("ledger") if is_null(figure)}
    assert found == lines
    assert reason in str(comparison.figure("ledger.wire").changes[0].reason)
    assert reason in str(comparison.figure("collective.0.per_call").changes[0].reason)
    assert not is_null(comparison.figure("ledger.period"))
    assert reason in to_text(comparison)
    assert reason in to_markdown(comparison)


def is_null(figure: Figure) -> bool:
    return figure.changes[0].verdict == INCOMPARABLE


# ---- collectives side by side


NCCL = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL"
GATHER = "ncclDevKernel_AllGather_RING_LL"
Layers = tuple[tuple[str, int | None], ...]
Shown = list[tuple[str, bool, list[float | None]]]


def families_of(folder: Path, *layers: Layers) -> tuple[Shown, Comparison]:
    """Two ranks that make these calls in every step, a tuple a side: kernel and bytes, None for no payload."""
    sides = []
    for number, of_side in enumerate(layers):
        builder = TraceBuilder()
        ranks = [builder.process(1000 + rank, device=rank) for rank in range(2)]
        for step in range(10):
            begin = 1_000_000 + step * 200_000
            for process in ranks:
                process.nvtx(f"decode_step_{step}", begin - 30_000, begin + 90_000)
                for layer, (kernel, bytes_) in enumerate(of_side):
                    start = begin + 20_000 * layer
                    process.kernel(COMPUTE_KERNEL, start, start + 10_000, launch=start - 20_000)
                    call = "ncclAllGather" if kernel == GATHER else "ncclAllReduce"
                    if bytes_ is not None:
                        process.nccl(call, start - 15_000, start - 11_000, comm=0x1234, bytes=bytes_)
                    process.kernel(kernel, start + 10_000, start + 18_000, launch=start - 14_000)
        sides.append(side(builder.write(folder / f"{number}.sqlite"), "ABC"[number]))
    comparison = compare(sides, nsysan.__version__)
    shown = [
        (family.title, family.same, [None if part is None else part.calls for part in family.parts])
        for family in comparison.families
    ]
    return shown, comparison


def test_calls_of_a_size_that_all_have_are_a_family(tmp_path: Path) -> None:
    shown, comparison = families_of(
        tmp_path, ((NCCL, 8192), (NCCL, 8192), (NCCL, 4096)), ((NCCL, 4096), (NCCL, 8192), (GATHER, 512))
    )
    assert shown == [
        ("all_gather of 512 B", True, [None, 1]),
        ("all_reduce of 4 KiB", True, [1, 1]),
        ("all_reduce of 8 KiB", True, [2, 1]),
    ]
    change = comparison.figure("collective.0.per_step").changes[0]
    assert (change.verdict, change.reason, change.percent) == (INCOMPARABLE, "A has no such all_gather", None)
    assert comparison.notes == ["calls a step differ: all_reduce of 8 KiB: A 2, B 1", f"A, B: {EAGER}"]


def test_unknown_sizes_meet_what_is_left_of_their_kind(tmp_path: Path) -> None:
    shown, _ = families_of(
        tmp_path, ((NCCL, 8192), (NCCL, 4096)), ((SYMMETRIC, None), (NCCL, 4096)), ((NCCL, 4096), (SYMMETRIC, None))
    )
    assert shown == [
        ("all_reduce of 4 KiB", True, [1, 1, 1]),
        ("all_reduce of 8 KiB or unknown size", False, [1, 1, 1]),
    ]


def test_other_sizes_are_compared_with_a_warning(tmp_path: Path) -> None:
    shown, comparison = families_of(tmp_path, ((NCCL, 8192),), ((NCCL, 262_144),))
    assert shown == [("all_reduce of 8 KiB, 256 KiB", False, [1, 1])]
    assert comparison.notes[0] == "sizes differ, so these are not like for like: all_reduce of 8 KiB, 256 KiB"


@pytest.mark.parametrize(
    ("members", "title"),
    [
        ([2, 1], ["all_reduce of 8 KiB", "all_reduce of 8 KiB within 1 rank"]),
        ([4, 2], ["all_reduce of 8 KiB", "all_reduce of 8 KiB within 2 ranks"]),
        ([2, None], ["all_reduce of 8 KiB", "all_reduce of 8 KiB within an unknown number of ranks"]),
        ([None], ["all_reduce of 8 KiB"]),
    ],
)
def test_groups_of_ranks_have_a_name(tmp_path: Path, members: list[int | None], title: list[str]) -> None:
    whole = side(loop(tmp_path / "a.sqlite", ranks=2, steps=10))
    groups = pl.concat([whole.calls.with_columns(members=pl.lit(n, pl.Int64)) for n in members])
    grouped = replace(whole, calls=groups)
    assert [family.title for family in match_families([grouped, grouped])] == title


# ---- the link

#: ns of all-reduces of 8 KiB over 4 ranks, as data/links.toml has them for NVLink 4 and with NCCL_P2P_DISABLE=1,
#: and one between the two.
NVLINK, HOST_MEMORY, BETWEEN = 8_900, 14_800, 11_900


def two_links(folder: Path, *wires: int, message_bytes: int = 8192) -> Comparison:
    sides = [
        side(loop(folder / f"{n}.sqlite", wire_ns=ns, message_bytes=message_bytes), "ABC"[n])
        for n, ns in enumerate(wires)
    ]
    return compare(sides, nsysan.__version__)


def head(text: str) -> str:
    """What stands above the first table."""
    return text.partition("µs a step")[0]


@pytest.mark.parametrize(
    ("message_bytes", "wires", "evidence"),
    [
        (8_192, (NVLINK, HOST_MEMORY), ("takes 8.9 µs at its floor", "takes 14.8 µs at its floor, 1.66 of NVLink's")),
        # 16 MB over 4 ranks: 1.5 times 200 and 20 GB/s are carried.
        (16_000_000, (80_000, 800_000), ("busbw 300.0 GB/s at 16.0 MB", "busbw 30.0 GB/s at 16.0 MB, 0.47 of PCIe's")),
    ],
)
def test_a_link_that_changed_is_told_first(
    tmp_path: Path, message_bytes: int, wires: tuple[int, int], evidence: tuple[str, str]
) -> None:
    comparison = two_links(tmp_path, *wires, message_bytes=message_bytes)
    words = (
        "by the speed of the collectives A ran over NVLink, B over host memory, though B's GPUs have NVLink of 450 GB/s"
    )
    text, markdown = head(to_text(comparison)), head(to_markdown(comparison))
    lead = "".join(Page(to_html(comparison)).text).partition("Where a step's time is")[0]
    document = document_of(comparison)
    for shown in (text, lead, "\n".join(document["answers"])):
        assert words in shown
        assert all(told in shown for told in evidence)
    assert words in markdown
    assert document["link_differs"] is True
    assert [entry["link"]["looks_like"] for entry in document["sides"]] == ["nvlink", "host_memory"]
    assert all(told in entry["link"]["evidence"][0] for told, entry in zip(evidence, document["sides"], strict=True))


def test_a_link_that_came_back_is_told_likewise(tmp_path: Path) -> None:
    text = head(to_text(two_links(tmp_path, HOST_MEMORY, NVLINK, HOST_MEMORY)))
    assert "A and C ran over host memory, B over NVLink, though A's GPUs have NVLink of 450 GB/s and C's" in text


@pytest.mark.parametrize("wire", [NVLINK, HOST_MEMORY])
def test_one_link_is_no_change(tmp_path: Path, wire: int) -> None:
    comparison = two_links(tmp_path, wire, wire)
    assert not any(line.startswith("link") for line in to_text(comparison).splitlines())
    assert document_of(comparison)["link_differs"] is False
    wrong = "A and B ran over host memory, though the GPUs have NVLink of 450 GB/s: all-reduce of 8 KiB"
    assert any(wrong in note for note in comparison.notes) == (wire == HOST_MEMORY)


def test_a_link_that_cannot_be_told_is_no_change_but_a_note(tmp_path: Path) -> None:
    comparison = two_links(tmp_path, NVLINK, BETWEEN)
    assert document_of(comparison)["link_differs"] is False
    (note,) = [note for note in comparison.notes if "ran over" in note]
    assert "A ran over NVLink; what B ran over cannot be told: all-reduce of 8 KiB" in note
    assert "1.34 of NVLink's 8.9 µs" in note


def test_other_links_in_the_machine_are_a_note(tmp_path: Path) -> None:
    a = loop(tmp_path / "a.sqlite", message_bytes=None)
    b = loop(tmp_path / "b.sqlite", message_bytes=None, gpu="NVIDIA L40S")
    comparison = compare([side(a), side(b, "B")], nsysan.__version__)
    assert "not the same link between the GPUs: A NVLink of 450 GB/s, B PCIe of 32 GB/s" in comparison.notes
    assert "not the same GPU: A NVIDIA H200, B NVIDIA L40S" in comparison.notes
    assert not any("ran over" in note for note in comparison.notes)


def test_real_traces_ran_over_one_link(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp4_graph_node", "tp4_slow3", "tp4_symm")
    assert document_of(comparison)["link_differs"] is False
    assert not any("ran over" in note for note in comparison.notes)


# ---- bandwidth


def speeds(comparison: Comparison) -> dict[str, tuple[Any, str]]:
    return {
        figure.id.rpartition(".")[2]: (figure.values, figure.changes[0].verdict)
        for figure in comparison.group("bandwidth")
    }


def test_bandwidth_by_the_formulas_of_nccl_tests(tmp_path: Path) -> None:
    """2 MB over 2 ranks in 10 us are 200 GB/s, over 4 ranks in 16 us 125; the bus carries 1 and 1.5 times that."""
    a = loop(tmp_path / "a.sqlite", ranks=2, wire_ns=10_000, message_bytes=2_000_000)
    b = loop(tmp_path / "b.sqlite", ranks=4, wire_ns=16_000, message_bytes=2_000_000)
    comparison = compare([side(a), side(b, "B")], nsysan.__version__)
    assert speeds(comparison) == {
        "algbw": (pytest.approx([200, 125]), CHANGED),
        "busbw": (pytest.approx([200, 187.5]), CHANGED),
        "peak_share": (pytest.approx([100 * 200 / 450, 100 * 187.5 / 450]), CHANGED),
    }
    text, markdown, page = to_text(comparison), to_markdown(comparison), "".join(Page(to_html(comparison)).text)
    for shown in (text, markdown, page):
        assert "busbw, % of the link's peak" in shown
        assert "187.50" in shown
    for shown in (text, page):
        assert "over 4 ranks, algbw 125 busbw 188 GB/s (41.7 % of peak) [" in shown
    (family,) = document_of(comparison)["collectives"]
    told = family["sides"]["B"]
    assert (told["algbw_gbps"], told["busbw_gbps"], told["no_bandwidth"]) == (125, 187.5, None)
    assert told["peak_share"] == pytest.approx(187.5 / 450)


def test_bandwidth_of_what_passes_one_ranks_part(tmp_path: Path) -> None:
    # 2 ranks, 512 B each, 8 us: algbw counts both parts.
    _, comparison = families_of(tmp_path, ((GATHER, 512),), ((GATHER, 512),))
    assert speeds(comparison) == {
        "algbw": (pytest.approx([0.128, 0.128]), NOISE),
        "busbw": (pytest.approx([0.064, 0.064]), NOISE),
    }


def test_below_a_megabyte_no_share_of_the_peak(tmp_path: Path) -> None:
    for bytes_, told in ((999_999, {"algbw", "busbw"}), (1_000_000, {"algbw", "busbw", "peak_share"})):
        assert set(speeds(two_links(tmp_path, 8_000, 8_000, message_bytes=bytes_))) == told


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (((NCCL, 8192),), ((SYMMETRIC, None),), "the size of its messages is not known"),
        (((NCCL, 8192), (NCCL, 4096)), ((NCCL, 64), (NCCL, 32)), "several sizes"),
    ],
)
def test_no_bandwidth_without_one_known_size(tmp_path: Path, first: Layers, second: Layers, reason: str) -> None:
    _, comparison = families_of(tmp_path, first, second)
    assert speeds(comparison) == {}
    (family,) = document_of(comparison)["collectives"]
    told = family["sides"]["B"]
    assert (told["algbw_gbps"], told["busbw_gbps"], told["peak_share"]) == (None, None, None)
    assert reason in told["no_bandwidth"]
    assert "nccl-tests" not in to_text(comparison)


def test_a_third_side_without_a_size_has_no_bandwidth(tmp_path: Path) -> None:
    _, comparison = families_of(tmp_path, ((NCCL, 8192),), ((NCCL, 8192),), ((SYMMETRIC, None),))
    busbw = comparison.figure("collective.0.busbw")
    assert busbw.values == [pytest.approx(1.024), pytest.approx(1.024), None]
    assert (busbw.changes[1].verdict, busbw.changes[1].percent) == (INCOMPARABLE, None)
    assert busbw.changes[1].reason == "no bandwidth in C: the size of its messages is not known"


def test_kernels_that_compute_have_no_bandwidth(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp4_fused", "tp4_fused")
    assert speeds(comparison) == {}


def test_bandwidth_is_that_of_the_reports(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp4_graph_node", "tp4_slow3")
    busbw = comparison.figure("collective.0.busbw").values
    assert busbw == [pytest.approx(one.report.collectives[0].busbw) for one in comparison.sides]


# ---- output


def side_named(
    path: Path, label: str, *, gpus: Sequence[str], ranges: Sequence[str], note: str, kernel: str
) -> ComparedRun:
    """A side of two ranks in which these names stand: of GPUs, of each step's range, of what nsys says, of a kernel."""
    builder = TraceBuilder()
    for rank, process in enumerate(decode_loop(builder, ranks=2, steps=len(ranges), nvtx=False)):
        builder.gpu(rank, name=gpus[rank])
        for step, name in enumerate(ranges):
            begin = 1_000_000 + step * 38_000
            process.nvtx(name, begin - 11_000, begin + 20_000)
        builder.diagnostic(note, process=process)
    builder.write(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        named = f"ncclDevKernel_AllReduce_{kernel}"
        connection.execute("UPDATE StringIds SET value = ? WHERE value LIKE 'ncclDevKernel%'", (named,))
    return side(path, label)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two traces whose every name is an attack."""
    folder = tmp_path_factory.mktemp("compare")
    sides = [
        side_named(
            folder / f"<b>&alert(1)|`{number}`[a](b).sqlite",
            "AB"[number],
            gpus=HOSTILE[:2],
            ranges=[f"decode {HOSTILE[step % len(HOSTILE)]}" for step in range(10)],
            note=f"were lost {HOSTILE[0]} | [x](javascript:alert(1)) ![y](http://z)",
            kernel=f"{HOSTILE[number]}|`",
        )
        for number in range(2)
    ]
    return compare(sides, nsysan.__version__)


def test_hostile_names_stay_text_in_the_page(hostile: Comparison) -> None:
    page = Page(to_html(hostile))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"img", "svg", "b>", "iframe", "link"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert len(page.programs) == 2
    assert "alert(1)" in "".join(page.text)
    names = [text for figure in page.figures.values() for text in strings(figure["data"]) if "alert" in text]
    assert names
    assert not [text for text in names if "<" in text.replace("<extra>", "").replace("</extra>", "")]
    directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert len(directives["script-src"].split()) == 2


def test_hostile_names_stay_text_in_markdown_and_on_the_terminal(hostile: Comparison) -> None:
    markdown = to_markdown(hostile)
    assert "alert" in markdown
    assert not re.search(r"<(?!sub>|/sub>)", markdown)
    assert not re.search(r"(?<!\\)\]\(", markdown)
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    for text in (markdown, to_text(hostile)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", text)


_TABLE = ("table", "thead", "tbody", "tr", "th", "td")


def test_hostile_names_stay_text_where_markdown_is_rendered(tmp_path: Path) -> None:
    sides = [
        side_named(
            tmp_path / f"- {number} @all [l](u) ![i](www.e.x) www.e.x #12 $x$ ~~x~~.sqlite",
            "AB"[number],
            gpus=[f"- {MARKUP}"] * 2,
            ranges=[f"decode {MARKUP} {step}" for step in range(10)],
            note=f"1. were lost {MARKUP}",
            kernel=f"{MARKUP}{number}",
        )
        for number in range(2)
    ]
    markdown = to_markdown(compare(sides, nsysan.__version__))
    assert markdown.count("all") > 4
    html = rendered(markdown)
    assert set(re.findall(r"</?(\w+)", html)) <= {"h3", "ul", "li", "p", *_TABLE, "strong", "sub"}
    assert len(re.findall("<strong>", html)) == len(re.findall(r"^(?:\| )?\*\*", markdown, re.MULTILINE))
    assert not re.search(r"@\w|#\d", unescape(html))


def test_page_shows_every_side(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp2_graph", "tp4_graph_node", "tp4_symm")
    page = Page(to_html(comparison))
    assert set(page.figures) == {f"figure-{name}" for name in ("speed_up", "ledger", "grown", "periods", "wire")}
    bars = {series["name"]: series for series in page.figures["figure-ledger"]["data"]}
    assert bars["compute"]["x"] == pytest.approx([1857.4, 1301.0, 1295.9], rel=1e-4)
    assert bars["copy"]["x"] == pytest.approx([0, 0, 31.5], rel=1e-2)
    boxes = page.figures["figure-periods"]["data"]
    assert [len(box["x"]) for box in boxes] == [11, 11, 11]
    assert len({box["marker"]["color"] for box in boxes}) == 3
    assert "the second pair of GPUs bought" in "".join(page.text)


@pytest.mark.parametrize("names", ["tp2_graph tp4_graph_node tp4_symm", "tp4_graph_node tp4_graph_graph"])
def test_document_is_complete(compared: Compared, names: str) -> None:
    comparison = of_fixtures(compared, *names.split())
    document = document_of(comparison)
    labels = [entry["label"] for entry in document["sides"]]
    assert labels == ["A", "B", "C"][: len(names.split())]
    for figure in document["figures"]:
        assert list(figure["values"]) == labels
        assert [change["side"] for change in figure["changes"]] == labels[1:]
        for change in figure["changes"]:
            assert (change["reason"] is None) == (change["verdict"] not in {INCOMPARABLE, FEW})
            assert (change["difference"] is None) == (change["verdict"] == INCOMPARABLE)
    assert document["thresholds"] == change_rule.THRESHOLDS
    assert (document["scaling"] is None) == ("tp2" not in names)


# ---- the command


def test_command_writes_what_it_was_asked_for(tmp_path: Path, capsys: Capsys) -> None:
    a = loop(tmp_path / "a.sqlite", ranks=2)
    b = loop(tmp_path / "b.sqlite", ranks=2, wire_ns=16_000)
    result = run_cli(capsys, "compare", a, b, "-o", "c.html", "--json", "c.json", "--markdown", "c.md")
    assert (result.code, result.err) == (0, "")
    assert "B vs A    slower, 38.0 µs to 54.0 µs a token (+42.1 %), beyond noise: wire +16.0 µs" in result.out
    assert "wrote c.html and c.json and c.md" in result.out
    assert Path("c.md").read_text("utf-8").startswith("### nsysan: a.sqlite against b.sqlite\n")

    assert run_cli(capsys, "compare", a, b, "--json", "c.json").code == ExitCode.OUTPUT_EXISTS
    # Its own page is replaced.
    quiet = run_cli(capsys, "compare", a, b, "-o", "c.html", "-q")
    assert (quiet.code, quiet.out) == (0, "")
    assert run_cli(capsys, "compare", a, b, "--markdown", "-").out == Path("c.md").read_text("utf-8")
    document = json.loads(run_cli(capsys, "compare", a, b, "--batch", "2", "--batch", "8", "--json", "-").out)
    assert [entry["batch"] for entry in document["sides"]] == [2, 8]
    assert run_cli(capsys, "compare", a, b, "-o", a, "--force").code == ExitCode.OUTPUT_UNWRITABLE


def test_a_folder_is_one_side(tmp_path: Path, capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("rank_0", "rank_1", "rank_2", "rank_3"):
        (folder / f"{name}.sqlite").symlink_to(real_trace(name))
    result = run_cli(capsys, "compare", folder, real_trace("tp4_graph_node"))
    assert result.code == 0
    assert "A  rank_0.sqlite, rank_1.sqlite, rank_2.sqlite, rank_3.sqlite: TP=4" in result.out
    assert "B  tp4_graph_node.sqlite: TP=4" in result.out


def single_kernel(folder: Path) -> Path:
    builder = TraceBuilder()
    builder.process(1).kernel(COMPUTE_KERNEL, 100_000, 101_000)
    return builder.write(folder / "one.sqlite")


def test_without_steady_steps_there_is_nothing_to_compare(tmp_path: Path, capsys: Capsys) -> None:
    good, bad = loop(tmp_path / "a.sqlite"), single_kernel(tmp_path)
    for pair in ((good, bad), (bad, good)):
        result = run_cli(capsys, "compare", *pair)
        assert (result.code, result.out) == (ExitCode.NOTHING_TO_ANALYSE, "")
        assert result.err.startswith("nsysan: one.sqlite: nothing to compare: ")
        assert result.err.count("\n") == 1


def test_graph_level_traces_can_still_be_compared(tmp_path: Path, capsys: Capsys) -> None:
    path = graph_level_trace(tmp_path / "g.sqlite")
    assert run_cli(capsys, "compare", path, path).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.sqlite"], "compare takes 2 to 26 traces, not 1"),
        (["a.sqlite", "a.sqlite", "--batch", "1", "--batch", "2", "--batch", "3"], "--batch is given once"),
        (["a.sqlite", "a.sqlite", "--json", "-", "--markdown", "-"], "--json and --markdown both name standard output"),
        (["a.sqlite", "a.sqlite", "--json", "x", "-o", "x"], "-o and --json name one file"),
    ],
)
def test_usage_errors(tmp_path: Path, capsys: Capsys, arguments: list[str], words: str) -> None:
    loop(tmp_path / "a.sqlite", steps=4)
    result = run_cli(capsys, "compare", *arguments)
    assert result.code == 2
    assert words in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.sqlite"]


def test_a_side_that_is_missing(capsys: Capsys) -> None:
    assert run_cli(capsys, "compare", "none.sqlite", "none.sqlite").code == ExitCode.NO_SUCH_FILE


# ---- kernels


def test_the_kernel_that_grew_is_named(tmp_path: Path) -> None:
    """10 us of compute in each of 2 layers became 12: a group and a kernel of 4 us a step more, and 6 us of idle time.

    A norm of 3 us, which B alone runs, hides in it on a stream of its own.
    """
    sides = []
    for label, compute_ns in (("A", 10_000), ("B", 12_000)):
        builder = TraceBuilder()
        for process in decode_loop(builder, ranks=2, steps=12, compute_ns=compute_ns):
            for step in range(12) if label == "B" else ():
                begin = 1_000_000 + step * 42_000
                process.kernel("rms_norm_kernel", begin + 1_000, begin + 4_000, stream=9)
        sides.append(side(builder.write(tmp_path / f"{label}.sqlite"), label))
    comparison = compare(sides, "0")
    groups = {figure.name: figure for figure in comparison.group("compute")}
    kernels = {figure.name: figure for figure in comparison.group("kernels")}
    (gemm,) = set(groups) - {"norm"}
    assert (groups[gemm].values, groups["norm"].values) == ([20_000, 24_000], [0, 3_000])
    assert kernels["rms_norm_kernel"].values == [0, 3_000]
    assert {figure.changes[0].verdict for figure in (*groups.values(), *kernels.values())} == {CHANGED}
    assert list(kernels) == [COMPUTE_KERNEL, "rms_norm_kernel"]
    text = to_text(comparison)
    assert f"kernels   {gemm} +4.0 µs, norm +3.0 µs; by name {COMPUTE_KERNEL} +4.0 µs, rms_norm_kernel +3.0 µs" in text
    assert "Kernels" in to_html(comparison)


def test_kernels_that_a_side_does_not_show_are_not_compared(compared: Compared) -> None:
    comparison = of_fixtures(compared, "tp4_graph_node", "tp4_graph_graph")
    assert comparison.group("kernels") == []
    changes = [figure.changes[0] for figure in comparison.group("compute")]
    assert changes
    assert {change.verdict for change in changes} == {INCOMPARABLE}
    assert all(change.reason and change.reason.startswith("not measured in B: ") for change in changes)


def test_what_one_rank_runs_is_told_of_that_rank(analyzed: Callable[[str], Run]) -> None:
    """Rank 2 of tp4_slow runs 16 GEMMs of 175 us that no other does: by the median over the ranks nothing grew."""
    sides = [compared_run(label, analyzed(name), "0") for label, name in (("A", "tp4_graph_node"), ("B", "tp4_slow"))]
    comparison = compare(sides, "0")
    group = comparison.figure("compute.gemm.rank_2")
    assert (group.name, group.changes[0].verdict) == ("gemm on rank 2", CHANGED)
    assert group.changes[0].difference == pytest.approx(2_855_000, rel=0.01)
    assert comparison.figure("compute.gemm").changes[0].verdict != CHANGED
    assert "coopA_NNT on rank 2 +2,805.9 µs" in to_text(comparison)


def test_a_rank_is_held_against_itself_in_whichever_replica_it_is(tmp_path: Path) -> None:
    """Two replicas of TP=2, one rank's GEMM 12 us longer than 40: rank 3's in A, rank 1's in B. The slower heads."""
    sides = []
    for label, slow in (("A", 3), ("B", 1)):
        builder = TraceBuilder()
        for rank in range(4):
            process, late = builder.process(100 + rank, device=rank), 12_000 * (rank // 2 == slow // 2)
            process.comm_init(comm=7 + rank // 2, nranks=2, rank=rank % 2, device=rank)
            for step in range(20):
                at = 1_000_000 + (60_000 + late) * step
                process.nvtx(f"decode_step_{step}", at - 20_000, at - 5_000)
                process.kernel(COMPUTE_KERNEL, at, arrived := at + 40_000 + late * (rank == slow), launch=at - 19_000)
                process.kernel(ALLREDUCE_KERNEL, arrived, at + 50_000 + late, launch=at - 18_000)
        trace = nsysan.open_trace(builder.write(tmp_path / f"{label}.sqlite"))
        sides.append(compared_run(label, nsysan.analyze(trace), "0"))
    assert [side.report.replica for side in sides] == [1, 0]
    values = {figure.name: figure.values for figure in compare(sides, "0").group("kernels") if "rank" in figure.name}
    told = {int(name.rpartition(" ")[2]): of for name, of in values.items()}
    assert {rank: of for rank, of in told.items() if of[0] != of[1]} == {1: [40_000, 52_000], 3: [52_000, 40_000]}


def test_a_side_tells_its_layout(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sides = [pipeline([104_000, 104_000]).write(tmp_path / f"{name}.sqlite") for name in ("a", "b")]
    said = run_cli(capsys, "compare", *sides)
    assert said.out.count(": TP=2 x PP=2 on ") == 2
