"""`nsysan history`: runs in a database, once each, as lists and as a page."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from nsysan import ExitCode
from nsysan.history import database, kept_kernels
from nsysan.metrics.lines import ROW, Line
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.page.test_html import Page

Capsys = pytest.CaptureFixture[str]
DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(query: str, path: str = "nsysan-history.db") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_add_keeps_a_row_a_run_with_its_ranks_and_collectives(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(
        capsys, "history", "add", paper_trace(tmp_path / "t.sqlite", steps=8),
        "--host", "node7", "--commit", "abc", "--tag", "nightly", "--tag", "tp4", "--tag", "tp4",
    )  # fmt: skip
    assert (result.code, result.out) == (0, "added run 1 in nsysan-history.db\n")
    columns = 'id, name, host, "commit", tags, trace, nsys_version, gpu, ranks, steps, steady, period_ns, wait_ns'
    (kept,) = rows(f"select {columns} from runs")
    assert kept[:6] == (1, "t.sqlite", "node7", "abc", '["nightly", "tp4"]', "t.sqlite")
    assert kept[6:] == ("2025.3.2.0", "NVIDIA H200", 4, 8, 7, 44_000, 6_000)
    assert rows("select straggler_rank, straggler_cause, caused_ns, wire_p50_ns from runs") == [
        (1, "compute", 6_000, 8_000)
    ]
    assert rows("select run, rank, compute_ns, wait_ns from per_rank order by rank") == [
        (1, rank, 26_000 if rank == 1 else 20_000, 0 if rank == 1 else 6_000) for rank in range(4)
    ]
    assert rows("select run, kind, bytes, count, wire_p50_ns, wait_max_ns from collectives") == [
        (1, "all_reduce", 8_192, 14, 8_000, 3_000)
    ]
    assert rows("pragma foreign_key_check") == []


def test_the_same_report_is_kept_once(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    run_cli(capsys, "report", trace, "--json", "t.json")
    for source in (trace, trace, "t.json"):
        result = run_cli(capsys, "history", "add", source, "--tag", "x")
        assert result.code == 0
    assert result.out == "already there as run 1 in nsysan-history.db\n"
    run_cli(capsys, "history", "add", paper_trace(tmp_path / "u.sqlite", ranks=2))
    assert rows("select count(*) from runs") == [(2,)]
    assert rows("select run, count(*) from per_rank group by run") == [(1, 4), (2, 2)]


def test_list_in_every_format(tmp_path: Path, capsys: Capsys) -> None:
    run_cli(capsys, "history", "add", paper_trace(tmp_path / "a.sqlite"), "--tag", "x", "--tag", "y", "--db", "h.db")
    run_cli(capsys, "history", "add", graph_level_trace(tmp_path / "b.sqlite"), "--tag", "x", "--db", "h.db")
    text = run_cli(capsys, "history", "list", "--db", "h.db").out.splitlines()
    assert text[0].split()[:4] == ["id", "added", "name", "host"]
    assert [line.split()[0] for line in text[1:]] == ["1", "2"]
    assert "44.0" in text[1]
    listed = json.loads(run_cli(capsys, "history", "list", "--db", "h.db", "--format", "json").out)
    assert [(run["id"], run["tags"], run["period_ns"]) for run in listed] == [
        (1, ["x", "y"], 44_000),
        (2, ["x"], 38_000),
    ]
    assert (listed[0]["wire_ns"], listed[1]["wire_ns"]) == (16_000, None)
    table = list(csv.DictReader(io.StringIO(run_cli(capsys, "history", "list", "--db", "h.db", "--format", "csv").out)))
    assert [(run["id"], run["wire_ns"]) for run in table] == [("1", "16000.0"), ("2", "")]
    chosen = json.loads(
        run_cli(capsys, "history", "list", "--db", "h.db", "--tag", "x", "--tag", "y", "--format", "json").out
    )
    assert [run["id"] for run in chosen] == [1]
    assert run_cli(capsys, "history", "list", "--db", "h.db", "--tag", "z").out == "no runs\n"


def test_show_has_all_of_one_run(tmp_path: Path, capsys: Capsys) -> None:
    run_cli(capsys, "history", "add", paper_trace(tmp_path / "a.sqlite", steps=8))
    shown = json.loads(run_cli(capsys, "history", "show", "1", "--format", "json").out)
    assert shown["straggler_rank"] == 1
    assert [row["rank"] for row in shown["per_rank"]] == [0, 1, 2, 3]
    assert shown["collectives"][0]["wait_p50_ns"] == 3_000
    text = run_cli(capsys, "history", "show", "1").out
    assert "per_rank" in text
    assert "straggler_rank  " in text
    assert run_cli(capsys, "history", "show", "1", "--format", "csv").out.startswith("id,added,name")
    missing = run_cli(capsys, "history", "show", "9")
    assert (missing.code, "run 9" in missing.err) == (ExitCode.NO_SUCH_FILE, True)


def test_names_from_outside_are_harmless(tmp_path: Path, capsys: Capsys) -> None:
    evil = "</script><script>alert(1)</script>\x1b[31m"
    trace = paper_trace(tmp_path / "t.sqlite")
    run_cli(capsys, "history", "add", trace, "--name", evil, "--tag", evil, "--commit", evil, "--host", evil)
    for arguments in (["list"], ["show", "1"]):
        assert "\x1b" not in run_cli(capsys, "history", *arguments).out
    assert run_cli(capsys, "history", "plot").out == "wrote nsysan-history.html\n"
    page = Path("nsysan-history.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_plot_draws_trends(tmp_path: Path, capsys: Capsys) -> None:
    for number, ranks in enumerate((4, 2)):
        run_cli(
            capsys, "history", "add", paper_trace(tmp_path / f"{number}.sqlite", ranks=ranks), "--commit", f"c{number}"
        )
    assert run_cli(capsys, "history", "plot", "-o", "trend.html").code == 0
    page = Path("trend.html").read_text("utf-8")
    for part in ("Period", "Ledger", "The hottest collective", "What if", "Content-Security-Policy"):
        assert part in page
    # Runs over other numbers of ranks are two workloads: a line each, and the rest is of that which ran last.
    labels = [figure["layout"]["xaxis"]["ticktext"] for figure in Page(page).figures.values()]
    assert labels == [["1: c0", "2: c1"], *[["2: c1"]] * 4]
    assert "TP=2, no CUDA graphs, all_reduce of 8 KiB, NVIDIA H200" in page
    # Its own page it replaces; one that somebody wrote into it does not.
    assert run_cli(capsys, "history", "plot", "-o", "trend.html").code == 0
    Path("trend.html").write_text(page + "mine", "utf-8")
    refused = run_cli(capsys, "history", "plot", "-o", "trend.html")
    assert (refused.code, "--force" in refused.err) == (ExitCode.OUTPUT_EXISTS, True)
    assert run_cli(capsys, "history", "plot", "-o", "trend.html", "--force").code == 0
    own = run_cli(capsys, "history", "plot", "-o", "nsysan-history.db", "--force")
    assert own.code == ExitCode.OUTPUT_UNWRITABLE


def test_plot_draws_replays_that_are_blocks(tmp_path: Path, capsys: Capsys) -> None:
    for number in range(2):
        run_cli(capsys, "history", "add", graph_level_trace(tmp_path / f"{number}.sqlite"), "--commit", f"c{number}")
    run_cli(capsys, "history", "plot", "-o", "trend.html")
    figures = Page(Path("trend.html").read_text("utf-8")).data["figures"]
    drawn = {line["name"]: (line["y"], line["marker"]["color"]) for line in figures["trend-1"]["data"]}
    graph = ROW[Line.GRAPH]
    busy = rows("select graph_ns from runs")[0][0]
    assert busy > 0
    assert drawn[graph.title] == ([busy / 1e3] * 2, graph.colour)


def test_a_history_of_before_a_line_was_kept_takes_runs_with_it(tmp_path: Path, capsys: Capsys) -> None:
    trace = graph_level_trace(tmp_path / "t.sqlite")
    run_cli(capsys, "history", "add", paper_trace(tmp_path / "old.sqlite"))
    with closing(sqlite3.connect("nsysan-history.db")) as database:
        for table in ("runs", "per_rank"):
            database.execute(f"alter table {table} drop column graph_ns")
        database.commit()
    assert run_cli(capsys, "history", "add", trace).code == 0
    before, now = (row[0] for row in rows("select graph_ns from runs order by id"))
    assert before is None
    assert now > 0
    assert {row[0] is None for row in rows("select graph_ns from per_rank where run = 1")} == {True}
    assert {row[0] > 0 for row in rows("select graph_ns from per_rank where run = 2")} == {True}
    assert run_cli(capsys, "history", "plot").code == 0


def test_what_is_no_history_is_refused_and_left_alone(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    Path("text.db").write_text("precious " * 100)
    for name in ("t.sqlite", "text.db"):
        data = Path(name).read_bytes()
        for arguments in (("add", trace), ("list",), ("plot",)):
            result = run_cli(capsys, "history", *arguments, "--db", name)
            assert (result.code, result.err.count("\n")) == (ExitCode.OUTPUT_UNWRITABLE, 1)
        assert Path(name).read_bytes() == data
    for reading in (["list"], ["show", "1"], ["plot"]):
        assert run_cli(capsys, "history", *reading, "--db", "none.db").code == ExitCode.NO_SUCH_FILE
    assert run_cli(capsys, "history", "add", trace, "--db", "none/h.db").code == ExitCode.OUTPUT_UNWRITABLE
    assert sorted(os.listdir(tmp_path)) == ["t.sqlite", "text.db"]


def test_a_trace_that_cannot_be_read_starts_no_history(tmp_path: Path, capsys: Capsys) -> None:
    assert run_cli(capsys, "history", "add", tmp_path / "none.sqlite").code == ExitCode.NO_SUCH_FILE
    assert os.listdir(tmp_path) == []


# ---- databases of before, and what others wrote into one


def old_history(path: Path) -> Path:
    """The history that nsysan 0.1.0 made of two runs."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "history_0_1.sql").read_text("utf-8"))
    return path


