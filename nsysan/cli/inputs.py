"""Open what the user named: an export, or a recording that an nsys at hand can export."""

from __future__ import annotations

import glob
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from nsysan import progress, timings
from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.memory import settle
from nsysan.scratch import scratch
from nsysan.text import encodable, plain

if TYPE_CHECKING:
    from nsysan.capture.nsys import Nsys
    from nsysan.model.selection import Selection
    from nsysan.run.failure import Failure
    from nsysan.run.run import Run
    from nsysan.trace.nccl_log import NcclLog
    from nsysan.trace.trace import Trace

settle()

_Command = TypeVar("_Command", bound=Callable[..., None])


class Copies(Protocol):
    """What is read in place of what the user named, and what may be said of what could not be read."""

    def copy(self, path: Path, export: Path) -> Path: ...

    def masked(self, failure: Failure) -> Failure: ...


_RECORDINGS = (".nsys-rep", ".qdrep")
_COLUMNAR = (".parquet", ".arrow")


def spread(command: _Command) -> _Command:
    """The options --jobs and --scheduler."""
    jobs = click.option(
        "--jobs",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Processes to read several traces in.  [default: one for each processor, where that pays]",
    )
    scheduler = click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Read each trace on a worker of this Dask cluster, which finds it by the same path; only summaries and "
        "figures travel. Workers and nsysan run what they unpickle of each other: name a scheduler that you trust. "
        "Needs `pip install 'nsysan[cluster]'`.  [default: none]",
    )
    return jobs(scheduler(command))


def expand(names: tuple[str, ...]) -> list[Path]:
    """Files that the user named: as they are, by glob pattern, or the exports in a folder, each once by any name."""
    found: list[Path] = []
    for name in names:
        try:
            found += _expanded(name)
        except OSError as error:
            raise NsysanError(f"{name}: cannot be read: {error.strerror}", ExitCode.NO_SUCH_FILE) from error
    once: dict[Path | tuple[int, int], Path] = {}
    for path in found:
        once.setdefault(_file(path), path)
    return list(once.values())


def _file(path: Path) -> Path | tuple[int, int]:
    """What is one for all paths of a file: links and spellings do not matter. Where none is there, the path."""
    try:
        there = path.stat()
    except OSError:
        return path
    return there.st_dev, there.st_ino


