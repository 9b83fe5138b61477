"""Open what the user named: an export, or a report of nsys that an nsys at hand can export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

import nsysan
from nsysan._errors import ExitCode, NsysanError

if TYPE_CHECKING:
    from nsysan.trace.export import Trace

_RECORDINGS = (".nsys-rep", ".qdrep")


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
        yield nsysan.open_trace(export_sqlite(nsys, path, Path(folder) / target))
