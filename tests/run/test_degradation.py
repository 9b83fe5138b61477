"""What an export lacks: no figure that does not need it changes, and whatever becomes null says why and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.page.html import to_html
from nsysan.report.build import build_report
from nsysan.report.document import to_json
from nsysan.report.terminal import to_text
from tests.copies import changed
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, SCHEMA, TraceBuilder, decode_loop

KERNELS, RUNTIME, NVTX = "CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS"
Document = dict[str, Any]
Traces = Callable[[str], Path]

#: Parts of the document that rest on message sizes, on what late hosts cost, and on how steps were found.
SIZES = {"bytes", "bytes_source", "algbw_gbps", "busbw_gbps", "peak_share", "communicator_size"}
HOST = {"what_if", "late", "straggler", "critical_path", "verdict", "gaps"}
STEPS = {"method", "source"}
#: What each table of an export is needed for, and the quality row that says so where it is missing.
NEEDS: Mapping[str, tuple[set[str], str | None]] = {
    "TARGET_INFO_SESSION_START_TIME": ({"session_start_utc_ns"}, None),
    "TARGET_INFO_CUDA_DEVICE": (set(), None),
    "DIAGNOSTIC_EVENT": ({"sure", "because", "surer"}, None),
    "META_DATA_CAPTURE": (set(), None),
    "PROCESSES": (set(), None),
    "META_DATA_EXPORT": ({"nsys_version", "schema_version"}, "versions"),
    "TARGET_INFO_GPU": (SIZES | {"gpu_model", "gpu", "link", "excess_ns", "floor_wire_ns", "all_ns"}, "gpus"),
    # With the payload goes what it told of the group.
    "CUDA_GRAPH_NODE_EVENTS": (SIZES | {"source"}, "message_bytes"),
    NVTX: (SIZES | STEPS | {"rank_source", "because", "sure"}, "ranges"),
    RUNTIME: (SIZES | STEPS | HOST, "launches"),
}
#: The same for columns of kernels; what is not here is needed for nothing.
COLUMNS: Mapping[str, tuple[set[str], str | None]] = {
    "correlationId": (SIZES | STEPS | HOST, "launches"),
    "globalPid": (SIZES | STEPS | HOST | {"rank_source", "pid", "process"}, "processes"),
    "deviceId": ({"device", "gpu"}, "devices"),
    "streamId": (set(), "streams"),
    "graphNodeId": (SIZES | HOST | {"source", "graph_trace"}, "graph_nodes"),
}
#: And of the host's tables, where kernels are launched one by one. `text` holds the names of the steps' ranges.
HOST_COLUMNS: Mapping[tuple[str, str], tuple[set[str], str]] = {
    **{(RUNTIME, name): (SIZES | STEPS | HOST, "launches") for name in ("start", "end", "globalTid", "correlationId")},
    (RUNTIME, "nameId"): (HOST, "launches"),
    **{
        (NVTX, name): (SIZES | STEPS | {"rank_source", "because", "sure"}, "message_bytes")
        for name in ("start", "end", "eventType", "globalTid", "textId", "domainId", "jsonText")
    },
}
#: Verdicts in words: they follow from figures, and name some in other words.
WORDS = {"quality", "findings", "next_step", "report", "name", "link"}


_DOCUMENTS: dict[tuple[str, bytes], Document] = {}


def document(path: Path) -> Document:
    """The document of a trace; of a file of the same name and content it is made once."""
    content = path.name, sha256(path.read_bytes()).digest()
    if content not in _DOCUMENTS:
        _DOCUMENTS[content] = document_of(build_report(nsysan.analyze(nsysan.open_trace(path)), "0", timelines=False))
    return _DOCUMENTS[content]


def figures(document: Document) -> dict[tuple[str | int, ...], object]:
    """Every value of a document by its place, words and file names left out."""

    def leaves(value: object, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], object]]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in pairs:
            if key not in WORDS:
                yield from leaves(inner, (*place, key))
        if not isinstance(value, dict | list):
            yield place, value

    return dict(leaves(document, ()))


def quality(document: Document) -> dict[str, tuple[str, str]]:
    return {row["id"]: (row["status"], row["reason"]) for row in document["quality"]}


def check(before: Document, after: Document, needs: set[str], row: str | None) -> None:
    old, new = figures(before), figures(after)
    changed = [place for place in old.keys() | new.keys() if old.get(place, "-") != new.get(place, "-")]
    assert [place for place in changed if not needs & set(map(str, place))] == []
    if row is None:
        # That no message of the profiler is there says nothing of any figure.
        rest = [{id_: said for id_, said in quality(each).items() if id_ != "events"} for each in (before, after)]
        assert rest[0] == rest[1]
        return
    status, reason = quality(after)[row]
    assert status != "ok"
    assert any(remedy in reason for remedy in ("capture", "export the .nsys-rep again", "--include-json")), reason


def paper(
    path: Path, *, graph: bool, drop_tables: Iterable[str] = (), drop_columns: Mapping[str, Iterable[str]] | None = None
) -> Path:
    """Rank 1 late in two layers, 60 us idle between steps; see decode_loop."""
    builder = TraceBuilder()
    processes = decode_loop(builder, steps=6, late={1: 3_000}, gap_ns=60_000, graph=graph)
    builder.diagnostic("a message", severity=1, process=processes[0])
    return builder.write(path, drop_tables=drop_tables, drop_columns=drop_columns)


@cache
def whole(*, graph: bool) -> Document:
    """The document of paper() with nothing dropped."""
    with TemporaryDirectory() as folder:
        return document(paper(Path(folder) / "whole.sqlite", graph=graph))


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("table", NEEDS)
def test_dropping_a_table_changes_what_needs_it_alone(tmp_path: Path, table: str, graph: bool) -> None:
    before = whole(graph=graph)
    after = document(paper(tmp_path / "less.sqlite", graph=graph, drop_tables=[table]))
    needs, row = NEEDS[table]
    check(before, after, needs, None if table == "CUDA_GRAPH_NODE_EVENTS" and not graph else row)


@pytest.mark.parametrize("table", sorted(NEEDS.keys() - {NVTX, RUNTIME}))
def test_dropping_a_table_of_a_real_trace(tmp_path: Path, real_trace: Traces, table: str) -> None:
    source = real_trace("tp2_graph")
    path = tmp_path / "less.sqlite"
    path.write_bytes(source.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    if there:
        changed(path, f"DROP TABLE {table}")
        check(document(source), document(path), NEEDS[table][0], NEEDS[table][1])
    else:
        assert table == "CUDA_GRAPH_NODE_EVENTS"


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("column", sorted(SCHEMA[KERNELS].keys() - {"start", "end"}))
def test_dropping_a_column_of_the_kernels(tmp_path: Path, column: str, graph: bool) -> None:
    before = whole(graph=graph)
    after = document(paper(tmp_path / "less.sqlite", graph=graph, drop_columns={KERNELS: [column]}))
    check(before, after, *COLUMNS.get(column, (set(), None)))


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table in (RUNTIME, NVTX) for column in SCHEMA[table] if (table, column) != (NVTX, "text")],
)
def test_dropping_a_column_of_the_host(tmp_path: Path, table: str, column: str) -> None:
    after = document(paper(tmp_path / "less.sqlite", graph=False, drop_columns={table: [column]}))
    check(whole(graph=False), after, *HOST_COLUMNS.get((table, column), (set(), None)))


@settings(max_examples=20)
@given(tables=st.sets(st.sampled_from(sorted(NEEDS)), min_size=2))
def test_dropping_several_tables_adds_up(tmp_path_factory: pytest.TempPathFactory, tables: set[str]) -> None:
    folder = tmp_path_factory.mktemp("drop")
    before = whole(graph=True)
    after = document(paper(folder / "less.sqlite", graph=True, drop_tables=tables))
    needs = set().union(*(NEEDS[table][0] for table in tables))
    rows = [row for table in tables if (row := NEEDS[table][1]) is not None]
    check(before, after, needs, rows[0] if rows else None)
    ledger = {key: [row[key] for row in before["per_step"]] for key in before["per_step"][0]}
    assert {key: [row[key] for row in after["per_step"]] for key in ledger} == ledger
    assert {quality(after)[row][0] for row in rows} <= {"estimated", "not_measurable"}


def test_without_messages_no_loss_is_ruled_out(tmp_path: Path) -> None:
    found = document(paper(tmp_path / "less.sqlite", graph=False, drop_tables=["DIAGNOSTIC_EVENT"]))
    assert quality(whole(graph=False))["events"][1] == "nsys reports no lost events for the ranks"
    assert "no message of the profiler is in the export" in quality(found)["events"][1]


def test_without_kernels_there_is_nothing_to_say(tmp_path: Path) -> None:
    with pytest.raises(NsysanError, match="no CUDA kernel") as error:
        document(paper(tmp_path / "less.sqlite", graph=False, drop_tables=[KERNELS]))
    assert error.value.exit_code == ExitCode.NOTHING_TO_ANALYSE


def test_without_names_nothing_is_called_compute(tmp_path: Path) -> None:
    before = whole(graph=True)
    found = document(paper(tmp_path / "less.sqlite", graph=True, drop_tables=["StringIds"]))
    steady = [row for row in found["per_step"] if row["steady"]]
    assert {row["compute_ns"] for row in steady} == {row["wait_ns"] for row in steady} == {None}
    idle = [(r["step"], r["rank"], r["period_ns"], r["idle_ns"]) for r in before["per_step"]]
    assert [(r["step"], r["rank"], r["period_ns"], r["idle_ns"]) for r in found["per_step"]] == idle
    assert found["verdict"]["kind"] == "inconclusive"
    status, reason = quality(found)["kernel_names"]
    assert status == "not_measurable"
    assert "StringIds" in reason
    assert "export the .nsys-rep again" in reason


def test_a_lone_kernel_without_a_name_is_counted_and_told(tmp_path: Path) -> None:
    path = changed(
        paper(tmp_path / "t.sqlite", graph=False),
        f"UPDATE {KERNELS} SET shortName = 9999, demangledName = 9999 WHERE rowid = 3",
    )
    # One of 96 is more than one in a hundred.
    assert quality(document(path))["kernel_names"][0] == "not_measurable"
    builder = TraceBuilder()
    decode_loop(builder, steps=20)
    path = changed(
        builder.write(tmp_path / "u.sqlite"),
        f"UPDATE {KERNELS} SET shortName = 9999, demangledName = 9999 WHERE rowid = 3",
    )
    found = document(path)
    assert quality(found)["kernel_names"][0] == "estimated"
    assert found["per_rank"][0]["compute_ns"] == 20_000


# ---- rows that cannot be


@pytest.mark.parametrize(
    "damage",
    [
        "start = NULL",
        "end = start - 1",
        "start = -9223372036854775808",
        "end = 9223372036854775807",
        "end = end + 4000000000000",
        "start = start - 10000000000000000, end = end - 10000000000000000",
        "globalPid = 4294967297",
        "globalPid = NULL",
        "deviceId = -1",
        "deviceId = 100000000000000000",
    ],
)
def test_rows_that_cannot_be_are_few_and_told_or_refused(tmp_path: Path, damage: str) -> None:
    builder = TraceBuilder()
    process = decode_loop(builder, steps=50)[0]
    process.kernel(COMPUTE_KERNEL, 100_000, 101_000)  # long before the first step
    path = builder.write(tmp_path / "t.sqlite")
    expected = document(path)
    loose(path)
    found = document(changed(path, f"UPDATE {KERNELS} SET {damage} WHERE start = 100000"))
    status, reason = quality(found)["unusable_rows"]
    assert (status, "1 kernel rows" in reason) == ("estimated", True)
    assert found["per_rank"] == expected["per_rank"]
    assert found["verdict"] == expected["verdict"]
    changed(path, f"UPDATE {KERNELS} SET {damage} WHERE rowid % 10 = 0")
    with pytest.raises(NsysanError, match="kernel rows have impossible") as error:
        document(path)
    assert error.value.exit_code == ExitCode.DAMAGED


def loose(path: Path) -> None:
    """Take NOT NULL off the kernels, as a tool does that writes them anew."""
    changed(
        path,
        f"CREATE TABLE k AS SELECT * FROM {KERNELS}",
        f"DROP TABLE {KERNELS}",
        f"ALTER TABLE k RENAME TO {KERNELS}",
    )


@pytest.mark.parametrize(("table", "what"), [(RUNTIME, "launch calls"), (NVTX, "NVTX ranges")])
@pytest.mark.parametrize("damage", ["end = start - 5", "start = 9000000000000000000, end = 9100000000000000000"])
def test_host_rows_that_cannot_be_are_told(tmp_path: Path, table: str, what: str, damage: str) -> None:
    path = paper(tmp_path / "t.sqlite", graph=True)
    before = document(path)
    found = document(changed(path, f"UPDATE {table} SET {damage}"))
    assert what in quality(found)["unusable_rows"][1]
    assert [row["period_ns"] for row in found["per_step"]] == [row["period_ns"] for row in before["per_step"]]


def test_compute_kernels_of_no_length_divide_nothing(tmp_path: Path) -> None:
    path = changed(
        paper(tmp_path / "t.sqlite", graph=False),
        f"UPDATE {KERNELS} SET end = start WHERE shortName = "
        f"(SELECT id FROM StringIds WHERE value = '{COMPUTE_KERNEL}')",
    )
    report = build_report(nsysan.analyze(nsysan.open_trace(path)), "0", timelines=False)
    assert {row["compute_ns"] for row in report.per_rank.to_dicts()} == {0}
    assert "NaN" not in to_json(report)
    assert "uneven_split" not in [finding.id for finding in report.findings]


@pytest.mark.parametrize("table", [*NEEDS, KERNELS])
def test_rows_that_occur_twice_count_once(tmp_path: Path, table: str) -> None:
    path = paper(tmp_path / "t.sqlite", graph=True)
    after = document(changed(path, f"INSERT INTO {table} SELECT * FROM {table}"))
    check(whole(graph=True), after, set(), "unusable_rows" if table == KERNELS else None)
    if table == KERNELS:
        assert "96 operations that occur twice" in quality(after)["unusable_rows"][1]


# ---- schema variants


def test_stripped_to_three_tables_without_processes(tmp_path: Path) -> None:
    kept = {KERNELS, NVTX, "StringIds"}
    path = paper(
        tmp_path / "t.sqlite", graph=False, drop_tables=SCHEMA.keys() - kept, drop_columns={KERNELS: ["globalPid"]}
    )
    found = document(path)
    assert [(rank["rank"], rank["device"], rank["pid"]) for rank in found["ranks"]] == [(r, r, 0) for r in range(4)]
    assert quality(found)["processes"][0] == "estimated"
    assert [row["compute_ns"] for row in found["per_rank"]] == [20_000, 26_000, 20_000, 20_000]
    assert [row["wait_ns"] for row in found["per_rank"]] == [6_000, 0, 6_000, 6_000]
    assert found["what_if"]["no_host_late_ns"] is None
    # What is between the steps stays, and the 6 us of rank 1 go.
    assert found["what_if"]["no_skew_ns"] == found["what_if"]["period_ns"] - 6_000


def test_one_process_without_its_number_is_that_of_the_calls(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=1, steps=6)
    found = document(builder.write(tmp_path / "t.sqlite", drop_columns={KERNELS: ["globalPid"]}))
    assert found["ranks"][0]["pid"] == 1000
    assert quality(found)["launches"][0] == "ok"


#: From the tables of nsys 2025.3 to those of other versions.
VARIANTS = {
    "2.9.1": (
        "ALTER TABLE META_DATA_EXPORT RENAME TO EXPORT_META_DATA",
        "DROP TABLE META_DATA_CAPTURE",
        "ALTER TABLE CUDA_GRAPH_NODE_EVENTS RENAME TO CUDA_GRAPH_EVENTS",
        "DROP TABLE TARGET_INFO_CUDA_DEVICE",
        "ALTER TABLE NVTX_EVENTS DROP COLUMN binaryData",
        f"INSERT INTO {RUNTIME} SELECT start + 1, end, 67, globalTid, correlationId, nameId, 0, 1 FROM {RUNTIME}",
    ),
    "3.1": (
        "ALTER TABLE META_DATA_EXPORT RENAME TO EXPORT_META_DATA",
        "DROP TABLE META_DATA_CAPTURE",
        "DROP TABLE TARGET_INFO_CUDA_DEVICE",
        "ALTER TABLE NVTX_EVENTS DROP COLUMN binaryData",
        f"ALTER TABLE {KERNELS} DROP COLUMN greenContextId",
    ),
    "3.11": ("DROP TABLE TARGET_INFO_CUDA_DEVICE", "ALTER TABLE NVTX_EVENTS DROP COLUMN binaryData"),
    "3.20": (),
    "3.28": (
        "ALTER TABLE NVTX_EVENTS ADD COLUMN eventId INTEGER",
        f"ALTER TABLE {KERNELS} ADD COLUMN graphId INTEGER",
        f"ALTER TABLE {KERNELS} ADD COLUMN clusterX INTEGER",
        "ALTER TABLE TARGET_INFO_CUDA_DEVICE ADD COLUMN uuid TEXT",
        "CREATE TABLE NVTX_SCOPES (scopeId INTEGER, name TEXT)",
    ),
    "2021": (
        "DROP TABLE META_DATA_EXPORT",
        "DROP TABLE META_DATA_CAPTURE",
        "DROP TABLE TARGET_INFO_CUDA_DEVICE",
        "DROP TABLE PROCESSES",
        f"ALTER TABLE {KERNELS} DROP COLUMN mangledName",
        f"ALTER TABLE {KERNELS} DROP COLUMN greenContextId",
        "UPDATE TARGET_INFO_GPU SET cuDevice = 0",
    ),
}


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("version", VARIANTS)
def test_every_schema_gives_the_same_figures(tmp_path: Path, version: str, graph: bool) -> None:
    path = paper(tmp_path / "t.sqlite", graph=graph)
    before = document(path)
    statements = [s for s in VARIANTS[version] if graph or "CUDA_GRAPH" not in s]
    found = document(changed(path, *statements))
    allowed, row = NEEDS["META_DATA_EXPORT"] if version == "2021" else (set(), None)
    check(before, found, allowed, row)
    launches = nsysan.open_trace(path).launches
    assert launches.select("process", "correlation").is_unique().all()


# ---- clocks of CPU and GPU


def host_bound(path: Path, steps: int = 12) -> Path:
    """Four ranks, 60 us idle between steps, of which the host takes part: its calls begin 10 us before the work."""
    builder = TraceBuilder()
    decode_loop(builder, steps=steps, gap_ns=60_000, ahead=False)
    return builder.write(path)


def shift_host(path: Path, pid: int, form: str) -> Path:
    """Put the host's times of one process at `form`, SQL on the column t: its GPU's then lie before or after."""
    statements = []
    for table in (RUNTIME, NVTX):
        sets = ", ".join(f"{name} = {form.replace('t', name)}" for name in ("start", "end"))
        statements.append(f"UPDATE {table} SET {sets} WHERE (globalTid >> 24) & 16777215 = {pid}")
    return changed(path, *statements)


GPU_ONLY = ("per_step", "per_rank", "collectives", "steps", "ranks", "arrivals", "link")


@pytest.mark.parametrize(
    ("form", "amount"),
    [
        ("t + 60000", "rank 2 -50.0 µs"),  # its GPU 60 us too early: 10 us after the call is 50 us before it
        ("t - 3000000", "rank 2 +3,008.0 µs"),  # 3 ms too late, and 8 us after the call's end
        ("t + (t - 1000000) / 20", "rank 2 -"),  # the GPU's clock is slow by 5 %
        ("t - (t - 1000000) / 2", "rank 2 +"),  # it is fast
    ],
    ids=["early", "late", "slow", "fast"],
)
def test_clocks_that_disagree_are_named_and_what_needs_them_withheld(tmp_path: Path, form: str, amount: str) -> None:
    path = host_bound(tmp_path / "t.sqlite", steps=60)
    before = document(path)
    assert quality(before)["cpu_gpu_clock"] == ("ok", "shortest launch latency 10.0 µs")
    assert before["what_if"]["no_host_late_ns"] is not None
    found = document(shift_host(path, 1002, form))
    status, reason = quality(found)["cpu_gpu_clock"]
    assert status == "not_measurable"
    assert amount in reason
    assert "capture again" in reason
    assert {key: found[key] for key in GPU_ONLY} == {key: before[key] for key in GPU_ONLY}
    assert found["what_if"]["no_host_late_ns"] is None
    assert found["what_if"]["all_ns"] is None
    assert found["what_if"]["no_skew_ns"] == before["what_if"]["no_skew_ns"]
    host_causes = {gap["cause"] for gap in found["gaps"] if gap["rank"] == 2} & {"host_late", "launch", "sync"}
    assert host_causes == set()
    assert quality(found)["gaps"][0] == quality(found)["what_if"][0] == "estimated"


@pytest.mark.parametrize("by", [-50_000, 3_000_000])
def test_a_device_that_is_off_against_all_others_is_put_right_and_named(tmp_path: Path, by: int) -> None:
    before = document(host_bound(tmp_path / "right.sqlite"))
    path = host_bound(tmp_path / "t.sqlite")
    changed(path, f"UPDATE {KERNELS} SET start = start + {by}, end = end + {by} WHERE deviceId = 3")
    report = build_report(nsysan.analyze(nsysan.open_trace(path)), "0", timelines=False)
    found = document_of(report)
    # The ends of its calls and its launches show the same offset, which is its clock's.
    status, reason = quality(found)["rank_clocks"]
    assert (status, f"rank 3 {by / 1e3:+,.1f} µs" in reason) == ("estimated", True)
    assert quality(found)["cpu_gpu_clock"] == quality(before)["cpu_gpu_clock"]
    for key in ("per_step", "collectives", "gaps", "what_if"):
        assert found[key] == before[key]
    assert escape(reason) in to_html(report)
    assert to_text(report)


def test_work_that_waits_on_a_shared_gpu_is_no_clock(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(80):
        at = 1_000_000 + 2_000_000 * step
        process.nvtx(f"decode_step_{step}", at - 15_000, at + 1_000)
        # For a quarter of the recording somebody else's work holds the GPU for 1 ms whenever this one begins.
        held = 1_000_000 if 30 <= step < 50 else 0
        process.kernel(COMPUTE_KERNEL, at + held, at + held + 50_000, launch=at - 10_000)
    (clock,) = nsysan.analyze(builder.write(tmp_path / "t.sqlite")).host_clocks.values()
    assert (clock.agrees, clock.shortest, clock.late) == (True, 10_000, 8_000)


@pytest.mark.parametrize(("by", "status"), [(12_000, "estimated"), (25_000, "not_measurable")])
def test_a_clock_that_is_off_by_microseconds_takes_nothing_away(tmp_path: Path, by: int, status: str) -> None:
    before = document(host_bound(tmp_path / "right.sqlite"))
    path = host_bound(tmp_path / "t.sqlite")
    changed(path, f"UPDATE {KERNELS} SET start = start - {by}, end = end - {by}")
    found = document(path)
    assert quality(found)["cpu_gpu_clock"][0] == status
    assert (found["what_if"]["no_host_late_ns"] is not None) == (status == "estimated")
    if status == "estimated":
        assert found["what_if"]["no_skew_ns"] == before["what_if"]["no_skew_ns"]


def test_the_cause_host_is_withheld_where_the_clock_is_off(tmp_path: Path, real_trace: Traces) -> None:
    path = tmp_path / "t.sqlite"
    path.write_bytes(real_trace("tp4_eager").read_bytes())
    before = document(path)
    assert (before["straggler"]["rank"], before["straggler"]["cause"]) == (0, "host")
    pid = next(rank["pid"] for rank in before["ranks"] if rank["rank"] == 0)
    found = document(shift_host(path, pid, "t - 3000000"))
    # When its host launched is not known any more, nor by how much it was late.
    assert found["straggler"] is None
    assert quality(found)["straggler"][0] == "estimated"
    assert "cpu_gpu_clock" in quality(found)["straggler"][1]
    assert found["per_step"] == before["per_step"]


@pytest.mark.parametrize("name", ["tp4_graph_node", "tp4_eager", "tp4_symm", "tp2_graph", "tp4_slow"])
def test_clocks_of_real_traces_agree(analyzed: Callable[[str], Any], name: str) -> None:
    clocks = analyzed(name).host_clocks
    assert all(clock.agrees for clock in clocks.values())
    # Where the host runs ahead of a busy GPU, launches wait for their turn, and no clock is at fault.
    if name in ("tp4_symm", "tp4_slow"):
        assert {clock.late for clock in clocks.values()} == {None}
        assert min(clock.shortest or 0 for clock in clocks.values()) > 100_000


def test_no_launch_call_no_cost_of_late_hosts(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1000)
    for step in range(6):
        at = 1_000_000 + 100_000 * step
        process.nvtx(f"decode_step_{step}", at - 12_000, at - 7_000)
        process.kernel(COMPUTE_KERNEL, at, at + 20_000)
        process.kernel(COMPUTE_KERNEL, at + 50_000, at + 70_000, launch=None)
    found = document(builder.write(tmp_path / "t.sqlite"))
    assert found["what_if"]["no_host_late_ns"] is None
    assert quality(found)["what_if"][0] == "estimated"
    assert pl.DataFrame(found["gaps"]).filter(cause="unknown")["ns"].to_list() == [30_000]
    assert ALLREDUCE_KERNEL not in str(found["collectives"])
