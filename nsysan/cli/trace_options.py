"""Options of `nsysan capture` for what nsys traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-t",
        "--trace",
        metavar="WHAT",
        help="What to trace, in nsys' words.  [default: cuda, nvtx and, where this nsys can, nccl]",
    ),
    click.option(
        "--cuda-sw",
        is_flag=True,
        help="Trace CUDA by software where nsys would by hardware (Blackwell), should that fail or crash.",
    ),
    click.option(
        "--untraced-first",
        is_flag=True,
        help="Run the command once without nsys, so that what tracing costs is measured by its own ms a token.",
    ),
)


def trace_options(command: _Command) -> _Command:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
