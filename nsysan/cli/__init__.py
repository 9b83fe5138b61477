"""The command line: one module a command, loaded when it is called, so that --help stays fast."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from nsysan import NsysanError, __version__
from nsysan.text import plain

_COMMANDS = {
    "doctor": "nsysan.cli.doctor",
    "capture": "nsysan.cli.capture",
    "info": "nsysan.cli.info",
    "report": "nsysan.cli.report",
    "export": "nsysan.cli.export",
    "compare": "nsysan.cli.compare",
    "check": "nsysan.cli.check",
    "history": "nsysan.cli.history",
    "redact": "nsysan.cli.redact",
}
_SUMMARIES = {
    "doctor": "Check this machine before a capture.",
    "capture": "Run a workload under nsys, export the trace, check it.",
    "report": "Account for every nanosecond of every decode step of a trace.",
    "export": "Write steps of a trace for ui.perfetto.dev and trace_processor.",
    "check": "Hold a run against limits, for CI.",
    "history": "Keep runs in a database, and show how they develop.",
    "redact": "Write a copy of a trace that can be given away.",
    "compare": "Tell what differs between runs, and what more GPUs bought, from noise.",
    "info": "Show what is in a trace: versions, ranks, ranges, collectives, warnings.",
}
_MAX_ERROR = 8_000  # room for any path


class _Commands(click.Group):
    """Commands by name, imported on use; their one-line help is known without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[cmd_name]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nsysan")
def cli() -> None:
    """Nsight Systems trace analyzer for tensor-parallel inference.

    Tells whether a slow decode step is compute, the wire, a late rank, or the host.

    \b
    Examples:
      nsysan doctor
      nsysan capture -- python decode.py --tp 8
      nsysan report trace.sqlite
    """


def main() -> None:
    """Entry point: the only place where errors become text and exit codes."""
    try:
        cli(standalone_mode=False)
    except NsysanError as error:
        # Names and messages from a trace may hold line breaks; the error stays one line.
        click.echo(f"nsysan: {plain(str(error), _MAX_ERROR)}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("nsysan: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
