"""The JSON of a report read back: every schema that was written, and nothing that is something else."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

import nsysan
from nsysan import ExitCode, NsysanError, file_content
from nsysan.check.judge import check, metric_of
from nsysan.check.rules import METRICS, Rule, parse_rule
from nsysan.history.database import Labels, add_run, get_run, list_runs, opened_history, periods_of
from nsysan.history.plot import to_html
from nsysan.report import json_values
from nsysan.report.document import to_json
from nsysan.report.pace_read_back import LateRank
from nsysan.report.read_back import Collective, Finding, ReportDocument, Spread, read_report
from nsysan.report.report import Report
from tests.clitools import paper_trace, run_cli
from tests.conftest import REAL_TRACES

Capsys = pytest.CaptureFixture[str]
OLD = Path(__file__).parent.parent / "data" / "report_schema_1.json"


def current() -> dict[str, Any]:
    """A document of the schema that is written now."""
    values: dict[str, Any] = json.loads(OLD.read_text("utf-8"))
    for finding in values["findings"]:
        finding["saves_ns"] = finding.pop("saving_ns")
    return values | {"schema": "nsysan.report/2"}


def written(folder: Path, content: object) -> Path:
    """A file with this text, or these bytes, or these values as JSON."""
    path = folder / "r.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def refused(folder: Path, content: object, code: ExitCode = ExitCode.DAMAGED) -> str:
    """What is said of a file with this content, without its name."""
    path = written(folder, content)
    with pytest.raises(NsysanError) as error:
        read_report(path)
    said = str(error.value)
    assert error.value.exit_code == code
    assert said.startswith(f"{path}: ")
    assert said.endswith("write one with `nsysan report TRACE --json FILE`")
    assert "\n" not in said
    assert len(said) < len(str(path)) + 300
    return re.sub(r"(; |, or )write one.*", "", said.removeprefix(f"{path}: "))


def placed(values: dict[str, Any], place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The values with another one at a place; _GONE: with none there."""
    changed: dict[str, Any] = json.loads(json.dumps(values))
    at: Any = changed
    for key in place[:-1]:
        at = at[key]
    if value is _GONE:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return changed


_GONE = object()


# ---- what was written


@pytest.mark.parametrize("schema", [1, 2])
def test_every_schema_is_read_alike(tmp_path: Path, schema: int) -> None:
    found = read_report(OLD if schema == 1 else written(tmp_path, current()))
    assert (found.schema, found.nsysan_version, found.inputs[0].name) == (schema, "0.1.0", "paper.sqlite")
    assert (found.steps, found.steady, found.gpu_models) == (8, 7, ["NVIDIA H200"] * 4)
    assert [row.rank for row in found.per_rank] == [0, 1, 2, 3]
    assert [row.ns["wait"] for row in found.per_rank] == [6_000, 0, 6_000, 6_000]
    assert found.straggler == LateRank(1, "compute", 6_000, 6_000 / 44_000)
    assert found.what_if["no_skew"] == 38_000
    assert (found.verdict, found.quality["straggler"]) == ("mixed", "ok")
    (row,) = found.collectives
    assert isinstance(row, Collective)
    assert (row.kind, row.bytes, row.ranks, row.matched) == ("all_reduce", 8_192, 4, 14)
    assert (row.wire_ns, row.wait_ns) == (Spread(8_000, 8_000, 8_000, 8_000), Spread(3_000, 3_000, 3_000, 3_000))
    late = next(finding for finding in found.findings if finding.id == "straggler")
    assert late == Finding("straggler", "medium", "rank 1 arrives last: it computes longer", 6_000)


@pytest.mark.parametrize("name", REAL_TRACES)
def test_what_is_written_is_read(tmp_path: Path, reported: Callable[[str], Report], name: str) -> None:
    report = reported(name)
    found = read_report(written(tmp_path, to_json(report)))
    assert [row.ns["idle"] for row in found.per_rank] == report.per_rank["idle_ns"].to_list()
    assert [(row.name, row.floor_ns) for row in found.collectives] == [(f.name, f.floor) for f in report.collectives]
    assert [(f.id, f.saves_ns) for f in found.findings] == [(f.id, f.saving) for f in report.findings]
    assert found.quality == {row.id: row.status for row in report.quality}
    assert found.verdict == report.diagnosis.verdict.kind


def test_it_can_be_read_without_its_steps_and_with_more_keys(tmp_path: Path) -> None:
    values = current()
    whole = read_report(written(tmp_path, values))
    del values["per_step"]
    values["populations"] = [{"deep": [[[{}]]], "number": 10**400, "half": "\ud800"}]
    found = read_report(written(tmp_path, values))
    assert found.digest != whole.digest
    assert found.per_rank == whole.per_rank


