"""`nsysan report`: the ledger of a trace as a summary, HTML and JSON."""

from __future__ import annotations

import math
from pathlib import Path

import click

import nsysan
from nsysan.cli.source import expand, opened_all
from nsysan.report.output import check_writable, write_text
from nsysan.report.text import plain

_PATH = click.Path(path_type=Path)


@click.command("report")
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option("-o", "--output", type=_PATH, help="HTML file to write.  [default: TRACE's name with .html, here]")
@click.option("--json", "json_output", type=_PATH, help="JSON file to write; - for standard output. No HTML unless -o.")
@click.option("--steps", metavar="PATTERN", help="Regular expression for the NVTX ranges that mark decode steps.")
@click.option("--no-nvtx", is_flag=True, help="Find steps by graph replays or kernel period, leaving ranges aside.")
@click.option("--layers", type=click.IntRange(1), metavar="N", help="Layers of the model: two all-reduces each.")
@click.option("--model", metavar="SHAPE", help="hidden=4096,layers=32,batch=1,dtype=bf16: what to expect.")
@click.option(
    "--message-bytes",
    type=click.IntRange(1, 1 << 50),
    metavar="N",
    help="Size of an all-reduce, where the trace tells none.",
)
@click.option(
    "--link-gbps",
    type=click.FloatRange(min=0.001, max=1e6),
    metavar="GBPS",
    help="Peak of the link between GPUs, GB/s per GPU and direction.  [default: by GPU model]",
)
@click.option("--force", is_flag=True, help="Replace output files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="No summary; only errors.")
def command(
    traces: tuple[str, ...],
    output: Path | None,
    json_output: Path | None,
    steps: str | None,
    no_nvtx: bool,
    layers: int | None,
    model: str | None,
    message_bytes: int | None,
    link_gbps: float | None,
    force: bool,
    quiet: bool,
) -> None:
    """Account for every nanosecond of every decode step.

    TRACE is an export of `nsys export --type sqlite`, or an .nsys-rep where nsys is installed. Several (or a
    folder, or a glob) are the reports of one run, one a rank or a host, and are put on one clock. They are
    only read. The summary goes to standard output, the page to OUTPUT.

    \b
    Examples:
      nsysan report trace.sqlite                        # summary, and trace.html here
      nsysan report trace.sqlite -o report.html --force
      nsysan report run1_rank_*.sqlite                  # one session a rank
      nsysan report trace.sqlite --json -  | jq .per_rank
      nsysan report trace.sqlite --steps '^generate_token'
      nsysan report trace.sqlite --model hidden=4096,layers=32,batch=8,dtype=bf16

    Exit codes: 3 no such file, 4 not SQLite, 5 not nsys, 6 needs export, 7 damaged, 8 no GPU work,
    9 output exists, 10 output not writable, 11 no such steps, 12 not reports of one run.
    """
    from nsysan.model.expectation import expectation
    from nsysan.report.build import build_report

    try:
        expected = expectation(layers, model, message_bytes)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

    to_stdout = json_output is not None and str(json_output) == "-"
    if link_gbps is not None and math.isnan(link_gbps):
        raise click.UsageError("--link-gbps takes a number of GB/s")
    paths = expand(traces)
    default = f"{paths[0].stem}.html" if len(paths) == 1 else "nsysan-report.html"
    html = output or (None if json_output else Path(default))
    outputs = [path for path in (html, None if to_stdout else json_output) if path is not None]
    for path in outputs:
        for source in paths:
            check_writable(path, force=force, source=source)
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise click.UsageError(f"-o and --json both name {html}")
    with opened_all(paths, quiet=quiet) as reports:
        run = nsysan.analyze(reports, steps, use_nvtx=not no_nvtx)
        report = build_report(run, nsysan.__version__, expected, link_gbps=link_gbps)
    if json_output is not None:
        from nsysan.report.document import to_json

        if to_stdout:
            click.echo(to_json(report), nl=False)
        else:
            write_text(json_output, to_json(report), force=force)
    if html is not None:
        from nsysan.report.html import to_html

        write_text(html, to_html(report), force=force)
    if not quiet and not to_stdout:
        from nsysan.report.terminal import to_text

        click.echo(to_text(report))
        click.echo(f"wrote {' and '.join(plain(str(path), 4_096) for path in outputs)}")
