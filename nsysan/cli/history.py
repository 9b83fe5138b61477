"""`nsysan history`: runs over time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nsysan.cli.exits import OUTPUT, RUN, exit_codes
from nsysan.cli.options import WORDS
from nsysan.cli.screen import columns, in_colour, say
from nsysan.cli.suggesting import Suggesting
from nsysan.output import check_writable, own_page, write_text
from nsysan.text import encodable, plain, table

if TYPE_CHECKING:
    from nsysan.history.cells import Row
    from nsysan.history.kept_kernels import KernelFigure
    from nsysan.report.read_back import ReportDocument

_Command = TypeVar("_Command", bound=Callable[..., None])
#: Columns that keep a list as JSON.
_LISTS = ("tags", "findings")
#: How columns of times end: those of tables, and figures of kernels.
_IN_NS = ("_ns", ".ns")
_DEFAULT = Path("nsysan-history.db")


def _db_option(function: _Command) -> _Command:
    path = click.Path(path_type=Path, dir_okay=False)
    option = click.option("--db", type=path, default=_DEFAULT, show_default=True, metavar="FILE", help="The database.")
    return option(function)


def _figure_option(function: _Command) -> _Command:
    return click.option(
        "--figure",
        "figures",
        multiple=True,
        metavar="KERNEL",
        help="A figure of kernels as `nsysan check` has it: kernel[attention].ns of a group, kernel[~attn].ns of all "
        "by that pattern; repeatable.",
    )(function)


def _figures(texts: tuple[str, ...]) -> list[KernelFigure]:
    from nsysan.history.kept_kernels import figure_of

    try:
        return [figure_of(text) for text in texts]
    except ValueError as error:
        raise click.UsageError(f"--figure: {plain(str(error), 400)}") from error


def _format_option(function: _Command) -> _Command:
    kinds = click.Choice(("table", "json", "csv"))
    return click.option("--format", "kind", type=kinds, default="table", show_default=True, help="How to print.")(
        function
    )


@click.group(
    "history",
    cls=Suggesting,
    epilog=exit_codes(*RUN, *OUTPUT, after=" (`add` reads traces, the others the database)"),
)
def command() -> None:
    """Keep runs in a database, and show how they develop.

    One SQLite file holds a row a run in `runs`, with its ranks, collectives, kernels and steady steps in `per_rank`,
    `collectives`, `kernels` and `steps`, all durations in ns, where Datasette or any SQL can read them.

    \b
    Examples:
      nsysan history add trace.sqlite --commit "$(git rev-parse HEAD)" --tag nightly
      nsysan history list
      nsysan history plot --tag nightly -o trend.html
    """


@command.command("add", short_help="Add a run: its trace, or the JSON of its report.")
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@_db_option
@click.option("--name", type=WORDS, metavar="TEXT", help="Name of the run.  [default: the trace's]")
@click.option("--host", type=WORDS, metavar="ALIAS", help="Where it ran, by a name of your choice.")
@click.option("--commit", type=WORDS, metavar="TEXT", help="Commit that ran.")
@click.option("--tag", "tags", type=WORDS, multiple=True, metavar="WORD", help="A word to find it by; repeatable.")
@click.option(
    "--workload",
    type=WORDS,
    metavar="TEXT",
    help="What ran: runs of one workload are one line of the plot.  [default: by GPUs, ranks, graphs and messages]",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The run's report, to be linked from the plot.  [default: the page that nsysan wrote of it]",
)
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def add(
    traces: tuple[str, ...],
    db: Path,
    name: str | None,
    host: str | None,
    commit: str | None,
    tags: tuple[str, ...],
    workload: str | None,
    page: Path | None,
    quiet: bool,
) -> None:
    """Add a run: its trace or traces, or the JSON that `nsysan report --json` wrote.

    The same report is kept once; adding it again changes nothing.

    \b
    Examples:
      nsysan history add trace.sqlite --tag nightly --host node7
      nsysan history add report.json --commit 1a2b3c4
    """
    from nsysan.cli.documents import document_of
    from nsysan.history.database import Labels, add_run, opened_history

    document = document_of(traces, quiet=quiet)
    labels = Labels(name, host, commit, tags, workload, _page(page, traces, document))
    with opened_history(db, create=True) as database:
        run, new = add_run(database, document, labels)
    if not quiet:
        click.echo(f"{'added run' if new else 'already there as run'} {run} in {plain(str(db), 4_096)}")


def _page(named: Path | None, traces: tuple[str, ...], document: ReportDocument) -> str | None:
    """Where the page of a run's report lies: as the user says, else where `nsysan report` writes it, if it is of it."""
    from nsysan.report.page_subject import recorded

    first, of = Path(traces[0]), recorded(document.inputs)
    beside = [folder / f"{first.stem}.html" for folder in (Path(), first.parent)] if len(traces) == 1 else []
    found = named or next((path for path in beside if own_page(path, of)), None)
    return None if found is None else encodable(str(found.absolute()))


