"""The command line: one module a command, loaded when it is called, so that --help stays fast."""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from importlib import import_module

import click

from nsysan._errors import ExitCode, NsysanError
from nsysan._version import __version__
from nsysan.cli import streams
from nsysan.cli.exits import all_codes
from nsysan.cli.signals import ended_in_order
from nsysan.cli.suggesting import Suggesting
from nsysan.text import plain

#: Each command, which is the module of its name, with its help in one line: known without importing it.
_COMMANDS = {
    "doctor": "Check this machine before a capture.",
    "capture": "Run a workload under nsys, export the trace, check it.",
    "window": "Collect from a workload that `nsysan capture --hold` runs.",
    "info": "Show what is in a trace, before any analysis.",
    "report": "Account for every nanosecond of every decode step.",
    "whatif": "Tell what a step takes with something changed.",
    "export": "Write decode steps for ui.perfetto.dev and trace_processor.",
    "compare": "Tell what differs between runs from noise.",
    "check": "Hold a run against limits, for CI.",
    "history": "Keep runs in a database, and show how they develop.",
    "redact": "Write a copy of a trace that can be given away.",
}
_MAX_ERROR = 8_000  # room for any path


#: How each shell learns to complete, by click's own means.
_COMPLETION = (
    ("bash", 'eval "$(_NSYSAN_COMPLETE=bash_source nsysan)"  in ~/.bashrc'),
    ("zsh", 'eval "$(_NSYSAN_COMPLETE=zsh_source nsysan)"  in ~/.zshrc'),
    ("fish", "_NSYSAN_COMPLETE=fish_source nsysan | source  in ~/.config/fish/config.fish"),
)


class _Commands(Suggesting):
    """Commands by name, imported on use."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # of a pipe that was named as a file; click would end with 1
            raise streams.ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(ctx)])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Exit codes"):
            formatter.write_dl(list(all_codes()))
        with formatter.section("Completion in the shell"):
            formatter.write_dl(list(_COMPLETION))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nsysan")
def cli() -> None:
    """Nsight Systems trace analyzer for tensor-parallel inference.

    Tells whether a slow decode step is compute, the wire, a late rank, or the host.

    \b
    Examples:
      nsysan doctor                               # is this machine ready?
      nsysan capture -- python decode.py --tp 8   # trace.sqlite, checked
      nsysan report trace.sqlite                  # a summary, and trace.html
      nsysan report --help                        # a command's own help
    """


def main() -> None:
    """Entry point: the only place where errors become text and exit codes."""
    streams.attach()
    try:
        with ended_in_order(signal.SIGTERM, signal.SIGHUP):
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
        sys.exit(2)
    except streams.ReaderGone:
        sys.exit(141)
    except (OSError, MemoryError) as error:
        click.echo(f"nsysan: {plain(_told(error), _MAX_ERROR)}", err=True)
        sys.exit(ExitCode.SYSTEM)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:  # a panic of polars is no Exception
        if _is_nowhere():  # where Python 3.13 can end in one as it loads polars
            click.echo("nsysan: the working directory is gone; cd to one that exists", err=True)
            sys.exit(ExitCode.SYSTEM)
        click.echo(traceback.format_exc(), err=True)
        sys.exit(ExitCode.BUG)
    finally:
        streams.detach()
        # What is left goes with the process: at its end Python would look for circles in all of it, twice.
        gc.freeze()


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _told(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"{error.filename or 'the system'}: {error.strerror or type(error).__name__}"
