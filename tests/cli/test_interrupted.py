"""A report that is killed, interrupted or out of disk at any moment leaves the old file or the new one, no other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsysan import scratch
from nsysan.output import write_text
from tests.clitools import paper_trace, signalled

_MOMENTS = 60
#: Writes file argv[3], and is sent signal argv[1] before the line that comes argv[2]-th in the writer.
_AT_A_LINE = """
import os, signal, sys
from pathlib import Path
from nsysan import output
which, moment, path = signal.Signals(int(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3])
lines = 0
def line(frame, event, argument):
    global lines
    if event == "line":
        lines += 1
        if lines == moment:
            os.kill(os.getpid(), which)
    return line
def call(frame, event, argument):
    return line if frame.f_code.co_filename == output.__file__ else None
sys.settrace(call)
try:
    output.write_bytes(path, b"new" * 1_000_000, force=path.exists())
except KeyboardInterrupt:
    sys.settrace(None)
    sys.exit(130)
sys.settrace(None)
"""
#: The whole command line, sent signal argv[1] when it is about to name a finished file for the argv[2]-th time.
_AT_A_RENAME = """
import os, signal, sys
from nsysan.cli import main
which, moment = signal.Signals(int(sys.argv[1])), int(sys.argv[2])
renames = 0
def counted(rename):
    def replace(*arguments, **options):
        global renames
        renames += 1
        if renames == moment:
            os.kill(os.getpid(), which)
        return rename(*arguments, **options)
    return replace
