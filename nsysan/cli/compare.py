"""`nsysan compare`: two runs or more, like for like, and which differences are noise."""

from __future__ import annotations

from pathlib import Path

import click

import nsysan
from nsysan.cli.inputs import analysed, expand, spread
from nsysan.cli.outputs import alike, outputs_of, written
from nsysan.output import write_text

_PATH = click.Path(path_type=Path)
_MOST = 26


@click.command("compare")
@click.argument("sides", nargs=-1, required=True, metavar="A B [C...]")
@click.option("-o", "--output", type=_PATH, help="HTML file to write.")
@click.option("--json", "json_output", type=_PATH, help="JSON file to write; - for standard output.")
@click.option("--markdown", type=_PATH, help="Markdown file to write; - for standard output.")
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="Sequences that decode together, for tokens/s; repeat it to give each side its own.  [default: 1]",
)
@click.option("--steps", metavar="PATTERN", help="Regular expression for the NVTX ranges that mark decode steps.")
@click.option("--no-nvtx", is_flag=True, help="Find steps by graph replays or kernel period, leaving ranges aside.")
@spread
@click.option("--force", is_flag=True, help="Replace output files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="No text; only errors.")
def command(
    sides: tuple[str, ...],
    output: Path | None,
    json_output: Path | None,
    markdown: Path | None,
    batches: tuple[int, ...],
    steps: str | None,
    no_nvtx: bool,
    jobs: int | None,
    scheduler: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Compare decode steps of two runs or more, each against the first.

    A, B and so on are traces; a folder, or a quoted glob, is one side made of the reports of one run. Says which
    differences are beyond the noise of the steps, whether the collectives ran over another link, and for runs
    over different numbers of ranks what the additional GPUs bought, what they cost, and whether replicas would
    serve more.

    \b
    Examples:
      nsysan compare before.sqlite after.sqlite
      nsysan compare tp1.sqlite tp2.sqlite tp4.sqlite -o scaling.html
      nsysan compare nccl.sqlite symm.sqlite --markdown - >> ticket.md
      nsysan compare a.sqlite b.sqlite --batch 1 --batch 32 --json -

    Exit codes: those of `nsysan report`; 8 where one side has no steady decode step.
    """
    if not 2 <= len(sides) <= _MOST:
        raise click.UsageError(f"compare takes 2 to {_MOST} traces, not {len(sides)}")
    if len(batches) not in (0, 1, len(sides)):
        raise click.UsageError(f"--batch is given once, or once for each of the {len(sides)} sides")
    named = {"-o": output, "--json": json_output, "--markdown": markdown}
    paths = [expand((name,)) for name in sides]
    files, to_stdout = outputs_of(named, (path for side in paths for path in side), force=force)
    if alike(files):
        raise click.UsageError(f"{' and '.join(files)} name one file")

    from nsysan.compare.compared_run import ComparedRun, compared_run, letters
    from nsysan.compare.comparison import compare

    each = batches if len(batches) == len(sides) else (batches or (1,)) * len(sides)
    built: list[ComparedRun] = []
    for label, inputs, batch in zip(letters(len(sides)), paths, each, strict=True):
        with analysed(inputs, steps, use_nvtx=not no_nvtx, quiet=quiet, jobs=jobs, scheduler=scheduler) as run:
            built.append(compared_run(label, run, nsysan.__version__, batch))
    comparison = compare(built, nsysan.__version__)

    from nsysan.compare.as_json import to_json
    from nsysan.compare.as_text import to_markdown, to_text

    texts = {"--json": to_json, "--markdown": to_markdown}
    if output is not None:
        from nsysan.compare.as_page import to_html

        texts["-o"] = to_html
    for name, path in files.items():
        write_text(path, texts[name](comparison), force=force)
    if to_stdout is not None:
        click.echo(texts[to_stdout](comparison), nl=False)
    elif not quiet:
        click.echo(to_text(comparison), nl=False)
        if files:
            click.echo(f"\n{written(files.values())}")
