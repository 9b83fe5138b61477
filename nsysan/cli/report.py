"""`nsysan report`: the ledger of a trace as a summary, HTML, JSON, Markdown and PNG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nsysan._errors import ExitCode
from nsysan._version import __version__
from nsysan.cli.exits import OUTPUT, RUN, exit_codes
from nsysan.cli.inputs import analysed, expand, logs_of, spread
from nsysan.cli.options import (
    NO_NVTX,
    NUMBERS,
    TIME,
    of_model,
    of_population,
    of_replica,
    of_untraced,
    possible_untraced,
    steps_of,
)
from nsysan.cli.outputs import alike, check_page, is_outdated, outputs_of, written
from nsysan.cli.redacted import redaction_if
from nsysan.cli.screen import columns, in_colour, say
from nsysan.cli.timed import timed
from nsysan.output import write_bytes, write_text
from nsysan.styled import bare, painting

if TYPE_CHECKING:
    from nsysan.report.report import Report

_PATH = click.Path(path_type=Path)
_OUTPUTS = {"-o": "the page", "--json": "the JSON document", "--markdown": "the Markdown"}


@click.command("report", epilog=exit_codes(*RUN, *OUTPUT, ExitCode.NO_STEPS, ExitCode.NOT_CLEAN))
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option(
    "-o",
    "--output",
    type=_PATH,
    metavar="FILE",
    help="HTML page to write.  [default: TRACE's name with .html, in the working directory]",
)
@click.option(
    "--json",
    "json_output",
    type=_PATH,
    metavar="FILE",
    help="The same as data; - for standard output. No page then unless -o asks for it.",
)
@click.option(
    "--markdown",
    type=_PATH,
    metavar="FILE",
    help="Summary for GitHub, GitLab and Jira; - for standard output. No page then unless -o asks for it.",
)
@click.option(
    "--png",
    type=_PATH,
    metavar="PREFIX",
    help="Key charts: PREFIX-ledger.png, -caused and -timeline, or in folder PREFIX. Needs Chromium or Chrome "
    "(NSYSAN_BROWSER, PATH) or `pip install 'nsysan[png]'`.",
)
@click.option(
    "--steps",
    multiple=True,
    metavar="PATTERN|A:B",
    help="Regular expression for the NVTX ranges that mark decode steps; or which steps, A to B, both included. Once "
    "each.  [default: the ranges of known engines, else graph replays, else the kernels' period; all steps]",
)
@click.option(
    "--from",
    "begin",
    type=TIME,
    help="Read only GPU work that starts from here on: 1.5s, 200ms after the session's start (of several traces, the "
    "first's). Steps are numbered from the first read.  [default: all]",
)
@click.option("--to", "end", type=TIME, help="Read only GPU work that starts before this.  [default: all]")
@click.option(
    "--ranks",
    type=NUMBERS,
    metavar="N,N...",
    help="Show these ranks only; who waits for whom is still told among all.  [default: all]",
)
@of_replica
@of_population
@click.option("--no-nvtx", is_flag=True, help=NO_NVTX)
@click.option("--layers", type=click.IntRange(1), metavar="N", help="Layers of the model: two all-reduces each.")
@of_model("the speed of light of a step, the size of messages, the same as --layers")
@click.option(
    "--message-bytes",
    type=click.IntRange(1, 1 << 50),
    metavar="N",
    help="Size of an all-reduce, where the trace tells none.",
)
@click.option(
    "--link-gbps",
    type=click.FloatRange(min=0.001, max=1e6),
    metavar="GBPS",
    help="Peak of the link between the GPUs, GB/s per GPU and direction.  [default: by GPU model]",
)
@click.option(
    "--nccl-log",
    "nccl_logs",
    type=_PATH,
    multiple=True,
    metavar="FILE",
    help="A log of NCCL (NCCL_DEBUG=INFO) of this run; repeatable.  [default: those that capture left beside TRACE]",
)
@of_untraced
@click.option("--what-if", is_flag=True, help="Add to the summary all what-ifs, also those that save nothing.")
@click.option(
    "--plotlyjs",
    type=click.Choice(["inline", "cdn"]),
    default="inline",
    help="plotly.js inside the page, which then opens offline; or fetched, which saves 2 MB.  [default: inline]",
)
@spread
@click.option("--redact", is_flag=True, help="Make all outputs of redacted copies (see `nsysan redact`); search them.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("-v", "--verbose", is_flag=True, help="The whole summary, not the first 40 lines of it.")
@click.option("-q", "--quiet", is_flag=True, help="No summary, only errors.")
@in_colour
@timed
def command(
    traces: tuple[str, ...],
    output: Path | None,
    json_output: Path | None,
    markdown: Path | None,
    png: Path | None,
    steps: tuple[str, ...],
    begin: int | None,
    end: int | None,
    ranks: frozenset[int] | None,
    replica: int | None,
    population: str | None,
    batch: int | None,
    no_nvtx: bool,
    layers: int | None,
    model: str | None,
    context: int | None,
    message_bytes: int | None,
    link_gbps: float | None,
    nccl_logs: tuple[Path, ...],
    untraced: int | None,
    what_if: bool,
    plotlyjs: str,
    jobs: int | None,
    scheduler: str | None,
    redact: bool,
    force: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Account for every nanosecond of every decode step.

    TRACE is what `nsys export --type sqlite`, parquetdir or arrowdir writes (with --include-json true --include-blobs
    true where it has them, for message sizes), of any nsys since 2020; or an .nsys-rep where nsys is installed.
    Several, a folder or a glob are the traces of one run, one a rank or a host, and are put on one clock; one that
    cannot be read, or is a copy of another, is named and left out. They are only read. The summary goes to standard
    output, the page to a file.

    \b
    Examples:
      nsysan report trace.sqlite                   # summary, and trace.html here
      nsysan report trace.sqlite -v                # all of the summary
      nsysan report trace.sqlite -o r.html --json r.json --force
      nsysan report run1_rank_*.sqlite             # one session a rank
      nsysan report run1_rank_*.sqlite --scheduler tcp://head:8786
      nsysan report trace.sqlite --what-if         # what each fix saves
      nsysan report eager.sqlite --untraced 11.9ms # of the step without nsys
      nsysan report trace.sqlite --json - | jq .per_rank
      nsysan report trace.sqlite --markdown - >> ticket.md
      nsysan report trace.sqlite --png charts      # charts-ledger.png, ...
      nsysan report trace.sqlite --steps '^generate_token'
      nsysan report trace.sqlite --from 2s --to 3s --steps 10:20 --ranks 0,3
      nsysan report trace.sqlite --model config.json --batch 8 --context 2048
      nsysan report trace.sqlite --redact              # a page to be given away
    """
    from nsysan.diagnosis.expectation import expectation
    from nsysan.model.selection import Selection
    from nsysan.model.steps.populations import Choice
    from nsysan.report.build import build_report

    if context is not None and model is None:
        raise click.UsageError("--context is of a --model")
    try:
        expected = expectation(layers, model, message_bytes, batch=batch or None, context=context)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

    if link_gbps is not None and math.isnan(link_gbps):
        raise click.UsageError("--link-gbps takes a number of GB/s")
    paths, spoken = expand(traces), logs_of(nccl_logs)
    default = f"{paths[0].stem}.html" if len(paths) == 1 and not redact else "nsysan-report.html"
    html = output or (None if json_output or markdown or png else Path(default))
    named = {"-o": html, "--json": json_output, "--markdown": markdown}
    if png:
        from nsysan.page import png as pictures
    charts = pictures.paths(png) if png else {}
    files, to_stdout = outputs_of(named, paths, force=force, others=charts.values())
    replaced = force or is_outdated(html, paths)
    check_page(html, paths, force=replaced)
    everything = files | {f"--png ({chart})": path for chart, path in charts.items()}
    if twice := alike(everything):
        raise click.UsageError(f"{' and '.join(twice)} both name {everything[twice[0]]}")
    painter = pictures.find_painter() if charts else None
    if (begin or 0) < 0 or (end is not None and end <= (begin or 0)):
        raise click.UsageError("--from and --to take times from 0 up, the second after the first")
    pattern, chosen = steps_of(steps)
    selection = Selection(begin, end, chosen, choice=Choice(population, batch), shapes=html is not None)
    with redaction_if(redact) as redaction:
        with (
            analysed(
                paths,
                pattern,
                use_nvtx=not no_nvtx,
                selection=selection,
                quiet=quiet,
                jobs=jobs,
                scheduler=scheduler,
                redaction=redaction,
            ) as run,
            possible_untraced(),
        ):
            report = build_report(
                run,
                __version__,
                expected,
                link_gbps=link_gbps,
                timelines=bool(html or charts),
                replica=replica,
                nccl_logs=spoken,
                untraced=untraced,
            )
        report = _shown(report, ranks)
        texts = {name: _text(name, report, plotlyjs) for name in (*files, to_stdout) if name is not None}
        silent = quiet or to_stdout is not None
        summary, last = ("", "") if silent else _said(report, what_if=what_if, verbose=verbose)
        if redaction:
            said = {_OUTPUTS[name]: text for name, text in texts.items()}
            redaction.check({**said, "the summary": bare(summary), **(_figures(report) if painter else {})})
        drawn = pictures.to_png(report, painter) if painter else {}
        if redaction:
            redaction.check({f"the chart {name}": content for name, content in drawn.items()})
    for name, path in files.items():
        write_text(path, texts[name], force=replaced if path == html else force)
    for chart, content in drawn.items():
        write_bytes(charts[chart], content, force=force)
    if to_stdout is not None:
        click.echo(texts[to_stdout], nl=False)
    elif summary:
        say(f"{summary}\n{written([*files.values(), *(charts[chart] for chart in drawn)])}\n{last}")