os.replace, os.rename, os.link = map(counted, (os.replace, os.rename, os.link))
sys.argv[1:] = sys.argv[3:]
main()
"""
#: The whole command line, in which no file can be longer than argv[1] bytes: a disk that fills up.
_WITHOUT_ROOM = """
import resource, sys
from nsysan.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[1:] = sys.argv[2:]
main()
"""


def child(code: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    # -B: an interpreter that is out of room must not try to leave bytecode in the tree.
    command = signalled(sys.executable, "-B", "-c", code, *map(str, arguments))
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def at_every_line(
    folder: Path, which: signal.Signals, old: bytes | None = b"old"
) -> list[tuple[int, bytes | None, list[str]]]:
    """Exit code, content under the name, and other files left, for an end before each line of the writer."""
    found = []
    for moment in range(1, _MOMENTS):
        for file in folder.iterdir():
            file.unlink()
        target = folder / "report.html"
        if old is not None:
            target.write_bytes(old)
        done = child(_AT_A_LINE, folder, int(which), moment, target)
        rest = [file.name for file in folder.iterdir() if file != target]
        found.append((done.returncode, target.read_bytes() if target.exists() else None, rest))
        if done.returncode == 0:
            return found
    raise AssertionError("the writer has more lines than moments were tried")


@pytest.mark.parametrize("old", [b"old", None])
def test_killed_before_any_line_of_the_writer_leaves_old_or_new(tmp_path: Path, old: bytes | None) -> None:
    found = at_every_line(tmp_path, signal.SIGKILL, old)
    assert len(found) > 15
    assert found[-1] == (0, b"new" * 1_000_000, [])
    assert {code for code, _, _ in found[:-1]} == {-signal.SIGKILL}
    contents = [content for _, content, _ in found]
    assert set(contents) == {old, b"new" * 1_000_000}
    # Old up to the moment of the rename, new from then on.
    first_new = contents.index(b"new" * 1_000_000)
    assert set(contents[:first_new]) == {old}
    assert set(contents[first_new:]) == {b"new" * 1_000_000}
    # What a kill leaves behind is hidden and named after its maker.
    assert all(name.startswith(".nsysan-") for _, _, rest in found for name in rest)


@pytest.mark.parametrize("old", [b"old", None])
def test_interrupted_before_any_line_of_the_writer_leaves_no_litter(tmp_path: Path, old: bytes | None) -> None:
    found = at_every_line(tmp_path, signal.SIGINT, old)
    assert len(found) > 15
    assert {code for code, _, _ in found[:-1]} == {130}
    assert {content for _, content, _ in found} == {old, b"new" * 1_000_000}
    assert all(rest == [] for _, _, rest in found)


@pytest.mark.parametrize("moment", [1, 2])
def test_report_killed_at_a_rename(tmp_path: Path, moment: int) -> None:
    paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "out.html").write_text("old")
    arguments = ("report", "t.sqlite", "-o", "out.html", "--json", "out.json", "--force", "-q")
    done = child(_AT_A_RENAME, tmp_path, int(signal.SIGKILL), moment, *arguments)
    assert done.returncode == -signal.SIGKILL
    html = (tmp_path / "out.html").read_text()
    new = re.search(r"</html>\n<!-- nsysan wrote this page of [0-9a-f: ]+ -->\n$", html)
    assert html == "old" if moment == 1 else new
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("command", ["report", "redact"])
def test_interrupt_is_one_line_and_exit_130(tmp_path: Path, command: str) -> None:
    paper_trace(tmp_path / "t.sqlite")
    outputs = {"report": ("-o", "out.html", "-q"), "redact": ("-o", "clean.sqlite")}
    done = child(_AT_A_RENAME, tmp_path, int(signal.SIGINT), 1, command, "t.sqlite", *outputs[command])
    assert done.returncode == 130
    assert done.stderr.strip() == "nsysan: interrupted"
    assert [file.name for file in tmp_path.iterdir()] == ["t.sqlite"]


@pytest.mark.parametrize(
    ("room", "arguments"),
    [
        (0, ("report", "t.sqlite", "-o", "out.html")),
        (100_000, ("report", "t.sqlite", "-o", "out.html")),
        (1_000, ("report", "t.sqlite", "--json", "out.json")),
        (1_000, ("compare", "t.sqlite", "t.sqlite", "--markdown", "out.md")),
        (1_000, ("export", "t.sqlite", "--perfetto", "out.json")),
        (10_000, ("redact", "t.sqlite", "-o", "out.sqlite")),
    ],
)
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, room: int, arguments: tuple[str, ...]) -> None:
    paper_trace(tmp_path / "t.sqlite", steps=12)
    done = child(_WITHOUT_ROOM, tmp_path, room, *arguments)
    assert done.returncode == 10, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("nsysan: ")
    assert [file.name for file in tmp_path.iterdir()] == ["t.sqlite"]


def test_full_disk_keeps_the_old_report(tmp_path: Path) -> None:
    paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "out.html").write_text("old")
    done = child(_WITHOUT_ROOM, tmp_path, 100_000, "report", "t.sqlite", "-o", "out.html", "--force")
    assert done.returncode == 10
    assert (tmp_path / "out.html").read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.html", "t.sqlite"]


#: Redacts argv[1:], and says when its copy is written and not yet searched; then waits.
_BEFORE_THE_SEARCH = """
import select, sys
from nsysan.redact import file
from nsysan.cli import main
def searching(*_):
    print("copied", flush=True)
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        pass
file._left = searching
main()
"""


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_copy_that_was_not_searched_goes_with_its_maker(tmp_path: Path, which: signal.Signals) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    command = signalled(sys.executable, "-c", _BEFORE_THE_SEARCH, "redact", trace, "-o", tmp_path / "out.sqlite")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"copied\n"
        (folder,) = (path for path in tmp_path.iterdir() if path != trace)
        assert [path.name for path in folder.iterdir()] == ["out.sqlite"]
        process.send_signal(which)
        process.wait(120)
        assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}.get(which, 128 + which)
    # After a kill, whoever waits for its end removes it.
    for _ in range(2_000):
        if not folder.exists():
            break
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == [trace]


def test_what_others_left_unfinished_is_removed_and_what_they_write_is_not(tmp_path: Path) -> None:
    old = [tmp_path / f".nsysan-{number}" for number in range(4)]
    old[0].write_text("left")
    old[1].mkdir()
    (old[1] / "copy.sqlite").write_text("left")
    old[2].write_text("being written")
    old[3].symlink_to(tmp_path / "t")
    for path in old[:3]:
        os.utime(path, (0, 0))
    (tmp_path / ".nsysan-young").write_text("about to be locked")
    with old[2].open("rb") as written:
        scratch.held(written.fileno())
        write_text(tmp_path / "out", "text", force=False)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"out", ".nsysan-2", ".nsysan-3", ".nsysan-young"}