def test_numbers_as_other_tools_write_them(tmp_path: Path) -> None:
    values = placed(current(), ("per_rank", 0, "period_ns"), 44000.0)
    assert read_report(written(tmp_path, values)).per_rank[0].ns["period"] == 44_000


def test_the_digest_is_that_of_sorted_keys(tmp_path: Path) -> None:
    values = current()
    turned = dict(reversed(values.items()))
    assert read_report(written(tmp_path, values)).digest == read_report(written(tmp_path, turned)).digest
    # As the first nsysan made it, so that its histories know what they hold.
    assert read_report(OLD).digest in OLD.with_name("history_0_1.sql").read_text("utf-8")


# ---- what is something else


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cannot be read as JSON beyond line 1, column 1"),
        ("{", "cannot be read as JSON beyond line 1, column 2"),
        ('{"a": }', "cannot be read as JSON beyond line 1, column 7"),
        ("{} {}", "cannot be read as JSON beyond line 1, column 4"),
        (b"\xef\xbb\xbf{}", "cannot be read as JSON beyond line 1, column 1"),
        ("{}".encode("utf-16"), "cannot be read as JSON: byte 0 is not UTF-8"),
        (b'{"a": "caf\xe9"}', "cannot be read as JSON: byte 10 is not UTF-8"),
        (b"\x00" * 100, "cannot be read as JSON beyond line 1, column 1"),
        ("[" * 100_000, "cannot be read as JSON: it is nested too deeply"),
        ('{"a":' * 100_000, "cannot be read as JSON: it is nested too deeply"),
        (f'{{"a": {"9" * 5_000}}}', "cannot be read as JSON: it holds a number that is too long"),
        ('{"a": NaN}', "a is NaN"),
        ('{"a": [0, {"b": -Infinity}]}', "a[1].b is -Infinity"),
        ('{"a": 1, "b": [{"c": 1, "d": 2, "c": 1}]}', 'b[0] has the key "c" twice'),
        ('{"schema": "nsysan.report/1", "schema": "nsysan.report/2"}', 'has the key "schema" twice'),
        ("NaN", "is NaN"),
    ],
)  # fmt: skip
def test_what_is_no_json(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert refused(tmp_path, content) == said


@pytest.mark.parametrize("values", [[], '"text"', "1", None, {}, {"schema": 2}, {"schema": None}])
def test_what_is_no_report(tmp_path: Path, values: object) -> None:
    assert refused(tmp_path, values, ExitCode.NOT_NSYS) == "is not a report of nsysan"


@pytest.mark.parametrize(
    "schema",
    [
        "nsysan.compare/1",
        "nsysan.info/1",
        "nsysan.report/",
        "nsysan.report/2 ",
        "nsysan.report/2.0",
        "report/2",
        "nsysan.report/0",
    ],
)
def test_the_document_of_something_else(tmp_path: Path, schema: str) -> None:
    assert refused(tmp_path, current() | {"schema": schema}, ExitCode.NOT_NSYS) == "is not a report of nsysan"


@pytest.mark.parametrize("number", [3, 10, 999_999_999])
def test_a_schema_that_is_not_known(tmp_path: Path, number: int) -> None:
    said = refused(tmp_path, current() | {"schema": f"nsysan.report/{number}"}, ExitCode.NOT_NSYS)
    assert said.startswith(f"is a report of schema {number}, ")
    assert "this nsysan reads 1 and 2" in said


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("per_rank",), _GONE, "per_rank is missing"),
        (("per_rank",), {}, "per_rank is an object, not a list"),
        (("per_rank",), None, "per_rank is null, not a list"),
        (("per_rank", 2), 5, "per_rank[2] is 5, not an object"),
        (("per_rank", 2, "wire_ns"), "16000", 'per_rank[2].wire_ns is "16000", not a whole number or null'),
        (("per_rank", 2, "wire_ns"), 1.5, "per_rank[2].wire_ns is 1.5, not a whole number or null"),
        (("per_rank", 2, "wire_ns"), True, "per_rank[2].wire_ns is true, not a whole number or null"),
        (("per_rank", 2, "wire_ns"), -1, "per_rank[2].wire_ns is -1, which cannot be"),
        (("per_rank", 2, "wire_ns"), 1 << 63, "per_rank[2].wire_ns is a number beyond 64 bits, which cannot be"),
        (("per_rank", 2, "wire_ns"), 10**400, "per_rank[2].wire_ns is a number beyond 64 bits, which cannot be"),
        (("per_rank", 0, "period_ns"), None, "per_rank[0].period_ns is null, not a whole number"),
        (("per_rank", 0, "period_ns"), _GONE, "per_rank[0].period_ns is missing"),
        (("per_rank", 0, "rank"), -1, "per_rank[0].rank is -1, which cannot be"),
        (("inputs",), [], "inputs is empty"),
        (("ranks",), [], "ranks is empty"),
        (("ranks", 1, "gpu_model"), 5, "ranks[1].gpu_model is 5, not a text or null"),
        (("inputs", 0, "name"), None, "inputs[0].name is null, not a text"),
        (("inputs", 0, "name"), "a\udcff", "inputs[0].name holds half of a character"),
        (("inputs", 0, "name"), ["x" * 99], "inputs[0].name is a list, not a text"),
        (("steps",), None, "steps is null, not an object"),
        (("steps", "count"), "8", 'steps.count is "8", not a whole number'),
        (("collectives", 0, "bytes"), -8, "collectives[0].bytes is -8, which cannot be"),
        (("collectives", 0, "ranks"), 0, "collectives[0].ranks is 0, which cannot be"),
        (("collectives", 0, "wire_ns"), 5, "collectives[0].wire_ns is 5, not an object or null"),
        (("collectives", 0, "wire_ns", "p50"), _GONE, "collectives[0].wire_ns.p50 is missing"),
        (("collectives", 0, "count"), "x" * 99, f'collectives[0].count is "{"x" * 36}..., not a whole number'),
        (("per_rank", 2, "rank"), 1, "per_rank[2] is of rank 1, as another row is"),
        (("straggler",), "rank 1", 'straggler is "rank 1", not an object or null'),
        (("straggler", "share"), -0.5, "straggler.share is -0.5, not a number from 0 on"),
        (("straggler", "share"), "1", 'straggler.share is "1", not a number from 0 on'),
        (("what_if", "no_skew_ns"), [], "what_if.no_skew_ns is a list, not a whole number or null"),
        (("findings", 0, "saves_ns"), "1", 'findings[0].saves_ns is "1", not a whole number or null'),
        (("findings", 0), [], "findings[0] is a list, not an object"),
        (("quality", 0, "status"), None, "quality[0].status is null, not a text"),
        (("verdict", "kind"), None, "verdict.kind is null, not a text"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_by_its_place(
    tmp_path: Path, place: tuple[str | int, ...], value: object, said: str
) -> None:
    assert refused(tmp_path, placed(current(), place, value)) == said


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1E400"])
@pytest.mark.parametrize("place", [("per_rank", 0, "wire_ns"), ("straggler", "share")])
def test_numbers_beyond_all_bounds(tmp_path: Path, text: str, place: tuple[str | int, ...]) -> None:
    content = json.dumps(placed(current(), place, "HERE")).replace('"HERE"', text)
    assert "is a number beyond all bounds, not a " in refused(tmp_path, content)


def test_a_key_of_schema_1_is_named_as_it_is_there(tmp_path: Path) -> None:
    values = placed(json.loads(OLD.read_text("utf-8")), ("findings", 0, "saving_ns"), "much")
    assert refused(tmp_path, values) == 'findings[0].saving_ns is "much", not a whole number or null'


# ---- whatever the file is


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, code, said in (
        (tmp_path / "none.json", ExitCode.NO_SUCH_FILE, "no such file"),
        (tmp_path, ExitCode.DAMAGED, "cannot be read: Is a directory"),
        (tmp_path / ("x" * 300), ExitCode.DAMAGED, "cannot be read: File name too long"),
    ):
        with pytest.raises(NsysanError, match=said) as error:
            read_report(path)
        assert error.value.exit_code == code


def test_a_file_larger_than_can_be_read_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NsysanError, match=r"holds over 256 MiB, .* `jq 'del\(.per_step, .counters\[\].per_step\)'`"):
        read_report(path)


