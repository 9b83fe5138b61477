"""The speed of light of a step: a trace by hand to the ns, and real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nsysan
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.light.products import Product
from nsysan.light.stated import Model, message_sizes, stated_model, tokens_by_step
from nsysan.light.waterfall import apportioned
from nsysan.model.steps.populations import Population
from nsysan.model.steps.step_kind import StepKind
from nsysan.report.report import Report
from nsysan.run.run import Run
from tests.clitools import paper_trace, run_cli
from tests.documents import document_of
from tests.tracebuilder import TraceBuilder

Analyze = Callable[[str], Run]
Capsys = pytest.CaptureFixture[str]
#: What fixtures/tp4_graph_node runs, which has no product with the vocabulary.
REAL = "hidden=4096,layers=16,ffn=14336,heads=32,batch=1,dtype=bf16"


def reported(run: Run, model: str | None = None, context: int | None = None, batch: int | None = None) -> Report:
    return nsysan.build_report(run, model=model, context=context, batch=batch, timelines=False)


def quality(report: Report) -> tuple[Status, str]:
    (row,) = (row for row in report.quality if row.id == Aspect.LIGHT_SPEED)
    return row.status, row.reason


def test_parts_are_shared_out_to_the_ns() -> None:
    assert apportioned([1, 1, 1], 100) == [33, 33, 34]
    assert apportioned([0, 7, 0], 5) == [0, 5, 0]
    with pytest.raises(ValueError, match="nothing"):
        apportioned([0], 5)


def one_layer(path: Path, products: tuple[int, int, int, int, int], steps: int = 6) -> Path:
    """A layer a step on two ranks, TP=2, its kernels back to back but for 500 ns before the first call's kernel.

    products: ns of qkv, attention, o, gate_up and down. Each of two calls takes 8,000 ns, of which rank 0 waits 1,000
    in the second, as rank 1's last product takes so much longer; then 3,000 ns until the next step. A norm of 2,000 ns
    comes first.
    """
    names = ("nvjet_a", "flash_fwd_kernel", "nvjet_b", "nvjet_c", "nvjet_d")
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(1000 + rank, device=rank)
        at = 1_000_000
        for step in range(steps):
            begun = at - 20_000
            work = [("rms_norm_kernel", 2_000), *zip(names, products, strict=True)]
            for number, (name, ns) in enumerate([*work[:4], ("call", 8_000), *work[4:], ("call", 8_000)]):
                longer = 1_000 if number == 6 and rank == 1 else 0
                if name == "call":
                    at += 500 if number == 4 else 0
                    wait = 1_000 if number == 7 and rank == 0 else 0
                    kernel, length = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", ns + wait
                else:
                    kernel, length = name, ns + longer
                launch = begun + 2_000 * number
                process.kernel(kernel, at, at + length, launch=(launch, launch + 1_000))
                at += length
            process.nvtx(f"decode_step_{step}", begun - 100, begun + 18_000)
            at += 3_000
    return builder.write(path)


SMALL = "hidden=1024,layers=1,ffn=4096,heads=8,batch=1,dtype=bf16"


def test_from_the_floor_to_the_period_on_paper(tmp_path: Path) -> None:
    run = nsysan.analyze(one_layer(tmp_path / "t.sqlite", (4_000, 2_000, 3_000, 9_000, 5_000)))
    light = document_of(reported(run, SMALL, context=256))["light_speed"]
    # Bytes of a rank at 4,814.304 GB/s, rounded down to ns: half of the heads and of the inner width.
    reads = {
        "qkv": 1024 * 3 * 4 * 128 * 2,
        "attention": 256 * 2 * 4 * 128 * 2,
        "o": 1024 * 4 * 128 * 2,
        "gate_up": 2 * 2048 * 1024 * 2,
        "down": 2048 * 1024 * 2,
        "rest": 3 * 1024 * 2,
    }
    assert {row["product"]: row["read_bytes"] for row in light["products"]} == reads
    floors = {"qkv": 653, "attention": 108, "o": 217, "gate_up": 1_742, "down": 871, "rest": 1}
    assert {row["product"]: row["floor_ns"] for row in light["products"]} == floors
    assert light["compute_floor_ns"] == sum(floors.values()) == 3_592
    # Two calls of 8,000 ns.
    assert (light["comm_floor_ns"], light["period_floor_ns"], light["period_ns"]) == (16_000, 19_592, 45_500)
    # Ranks compute for 25,000 and 26,000 ns, and rank 0 waits 1,000; before a call nothing runs for 500, after a step
    # for 3,000.
    assert light["lost_ns"] == {"kernels": 25_500 - 3_592, "gaps": 500, "wire": 0, "wait": 500, "host": 3_000}
    assert sum(light["lost_ns"].values()) + light["period_floor_ns"] == light["period_ns"]
    measured = {row["product"]: row["ns"] for row in light["products"]}
    assert measured == {
        "qkv": 4_000,
        "attention": 2_000,
        "o": 3_000,
        "gate_up": 9_000,
        "down": 5_500,
        "rest": None,
    }
    (row,) = (row for row in light["products"] if row["product"] == "gate_up")
    assert (row["read_gbps"], row["tflops"]) == (8_388_608 / 9_000, 8_388_608 / 9_000 / 1e3)
    assert (light["products_ns"], light["dram"], light["batch_source"]) == (None, None, "as stated")


@pytest.mark.parametrize(
    ("model", "context", "why"),
    [
        (None, None, "no model is stated"),
        ("layers=1", None, "--model lacks hidden, heads, dtype, ffn"),
        ("layers=1,heads=8", None, "--model lacks hidden, dtype, ffn"),
        (SMALL.replace("batch=1,", ""), 256, "nothing tells how many sequences a step decodes; give --batch"),
        (
            SMALL.replace("ffn=4096", "ffn=400000"),
            256,
            "takes 256.2 µs a step at the least, and its kernels took",
        ),
    ],
)
def test_why_it_is_not_told(tmp_path: Path, model: str | None, context: int | None, why: str) -> None:
    run = nsysan.analyze(one_layer(tmp_path / "t.sqlite", (4_000, 2_000, 3_000, 9_000, 5_000)))
    report = reported(run, model, context)
    status, reason = quality(report)
    assert status is Status.NOT_MEASURABLE
    assert why in reason
    assert document_of(report)["light_speed"] is None
    # What nobody asked for is no reason for care.
    assert ("light_speed" in nsysan.to_text(report)) == (model not in (None, "layers=1"))


def test_more_layers_than_the_models_may_be_drafts(analyzed: Analyze) -> None:
    report = reported(analyzed("tp4_graph_node"), REAL.replace("layers=16", "layers=14"), context=512)
    light = document_of(report)["light_speed"]
    assert {row["ns"] for row in light["products"]} == {None}
    # 16 layers of products, told as one: some 0.74 ms.
    assert 700_000 < light["products_ns"] < 780_000
    assert "the step runs 16 layers of attention, the model 14" in quality(report)[1]


def test_replays_as_blocks_have_none(analyzed: Analyze) -> None:
    report = reported(analyzed("tp4_graph_graph"), REAL, context=512)
    assert "capture with --cuda-graph-trace=node" in quality(report)[1]


def test_a_real_step(analyzed: Analyze) -> None:
    light = reported(analyzed("tp4_graph_node"), REAL, context=512).light.found
    assert light is not None
    products = {one.product: one for one in light.products}
    # A rank's weights: 402.7, 134.2, 939.5 and 469.8 MB in 16 layers.
    assert products[Product.GATE_UP].work.read == 16 * 2 * 14336 // 4 * 4096 * 2
    assert sum(light.lost.values()) + light.floor == light.period
    assert 0.35 < light.share < 0.42
    # The larger the product, the nearer to the memory's peak; none beats it.
    shares = [products[product].share or 0 for product in (Product.O, Product.QKV, Product.DOWN, Product.GATE_UP)]
    assert shares == sorted(shares)
    assert 0.3 < shares[0] < shares[-1] < 0.7
    assert light.comm_floor == pytest.approx(32 * 8_600, rel=0.02)


def test_counters_of_the_memory_agree_with_the_model(analyzed: Analyze) -> None:
    # The loop keeps all of its 32,000 rows on each of two ranks.
    model = "hidden=4096,layers=16,ffn=14336,heads=32,vocab=64000,batch=1,dtype=bf16"
    report = reported(analyzed("tp2_metrics"), model, context=512)
    light = report.light.found
    assert light is not None
    assert light.dram is not None
    assert light.dram.ratio == pytest.approx(1, abs=0.02)
    assert quality(report)[0] is Status.OK
    wrong = reported(analyzed("tp2_metrics"), model.replace("ffn=14336", "ffn=10000"), context=512)
    assert quality(wrong)[0] is Status.ESTIMATED
    assert "do not agree" in quality(wrong)[1]


def test_outputs_tell_it(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trace = one_layer(tmp_path / "t.sqlite", (4_000, 2_000, 3_000, 9_000, 5_000))
    config = {
        "hidden_size": 1024,
        "num_hidden_layers": 1,
        "intermediate_size": 4096,
        "num_attention_heads": 8,
        "vocab_size": 1000,
    }
    Path("<b>.json").write_text(json.dumps(config), "utf-8")
    options = ("--model", "<b>.json", "--batch", "1", "--context", "256")
    text = run_cli(capsys, "report", trace, "-o", "p.html", "--markdown", "m.md", "--json", "r.json", *options).out
    assert "above the floor 25.7 µs: kernels 21.7, gaps 0.5, wire 0.0, wait 0.5, host 3.0" in text
    page, markdown = (Path(name).read_text("utf-8") for name in ("p.html", "m.md"))
    assert '<section id="light">' in page
    assert "<b>.json" not in page.replace("&lt;b&gt;.json", "")
    assert "#### Speed of light" in markdown
    document: dict[str, Any] = json.loads(Path("r.json").read_text("utf-8"))
    assert document["light_speed"]["model"] == "<b>.json"
    # 1 x 1024 x 2 bytes, which no payload tells here.
    assert document["expectation"]["bytes"] == {"expected": 2048, "measured": [], "differs": False, "filled_in": 24}
    assert {row["bytes"] for row in document["collectives"]} == {2048}


def test_sizes_follow_from_the_batch_of_their_step() -> None:
    model = stated_model("hidden=1024,layers=1,ffn=4096,heads=8,dtype=bf16", 4)
    told = [
        Population("decode_8", StepKind.DECODE, 8, (1, 2)),
        Population("decode_6", StepKind.DECODE, 6, (3,)),
        Population("prefill", StepKind.PREFILL, None, (0,)),
    ]
    assert message_sizes(told, model) == {1: 16_384, 2: 16_384, 3: 12_288}
    # A step that verifies three drafts of each of its 8 sequences.
    labels = {
        1: "execute_context_0(0)_generation_8(32)",
        2: "execute_context_0(0)_generation_8(8)",
        3: None,
        4: "other",
    }
    assert tokens_by_step(labels) == {1: 32, 2: 8}
    assert message_sizes(told, model, tokens_by_step(labels)) == {1: 65_536, 2: 16_384, 3: 12_288}
    untold = [Population("decode", StepKind.DECODE, None, (1,)), Population("decode.2", StepKind.DECODE, None, (2,))]
    assert message_sizes(untold, model) == {1: 8_192}
    assert message_sizes(told, Model(None, {}, 4, None, ("hidden",), "")) == {}
    assert message_sizes(told, None) == {}


def test_batch_is_stated_where_nothing_tells_it(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    document = json.loads(run_cli(capsys, "report", trace, "--json", "-", "--batch", "4").out)
    assert [(one["id"], one["batch"]) for one in document["populations"]] == [("decode", 4)]
    assert run_cli(capsys, "report", trace, "--json", "-", "--context", "4").code == 2
