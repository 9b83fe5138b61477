"""The documents keep up with the code: paths, names, options, exit codes and quoted output are what they say."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from nsysan import ExitCode
from nsysan.cli.exits import USUAL
from nsysan.metrics.scenarios import Scenario
from nsysan.report.report import Report
from nsysan.text import duration
from tests.clitools import run_cli
from tests.fixtures import unpacked
from tests.helptexts import commands

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nsysan"
README, MAP, READING, CONTRIBUTING = "README.md", "nsysan/README.md", "nsysan/READING.md", ".github/CONTRIBUTING.md"
DOCUMENTS = {name: (ROOT / name).read_text("utf-8") for name in (README, MAP, READING, CONTRIBUTING)}
LINKING = [*DOCUMENTS, "nsysan/DEFINITIONS.md", "CHANGELOG.md"]
FORMS = sorted(path.name for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
#: Options of other programs that the documents name.
FOREIGN = {
    "nsys": {"--type", "--include-json", "--include-blobs", "--version"},
    "scripts/decode.py": {"--slow-rank", "--slow-us", "--late-rank", "--overlap", "--all-reduce", "--eager", "--tp"},
    "scripts/fuzz.py": {"--count"},
    "scripts/accuracy.py": {"--count"},
    "scripts/grow_trace.py": {"--size"},
    "scripts/bench.py": {"--cache"},
    "torchrun": {"--no-python"},
    "engines": {"--profiler-config", "--tp", "--model-path"},
}


def spans(text: str) -> list[str]:
    """What stands in code: between backticks, and in indented or fenced blocks."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    blocks = [line for line in text.splitlines() if line.startswith("    ")]
    return re.findall(r"`([^`]+)`", text) + fenced + blocks


def heading_anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


# ---- links and paths


@pytest.mark.parametrize("name", LINKING)
def test_links_and_pictures_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    targets = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    broken = []
    for target in targets:
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in heading_anchors(file.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


def paths_in(text: str) -> set[str]:
    """Paths of the repository that stand in code; NAME stands for any."""
    words = {word for span in spans(text) for word in re.findall(r"(?<![\w./<-])[\w.{}*/-]+", span)}
    roots = tuple(f"{path.name}/" for path in (*ROOT.iterdir(), *PACKAGE.iterdir()) if path.is_dir())
    named = {word.rstrip(".") for word in words if word.startswith(roots) or re.fullmatch(r"\w+\.(py|toml|md)", word)}
    return {word for word in named if "NAME" not in word and not word.startswith(("build/", "captures/"))}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_exist(name: str) -> None:
    missing = []
    for path in paths_in(DOCUMENTS[name]):
        found = any(any(base.glob(path.rstrip("/"))) for base in (ROOT, PACKAGE)) or any(PACKAGE.rglob(path))
        # The examples of a user's own files.
        if not found and path not in {"decode.py", "ticket.md"}:
            missing.append(path)
    assert missing == []


@cache
def names_in(path: Path) -> set[str]:
    """Functions, classes and constants at the top of a module, and methods of its classes."""
    tree = ast.parse(path.read_text("utf-8"))
    named = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = (
        node.targets if isinstance(node, ast.Assign) else [node.target]
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    )
    return named | {target.id for targets in assigned for target in targets if isinstance(target, ast.Name)}


def test_names_of_the_map_exist() -> None:
    named = re.findall(r"`([\w./]+\.py)::(\w+)`", DOCUMENTS[MAP])
    assert len(named) > 50
    found = {path: [base / path for base in (ROOT, PACKAGE) if (base / path).exists()] for path, _ in named}
    assert [
        f"{path}::{name}"
        for path, name in named
        if path != "file.py" and not any(name in names_in(at) for at in found[path])
    ] == []


# ---- the map


def table(text: str, title: str) -> dict[str, str]:
    """First and second column of the table below a heading."""
    below = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in below.splitlines() if line[:1] == "|"]
    return {row[0].strip("`"): row[1] for row in rows[2:]}


