"""Redacted copies and reports: nothing planted gets out, and every figure stays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nsysan import ExitCode, NsysanError
from nsysan.redact.file import redact_file
from nsysan.redact.scan import Names, names_of, scan
from nsysan.redact.scrub import REMOVED_PROGRAM, Scrubber
from nsysan.redact.secrets import USER, Secrets
from tests.clitools import paper_trace, run_cli
from tests.conftest import REAL_TRACES
from tests.tracebuilder import TraceBuilder, decode_loop

#: Everything planted; whoever finds one of these in an output has found a leak.
KEY = "hf_Xq81LmZtWv0pRb"
WORD = "correcthorsebattery"
HOSTNAME = "gpu17.corp.example"
PERSON = "mallory"
NAMES = (KEY, WORD, HOSTNAME, "gpu17", PERSON, "10.11.12.13", "02:42:ac:11:00:02", "acmeprobe", "tea_leaves")


def planted(path: Path) -> Path:
    """The trace of paper_trace with secrets wherever nsys, a workload or a stranger could have put them."""
    builder = TraceBuilder()
    processes = decode_loop(builder, ranks=4, steps=4, late={1: 3_000})
    first = processes[0]
    other = builder.process(999, name=f"/home/{PERSON}/acmeprobe --key {KEY}")
    other.api("cudaGetDeviceCount_v3020", 10, 20)
    other.nvtx(f"probe of {WORD}", 10, 30)
    first.nvtx(f"load /home/{PERSON}/models/llama.bin from {HOSTNAME}", 100, 200)
    first.nvtx(f"registered C:\\Users\\{PERSON}\\x at 10.11.12.13", 210, 300, registered=True)
    first.nvtx("answer", 310, 320, json=json.dumps({"prompt": WORD, "Message size [bytes]": KEY, KEY: 4}))
    builder.env("HF_TOKEN", KEY)
    builder.env("PHRASE", WORD)
    builder.env("USER", PERSON)
    builder.env("WORLD_SIZE", "4")
    builder.env("LOCAL_RANK", KEY)
    builder.diagnostic(f"No NVTX events collected. See /home/{PERSON}/log on {HOSTNAME}", process=first)
    builder.diagnostic(f"{KEY} could not be opened", process=first)
    builder.string_id(f"HOME=/home/{PERSON}\0TEA=tea_leaves\0HOSTNAME={HOSTNAME}\0MAC=02:42:ac:11:00:02\0")
    builder.row("META_DATA_EXPORT", name="EXPORT_HOST", value=HOSTNAME)
    builder.row("META_DATA_EXPORT", name="EXPORT_SCHEMA_VERSION_CKSUM", value=f"/srv/{WORD}")
    builder.row("META_DATA_CAPTURE", name="PROCESS_0:ARGUMENT_0", value=f"--api-key={KEY}")
    builder.row("META_DATA_CAPTURE", name=f"CUDA_{KEY}", value="1")
    builder.write(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            f"""
            CREATE TABLE ProcessStreams(globalPid INTEGER, contentId INTEGER, raw TEXT);
            INSERT INTO ProcessStreams VALUES (1, 1, 'printed {KEY}');
            CREATE TABLE "{KEY}" ("{WORD}" TEXT);
            INSERT INTO "{KEY}" VALUES ('{PERSON}@{HOSTNAME}');
            ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN "{WORD}" TEXT;
            UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET "{WORD}" = '{KEY}';
            CREATE TABLE TARGET_INFO_SYSTEM_ENV(globalVid INTEGER, name TEXT, value TEXT);
            INSERT INTO TARGET_INFO_SYSTEM_ENV VALUES (1, 'Hostname', '{HOSTNAME}');
            INSERT INTO TARGET_INFO_SYSTEM_ENV VALUES (1, 'DeviceEnvironment', 'A=1 B={WORD} C={KEY}');
            CREATE VIEW looks AS SELECT '{KEY}';
            CREATE TABLE gone(x TEXT);
            """
        )
        connection.executemany("INSERT INTO gone VALUES (?)", [(f"{KEY} {PERSON} " * 60,)] * 200)
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("DROP TABLE gone")
    return path


def assert_tells_nothing(content: bytes) -> None:
    """None of what was planted, in any encoding that SQLite, HTML or JSON may hold it in."""
    for name in NAMES:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            assert name.lower().encode(encoding) not in content.lower(), f"{name} is left, as {encoding}"
    assert b"/home/" not in content
    assert b"\\Users" not in content


def document(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> dict[str, Any]:
    """The JSON report of a trace, without the names of files."""
    found: dict[str, Any] = json.loads(run_cli(capsys, "report", path, "--json", "-", *options).out)
    for named in found["inputs"]:
        del named["name"]
    for rank in found["ranks"]:
        del rank["report"]
    return found


def column(path: Path, sql: str) -> list[Any]:
    """The first column of a query, in order."""
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value, *_) in connection.execute(sql)]


def test_the_plants_are_in_the_source(tmp_path: Path) -> None:
    content = planted(tmp_path / "t.sqlite").read_bytes()
    assert [name for name in NAMES if name.encode() not in content] == []
    assert column(tmp_path / "t.sqlite", "PRAGMA freelist_count")[0] > 0


def test_a_copy_holds_none_of_what_was_planted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, clean = planted(tmp_path / "t.sqlite"), tmp_path / "clean.sqlite"
    before = source.read_bytes()
    result = run_cli(capsys, "redact", source, "-o", clean)
    assert (result.code, result.err) == (0, "")
    assert_tells_nothing(clean.read_bytes())
    assert_tells_nothing(result.out.encode())
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clean.sqlite", "t.sqlite"]
    assert "identical" in result.out
    assert document(capsys, clean) == document(capsys, source)


def test_what_a_copy_keeps_of_the_planted_trace(tmp_path: Path) -> None:
    clean = tmp_path / "clean.sqlite"
    redact_file(planted(tmp_path / "t.sqlite"), clean)
    texts = column(clean, "SELECT text FROM NVTX_EVENTS WHERE text LIKE 'load%'")
    assert texts == ["load <path> from <host>"]
    assert column(clean, "SELECT value FROM StringIds WHERE value LIKE 'registered%'") == ["registered <path>"]
    assert column(clean, "SELECT jsonText FROM NVTX_EVENTS WHERE text = 'answer'") == [None]
    assert column(clean, "SELECT text FROM DIAGNOSTIC_EVENT") == [
        "No NVTX events collected. See <path> on <host>",
        "<message>",
    ]
    environment = column(clean, "SELECT value FROM META_DATA_CAPTURE WHERE name LIKE '%ENVIRONMENT%'")
    assert environment == ['WORLD_SIZE="4"']
    pids = {process >> 24 & 0xFFFFFF for process in column(clean, "SELECT globalPid FROM PROCESSES")}
    assert len(pids) == 4
    assert 999 not in pids
    assert 999 not in {t >> 24 & 0xFFFFFF for t in column(clean, "SELECT globalTid FROM CUPTI_ACTIVITY_KIND_RUNTIME")}
    assert column(clean, "PRAGMA integrity_check") == ["ok"]
    assert column(clean, "PRAGMA freelist_count") == [0]


def test_columns_are_declared_as_in_the_source(tmp_path: Path) -> None:
    source, clean = paper_trace(tmp_path / "t.sqlite"), tmp_path / "clean.sqlite"
    redact_file(source, clean)
    sql = "SELECT name || ' ' || type || ' ' || \"notnull\" FROM pragma_table_info('CUPTI_ACTIVITY_KIND_KERNEL')"
    # Mangled names are for nobody's eyes, and no mask fits in them.
    assert column(clean, sql) == [told for told in column(source, sql) if not told.startswith("mangledName")]


@pytest.mark.parametrize("name", [*REAL_TRACES, "tp4_graph_graph", "tp2_metrics"])
def test_figures_of_real_traces_stay(name: str, real_trace: Callable[[str], Path], tmp_path: Path) -> None:
    source, clean = real_trace(name), tmp_path / f"{name}.sqlite"
    assert redact_file(source, clean).changed == []
    names = "SELECT id, value FROM StringIds WHERE id IN (SELECT shortName FROM CUPTI_ACTIVITY_KIND_KERNEL)"
    kernels = f"SELECT value FROM ({names}) ORDER BY 1"
    assert column(clean, kernels) == column(source, kernels)


def test_the_comparison_of_figures_agrees_with_the_reports(
    real_trace: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, clean = real_trace("tp4_slow"), tmp_path / "clean.sqlite"
    redact_file(source, clean)
    assert document(capsys, clean) == document(capsys, source)


def test_reports_of_one_run_still_merge(
    real_trace: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [real_trace(f"rank_{i}") for i in range(4)]
    copies = [tmp_path / f"clean_rank_{i}.sqlite" for i in range(4)]
    for source, clean in zip(sources, copies, strict=True):
        redact_file(source, clean)

    def figures(paths: list[Path]) -> object:
        return json.loads(run_cli(capsys, "report", *paths, "--json", "-").out)["per_step"]

    assert figures(copies) == figures(sources)


def test_what_is_left_stops_the_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the pass had never heard of keys.
    monkeypatch.setattr(Scrubber, "label", lambda _, text: text)
    builder = TraceBuilder()
    decode_loop(builder, ranks=2)[0].nvtx(f"load from {HOSTNAME} by {PERSON}@corp.example", 100, 200)
    builder.env("HOSTNAME", HOSTNAME)
    builder.write(tmp_path / "t.sqlite")
    result = run_cli(capsys, "redact", tmp_path / "t.sqlite", "-o", tmp_path / "clean.sqlite")
    assert result.code == ExitCode.NOT_CLEAN
    assert "host name in NVTX_EVENTS.text" in result.err
    assert "mail address in NVTX_EVENTS.text" in result.err
    for told in (HOSTNAME, PERSON):
        assert told not in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["t.sqlite"]


def test_the_scan_finds_each_plant(tmp_path: Path) -> None:
    source = planted(tmp_path / "t.sqlite")
    leaks = scan(source, names_of(source))
    assert {"secret of the environment", "host name", "user name", "path"} <= {leak.kind for leak in leaks}
    found = {leak.where.partition(".")[0] for leak in leaks}
    assert {"NVTX_EVENTS", "META_DATA_CAPTURE", "DIAGNOSTIC_EVENT", "StringIds", "the bytes of the file"} <= found


def test_the_scan_reads_free_pages_and_wide_text(tmp_path: Path) -> None:
    names = Names({HOSTNAME: "host name"})
    path = tmp_path / "t.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t(x)")
        connection.execute("INSERT INTO t VALUES (?)", ("x" * 20_000 + f" {HOSTNAME}",))
        connection.execute("CREATE TABLE u(x)")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("DROP TABLE t")
    assert {(leak.kind, leak.where) for leak in scan(path, names)} == {("host name", "the bytes of the file")}
    for encoding in ("utf-16-le", "utf-16-be"):
        wide = tmp_path / f"{encoding}.sqlite"
        with closing(sqlite3.connect(wide)) as connection, connection:
            connection.execute("CREATE TABLE t(x)")
            connection.execute("INSERT INTO t VALUES (?)", (HOSTNAME.encode(encoding),))
        assert "t.x" in {leak.where for leak in scan(wide, names)}


def test_a_secret_longer_than_a_page_is_found(tmp_path: Path) -> None:
    """Its bytes lie in pieces on several pages, so only its value shows it."""
    long = (KEY * 100).lower()
    path = tmp_path / "t.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t(x)")
        connection.execute("INSERT INTO t VALUES (?)", (long,))
    kept = [leak.where for leak in scan(path, Names({long: "name"})) if leak.kind == "name"]
    assert kept == ["t.x"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("decode_step_3", "decode_step_3"),
        ("execute_context_0(0)_generation_8(8)", "execute_context_0(0)_generation_8(8)"),
        ("[Executor] _forward_step 9: 0 ctx reqs, 32 gen reqs", "[Executor] _forward_step 9: 0 ctx reqs, 32 gen reqs"),
        ("aten::add, op_id = 314359", "aten::add, op_id = 314359"),
        ("gpu_model_runner: forward", "gpu_model_runner: forward"),
        ("tokens/s and a/b", "tokens/s and a/b"),
        ("load /data/models/x.bin now", "load <path> now"),
        ("file=/opt/app", "file=<path>"),
        ("see ~/notes", "see <path>"),
        (r"open D:\work\a b", "open <path>"),
        ("get https://host.example/a?b=c end", "get <url> end"),
        ("to 192.168.0.7:29500", "to <ip>:29500"),
        ("card 02:42:ac:11:00:02", "card <mac>"),
        ("GPU-1b4e28ba-2fa1-11d2-883f-0016d3cca427", "GPU-<uuid>"),
        ("by mallory@corp.example", "by <mail>"),
        ("worker of alice", "worker of <user>"),
        ("alice_step 3", "<user>_step 3"),
        ("malice", "malice"),
        ("runs scripts/decode.py", "runs <path>"),
    ],
)
def test_labels(text: str, masked: str) -> None:
    secrets = Secrets()
    secrets.add(USER, "alice")
    assert Scrubber(secrets).label(text) == masked


@pytest.mark.parametrize(
    "name",
    [
        "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<c10::BFloat16>>(int, T2, T3)",
        "void a::b<(int)4, T1 / 2, (x)/y/z>(T1 *)",
        "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)",
        "_ZN2at6native18elementwise_kernelILi128ELi4EZNS0_22gpu_kernel_impl_nocast",
    ],
)
def test_names_of_code_stay(name: str) -> None:
    assert Scrubber(Secrets()).code(name) == name


def test_values_that_are_words_of_the_code_tell_nothing() -> None:
    secrets = Secrets(["ncclDevKernel_AllReduce_Sum_bf16_RING_LL"])
    for name, value in (("NCCL_ALGO", "RING"), ("DTYPE", "bf16"), ("DEBUG", "true"), ("N", "12345"), ("M", "spawn")):
        secrets.add_setting(name, value)
    assert [secret.text for secret in secrets] == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/usr/bin/python3.12", "python3.12"),
        ("VLLM::Worker_TP0", "VLLM::Worker_TP0"),
        ("acme-trainer", REMOVED_PROGRAM),
        (r"C:\tools\acme.exe", REMOVED_PROGRAM),
    ],
)
def test_programs(name: str, shown: str) -> None:
    assert Scrubber(Secrets()).program(name) == shown


def test_a_rank_known_by_its_file_name_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=1, message_bytes=None)
    source = builder.write(tmp_path / "run_rank_3.sqlite")
    result = run_cli(capsys, "redact", source, "-o", tmp_path / "clean.sqlite", "-q")
    assert (result.code, result.out) == (0, "")
    assert "ranks" in result.err
    assert "_rank_3.sqlite" in result.err
    result = run_cli(capsys, "redact", source, "-o", tmp_path / "clean_rank_3.sqlite", "-q")
    assert (result.code, result.err) == (0, "")


def test_the_topology_goes_along_without_serial_numbers(tmp_path: Path) -> None:
    source = paper_trace(tmp_path / "t.sqlite", ranks=2)
    (tmp_path / "t.topology.txt").write_text(
        "\tGPU0\tGPU1\tNIC0\nGPU0\t X \tNV18\tSYS\nGPU1\tNV18\t X \tSYS\nNIC Legend:\n  NIC0: mlx5_bond_9\n"
        "GPU 0: NVIDIA H200 (UUID: GPU-1b4e28ba-2fa1-11d2-883f-0016d3cca427)\n\t Link 0: 26.562 GB/s\n"
    )
    done = redact_file(source, tmp_path / "clean.sqlite")
    assert done.changed == []
    written = (tmp_path / "clean.topology.txt").read_text()
    assert written == "GPU0\tX\tNV18\nGPU1\tNV18\tX\nLink 0: 26.562 GB/s\n"


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, clean = paper_trace(tmp_path / "t.sqlite"), tmp_path / "clean.sqlite"
    clean.write_text("mine")
    assert run_cli(capsys, "redact", source, "-o", clean).code == ExitCode.OUTPUT_EXISTS
    assert clean.read_text() == "mine"
    assert run_cli(capsys, "redact", source, "-o", clean, "--force", "-q").code == 0
    assert run_cli(capsys, "redact", source, "-o", source, "--force").code == ExitCode.OUTPUT_UNWRITABLE
    assert run_cli(capsys, "redact", tmp_path, "-o", clean, "--force").code == ExitCode.NO_SUCH_FILE


def test_text_in_place_of_numbers_is_refused(tmp_path: Path) -> None:
    source = paper_trace(tmp_path / "t.sqlite")
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET gridX = ? WHERE rowid = 3", (KEY,))
    with pytest.raises(NsysanError, match="damaged") as error:
        redact_file(source, tmp_path / "clean.sqlite")
    assert error.value.exit_code == ExitCode.DAMAGED
    assert [p.name for p in tmp_path.iterdir()] == ["t.sqlite"]


def test_a_trace_without_gpu_work_can_be_copied(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.process(7).api("cudaFree_v3020", 1, 2)
    done = redact_file(builder.write(tmp_path / "t.sqlite"), tmp_path / "clean.sqlite")
    assert done.changed == []
    assert len(column(tmp_path / "clean.sqlite", "SELECT start FROM CUPTI_ACTIVITY_KIND_RUNTIME")) == 1


def test_a_rank_without_gpu_work_still_counts_as_missing(tmp_path: Path) -> None:
    """It joined the communicator, so it is of the run, although none of its kernels is in the trace."""
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, comm=5)
    silent = builder.process(77)
    silent.comm_init(comm=6, nranks=3, rank=2, device=2, start=1, end=2)
    done = redact_file(builder.write(tmp_path / "t.sqlite"), tmp_path / "clean.sqlite")
    assert done.changed == []
    threads = column(tmp_path / "clean.sqlite", "SELECT globalTid FROM NVTX_EVENTS")
    assert 77 in {thread >> 24 & 0xFFFFFF for thread in threads}


def test_a_redacted_report_tells_nothing_and_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = planted(tmp_path / f"{PERSON}.sqlite")
    html, data = tmp_path / "r.html", tmp_path / "r.json"
    result = run_cli(capsys, "report", source, "--redact", "-o", html, "--json", data)
    assert result.code == 0
    assert_tells_nothing(html.read_bytes())
    assert_tells_nothing(data.read_bytes())
    shown = result.out[: result.out.rindex("wrote ")]
    assert_tells_nothing(shown.encode())
    redacted = json.loads(data.read_text())
    assert redacted["inputs"][0]["name"] == "trace 1"
    assert {rank["report"] for rank in redacted["ranks"]} == {"trace 1"}
    assert redacted["per_step"] == document(capsys, source)["per_step"]


def test_labels_of_steps_are_masked_in_a_redacted_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = TraceBuilder()
    processes = decode_loop(builder, ranks=2, steps=4, nvtx=False)
    for process in processes:
        for step in range(4):
            begin = 1_000_000 + step * 38_000
            process.nvtx(f"decode /home/{PERSON}/run {KEY} {step}", begin - 11_000, begin + 12_500)
    builder.env("HF_TOKEN", KEY)
    source = builder.write(tmp_path / "t.sqlite")
    html, data = tmp_path / "r.html", tmp_path / "r.json"
    assert run_cli(capsys, "report", source, "--redact", "-o", html, "--json", data, "-q").code == 0
    assert_tells_nothing(html.read_bytes())
    assert_tells_nothing(data.read_bytes())
    assert "decode &lt;path&gt;" in html.read_text()
    assert PERSON in json.dumps(document(capsys, source))


def test_the_default_report_shows_no_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = planted(tmp_path / "t.sqlite")
    html, data = tmp_path / "r.html", tmp_path / "r.json"
    result = run_cli(capsys, "report", source, "-o", html, "--json", data)
    for content in (html.read_text(), data.read_text(), result.out):
        for told in (KEY, WORD, "tea_leaves", "HF_TOKEN", "PHRASE", "WORLD_SIZE"):
            assert told not in content


def test_workers_that_the_profiler_lost_are_still_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rank 0 alone has kernels; of three forked workers only the profiler's message is left."""
    builder = TraceBuilder()
    (first,) = decode_loop(builder, ranks=1, steps=12, message_bytes=None)
    first.comm_init(comm=5, nranks=4, rank=0, device=0, start=1, end=2)
    for number in range(3):
        lost = builder.process(2_000 + number, name=f"{PERSON}-worker")
        builder.diagnostic("No CUDA events collected. Does the process use CUDA?", process=lost)
        lost.nvtx(f"range of worker {number}", 1_000_000, 1_000_100)
    source, clean = builder.write(tmp_path / "t.sqlite"), tmp_path / "clean.sqlite"
    result = run_cli(capsys, "redact", source, "-o", clean)
    assert "figures   identical to the trace's" in result.out
    assert "3 processes of the trace gave no CUDA events" in json.dumps(document(capsys, clean))
    assert column(clean, "SELECT count(*) FROM PROCESSES WHERE name = '<process>'") == [3]
    # What they did stays out.
    assert column(clean, "SELECT count(*) FROM NVTX_EVENTS WHERE text LIKE 'range of%'") == [0]
    assert_tells_nothing(clean.read_bytes())


def test_names_that_were_masked_are_no_other_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(12):
        at = 1_000_000 + 40_000 * step
        process.nvtx(f"decode_step_{step}", at - 12_000, at + 25_000)
        process.kernel("gemm", at, at + 10_000)
        process.kernel(f"norm_by_{PERSON}_fused", at + 10_000, at + 20_000)
    builder.env("USER", PERSON)
    result = run_cli(capsys, "redact", builder.write(tmp_path / "t.sqlite"), "-o", tmp_path / "clean.sqlite")
    assert (result.code, result.err) == (0, "")
    assert "figures   identical to the trace's" in result.out
