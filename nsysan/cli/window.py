"""`nsysan window`: open and close windows of a workload that `nsysan capture --hold` runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from nsysan._errors import ExitCode
from nsysan.cli.captured import show
from nsysan.cli.exits import OUTPUT, exit_codes

_NAME = click.argument("name", default="trace", type=click.Path(path_type=Path))
_QUIET = click.option("-q", "--quiet", is_flag=True, help="Only errors and checks that failed.")
_CODES = exit_codes(
    *OUTPUT, ExitCode.NO_SUCH_FILE, ExitCode.DAMAGED, ExitCode.NO_NSYS, ExitCode.NO_REPORT, ExitCode.EXPORT_FAILED
)


@click.group("window", epilog=_CODES)
def command() -> None:
    """Collect from a workload that `nsysan capture --hold` runs.

    Each window is a trace of its own, NAME.1, NAME.2 and so on. Open one when the server decodes as it should, and
    close it a second later: 20 to 200 steps say all there is to say.

    \b
    Examples:
      nsysan window open srv --seconds 1
      nsysan window open srv; sleep 2; nsysan window close srv

    What is held was started so, in another terminal:

    \b
      nsysan capture --hold -o srv -- vllm serve MODEL -tp 4
    """


@command.command("open", epilog=_CODES)
@_NAME
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="Close it after that long, and export it."
)
@_QUIET
def open_(name: Path, seconds: float | None, quiet: bool) -> None:
    """Begin to collect from what is held as NAME.

    NAME is that of `nsysan capture --hold -o NAME`; trace where none is given.

    \b
    Examples:
      nsysan window open
      nsysan window open srv --seconds 1
    """
    from nsysan.capture.holding import close_window, open_window

    open_window(name, _say(quiet))
    if seconds is not None:
        try:
            time.sleep(seconds)
        finally:
            captured = close_window(name, _say(quiet), progress=not quiet and sys.stderr.isatty())
        show([captured], quiet=quiet)


@command.command("close", epilog=_CODES)
@_NAME
@_QUIET
def close(name: Path, quiet: bool) -> None:
    """End the open window of NAME; export and check it.

    NAME is that of `nsysan capture --hold -o NAME`; trace where none is given.

    \b
    Examples:
      nsysan window close srv
    """
    from nsysan.capture.holding import close_window

    show([close_window(name, _say(quiet), progress=not quiet and sys.stderr.isatty())], quiet=quiet)


def _say(quiet: bool) -> Callable[[str], None]:
    return lambda text: None if quiet else click.echo(f"nsysan: {text}", err=True)
