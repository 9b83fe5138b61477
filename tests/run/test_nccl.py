"""What NCCL says of a run: whose a log is, and that its word outranks what latency suggests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan.cli.inputs import logs_of
from nsysan.diagnosis.algorithms import algorithms_of, told_link
from nsysan.diagnosis.findings import Finding, find
from nsysan.diagnosis.quality_nccl import assess_nccl
from nsysan.diagnosis.quality_wire import assess_wire
from nsysan.metrics.link import Link
from nsysan.metrics.told_link import ToldPairs, as_told
from nsysan.model.gpu_links import LinkKind
from nsysan.report.build import build_report
from nsysan.report.json_values import UnusableJson
from nsysan.report.read_back import report_document
from nsysan.report.report import Report
from nsysan.run.nccl_choices import Nccl, Transport, TransportKind, choices
from nsysan.run.run import Run
from nsysan.trace.nccl_files import read_logs
from nsysan.trace.nccl_log import LogReader, NcclLog
from tests.clitools import paper_trace, run_cli
from tests.documents import document_of
from tests.nccllogs import COSTS, RankLog, write_logs
from tests.tracebuilder import TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]
SHM, P2P, NET = "SHM/direct/direct", "P2P/CUMEM", "NET/IB/0/GDRDMA"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four H200 in a loop of 8 KiB all-reduces, on a machine that is called node-a."""
    builder = TraceBuilder()
    builder.host("node-a.example.com")
    decode_loop(builder, late={1: 3_000})
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path_factory.mktemp("nccl") / "t.sqlite")))


def log_of(*logs: RankLog) -> NcclLog:
    found = NcclLog()
    for log in logs:
        LogReader(found).read(log.lines())
    return found


def of_all(**told: object) -> NcclLog:
    return log_of(*(RankLog(rank, 4, 1000 + rank, **told) for rank in range(4)))  # type: ignore[arg-type]


def told(run: Run, *logs: NcclLog) -> Nccl:
    found = choices(run, logs)
    assert found is not None
    return found


_SILENT: dict[int, Report] = {}


def reported(run: Run, *logs: NcclLog) -> Report:
    """As build_report has it, which test_document_page_summary_and_markdown asks; all but NCCL's word is made once."""
    silent = _SILENT.setdefault(id(run), _SILENT.get(id(run)) or build_report(run, "0", timelines=False))
    nccl = choices(run, logs)
    link = told_link(silent.link, run, nccl, silent.collectives)
    quality = [row for row in silent.quality if row.id not in ("wire_speed", "link")]
    return replace(
        silent,
        nccl=nccl,
        link=link,
        algorithms=algorithms_of(nccl, silent.collectives),
        findings=find(run, silent.diagnosis, None, link, nccl, silent.collectives),
        quality=[*quality, *assess_wire(silent.collectives, link), *assess_nccl(run, nccl)],
    )


# ---- whose a log is


def test_what_the_logs_of_all_ranks_say(run: Run) -> None:
    found = told(run, of_all(multicast=False, settings={"NCCL_MAX_NCHANNELS": "2"}))
    assert (found.version, found.multicast, found.told, dict(found.others), found.doubts) == (
        "2.28.9",
        False,
        [0, 1, 2, 3],
        {},
        [],
    )
    assert found.transports == [
        Transport(ranks, TransportKind.P2P, P2P, 2) for ranks in ((0, 1), (0, 3), (1, 2), (2, 3))
    ]
    assert found.set_up is not None
    assert (found.set_up.ranks, found.set_up.nodes, found.set_up.channels) == (4, 1, 2)
    assert (found.set_up.rings, found.set_up.trees, found.set_up.nvls_channels) == (2, 2, 0)
    assert found.settings == {"NCCL_MAX_NCHANNELS": "2"}


