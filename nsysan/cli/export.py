"""`nsysan export`: chosen steps of a trace in the format of another tool."""

from __future__ import annotations

from pathlib import Path

import click

from nsysan._errors import ExitCode
from nsysan._version import __version__
from nsysan.cli.exits import OUTPUT, RUN, exit_codes
from nsysan.cli.inputs import analysed, expand, spread
from nsysan.cli.options import NO_NVTX, STEPS
from nsysan.cli.outputs import outputs_of, written
from nsysan.cli.redacted import redaction_if
from nsysan.output import write_bytes
from nsysan.text import counted, numbered

_PATH = click.Path(path_type=Path)


@click.command("export", epilog=exit_codes(*RUN, *OUTPUT, ExitCode.NO_STEPS, ExitCode.NOT_CLEAN))
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option(
    "--perfetto",
    "output",
    type=_PATH,
    required=True,
    metavar="FILE",
    help="Chrome trace JSON to write, packed where the name ends in .gz; - for standard output.",
)
@click.option(
    "--trace-steps",
    metavar="STEPS",
    help="Steps by number, ranges with both ends: 17 or 3,10:20.  [default: the median, p99 and slowest steady step]",
)
@click.option("--steps", metavar="PATTERN", help=STEPS)
@click.option("--no-nvtx", is_flag=True, help=NO_NVTX)
@spread
@click.option("--redact", is_flag=True, help="Make the file of redacted copies (see `nsysan redact`), and search it.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def command(
    traces: tuple[str, ...],
    output: Path,
    trace_steps: str | None,
    steps: str | None,
    no_nvtx: bool,
    jobs: int | None,
    scheduler: str | None,
    redact: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Write decode steps as a Chrome trace, to look around in with ui.perfetto.dev or to query.

    A process a rank: its steps, its ledger drawn out in time, its streams with every collective cut into wait and
    wire, the host threads that launch with arrows to what they launched, NVTX ranges, and GPU counters where they
    were captured. Times are exact to the nanosecond: in trace_processor, `select name, sum(dur) from slice where
    category = 'ledger' group by 1` gives the figures of `nsysan report`.

    \b
    Examples:
      nsysan export --perfetto steps.json.gz trace.sqlite
      nsysan export --perfetto slow.json trace.sqlite --trace-steps 10:20
      nsysan export --perfetto run.json.gz run1_rank_*.sqlite --trace-steps 3,17
      nsysan export --perfetto shared.json.gz trace.sqlite --redact
    """
    paths = expand(traces)
    files, to_stdout = outputs_of({"--perfetto": output}, paths, force=force)

    from nsysan.perfetto import choose_steps, packed, parse_steps, to_perfetto

    try:
        wanted = None if trace_steps is None else parse_steps(trace_steps)
    except ValueError as error:
        raise click.UsageError(f"--trace-steps: {error}") from error
    with redaction_if(redact) as redaction:
        with analysed(
            paths, steps, use_nvtx=not no_nvtx, quiet=quiet, jobs=jobs, scheduler=scheduler, redaction=redaction
        ) as run:
            chosen = choose_steps(run, wanted)
            text = to_perfetto(run, chosen, __version__)
        if redaction:
            redaction.check({"the Perfetto file": text})
    for path in files.values():
        write_bytes(path, packed(text) if path.suffix == ".gz" else text.encode("utf-8"), force=force)
    if to_stdout is not None:
        click.echo(text, nl=False)
    elif not quiet:
        click.echo(
            f"{written(files.values())}: {numbered('step', chosen)} of {counted(len(run.ranks), 'rank')}; "
            f"open it at https://ui.perfetto.dev"
        )
