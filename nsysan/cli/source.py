"""Open what the user named: an export, or a report of nsys that an nsys at hand can export."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

import nsysan
from nsysan import progress
from nsysan._errors import ExitCode, NsysanError

if TYPE_CHECKING:
    from nsysan.trace.export import Trace

_RECORDINGS = (".nsys-rep", ".qdrep")
_COLUMNAR = (".parquet", ".arrow")


def expand(names: tuple[str, ...]) -> list[Path]:
    """Files that the user named: as they are, by glob pattern, or the exports in a folder, each once."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found += _exports_in(path)
        elif not path.exists() and glob.has_magic(name):
            matching = [Path(match) for match in sorted(glob.glob(name))]
            if not matching:
                raise NsysanError(f"{name}: no file matches", ExitCode.NO_SUCH_FILE)
            found += matching
        else:
            found.append(path)
    return list(dict.fromkeys(found))


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
def opened_all(paths: list[Path], *, quiet: bool = False) -> Iterator[list[Trace]]:
    """All traces, open until the end; meanwhile a terminal shows what the work is at."""
    with ExitStack() as stack:
        if not quiet:
            stack.enter_context(progress.shown())
        yield [stack.enter_context(opened(path, quiet=quiet)) for path in paths]


@contextmanager
def opened(path: Path, *, quiet: bool = False) -> Iterator[Trace]:
    """The trace at `path`; a recording is exported first, into a folder that is gone afterwards."""
    if path.suffix not in _RECORDINGS:
        yield nsysan.open_trace(path)
        return
    if not path.exists():
        raise NsysanError(f"{path}: no such file", ExitCode.NO_SUCH_FILE)
    from nsysan.capture.nsys import export_sqlite, find_nsys

    nsys = find_nsys()
    target = f"{path.stem}.sqlite"
    if nsys is None:
        raise NsysanError(
            f"{path}: a recording, and there is no nsys here to export it; where there is one, run `nsys export "
            f"--type sqlite --include-json true --include-blobs true -o {target} {path.name}` (older nsys: without "
            f"the two --include options) and name {target}",
            ExitCode.NEEDS_EXPORT,
        )
    with TemporaryDirectory(prefix="nsysan-") as folder:
        if not quiet:
            click.echo(f"exporting {path.name} with {nsys.label}", err=True)
        exported = export_sqlite(nsys, path, Path(folder) / target)
        try:
            yield nsysan.open_trace(exported)
        except NsysanError as error:
            # The export is gone by the time that the message is read; the recording is what the user knows.
            raise NsysanError(str(error).replace(str(exported), str(path)), ExitCode(error.exit_code)) from error
