"""Help and version answer without loading the libraries that only an analysis needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import nsysan
from nsysan.cli import cli
from tests.clitools import paper_trace

HEAVY = ("polars", "plotly", "pandas", "numpy", "pyarrow", "sqlite_utils")
COMMANDS = tuple(cli.list_commands(click.Context(cli)))

_SCRIPT = """
import sys
{body}
loaded = [name for name in {heavy!r} if name in sys.modules]
print("loaded:", *loaded)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def loaded_after(body: str) -> tuple[str, list[str]]:
    """What the body printed, and which of HEAVY it loaded in a fresh interpreter."""
    output, _, names = run("-c", _SCRIPT.format(body=body, heavy=HEAVY)).stdout.rpartition("loaded:")
    return output, names.split()


def call(*arguments: str) -> str:
    return f"""
sys.argv = {["nsysan", *arguments]!r}
from nsysan.cli import main
try:
    main()
except SystemExit as exit_:
    assert not exit_.code
"""


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import nsysan\nassert nsysan.analyze and nsysan.open_trace") == ("", [])


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), ("--version",), *((name, "--help") for name in COMMANDS)], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    output, loaded = loaded_after(call(*arguments))
    assert "nsysan" in output
    assert loaded == []


def test_help_lists_the_commands() -> None:
    text = run("-m", "nsysan", "--help").stdout
    assert "Commands:" in text
    assert {"report", "info"} <= set(COMMANDS)
    for command in COMMANDS:
        assert f"\n  {command} " in text


def test_version() -> None:
    assert run("-m", "nsysan", "--version").stdout == f"nsysan, version {nsysan.__version__}\n"


def test_large_tables_are_read_without_pandas(tmp_path: Path) -> None:
    # Importing it takes longer than reading a trace of 100 MB.
    trace = paper_trace(tmp_path / "t.sqlite")
    large = "import nsysan.trace.sqlite\nnsysan.trace.sqlite.BULK_ROWS = 0"
    _, loaded = loaded_after(large + call("report", str(trace), "--json", str(tmp_path / "t.json"), "-q"))
    assert "pyarrow" in loaded
    assert "pandas" not in loaded


def test_a_page_is_written_without_plotlys_python(tmp_path: Path) -> None:
    # Importing it and letting it check the figures takes longer than all else that every page costs.
    trace = paper_trace(tmp_path / "t.sqlite")
    _, loaded = loaded_after(call("report", str(trace), "-o", str(tmp_path / "t.html"), "-q"))
    assert "polars" in loaded
    assert "plotly" not in loaded
