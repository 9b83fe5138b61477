"""`nsysan redact`: a copy of a trace that can be given away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nsysan._errors import ExitCode
from nsysan.cli.exits import OUTPUT, TRACE, exit_codes
from nsysan.cli.inputs import opened
from nsysan.text import counted, plain

if TYPE_CHECKING:
    from nsysan.redact.file import Redacted

_PATH = click.Path(path_type=Path)


@click.command("redact", epilog=exit_codes(*TRACE, *OUTPUT, ExitCode.NOT_CLEAN))
@click.argument("trace", type=_PATH)
@click.option(
    "-o",
    "--output",
    type=_PATH,
    required=True,
    metavar="FILE",
    help="The copy to write; keep rank_<r> in its name where ranks are known by it.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors and warnings.")
def command(trace: Path, output: Path, force: bool, quiet: bool) -> None:
    """Write a copy of a trace that can be given away.

    The copy keeps the tables and columns that analysis needs: GPU work, CUDA calls, NVTX ranges, payloads of NCCL,
    GPU metrics, and the strings that these refer to. It has no environment (but the numbers of ranks), no host or
    user name, path, address or serial number, no process without GPU work, no captured output. Then its values and
    its bytes are searched for all that was to be left out: if anything is found, nothing is written. Its report is
    compared with that of the trace, and a difference is a warning. Process ids, times, UTC of the session, GPU
    models, and the names of kernels and ranges stay; paths and secrets in the names are masked.
    TRACE.topology.txt goes along without serial numbers.

    For a page instead of a trace: `nsysan report TRACE --redact`.

    \b
    Examples:
      nsysan redact trace.sqlite -o clean.sqlite
      nsysan redact run_rank_0.sqlite -o clean_rank_0.sqlite
    """
    from nsysan.redact.file import redact_file


    with opened(trace, quiet=quiet) as source:
        done = redact_file(source.path, output, force=force)
    if done.changed:
        click.echo(f"nsysan: warning: {_warning(done)}", err=True)
    if not quiet:
        click.echo("\n".join(_lines(done)))


def _warning(done: Redacted) -> str:
    parts = ", ".join(done.changed)
    return (
        f"the copy's report differs from the trace's in: {parts}; a rank known by its file's name needs the number in "
        f"the copy's name too (..._rank_3.sqlite), and ranges that a path or secret tells apart no longer do"
    )


def _lines(done: Redacted) -> list[str]:
    copied, origin = done.copied, done.origin
    strings, all_strings = copied.strings
    masked = ", ".join(counted(n, kind) for kind, n in sorted(copied.masked.items())) or "nothing"
    rows = sum(kept for kept, _ in copied.tables.values())
    before, after = done.sizes
    figures = "identical to the trace's" if not done.changed else f"differ in {', '.join(done.changed)}"
    removed = (
        f"{counted(origin.environment, 'environment entry').replace('entrys', 'entries')}, "
        f"{counted(origin.others, 'other process').replace('processs', 'processes')}, "
        f"{counted(len(copied.dropped), 'table')}, {counted(copied.columns, 'column')}, "
        f"{counted(all_strings - strings, 'string')}, {counted(copied.options, 'option')} of capture and export"
    )
    return [
        f"removed   {removed}",
        f"masked    {masked}",
        f"kept      {counted(len(copied.tables), 'table')}, {rows:,} rows, {counted(strings, 'string')}",
        f"searched  for {counted(len(origin.secrets), 'secret')}, paths and addresses, in values and bytes: none left",
        f"figures   {figures}",
        f"size      {after:,} bytes, of {before:,}",
        f"wrote     {' and '.join(plain(str(path), 4_096) for path in done.outputs)}",
    ]
