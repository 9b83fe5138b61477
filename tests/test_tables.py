"""One row in one table for a ledger line, a what-if, a cause, a finding: every place that must know looks it up."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.ask.expressions import Subject
from nsysan.check.rules import DURATIONS, SHARES
from nsysan.compare.as_json import to_document as to_comparison_document
from nsysan.compare.as_markdown import to_markdown as to_comparison_markdown
from nsysan.compare.as_page import to_html as to_comparison_html
from nsysan.compare.as_text import to_text as to_comparison_text
from nsysan.compare.changes import compare
from nsysan.compare.comparison import ComparedRun
from nsysan.diagnosis.doubts import Doubt
from nsysan.diagnosis.evidence import UNDER_THE_VERDICT, Aspect, Status
from nsysan.diagnosis.findings import FINDERS, Severity
from nsysan.diagnosis.findings.case import Case
from nsysan.diagnosis.findings.kinds import FindingId
from nsysan.light.told_by_grids import told_by_grids
from nsysan.metrics.causes import LateCause
from nsysan.metrics.ledger import FIGURES
from nsysan.metrics.lines import (
    AFTER,
    BEFORE,
    BESIDE,
    CLAIMED,
    COMMUNICATION_LINES,
    LATE,
    LEDGER,
    LINES,
    ROW,
    WHOLE,
    Kind,
    Line,
)
from nsysan.metrics.scenarios import SCENARIOS, Scenario, losses
from nsysan.model.classes import COMMUNICATION, WorkClass
from nsysan.page.glossary import GLOSSARY, HEADS, linked
from nsysan.page.html import to_html
from nsysan.page.palette import COLOURS, INKS, NAMES, THEMED, VARIABLES, paint, style
from nsysan.report.build import build_report
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.step_slices import LAUNCH, RANGE, SLEEP, WAIT
from nsysan.report.terminal import to_text
from nsysan.run.run import Run
from tests.clitools import run_cli
from tests.documents import schema_of
from tests.page.test_html import Page

Analyze = Callable[[str], Run]
ROOT = Path(nsysan.__file__).parent
ASSETS = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "page" / "assets").iterdir())}


def modules() -> Iterator[object]:
    for found in pkgutil.walk_packages(nsysan.__path__, "nsysan."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def enums() -> set[type[StrEnum]]:
    found = {value for module in modules() for value in vars(module).values() if isinstance(value, type)}
    return {kind for kind in found if issubclass(kind, StrEnum) and kind.__module__.startswith("nsysan.")}


def keyed_by_members() -> dict[str, tuple[type[StrEnum], set[StrEnum]]]:
    """The tables of the package whose keys are all members of one enum of its own: which enum, and which members."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            keys = set(value) if isinstance(value, Mapping) else set()
            kinds = {type(key) for key in keys}
            if len(kinds) == 1 and (kind := kinds.pop()) in enums():
                found[f"{vars(module)['__name__']}.{name}"] = kind, keys
    return found


# ---- every table


#: Tables that are of some members by what they are: which.
PARTIAL: Mapping[str, Set[StrEnum]] = {
    "WHOLE": set(WorkClass),
    "BEFORE": set(COMMUNICATION),
    "AFTER": set(COMMUNICATION),
    "NUMBER": set(CLAIMED),
    "TAIL_OF": set(LateCause) - {LateCause.PREVIOUS},
    # A bubble is of the stages' work, and the step without the profiler takes a time that the trace has not.
    "_FIX": {LateCause.HOST, LateCause.COPY, LateCause.COMMUNICATION},
    # Gaps, hosts and ranks have no operations, and no names.
    "_OPERATIONS": {Subject.KERNEL, Subject.COPY, Subject.WIRE},
    "_THINGS": {Subject.KERNEL, Subject.COPY, Subject.WIRE, Subject.LAUNCH},
    # Of the other doubts nothing can be found out first.
    "_FOUND_OUT_FIRST": {Doubt.PROFILER, Doubt.UNSEEN},
    "REPLAYED": set(Scenario) - {Scenario.UNTRACED},
}


