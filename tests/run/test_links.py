"""The table of links, and which link a trace's collectives ran over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import nsysan
from nsysan.metrics.link import Link, Message, judge_link
from nsysan.model.gpu_links import GpuLink, LinkKind, load_links
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.trace.topology import Topology, parse_topology
from tests.documents import document_of
from tests.tracebuilder import TraceBuilder, decode_loop

TABLE = load_links()


def gpu(name: str) -> GpuLink:
    row = TABLE.find(name)
    assert row is not None
    return row


H200, A100, L40S, H100_PCIE = map(gpu, ("NVIDIA H200", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S", "NVIDIA H100 PCIe"))


# ---- the table


@pytest.mark.parametrize("row", TABLE.gpus, ids=lambda row: row.name)
def test_every_row_is_found_by_its_examples_and_has_a_source(row: GpuLink) -> None:
    assert row.examples
    assert row.source
    assert not any(word in row.source for word in ("assumed", "third-party")), "say what it is derived from"
    assert [TABLE.find(name) for name in row.examples] == [row] * len(row.examples)
    assert row.kind in ("nvlink", "pcie")
    assert (row.kind == "nvlink") == (row.links is not None) == (row.generation is not None)
    assert row.gbps >= row.pcie_gbps > 0
    if row.chip is not None:
        middle = sum(row.memory_gbps) / 2 * 1e9
        assert TABLE.find(None, row.chip, round(middle), row.sms[0]) is row


@pytest.mark.parametrize(
    ("name", "chip", "bandwidth", "sms", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "GH100", 3_352_320_000_000, 132, "H100 SXM"),
        ("", "GH100", 3_352_320_000_000, 132, "H100 SXM"),
        (None, "GH100", 4_916_736_000_000, 132, "H200 SXM"),
        (None, "GH100", 4_814_304_000_000, 132, "H200 SXM"),
        (None, "GH100", 4_022_784_000_000, 78, "H20"),
        (None, "GA100", 2_039_040_000_000, 108, "A100 SXM"),
        (None, "GV100", 898_048_000_000, 80, "V100 SXM"),
        ("NVIDIA H20", "GH100", 4_022_784_000_000, 78, "H20"),
        # 40 GB on SXM and on PCIe are alike but for the name; old recordings tell nothing.
        (None, "GA100", 1_555_200_000_000, 108, None),
        ("", "", 0, 0, None),
        (None, None, None, None, None),
        ("NVIDIA GeForce RTX 4090", "AD102", 1_008_000_000_000, 128, None),
        ("NVIDIA H800", "GH100", 3_352_320_000_000, 132, "H800 SXM"),
        ("NVIDIA GH200 480GB", "GH100", 4_022_784_000_000, 132, "GH200"),
        ("NVIDIA A100-PCIE-40GB", "GA100", 1_555_200_000_000, 108, "A100 PCIe"),
        ("NVIDIA A800-SXM4-40GB", "GA100", 1_555_200_000_000, 108, "A800 SXM"),
        ("NVIDIA B300 SXM6 AC", None, None, None, "B300"),
        ("NVIDIA GB300", None, None, None, "GB200"),
        ("NVIDIA H100 NVL", "GH100", 3_938_000_000_000, 132, "H100 NVL"),
    ],
)
def test_gpus_as_traces_show_them(
    name: str | None, chip: str | None, bandwidth: int | None, sms: int | None, expected: str | None
) -> None:
    found = TABLE.find(name, chip, bandwidth, sms)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(("ranks", "ns"), [(2, 6_200), (4, 8_900), (8, 14_400)])
def test_measured_latencies_of_nvlink_4(ranks: int, ns: int) -> None:
    found = TABLE.small_latency(LinkKind.NVLINK, 4, ranks, 8_192, 450)
    assert (found.ns, found.measured) == (ns, True)


@pytest.mark.parametrize(("ranks", "us"), [(2, 7.8), (4, 10.2), (8, 15.0)])
def test_nccls_model_of_a_ring(ranks: int, us: float) -> None:
    assert TABLE.ring("all_reduce", LinkKind.NVLINK, ranks, 0, 450) == pytest.approx(us * 1e3)
    found = TABLE.small_latency(LinkKind.NVLINK, 3, ranks, 0, 300)
    assert not found.measured
    assert found.ns == pytest.approx(us * 1e3)


def test_nccls_model_of_large_messages() -> None:
    # Simple: 8.4 us and six steps of 3.4; 256 MB times 6 / 4 at 0.8 * 450 GB/s.
    found = TABLE.ring("all_reduce", LinkKind.NVLINK, 4, 256e6, 450)
    assert found == pytest.approx((8.4 + 6 * 3.4) * 1e3 + 256e6 * 1.5 / 360)
    assert TABLE.ring("all_gather", LinkKind.NVLINK, 4, 0, 450) == pytest.approx((6.6 + 3 * 0.6) * 1e3)
    assert TABLE.ring("broadcast", LinkKind.NVLINK, 4, 0, 450) is None


# ---- which link it looks like


def small(us: float, *, ranks: int = 4, size: int = 8_192, library: str = "NCCL", calls: int = 100) -> Message:
    return Message("all_reduce", library, "collective", size, ranks, calls, round(us * 1e3), 1.0)


def large(busbw: float, size: int = 16_000_000) -> Message:
    return Message("all_reduce", "NCCL", "collective", size, 4, 100, 1, busbw)


def judged(row: GpuLink | None, *messages: Message, topology: Topology | None = None) -> Link:
    return judge_link(row, messages, TABLE, topology)


@pytest.mark.parametrize(
    ("us", "ranks", "expected"),
    [
        (8.1, 4, "nvlink"),
        (11.1, 4, "nvlink"),
        (11.9, 4, None),
        (14.8, 4, "host_memory"),
        (24.0, 4, "network"),
        (60.0, 4, None),
        (5.8, 2, "nvlink"),
        (8.2, 2, None),
        (9.2, 2, "host_memory"),
        (13.0, 2, "network"),
    ],
)
def test_by_the_latency_of_small_messages(us: float, ranks: int, expected: str | None) -> None:
    found = judged(H200, small(us, ranks=ranks))
    assert found.looks_like == expected
    assert found.wrong == (expected not in (None, "nvlink"))
    assert "up to 1.25, another from 1.4" in found.evidence[0]


@pytest.mark.parametrize(("busbw", "expected"), [(300, "nvlink"), (65, "nvlink"), (55, None), (29, "host_memory")])
def test_by_the_bandwidth_of_large_messages(busbw: float, expected: str | None) -> None:
    assert judged(H200, large(busbw)).looks_like == expected


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        # Nothing but NVLink carries that much, so something else slows small messages down.
        ((small(14.8), large(300)), "nvlink"),
        ((small(14.8), large(29)), "host_memory"),
        ((small(24.0), large(20)), "network"),
        ((small(8.1), large(29)), None),
        ((small(11.9), large(29)), "host_memory"),
    ],
)
def test_both_together(messages: tuple[Message, ...], expected: str | None) -> None:
    found = judged(H200, *messages)
    assert found.looks_like == expected
    assert len(found.evidence) == 2


@pytest.mark.parametrize(
    "message",
    [
        small(30, size=2_048),
        small(30, size=131_072),
        small(30, library="vLLM"),
        small(30, calls=5),
        Message("all_reduce", "NCCL", "fused", 8_192, 4, 100, 30_000, None),
        Message("all_gather", "NCCL", "collective", 8_192, 4, 100, 30_000, 1.0),
    ],
)
def test_what_proves_nothing(message: Message) -> None:
    found = judged(H200, message)
    assert (found.looks_like, found.evidence, found.wrong) == (None, (), False)


def test_a_model_that_was_never_measured_gets_more_room() -> None:
    # NCCL's model of A100 at four ranks: 10.2 us and 8 KiB at 120 GB/s.
    assert judged(A100, small(15.0)).looks_like is None
    assert judged(A100, small(12.0)).looks_like == "nvlink"
    found = judged(A100, small(19.0))
    assert found.looks_like in ("host_memory", "network")
    assert "NCCL's model" in found.evidence[0]


def test_gpus_on_pcie() -> None:
    assert judged(L40S, large(24)).looks_like == "pcie"
    assert judged(L40S, large(14)).looks_like == "host_memory"
    assert judged(L40S, large(2)).looks_like is None
    assert judged(H100_PCIE, large(120)).looks_like == "nvlink"
    assert judged(L40S, small(12.0)).looks_like == "pcie"


def test_a_gpu_that_is_not_in_the_table() -> None:
    found = judged(None, small(8.1), large(300))
    assert (found.kind, found.peak_gbps, found.looks_like) == (None, None, None)
    assert judge_link(None, [], TABLE, link_gbps=100).peak_gbps == 100


# ---- with the topology of the machine


def matrix(kind: str, other: str | None = None) -> Topology:
    rows = [["X", kind, other or kind], [kind, "X", kind], [other or kind, kind, "X"]]
    return parse_topology("\n".join(f"GPU{i}\t" + "\t".join(row) for i, row in enumerate(rows)))


def test_topology_says_what_the_gpus_have() -> None:
    same = judged(H200, topology=matrix("NV18"))
    assert (same.kind, same.peak_gbps, same.source) == ("nvlink", 450, H200.source)
    fewer = judged(H200, topology=matrix("NV6"))
    assert (fewer.kind, fewer.peak_gbps) == ("nvlink", 150)
    bridge = judged(H100_PCIE, topology=matrix("NV12"))
    assert (bridge.kind, bridge.peak_gbps) == ("nvlink", 300)
    none = judged(gpu("NVIDIA H200 NVL"), topology=matrix("PHB"))
    assert (none.kind, none.peak_gbps) == ("pcie", 64)
    mixed = judged(H200, topology=matrix("NV18", "SYS"))
    assert (mixed.kind, mixed.evidence[0]) == (
        "nvlink",
        "the capture's topology shows 1 of 3 pairs of GPUs without NVLink (NV18, SYS)",
    )


def test_a_report_reads_the_topology_beside_the_trace(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2)
    path = builder.write(tmp_path / "run.sqlite")
    (tmp_path / "run.topology.txt").write_text("GPU0\tX\tNV6\nGPU1\tNV6\tX\n", encoding="utf-8")
    link = build_report(nsysan.analyze(nsysan.open_trace(path)), "0", timelines=False).link
    assert (link.peak_gbps, link.kind) == (150, "nvlink")
    assert link.evidence[0] == "the capture's topology shows NV6 between the GPUs"


# ---- in a report


@pytest.mark.parametrize(("wire", "expected"), [(6_000, "nvlink"), (9_500, "host_memory"), (8_000, None)])
def test_paper_traces(tmp_path: Path, wire: int, expected: str | None) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, steps=16, wire_ns=wire)
    report = build_report(
        nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "run.sqlite"))), "0", timelines=False
    )
    told = document_of(report)["link"]
    assert (told["kind"], told["looks_like"], told["peak_gbps"]) == ("nvlink", expected, 450)
    assert told["thresholds"]["other_ratio"] == 1.4
    assert told["evidence"]
    (status,) = (q.status for q in report.quality if q.id == "link")
    assert status == ("ok" if expected == "nvlink" else "estimated")
    assert ("look like host memory" in to_text(report)) == (expected == "host_memory")


def test_real_traces_ran_over_nvlink(reported: Callable[[str], Report]) -> None:
    for name in ("tp4_graph_node", "tp4_eager", "tp4_slow3", "tp2_slow0", "tp2_late1"):
        assert reported(name).link.looks_like == "nvlink", name
