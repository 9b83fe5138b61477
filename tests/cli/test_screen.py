"""What stands on a terminal: its width, its colours, and the answer last as well as first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import nsysan
from nsysan.cli.screen import NARROWEST, fitted
from nsysan.report.brief import last_words, to_brief
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.styled import Style, bare, painted, painting, rebroken, styled
from nsysan.text import plain, shortened, table
from tests.clitools import paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]
NAME = "nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_NNT"
ESCAPE = "\x1b["


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_eager"])
@pytest.mark.parametrize("width", [NARROWEST, 80, 132])
def test_no_line_is_wider_than_the_terminal(reported: Callable[[str], Report], name: str, width: int) -> None:
    for tell in (to_brief, to_text):
        lines = fitted(tell(reported(name), width), width)
        assert [line for line in lines if len(line) > width] == []
        assert [line for line in lines if re.match(r" *(µs|%)", line)] == []


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_eager", "tp4_graph_graph"])
def test_a_summary_has_about_40_lines(reported: Callable[[str], Report], name: str) -> None:
    brief = to_brief(reported(name), 110)
    assert len(fitted(brief, 110)) <= 47
    assert brief.splitlines()[0] in to_text(reported(name))


def test_the_answer_stands_last_as_well_as_first(reported: Callable[[str], Report]) -> None:
    verdict, do, sure = last_words(reported("tp4_slow")).splitlines()
    assert (
        verdict == "verdict   skew: the others wait for rank 2, as it computes longer, which costs 61.8 % of the step"
    )
    assert do.startswith("do next   take out of the step, or spread over all ranks, what only rank 2 runs")
    assert to_brief(reported("tp4_slow")).startswith(verdict)
    assert sure.startswith("how sure  medium, because ")


def test_what_is_cut_goes_on_under_its_text() -> None:
    assert fitted("late      rank 2 put right saves 2,928.8 µs a step, spread over 32", 40) == [
        "late      rank 2 put right saves",
        "          2,928.8 µs a step, spread over",
        "          32",
    ]
    assert fitted(f"  high    {NAME} is slow", 40) == [
        "  high    nvjet_sm90_tst_25..._coopA_NNT",
        "          is slow",
    ]


def test_a_wide_table_goes_on_below() -> None:
    header = ["kernel", "A", "B", "B-A", "C", "C-A"]
    rows = [[NAME, "491.6", "509.4", "+17.8", "492.2", "+0.6"]]
    assert table(header, rows, width=45, together=2) == [
        "kernel                        A      B    B-A",
        "nvjet_sm90_ts...oopA_NNT  491.6  509.4  +17.8",
        "kernel                        C   C-A",
        "nvjet_sm90_ts...oopA_NNT  492.2  +0.6",
    ]
    # With room for all of it but the name, only that is cut, in the middle.
    assert table(header, rows, width=70, together=2)[1].split() == [shortened(NAME, 36), *rows[0][1:]]


def test_style_is_the_printers_and_moves_with_its_words(reported: Callable[[str], Report]) -> None:
    report = reported("tp4_slow")
    plain_text = to_text(report, 80)
    with painting():
        marked = to_text(report, 80)
    assert bare(marked) == plain_text != marked
    lines = fitted(marked, 40)
    assert [bare(line) for line in lines] == fitted(plain_text, 40)
    told = [painted(line, lambda style, words: f"<{style}>{words}</>") for line in lines]
    assert told[0].startswith("<label>verdict</>   <skew>skew</>: the others")
    assert "  <bad>high</>    rank 2 comes late: it computes" in told
    assert any("<compute>compute</>" in line and "<wait>wait</>" in line for line in told)
    # What a trace says is no style, whatever it looks like.
    label = "verdict   high"
    with painting():
        assert painted(plain(styled(Style.BAD, label)), str.__add__) == f"?{Style.BAD}?{label}?"
        assert rebroken(styled(Style.LABEL, "one two"), lambda words: words.split()) == [
            styled(Style.LABEL, "one"),
            styled(Style.LABEL, "two"),
        ]
    assert styled(Style.LABEL, label) == label


def test_colours_are_where_they_are_wanted(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    trace = paper_trace(tmp_path / "t.sqlite")
    report = ("report", trace, "-o", "t.html", "--json", "t.json")
    # An option outranks the environment; what is no terminal has none of its own accord.
    assert f"{ESCAPE}1mverdict" in run_cli(capsys, *report, "--color", "always").out
    for command in (["whatif", trace], ["check", "t.json", "--fail-on", "period>1s"]):
        assert ESCAPE in run_cli(capsys, *command, "--color", "always").out
    monkeypatch.delenv("NO_COLOR")
    assert ESCAPE not in run_cli(capsys, "check", "t.json", "--fail-on", "period>1s").out
    assert ESCAPE not in run_cli(capsys, "history", "add", "t.json", "--db", "h.db").out


_ON_A_TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.executable, [sys.executable, "-m", "nsysan", *sys.argv[1:]])
told = b""
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    told += part
os.waitpid(pid, 0)
sys.stdout.buffer.write(told)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no pseudo terminals here")
@pytest.mark.parametrize(("no_color", "command"), [("", "report"), ("1", "info")])
def test_a_terminal_is_known(tmp_path: Path, no_color: str, command: str) -> None:
    environment = os.environ | {"NO_COLOR": no_color, "TERM": "xterm", "COLUMNS": "72"}
    paper_trace(tmp_path / "t.sqlite")
    words = [sys.executable, "-c", _ON_A_TERMINAL, command, "t.sqlite"]
    environment["PYTHONPATH"] = str(Path(nsysan.__file__).parent.parent)
    done = subprocess.run(words, capture_output=True, env=environment, cwd=tmp_path, check=True)
    told = done.stdout.decode()
    assert (f"{ESCAPE}1m" in told) == (not no_color)
    lines = re.sub(r"\x1b\[[0-9;]*[mK]", "", told).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= 72


@pytest.mark.parametrize(
    ("words", "meant"),
    [(("reprot", "x"), "report"), (("comapre",), "compare"), (("history", "plto"), "plot"), (("zzzz",), None)],
)
def test_a_mistyped_command_is_answered(capsys: Capsys, words: tuple[str, ...], meant: str | None) -> None:
    result = run_cli(capsys, *words)
    assert result.code == 2
    assert f"No such command '{words[-1] if words[0] == 'history' else words[0]}'." in result.err
    assert (f"Did you mean {meant}?" in result.err) == (meant is not None)


def test_the_shell_completes() -> None:
    script = "import sys; sys.argv[0] = 'nsysan'; from nsysan.cli import main; main()"
    environment = os.environ | {"_NSYSAN_COMPLETE": "bash_complete", "COMP_WORDS": "nsysan rep", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "plain,report\n"