def rooms() -> list[str]:
    return [room.rstrip("/") for room in table(DOCUMENTS[MAP], "The rooms")]


def test_rooms_are_the_folders() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(rooms()) == sorted(folders)
    beside = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert beside == set(re.findall(r"`(\w+\.py)`\s\(", DOCUMENTS[MAP].partition("Beside the rooms")[2]))


def test_words_of_the_map() -> None:
    words = table(DOCUMENTS[MAP], "The words")
    wanted = """trace report rank placed trace window step group replica population family call class line lateness
    arrival hotspot finding quality row"""
    assert [word for word in wanted.split() if word not in " ".join(words).split()] == []
    told = " ".join(words.values())
    sections = {n for said in re.findall(r"sections? (\d+a?(?: and \d+a?)*)", told) for n in re.findall(r"\d+a?", said)}
    definitions = (PACKAGE / "DEFINITIONS.md").read_text("utf-8")
    assert len(sections) > 6
    assert [n for n in sections if f"\n## {n}. " not in definitions] == []


# ---- the command line


def options_of(command: click.Command) -> set[str]:
    of = [o for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)]
    return {*of, "-h", "--help"}


def test_readme_names_every_command() -> None:
    missing = [name for name in commands() if f"nsysan {name.split(' ')[0]}" not in DOCUMENTS[README]]
    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_options_that_documents_name_exist(name: str) -> None:
    known = {option for command in commands().values() for option in options_of(command)}
    foreign = {option for options in FOREIGN.values() for option in options}
    named = {option for span in spans(DOCUMENTS[name]) for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    assert named - known - foreign == set()


def test_options_of_commands_in_documents_are_theirs() -> None:
    by_words = {name: options_of(command) for name, command in commands().items() if name}
    called = 0
    for text in DOCUMENTS.values():
        for line in [line for span in spans(text) for line in span.splitlines()]:
            found = re.match(rf" *nsysan ({'|'.join(sorted(by_words, key=len, reverse=True))})\b(.*)", line)
            if found is None:
                continue
            # What comes after -- or # is not ours, nor what another program is given.
            own = re.split(r" -- | # |[|>]", found[2])[0]
            used = set(re.findall(r"(?<!\S)--?[a-z][\w-]*", own))
            assert used <= by_words[found[1]], line
            called += bool(used)
    assert called > 8


def test_exit_codes_in_documents_are_the_codes() -> None:
    known = {int(code) for code in ExitCode} | set(USUAL)
    for name in LINKING:
        text = (ROOT / name).read_text("utf-8")
        told = re.findall(r"exit codes? (\d+(?:(?:, | and )\d+)*)", text, re.I)
        assert {int(code) for codes in told for code in re.findall(r"\d+", codes)} <= known


# ---- the README


def test_readme_is_short_and_runs_its_two_commands() -> None:
    lines = DOCUMENTS[README].splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if line.startswith("    sh ")] == [
        "    sh scripts/demo.sh",
        "    sh scripts/test.sh",
    ]


def fragments(text: str, *starts: str) -> list[str]:
    """Pieces of quoted output between "...", of the lines that begin so and those that go on below them."""
    quoted = re.findall(rf"^    (?:{'|'.join(starts)}) .*(?:\n     +.*)*", text, re.M)
    assert len(quoted) % len(starts) == 0
    # Of several traces, the demo's comes last.
    pieces = [" ".join(piece.split()).strip(" ;.") for quote in quoted[-len(starts) :] for piece in quote.split("...")]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize("name", [README, READING])
