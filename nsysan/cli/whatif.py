"""`nsysan whatif`: what a step would take with something changed, by replay of what depends on what."""

from __future__ import annotations

from pathlib import Path

import click

from nsysan._errors import ExitCode
from nsysan._version import __version__
from nsysan.cli.exits import OUTPUT, RUN, exit_codes
from nsysan.cli.inputs import analysed, expand, spread
from nsysan.cli.options import NO_NVTX, of_population, of_replica, of_untraced, possible_untraced, steps_of
from nsysan.cli.outputs import outputs_of, written
from nsysan.cli.screen import columns, in_colour, say
from nsysan.output import write_text
from nsysan.styled import painting
from nsysan.text import encodable


@click.command("whatif", epilog=exit_codes(*RUN, *OUTPUT, ExitCode.NO_STEPS))
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="EXPR",
    help="What is changed (below); several are shown each alone, and all together.  [default: none, but --list]",
)
@click.option("--list", "standard", is_flag=True, help="Show the what-ifs that a report has, too.")
@of_untraced
@click.option(
    "--json",
    "json_output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The same as data; - for standard output.",
)
@click.option(
    "--steps",
    multiple=True,
    metavar="PATTERN|A:B",
    help="Regular expression for the NVTX ranges that mark decode steps; or which steps, A to B, both included. Once "
    "each.  [default: as for `nsysan report`]",
)
@of_replica
@of_population
@click.option("--no-nvtx", is_flag=True, help=NO_NVTX)
@spread
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("-q", "--quiet", is_flag=True, help="No table, only errors.")
@in_colour
def command(
    traces: tuple[str, ...],
    changes: tuple[str, ...],
    standard: bool,
    untraced: int | None,
    json_output: Path | None,
    steps: tuple[str, ...],
    replica: int | None,
    population: str | None,
    batch: int | None,
    no_nvtx: bool,
    jobs: int | None,
    scheduler: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Tell what a step takes with something changed.

    The steady steps are replayed: every host call and GPU operation as early as what it waits for allows. EXPR changes
    durations there, and what follows from that is told: time that is hidden behind something else saves nothing.

    \b
      wire=5us  wire[all_gather].x0.5  wire=floor  calls, once all ranks are there
      kernel[~rms].x0.5  kernel[=attn_fwd]=12us    compute: name contains, is
      copy.x0  gaps=0                              copies; between operations
      launch=2us  launch[~Graph].x0.5              launch calls on the hosts
      host.x0.5  host[rank 3].x0.8                 all work of hosts
      kernel[~attn, rank 2]=level  rank[2]=level   as on the other ranks
      no_skew  floor_wire  host_free  graphs  all  those of --list

    Times are in ns, us or ms. A name with commas or brackets stands in double quotes.

    \b
    Examples:
      nsysan whatif trace.sqlite                   # what a report tells, too
      nsysan whatif trace.sqlite --set 'kernel[~rms].x0.5'
      nsysan whatif trace.sqlite --set wire=5us --set gaps=0 --set 'rank[2]=level'
      nsysan whatif run1_rank_*.sqlite --set graphs --json -
      nsysan whatif eager.sqlite --untraced 11.9ms --set launch.x0.5
    """
    from nsysan.ask.answer import answer
    from nsysan.ask.as_document import to_json
    from nsysan.ask.as_table import to_text
    from nsysan.ask.expressions import BadExpression, parse
    from nsysan.model.selection import Selection
    from nsysan.model.steps.populations import Choice
    from nsysan.replay.edits import STANDARD
    from nsysan.run.chosen import chosen_replica

    try:
        expressions = [parse(text, STANDARD) for text in changes]
    except BadExpression as error:
        raise click.UsageError(f"--set {error}") from error
    paths = expand(traces)
    files, to_stdout = outputs_of({"--json": json_output}, paths, force=force)
    pattern, chosen = steps_of(steps)
    selection = Selection(None, None, chosen, choice=Choice(population, batch))
    with analysed(
        paths, pattern, use_nvtx=not no_nvtx, selection=selection, quiet=quiet, jobs=jobs, scheduler=scheduler
    ) as run:
        try:
            with possible_untraced():
                found = answer(run, expressions, chosen_replica(run.replicas, replica), untraced)
        except BadExpression as error:
            raise click.UsageError(f"--set {error}") from error
    document = to_json(found, __version__, [encodable(path.name) for path in paths])
    for path in files.values():
        write_text(path, document, force=force)
    if to_stdout is not None:
        click.echo(document, nl=False)
    elif not quiet:
        with painting():
            say(to_text(found, standard=standard or not changes, width=columns()))
        if files:
            click.echo(written(files.values()))
