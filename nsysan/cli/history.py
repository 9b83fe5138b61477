"""`nsysan history`: runs over time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nsysan.cli.exits import OUTPUT, RUN, exit_codes
from nsysan.cli.screen import columns, in_colour, say
from nsysan.cli.suggesting import Suggesting
from nsysan.output import check_writable, own_page, write_text
from nsysan.text import plain, table

if TYPE_CHECKING:
    from nsysan.history.cells import Row

_Command = TypeVar("_Command", bound=Callable[..., None])
#: Columns that keep a list as JSON.
_LISTS = ("tags", "findings")
_DEFAULT = Path("nsysan-history.db")


def _db_option(function: _Command) -> _Command:
    path = click.Path(path_type=Path, dir_okay=False)
    option = click.option("--db", type=path, default=_DEFAULT, show_default=True, metavar="FILE", help="The database.")
    return option(function)


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

    One SQLite file holds a row a run in `runs`, with its ranks, collectives and steady steps in `per_rank`,
    `collectives` and `steps`, all durations in ns, where Datasette or any SQL can read them.

    \b
    Examples:
      nsysan history add trace.sqlite --commit "$(git rev-parse HEAD)" --tag nightly
      nsysan history list
      nsysan history plot --tag nightly -o trend.html
    """


@command.command("add", short_help="Add a run: its trace, or the JSON of its report.")
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@_db_option
@click.option("--name", metavar="TEXT", help="Name of the run.  [default: the trace's]")
@click.option("--host", metavar="ALIAS", help="Where it ran, by a name of your choice.")
@click.option("--commit", metavar="TEXT", help="Commit that ran.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="A word to find it by; repeatable.")
@click.option(
    "--workload",
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
    with opened_history(db, create=True) as database:
        run, new = add_run(database, document, Labels(name, host, commit, tags, workload, _page(page, traces)))
    if not quiet:
        click.echo(f"{'added run' if new else 'already there as run'} {run} in {plain(str(db), 4_096)}")


def _page(named: Path | None, traces: tuple[str, ...]) -> str | None:
    """Where the page of a run's report lies: as the user says, else where `nsysan report` writes it."""
    first = Path(traces[0])
    beside = [folder / f"{first.stem}.html" for folder in (Path(), first.parent)] if len(traces) == 1 else []
    found = named or next((path for path in beside if own_page(path)), None)
    return None if found is None else str(found.absolute())


@command.command("list", short_help="List the runs, oldest first.")
@_db_option
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="Only runs with this tag; repeatable.")
@_format_option
@in_colour
def list_(db: Path, tags: tuple[str, ...], kind: str) -> None:
    """List the runs, oldest first; durations are in ns in JSON and CSV.

    \b
    Examples:
      nsysan history list --tag nightly
      nsysan history list --format csv > runs.csv
    """
    from nsysan.history.database import LISTED, list_runs, opened_history

    with opened_history(db) as database:
        runs = list_runs(database, tags)
    if kind == "table":
        rows = [_cells(run, LISTED) for run in runs]
        say("\n".join(table(_header(LISTED), rows, left=6, width=columns())) if rows else "no runs")
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
            say(f"\n{name}\n" + "\n".join(table(_header(rows[0]), cells, width=columns())))


@command.command("plot", short_help="Write a page with the trends over the runs.")
@_db_option
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="Only runs with this tag; repeatable.")
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
def plot(db: Path, tags: tuple[str, ...], output: Path, force: bool) -> None:
    """Write a page with the trend of period, ledger, hottest collective and savings over the runs.

    One line a workload. A run is marked where its steps differ from those of the first run of its level as
    `nsysan compare` tells a change from noise.

    \b
    Examples:
      nsysan history plot
      nsysan history plot --tag nightly -o trend.html --force
    """
    from nsysan.history.database import list_runs, opened_history, periods_of
    from nsysan.history.plot import to_html

    check_writable(output, force=force, source=db)
    with opened_history(db) as database:
        runs, steps = list_runs(database, tags), periods_of(database)
    write_text(output, to_html(runs, db.name, steps, output.absolute().parent), force=force)
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
        writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)


def _header(columns: Iterable[str]) -> list[str]:
    """Column heads with their unit, in which _cells gives them."""
    return [column.removesuffix("_ns") + (", µs" if column.endswith("_ns") else "") for column in columns]


def _cells(row: Row, columns: Iterable[str]) -> list[str]:
    from nsysan.history.cells import measured, words

    def cell(column: str) -> str:
        value = row.get(column)
        if value is None:
            return "-"
        ns = measured(row, column) if column.endswith("_ns") else None
        if ns is not None:
            return f"{ns / 1e3:,.1f}"
        if column in _LISTS:
            return plain(" ".join(words(row, column)), 120) or "-"
        return plain(str(value), 120 if column == "verdict_reason" else 60)

    return [cell(column) for column in columns]
