"""`nsysan doctor`: can this machine make a good trace?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from nsysan._errors import ExitCode
from nsysan.capture.checks import FAIL
from nsysan.capture.command_check import examine_command
from nsysan.capture.doctor import examine
from nsysan.capture.nsys import find_nsys
from nsysan.cli.exits import exit_codes
from nsysan.cli.options import NSYS
from nsysan.cli.screen import in_colour, say
from nsysan.styled import painting


@click.command(
    "doctor",
    context_settings={"allow_interspersed_args": False},
    epilog=exit_codes(before=f"0 a capture is possible, {int(ExitCode.NO_NSYS)} it is not"),
)
@click.option("--nsys", metavar="PATH", help=NSYS)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("."),
    metavar="FOLDER",
    help="Folder where traces will be written.  [default: here]",
)
@in_colour
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(nsys: str | None, output: Path, command: tuple[str, ...]) -> None:
    """Check this machine before a capture, and the COMMAND that would be captured.

    Looks for nsys and asks what it supports, shows GPUs, driver and the links between them, whether GPU metrics are
    permitted, and the room on disk. One line a check, with the remedy where one is needed. Of a COMMAND: does it start,
    which engine and how many ranks, GPUs for them, how its workers start, and whether its ranks would be in the trace.

    \b
    Examples:
      nsysan doctor
      nsysan doctor -- vllm serve MODEL -tp 8
      nsysan doctor --nsys /opt/nvidia/nsight-systems/2025.6.1/bin/nsys
    """
    checks = examine(find_nsys(nsys), output)
    checks += examine_command(command, dict(os.environ)) if command else []
    with painting():
        for check in checks:
            say(check.line())
    if any(check.status == FAIL for check in checks):
        sys.exit(ExitCode.NO_NSYS)
