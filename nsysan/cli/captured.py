"""What people see of captured traces: their files, the checks, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

from nsysan.capture.postflight import FAIL, OK
from nsysan.capture.session import Captured
from nsysan.capture.step_times import hint
from nsysan.text import duration, pct, size


def show(
    captured: Sequence[Captured],
    *,
    quiet: bool,
    token_ns: tuple[int | None, int | None] = (None, None),
    command: Sequence[str] = (),
) -> None:
    """Say on stderr what was written, how the checks stand, and the command that reports it.

    token_ns: of a server under our load, the time of a token with the window closed, and open. command: the workload.
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
    untraced = f" --untraced {closed / 1e3:.1f}us" if closed and opened and opened > closed else ""
    # Several are windows of one run: each is a report of its own.
    usable = [shlex.quote(str(one.export)) for one in captured if all(check.status != FAIL for check in one.checks)]
    for export in usable:
        click.echo(f"nsysan: next: nsysan report {export}{untraced}", err=True)
    if usable and closed is None and (told := hint(command, usable[0])):
        click.echo(f"nsysan: {told}", err=True)
