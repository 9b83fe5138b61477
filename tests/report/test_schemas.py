"""The schema files of the JSON documents: that they are schemas, that documents are as they say, and the reverse."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import meta

import nsysan
from nsysan.compare import comparison
from nsysan.compare.changes import compare
from nsysan.compare.compared_run import compared_run
from nsysan.compare.comparison import ComparedRun, Comparison
from nsysan.diagnosis import verdict
from nsysan.diagnosis.algorithms import AlgorithmSource
from nsysan.diagnosis.evidence import Status
from nsysan.diagnosis.expectation import expectation
from nsysan.diagnosis.findings.kinds import SavingIs, Severity
from nsysan.diagnosis.latecomers import LATE_CAUSES
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.info.info import build_info, to_info_document
from nsysan.light.products import Product
from nsysan.light.waterfall import Loss
from nsysan.metrics import change_rule, ledger, link
from nsysan.metrics.causes import GapCause
from nsysan.metrics.coverage import Rest
from nsysan.metrics.lines import LINES, Line
from nsysan.metrics.tail_causes import TAILS, TailCause
from nsysan.model import classes
from nsysan.model.gpu_links import LinkKind
from nsysan.model.kernel_groups import KernelGroup
from nsysan.model.steps.step_kind import StepMethod
from nsysan.replay.path import CLASSES
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.run.nccl_choices import TransportKind
from nsysan.trace.graph_mode import GraphMode
from nsysan.trace.nccl_files import read_logs
from nsysan.trace.nccl_lines import ALGORITHMS, PROTOCOLS
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.documents import SCHEMAS, document_of, emitted, held, is_as_elsewhere, leaves, resolved, schema_of
from tests.fixtures import FIXTURES
from tests.mixtures import mixture
from tests.nccllogs import COSTS, write_logs
from tests.pipelines import pipeline
from tests.tracebuilder import TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]

REPORT, COMPARE, INFO, WHATIF = SCHEMAS
NAMES = sorted(path.name.split(".")[0] for path in FIXTURES.iterdir() if ".sqlite" in path.name)
TOGETHER = "rank_0 rank_1 rank_2 rank_3"
OLD = Path(__file__).parent.parent / "data" / "report_schema_1.json"
UNITS = {
    *("ns", "bytes", "GB/s", "share", "ratio", "count", "index", "deviation"),
    *("Hz", "percent", "tokens/s", "TFLOP/s", "counter", "by name", "see `unit`"),
}
#: Keys that only some documents have: which.
OPTIONAL = {
    REPORT: {
        "straggler.idle_ns": "causes of which the rank has more than the others",
        "verdict.shares": "what was weighed; nothing where replays are blocks, or no step is steady",
    },
    COMPARE: {"scaling.steps[].changed_ns": "lines that are not 0", "scaling.steps[].lost_ns": "lines that are not 0"},
    INFO: {},
    WHATIF: {},
}
#: Keys that no document below has: when one has them.
CONDITIONAL = {
    REPORT: {
        "humps[].count": "the median stands for no step",
        "humps[].p50_ns": "the median stands for no step",
        **{
            f"layers[].kernels[].{layer}.{key}": f"the {layer} layer has another kernel somewhere"
            for layer in ("first", "last")
            for key in ("name", "ns")
        },
        "straggler.idle_ns.dependency": "a late rank waits longer for another stream",
        "straggler.idle_ns.stage": "a late rank idles longer for want of another stage than the others",
        "straggler.idle_ns.sync": "a late rank's host waits longer in a synchronise call",
        "straggler.idle_ns.unknown": "a late rank idles longer before work without a launch record",
    },
    COMPARE: {
        f"scaling.steps[].{of}.{line}": "runs of several widths have such work"
        for of in ("changed_ns", "lost_ns")
        for line in set(LINES) - {Line.COMPUTE, Line.WAIT, Line.WIRE, Line.IDLE}
    },
    INFO: {},
    WHATIF: {},
}
#: Words that a key may have, and those that the code has.
WORDS = [
    (REPORT, "inputs[].graph_trace", GraphMode),
    (REPORT, "steps.method", StepMethod),
    (REPORT, "gaps[].cause", GapCause),
    (REPORT, "straggler.cause", (*LATE_CAUSES, None)),
    (REPORT, "critical_path[].class", CLASSES),
    (REPORT, "tail[].cause", TailCause),
    (REPORT, "slowest_steps[].cause", (*(cause for cause in TailCause if cause != TailCause.SPREAD), None)),
    (REPORT, "slowest_steps[].line", {row.line for row in TAILS.values()}),
    (REPORT, "steps.coverage.rest[].what", Rest),
    (REPORT, "verdict.kind", VerdictKind),
    (REPORT, "collectives[].class", classes.COMMUNICATION),
    (REPORT, "kernels[].group", KernelGroup),
    (REPORT, "compute[].groups[].group", KernelGroup),
    (REPORT, "layers[].kernels[].group", (*KernelGroup, None)),
    (REPORT, "link.looks_like", (*LinkKind, None)),
    (REPORT, "link.against", (*LinkKind, None)),
    (REPORT, "nccl.transports[].kind", TransportKind),
    (REPORT, "nccl.algorithms[].algorithm", ALGORITHMS),
    (REPORT, "nccl.algorithms[].protocol", PROTOCOLS),
    (REPORT, "nccl.algorithms[].source", AlgorithmSource),
    (REPORT, "nccl.algorithms[].fastest.algorithm", ALGORITHMS),
    (REPORT, "nccl.algorithms[].fastest.protocol", PROTOCOLS),
    (REPORT, "light_speed.products[].product", Product),
    (REPORT, "findings[].severity", Severity),
    (REPORT, "findings[].saving_is", (*SavingIs, None)),
    (REPORT, "quality[].status", Status),
    (COMPARE, "sides[].verdict", VerdictKind),
    (COMPARE, "sides[].straggler.cause", (*LATE_CAUSES, None)),
    (COMPARE, "sides[].link.looks_like", (*LinkKind, None)),
    (COMPARE, "sides[].quality[].status", Status),
    (
        COMPARE,
        "figures[].changes[].verdict",
        change_rule.ChangeVerdict,
    ),
    (COMPARE, "figures[].unit", (comparison.NS, comparison.TOKENS, comparison.GBPS, comparison.PERCENT)),
    (INFO, "graph_trace", GraphMode),
    (INFO, "collectives[].op_class", classes.COMMUNICATION),
]
#: Objects with a key for each word that the code has.
MAPPED = [
    (REPORT, "straggler.idle_ns", GapCause),
    (REPORT, "straggler.parts_ns", LATE_CAUSES),
    (REPORT, "verdict.thresholds", verdict.THRESHOLDS),
    (REPORT, "link.thresholds", link.THRESHOLDS),
    (REPORT, "light_speed.lost_ns", Loss),
    (REPORT, "per_rank[]", ("rank", *ledger.FIGURES, "collectives")),
    (COMPARE, "scaling.steps[].changed_ns", LINES),
    (COMPARE, "thresholds", change_rule.THRESHOLDS),
]


def nodes(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of a schema, and what it says of it."""

    def below(node: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if is_as_elsewhere(node):
            return
        node = resolved(node, schema)
        yield place, node
        for name, own in node.get("properties", {}).items():
            yield from below(own, f"{place}.{name}" if place else name)
        for own in [*node.get("prefixItems", []), *([node["items"]] if node.get("items") else [])]:
            yield from below(own, f"{place}[]")
        if isinstance(node.get("additionalProperties"), dict):
            yield from below(node["additionalProperties"], f"{place}{{}}")

    return below(schema, "")


def at(name: str, wanted: str) -> dict[str, Any]:
    return next(node for place, node in nodes(schema_of(name)) if place == wanted)


def types(node: dict[str, Any]) -> set[str]:
    told = node.get("type", [])
    return {told} if isinstance(told, str) else set(told)


# ---- the files


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_one_and_names_no_host_but_its_own_dialect(name: str) -> None:
    schema = schema_of(name)
    meta.validate(schema)
    assert schema.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == schema["properties"]["schema"]["const"] == name
    assert "$id" not in json.dumps(schema)
    assert "://" not in json.dumps(schema)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_has_a_description_and_every_number_a_unit(name: str) -> None:
    for place, node in nodes(schema_of(name)):
        # The entries of a list are told by the list.
        if not (place.endswith("[]") and "properties" in node):
            assert node["description"].endswith("."), place
        numeric = bool(types(node) & {"integer", "number"})
        assert numeric == ("unit" in node), place
        if numeric:
            assert node["unit"] in UNITS, place
            assert (node["unit"] == "ns") == bool(
                re.search(r"(^|[._])ns(_p50|(_per_step)?\W\w+)?$|^what_if\.(ranks\{\}|bounds\{\}\.(low|high))$", place)
            ), place
            assert (node["unit"] == "GB/s") == place.endswith("_gbps"), place


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_object_is_closed_and_has_all_its_keys(name: str) -> None:
    for place, node in nodes(schema_of(name)):
        if "object" not in types(node):
            continue
        assert "additionalProperties" in node, place
        keys = list(node.get("properties", {}))
        assert node.get("required", []) == ([] if place in OPTIONAL[name] else keys), place


@pytest.mark.parametrize(("name", "place", "words"), WORDS)
def test_words_are_those_of_the_code(name: str, place: str, words: Collection[str | None]) -> None:
    assert sorted(at(name, place)["enum"], key=str) == sorted(words, key=str)


@pytest.mark.parametrize(("name", "place", "words"), MAPPED)
def test_keys_are_those_of_the_code(name: str, place: str, words: Collection[str | None]) -> None:
    assert list(at(name, place)["properties"]) == list(words)


# ---- the documents


def lookalike_trace(path: Path) -> Path:
    builder = TraceBuilder()
    for process in decode_loop(builder, ranks=2):
        process.kernel("my_custom_allreduce_kernel", 2_000_000, 2_010_000)
        process.os_call("recv", 1_050_000, 1_051_000)
    return builder.write(path)


def assert_complete(name: str, documents: list[dict[str, Any]]) -> None:
    schema = schema_of(name)
    found = set().union(*(emitted(schema, document) for document in documents))
    assert leaves(schema) - found == CONDITIONAL[name].keys()


def test_every_report_is_as_its_schema_says_and_has_every_key(
    tmp_path: Path, reported: Callable[[str], Report], analyzed: Callable[[str], nsysan.Run]
) -> None:
    documents = [document_of(reported(names)) for names in (*NAMES, TOGETHER)]
    shape = "hidden=4096,layers=16,ffn=14336,heads=32,vocab=32000,batch=1,dtype=bf16"
    with_model = expectation(None, shape, None, context=512)
    documents.append(document_of(build_report(analyzed("tp2_metrics"), "0", with_model, timelines=False)))
    stated = expectation(2, "hidden=4096,batch=1,dtype=bf16", None)
    trace = lookalike_trace(tmp_path / "t.sqlite")
    documents.append(document_of(build_report(nsysan.analyze(nsysan.open_trace(trace)), "0", stated)))
    spoken = [read_logs(write_logs(trace, 2, costs=COSTS, multicast=True, settings={"NCCL_ALGO": "Ring"}))]
    told = build_report(nsysan.analyze(nsysan.open_trace(trace)), "0", timelines=False, nccl_logs=spoken)
    documents.append(document_of(told))
    piped = pipeline([20_000, 20_000], more={2: 5_000}, host=8_000).write(tmp_path / "p.sqlite")
    documents.append(document_of(build_report(nsysan.analyze(piped), "0", timelines=False)))
    told = documents[-2]["what_if"]["period_ns"]
    without = nsysan.analyze(nsysan.open_trace(trace))
    documents.append(document_of(build_report(without, "0", timelines=False, untraced=told)))
    mixed = nsysan.analyze(nsysan.open_trace(mixture(tmp_path / "m.sqlite")))
    documents.append(document_of(build_report(mixed, "0", timelines=False)))
    assert_complete(REPORT, documents)


def test_every_info_is_as_its_schema_says_and_has_every_key(tmp_path: Path, real_trace: Callable[[str], Path]) -> None:
    paths = [*map(real_trace, NAMES), lookalike_trace(tmp_path / "t.sqlite")]
    documents = [held(json.dumps(to_info_document(build_info(nsysan.open_trace(path))))) for path in paths]
    assert_complete(INFO, documents)


def test_every_comparison_is_as_its_schema_says_and_has_every_key(
    analyzed: Callable[[str], nsysan.Run], compared: Callable[[str], ComparedRun]
) -> None:
    def of(names: str, *predict: int) -> Comparison:
        labels = zip("ABCDE", names.split(), strict=False)
        if not predict:
            return compare([replace(compared(name), label=label) for label, name in labels], "0")
        sides = [compared_run(label, analyzed(name), "0", predicting=True) for label, name in labels]
        return compare(sides, "0", predict)

    sets = ("tp2_graph tp4_graph_node tp4_symm", "tp4_graph_node tp4_graph_graph", "tp4_slow3 tp4_eager tp4_fused")
    assert_complete(COMPARE, [*(document_of(of(names)) for names in sets), document_of(of(sets[0], 1, 4, 8))])


def paper_document(folder: Path) -> dict[str, Any]:
    """The report that OLD is of, as it is now."""
    trace = paper_trace(folder / "paper.sqlite", steps=8)
    return document_of(build_report(nsysan.analyze(nsysan.open_trace(trace)), "0.1.0", timelines=False))


def test_a_document_that_is_otherwise_is_not_let_through(tmp_path: Path) -> None:
    document = paper_document(tmp_path)
    held(json.dumps(document))
    del document["per_rank"]
    with pytest.raises(AssertionError, match='"per_rank" is a required property'):
        held(json.dumps(document))
    with pytest.raises(AssertionError, match="NaN in a JSON document"):
        held('{"schema": NaN}')


# ---- documents of before


def take_additions(new: object, old: object, place: str = "") -> Iterator[str]:
    """The places of keys that the new document has and the old has not; they are taken out of it."""
    if isinstance(new, dict) and isinstance(old, dict):
        for key in [key for key in new if key not in old]:
            del new[key]
            yield f"{place}.{key}".lstrip(".")
        for key in new:
            yield from take_additions(new[key], old[key], f"{place}.{key}")
    elif isinstance(new, list) and isinstance(old, list):
        for entry, other in zip(new, old, strict=False):
            yield from take_additions(entry, other, f"{place}[]")


def test_the_document_of_schema_1_differs_in_what_the_changelog_lists(tmp_path: Path) -> None:
    old, new = json.loads(OLD.read_text("utf-8")), paper_document(tmp_path)
    assert old.pop("schema") == "nsysan.report/1"
    assert new.pop("schema") == REPORT
    for row in old["findings"]:
        row["saves_ns"] = row.pop("saving_ns")
    assert old["findings"]
    # A row of the evidence is an addition as a key is.
    new["quality"] = [row for row in new["quality"] if row["id"] in {row["id"] for row in old["quality"]}]
    # What rests on a replay is told in other words, and asks less: of late ranks no thresholds over the steps.
    for row in (*new["quality"], *old["quality"]):
        if row["id"] in ("straggler", "what_if"):
            del row["reason"]
        else:
            # Figures are written in another style.
            row["reason"] = re.sub(r"[\d.,]+ ?(us|µs|ms|%|Ki?B)", "#", row["reason"])
    # The verdict is of other shares, and what has one root cause is one finding.
    for document in (old, new):
        del document["verdict"], document["findings"]
    for gone in ("previous", "graph"):
        del old["straggler"]["parts_ns"][gone]
    added = set(take_additions(new, old))
    assert new == old
    changes = (Path(__file__).parent.parent.parent / "CHANGELOG.md").read_text("utf-8")
    assert "`findings[].saving_ns` is `findings[].saves_ns`" in changes
    assert [place for place in added if f"`{place}`" not in changes] == []


def test_check_and_history_read_schema_1(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trace = paper_trace(tmp_path / "paper.sqlite", steps=8)
    rules = ("--fail-on", "period>1s", "--fail-on", "wire_p50>+1%", "--fail-on", "caused<+0%")
    against_old = run_cli(capsys, "check", trace, *rules, "--baseline", OLD)
    assert (against_old.code, against_old.out.count("pass")) == (0, 3)
    assert run_cli(capsys, "check", OLD, *rules, "--baseline", OLD).out == against_old.out
    run_cli(capsys, "report", trace, "--json", "new.json", "-q")
    for document in (OLD, "new.json"):
        assert run_cli(capsys, "history", "add", document).code == 0
    with closing(sqlite3.connect("nsysan-history.db")) as database:
        columns = "period_ns, wire_ns, caused_ns, straggler_rank, no_skew_ns"
        first, second = database.execute(f"select {columns} from runs order by id").fetchall()
    assert first == second


def test_a_report_of_graphs_as_blocks_is_as_its_schema_says(tmp_path: Path, capsys: Capsys) -> None:
    trace = graph_level_trace(tmp_path / "g.sqlite")
    document = held(run_cli(capsys, "report", trace, "--json", "-").out)
    assert document["verdict"]["shares"] == {}
