"""What people see of captured traces: their files, the checks, what to do next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.checks import FAIL, OK
from nsysan.capture.exported import Captured
from nsysan.capture.own_figure import OwnFigure
from nsysan.capture.placement import Seat
from nsysan.capture.step_times import hint
from nsysan.text import duration, pct, size


def show(
    captured: Sequence[Captured],
    *,
    quiet: bool,
    token_ns: tuple[int | None, int | None] = (None, None),
    command: Sequence[str] = (),
    seat: Seat | None = None,
    own: OwnFigure | None = None,
) -> None:
    """Say on stderr what was written, how the checks stand, and the command that reports it.

    token_ns: of a server under our load, the time of a token with the window closed, and open. command: the workload.
    seat: inside a launcher, whose other traces belong to the same report. own: what the command said of its step in a
    run without nsys.
    """
    for one in captured:
        lines = [check.line() for check in one.checks if not quiet or check.status != OK]
        if not quiet:
            sizes = " and ".join(f"{p} ({size(p.stat().st_size)})" for p in (one.recording, one.export))
            lines = [f"nsysan: wrote {sizes}", *lines]
        for line in lines:
            click.echo(line, err=True)
    if quiet:
        return
    closed, opened = token_ns
    if closed and opened:
        more = f"; tracing adds {pct(opened / closed - 1)}" if opened > closed else ""
        told = f"{duration(closed)} with the window closed, {duration(opened)} open{more}"
        click.echo(f"nsysan: a token takes {told}", err=True)
    untraced = f" --untraced {as_option(closed)}" if closed and opened and opened > closed else ""
    if own is not None:
        click.echo(f"nsysan: without nsys a step took {duration(own.ns)} ({own.what})", err=True)
        untraced = f" --untraced {as_option(own.ns)}"
    if seat is not None:
        if seat.is_first and len(captured) == 1:
            # Quoted by parts: the shell has to find the others.
            stem = shlex.quote(str(captured[0].export).removesuffix(f"{seat.ending}.sqlite"))
            click.echo(
                f"nsysan: next, once all {seat.world} are done: nsysan report {stem}{seat.merge}.sqlite{untraced}",
                err=True,
            )
            return
        if not seat.is_first:
            return
    # Several are windows of one run: each is a report of its own.
    usable = [shlex.quote(str(one.export)) for one in captured if all(check.status != FAIL for check in one.checks)]
    for export in usable:
        click.echo(f"nsysan: next: nsysan report {export}{untraced}", err=True)
    if usable and closed is None and own is None and (told := hint(command, usable[0])):
        click.echo(f"nsysan: {told}", err=True)


def as_option(ns: int) -> str:
    """A time as options take it."""
    return f"{ns / 1e6:g}ms"


def check_report(trace: Path, *, force: bool) -> None:
    """NsysanError, before the workload runs, where the report could not be written after it."""
    missing = [name for name in ("numpy", "polars", "plotly") if find_spec(name) is None]
    if missing:
        raise NsysanError(
            f"--report needs the whole of nsysan ({', '.join(missing)} missing): capture without it, and run "
            f"`nsysan report` where it is installed",
            ExitCode.NO_REPORT,
        )
    page = trace.with_name(trace.name + ".html")
    if os.path.lexists(page) and not force:
        raise NsysanError(
            f"{page}: exists already; pass --force-overwrite to replace it, or another name with -o",
            ExitCode.OUTPUT_EXISTS,
        )