def test_no_log_says_nothing(run: Run) -> None:
    assert choices(run, []) is None
    assert choices(run, [NcclLog(files=1)]) is None
    report = reported(run)
    assert report.nccl is None
    assert document_of(report)["nccl"] is None
    assert "nccl_log" not in {row.id for row in report.quality}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"pid": 77}, "no process of that number is a rank"),
        ({"host": "node-b"}, "another machine"),
        ({"bus": 0x1000}, "other GPUs"),
        ({"rank": 3, "bus": 0x30}, "other ranks of communicators than the trace tells"),
        ({"comm": 7}, "other communicators than the trace tells"),
    ],
)
def test_a_log_of_another_run_is_ignored_with_a_reason(run: Run, other: dict[str, int], why: str) -> None:
    log = log_of(replace(RankLog(0, usual=SHM), **other))  # type: ignore[arg-type]
    report = reported(run, log)
    assert report.nccl is not None
    assert (report.nccl.told, dict(report.nccl.others), report.nccl.transports) == ([], {why: 1}, [])
    (row,) = [row for row in report.quality if row.id == "nccl_log"]
    assert row.status == "not_measurable"
    assert row.reason == f"1 process in the logs ignored as not of this run: {why}"
    assert not report.link.told
    assert document_of(report)["nccl"]["transports"] == []
    # Beside those of the run it takes nothing away.
    both = told(run, log_of(*(RankLog(rank, 4, 1000 + rank) for rank in range(1, 4))), log)
    assert both.told == [1, 2, 3]
    assert {t.kind for t in both.transports} == {TransportKind.P2P}


def test_an_older_version_names_communicators_otherwise(run: Run) -> None:
    assert told(run, log_of(RankLog(0, comm=7, version="2.19.3"))).told == [0]


def test_a_masked_log_and_a_nameless_machine_fit(run: Run) -> None:
    assert told(run, of_all(host="<host>")).told == [0, 1, 2, 3]
    assert told(run, of_all(host="NODE-A")).told == [0, 1, 2, 3]
    nameless = replace(run, metadata=[replace(one, host=None) for one in run.metadata])
    assert told(nameless, of_all(host="node-z")).told == [0, 1, 2, 3]


def test_ranks_of_which_there_is_no_log(run: Run) -> None:
    found = told(run, log_of(RankLog(0)))
    # One communicator has all ranks, and numbers the one that is known as the run does.
    assert found.transports == [Transport((0, 1), TransportKind.P2P, P2P, 2)]
    report = reported(run, log_of(RankLog(0)))
    (row,) = [row for row in report.quality if row.id == "nccl_log"]
    assert (row.status, row.reason) == ("estimated", "logs of NCCL 2.28.9 of 1 rank; no log of ranks 1 to 3")


def test_a_process_is_heard_once(run: Run) -> None:
    calls = ["AllReduce: 8192 Bytes -> Algo RING proto LL channel{Lo..Hi}={0..0}"]
    assert told(run, of_all(calls=calls), of_all(calls=calls)).calls == {("all_reduce", 8192, "Ring", "LL"): 4}


def test_numbers_beyond_reason(run: Run) -> None:
    assert told(run, log_of(RankLog(0, 900_000_000, version="2.28.9"))).others == {
        "other ranks of communicators than the trace tells": 1
    }


# ---- the link


def link(looks_like: LinkKind | None, kind: LinkKind = LinkKind.NVLINK) -> Link:
    return Link("H200 SXM", kind, 450.0, "a table", looks_like, ("8 KiB take 40 us",))


@pytest.mark.parametrize(
    ("inferred", "pairs", "looks_like", "against"),
    [
        (None, {None: 6}, "nvlink", None),
        ("nvlink", {None: 6}, "nvlink", None),
        ("pcie", {None: 6}, "pcie", None),
        # From GPU to GPU is not through the host, however slow it is.
        ("host_memory", {None: 6}, "nvlink", "host_memory"),
        (None, {LinkKind.HOST_MEMORY: 6}, "host_memory", None),
        ("nvlink", {None: 5, LinkKind.HOST_MEMORY: 1}, "host_memory", "nvlink"),
        ("host_memory", {LinkKind.HOST_MEMORY: 5, LinkKind.NETWORK: 1}, "network", "host_memory"),
        ("host_memory", {}, "host_memory", None),
    ],
)
def test_the_log_outranks_what_is_inferred(
    inferred: str | None, pairs: dict[LinkKind | None, int], looks_like: str, against: str | None
) -> None:
    before = link(None if inferred is None else LinkKind(inferred))
    found = as_told(before, ToldPairs(pairs))
    assert (found.looks_like, found.against, found.told) == (looks_like, against, bool(pairs))
    assert ("suggest" in found.sentence) == (against is not None)


