"""Ranks on several machines: nodes by host name, calls that cross them, and half of a group in the trace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import nsysan
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from tests.clitools import run_cli
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

NAMES = ("gpu-a17.example", "gpu-a18.example")
STEPS = 24
WORLD = 0xABC


def node(path: Path, number: int, *, host: str | None, wire_us: int = 30, ranks: int = 4, world: int = 8) -> Path:
    """One host of a TP run: a step of 260 us has 4 layers of 20 us compute and an all-reduce, and 20 us between steps.

    Rank 5 computes 10 us longer in each layer.
    """
    builder = TraceBuilder()
    if host is not None:
        builder.host(host)
    layer = 30 + wire_us
    for own in range(ranks):
        rank = ranks * number + own
        process = builder.process(100 + rank, device=own)
        process.comm_init(comm=WORLD, nranks=world, rank=rank, device=own)
        for step in range(STEPS):
            at = 1_000_000 + (4 * layer + 20) * 1_000 * step
            process.nvtx(f"decode_step_{step}", at - 20_000, at - 1_000)
            for place in range(4):
                begin, issued = at + 1_000 * layer * place, at - 19_000 + 2_000 * place
                arrived = begin + (30_000 if rank == 5 else 20_000)
                process.kernel(COMPUTE_KERNEL, begin, arrived, launch=(issued, issued + 400))
                process.nccl("ncclAllReduce", issued + 500, issued + 1_500, bytes=8192, comm=WORLD)
                process.kernel(ALLREDUCE_KERNEL, arrived, begin + 1_000 * layer, launch=(issued + 600, issued + 1_400))
    return builder.write(path)


def both(tmp_path: Path, hosts: Sequence[str | None], wire_us: int = 30) -> Report:
    paths = [node(tmp_path / f"n{n}.sqlite", n, host=host, wire_us=wire_us) for n, host in enumerate(hosts)]
    return build_report(nsysan.analyze(paths), "0", timelines=False)


def ids(report: Report) -> set[str]:
    return {finding.id for finding in report.findings}


def test_tensor_parallelism_wider_than_a_node_is_the_finding(tmp_path: Path) -> None:
    report = both(tmp_path, NAMES)
    document = document_of(report)
    assert [rank["host"] for rank in document["ranks"]] == [0] * 4 + [1] * 4
    assert document["replicas"][0]["layout"] == "TP=8 over 2 nodes"
    (family,) = document["collectives"]
    assert (family["nodes"], family["ranks"], family["wire_ns"]["p50"], family["wait_ns"]["p50"]) == (
        2,
        8,
        30_000,
        10_000,
    )
    (finding,) = (row for row in document["findings"] if row["id"] == "tp_across_nodes")
    assert finding["title"].startswith("TP=8 is wider than a node")
    assert finding["evidence"].startswith("ranks 0 to 3 on node 0; ranks 4 to 7 on node 1; ")
    assert (finding["figures"]["wire_ns"], finding["severity"]) == (120_000, "high")
    # Neither NVLink nor what runs over peers' memory can be had there.
    assert not {"wrong_wire", "nccl_for_small", "tp_too_wide"} & ids(report)
    assert (document["link"]["looks_like"], report.link.across) == (None, 2)
    assert "cross a network, as they must" in report.link.sentence
    assert "over 8 ranks on 2 nodes" in to_text(report)


def test_hosts_are_numbered_and_not_named(tmp_path: Path) -> None:
    report = both(tmp_path, NAMES)
    told = to_text(report) + repr(document_of(report))
    assert not any(name.split(".")[0] in told for name in NAMES)


def test_a_redacted_report_numbers_the_same_hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [node(tmp_path / f"n{n}.sqlite", n, host=host) for n, host in enumerate(NAMES)]
    result = run_cli(capsys, "report", *paths, "--redact", "--json", "-", "-q")
    assert result.code == 0
    assert [rank["host"] for rank in json.loads(result.out)["ranks"]] == [0] * 4 + [1] * 4
    assert not any(name.split(".")[0] in result.out for name in NAMES)


@pytest.mark.parametrize("hosts", [("one", "one"), (None, None), ("host", "host"), ("one", None)])
def test_without_names_that_differ_nothing_crosses(tmp_path: Path, hosts: tuple[str | None, str | None]) -> None:
    report = both(tmp_path, hosts)
    assert "tp_across_nodes" not in ids(report)
    assert "wrong_wire" in ids(report)
    known = 0 if hosts == ("one", "one") else None
    assert report.ranks[-1].host == known
    assert report.replicas[0].layout.name == "TP=8"


def test_nodes_that_one_switch_joins_are_one(tmp_path: Path) -> None:
    # 14 us is what NVLink takes for 8 KB over 8 ranks.
    report = both(tmp_path, NAMES, wire_us=14)
    assert (report.link.looks_like, report.link.across) == ("nvlink", 1)
    assert "tp_across_nodes" not in ids(report)


def test_half_of_a_group_cannot_be_split(tmp_path: Path) -> None:
    report = build_report(nsysan.analyze(node(tmp_path / "n0.sqlite", 0, host=NAMES[0])), "0", timelines=False)
    document = document_of(report)
    assert document["replicas"][0]["layout"] == "TP=8 (4 of its ranks in the trace)"
    assert document["verdict"]["kind"] == "inconclusive"
    assert {(row["wait_ns"], row["wire_ns"], row["comm_unsplit_ns"]) for row in document["per_rank"]} == {
        (None, None, 160_000)
    }
    rows = {row["id"]: row["status"] for row in document["quality"]}
    assert (rows["missing_ranks"], rows["wait_wire"]) == ("not_measurable", "not_measurable")
    assert document["straggler"] is None
    assert "layout    TP=8 (4 of its ranks in the trace)" in to_text(report)
