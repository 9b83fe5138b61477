"""`nsysan compare`: two runs or more, like for like, and which differences are noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nsysan._errors import ExitCode
from nsysan._version import __version__
from nsysan.cli.exits import OUTPUT, RUN, exit_codes
from nsysan.cli.inputs import analysed, expand, spread
from nsysan.cli.options import NO_NVTX, STEPS, of_model
from nsysan.cli.outputs import alike, outputs_of, written
from nsysan.cli.screen import columns, in_colour, say
from nsysan.output import write_text
from nsysan.styled import painting

if TYPE_CHECKING:
    from nsysan.light.stated import Model

_PATH = click.Path(path_type=Path)
_MOST = 26


@click.command("compare", epilog=exit_codes(*RUN, *OUTPUT, ExitCode.NO_STEPS))
@click.argument("sides", nargs=-1, required=True, metavar="A B [C...]")
@click.option(
    "-o",
    "--output",
    type=_PATH,
    metavar="FILE",
    help="HTML page to write: ledgers side by side, spread of the periods, wire by collective.  [default: none]",
)
@click.option("--json", "json_output", type=_PATH, metavar="FILE", help="JSON to write; - for standard output.")
@click.option(
    "--markdown",
    type=_PATH,
    metavar="FILE",
    help="Markdown table for GitHub and GitLab to write; - for standard output.",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="Sequences that decode together, for tokens/s; once for all sides, or for each.  [default: as the "
    "trace's ranges tell, else 1]",
)
@click.option(
    "--predict",
    "asked",
    type=click.IntRange(1, 1024),
    multiple=True,
    metavar="N",
    help="TP degree to predict from sides at two others or more, or by --model from one; may be given several times.  "
    "[default: none]",
)
@of_model("with it --predict needs no second degree")
@click.option("--steps", metavar="PATTERN", help=STEPS)
@click.option("--no-nvtx", is_flag=True, help=NO_NVTX)
@spread
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("-v", "--verbose", is_flag=True, help="All figures, not only those that decide.")
@click.option("-q", "--quiet", is_flag=True, help="No text, only errors.")
@in_colour
def command(
    sides: tuple[str, ...],
    output: Path | None,
    json_output: Path | None,
    markdown: Path | None,
    batches: tuple[int, ...],
    asked: tuple[int, ...],
    model: str | None,
    context: int | None,
    steps: str | None,
    no_nvtx: bool,
    jobs: int | None,
    scheduler: str | None,
    force: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Compare decode steps of two runs or more, each against the first.

    A, B and so on are traces; a folder, or a quoted glob, is one side made of the traces of one run. Says which
    differences are beyond the noise of the steps, whether the collectives ran over another link, and for runs
    over different numbers of ranks what the additional GPUs bought, what they cost, and whether replicas would
    serve more. A side without a steady decode step is refused (exit code 8).

    Sides are held against each other by steps of one kind and batch, and by one unit of work where a step of one
    does that of several of another. A side of another model (other layers, other calls a step), batch or workload (one
    decodes, and of the other nothing shows that) is refused by name, before anything else is said; --batch for each
    compares other batches all the same, also where the trace of one side alone tells its batch.

    What more GPUs buy, and --predict, is told of sides that decode, on one GPU model.

    --predict tells period, ledger and tokens/s at another TP degree, with the range in which they lie: each kernel's
    time as a + b/n over the degrees of the sides, calls at their floor there, hosts and gaps as measured. By --model
    one side is enough, and its range is wider: products divide by what they read, calls are by the table of links.

    A figure is changed, small or noise. Changed needs p < 0.01 by the spread over the steps, and 1 % of the period,
    or 3 % of the figure and 0.75 % of the period; a mean, and tokens/s, also 3 % that lie in three long steps or more.
    Small is beyond chance, but no more than two captures of one
    workload may differ by; below 8 steady steps nothing is told from noise.

    \b
    Examples:
      nsysan compare before.sqlite after.sqlite
      nsysan compare tp1.sqlite tp2.sqlite tp4.sqlite -o scaling.html
      nsysan compare tp1.sqlite tp2.sqlite tp4.sqlite --predict 8
      nsysan compare tp1.sqlite --predict 4 --model config.json --batch 8
      nsysan compare nccl.sqlite symm.sqlite --markdown - >> ticket.md
      nsysan compare a.sqlite b.sqlite --batch 1 --batch 32 --json -
      nsysan compare run1/ 'run2_rank_*.sqlite'
    """
    if (model is None and context is not None) or (model is not None and not asked):
        raise click.UsageError("--context is of a --model, and that of --predict")
    if asked and len(sides) == 1 and model is None:
        raise click.UsageError(
            "--predict takes captures of one model at two TP degrees or more: one alone does not tell which part of "
            "its compute more ranks would share out; say by --model which model it is, or give a second one, such as "
            "nsysan compare tp2.sqlite tp4.sqlite --predict 8"
        )
    if not (1 if asked else 2) <= len(sides) <= _MOST:
        raise click.UsageError(f"compare takes 2 to {_MOST} traces, not {len(sides)}")
    if len(batches) not in (0, 1, len(sides)):
        raise click.UsageError(f"--batch is given once, or once for each of the {len(sides)} sides")
    named = {"-o": output, "--json": json_output, "--markdown": markdown}
    paths = [expand((name,)) for name in sides]
    files, to_stdout = outputs_of(named, (path for side in paths for path in side), force=force)
    if twice := alike(files):
        raise click.UsageError(f"{' and '.join(twice)} name one file")

    from nsysan.compare.changes import compare
    from nsysan.compare.compared_run import compared_runs, letters
    from nsysan.compare.comparison import ComparedRun
    from nsysan.compare.headline import last_words
    from nsysan.compare.likeness import common_population

    stated = None if model is None else _stated(model, batches[0] if batches else None, context)
    if stated is not None and stated.batch is not None:
        batches = batches or (stated.batch,)
    each = batches if len(batches) == len(sides) else (batches or (None,)) * len(sides)
    built: list[list[ComparedRun]] = []
    for label, inputs, batch in zip(letters(len(sides)), paths, each, strict=True):
        with analysed(inputs, steps, use_nvtx=not no_nvtx, quiet=quiet, jobs=jobs, scheduler=scheduler) as run:
            built.append(compared_runs(label, run, __version__, batch, predicting=bool(asked), model=stated))
    comparison = compare(common_population(built), __version__, asked)

    from nsysan.compare.as_json import to_json
    from nsysan.compare.as_markdown import to_markdown
    from nsysan.compare.as_text import to_text

    texts = {"--json": to_json, "--markdown": to_markdown}
    if output is not None:
        from nsysan.compare.as_page import to_html

        texts["-o"] = to_html
    for name, path in files.items():
        write_text(path, texts[name](comparison), force=force)
    if to_stdout is not None:
        click.echo(texts[to_stdout](comparison), nl=False)
    elif not quiet:
        wrote = f"{written(files.values())}\n" if files else ""
        with painting():
            say(f"{to_text(comparison, columns(), brief=not verbose)}\n{wrote}{last_words(comparison)}")


def _stated(model: str, batch: int | None, context: int | None) -> Model:
    """The model, all of it."""
    from nsysan.light.stated import stated_model

    try:
        stated = stated_model(model, batch, context)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if stated.shape is None:
        raise click.UsageError(f"--model lacks {', '.join(stated.lacking)}; name them, or a config.json")
    return stated
