"""`nsysan doctor`: can this machine make a good trace?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nsysan._errors import ExitCode
from nsysan.capture.checks import FAIL
from nsysan.capture.doctor import examine
from nsysan.capture.nsys import find_nsys
from nsysan.cli.exits import exit_codes
from nsysan.cli.options import NSYS


@click.command("doctor", epilog=exit_codes(before=f"0 a capture is possible, {int(ExitCode.NO_NSYS)} it is not"))
@click.option("--nsys", metavar="PATH", help=NSYS)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("."),
    metavar="FOLDER",
    help="Folder where traces will be written.  [default: here]",
)
def command(nsys: str | None, output: Path) -> None:
    """Check this machine before a capture.

    Looks for nsys and asks what it supports, shows GPUs, driver and the links between them, whether GPU metrics are
    permitted, and the room on disk. One line a check, with the remedy where one is needed.

    \b
    Examples:
      nsysan doctor
      nsysan doctor --nsys /opt/nvidia/nsight-systems/2025.6.1/bin/nsys
    """
    checks = examine(find_nsys(nsys), output)
    for check in checks:
        click.echo(check.line())
    if any(check.status == FAIL for check in checks):
        sys.exit(ExitCode.NO_NSYS)
