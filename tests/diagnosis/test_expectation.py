"""What the user states of the model: parsed, held against the trace, and filled in where the trace is silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.expectation import Expectation, compare_with, expectation
from nsysan.run.run import Run
from tests.clitools import paper_trace, run_cli
from tests.tracebuilder import TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("layers", "model", "message_bytes", "calls", "size"),
    [
        (32, None, None, 64, None),
        (None, "layers=32", None, 64, None),
        (None, "hidden=4096,batch=2,dtype=bf16", None, None, 16_384),
        (None, "hidden=4096, layers=32, batch=1, dtype=BF16", None, 64, 8_192),
        (None, "hidden=4096,layers=32,batch=1,dtype=fp32", None, 64, 16_384),
        (32, "hidden=4096,layers=32,batch=1,dtype=fp8", 4_096, 64, 4_096),
        (None, None, 1_000, None, 1_000),
    ],
)
def test_options_give_count_and_size(
    layers: int | None, model: str | None, message_bytes: int | None, calls: int | None, size: int | None
) -> None:
    found = expectation(layers, model, message_bytes)
    assert found is not None
    assert (found.calls, found.message_bytes) == (calls, size)


def test_no_option_is_no_expectation() -> None:
    assert expectation(None, None, None) is None


@pytest.mark.parametrize(
    ("layers", "model", "message_bytes", "message"),
    [
        (None, "hidden=4096", None, "batch, dtype is missing"),
        (None, "hidden=4096,batch=1,dtype=bf17", None, "dtype is one of"),
        (None, "hidden=0,batch=1,dtype=bf16", None, "hidden is a number from 1 up"),
        (None, "hidden=²,batch=1,dtype=bf16", None, "hidden is a number from 1 up"),
        (None, "layers=-1", None, "layers is a number"),
        (None, "legs=8", None, "not 'legs'"),
        (None, "heads=8,batch=2", None, "hidden, dtype is missing"),
        (None, "layers", None, "not 'layers'"),
        (None, "layers=2,layers=2", None, "twice"),
        (31, "layers=32", None, "disagree"),
        (None, "hidden=4096,batch=1,dtype=bf16", 8_193, "disagree"),
    ],
)
def test_wrong_options_say_what_is_wrong(
    layers: int | None, model: str | None, message_bytes: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        expectation(layers, model, message_bytes)


def two_layers(path: Path, message_bytes: int | None = 8192) -> Run:
    builder = TraceBuilder()
    decode_loop(builder, message_bytes=message_bytes)
    return nsysan.analyze(nsysan.open_trace(builder.write(path)))


@pytest.mark.parametrize(("calls", "differ"), [(1, False), (2, False), (3, True), (4, True)])
def test_one_call_more_is_the_embeddings(tmp_path: Path, calls: int, differ: bool) -> None:
    # Two layers have one all-reduce each here; one expected leaves one for the embedding.
    run = two_layers(tmp_path / "t.sqlite")
    compared = compare_with(run.collectives, run.steady_steps, Expectation(calls, None, "paper"))
    assert compared is not None
    assert (compared.calls, compared.calls_differ) == (2, differ)


@pytest.mark.parametrize(("size", "differ"), [(8_192, False), (16_384, True), (None, False)])
def test_sizes_that_the_trace_tells_are_kept(tmp_path: Path, size: int | None, differ: bool) -> None:
    run = two_layers(tmp_path / "t.sqlite")
    expected = Expectation(None, size, "paper")
    compared = compare_with(run.collectives, run.steady_steps, expected)
    assert compared is not None
    # Three steady steps of two calls on four ranks.
    assert (compared.sizes, compared.bytes_differ, compared.filled) == ({8_192: 6}, differ, 0)
    assert run.stating(expected.message_bytes).collectives["message_bytes"].unique().to_list() == [8_192]


def test_sizes_are_filled_in_for_all_reduces_only(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, ranks=2, message_bytes=None):
        process.kernel("ncclDevKernel_AllGather_RING_LL", 1_100_000, 1_101_000)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "t.sqlite")))
    expected = Expectation(None, 4_096, "paper")
    compared = compare_with(run.collectives, run.steady_steps, expected)
    assert compared is not None
    assert (compared.sizes, compared.bytes_differ, compared.filled) == ({}, False, 2 * 4 * 2)
    filled = run.stating(expected.message_bytes)
    for frame in (filled.collectives, filled.work.filter(pl.col("kind").is_not_null())):
        sizes = frame.group_by("kind").agg(pl.col("message_bytes").unique())
        assert dict(sizes.iter_rows()).get("all_reduce") == [4_096]
        assert dict(sizes.iter_rows()).get("all_gather", [None]) == [None]
    assert run.collectives["message_bytes"].is_null().all()


def document_of(capsys: Capsys, trace: Path, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run_cli(capsys, "report", trace, "--json", "-", *options).out)
    return document


def test_document_holds_both_and_marks_what_is_stated(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    # 16 layers and 4096 x bf16; the capture opened after its graph was built, so the trace tells no size.
    shape = "hidden=4096,layers=16,batch=1,dtype=bf16"
    document = document_of(capsys, real_trace("tp4_slow"), "--model", shape)
    assert document["expectation"] == {
        "source": f"--model {shape}",
        "all_reduces": {"expected": 32, "measured": 32, "differs": False},
        "bytes": {"expected": 8_192, "measured": [], "differs": False, "filled_in": 1_536},
    }
    assert {row["bytes"] for row in document["collectives"]} == {8_192}
    (quality,) = (row for row in document["quality"] if row["id"] == "message_bytes")
    assert (quality["status"], "--model" in quality["reason"]) == ("estimated", True)
    assert not {"count_differs", "bytes_differ"} & {finding["id"] for finding in document["findings"]}


def test_a_model_that_differs_is_a_finding(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    document = document_of(capsys, real_trace("tp4_graph_node"), "--model", "hidden=8192,layers=32,batch=1,dtype=bf16")
    assert document["expectation"]["all_reduces"] == {"expected": 64, "measured": 32, "differs": True}
    assert document["expectation"]["bytes"]["differs"] is True
    found = {finding["id"]: finding for finding in document["findings"]}
    assert found["count_differs"]["figures"] == {"expected": 64, "measured": 32}
    assert found["bytes_differ"]["figures"] == {"expected": 16_384, "measured": 8_192}


def test_nothing_stated_is_null(tmp_path: Path, capsys: Capsys) -> None:
    assert document_of(capsys, paper_trace(tmp_path / "t.sqlite"))["expectation"] is None


def test_graph_blocks_show_no_call_to_count(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    document = document_of(capsys, real_trace("tp4_graph_graph"), "--layers", "16")
    assert document["expectation"]["all_reduces"] == {"expected": 32, "measured": None, "differs": False}


def test_summary_and_page_tell_both(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--layers", "1", "-o", "p.html")
    assert "expected  2 all-reduces a step, measured 2 (by --layers 1)" in result.out
    assert "2 all-reduces a step, measured 2 (by --layers 1)" in Path("p.html").read_text("utf-8")


@pytest.mark.parametrize(
    "options", [("--layers", "0"), ("--layers", "x"), ("--model", "a=b"), ("--message-bytes", "0")], ids=" ".join
)
def test_wrong_options_are_usage_errors(tmp_path: Path, capsys: Capsys, options: tuple[str, ...]) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), *options)
    assert result.code == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "t.sqlite"]
