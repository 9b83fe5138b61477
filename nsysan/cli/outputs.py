"""Where the results of a command go: files that options name, one of them perhaps standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import click

from nsysan.output import check_writable, own_page
from nsysan.text import plain

_PAGE = "-o"  # a page is always a file


def outputs_of(
    named: dict[str, Path | None], sources: Iterable[Path], *, force: bool, others: Iterable[Path] = ()
) -> tuple[dict[str, Path], str | None]:
    """Files by option, and the option whose result goes to standard output.

    named: what each option was given. sources: what must not be replaced. others: further files to be written.
    UsageError where two name standard output, NsysanError where a file cannot be written.
    """
    to_stdout = [option for option, path in named.items() if option != _PAGE and str(path) == "-"]
    if len(to_stdout) > 1:
        raise click.UsageError(f"{' and '.join(to_stdout)} both name standard output")
    files = {option: path for option, path in named.items() if path is not None and option not in to_stdout}
    sources = list(sources)
    for path in (*files.values(), *others):
        for source in sources:
            check_writable(path, force=force, source=source)
    return files, (to_stdout[0] if to_stdout else None)


def is_outdated(page: Path | None, traces: Sequence[Path]) -> bool:
    """Whether a page is of an earlier trace of that name: it lies beside the trace, which was written after it."""
    if page is None or len(traces) != 1 or not own_page(page):
        return False
    beside = page.absolute() == traces[0].absolute().with_suffix(".html")
    return beside and page.stat().st_mtime_ns < traces[0].stat().st_mtime_ns


def check_page(page: Path | None, traces: Sequence[Path], *, force: bool) -> None:
    """NsysanError, before a trace is read, where the page that is there is of another; of several, writing tells."""
    if page is None or force or len(traces) != 1 or not own_page(page):
        return
    from nsysan.report.page_subject import Named, recorded
    from nsysan.run.trace_set import started

    start = started(traces[0])
    if start is not None:
        check_writable(page, force=force, of=recorded([Named(traces[0].name, start)]))


def alike(files: dict[str, Path]) -> list[str]:
    """The options that name one file, by whatever way, if two do."""
    return next(([one, other] for one, other in combinations(files, 2) if _same(files[one], files[other])), [])


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or one.samefile(other)
    except (OSError, RuntimeError):  # not there, or links in a circle
        return False


def written(paths: Iterable[Path]) -> str:
    """What was written, for people."""
    return f"wrote {' and '.join(plain(str(path), 4_096) for path in paths)}"
