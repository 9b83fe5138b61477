"""`nsysan report --png`: real pictures by a real browser, and what is said where there is none."""

from __future__ import annotations

import os
import shutil
import struct
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.page.palette import COLOURS
from nsysan.page.png import BROWSER, CHARTS, find_painter, paths
from nsysan.report.build import build_report
from tests.clitools import paper_trace, run_cli

Bytes = npt.NDArray[np.uint8]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> str:
    """A browser that NSYSAN_BROWSER names."""
    found = os.environ.get(BROWSER) or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium or Chrome on PATH, and {BROWSER} names none")
    monkeypatch.setenv(BROWSER, found)
    return found


def colours(png: bytes) -> tuple[int, int, dict[tuple[int, ...], int]]:
    """Width, height, and how many pixels there are of each colour: 8 bits a channel, not interlaced."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, packed, header = 8, b"", b""
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + length]
        header, packed = (body, packed) if kind == b"IHDR" else (header, packed + body if kind == b"IDAT" else packed)
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    assert (depth, interlaced) == (8, 0)
    channels = {2: 3, 6: 4}[colour]
    lines = np.frombuffer(zlib.decompress(packed), dtype=np.uint8).reshape(height, -1)
    picture = unfiltered(lines[:, 0], lines[:, 1:].reshape(height, width, channels))
    found, counts = np.unique(picture[..., :3] @ (1 << 16, 1 << 8, 1), return_counts=True)
    seen = {tuple(colour.to_bytes(3)): count for colour, count in zip(found.tolist(), counts.tolist(), strict=True)}
    return width, height, seen


def unfiltered(kinds: Bytes, lines: Bytes) -> npt.NDArray[np.int64]:
    """Pixels without their lines' filters: none, left, above, the mean of both, or Paeth's choice.

    A pixel rests on those to its left and above it, so all of one diagonal are known at a time.
    """
    height, width, channels = lines.shape
    done = np.zeros((height + 1, width + 1, channels), dtype=np.int64)
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        left, above, corner = done[y + 1, x], done[y, x + 1], done[y, x]
        off = np.abs(np.stack([above - corner, left - corner, left + above - 2 * corner]))
        paeth = np.choose(off.argmin(axis=0), [left, above, corner])
        known = np.choose(kinds[y, None], [np.zeros_like(left), left, above, (left + above) // 2, paeth])
        done[y + 1, x + 1] = (lines[y, x] + known) & 255
    return done[1:, 1:]


def rgb(line: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(COLOURS[line].removeprefix("#")))


def test_pictures_show_the_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str], browser: str) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    result = run_cli(capsys, "report", trace, "--png", tmp_path / "charts")
    assert (result.code, result.err) == (0, "")
    assert not (tmp_path / "t.html").exists()
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(f"charts-{chart}.png" for chart in CHARTS)
    for path in tmp_path.glob("*.png"):
        assert str(path) in result.out
    width, _, counts = colours((tmp_path / "charts-ledger.png").read_bytes())
    assert width == 2_400
    # 20 to 26 of 44 us compute, 16 wire, 6 wait on three of four ranks: the areas of the bars, but for their edges.
    compute, wire, wait = (counts.get(rgb(line), 0) for line in ("compute", "wire", "wait"))
    assert compute / wire == pytest.approx(86 / 64, rel=0.1)
    assert wait / wire == pytest.approx(18 / 64, rel=0.1)
    assert browser == find_painter().name


def test_nothing_is_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str], browser: str) -> None:
    assert browser
    trace = paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "timeline.png").write_text("mine")
    result = run_cli(capsys, "report", trace, "--png", tmp_path)
    assert result.code == ExitCode.OUTPUT_EXISTS
    assert "timeline.png: exists already" in result.err
    assert [path.name for path in tmp_path.glob("*.png")] == ["timeline.png"]


def test_a_folder_gets_plain_names(tmp_path: Path) -> None:
    assert paths(tmp_path)["ledger"] == tmp_path / "ledger.png"
    assert paths(tmp_path / "run1")["ledger"] == tmp_path / "run1-ledger.png"


def test_a_device_is_no_beginning_of_names() -> None:
    with pytest.raises(NsysanError, match="/dev/null is a device or pipe") as raised:
        paths(Path("/dev/null"))
    assert raised.value.exit_code == ExitCode.OUTPUT_UNWRITABLE


@pytest.mark.parametrize("named", ["no-such-browser", ""])
def test_without_a_browser_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(BROWSER, named)
    if not named:
        monkeypatch.setattr("nsysan.page.png.find_spec", lambda name: None if name == "kaleido" else find_spec(name))
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--png", tmp_path / "c")
    assert result.code == ExitCode.OUTPUT_UNWRITABLE
    assert ("NSYSAN_BROWSER names no-such-browser" if named else "install Chromium or Chrome") in result.err
    assert result.out == ""


#: What programs do that are no browser, or one that is broken or of another version, and what is said of each.
_DRAWS = "open(next(a for a in sys.argv if a.startswith('--screenshot='))[13:], 'wb').write({content!r})"
_SAYS = "print('chart drawn', file=sys.stderr)"
FAILURES = {
    "draws nothing": ("", "could not show the chart; if it may not read"),
    "draws the page of an error": (_DRAWS.format(content=b"\x89PNG\r\n\x1a\n"), "could not show the chart"),
    "says that it drew": (_SAYS, "could not show the chart"),
    "draws no PNG": (f"{_DRAWS.format(content=b'GIF89a')}; {_SAYS}", "gave something else than a PNG"),
    "fails": ("sys.exit(3)", "ended with exit code 3; name another browser in NSYSAN_BROWSER"),
    "does not end": ("time.sleep(600)", "did not end within 0.2 s; name another browser in NSYSAN_BROWSER"),
}


@pytest.mark.parametrize(("code", "said"), FAILURES.values(), ids=FAILURES)
def test_what_draws_no_chart_is_an_error_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    program = script(tmp_path / "program", f"import sys, time; {code}")
    monkeypatch.setenv(BROWSER, str(program))
    if "sleep" in code:
        monkeypatch.setattr("nsysan.page.png._TIMEOUT_S", 0.2)
    check_fails(tmp_path, capsys, f"nsysan: --png: {program} ", said)


def test_what_does_not_start_is_an_error_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    monkeypatch.setenv(BROWSER, str(program))
    check_fails(tmp_path, capsys, f"nsysan: --png: {program} does not start (No such file or directory)", BROWSER)


def script(path: Path, code: str) -> Path:
    """A program of that Python code."""
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return path


def check_fails(folder: Path, capsys: pytest.CaptureFixture[str], begins: str, holds: str) -> None:
    """One line on standard error, which begins and holds so, and no picture."""
    result = run_cli(capsys, "report", paper_trace(folder / "t.sqlite", ranks=1), "--png", folder / "c")
    assert (result.code, result.out) == (ExitCode.OUTPUT_UNWRITABLE, "")
    assert result.err.startswith(begins), result.err
    assert holds in result.err
    assert result.err.count("\n") == 1
    assert not list(folder.glob("*.png"))


def test_kaleido_draws_where_there_is_no_browser_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: str
) -> None:
    pytest.importorskip("kaleido", reason="needs PyPI kaleido")
    monkeypatch.delenv(BROWSER)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BROWSER_PATH", browser)
    painter = find_painter()
    assert painter.name == "kaleido"
    from nsysan.page.charts import ledger_bars

    report = build_report(nsysan.analyze(nsysan.open_trace(paper_trace(tmp_path / "t.sqlite"))), "0")
    width, height, counts = colours(painter.draw(ledger_bars(report).whole(), 600, 300))
    assert (width, height) == (1_200, 600)
    assert counts.get(rgb("compute"), 0) > 10_000


def test_a_browser_that_cannot_open_the_page_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, browser: str
) -> None:
    # A browser in a sandbox of its own does not see the file that it is to show.
    command = f"[{browser!r}, *sys.argv[1:-1], sys.argv[-1] + '.is-not-there']"
    blind = script(tmp_path / "blind", f"import os, sys; os.execv({browser!r}, {command})")
    monkeypatch.setenv(BROWSER, str(blind))
    check_fails(tmp_path, capsys, f"nsysan: --png: {blind} could not show the chart; ", "set TMPDIR")