def test_a_table_keyed_by_an_enum_has_a_row_for_each_member() -> None:
    tables = keyed_by_members()
    # What is looked for is found: tables of several rooms, with texts, colours and rows.
    assert {kind.__name__ for kind, _ in tables.values()} >= {"Line", "Scenario", "GapCause", "LateCause", "GraphMode"}
    wanted: dict[str, Set[StrEnum]] = {
        name: PARTIAL.get(name.rpartition(".")[2], set(kind)) for name, (kind, _) in tables.items()
    }
    missing = {name: sorted(wanted[name] ^ keys) for name, (_, keys) in tables.items()}
    assert {name: words for name, words in missing.items() if words} == {}


def test_each_enum_has_one_home_and_distinct_names() -> None:
    names = sorted(kind.__name__ for kind in enums())
    assert names == sorted(set(names))
    for kind in enums():
        assert all(re.fullmatch(r"[a-z][a-z0-9_ ]*", member) for member in kind), kind
        assert [member.name.lower() for member in kind] == [member.replace(" ", "_") for member in kind]


def members_used(kind: type[StrEnum], nodes: Iterable[ast.AST]) -> set[str]:
    """Members of an enum that code at or below these nodes names."""
    found = (node for top in nodes for node in ast.walk(top) if isinstance(node, ast.Attribute))
    return {node.attr for node in found if isinstance(node.value, ast.Name) and node.value.id == kind.__name__}