def test_a_history_of_nsysan_0_1_goes_on(tmp_path: Path, capsys: Capsys) -> None:
    db = ("--db", old_history(tmp_path / "h.db"))
    listed = json.loads(run_cli(capsys, "history", "list", "--format", "json", *db).out)
    assert [(run["id"], run["name"], run["tags"], run["period_ns"], run["wire_p99_ns"]) for run in listed] == [
        (1, "paper.sqlite", ["nightly", "tp4"], 44_000, 8_000),
        (2, "tp4_slow3.sqlite", ["nightly"], 2_770_355.5, 10_166),
    ]
    shown = json.loads(run_cli(capsys, "history", "show", "2", "--format", "json", *db).out)
    assert (shown["straggler_rank"], len(shown["per_rank"]), shown["findings"][0]) == (3, 4, "straggler")
    assert run_cli(capsys, "history", "plot", *db).code == 0
    # It knows the report that it holds, in the schema of then, and takes those of now.
    again = run_cli(capsys, "history", "add", DATA / "report_schema_1.json", *db)
    assert again.out.startswith("already there as run 1 ")
    added = run_cli(capsys, "history", "add", paper_trace(tmp_path / "paper.sqlite", steps=8), *db)
    assert added.out.startswith("added run 3 ")
    first, *_, third = json.loads(run_cli(capsys, "history", "list", "--format", "json", *db).out)
    # All that 0.1 kept is as it was; it had no graph_ns and no tail.
    kept = listed[0].keys() - {"id", "added", "host", "commit", "tags", "hash"}
    # A verdict and what is found are of the critical path now.
    kept -= {"verdict", "verdict_reason", "findings"}
    spread = ("mean_ns", "p90_ns", "p99_ns", "longest_ns", "tail_ns")
    assert {"graph_ns", *spread} <= third.keys() - kept
    assert [third[key] for key in spread] == [44_000, 44_000, 44_000, 44_000, 0]
    assert {key: first[key] for key in kept} == {key: third[key] for key in kept}