def test_pairs_without_nvlink_are_as_they_must_be() -> None:
    pairs = {None: 4, LinkKind.HOST_MEMORY: 2}
    assert as_told(link(None), ToldPairs(pairs, 2)).looks_like == "nvlink"
    assert as_told(link(None), ToldPairs(pairs, 1)).looks_like == "host_memory"


def test_ranks_of_other_machines_and_runs_without_nccl_are_not_told_of(run: Run) -> None:
    nccl, families = told(run, of_all(usual=NET)), reported(run).collectives
    assert told_link(link(None), run, nccl, families).looks_like == "network"
    apart = replace(run, ranks=[replace(rank, host=rank.rank) for rank in run.ranks])
    assert told_link(link(None), apart, nccl, families) == link(None)
    custom = [replace(family, library="vLLM") for family in families]
    assert told_link(link(None), run, nccl, custom) == link(None)


# ---- findings


def ids(report: Report) -> set[str]:
    return {str(finding.id) for finding in report.findings}


def test_p2p_that_a_variable_turns_off_is_one_finding(run: Run) -> None:
    report = reported(run, of_all(usual=SHM, settings={"NCCL_P2P_DISABLE": "1"}))
    assert ids(report) & {"wrong_wire", "p2p_disabled"} == {"p2p_disabled"}
    (finding,) = [finding for finding in report.findings if finding.id == "p2p_disabled"]
    assert finding.severity == "high"
    assert finding.title == (
        "NCCL_P2P_DISABLE=1 turns peer-to-peer off: collectives run over host memory, not over NVLink"
    )
    assert "NCCL's log says SHM between 4 pairs of ranks" in finding.evidence
    assert next(row.status for row in report.quality if row.id == "link") == "ok"


def test_a_detour_that_no_variable_explains(run: Run) -> None:
    report = reported(run, log_of(*(RankLog(r, 4, 1000 + r, via={2: SHM}) for r in range(4))))
    assert ids(report) & {"wrong_wire", "p2p_disabled"} == {"wrong_wire"}
    (finding,) = [finding for finding in report.findings if finding.id == "wrong_wire"]
    assert "P2P between 3 pairs of ranks and SHM between 1 pair of ranks" in finding.evidence
    assert not ids(reported(run, of_all())) & {"wrong_wire", "p2p_disabled"}


@pytest.mark.parametrize(
    ("settings", "off"),
    [
        ({"NCCL_P2P_DISABLE": "0"}, None),
        ({"NCCL_P2P_LEVEL": "loc"}, "NCCL_P2P_LEVEL=LOC"),
        ({"NCCL_P2P_LEVEL": "NVL"}, None),
        ({}, None),
    ],
)
def test_what_turns_p2p_off(run: Run, settings: dict[str, str], off: str | None) -> None:
    assert told(run, of_all(settings=settings)).p2p_off == off


@pytest.mark.parametrize(
    ("said", "drawn"),
    [
        ({"multicast": False}, True),
        ({"multicast": True}, False),
        ({"multicast": None}, False),
        ({"settings": {"NCCL_NVLS_ENABLE": "0"}}, True),
        ({"settings": {"NCCL_NVLS_ENABLE": "2"}, "multicast": True}, False),
    ],
)
def test_no_multicast_where_the_gpus_have_it(run: Run, said: dict[str, object], drawn: bool) -> None:
    assert ("no_nvls" in ids(reported(run, of_all(**said)))) == drawn