def _shown(report: Report, ranks: frozenset[int] | None) -> Report:
    """The report of these ranks, None: of all."""
    if ranks is None:
        return report
    from nsysan.report.of_ranks import of_ranks

    return of_ranks(report, ranks)


def _said(report: Report, *, what_if: bool, verbose: bool) -> tuple[str, str]:
    """The summary, and what is said last, both with their style."""
    from nsysan.report.brief import last_words, to_brief
    from nsysan.report.terminal import to_text
    from nsysan.report.what_if_text import what_if_text

    with painting():
        told = (to_text if verbose else to_brief)(report, columns())
        return told + (f"\n{what_if_text(report, columns())}\n" if what_if else ""), last_words(report)


def _figures(report: Report) -> dict[str, str]:
    """What the charts will show, by name: drawn, it cannot be searched."""
    from nsysan.page.png import figures_of

    return {f"the chart {name}": str(figure.to_json()) for name, figure in figures_of(report).items()}


def _text(name: str, report: Report, plotlyjs: str) -> str:
    """The content of the file that an option names."""
    if name == "--json":
        from nsysan.report.document import to_json

        return to_json(report)
    if name == "--markdown":
        from nsysan.report.markdown import to_markdown

        return to_markdown(report)
    from nsysan.page.html import to_html

    return to_html(report, plotlyjs)