def test_quoted_summary_is_what_the_demo_prints(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = run_cli(capsys, "report", "fixtures/tp4_slow.sqlite", "--json", tmp_path / "r.json")
    out = " ".join(said.out.split())
    pieces = fragments(DOCUMENTS[name].partition("## Compare")[0], "verdict", "late", "savings")
    assert len(pieces) >= 3
    assert [piece for piece in pieces if piece not in out] == []


def test_the_saving_that_readme_holds_against_a_run_without_the_fault(reported: Callable[[str], Report]) -> None:
    forecast = reported("tp4_slow").diagnosis.what_if
    happened = reported("tp4_graph_node").diagnosis.what_if
    assert forecast is not None
    saved = forecast[Scenario.NO_SKEW]
    assert saved is not None
    assert happened is not None
    words = " ".join(DOCUMENTS[README].split())
    assert f"{duration(saved)} a step without the late rank's extra work" in words
    assert f"the same loop without that work takes {duration(happened.period)}." in words


def test_quoted_comparison_is_what_compare_prints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sides = [unpacked(name, tmp_path) for name in ("tp2_graph", "tp4_graph_node")]
    out = " ".join(run_cli(capsys, "compare", *sides).out.split())
    head = fragments(DOCUMENTS[READING], "verdict   TP=4", "B vs A", "bought", "lost", "replicas")
    rows = fragments(DOCUMENTS[READING], "compute", "wait", "wire", "idle")
    assert [piece for piece in (*head, *rows) if piece not in out] == []


def test_quoted_speed_of_light_is_what_report_prints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # The shape of scripts/decode.py, which ran.
    model = "hidden=4096,layers=16,ffn=14336,heads=32,kv_heads=32,vocab=32000,dtype=bf16"
    trace = unpacked("tp4_graph_node", tmp_path)
    stated = ("--model", model, "--context", "512", "--batch", "1")
    run = run_cli(capsys, "report", trace, "-o", tmp_path / "r.html", "--verbose", *stated)
    pieces = fragments(DOCUMENTS[READING], "light")
    assert len(pieces) == 4
    assert [piece for piece in pieces if piece not in " ".join(run.out.split())] == []


def test_python_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = re.search(r"^```python\n(.*?)^```", DOCUMENTS[README], re.M | re.S)
    assert snippet is not None
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(compile(snippet[1], README, "exec"), names)
    assert all(len(getattr(names["run"], frame)) for frame in re.findall(r"run\.(\w+)", snippet[1]))


# ---- issue forms

FIELDS = {
    "markdown": {"value"},
    "textarea": {"label"},
    "input": {"label"},
    "dropdown": {"label", "options"},
    "checkboxes": {"label", "options"},
}
OPTIONAL = {
    "markdown": set(),
    "textarea": {"description", "placeholder", "value", "render"},
    "input": {"description", "placeholder", "value"},
    "dropdown": {"description", "multiple", "default"},
    "checkboxes": {"description"},
}


@pytest.mark.parametrize("name", FORMS)
def test_issue_form_is_one_that_github_takes(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / name).read_text("utf-8"))
    assert {"name", "description", "body"} <= form.keys() <= {"name", "description", "body", "title", "labels"}
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert asked
    for key in ("id", "label"):
        values = [field[key] if key == "id" else field["attributes"][key] for field in asked]
        assert len(set(values)) == len(values)
    for field in form["body"]:
        kind, attributes = field["type"], field["attributes"]
        assert field.keys() <= {"type", "attributes", "id", "validations"}
        assert FIELDS[kind] <= attributes.keys() <= FIELDS[kind] | OPTIONAL[kind]
        assert all(text for text in attributes.values() if isinstance(text, str))
        assert re.fullmatch(r"[\w-]+", field.get("id", "-"))
        assert field.get("validations", {}).keys() <= {"required"}
    for field in asked:
        options = field["attributes"].get("options", [])
        if field["type"] == "dropdown":
            assert all(isinstance(option, str) for option in options)
            assert len(set(options)) == len(options)
            assert field["attributes"].get("default", 0) < len(options)
        elif field["type"] == "checkboxes":
            assert all(option.keys() <= {"label", "required"} for option in options)


def test_the_form_for_a_report_asks_for_what_is_needed() -> None:
    text = (ROOT / ".github/ISSUE_TEMPLATE/wrong-report.yml").read_text("utf-8")
    needed = {"expected", "info", "trace", "nsys"}
    form = yaml.safe_load(text)
    assert needed <= {f["id"] for f in form["body"] if f.get("validations", {}).get("required")}
    assert "nsysan redact" in text
    assert "nsysan info" in text