def code_of(folder: Path) -> list[ast.Module]:
    return [ast.parse(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py"))]


def test_each_aspect_of_quality_is_told_by_some_row() -> None:
    # That no row tells of anything else is for mypy: its id is an Aspect.
    others = [tree for tree in code_of(ROOT / "diagnosis") if "class Aspect" not in ast.unparse(tree)]
    assert members_used(Aspect, others) == {aspect.name for aspect in Aspect}
    assert set(Aspect) > UNDER_THE_VERDICT


def test_each_finding_is_drawn_by_a_finder_that_names_it() -> None:
    subjects = [kind for kind in enums() if issubclass(kind, FindingId) and kind is not FindingId]
    ids = [id_ for subject in subjects for id_ in subject]
    assert len(set(map(str, ids))) == len(ids) > 10
    assert {id_ for finder in FINDERS for id_ in finder.ids} == set(ids)
    trees = code_of(ROOT / "diagnosis" / "findings")
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    for subject in subjects:
        assert members_used(subject, functions) == {id_.name for id_ in subject}


@pytest.mark.parametrize("name", ["tp4_eager", "tp4_late1", "tp4_graph_graph", "rank_2", "tp4_slow"])
def test_finders_draw_what_they_name(analyzed: Analyze, name: str) -> None:
    run = analyzed(name)
    report = build_report(run, "0", timelines=False)
    run = run.stating(None, told_by_grids(run).sizes)
    case = Case.of(run, report.diagnosis, None, report.link)
    drawn = {finder: {finding.id for finding in finder.draw(case)} for finder in FINDERS}
    assert all(ids <= set(finder.ids) for finder, ids in drawn.items())
    assert {id_ for ids in drawn.values() for id_ in ids} == {finding.id for finding in report.findings} != set()


def test_styles_of_the_page_are_of_statuses_and_severities() -> None:
    style_ = ASSETS["page.css"]
    assert set(re.findall(r"\.finding\.(\w+)", style_)) == {Severity.HIGH, Severity.MEDIUM}
    assert set(re.findall(r"(?:\.chip|tr)\.(\w+)", style_)) - {"chosen"} == {Status.ESTIMATED, Status.NOT_MEASURABLE}


# ---- the ledger's lines


def test_every_line_has_a_row_in_order_of_precedence() -> None:
    assert LINES == tuple(Line) == tuple(row.id for row in LEDGER)
    assert FIGURES[: len(LINES) + 1] == ("period_ns", *(f"{line}_ns" for line in Line))
    assert [row.kind for row in LEDGER].count(Kind.REST) == 1
    assert LEDGER[-1].kind == Kind.REST
    assert LINES[:-1] == CLAIMED
    for distinct in (
        [row.title for row in LEDGER],
        [row.colour for row in LEDGER],
        [row.meaning for row in LEDGER],
        [row.lost for row in LEDGER],
    ):
        assert len(set(distinct)) == len(LEDGER)


def test_every_class_of_work_is_of_one_line_or_of_two_where_it_is_cut() -> None:
    assert set(WHOLE) == set(LATE) == set(WorkClass)
    assert all((row.late is not None) == bool(row.whole) for row in LEDGER)
    assert set(BEFORE) == set(AFTER) == set(COMMUNICATION)
    for column in ("whole", "before", "after"):
        claimed = [cls for row in LEDGER for cls in getattr(row, column)]
        assert len(claimed) == len(set(claimed))
    assert all(row.whole or row.before or row.after for row in LEDGER if row.kind != Kind.REST)
    assert set(BEFORE.values()) == {line for line, row in ROW.items() if row.kind == Kind.WAITING}


def test_pages_and_glossary_have_each_line() -> None:
    for row in LEDGER:
        assert (COLOURS[row.id], NAMES[row.id], INKS[row.id]) == (row.colour, row.title, row.ink)
        assert GLOSSARY[row.id] == row.meaning
        assert HEADS[row.id].endswith(f">{row.id}</a>")
    assert set(COLOURS) == set(NAMES) == set(INKS) == {*LINES, LAUNCH, RANGE, WAIT, SLEEP, "sync", "last", "graph_gaps"}
    assert set(BESIDE) < set(GLOSSARY)
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_rules_and_documents_have_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    help_text = " ".join(run_cli(capsys, "check", "--help").out.split())
    assert f"period, {', '.join((*LINES, *BESIDE))}: median over the ranks" in help_text
    assert {*LINES, *BESIDE} < set(DURATIONS)
    assert {f"{line}_share" for line in (*LINES, *BESIDE)} < set(SHARES)
    for place in ("per_step", "per_rank"):
        keys = schema_of("nsysan.report/2")["properties"][place]["items"]["properties"]
        assert {line.column for line in LINES} < set(keys)


def test_scripts_and_styles_of_the_page_name_no_line_and_no_colour() -> None:
    told = {line: re.compile(rf"[\"'.#]{line}[\"'\s{{]") for line in LINES if line != Line.COPY}
    colours = {*COLOURS.values(), *(shade for themed in THEMED for shade in (themed.light, themed.dark))}
    for name, text in ASSETS.items():
        assert [line for line, pattern in told.items() if pattern.search(text)] == [], name
        assert [colour for colour in colours if colour.lower() in text.lower()] == [], name


def test_colours_of_a_theme_are_told_to_script_and_style() -> None:
    assert paint(Line.IDLE) == "var(--idle)"
    assert paint(Line.COMPUTE) == ROW[Line.COMPUTE].colour
    assert VARIABLES[ROW[Line.IDLE].colour] == "--idle"
    for themed in THEMED:
        assert VARIABLES[themed.light] == themed.variable
        assert style().count(f"{themed.variable}:{themed.light};") == style().count(f"{themed.dark};") == 1
        assert f"var({themed.variable})" not in ASSETS["page.css"] or f"{themed.variable}:" not in ASSETS["page.css"]


def test_the_timeline_is_told_what_it_draws_of_each_line(reported: Callable[[str], Report]) -> None:
    page = Page(to_html(reported("tp4_slow")))
    assert page.data["themed"] == VARIABLES
    lines = {line["id"]: line for line in page.data["report"]["lines"]}
    assert list(lines) == [*CLAIMED, LAUNCH, RANGE, "last"]
    cut = {id_: line["cut"] for id_, line in lines.items() if line["cut"]}
    assert cut == dict.fromkeys(BEFORE.values(), "before") | dict.fromkeys(AFTER.values(), "after")
    assert {id_ for id_, line in lines.items() if line["captioned"]} == {row.id for row in LEDGER if row.captioned}
    dark = {id_ for id_, line in lines.items() if line["ink"] == "#111"}
    assert dark == {LAUNCH, RANGE, *(row.id for row in LEDGER if row.ink == "#111" and row.id in CLAIMED)}
    assert {id_ for id_, line in lines.items() if line["block"]} == {Line.GRAPH}
    assert {id_ for id_, line in lines.items() if line["communicates"]} == set(COMMUNICATION_LINES)
    assert page.data["report"]["rest"] == NAMES[Line.IDLE]


# ---- one name


@pytest.fixture(scope="module")
def unsplit(reported: Callable[[str], Report]) -> Report:
    """Of a rank alone, whose communication is in the line comm_unsplit."""
    return reported("rank_0")


def words(text: str) -> str:
    """What a reader sees of a text, a page or Markdown."""
    return " ".join(Page(text).text if text.startswith("<!") else [text]).replace("\\_", "_")


@pytest.mark.parametrize("form", [to_text, to_markdown, to_html])
def test_unsplit_communication_has_one_name(unsplit: Report, form: Callable[[Report], str]) -> None:
    text = words(form(unsplit))
    assert re.search(r"(?<![\w-])comm_unsplit(?![\w-])", text)
    # The names of thresholds are keys, and a call that is left unsplit is no line.
    told = re.sub(r"max unsplit|left unsplit", "", text)
    assert re.findall(r"(?<!comm_)unsplit(?!\w)|comm unsplit", told) == []
    assert text.count("communication, not split") == text.count("comm_unsplit (communication, not split)")


def test_unsplit_communication_has_that_name_in_comparisons_too(compared: Callable[[str], ComparedRun]) -> None:
    sides = [replace(compared(name), label=label) for label, name in (("A", "rank_0"), ("B", "tp2_graph"))]
    comparison = compare(sides, "0")
    name = {figure.id: figure.name for figure in comparison.figures}["ledger.comm_unsplit"]
    assert name == "comm_unsplit"
    assert "comm_unsplit" in str(to_comparison_document(comparison)["figures"])
    for form in (to_comparison_text, to_comparison_markdown, to_comparison_html):
        text = words(form(comparison))
        assert re.findall(r"(?<!comm_)unsplit(?!\w)", text) == []
        assert "comm_unsplit" in text


# ---- what-ifs


def test_every_scenario_is_told_alike_everywhere(
    reported: Callable[[str], Report], compared: Callable[[str], ComparedRun]
) -> None:
    report = reported("tp4_slow")
    what = report.diagnosis.what_if
    assert what is not None
    assert list(what.without) == list(Scenario)
    # Of a run by graphs, in one stage, of which nobody told how long it takes without the profiler.
    assert set(Scenario) - set(what.told) == {Scenario.GRAPHS, Scenario.NO_BUBBLE, Scenario.UNTRACED}
    side = compared("tp4_slow")
    names = {figure.id: figure.name for figure in compare([side, replace(side, label="B")], "0").figures}
    markdown, page = to_markdown(report), words(to_html(report))
    assert SCENARIOS.keys() == set(Scenario)
    for scenario in what.told:
        row = SCENARIOS[scenario]
        assert row.title.split()[0] in ("with", "without")
        assert names[f"whatif.{scenario}"] == row.title
        assert f"| {row.title} |" in markdown
        assert f" {row.title} " in page
        assert GLOSSARY[row.title] == row.meaning
        assert linked(row.title).count(f">{row.title}</a>") == 1
    keys = schema_of("nsysan.report/2")["properties"]["what_if"]["properties"]
    scenarios = [scenario.column for scenario in Scenario]
    assert list(keys) == [
        "period_ns",
        "traced_ns",
        "replay_ns",
        "replay_error",
        *scenarios,
        "ranks",
        "bounds",
        "summed",
    ]


def test_losses_in_words() -> None:
    assert losses(list(Scenario)) == "skew, the wire's excess over its floor and late hosts"
    assert losses([Scenario.NO_SKEW, Scenario.FLOOR_WIRE]) == "skew and the wire's excess over its floor"
    assert losses([Scenario.NO_HOST_LATE]) == "late hosts"
    assert all(GLOSSARY[row.loss.removeprefix("the ")] for row in SCENARIOS.values() if row.loss is not None)
    assert all(bool(row.loss) == bool(row.loss_meaning) for row in SCENARIOS.values())


# ---- columns hold plain texts


def test_frames_and_documents_hold_the_texts_themselves(analyzed: Analyze, reported: Callable[[str], Report]) -> None:
    run = analyzed("tp4_slow")
    assert run.collectives.schema["verdict"] == pl.String
    assert run.collectives.schema["cls"] == pl.String
    report = reported("tp4_slow")
    assert report.diagnosis.gaps.schema["cause"] == pl.String
    slices = report.timelines[0].slices
    assert slices.schema["line"] == pl.String
    assert type(slices["line"][0]) is str