def test_multicast_is_not_missed_on_gpus_without_it_or_by_two(run: Run) -> None:
    report, nccl = reported(run), told(run, of_all(multicast=False))
    assert nccl.set_up is not None
    older = replace(run, ranks=[replace(rank, model="NVIDIA A100-SXM4-80GB") for rank in run.ranks])
    two = replace(nccl, set_up=replace(nccl.set_up, ranks=2))
    for of, said, drawn in ((run, nccl, True), (older, nccl, False), (run, two, False)):
        found = find(of, report.diagnosis, None, report.link, said, report.collectives)
        assert ("no_nvls" in {finding.id for finding in found}) == drawn


def test_algorithms_printed_and_by_the_table(run: Run) -> None:
    report = reported(run, log_of(RankLog(0, costs=COSTS)))
    (row,) = report.algorithms
    # 10 us and 8192 B at 70 GB/s; Tree: 10.4 and 0.19.
    assert (row.kind, row.bytes, row.algorithm, row.protocol, row.source) == ("all_reduce", 8192, "Ring", "LL", "table")
    assert row.us == pytest.approx(10.0 + 8192 / 70_000)
    assert row.calls is None
    calls = ["AllReduce: 8192 Bytes -> Algo TREE proto LL channel{Lo..Hi}={0..0}"] * 3
    (row,) = reported(run, log_of(RankLog(0, costs=COSTS, calls=calls))).algorithms
    assert (row.algorithm, row.protocol, row.calls, row.source) == ("Tree", "LL", 3, "calls")
    assert row.best is not None
    assert row.best[:2] == ("Ring", "LL")
    assert document_of(reported(run, log_of(RankLog(0, calls=calls))))["nccl"]["algorithms"] == [
        {
            "kind": "all_reduce",
            "bytes": 8192,
            "algorithm": "Tree",
            "protocol": "LL",
            "source": "calls",
            "calls": 3,
            "table_ns": None,
            "fastest": None,
        }
    ]


def test_a_version_that_prints_no_kind_has_it_from_the_trace(run: Run) -> None:
    calls = ["8192 Bytes -> Algo 1 proto 0 time 9.100000", "512 Bytes -> Algo 0 proto 1 time 9.100000"]
    rows = reported(run, log_of(RankLog(0, calls=calls))).algorithms
    assert [(row.kind, row.bytes, row.algorithm, row.protocol) for row in rows] == [
        (None, 512, "Tree", "LL128"),
        ("all_reduce", 8192, "Ring", "LL"),
    ]


def test_against_the_tuning_table(run: Run) -> None:
    def found(protocol: str, **said: object) -> dict[str, object]:
        calls = [f"AllReduce: 8192 Bytes -> Algo TREE proto {protocol} channel{{Lo..Hi}}={{0..0}}"]
        report = reported(run, log_of(RankLog(0, costs=COSTS, calls=calls, **said)))  # type: ignore[arg-type]
        return {str(finding.id): finding for finding in report.findings}

    # Tree LL takes 10.6 us where Ring LL takes 10.1: NCCL corrects its table by more.
    assert not found("LL").keys() & {"against_table", "algorithm_set"}
    assert "algorithm_set" in found("LL", settings={"NCCL_ALGO": "Tree"})
    slower = found("SIMPLE")["against_table"]
    assert isinstance(slower, Finding)
    # Of two calls a step of 8 us each, all but 10.117 / 40.091.
    assert slower.saving == pytest.approx(2 * 8_000 * (1 - 10.117 / 40.091), abs=1)
    assert slower.saving_is == "estimate"
    assert "40.1 µs by the table as Tree Simple, 10.1 µs as Ring LL" in slower.evidence
    forced = found("SIMPLE", settings={"NCCL_ALGO": "Tree"})
    assert "algorithm_set" not in forced
    assert "the environment sets NCCL_ALGO=Tree" in forced["against_table"].evidence  # type: ignore[attr-defined]


# ---- where it is shown


