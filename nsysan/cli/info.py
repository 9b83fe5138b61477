"""`nsysan info`: what is in a trace."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nsysan.cli.exits import TRACE, exit_codes
from nsysan.cli.inputs import opened
from nsysan.cli.screen import in_colour, say


@click.command("info", epilog=exit_codes(*TRACE))
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of text.")
@in_colour
def command(trace: Path, as_json: bool) -> None:
    """Show what is in a trace, before any analysis.

    nsys and schema version, ranks and GPUs, how CUDA graphs were traced, communication kernels, step ranges, the
    capture's options, warnings of the profiler about processes with GPU work, tables and row counts. The first thing
    to look at in a stranger's trace, and what to attach to an issue. No environment variable is shown.

    \b
    Examples:
      nsysan info trace.sqlite
      nsysan info trace.sqlite --json | jq .ranks
    """
    from nsysan.info.info import build_info, to_info_document
    from nsysan.info.summary import to_info_text

    with opened(trace) as source:
        info = build_info(source)
    if as_json:
        click.echo(json.dumps(to_info_document(info), indent=1, allow_nan=False))
    else:
        say(to_info_text(info))
