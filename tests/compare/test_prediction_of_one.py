"""`nsysan compare --predict --model`: what one capture tells of other degrees, by a model whose floors are by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import nsysan
from nsysan.compare.as_markdown import to_markdown
from nsysan.compare.as_page import to_html
from nsysan.compare.as_text import to_text
from nsysan.compare.changes import compare
from nsysan.compare.compared_run import compared_run
from nsysan.compare.comparison import ComparedRun
from nsysan.compare.modelled import ModelledStep
from nsysan.compare.prediction import Prediction
from nsysan.light.products import Product
from nsysan.light.stated import stated_model
from nsysan.metrics.lines import Line
from nsysan.run.run import Run
from tests.clitools import run_cli
from tests.documents import document_of
from tests.simulator.export import export
from tests.simulator.sharded import sharded
from tests.simulator.truth import truths

MODEL = "hidden=1024,layers=4,ffn=4096,heads=8,head_dim=128,dtype=bf16"
#: Bytes of a layer's weights, and ns that they take at 0.93 of 4,814.304 GB/s.
WEIGHTS = {
    "nvjet_qkv": 2 * 3 * 1024 * 1024,
    "nvjet_o": 2 * 1024 * 1024,
    "nvjet_up": 2 * 2 * 4096 * 1024,
    "nvjet_down": 2 * 4096 * 1024,
}
READING = {name: round(size / 4814.304 / 0.93) for name, size in WEIGHTS.items()}
BEYOND, ATTENTION = 4_000, 8_000
LAYER = {
    "nvjet_qkv": (BEYOND, READING["nvjet_qkv"]),
    "attn_fwd": (ATTENTION, 0),
    **{name: (BEYOND, READING[name]) for name in ("nvjet_o", "nvjet_up", "nvjet_down")},
}
#: A step ends with 6,000 ns of others.
LAST = 6_000
Side = Callable[..., ComparedRun]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("one")

    @cache
    def written(ranks: int) -> Path:
        return export(sharded(ranks, layer=LAYER, size=2_048), folder / f"tp{ranks}.sqlite")

    return written


@pytest.fixture(scope="module")
def side(trace: Callable[..., Path]) -> Side:
    @cache
    def found(ranks: int, model: str = MODEL, batch: int | None = 1) -> ComparedRun:
        run = nsysan.analyze(nsysan.open_trace(trace(ranks)))
        return compared_run("A", run, "0", batch, predicting=True, model=stated_model(model, batch))

    return found


def predicted(one: ComparedRun, ranks: int) -> Prediction:
    (found,) = compare([one], "0", (ranks,)).predictions
    return found


def truth(ranks: int) -> float:
    return truths(sharded(ranks, layer=LAYER, size=2_048))[0].periods["period"].median


def test_from_one_rank(side: Side) -> None:
    """Of each product a quarter of half of what is beyond reading goes, of attention without a context half of half."""
    one = predicted(side(1), 2)
    layer = sum(BEYOND * 7 / 8 + ns / 2 for ns in READING.values()) + 0.75 * ATTENTION
    assert one.ledger[Line.COMPUTE] == pytest.approx(4 * layer + LAST, abs=40)
    # Eight calls of 6.2 us by the table of links.
    assert one.ledger[Line.WIRE] == pytest.approx(8 * 6_200, abs=40)
    assert one.low is not None
    assert one.high is not None
    assert one.low <= truth(2) <= one.high
    assert sum(one.ledger.values()) == one.period
    assert one.model == MODEL


@pytest.mark.parametrize(("ranks", "within"), [(1, 0.2), (4, 0.1)])
def test_from_two_ranks(side: Side, ranks: int, within: float) -> None:
    """To one rank it tells 1,000 ns too much of each product, and of attention 4,000, which it takes to be shared."""
    one = predicted(side(2), ranks)
    assert one.low is not None
    assert one.high is not None
    assert one.low <= truth(ranks) <= one.high
    assert one.period == pytest.approx(truth(ranks), rel=within)


def test_a_second_capture_says_how_far_off_the_first_was(side: Side) -> None:
    sides = [side(1), replace(side(2), label="B")]
    comparison = compare(sides, "0", (2,))
    (one,) = comparison.predictions
    assert one.measured == pytest.approx(truth(2), rel=0.001)
    assert "of which the prediction knew nothing" in to_text(comparison)


def test_every_output_tells_of_one_side(side: Side) -> None:
    comparison = compare([side(1)], "0", (2, 4))
    text = to_text(comparison)
    assert "stop      at TP=1: 2 GPUs make " in text
    assert "predict   TP=2: " in text
    assert "100.0 % of it are products" not in text  # the last kernels and the norms are none
    assert "8 calls a step that one rank has none of, all-reduces of 2 KiB: 6.2 µs each (2.5 µs to 7.8 µs)" in text
    assert "changed: p <" not in text
    document = document_of(comparison)
    assert (len(document["sides"]), document["scaling"], document["predictions"][0]["model"]) == (1, None, MODEL)
    assert "| 2 | predicted |" in " ".join(to_markdown(comparison).split())
    page = to_html(comparison)
    assert 'data-figure="predicted"' in page
    assert "by what its product of the model reads there" in page


@pytest.mark.parametrize(
    ("ranks", "model", "batch", "why"),
    [
        (1, MODEL.replace("layers=4", "layers=5"), 1, "4 layers of attention, the model as stated 5"),
        (1, MODEL, None, "nothing tells how many sequences a step decodes"),
        (1, MODEL.replace("4096", "65536"), 1, "at the least, and took"),
        (2, MODEL.replace("1024", "2048"), 1, "its all-reduces are of 2 KiB, and hidden states of 1 tokens"),
        (2, MODEL, 2, "its all-reduces are of 2 KiB, and hidden states of 2 tokens"),
    ],
)
def test_a_model_that_did_not_run(side: Side, ranks: int, model: str, batch: int | None, why: str) -> None:
    one = predicted(side(ranks, model, batch), 8)
    assert one.period is None
    assert why in (one.reason or "")


def test_its_own_degree_is_none_to_predict(side: Side) -> None:
    assert predicted(side(1), 1).reason == "A is of TP=1 itself"


def test_on_the_command_line(trace: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("compare", trace(1), "--predict", "2")
    assert "say by --model" in run_cli(capsys, *asked).err
    assert "--model lacks layers, heads, dtype" in run_cli(capsys, *asked, "--model", "hidden=1").err
    assert "no such file" in run_cli(capsys, *asked, "--model", "none.json").err
    assert run_cli(capsys, *asked, "--context", "8").code == 2
    assert run_cli(capsys, "compare", trace(1), trace(1), "--model", MODEL).code == 2
    told = run_cli(capsys, *asked, "--model", f"{MODEL},batch=1", "--json", "-")
    assert json.loads(told.out)["predictions"][0]["period_ns"]


def test_a_real_capture(analyzed: Callable[[str], Run]) -> None:
    """TP=4 of tp2_graph alone, which tp4_graph_node measured: 1,799 us, 1,301 of compute."""
    model = stated_model("hidden=4096,layers=16,ffn=14336,heads=32,dtype=bf16", 1, 512)
    one = compared_run("A", analyzed("tp2_graph"), "0", 1, predicting=True, model=model)
    found = predicted(one, 4)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 1_799_000 <= found.high
    assert found.period == pytest.approx(1_799_000, rel=0.05)
    assert found.ledger[Line.COMPUTE] == pytest.approx(1_301_000, rel=0.08)


def test_places_by_product(side: Side) -> None:
    own = side(1).by_model
    assert isinstance(own, ModelledStep)
    assert own.products[:5] == (Product.QKV, Product.ATTENTION, Product.O, Product.GATE_UP, Product.DOWN)
    assert own.last_of(Product.O, Product.DOWN)[:4] == [2, 4, 7, 9]