@command.command("list", short_help="List the runs, oldest first.")
@_db_option
@click.option("--tag", "tags", type=WORDS, multiple=True, metavar="WORD", help="Only runs with this tag; repeatable.")
@_figure_option
@_format_option
@in_colour
def list_(db: Path, tags: tuple[str, ...], figures: tuple[str, ...], kind: str) -> None:
    """List the runs, oldest first; durations are in ns in JSON and CSV.

    \b
    Examples:
      nsysan history list --tag nightly
      nsysan history list --format csv > runs.csv
      nsysan history list --figure 'kernel[~attn].ns'
    """
    from nsysan.history.database import LISTED, list_runs, opened_history
    from nsysan.history.kept_kernels import with_figures

    asked = _figures(figures)
    with opened_history(db) as database:
        runs = with_figures(database, list_runs(database, tags), asked)
    if kind == "table":
        shown = (*LISTED, *(one.text for one in asked))
        rows = [_cells(run, shown) for run in runs]
        say("\n".join(table(_header(shown), rows, left=6, width=columns())) if rows else "no runs")
    else:
        _print(runs, kind)


@command.command("show")
@click.argument("run", type=click.IntRange(1))
@_db_option
@_format_option
@in_colour
def show(run: int, db: Path, kind: str) -> None:
    """Show all that is kept of one RUN, by its number.

    \b
    Examples:
      nsysan history show 3
      nsysan history show 3 --format json | jq .per_rank
    """
    from nsysan.history.database import get_run, opened_history

    with opened_history(db) as database:
        found, parts = get_run(database, run)
    if kind == "json":
        click.echo(json.dumps(_decoded(found) | parts, indent=1))
        return
    if kind == "csv":
        _print([found], kind)
        return
    values = zip(found, _cells(found, found), strict=True)
    say("\n".join(table(("of the run", ""), [list(pair) for pair in values], left=2)))
    for name, rows in parts.items():
        if rows:
            cells = [_cells(row, row) for row in rows]
            say(f"\n{name}\n" + "\n".join(table(_header(list(rows[0])), cells, width=columns())))


@command.command("plot", short_help="Write a page with the trends over the runs.")
@_db_option
@click.option("--tag", "tags", type=WORDS, multiple=True, metavar="WORD", help="Only runs with this tag; repeatable.")
@_figure_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("nsysan-history.html"),
    show_default=True,
    metavar="FILE",
    help="HTML page to write.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def plot(db: Path, tags: tuple[str, ...], figures: tuple[str, ...], output: Path, force: bool) -> None:
    """Write a page with the trend of period, ledger, kernels, hottest collective and savings over the runs.

    Of kernels it shows every group, or what --figure names.

    One line a workload. A run is marked where its steps differ from those of the first run of its level as
    `nsysan compare` tells a change from noise.

    \b
    Examples:
      nsysan history plot
      nsysan history plot --tag nightly -o trend.html --force
    """
    from nsysan.history.database import list_runs, opened_history, periods_of
    from nsysan.history.kept_kernels import groups_in, with_figures
    from nsysan.history.plot import to_html

    asked = _figures(figures)
    if other := [one.text for one in asked if not one.is_time]:
        raise click.UsageError(f"--figure: a trend is of ns or call_ns, not {plain(other[0], 80)}; list shows it")
    check_writable(output, force=force, source=db)
    with opened_history(db) as database:
        wanted, steps = asked or groups_in(database), periods_of(database)
        runs = with_figures(database, list_runs(database, tags), wanted)
    page = to_html(runs, db, steps, output.absolute().parent, [one.text for one in wanted])
    write_text(output, page, force=force)
    click.echo(f"wrote {plain(str(output), 4_096)}")


def _decoded(row: Row) -> dict[str, object]:
    """Lists that a column keeps as JSON, as lists."""
    from nsysan.history.cells import words

    return {key: words(row, key) if key in _LISTS and value else value for key, value in row.items()}


def _print(rows: list[Row], kind: str) -> None:
    if kind == "json":
        click.echo(json.dumps([_decoded(row) for row in rows], indent=1))
        return
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        # Seen in a terminal, too: JSON has a database's words as they are.
        writer.writerows({key: plain(v, len(v)) if isinstance(v, str) else v for key, v in row.items()} for row in rows)
    click.echo(text.getvalue(), nl=False)


def _header(columns: Sequence[str]) -> list[str]:
    """Column heads with their unit, in which _cells gives them."""
    bare = [column.removesuffix("_ns").removesuffix(".ns") for column in columns]
    return [name + (", µs" if column.endswith(_IN_NS) else "") for name, column in zip(bare, columns, strict=True)]


def _cells(row: Row, columns: Iterable[str]) -> list[str]:
    from nsysan.history.cells import measured, words

    def cell(column: str) -> str:
        value = row.get(column)
        if value is None:
            return "-"
        ns = measured(row, column) if column.endswith(_IN_NS) else None
        if ns is not None:
            return f"{ns / 1e3:,.1f}"
        if column in _LISTS:
            return plain(" ".join(words(row, column)), 120) or "-"
        if isinstance(value, float):
            return f"{value:,.4g}"
        return plain(str(value), 120 if column == "verdict_reason" else 60)

    return [cell(column) for column in columns]