@pytest.mark.parametrize("value", ["9e999", "-9e999", "'text'", "x'00ff'", "NULL"])
@pytest.mark.parametrize("column", ["period_ns", "wire_ns", "tags", "findings", "verdict", "name", "no_skew_ns"])
def test_a_cell_that_holds_something_else_is_no_figure(tmp_path: Path, capsys: Capsys, column: str, value: str) -> None:
    path = old_history(tmp_path / "h.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE runs SET {column} = {value} WHERE id = 2")
    listed = json.loads(run_cli(capsys, "history", "list", "--db", path, "--format", "json").out, parse_constant=fail)
    assert len(listed) == 2
    for arguments in (
        ["list"],
        ["list", "--format", "csv"],
        ["show", "2"],
        ["show", "2", "--format", "json"],
        ["plot"],
    ):
        result = run_cli(capsys, "history", *arguments, "--db", path)
        assert (result.code, result.err) == (0, "")
        assert "inf" not in result.out.replace("info", "")


def test_a_cell_with_control_characters_is_shown_without(tmp_path: Path, capsys: Capsys) -> None:
    path = old_history(tmp_path / "h.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET name = 'a' || char(8, 27) || 'b' WHERE id = 2")
    for arguments in (["list", "--format", "csv"], ["show", "2", "--format", "csv"], ["list"]):
        told = run_cli(capsys, "history", *arguments, "--db", path).out
        assert "a??b" in told
        assert not {"\x08", "\x1b"} & set(told)


