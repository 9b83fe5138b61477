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
    help="The copy to write, a folder for a folder; keep rank_<r> in its name where ranks are known by it.",
)
@click.option("--force", is_flag=True, help="Replace a file, or a folder of tables, that exists.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors and warnings.")
def command(trace: Path, output: Path, force: bool, quiet: bool) -> None:
    """Write a copy of a trace that can be given away.

    TRACE is an export in SQLite, a folder of Parquet or Arrow tables, an .nsys-rep where nsys is installed, a log of
    NCCL, or the topology beside a trace. A trace keeps its format, and its TRACE.topology.txt and what is read of
    its TRACE.nccl.*.log go along. Two passes that know nothing of each other make sure of it:

    The first copies only what analysis needs: GPU work, CUDA calls, NVTX ranges, payloads of NCCL, GPU metrics, and
    the strings that these refer to. No environment goes along (but the numbers of ranks), no process without GPU
    work (but that the profiler was in it and saw nothing of CUDA), no captured output, no unknown table or column.
    In names it masks keys and tokens, passwords, certificates, URLs, buckets, paths, mail and IP addresses, hosts,
    pods, jobs, users, serial numbers, UUIDs, and what the trace itself says of its machine, its user and its
    environment; the same in base64, hexadecimal or percent signs.

    The second searches all values and bytes of the copy with detectors of its own, those of detect-secrets among
    them. If it finds anything, nothing is written: the error names kind and place, never the secret. Last, the report
    of the copy is compared with that of the trace; a difference is a warning.

    What stays: process and thread ids; times, and UTC of the session; models, number and counters of GPUs; versions
    of nsys; sizes of messages and communicators' ids; names of kernels, calls and ranges; names of public Python
    packages' files; the digests by which torch.compile names its graphs.

    What cannot be known, so look for it: a code name that is only a word (of a project, a model, a customer), a short
    password that looks like one, a number that is only a number, a short or common name of a user or host within a
    longer word, a secret cut up over several names. And the names and shapes of kernels tell which model ran.

    For a page instead of a trace: `nsysan report TRACE --redact`; for Perfetto: `nsysan export --redact`. To see it
    fail to leak: `python scripts/plant.py TRACE planted.sqlite`, which hides every kind of secret in a trace.

    \b
    Examples:
      nsysan redact trace.sqlite -o clean.sqlite
      nsysan redact run_rank_0.sqlite -o clean_rank_0.sqlite
      nsysan redact trace_pqtdir -o clean_pqtdir
      nsysan redact nccl.host0.log -o clean.log
    """
    from nsysan.redact.file import redact_file, redact_log
    from nsysan.redact.logs import is_log

    if trace.is_file() and is_log(trace):
        masked = redact_log(trace, output, force=force)
        if not quiet:
            click.echo(f"masked    {_counts(masked)}\nwrote     {plain(str(output), 4_096)}")
        return
    with opened(trace, quiet=quiet) as source:
        done = redact_file(source.path, output, force=force)
    if done.changed:
        click.echo(f"nsysan: warning: {_warning(done)}", err=True)
    if not quiet:
        click.echo("\n".join(_lines(done)))


def _warning(done: Redacted) -> str:
    why = ""
    if "ranks" in done.changed:
        why = "; a rank known by its file's name needs the number in the copy's name too (..._rank_3.sqlite)"
    elif "steps" in done.changed:
        why = "; ranges that a path or secret tells apart no longer do"
    return f"the copy's report differs from the trace's in: {', '.join(done.changed)}{why}"


def _lines(done: Redacted) -> list[str]:
    copied, origin = done.copied, done.origin
    strings, all_strings = copied.strings
    rows = sum(kept for kept, _ in copied.tables.values())
    before, after = done.sizes
    figures = "identical to the trace's" if not done.changed else f"differ in {', '.join(done.changed)}"
    removed = (
        f"{counted(origin.environment, 'environment entry', 'environment entries')}, "
        f"{counted(origin.others, 'other process', 'other processes')}, "
        f"{counted(len(copied.dropped), 'table')}, {counted(copied.columns, 'column')}, "
        f"{counted(all_strings - strings, 'string')}, {counted(copied.options, 'option')} of capture and export"
    )
    return [
        f"removed   {removed}",
        f"masked    {_counts(copied.masked)}",
        f"kept      {counted(len(copied.tables), 'table')}, {rows:,} rows, {counted(strings, 'string')}",
        "searched  all values and bytes of the copy: nothing left",
        f"figures   {figures}",
        f"size      {after:,} bytes, of {before:,}",
        f"wrote     {' and '.join(plain(str(path), 4_096) for path in done.outputs)}",
    ]


def _counts(masked: dict[str, int]) -> str:
    """How many texts were masked, by kind."""
    return ", ".join(f"{n} ({kind})" for kind, n in sorted(masked.items())) or "nothing"
