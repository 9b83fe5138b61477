"""Options of `nsysan capture --serve`: how a live server's windows are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from nsysan.capture.server import address_of, checked_address, key_of, profiler_of
from nsysan.capture.serving import Serve
from nsysan.capture.started import Workload

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--serve",
        is_flag=True,
        help="COMMAND is a server: wait until it is ready, load it, collect a window of it, end it.",
    ),
    click.option("--hold", is_flag=True, help="Collect nothing until `nsysan window open NAME`, as often as wanted."),
    click.option(
        "--load", metavar="COMMAND", help="What loads the server.  [default: streams of completions of our own]"
    ),
    click.option(
        "--requests", type=click.IntRange(1, 512), default=8, metavar="N", help="Streams at once.  [default: 8]"
    ),
    click.option("--url", metavar="URL", help="Where the server answers.  [default: from its command]"),
    click.option(
        "--window",
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help="Length of a window.  [default: 100 steps, 1 second with --load]",
    ),
    click.option("--window-steps", type=click.IntRange(1), metavar="N", help="Length of a window in steps."),
    click.option(
        "--windows", type=click.IntRange(1, 100), default=1, metavar="N", help="Windows, each a trace.  [default: 1]"
    ),
    click.option(
        "--settle",
        type=click.FloatRange(0),
        default=5.0,
        metavar="SECONDS",
        help="From the start of --load to the window.  [default: 5]",
    ),
    click.option(
        "--startup-timeout",
        type=click.FloatRange(0, min_open=True),
        default=900.0,
        metavar="SECONDS",
        help="How long the server may take to be ready.  [default: 900]",
    ),
)


def serve_options(command: _Command) -> _Command:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def serve_of(workload: Workload, environment: Mapping[str, str], given: Mapping[str, Any]) -> Serve | None:
    """How the windows are to be taken, None without --serve; a usage error where options contradict each other."""
    told = [name for name in ("load", "url", "window", "window_steps") if given[name] is not None]
    if given["serve"] and given["hold"]:
        raise click.UsageError("--serve takes its window by itself, --hold waits for `nsysan window`: give one of them")
    if given["untraced_first"] and (given["serve"] or given["hold"]):
        raise click.UsageError("--untraced-first is of commands that end; --serve measures with its window closed too")
    if not given["serve"]:
        if told:
            raise click.UsageError(f"--{told[0].replace('_', '-')} needs --serve")
        return None
    if given["window"] is not None and given["window_steps"] is not None:
        raise click.UsageError("--window and --window-steps: give one of them")
    if given["load"] is not None and given["window_steps"] is not None:
        raise click.UsageError("--window-steps counts tokens of our own streams; with --load give --window SECONDS")
    seconds = given["window"] or (1.0 if given["load"] is not None else None)
    return Serve(
        url=checked_address(given["url"]) if given["url"] else address_of(workload),
        load=given["load"],
        requests=given["requests"],
        settle=given["settle"],
        seconds=seconds,
        steps=given["window_steps"] or 100,
        windows=given["windows"],
        startup=given["startup_timeout"],
        profiler=profiler_of(workload),
        key=key_of(workload, environment),
    )