def test_document_page_summary_and_markdown(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    paths = write_logs(trace, usual=SHM, settings={"NCCL_P2P_DISABLE": "1"}, multicast=False, costs=COSTS)
    page, markdown = tmp_path / "p.html", tmp_path / "m.md"
    got = run_cli(capsys, "report", trace, "-o", page, "--markdown", markdown, "-v")
    assert got.code == 0, got.err
    said = "NCCL 2.28.9 says: SHM/direct/direct between all 4 connected pairs of ranks; 2 channels, 2 rings, 2 trees"
    assert said in " ".join(got.out.split())
    assert said in " ".join(markdown.read_text("utf-8").replace("\\", "").split())
    text = page.read_text("utf-8")
    assert 'id="nccl"' in text
    assert all(words in text for words in ("SHM/direct/direct", "Ring LL", "tuning table", "NCCL_P2P_DISABLE=1"))
    for output in (got.out, text, markdown.read_text("utf-8")):
        assert "node-a" not in output
    # By name they say the same.
    document = document_of(build_report(nsysan.analyze(trace), "0", timelines=False))
    for path in paths:
        path.rename(tmp_path / f"elsewhere.{path.name}")
    run = nsysan.analyze(trace)
    assert choices(run, []) is None
    named = [read_logs([tmp_path / f"elsewhere.{path.name}"]) for path in paths]
    assert document_of(build_report(run, "0", timelines=False, nccl_logs=named)) == document
    read = report_document(document, "r.json").nccl
    assert read is not None
    assert (read.version, len(read.transports), read.transports[0].via) == ("2.28.9", 4, SHM)
    (row,) = read.algorithms
    assert (row.bytes, row.algorithm, row.protocol, row.source) == (8192, "Ring", "LL", "table")
    document["nccl"]["transports"][0]["ranks"] = [0]
    with pytest.raises(UnusableJson, match=r"nccl\.transports\[0\]\.ranks is no pair of ranks"):
        report_document(document, "r.json")
    del document["nccl"]
    assert report_document(document, "r.json").nccl is None


def test_logs_by_name(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    folder = tmp_path / "logs"
    folder.mkdir()
    write_logs(folder / "x.sqlite")
    for arguments in (("--nccl-log", folder / "x.nccl.*.log"),):
        got = run_cli(capsys, "report", trace, "-q", "--json", tmp_path / "r.json", "--force", *arguments)
        assert got.code == 0, got.err
        assert '"P2P/CUMEM"' in (tmp_path / "r.json").read_text("utf-8")
    assert len(logs_of((folder,))) == 1
    for missing in (tmp_path / "none.log", tmp_path / "none.*.log"):
        got = run_cli(capsys, "report", trace, "--nccl-log", missing)
        assert got.code == 3
        assert "Traceback" not in got.err


def test_a_real_trace(analyzed: Callable[[str], Run]) -> None:
    run = analyzed("tp4_graph_node")
    own = int(run.metadata[0].inits[0].communicator)

    def told_by(comm: int) -> Nccl:
        return told(run, log_of(*(RankLog(rank.rank, 4, rank.pid, comm=comm, multicast=False) for rank in run.ranks)))

    nccl = told_by(own)
    assert nccl.told == [0, 1, 2, 3]
    found = reported(run, log_of(*(RankLog(rank.rank, 4, rank.pid, comm=own) for rank in run.ranks))).link
    assert (found.looks_like, found.told, found.against) == ("nvlink", True, None)
    # Its communicators are told, so that one with another is of another run.
    assert (told_by(own + 1).told, told_by(own + 1).others) == ([], {"other communicators than the trace tells": 4})


def test_ranks_that_nccl_takes_to_be_on_several_machines(run: Run) -> None:
    logs = [RankLog(rank, 4, 1000 + rank, usual=NET) for rank in range(4)]
    apart = NcclLog()
    for log in logs:
        LogReader(apart).read(line.replace("nNodes 1", "nNodes 2") for line in log.lines())
    for said, drawn in ((log_of(*logs), False), (apart, True)):
        (finding,) = [finding for finding in reported(run, said).findings if finding.id == "wrong_wire"]
        assert finding.title == "collectives run over a network, not over NVLink"
        assert ("NCCL takes the ranks to be on 2 machines" in finding.evidence) == drawn
