"""What `nsysan capture --dry-run` prints: the commands that it would run, and what it makes of the workload."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

import click

from nsysan.capture.command_check import what_starts
from nsysan.capture.held import plan_held
from nsysan.capture.nsys import export_command
from nsysan.capture.session import Session
from nsysan.capture.started import Workload
from nsysan.text import counted


def show_plan(
    session: Session, workload: Workload, before: Sequence[str], say: Callable[[str], None], *, hold: bool
) -> None:
    """Print the commands in their order, and say what the user should know. before: what is told before any run."""
    windows: list[list[str]] = []
    plan = session.plan(session.output)
    if hold or session.serve is not None:
        plan, held = plan_held(session.request, session.nsys)
        plan = session.speaking(plan, session.output)
        windows = [held.start_command(session.output), held.stop_command()]
    assignments = [f"{name}={shlex.quote(value)}" for name, value in plan.environment.items()]
    click.echo(" ".join([*assignments, shlex.join(plan.argv)]))
    for command in windows:
        click.echo(shlex.join(command))
    recording = session.output.with_name(session.output.name + ".nsys-rep")
    click.echo(shlex.join(export_command(session.nsys, recording, recording.with_suffix(".sqlite"))))
    say(f"the command starts: {what_starts(workload)}")
    if session.expected_ranks != workload.ranks and session.expected_ranks:
        say(f"{counted(session.expected_ranks, 'rank')} expected in the trace")
    if session.serve is not None:
        load = session.serve.load or f"{counted(session.serve.requests, 'stream')} of completions"
        say(f"the server is to answer at {session.serve.url}; its load: {load}")
    for note in (*before, *plan.notes):
        say(note)
