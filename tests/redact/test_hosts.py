"""Host names however they are written, exports of another encoding, and copies of reports of several machines."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nsysan.diagnosis.findings.communication import CommunicationFinding
from nsysan.redact.scan import Names
from nsysan.redact.scrub import Scrubber
from nsysan.redact.secrets import HOST, USER, Secrets
from tests.clitools import paper_trace, run_cli
from tests.smallserver import Op, Part, run, write
from tests.tracebuilder import ALLREDUCE_KERNEL, TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]


@pytest.mark.parametrize("text", ["zeppelin_gpu17", "zeppelingpu17", "zeppelin-gpu17", "x=ZEPPELIN_GPU17;"])
def test_a_host_is_found_however_it_is_written(text: str) -> None:
    secrets = Secrets()
    secrets.add(HOST, "zeppelin-gpu17")
    assert secrets.within(text)


def test_an_export_in_wide_letters_is_refused_for_what_it_is(tmp_path: Path, capsys: Capsys) -> None:
    source = paper_trace(tmp_path / "narrow.sqlite")
    wide = tmp_path / "wide.sqlite"
    with closing(sqlite3.connect(source)) as narrow, closing(sqlite3.connect(wide)) as copy:
        copy.execute("PRAGMA encoding = 'UTF-16le'")
        copy.executescript("\n".join(narrow.iterdump()))
    result = run_cli(capsys, "redact", wide, "-o", tmp_path / "copy.sqlite")
    assert result.code != 0
    assert "its texts are in UTF-16le" in result.err
    assert not (tmp_path / "copy.sqlite").exists()


def test_reports_that_name_no_host_are_not_taken_for_one_machine(tmp_path: Path, capsys: Capsys) -> None:
    """TP=4 over two machines: all-reduces of 8 KiB take 30 us, as over a network."""
    layer = [Op("compute", lambda *_: 20_000), Op("sum", lambda *_: 30_000, 7, (), ALLREDUCE_KERNEL, "ncclAllReduce")]
    done = run([Part(lambda *_: 10_000, layer)])
    traces = [
        write(tmp_path / f"node{node}.sqlite", done, (2 * node, 2 * node + 1), f"machine{node}") for node in range(2)
    ]
    copies = [tmp_path / f"copy{number}.sqlite" for number in range(2)]
    for trace, copy in zip(traces, copies, strict=True):
        assert run_cli(capsys, "redact", trace, "-o", copy).code == 0
    found = {}
    for name, paths in (("as they are", traces), ("redacted", copies)):
        assert run_cli(capsys, "report", *paths, "--json", tmp_path / "r.json", "--force").code == 0
        found[name] = {one["id"]: one for one in json.loads((tmp_path / "r.json").read_text())["findings"]}
    wrong = CommunicationFinding.WRONG_WIRE
    assert wrong not in found["as they are"]
    told = found["redacted"][wrong]
    assert (told["severity"], told["saves_ns"]) == ("medium", None)
    assert "or between machines: no report names its host" in told["title"]


# ---- names within words

GLUED = (
    (USER, "mmustermann", "mmustermannRun", "<user>Run"),
    (USER, "mmustermann", "x_mmustermann7", "x_<user>7"),
    (USER, "mmustermann", "kernel_by_mmustermann2_fused", "kernel_by_<user>2_fused"),
    (USER, "mmustermann", "_Z15mmustermann_addPf", "_Z15<user>_addPf"),
    (HOST, "falcon17", "falcon17n0", "<host>n0"),
    (HOST, "falcon17", "Falcon17gpu3", "<host>gpu3"),
    (HOST, "falcon17", "onfalcon17", "on<host>"),
)
APART = (
    (USER, "test", "testing latest_tests"),
    (USER, "jdoe", "jdoex"),
    (USER, "attention", "flash_attentionForward"),
    (USER, "elementwise", "vectorized_elementwise2_kernel"),
    (USER, "research", "researchers"),
    (HOST, "node1", "node12a and node1x"),
    (HOST, "worker12", "worker12x"),
    (HOST, "bf16", "nvjet_bf16x"),
    (HOST, "h100", "sm90_h100x"),
)


def of_host_or_user(kind: str, name: str) -> tuple[Scrubber, Names]:
    secrets = Secrets()
    secrets.add(kind, name)
    return Scrubber(secrets), Names({name: kind} if list(secrets) else {})


@pytest.mark.parametrize(("kind", "name", "text", "done"), GLUED)
def test_a_long_name_is_found_within_words_by_both_passes(kind: str, name: str, text: str, done: str) -> None:
    mask, names = of_host_or_user(kind, name)
    assert mask.label(text) == mask.code(text) == done
    assert list(names.within(text)) == [kind]
    many = Names(names.kinds | {f"user{i:04d}": "user name" for i in range(100)})
    assert list(many.within(text)) == [kind]
    assert not any(names.within(done))


@pytest.mark.parametrize(("kind", "name", "text"), APART)
def test_short_and_common_names_tear_no_words_apart(kind: str, name: str, text: str) -> None:
    mask, names = of_host_or_user(kind, name)
    assert mask.label(text) == mask.code(text) == text
    assert not any(names.within(text))


def test_a_kernel_that_holds_a_name_is_masked_in_that_part_everywhere(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, ranks=2, steps=12):
        for step in range(12):
            at = 1_000_000 + 38_000 * step
            process.kernel("norm_by_mmustermann2_fused", at, at + 3_000, stream=9)
    builder.env("USER", "mmustermann")
    source = builder.write(tmp_path / "t.sqlite")
    data, page, steps, copy = (tmp_path / name for name in ("r.json", "r.html", "steps.json", "copy.sqlite"))
    assert run_cli(capsys, "report", source, "--redact", "--json", data, "-o", page, "-q").code == 0
    assert run_cli(capsys, "export", source, "--redact", "--perfetto", steps).code == 0
    assert run_cli(capsys, "redact", source, "-o", copy).code == 0
    for made in (data, page, steps, copy):
        assert b"mustermann" not in made.read_bytes().lower()
    assert b"norm_by_<user>2_fused" in copy.read_bytes()
    assert "norm_by_<user>2_fused" in {row["name"] for row in json.loads(data.read_text())["kernels"]}


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("host: tiger", "host: <name>"),
        ("[tiger:12345] rank 0", "[<name>:12345] rank 0"),
        ("owner jdoe", "owner <name>"),
        ("author: max.mustermann.", "author: <name>."),
        ("login max", "login <name>"),
        ("copy //fileserver/share/x", "copy <path>"),
        ("host: decode", "host: decode"),
        ("host::launch", "host::launch"),
        ("user: request 12", "user: request 12"),
        ("owner rank 3", "owner rank 3"),
        ("owner of the page", "owner of the page"),
        ("[batch:4096] step", "[batch:4096] step"),
        ("x[tiger:12345]", "x[tiger:12345]"),
        ("a // b/c", "a // b/c"),
        ("api_key_cache lookup12", "api_key_cache lookup12"),
        ("password check", "password check"),
        ("GPU-0 and GPU-12345678x", "GPU-0 and GPU-12345678x"),
    ],
)
def test_who_a_label_names(text: str, done: str) -> None:
    assert Scrubber(Secrets()).label(text) == done