def test_more_values_than_memory_would_hold(tmp_path: Path) -> None:
    assert "or 12,000,000 values" in refused(tmp_path, b"[" + b"[]," * 6_000_000 + b"0]")


def test_wide_characters_are_allowed_a_fourth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = json.dumps(current() | {"note": "\U0001f600" * 1_000}, ensure_ascii=False)
    monkeypatch.setattr(json_values, "REPORT_BYTES", 4 * len(values.encode()))
    read_report(written(tmp_path, values))
    monkeypatch.setattr(json_values, "REPORT_BYTES", 3 * len(values.encode()))
    refused(tmp_path, values)
    read_report(OLD)


def test_a_pipe_is_read_and_one_that_nobody_writes_to_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in `--baseline <(zcat base.json.gz)`.
    with subprocess.Popen(["cat", OLD], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert read_report(f"/dev/fd/{process.stdout.fileno()}") == read_report(OLD)
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(file_content, "PIPE_SECONDS", 0.3)
    with pytest.raises(NsysanError, match="nothing came for 0 s"):
        read_report(tmp_path / "fifo")
    writer = os.open(tmp_path / "fifo", os.O_RDWR)
    with pytest.raises(NsysanError, match="nothing came for 0 s"):
        read_report(tmp_path / "fifo")
    os.close(writer)


# ---- what uses it


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((("per_rank", 0, "wire_ns"), "NaN"), ExitCode.DAMAGED),
        ((("per_rank", 0, "wire_ns"), "Infinity"), ExitCode.DAMAGED),
        ((("collectives", 0, "wire_ns", "p50"), "1e999"), ExitCode.DAMAGED),
        ((("schema",), '"nsysan.report/9"'), ExitCode.NOT_NSYS),
        ((("schema",), '"nsysan.compare/1"'), ExitCode.NOT_NSYS),
    ],
)
def test_commands_refuse_it_in_one_line(
    tmp_path: Path,
    capsys: Capsys,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[tuple[str | int, ...], str],
    code: ExitCode,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps(placed(current(), change[0], "HERE")).replace('"HERE"', change[1])
    Path("bad.json").write_text(text)
    rules = ("--fail-on", "period>1s", "--fail-on", "wire_p50>+15%")
    for arguments in (
        ("check", "bad.json", *rules),
        ("check", OLD, *rules, "--baseline", "bad.json"),
        ("history", "add", "bad.json"),
    ):
        result = run_cli(capsys, *arguments)
        assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
        assert result.err.startswith("nsysan: bad.json: ")
    assert sorted(os.listdir()) == ["bad.json"]


#: Keys of a document that somebody reads.
USED = (
    *("schema", "nsysan_version", "inputs", "ranks", "steps", "per_rank", "collectives", "straggler", "what_if"),
    *("verdict", "findings", "quality"),
)
#: What a sender can put anywhere.
STRANGE: tuple[object, ...] = (
    _GONE, None, True, 0, -1, 1, 1.5, -0.0, 1e300, 10**18, 10**19, "", "x", "\x00\x1b[31m\u202e", "x" * 10_000,
    [], [[]], [None], {}, {"p50": 1}, {"": {}}, "</script><script>x", "9" * 50,
)  # fmt: skip


def places(values: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a document; of a list its first entry."""
    below = values.items() if isinstance(values, dict) else enumerate(values[:1]) if isinstance(values, list) else ()
    for key, value in below:
        yield (*place, key)
        yield from places(value, (*place, key))


def test_a_document_is_refused_in_one_line_or_of_use_to_everybody(tmp_path: Path) -> None:
    base = read_report(OLD)
    values = {key: value for key, value in current().items() if key in USED}
    values["per_rank"] = values["per_rank"][:1]
    database = sqlite_utils.Database(memory=True)
    with opened_history(tmp_path / "h.db", create=True) as made:
        database.conn.executescript("\n".join(made.conn.iterdump()))
    rules = [parse_rule(text) for text in ("straggler", "wire_p50>+1%", "all_reduce.wait_max>1us", "caused_share>1%")]
    read = 0
    for path in (written(tmp_path, placed(values, place, value)) for place in places(values) for value in STRANGE):
        said = _used(path, base, rules, database)
        read += said is None
        assert "\n" not in (said or "")
    runs = list_runs(database)
    assert (read > 500, len(runs) > 500) == (True, True)
    for run in (runs[0], runs[-1]):
        json.dumps(get_run(database, int(run["id"] or 0)), allow_nan=False)
    json.dumps(runs, allow_nan=False)
    assert "</script><script>x" not in to_html(runs[-40:], Path("h.db"), periods_of(database), tmp_path)


def _used(path: Path, base: ReportDocument, rules: list[Rule], database: sqlite_utils.Database) -> str | None:
    """What is said of a document that is refused; what is not is put to all uses."""
    try:
        found = read_report(path)
    except NsysanError as error:
        return str(error)
    for one, other in ((found, base), (base, found), (found, None)):
        assert len([check(rule, one, other) for rule in rules]) == len(rules)
    figures = [metric_of(found, name) for name in METRICS]
    assert all(figure is None or math.isfinite(figure) for figure in figures)
    add_run(database, found, Labels())
    return None


def test_the_reader_loads_no_library(tmp_path: Path) -> None:
    script = f"import sys, nsysan.report.read_back as r; r.read_report({str(OLD)!r}); print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "False\n"


def test_a_trace_and_its_document_are_the_same_run(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite", steps=8)
    run_cli(capsys, "report", trace, "--json", tmp_path / "t.json")
    for source, words in ((trace, "added run 1"), (tmp_path / "t.json", "already there as run 1")):
        assert words in run_cli(capsys, "history", "add", source, "--db", tmp_path / "h.db").out
    assert nsysan.__version__ == read_report(tmp_path / "t.json").nsysan_version