def _expanded(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return _exports_in(path)
    if path.exists() or not glob.has_magic(name):
        return [path]
    matching = [Path(match) for match in sorted(glob.glob(name))]
    if not matching:
        raise NsysanError(f"{name}: no file matches", ExitCode.NO_SUCH_FILE)
    return matching


def _exports_in(folder: Path) -> list[Path]:
    """The folder itself if it is an export of one file a table, else the exports that lie in it."""
    if _is_columnar(folder):
        return [folder]
    inside = sorted(folder.glob("*.sqlite")) or sorted(path for path in folder.iterdir() if _is_columnar(path))
    if not inside:
        raise NsysanError(
            f"{folder}: is a folder with no export in it (no .sqlite, no table as .parquet or .arrow); name it",
            ExitCode.NO_SUCH_FILE,
        )
    return inside


def _is_columnar(path: Path) -> bool:
    return path.is_dir() and any(next(path.glob(f"*{suffix}"), None) for suffix in _COLUMNAR)


@contextmanager
def analysed(
    paths: list[Path],
    steps: str | None = None,
    *,
    use_nvtx: bool = True,
    selection: Selection | None = None,
    quiet: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    redaction: Copies | None = None,
) -> Iterator[Run]:
    """The run of these traces, which stay open until the end; those that cannot be read are named on stderr.

    jobs, scheduler: as for workers.trace_set_for; selection: which part of the run; redaction: makes copies, which are
    read in place of the reports. A terminal shows what the work is at. NsysanError if none can be read.
    """
    from dataclasses import replace

    from nsysan.model.selection import WHOLE
    from nsysan.run.analyze import analyze
    from nsysan.run.failure import Failure
    from nsysan.workers import trace_set_for

    with ExitStack() as stack:
        if not quiet:
            stack.enter_context(progress.shown())
        exports: dict[Path, Path] = {}
        failures = []
        for path in paths:
            try:
                # A cluster's workers name files as they see them.
                source = exported(path, quiet=quiet, for_others=redaction is not None)
                export = path if scheduler else stack.enter_context(source)
                exports[path] = redaction.copy(path, export) if redaction else export
            except NsysanError as error:
                failures.append(Failure(encodable(path.name), str(path), error))
        if not exports:
            raise failures[0].error
        trace_set = stack.enter_context(trace_set_for(list(exports.values()), jobs, scheduler))
        with named(exports):
            run = analyze(
                list(exports.values()), steps, use_nvtx=use_nvtx, selection=selection or WHOLE, trace_set=trace_set
            )
        failures += [replace(failure, error=renamed(failure.error, exports)) for failure in run.failures]
        for failure in failures:
            click.echo(f"nsysan: left out: {plain(str(failure.error), 4_096)}", err=True)
        if redaction:
            failures = [redaction.masked(failure) for failure in failures]
        yield replace(run, failures=failures)


def logs_of(paths: tuple[Path, ...]) -> list[NcclLog]:
    """Logs of NCCL that the user named: files, glob patterns, folders of *.log; NsysanError where nothing is there."""
    from nsysan.trace.nccl_files import read_logs

    found: list[Path] = []
    for path in paths:
        matching = sorted(path.glob("*.log")) if path.is_dir() else [path] if path.exists() else expand((str(path),))
        if not all(file.exists() for file in matching) or not matching:
            raise NsysanError(f"{path}: {'no log in it' if path.is_dir() else 'no such file'}", ExitCode.NO_SUCH_FILE)
        found += matching
    return [read_logs(dict.fromkeys(found))] if found else []


@contextmanager
def opened(path: Path, *, quiet: bool = False) -> Iterator[Trace]:
    """The trace at `path`, with all that others read; a recording is exported first (see exported)."""
    from nsysan.trace.trace import Trace

    with exported(path, quiet=quiet, for_others=True) as export, named({path: export}):
        yield Trace(export)


@contextmanager
def named(exports: dict[Path, Path]) -> Iterator[None]:
    """Errors inside name what the user knows: the export of a recording is gone by the time that they are read."""
    try:
        yield
    except NsysanError as error:
        raise renamed(error, exports) from error


def renamed(error: NsysanError, exports: dict[Path, Path]) -> NsysanError:
    """The error with the recordings in place of their exports."""
    text = str(error)
    for path, export in exports.items():
        text = text.replace(str(export), str(path))
    return NsysanError(text, ExitCode(error.exit_code))


@contextmanager
def exported(path: Path, *, quiet: bool = False, for_others: bool = False) -> Iterator[Path]:
    """An export of `path`: itself, or what a recording gives, in a folder that is gone afterwards.

    It is of the kind that a report is made of soonest; where others are to read it, SQLite with payloads in words.
    """
    if path.suffix not in _RECORDINGS:
        yield path
        return
    if not path.exists():
        raise NsysanError(f"{path}: no such file", ExitCode.NO_SUCH_FILE)
    from nsysan.capture.fastest import SQLITE, WITH_JSON, kinds_for
    from nsysan.capture.nsys import find_nsys

    nsys = find_nsys()
    target = f"{path.stem}.sqlite"
    if nsys is None:
        raise NsysanError(
            f"{path}: a recording, and there is no nsys here to export it; where there is one, run `nsys export "
            f"--type sqlite --include-json true --include-blobs true -o {target} {path.name}` (older nsys: without "
            f"the two --include options) and name {target}",
            ExitCode.NEEDS_EXPORT,
        )
    with scratch(Path(gettempdir())) as folder:
        *rest, last = [SQLITE] if for_others else kinds_for(nsys, path)
        for kind in rest:
            with suppress(NsysanError):
                export = _exported(nsys, path, folder, kind, quiet=quiet, json=for_others or WITH_JSON)
                break
        else:
            export = _exported(nsys, path, folder, last, quiet=quiet, json=for_others or WITH_JSON)
        _with_what_lies_beside(path, export)
        yield export


def _exported(nsys: Nsys, recording: Path, folder: Path, kind: str, *, quiet: bool, json: bool) -> Path:
    """The recording as that kind, in the folder, by a name with which all kinds give one report."""
    from nsysan.capture.bounded import now_and_then
    from nsysan.capture.nsys import export

    def say(text: str) -> None:
        click.echo(text, err=True)

    doing = f"exporting {recording.name} with {nsys.label} ({kind})"
    waiting = None
    if not quiet:
        say(doing)
        waiting = None if sys.stderr.isatty() else now_and_then(say, lambda: doing)
    progress.stage(f"nsys exports {plain(recording.name)}", 100, progress.PERCENT)
    with timings.stage("nsys export", runs_others=True):
        unfinished = folder / f"export.{kind}"
        export(nsys, recording, unfinished, kind, json=json, waiting=waiting, percent=progress.done)
    progress.stage("reading")
    return unfinished.rename(folder / f"{recording.stem}.sqlite")


def _with_what_lies_beside(recording: Path, export: Path) -> None:
    """Let the export of a recording have beside it what capture left beside the recording: topology, NCCL's logs."""
    from nsysan.trace.nccl_files import logs_beside
    from nsysan.trace.topology import topology_file

    for file in (topology_file(recording), *logs_beside(recording)):
        with suppress(OSError):
            if file.is_file():
                (export.parent / file.name).symlink_to(file.absolute())