def fail(name: str) -> None:
    raise AssertionError(f"{name} in JSON")


def _made(path: Path, *, runs: str = "id INTEGER PRIMARY KEY, hash TEXT") -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE runs ({runs})")
        connection.execute("CREATE TABLE per_rank (run)")
        connection.execute("CREATE TABLE collectives (run)")
        connection.execute("INSERT INTO runs (hash) VALUES (CAST(x'ff41' AS TEXT))")
    return path


def test_a_history_in_another_code_page_is_shown_as_far_as_it_can_be(tmp_path: Path, capsys: Capsys) -> None:
    path = _made(tmp_path / "h.db")
    assert run_cli(capsys, "history", "list", "--db", path, "--format", "json").code == 0
    # A flipped bit in the names of the schema.
    path.write_bytes(path.read_bytes().replace(b"TABLE per_rank (run)", b"TABLE per_rank (r\x91n)"))
    done = run_cli(capsys, "history", "show", "1", "--db", path)
    assert (done.code, done.err.count("\n")) == (ExitCode.OUTPUT_UNWRITABLE, 1)


@pytest.mark.parametrize("table", ["kernels", "steps"])
def test_a_view_is_no_table_of_a_history(tmp_path: Path, capsys: Capsys, table: str) -> None:
    path = _made(tmp_path / "h.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM runs")
    for reading in (["list"], ["show", "1"], ["plot"], ["add", DATA / "report_schema_1.json"]):
        done = run_cli(capsys, "history", *reading, "--db", path)
        assert (done.code, done.err.count("\n")) == (ExitCode.OUTPUT_UNWRITABLE, 1)


@pytest.mark.parametrize(
    "runs", ["id TEXT, hash TEXT", "ID INTEGER PRIMARY KEY, hash TEXT", "id, hash TEXT, PRIMARY KEY (hash)"]
)
def test_a_run_without_a_number_is_refused(tmp_path: Path, capsys: Capsys, runs: str) -> None:
    path = _made(tmp_path / "h.db", runs=runs)
    for reading in (
        ["list"],
        ["list", "--format", "json"],
        ["show", "1"],
        ["plot"],
        ["add", DATA / "report_schema_1.json"],
    ):
        done = run_cli(capsys, "history", *reading, "--db", path)
        assert (done.code, "a run has no number" in done.err, done.err.count("\n")) == (
            ExitCode.OUTPUT_UNWRITABLE,
            True,
            1,
        )


# ---- a run is in it as a whole, or not at all


def test_a_run_is_kept_as_a_whole_or_not_at_all(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("gone")

    def fails_late(made: Database) -> None:
        create(made)
        fails()

    create, add = database._create, ("history", "add", DATA / "report_schema_1.json")
    with monkeypatch.context() as patched:
        # Half of its tables would be none that a run could ever be added to.
        patched.setattr(database, "_create", fails_late)
        assert run_cli(capsys, *add).code == ExitCode.OUTPUT_UNWRITABLE
        assert os.listdir(tmp_path) == []
    with monkeypatch.context() as patched:
        patched.setattr(kept_kernels, "keep", fails)
        assert run_cli(capsys, *add).code == ExitCode.OUTPUT_UNWRITABLE
        assert [rows(f"select count(*) from {table}") for table in ("runs", "per_rank", "steps")] == [[(0,)]] * 3
    assert run_cli(capsys, *add).code == 0
    assert rows("select count(*) from runs") == [(1,)]


def test_a_history_that_cannot_be_begun_leaves_no_file(tmp_path: Path, capsys: Capsys) -> None:
    # SQLite makes the file, and then has no room in the name for its journal.
    added = run_cli(capsys, "history", "add", DATA / "report_schema_1.json", "--db", "n" * 250)
    assert (added.code, os.listdir(tmp_path)) == (ExitCode.OUTPUT_UNWRITABLE, [])


def test_a_history_that_never_ends_is_given_up(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _made(tmp_path / "h.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n"
        connection.execute(f"INSERT INTO runs (hash) {numbers}")
    monkeypatch.setattr(database, "HISTORY_ROWS", 10_000)
    assert "more than 10,000 runs" in run_cli(capsys, "history", "list", "--db", path).err
    monkeypatch.setattr(database, "SQLITE_SECONDS", -1.0)
    done = run_cli(capsys, "history", "list", "--db", path)
    assert (done.code, "interrupted" in done.err) == (ExitCode.OUTPUT_UNWRITABLE, True)
